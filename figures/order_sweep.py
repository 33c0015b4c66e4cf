"""Table 4, run again with controls: does the order in which a scan reads the body matter?

    python figures/order_sweep.py

trains the same small network on the same batches once for each variant and seed: the six strategies of
Table 4, and four controls, on motion that the package makes itself. Ctrl-C stops and saves; the same
command goes on, and skips what is done. When all runs are done it writes their figures to
runs/orders/assets/measured/order_sweep.json. Seeds come one after the other, so that a sweep that was
stopped early has whole seeds; the variants on which the claim about limbs hangs get more of them.

The sweeps that the book shows were made so, on an older reduction of the CMU database that is not
distributed. The second trains two variants three times as long, and keeps the weights that fit the training
split best (its configuration small drew all windows alike then, where it now draws actions alike):

    python figures/order_sweep.py --data cmu_mocap_17.npz --folder runs/orders_cmu --out posemamba/assets
    python figures/order_sweep.py --data cmu_mocap_17.npz --folder runs/longer --out posemamba/assets \\
        --config small --seeds 2 --more 0 --arms global-local bidirectional \\
        --name order_sweep_longer --keep small_orders
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from posemamba import record, storage
from posemamba.skeleton import JOINT_NAMES, JOINTS

VIEWS = 4
WHAT = "training runs of arms that differ in the order of the scan, scored on test clips"
FITTED_ON = 512  # training windows that tell how well a run fitted


def shuffled_joints(seed: int) -> tuple[int, ...]:
    return tuple(int(joint) for joint in np.random.default_rng([seed, 17]).permutation(JOINTS))


#: Each arm: its name, and for a seed what it changes in the shared configuration.
ARMS = {
    "global-local": lambda seed: dict(scan="global-local"),
    "bidirectional": lambda seed: dict(scan="bidirectional"),
    "global-self": lambda seed: dict(scan="global-self"),
    "global-random": lambda seed: dict(scan=f"global-random-{seed % 8}"),
    "shuffled joints": lambda seed: dict(scan="bidirectional", joint_order=shuffled_joints(seed)),
    "released gradient": lambda seed: dict(scan="global-local", gradient="released"),
    "forward-forward": lambda seed: dict(scan="forward-forward"),
    "forward-backward": lambda seed: dict(scan="forward-backward"),
    "backward-forward": lambda seed: dict(scan="backward-forward"),
    "backward-backward": lambda seed: dict(scan="backward-backward"),
}


#: The arms that the claim about limbs hangs on; they get more seeds.
LIMB_ARMS = ("global-local", "bidirectional", "global-self", "global-random", "released gradient")


def planned(given: argparse.Namespace) -> list[tuple[str, int]]:
    """All runs in the order in which they are made: whole seeds first, then more seeds of some arms."""
    runs = [(arm, seed) for seed in range(given.seeds) for arm in given.arms]
    more = range(given.seeds, given.seeds + given.more)
    return runs + [(arm, seed) for seed in more for arm in given.arms if arm in LIMB_ARMS]


def settings(given: argparse.Namespace, arm: str, seed: int):
    from posemamba.training import TrainingConfig

    steps = {} if given.steps is None else dict(steps=given.steps)
    return TrainingConfig.load(given.config, seed=seed, **ARMS[arm](seed), **steps)


def place(given: argparse.Namespace, arm: str, seed: int) -> Path:
    return Path(given.folder) / arm.replace(" ", "_") / f"seed_{seed}"


def run(given: argparse.Namespace, arm: str, seed: int) -> int:
    """One run: train, score, write scores.json. It goes on from where it was stopped."""
    import torch

    from posemamba import metrics
    from posemamba.evaluation import score
    from posemamba.inference import predict_windows
    from posemamba.motion import WindowSampler, evaluation_windows, open_motion, select_split
    from posemamba.training import Interrupted, train

    torch.set_num_threads(given.threads)
    config, clips, folder = settings(given, arm, seed), open_motion(given.data), place(given, arm, seed)
    seconds, begun_at = 0.0, record.commit() or "unknown"

    def log(step: int, figures: dict[str, float]) -> None:
        nonlocal seconds
        seconds = figures["seconds"]

    try:
        model = train(config, clips, folder, log=log, device=given.device)
    except Interrupted:
        return 130
    model = model.cpu()
    frames, fps = config.model.frames, config.data.fps
    sampler = WindowSampler(select_split(clips, "train"), frames, fps, FITTED_ON, seed=10_000, flip=False)
    inputs, targets = sampler.batch(0)
    fitted = metrics.mpjpe(predict_windows(model, inputs, flip=True), targets).mean()
    windows = evaluation_windows(select_split(clips, "test"), frames, fps, VIEWS)
    scores = score(predict_windows(model, windows.inputs, flip=True), windows)
    rows, table = scores.rows(), scores.tables["mpjpe"]
    storage.write_json(
        folder / "scores.json",
        {
            "arm": arm,
            "seed": seed,
            "config": config.flat(),
            "commit": begun_at,
            "training_mpjpe": float(fitted),
            "seconds": seconds,
            "mpjpe": rows["mpjpe"],
            "p_mpjpe": {name: rows["p_mpjpe"][name] for name in ("over_actions", "over_frames")},
            "by_joint": {name: table.means(joint).over_actions for joint, name in enumerate(JOINT_NAMES)},
            "hardware": record.hardware(),
            "versions": record.versions(),
        },
    )
    return 0


def sweep(given: argparse.Namespace) -> int:
    """All runs, some at a time; nothing is lost when it is stopped."""

    def undone() -> list[tuple[str, int]]:
        return [run for run in planned(given) if not (place(given, *run) / "scores.json").exists()]

    waiting, stopped = undone(), False
    running: dict[subprocess.Popen, tuple[str, int]] = {}
    environment = {**os.environ, "OMP_NUM_THREADS": str(given.threads)}

    def stop(*_) -> None:
        nonlocal stopped
        stopped = True
        for process in running:
            process.terminate()

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, stop)
    while running or (waiting and not stopped):
        while waiting and len(running) < given.workers and not stopped:
            arm, seed = waiting.pop(0)
            command = [sys.executable, __file__, *given.forward, "--only", arm, str(seed)]
            # In a session of its own: Ctrl-C reaches the sweep alone, which asks each run to save.
            running[subprocess.Popen(command, env=environment, start_new_session=True)] = (arm, seed)
        time.sleep(0.5)
        for process in [process for process in running if process.poll() is not None]:
            arm, seed = running.pop(process)
            asked = stopped and process.returncode in (130, -signal.SIGTERM)  # the latter before it trained
            if process.returncode and not asked:
                print(f"{arm}, seed {seed}: failed with exit code {process.returncode}", file=sys.stderr)
                stop()
            elif process.returncode == 0:
                scores = storage.read_json(place(given, arm, seed) / "scores.json")
                print(
                    f"{arm}, seed {seed}: {scores['mpjpe']['over_actions']:.2f} mm, "
                    f"{scores['seconds']:.0f} s; {len(undone())} of {len(planned(given))} runs left",
                    flush=True,
                )
    if stopped:
        print("Stopped; what was done is kept. The same command goes on.")
        return 130
    return 0


def collect(given: argparse.Namespace) -> None:
    """All runs' figures in one file, and the weights of the best fitted network."""
    paths = [place(given, *run) / "scores.json" for run in planned(given)]
    runs = [storage.read_json(path) for path in paths if path.exists()]
    machine = [{name: entry.pop(name) for name in ("hardware", "versions")} for entry in runs]
    commits = sorted({entry.pop("commit") for entry in runs})
    shared = {}
    for entry in runs:  # what all runs share is said once
        config = entry.pop("config")
        own = ("scan", "gradient", "joint_order", "seed")
        entry |= {name: config[name] for name in own if name != "seed"}
        shared = {name: value for name, value in config.items() if name not in own}
    best = min(runs, key=lambda entry: entry["training_mpjpe"])
    out = Path(given.out or Path(given.folder) / "assets")
    (out / "measured").mkdir(parents=True, exist_ok=True)
    command = ["python", "figures/order_sweep.py", "--data", Path(given.data).name]
    command += ["--config", given.config, "--seeds", str(given.seeds), "--more", str(given.more)]
    command += [] if given.arms == list(ARMS) else ["--arms", *given.arms]
    command += [] if given.name == "order_sweep" else ["--name", given.name]
    command += ["--keep", given.keep] if given.keep else []
    target = out / "measured" / f"{given.name}.json"
    head = record.head(WHAT, command, sorted({entry["seed"] for entry in runs}))
    kept = {"arm": best["arm"], "seed": best["seed"], "by": "training_mpjpe"} if given.keep else None
    figures = {
        "config": shared,
        "evaluation": {"views": VIEWS, "flip_averaging": True, "split": "test"},
        "kept": kept,
        "runs": runs,
    }
    record.write(target, head | machine[0] | {"commit": ", ".join(commits)} | figures)
    if given.keep:
        shutil.copytree(
            place(given, best["arm"], best["seed"]) / "model", out / given.keep, dirs_exist_ok=True
        )
    print(f"{len(runs)} runs written to {target}")
    for arm in given.arms:
        errors = [entry["mpjpe"]["over_actions"] for entry in runs if entry["arm"] == arm]
        if errors:
            spread = np.std(errors, ddof=1) if len(errors) > 1 else float("nan")
            print(f"{arm:20s} {np.mean(errors):6.2f} mm, spread {spread:.2f} over {len(errors)} seeds")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="synthetic", help="'synthetic', or a file of motion")
    parser.add_argument("--config", default="orders", help="the budget, shared by all runs")
    parser.add_argument("--steps", type=int, help="steps a run, instead of the configuration's")
    parser.add_argument("--seeds", type=int, default=3, help="seeds an arm: 0, 1, ...")
    parser.add_argument("--more", type=int, default=4, help="further seeds of the arms about limbs")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--folder", default="runs/orders", help="where the runs are kept")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads a run")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--out", help="the folder of assets to write to; FOLDER/assets by default")
    parser.add_argument("--name", default="order_sweep", help="what the file of figures is called")
    parser.add_argument("--keep", default="", help="where in the assets the best fitted weights go")
    parser.add_argument("--collect", action="store_true", help="only gather the runs that are done")
    parser.add_argument("--only", nargs=2, metavar=("ARM", "SEED"), help="one run, in this process")
    given = parser.parse_args()
    given.forward = [word for word in sys.argv[1:] if word != "--collect"]
    if given.only:
        return run(given, given.only[0], int(given.only[1]))
    code = 0 if given.collect else sweep(given)
    if code == 0:
        collect(given)
    return code


if __name__ == "__main__":
    sys.exit(main())
