"""The weights for strangers' videos: trained, scored on people unseen, kept.

    python figures/wild_weights.py --data open.safetensors

trains the rows of the recipe wild, each with `--seeds`, and scores them on the test split through cameras of
every kind and with a poor detector's errors, beside the mean pose and ridge regression. Each is then trained
further, twice, from its own weights and on other windows, with a rate that rises and falls once more; these
are scored as rows of their own. A row takes six hours on a core; stopped, the command goes on where it was.
(Of the kept network only the last part saw the faces that `BodyVariety` makes now, in nine of ten windows;
the parts before it had them in seven of ten, and 3 to 4 cm less far ahead of the neck.)
`--rows bidirectional` trains one row, so that two terminals train both at once; `--score` trains nothing.
`data_prep/cmu.py --fetch --set all` makes motion as that of the kept weights: the same trials, but for 28
clips of theirs that came from other copies of the database, some with invented bone lengths.

What is left in FOLDER/assets: the record, the first network in half precision as a folder `open`, and the
same as an ONNX file in it. What ships was kept with `--out posemamba/assets`; then
`python figures/in_the_wild.py --again --out posemamba/assets` has the errors on the real video.
"""

import argparse
import csv
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

from posemamba import evaluation, record, storage
from posemamba.export.onnx import write_onnx
from posemamba.model import PoseMamba
from posemamba.motion import open_motion
from posemamba.motion.variety import BodyVariety
from posemamba.training import Interrupted, TrainingConfig, train

WHAT = "networks for strangers' videos, scored on people unseen through cameras of every kind, with noise"
ROWS = ("bidirectional", "global-local")
# Of the further trainings: their steps, a lower peak for weights that are trained already, and other windows.
FURTHER, FURTHER_RATE, FURTHER_SEED = (6000, 4000), 2e-3, 1000
VIEWS, FIT_WINDOWS, CURVE_POINTS = 2, 20_000, 200
SCORES = ("mpjpe", "p_mpjpe", "mpjve")
#: The bodies as recorded, but with joints where detectors put them.
AS_DETECTED = BodyVariety(size=0, bones=0, lopsided=0, detectors=1)


def curve(folder: Path) -> list[tuple[int, float]]:
    """(step, mean error in mm since the point before) of a run's training windows."""
    with (folder / "curve.csv").open(encoding="utf-8", newline="") as file:
        rows = [(int(row["step"]) + 1, float(row["mpjpe_mm"])) for row in csv.DictReader(file)]
    size = max(1, len(rows) // CURVE_POINTS)
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    return [(part[-1][0], round(sum(error for _, error in part) / len(part), 1)) for part in parts]


def parts(row: str, seed: int, given: argparse.Namespace) -> Iterator[tuple[str, Path, TrainingConfig]]:
    """A run's name, folder and settings, and then those of its further trainings."""
    folder, fixed = given.folder / f"{row}_{seed}", {"steps": given.steps} if given.steps else {}
    yield row, folder, TrainingConfig.load(f"wild/{row}", seed=seed, **fixed)
    for part, steps in enumerate(FURTHER, start=1):
        onward = {"initial.network": str(folder / "model"), "learning_rate": FURTHER_RATE, "steps": steps}
        onward |= {"seed": seed + part * FURTHER_SEED} | fixed
        ending = "further" if part == 1 else f"further_{part}"
        folder = folder.with_name(f"{row}_{seed}_{ending}")
        yield f"{row}, {ending.replace('_', ' ')}", folder, TrainingConfig.load(f"wild/{row}", **onward)


def scored(folder: Path, clips: list, config: TrainingConfig, baselines: bool) -> dict:
    """A run's errors on people unseen, with wild cameras and noise; once measured they are read.

    "as_detected" has the same where the joints, in input and truth, are a detector's.
    """
    done = folder / "scored.json"
    if done.exists():
        found = storage.read_json(done)
        if "as_detected" in found and (found["baselines"] or not baselines):
            return found
    rules = evaluation.WILD_VIEWS | dict(views=VIEWS, names=SCORES)
    rules |= dict(baselines=baselines, fit_windows=FIT_WINDOWS)
    model = PoseMamba.from_pretrained(folder / "model")
    given = model, clips, config.model.frames, config.data.fps
    found = evaluation.views(*given, **rules).to_json()
    others = evaluation.views(*given, **rules | dict(variety=AS_DETECTED)).to_json()["scores"]
    own = {part: found[part].pop("model") for part in ("scores", "subjects") if found[part]}
    own["as_detected"] = others.pop("model")
    rest = {part: found[part] for part in ("scores", "subjects", "protocol")} if baselines else None
    if rest:
        rest["as_detected"] = others
    storage.write_json(done, own | dict(protocol=found["protocol"], baselines=rest))
    return storage.read_json(done)


def main(arguments: list[str] | None = None) -> int:
    """Train, score, write; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="synthetic", help="'synthetic', or a file of motion")
    parser.add_argument("--folder", type=Path, default=Path("runs/wild"), help="where the runs are kept")
    parser.add_argument("--out", type=Path, help="the folder of assets to write to; FOLDER/assets by default")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS, metavar="ROW")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, help="of each run, in place of the recipe's")
    parser.add_argument("--score", action="store_true", help="train nothing, score the runs that are done")
    given = parser.parse_args(arguments)
    command = ["python", "figures/wild_weights.py", "--data", Path(given.data).name]
    command += ["--steps", str(given.steps)] if given.steps else []
    head = record.head(WHAT, command, given.seeds)
    clips = open_motion(given.data)
    out, runs, kept, baselines = given.out or given.folder / "assets", [], None, None
    first = given.rows[0], given.seeds[0]
    try:
        for seed, row in itertools.product(given.seeds, given.rows):
            for name, folder, config in parts(row, seed, given):
                if not given.score:
                    train(config, clips, folder, device="cpu")
                if not (folder / "model").is_dir():
                    print(f"{folder} holds no network yet: left out")
                    continue
                kept = PoseMamba.from_pretrained(folder / "model") if (row, seed) == first else kept
                found = scored(folder, clips, config, baselines is None)
                baselines = baselines or found.pop("baselines")
                runs.append(dict(row=name, seed=seed, steps=config.steps, curve=curve(folder)))
                kinds = ("scores", "as_detected", "subjects")
                runs[-1] |= {part: found[part] for part in kinds if part in found}
                error = found["scores"]["mpjpe"]["over_actions"]
                print(f"{name}, seed {seed}: MPJPE {error:.1f} mm", flush=True)
    except (Interrupted, KeyboardInterrupt):
        print("Stopped; what was done is kept. The same command goes on.")
        return 130
    if kept is None:
        print(f"wild_weights: {given.folder} holds no run that is done, expected one", file=sys.stderr)
        return 2
    about = dict(recipe=f"wild/{given.rows[0]}", data=Path(given.data).name, training=kept.about["training"])
    kept.half().save_pretrained(out / "open", **about)
    write_onnx(PoseMamba.from_pretrained(out / "open"), out / "open" / "model.onnx", half=True)
    (out / "measured").mkdir(parents=True, exist_ok=True)
    config = next(parts(*first, given))[2].flat()
    config = {name: value for name, value in config.items() if name not in ("seed", "scan")}
    parameters = sum(weights.numel() for weights in kept.parameters())
    figures = dict(config=config, parameters=parameters, runs=runs, baselines=baselines)
    record.write(out / "measured" / "wild_weights.json", head | figures)
    print(f"{len(runs)} runs; written to {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
