"""The measured training run of the chapter "A first training run".

    python figures/first_run.py

trains the shipped configuration "small" on motion that the package makes itself, scores it beside the mean
pose and ridge regression, and leaves the figures and the weights in runs/first_run/assets. It takes about
ten minutes on two cores that have nothing else to do; stopped, it resumes.

The run that the book shows was made so, on motion capture of the CMU database that is not distributed with
it:

    python figures/first_run.py --data cmu_mocap_17.npz --folder runs/first_run_cmu --out posemamba/assets
"""

import argparse
import shutil
import sys
from pathlib import Path

from posemamba import record
from posemamba.evaluation import evaluate
from posemamba.motion import open_motion
from posemamba.training import TrainingConfig, train

CURVE_POINTS = 200
WHAT = "the training run of the shipped configuration small, scored on test clips"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="synthetic", help="'synthetic', or a file of motion")
    parser.add_argument("--folder", default="runs/first_run", help="where the run is kept while it trains")
    parser.add_argument("--out", help="the folder of assets to write to; FOLDER/assets by default")
    parser.add_argument("--steps", type=int, help="steps, instead of the configuration's")
    given = parser.parse_args()

    config = TrainingConfig.load("small", **({"steps": given.steps} if given.steps else {}))
    command = ["python", "figures/first_run.py", "--data", Path(given.data).name]
    head = record.head(WHAT, command, [config.seed])
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
    report = evaluate(model, clips, frames=config.model.frames, fps=config.data.fps)
    out = Path(given.out or Path(given.folder) / "assets")
    shutil.copytree(Path(given.folder) / "model", out / "small_cmu", dirs_exist_ok=True)
    seconds = curve[-1][1] if curve else None
    training = {"config": config.flat(), "steps": config.steps, "seconds": seconds, "curve": curve}
    (out / "measured").mkdir(parents=True, exist_ok=True)
    record.write(
        out / "measured" / "first_run.json", head | {"training": training, "evaluation": report.to_json()}
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
