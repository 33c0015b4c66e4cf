"""Human3.6M's protocol, as MotionBERT's evaluation has it and PoseMamba's after it.

The answer's root is set to 0; the rest is brought back to pixels, times the frame's mm per pixel, and
compared with the true 2.5D pose in mm. Frames are averaged in each action, then the fifteen actions.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from posemamba import inference
from posemamba.evaluation.errors import score
from posemamba.evaluation.protocols import Progress, Report, in_millimetres, subjects_of, unit_of
from posemamba.motion.clips import Clip, select_split
from posemamba.motion.windows import EvaluationWindows, evaluation_windows

#: Three takes whose truth is known to be off: s_09_act_05_subact_02, s_09_act_10_subact_02 and
#: s_09_act_13_subact_01 by the set's numbers.
BLOCKED = ("S9/Greeting/2", "S9/SittingDown/2", "S9/Waiting/1")

#: The fifteen actions as papers print them, in their order.
ACTIONS = {
    **dict(Directions="Dir.", Discussion="Disc", Eating="Eat", Greeting="Greet", Phoning="Phone"),
    **dict(Photo="Photo", Posing="Pose", Purchases="Purch.", Sitting="Sit", SittingDown="SitD."),
    **dict(Smoking="Smoke", Waiting="Wait", WalkDog="WalkD.", Walking="Walk", WalkTogether="WalkT."),
}


def h36m(
    model: nn.Module,
    clips: Sequence[Clip],
    inputs: str = "detected",
    overwrite: bool = False,
    flip: bool = True,
    block: Sequence[str] = BLOCKED,
    *,
    frames: int | None = None,
    seed: int = 0,
    names: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Score a model on Human3.6M's test split, view by view, by windows that follow each other.

    A view's frames after its last whole window are never scored; a view shorter than a window is resampled
    to one (the release draws these places anew each time, here they depend on the seed). A network with
    `millimetres_per_unit` is scored against the joints in the camera's frame, by the same windows.

    Args:
        model: as in `inference.predict_windows`, on windows of `model.config.frames`.
        clips: a motion file that `data_prep/human36m.py` made; of both splits.
        inputs: as in `motion.WindowSampler`: "joint3d_image" is the paper's ground-truth 2D.
        overwrite: replace the answer's x and y by the input's, as the release does with ground-truth 2D;
            then depth alone is measured.
        flip: whether the model's answer is averaged with that for the mirrored input.
        block: names of clips that are left out.
        frames: the windows' length, for a model without `config`.
        seed, names, progress: as in `protocols.views`.

    Raises:
        ValueError: clips that are not of this set or cannot give what is asked; `overwrite` without
            ground-truth 2D or for a network that answers in mm.
    """
    flat, frames, test = unit_of(model) is None, frames or model.config.frames, select_split(clips, "test")
    odd = next((clip for clip in test if clip.action not in ACTIONS), None)
    if odd is not None:
        wanted = f"Human3.6M's actions, {next(iter(ACTIONS))} to {next(reversed(ACTIONS))}"
        raise ValueError(f"test clip {odd.name!r} shows {odd.action!r}, expected {wanted}")
    if overwrite and not (flat and inputs == "joint3d_image"):
        found = f"{inputs!r} inputs" if flat else "a network that answers in mm"
        raise ValueError(f"x and y can be overwritten with 'joint3d_image' inputs and 2.5D, found {found}")
    kept = [clip for clip in test if clip.name not in block]
    if not kept:
        raise ValueError("all test clips are on the list of those left out, expected others")
    rules = dict(tails="drop", short="resample", inputs=inputs, targets="2.5d" if flat else "metric")
    windows = evaluation_windows(kept, frames, None, "given", seed, **rules)
    told = dict(name="h36m", mean="over_actions", frames=frames, inputs=inputs)
    told |= dict(overwritten_xy=overwrite, flip_averaging=flip, targets=rules["targets"])
    told |= dict(windows=len(windows), seed=seed)
    truth = windows
    if flat:
        targets, about = true_pose(windows, kept)
        truth, told = replace(windows, targets=targets), told | about
    answers = inference.predict_windows(model, windows.inputs, flip, progress=progress)
    answers[:, :, 0] = 0
    if overwrite:
        answers[..., :2] = windows.inputs
    scores = score(in_millimetres(answers, windows) if flat else answers, truth, names)
    # How many frames each view has, apart for takes that are left out.
    kept_frames, blocked = (
        [len(clip) if view.valid is None else int(view.valid.sum()) for clip in of for view in clip.views]
        for of in (kept, [clip for clip in test if clip.name in block])
    )
    done = sum(len(row[counts].unique()) for row, counts in zip(windows.place, windows.scored, strict=True))
    told |= dict(test_frames=sum(kept_frames + blocked), scored_frames=done, blocked_frames=sum(blocked))
    told["dropped_frames"] = sum(kept_frames) - done
    told["resampled_views"] = sum(0 < count < frames for count in kept_frames)
    told["blocked_clips"] = sorted({clip.name for clip in test} & set(block))
    return Report({"model": scores}, told, subjects_of(kept, windows))


def true_pose(windows: EvaluationWindows, clips: Sequence[Clip]) -> tuple[Tensor, dict]:
    """The true 2.5D poses of windows in mm, relative to the root, and where they come from.

    They are the set's own "joints_2.5d_image" where a view has it, else its 2.5D target times the factor. How
    far these two are apart, at most, is told as "truth_apart_mm".

    Args:
        windows: of given views, with targets "2.5d".
        clips: those that the windows were cut from.
    """
    made = in_millimetres(windows.targets, windows)
    truth, own = made.clone(), 0
    for row, (clip, view) in enumerate(zip(windows.clip.tolist(), windows.view.tolist(), strict=True)):
        body = clips[clip].views[view].targets.get("joints_2.5d_image")
        if body is not None:
            if body.shape[1:] != made.shape[2:]:
                wanted = "expected joints_2.5d_image of shape (frames, 17, 3)"
                raise ValueError(f"clip {clips[clip].name!r}: {wanted}, found {body.shape}")
            body = torch.from_numpy(body[windows.frame[row].numpy()])
            truth[row], own = body - body[:, :1], own + 1
    told = dict(truth="joints_2.5d_image" if own else "2.5D times mm per pixel", windows_with_own_truth=own)
    apart = (truth - made).abs()[windows.scored]
    return truth, told | (dict(truth_apart_mm=float(apart.max())) if own else {})
