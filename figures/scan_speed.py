"""Time the selective scan beside mambapy's parallel scan, on this machine, in one run.

    pip install mambapy==1.2.0
    python figures/scan_speed.py

One block of PoseMamba-S at T = 243: u (1, 512, 4131), 4 groups, N = 16, float32. Both sides start from (u,
delta, A, B, C) and end with the gradients of all five, so mambapy's side includes the exponentials and
products that make its inputs. Rounds alternate between the two; medians and ranges go to
posemamba/assets/measured/scan_speed.json.
"""

import argparse
import datetime
import importlib.metadata
import statistics
import time
from pathlib import Path

import torch
from first_run import commit

from posemamba import storage
from posemamba.scan import selective_scan
from posemamba.training import describe_machine

ASSETS = Path(__file__).resolve().parents[1] / "posemamba" / "assets"
GROUPS, INNER, TOKENS, STATE = 4, 128, 243 * 17, 16
SEED = 0


def mambapy_scan(u, delta, A, B, C):
    """The same scan through mambapy's pscan: decays and writes are (batch, tokens, channels, state)."""
    from mambapy.pscan import pscan

    u, delta = u.mT, delta.mT  # (1, L, KD)
    B, C = (m.repeat_interleave(INNER, 1).permute(0, 3, 1, 2) for m in (B, C))  # (1, L, KD, N)
    decay = torch.exp(delta[..., None] * A)
    write = delta[..., None] * B * u[..., None]
    return (pscan(decay, write) * C).sum(-1).mT


def run(scan, values, cotangent) -> tuple[float, float, list[torch.Tensor]]:
    """Seconds forward, seconds backward, and the gradients."""
    leaves = [value.clone().requires_grad_() for value in values]
    begin = time.perf_counter()
    y = scan(*leaves)
    middle = time.perf_counter()
    gradients = torch.autograd.grad(y, leaves, cotangent)
    return middle - begin, time.perf_counter() - middle, list(gradients)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", default=str(ASSETS / "measured" / "scan_speed.json"))
    given = parser.parse_args()

    begun_at = commit()
    torch.manual_seed(SEED)
    channels = GROUPS * INNER
    values = [
        torch.randn(1, channels, TOKENS),
        torch.rand(1, channels, TOKENS) * 0.1,
        -torch.arange(1, STATE + 1.0).repeat(channels, 1),
        torch.randn(1, GROUPS, STATE, TOKENS),
        torch.randn(1, GROUPS, STATE, TOKENS),
    ]
    cotangent = torch.randn(1, channels, TOKENS)
    scans = {"posemamba (numba)": selective_scan, "mambapy": mambapy_scan}
    first = time.perf_counter()
    warm = {name: run(scan, values, cotangent)[2] for name, scan in scans.items()}
    print(f"first calls, compilation or its cache included: {time.perf_counter() - first:.1f} s")
    for mine, theirs in zip(*warm.values(), strict=True):
        assert (mine - theirs).norm() < 1e-4 * theirs.norm(), "the two disagree"
    times = {name: {"forward": [], "backward": [], "both": []} for name in scans}
    for _ in range(given.rounds):
        for name, scan in scans.items():
            for _ in range(1 if name == "mambapy" else 5):
                forward, backward, _ = run(scan, values, cotangent)
                for part, seconds in (
                    ("forward", forward),
                    ("backward", backward),
                    ("both", forward + backward),
                ):
                    times[name][part].append(seconds)
    table = {
        name: {
            part: {"median": statistics.median(s), "least": min(s), "most": max(s), "rounds": len(s)}
            for part, s in parts.items()
        }
        for name, parts in times.items()
    }
    ratio = table["mambapy"]["both"]["median"] / table["posemamba (numba)"]["both"]["median"]
    for name, parts in table.items():
        for part, t in parts.items():
            spread = f"{t['least'] * 1e3:.1f} to {t['most'] * 1e3:.1f}"
            print(f"{name}, {part}: {t['median'] * 1e3:.1f} ms ({spread})")
    print(f"forward plus backward: {ratio:.1f} times as fast as mambapy")
    storage.write_json(
        given.out,
        {
            "command": ["python", "figures/scan_speed.py"],
            "date": datetime.date.today().isoformat(),
            "commit": begun_at,
            "seed": SEED,
            "hardware": describe_machine() | {"mambapy": importlib.metadata.version("mambapy")},
            "shape": {"batch": 1, "groups": GROUPS, "inner": INNER, "tokens": TOKENS, "state": STATE},
            "seconds": table,
            "ratio_of_medians": ratio,
        },
    )


if __name__ == "__main__":
    main()
