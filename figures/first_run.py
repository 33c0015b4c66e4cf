"""The measured training runs of the chapter "A first training run".

    python figures/first_run.py

trains the shipped configuration "small" with three seeds on motion that the package makes itself, scores each
network beside the mean pose and ridge regression, and leaves the figures and the first seed's weights in
runs/first_run/assets. A seed takes about ten minutes on two cores that have nothing else to do; stopped, the
command goes on where it was.

The runs that the book shows were made so, on motion capture of the CMU database, which `data_prep/cmu.py`
fetches and converts:

    python figures/first_run.py --data cmu.safetensors --folder runs/first_run_cmu --out posemamba/assets
"""

import argparse
import shutil
import statistics
import sys
from pathlib import Path

from posemamba import record
from posemamba.evaluation import Report, evaluate
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
    head = record.head(WHAT, command, list(given.seeds))
    clips, folder, runs, baselines = open_motion(given.data), Path(given.folder), [], {}
    for seed in given.seeds:
        changes = {"seed": seed} | ({"steps": given.steps} if given.steps else {})
        config = TrainingConfig.load("small", **changes)
        model = trained(config, clips, folder / f"seed_{seed}", command)
        report = evaluate(model, clips, config.frames, config.fps, baselines=not runs)
        found = report.to_json()
        if not runs:
            baselines = {name: found["scores"][name] for name in report.scores if name != "model"}
            people = {name: found["subjects"].get(name, {}) for name in report.scores if name != "model"}
            shared = dict(protocol=found["protocol"], config=config.flat(), frames=frames(report))
        own = record.read(folder / f"seed_{seed}" / "training.json")
        run = dict(seed=seed, date=own["date"], commit=own["commit"], **own["training"])
        runs.append(run | dict(scores=found["scores"]["model"], subjects=found["subjects"].get("model", {})))
    out = Path(given.out or folder / "assets")
    shutil.copytree(folder / f"seed_{given.seeds[0]}" / "model", out / "small_cmu", dirs_exist_ok=True)
    (out / "measured").mkdir(parents=True, exist_ok=True)
    measured = dict(**shared, runs=runs, baselines=baselines, baselines_by_subject=people)
    record.write(out / "measured" / "first_run.json", head | measured)
    for name, rows in baselines.items():
        told = ", ".join(f"{rows['mpjpe'][key]:.2f} mm {key}" for key in ("over_actions", "over_frames"))
        print(f"{name}: MPJPE {told}")
    for key in ("over_actions", "over_frames"):
        errors = [run["scores"]["mpjpe"][key] for run in runs]
        told = ", ".join(f"{error:.2f}" for error in errors)
        print(f"model, {key}: {told} mm; mean {statistics.mean(errors):.2f}")
        print(f"model / ridge, {key}: {statistics.mean(errors) / baselines['ridge']['mpjpe'][key]:.3f}")


def frames(report: Report) -> dict[str, dict[str, int]]:
    """How many frames of each action and of each subject are scored, all views counted."""
    table = report.scores["model"].tables["mpjpe"]
    subjects = table.means(of=report.subjects).frames if report.subjects else {}
    return {"actions": table.means().frames, "subjects": subjects}


if __name__ == "__main__":
    sys.exit(main())
