"""MPI-INF-3DHP's protocol: MPJPE, PCK at 150 mm and AUC on the valid frames of TS1 to TS6.

The truth is univ_annot3, the body scaled to a standard height, relative to the pelvis. PCK and AUC count the
fourteen joints that the set's own evaluation counts (`metrics.PCK_JOINTS`), MPJPE all seventeen.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from posemamba import inference
from posemamba.evaluation.errors import score
from posemamba.evaluation.protocols import Progress, Report, subjects_of, unit_of
from posemamba.motion.clips import Clip, expect, select_split
from posemamba.motion.windows import EvaluationWindows, evaluation_windows

TARGET = "univ_annot3"
# Half of the training images' width: a unit of MotionAGFormer's targets, univ_annot3 / 2048 * 2, in mm.
UNIT = 1024.0


def mpi_inf_3dhp(
    model: nn.Module,
    clips: Sequence[Clip],
    scored: str = "centre",
    flip: bool = True,
    *,
    by_width: bool = True,
    frames: int | None = None,
    names: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Score a model on MPI-INF-3DHP's test set, from the true 2D joints that the set gives.

    Args:
        model, flip, frames: as in `human36m.h36m`.
        clips: a motion file that `data_prep/mpi_inf_3dhp.py` made; of both splits.
        scored: "centre": a window around every valid frame, which repeats the sequence's ends and of which
            the frame in the middle counts, as MotionAGFormer does it; "all": windows that follow each other,
            and all of their frames.
        by_width: where a unit of the network is half of the training images' width
            (`millimetres_per_unit` 1024), take half of the sequence's own width for it, which is 960 in TS5
            and TS6, as MotionAGFormer's evaluation does; False for 1024 everywhere.
        names, progress: as in `protocols.views`.

    Raises:
        ValueError: clips without univ_annot3; a network that answers in 2.5D, which this set has not.
    """
    expect(scored in ("centre", "all"), "scored", scored, "'centre' or 'all'")
    unit, frames, test = unit_of(model), frames or model.config.frames, select_split(clips, "test")
    if unit is None:
        wanted = "expected millimetres_per_unit: the set has no 2.5D factor"
        raise ValueError(f"the network answers in 2.5D, {wanted}")
    for clip in test:
        if not clip.views or any(TARGET not in view.targets for view in clip.views):
            raise ValueError(f"test clip {clip.name!r} lacks {TARGET}, expected views of MPI-INF-3DHP")
    rules = dict(fps=None, views="given", targets=TARGET)
    if scored == "all":
        windows = evaluation_windows(test, frames, **rules)
        answers = inference.predict_windows(model, windows.inputs, flip, progress=progress)
    else:
        windows = sequences(test, **rules)
        answers = _centres(model, windows, frames, flip, progress)
    answers[:, :, 0] = 0
    answers *= own_width(windows, unit) if by_width else 1
    told = dict(name="3dhp", mean="over_frames", frames=frames, scored=scored)
    told |= dict(flip_averaging=flip, truth=TARGET, millimetres_per_unit=unit)
    told |= dict(own_width=by_width and unit == UNIT, scored_frames=int(windows.scored.sum()))
    told["test_frames"] = sum(len(clip) * len(clip.views) for clip in test)
    return Report({"model": score(answers, windows, names)}, told, subjects_of(test, windows))


def own_width(windows: EvaluationWindows, unit: float | None) -> Tensor | float:
    """What answers are multiplied by where a unit is half of the training images' width, 1024 mm: the width
    of the window's own image against that; `(n, 1, 1, 1)`. For other units it is 1."""
    return windows.size[:, None, None, :1] / (2 * UNIT) if unit == UNIT else 1.0


def sequences(clips: Sequence[Clip], **rules) -> EvaluationWindows:
    """Each view as one window as long as the longest; what is not valid, or after its end, does not count.

    Frames that do not count stay in the input, for the windows around those that do.
    """
    bare = []
    for clip in clips:
        views = tuple(replace(view, valid=None, scan=False) for view in clip.views)
        bare.append(replace(clip, views=views, scan=False))
    windows = evaluation_windows(bare, max(map(len, clips)), **rules)
    counts = windows.scored.clone()
    for row, (clip, view) in enumerate(zip(windows.clip.tolist(), windows.view.tolist(), strict=True)):
        valid = clips[clip].views[view].valid
        if valid is not None:
            counts[row, : len(valid)] &= torch.from_numpy(valid)
    if not counts.any():
        raise ValueError("in the views of these clips no frame is valid, expected some")
    return replace(windows, scored=counts)


def _centres(
    model: nn.Module, windows: EvaluationWindows, frames: int, flip: bool, progress: Progress | None
) -> Tensor:
    """Answers for the frames that count, each from the middle of a window around it."""
    answers, middle = torch.zeros_like(windows.targets), (frames - 1) // 2
    done, total = 0, int(windows.scored.sum())
    for row, counts in enumerate(windows.scored):
        at, last = counts.nonzero()[:, 0], int(windows.place[row].max())
        around = (at[:, None] + torch.arange(frames) - middle).clamp(0, last)
        told = None if progress is None else lambda n, _, before=done: progress(before + n, total)
        if len(at):
            found = inference.predict_windows(model, windows.inputs[row][around], flip, progress=told)
            answers[row, at] = found[:, middle]
        done += len(at)
    return answers
