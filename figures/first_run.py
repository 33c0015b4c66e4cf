"""Repeat the measured training run of the chapter "A first training run".

    python figures/first_run.py --data ../shared/data/cmu_mocap_17.npz

trains the shipped configuration "small" on real motion capture, scores it beside the mean pose and ridge
regression, and writes the figures to posemamba/assets/measured/first_run.json and the weights to
posemamba/assets/small_cmu. It takes about ten minutes on two cores that have nothing else to do; stopped, it
resumes.
"""

import argparse
import datetime
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from posemamba import storage
from posemamba.evaluation import evaluate
from posemamba.motion.clips import open_motion
from posemamba.record import commit
from posemamba.training import TrainingConfig, describe_machine, train

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "posemamba" / "assets"
CURVE_POINTS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="../shared/data/cmu_mocap_17.npz")
    parser.add_argument("--folder", default="runs/first_run", help="where the run is kept while it trains")
    parser.add_argument("--out", default=str(ASSETS), help="the folder of assets to write to")
    given = parser.parse_args()

    begun_at = commit() or "unknown"
    config = TrainingConfig.load("small")
    clips = open_motion(given.data)
    curve: list[tuple[int, float, float]] = []
    error = None

    def log(step: int, figures: dict[str, float]) -> None:
        nonlocal error
        error = figures["mpjpe_mm"] if error is None else 0.98 * error + 0.02 * figures["mpjpe_mm"]
        if (step + 1) % max(1, config.steps // CURVE_POINTS) == 0:
            curve.append((step + 1, round(figures["seconds"], 1), round(error, 2)))
            print(
                f"step {step + 1} of {config.steps}, {figures['seconds']:.0f} s, {error:.1f} mm", flush=True
            )

    model = train(config, clips, given.folder, log=log)
    report = evaluate(model, clips, frames=config.frames, fps=config.fps)
    out = Path(given.out)
    shutil.copytree(Path(given.folder) / "model", out / "small_cmu", dirs_exist_ok=True)
    storage.write_json(
        out / "measured" / "first_run.json",
        {
            "command": ["python", "figures/first_run.py", "--data", Path(given.data).name],
            "date": datetime.date.today().isoformat(),
            "commit": begun_at,
            "hardware": describe_machine(),
            "training": {
                "config": asdict(config),
                "steps": config.steps,
                "seconds": curve[-1][1] if curve else None,
                "curve": curve,
            },
            "evaluation": report.to_json(),
        },
    )
    rows = {name: scores.rows()["mpjpe"] for name, scores in report.scores.items()}
    for name, row in rows.items():
        print(
            f"{name}: MPJPE {row['over_actions']:.2f} over actions, {row['over_frames']:.2f} mm over frames"
        )
    for key in ("over_actions", "over_frames"):
        print(f"model / ridge, {key}: {rows['model'][key] / rows['ridge'][key]:.3f}")


if __name__ == "__main__":
    sys.exit(main())
