"""How good a network is while it trains: on the test split, and on training subjects who are held out.

The released training keeps the epoch that does best on the test split; a split by which one chooses is no
test any more. Held-out training subjects choose honestly, and the test error at their choice is a fair one.
Both are measured where a run asks for them, and `choices` tells what the difference is.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from posemamba import storage
from posemamba.evaluation import BLOCKED, in_millimetres, score
from posemamba.evaluation.mpi import own_width
from posemamba.inference import predict_windows
from posemamba.model import PoseMamba
from posemamba.motion.clips import Clip, select_split
from posemamba.motion.windows import EvaluationWindows, evaluation_windows
from posemamba.training.config import TrainingConfig
from posemamba.training.data import held_out, window_rules

if TYPE_CHECKING:
    from lightning_fabric import Fabric

RELEASED_UNIT = 2200.0  # mm, about: half of the image's width at the body (see `losses.LOSS_WEIGHTS`)
BATCH = 32
SPLITS = {"test": "test split", "subjects": "held-out subjects"}
FILE, HEAD = "validation.csv", ("step", "split", "mpjpe", "p_mpjpe", "seconds")


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        step: after how many steps.
        split: "test", or "subjects", those held out of training.
        mpjpe, p_mpjpe: means over the actions, mm.
        actions: MPJPE of each action, mm.
        seconds: since training began.
    """

    step: int
    split: str
    mpjpe: float
    p_mpjpe: float
    actions: dict[str, float]
    seconds: float


class Validator:
    """Measures networks on the splits that a configuration names.

    Windows are those of Human3.6M's protocol where clips are given with views; else each is seen through one
    virtual camera, which is the same in all runs. Frames of 2.5D whose factor a set does not say (Human3.6M's
    training split without cameras) count 2200 mm for half of the image's width.

    Attributes:
        windows: what is measured on, by split.

    Raises:
        ValueError: a split without clips, or clips that cannot give what is asked.
    """

    def __init__(self, config: TrainingConfig, clips: Sequence[Clip]):
        asked, self.flip, self.windows = config.validation, config.validation.flip, {}
        self.given, self.unit = config.data.views == "given", config.model.millimetres_per_unit
        parts = {"test": select_split(clips, "test")} if asked.test else {}
        parts |= {"subjects": held_out(config, clips)} if asked.subjects else {}
        rules = dict(views="given" if self.given else 1, **window_rules(config))
        rules["tails"] = "drop" if config.data.short == "resample" else "cover"
        for split, chosen in parts.items():
            kept = [clip for clip in chosen if clip.name not in BLOCKED]
            self.windows[split] = _some(evaluation_windows(kept, **rules), asked.windows)

    def measure(
        self, model: PoseMamba, step: int = 0, seconds: float = 0.0, fabric: "Fabric | None" = None
    ) -> dict[str, Row]:
        """A row for each split. The model is left in the mode it was in, and no random number is drawn.

        Args:
            step, seconds: for the rows.
            fabric: of a run, whose processes then share the work.
        """
        found = {}
        for split, windows in self.windows.items():
            answers = _answers(model, windows.inputs, self.flip, fabric)
            if self.given:  # as the sets' protocols have it
                answers[:, :, 0] = 0
                answers *= own_width(windows, self.unit)
            if windows.factor is not None:
                answers = in_millimetres(answers, windows)
                windows = replace(windows, targets=in_millimetres(windows.targets, windows))
            scores = score(answers, windows, ("mpjpe", "p_mpjpe"))
            means = scores.mpjpe.over_actions, scores.p_mpjpe.over_actions, scores.mpjpe.actions
            found[split] = Row(step, split, *means, seconds)
        return found


def best(rows: Sequence[Row], split: str) -> Row | None:
    """The row of a split with the least error, the first of several; None without one."""
    return min((row for row in rows if row.split == split), key=lambda row: row.mpjpe, default=None)


def choices(rows: Sequence[Row]) -> dict[str, dict[str, float | int | None]]:
    """What each split would choose: {split: {"step", "mpjpe", "test_mpjpe"}}, the last being the test error
    of its choice, None where that was not measured."""
    test = {row.step: row.mpjpe for row in rows if row.split == "test"}
    found = {split: best(rows, split) for split in SPLITS}
    return {
        split: dict(step=row.step, mpjpe=row.mpjpe, test_mpjpe=test.get(row.step))
        for split, row in found.items()
        if row is not None
    }


def write_rows(folder: Path, rows: Sequence[Row]) -> None:
    """Mirror rows in the folder's `validation.csv`, an action a column."""
    actions = sorted({action for row in rows for action in row.actions})
    with storage.atomic_path(folder / FILE) as path, path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, [*HEAD, *actions], extrasaction="ignore")
        table.writeheader()
        table.writerows(vars(row) | row.actions for row in rows)


def read_rows(folder: Path) -> list[Row]:
    """The rows of a folder's `validation.csv`, none where it has none."""
    found = []
    if (folder / FILE).is_file():
        with (folder / FILE).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                step, split, *means = (row.pop(name) for name in HEAD)
                mpjpe, p_mpjpe, seconds = map(float, means)
                actions = {action: float(error) for action, error in row.items() if error}
                found.append(Row(int(step), split, mpjpe, p_mpjpe, actions, seconds))
    return found


def _some(windows: EvaluationWindows, most: int | None) -> EvaluationWindows:
    """At most so many windows, spread evenly; with a factor for every frame."""
    if windows.factor is not None:
        guess = 2 * RELEASED_UNIT / windows.size[:, :1]
        windows = replace(windows, factor=torch.where(windows.factor.isfinite(), windows.factor, guess))
    if most is None or most >= len(windows):
        return windows
    rows = torch.linspace(0, len(windows) - 1, most).round().long()
    parts = {name: part[rows] for name, part in vars(windows).items() if isinstance(part, Tensor)}
    return replace(windows, camera=None, **parts)


def _answers(model: PoseMamba, inputs: Tensor, flip: bool, fabric: "Fabric | None") -> Tensor:
    """As `predict_windows`; each process takes every n-th batch, so no answer depends on their number."""
    rank, world = (0, 1) if fabric is None else (fabric.global_rank, fabric.world_size)
    if world == 1:
        return predict_windows(model, inputs, flip, BATCH)
    answers = torch.zeros(*inputs.shape[:-1], 3)
    for start in range(rank * BATCH, len(inputs), world * BATCH):
        rows = slice(start, start + BATCH)
        answers[rows] = predict_windows(model, inputs[rows], flip, BATCH)
    return fabric.all_reduce(answers.to(fabric.device), reduce_op="sum").cpu()
