"""Protocols: on which windows a model is asked, and what is made of its answers.

A protocol is a function that ends in a `Report`. It owns the way from its data set to windows and from a
network's units to millimetres; errors, means and tables are the same for all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from posemamba import inference
from posemamba.evaluation.baselines import fit
from posemamba.evaluation.errors import Scores, score
from posemamba.motion.clips import Clip, select_split
from posemamba.motion.rig import CameraRig
from posemamba.motion.windows import evaluation_windows


@dataclass(frozen=True)
class Report:
    """What a protocol found.

    Attributes:
        scores: by predictor: "model", "ridge", "mean pose".
        protocol: how it was measured, plain values.
        subjects: whose body each window shows; empty where the motion does not say.
    """

    scores: dict[str, Scores]
    protocol: dict
    subjects: tuple[str, ...] = ()

    def by_subject(self) -> dict[str, dict[str, float]]:
        """{predictor: {subject: MPJPE, mean over frames, mm}}; empty without subjects."""
        if not self.subjects:
            return {}
        return {name: s.tables["mpjpe"].means(of=self.subjects).actions for name, s in self.scores.items()}

    def to_json(self) -> dict:
        """Plain values, ready to be written."""
        scores = {name: s.rows() for name, s in self.scores.items()}
        return {"protocol": self.protocol, "scores": scores, "subjects": self.by_subject()}


def evaluate(
    model: torch.nn.Module | None,
    clips: Sequence[Clip],
    frames: int = 27,
    fps: float = 60,
    views: int = 4,
    seed: int = 0,
    rig: CameraRig | None = None,
    baselines: bool = True,
    fit_windows: int = 20_000,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Score a model on the test split through virtual cameras, beside the mean pose and ridge regression.

    Args:
        model: lifts (n, frames, 17, 2) to mm (see `PoseMambaConfig.millimetres_per_unit`); None for the
            baselines alone.
        clips: of both splits; the training clips are only used by the baselines.
        frames, fps: length and rate of the windows.
        views: cameras a window.
        seed: of the cameras and of the baselines' training windows.
        rig: where the cameras stand.
        baselines: whether to fit and score them.
        fit_windows: how many training windows they are fitted on.
        progress: called with the windows that the model has lifted, and their number.

    Raises:
        ValueError: a split has no clips.
    """
    rig, test = rig or CameraRig(), select_split(clips, "test")
    known = select_split(clips, "train") if baselines else []
    windows = evaluation_windows(test, frames, fps, views, seed, rig)
    scores, protocol = {}, dict(frames=frames, fps=fps, views=views, seed=seed, windows=len(windows))
    protocol |= dict(test_clips=len(test), scored_frames=int(windows.scored.sum()), flip_averaging=True)
    if model is not None:
        answers = inference.predict_windows(model, windows.inputs, flip=True, progress=progress)
        scores["model"] = score(answers, windows)
    if baselines:
        fitted = fit(known, frames, fps, seed, rig, fit_windows)
        scores |= {name: score(baseline(windows.inputs), windows) for name, baseline in fitted.items()}
        protocol |= dict(ridge_penalty=fitted["ridge"].penalty, fit_windows=fit_windows)
        protocol["train_clips"] = len(known)
    subjects = tuple(test[clip].subject for clip in windows.clip.tolist())
    return Report(scores, protocol, subjects if all(subjects) else ())
