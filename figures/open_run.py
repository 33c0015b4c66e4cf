"""The full run of the chapter "The full training run": PoseMamba-S, all of its 20 blocks, on open motion.

    python figures/open_run.py --data cmu.safetensors

trains the recipe open/S twice, with the settings of the paper and of the released code, and scores both
networks beside the mean pose and ridge regression on people whom training never saw. Each takes some hours
on a core; stopped, the command goes on where it was. `--only paper` trains one of them, so that two terminals
train both at once; `--score` trains nothing and scores what is there, with `--only` one of them, and what is
scored is kept. `data_prep/cmu.py --fetch` makes the motion.

What is left in FOLDER/assets: the record, and the weights of the paper's settings in half precision. What the
book shows was kept by

    python figures/open_run.py --data cmu.safetensors --score --out posemamba/assets
"""

import argparse
import copy
import csv
import json
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from posemamba import record, storage
from posemamba.evaluation import Report, views
from posemamba.model import PoseMamba
from posemamba.motion import open_motion
from posemamba.motion.clips import Clip
from posemamba.motion.noise import DetectorNoise
from posemamba.training import TrainingConfig, resolve, train
from posemamba.training.validation import choices, read_rows

WHAT = "PoseMamba-S trained on open motion with the paper's settings and with the released code's"
BASES = ("paper", "released")
CURVE_POINTS = 300
VIEWS = 4


def curve(folder: Path) -> list[tuple[int, float, float]]:
    """(step, seconds, mean error in mm since the point before) of a run's curve.csv, thinned."""
    with (folder / "curve.csv").open(encoding="utf-8", newline="") as file:
        rows = [
            (int(row["step"]), float(row["seconds"]), float(row["mpjpe_mm"])) for row in csv.DictReader(file)
        ]
    size = max(1, len(rows) // CURVE_POINTS)
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    return [(p[-1][0] + 1, round(p[-1][1]), round(sum(r[2] for r in p) / len(p), 2)) for p in parts]


class Remembering(nn.Module):
    """A network that answers from memory what it was asked before, with flips or without."""

    def __init__(self, model: PoseMamba):
        super().__init__()
        self.model, self.config, self.answers = model, model.config, {}

    def forward(self, keypoints: Tensor) -> Tensor:
        key = keypoints.cpu().numpy().tobytes()
        if key not in self.answers:
            self.answers[key] = self.model(keypoints)
        return self.answers[key].clone()


class Overwritten(nn.Module):
    """A network in 2.5D whose x and y are replaced by the input's, as the release does with true 2D."""

    def __init__(self, model: Remembering):
        super().__init__()
        self.model, self.config = model, model.config

    def forward(self, keypoints: Tensor) -> Tensor:
        depth = self.model(keypoints)[..., 2:]
        return torch.cat([keypoints - keypoints[..., :1, :], depth - depth[..., :1, :]], dim=-1)


class Silent(nn.Module):
    """Stands in for a network where only the baselines are asked for: its unit counts, its answer is 0."""

    def __init__(self, model: PoseMamba):
        super().__init__()
        self.config = model.config

    def forward(self, keypoints: Tensor) -> Tensor:
        return keypoints.new_zeros(*keypoints.shape[:-1], 3)


def scored(model: nn.Module, clips: list[Clip], config: TrainingConfig, **how) -> Report:
    """A network's errors on the test split, by the protocol of the run's record."""
    return views(model, clips, config.frames, config.fps, VIEWS, **{"baselines": False} | how)


def one_run(base: str, folder: Path, clips: list[Clip], config: TrainingConfig) -> dict:
    """What is kept of a run: its curve, its validations, and its errors; scored once."""
    done = folder / "scored.json"
    if done.exists() and (kept := storage.read_json(done)).pop("config") == plain(config):
        return kept
    noise, rows = DetectorNoise(), read_rows(folder)
    found = dict(base=base, steps=config.steps, curve=curve(folder), choices=choices(rows))
    found["seconds"] = found["curve"][-1][1]
    found["validation"] = [vars(row) for row in rows]
    steps = {f"best_on_{split}": choice["step"] for split, choice in found["choices"].items()}
    steps["model"] = config.steps
    for name in ("model", "best_on_test", "best_on_subjects"):
        if not (folder / name).exists():
            continue
        twin = [choice for choice in found.get("scores", {}) if steps[choice] == steps[name]]
        if twin:
            found["scores"][name] = {"detected": found["scores"][twin[0]]["detected"]}
            continue
        model = Remembering(PoseMamba.from_pretrained(folder / name))
        with_noise = scored(model, clips, config, noise=noise).to_json()
        kept = {"detected": with_noise["scores"]["model"]}
        if name == "model":
            found["parts"], found["subjects"] = (
                with_noise["parts"]["model"],
                with_noise["subjects"].get("model", {}),
            )
            kept["detected, no flip"] = (
                scored(model, clips, config, noise=noise, flip=False).scores["model"].rows()
            )
            kept["exact 2D"] = scored(model, clips, config).scores["model"].rows()
            if model.config.millimetres_per_unit is None:
                given = scored(Overwritten(model), clips, config).scores["model"].rows()
                kept["exact 2D, x and y overwritten"] = given
            found["protocol"] = with_noise["protocol"]
        found.setdefault("scores", {})[name] = kept
    storage.write_json(done, found | {"config": plain(config)})
    return found


def plain(config: TrainingConfig) -> dict:
    """The settings as JSON has them."""
    return json.loads(json.dumps(config.flat()))


def main(arguments: list[str] | None = None) -> None:
    """Train, score, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="synthetic", help="'synthetic', or a file of motion")
    parser.add_argument("--folder", type=Path, default=Path("runs/open_run"), help="where the runs are kept")
    parser.add_argument("--out", type=Path, help="the folder of assets to write to; FOLDER/assets by default")
    parser.add_argument("--only", choices=BASES, help="train, or with --score score, one of the two")
    parser.add_argument("--score", action="store_true", help="train nothing, score what is there")
    parser.add_argument("--recipe", default="open/S")
    parser.add_argument("--fit-windows", type=int, default=20_000, help="what the baselines are fitted on")
    parser.add_argument("--set", dest="changes", nargs="*", default=[], help="settings, such as steps=20")
    given = parser.parse_args(arguments)

    clips, runs = open_motion(given.data), []
    changes = {name: _number(value) for name, _, value in (each.partition("=") for each in given.changes)}
    command = ["python", "figures/open_run.py", "--data", Path(given.data).name]
    command += ["--recipe", given.recipe] * (given.recipe != "open/S")
    command += ["--set", *given.changes] if given.changes else []
    head = record.head(WHAT, command, [0])
    configs = {base: resolve(TrainingConfig.load(given.recipe, base, **changes), clips) for base in BASES}
    for base in BASES if given.only is None else (given.only,):
        if not given.score:
            train(configs[base], clips, given.folder / base, log=_say(base))
    if given.only is not None and given.score:
        one_run(given.only, given.folder / given.only, clips, configs[given.only])
    if given.only is not None:
        return
    for base, config in configs.items():
        runs.append(one_run(base, given.folder / base, clips, config))
        print(f"{base}: MPJPE {runs[-1]['scores']['model']['detected']['mpjpe']['over_actions']:.1f} mm")
    out, config = given.out or given.folder / "assets", configs["paper"]
    model = PoseMamba.from_pretrained(given.folder / "paper" / "model")
    how = dict(noise=DetectorNoise(), baselines=True, fit_windows=given.fit_windows)
    report = scored(Silent(model), clips, config, **how).to_json()
    baselines = {name: rows for name, rows in report["scores"].items() if name != "model"}
    by_subject = {name: rows for name, rows in report["subjects"].items() if name != "model"}
    copy.deepcopy(model).half().save_pretrained(
        out / "open_S", recipe=given.recipe, data=Path(given.data).name
    )
    (out / "measured").mkdir(parents=True, exist_ok=True)
    about = dict(
        config=config.flat(),
        released={k: v for k, v in configs["released"].flat().items() if config.flat()[k] != v},
    )
    about |= dict(runs=runs, baselines=baselines, baselines_by_subject=by_subject)
    record.write(out / "measured" / "open_run.json", head | about)


def _number(text: str):
    import yaml

    return yaml.safe_load(text)


def _say(base: str):
    def log(step: int, figures: dict[str, float]) -> None:
        if (step + 1) % 100 == 0:
            left = figures["seconds_left"] / 60
            print(f"{base}: step {step + 1}, {figures['mpjpe_mm']:.0f} mm, {left:.0f} min left", flush=True)

    return log


if __name__ == "__main__":
    sys.exit(main())
