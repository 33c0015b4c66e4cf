"""Protocols: on which windows a model is asked, and what is made of its answers.

A protocol is a function that ends in a `Report`. It owns the way from its data set to windows and from a
network's units to millimetres; errors, means and tables are the same for all.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from jaxtyping import Float
from torch import Tensor, nn

from posemamba import inference
from posemamba.evaluation.baselines import fit
from posemamba.evaluation.errors import Scores, score
from posemamba.motion.clips import Clip, select_split
from posemamba.motion.noise import WILD_NOISE, DetectorNoise
from posemamba.motion.rig import WILD, CameraRig
from posemamba.motion.targets import to_millimetres
from posemamba.motion.variety import BodyVariety
from posemamba.motion.windows import EvaluationWindows, evaluation_windows
from posemamba.skeleton import JOINTS

#: What `views` is asked with where strangers' videos are meant: cameras of every kind, a poor detector, and a
#: focal length that is wrong by a tenth.
WILD_VIEWS = dict(rig=WILD, noise=WILD_NOISE, focal_error=0.1)

Progress = Callable[[int, int], None]  # called with the windows that the model has lifted, and their number


@dataclass(frozen=True)
class Report:
    """What a protocol found.

    Attributes:
        scores: by predictor: "model", "ridge", "mean pose".
        protocol: how it was measured, plain values; its "name", and "mean": which of the means is the
            protocol's figure, "over_actions" or "over_frames".
        subjects: whose body each window shows; empty where the motion does not say.
    """

    scores: dict[str, Scores]
    protocol: dict
    subjects: tuple[str, ...] = ()

    def figure(self, metric: str, of: str = "model") -> float:
        """A metric's mean as the protocol takes it."""
        return getattr(getattr(self.scores[of], metric), self.protocol.get("mean", "over_actions"))

    def by_part(self, of: str = "model") -> dict[str, dict[str, dict[str, float]]]:
        """{metric: the means of `ErrorTable.by_part`}, as the protocol takes them."""
        mean = self.protocol.get("mean", "over_actions")
        return {name: table.by_part(mean) for name, table in self.scores[of].tables.items()}

    def by_subject(self) -> dict[str, dict[str, float]]:
        """{predictor: {subject: MPJPE, mean over frames, mm}}; empty without subjects."""
        if not self.subjects:
            return {}
        return {name: s.tables["mpjpe"].means(of=self.subjects).actions for name, s in self.scores.items()}

    def to_json(self) -> dict:
        """Plain values, ready to be written."""
        scores = {name: s.rows() for name, s in self.scores.items()}
        parts = {name: self.by_part(name) for name in self.scores}
        return dict(protocol=self.protocol, scores=scores, parts=parts, subjects=self.by_subject())


def in_millimetres(
    poses: Float[Tensor, "n frames 17 3"], windows: EvaluationWindows
) -> Float[Tensor, "n frames 17 3"]:
    """2.5D poses, in units of half the image's width, in mm: back to pixels, then times the frame's factor.

    Args:
        poses: a network's answers for windows whose targets are "2.5d", or these targets.

    Raises:
        ValueError: windows without 2.5D, or a frame that counts and whose factor the set does not say.
    """
    if windows.factor is None:
        raise ValueError("the windows' targets are no 2.5D, expected targets='2.5d'")
    lost = (windows.scored & ~windows.factor.isfinite()).nonzero()
    if len(lost):
        row, column = lost[0].tolist()
        where = f"clip {windows.clip[row]}, view {windows.view[row]}, frame {windows.frame[row, column]}"
        raise ValueError(f"2.5D in mm needs each frame's 2.5d_factor, found none for {where}")
    return to_millimetres(poses * windows.size[:, None, None, :1] / 2, windows.factor.nan_to_num())


def unit_of(model: nn.Module) -> float | None:
    """What a unit of the model's answers is worth in mm; None for 2.5D; 1 for a module that does not say."""
    config = getattr(model, "config", None)
    if getattr(config, "joints", JOINTS) != JOINTS:
        raise ValueError(f"the network has {config.joints} joints, expected Human3.6M's {JOINTS}")
    return 1.0 if config is None else config.millimetres_per_unit


def views(
    model: nn.Module | None,
    clips: Sequence[Clip],
    frames: int = 27,
    fps: float | None = 60,
    views: int | str = 4,
    seed: int = 0,
    rig: CameraRig | None = None,
    baselines: bool = True,
    fit_windows: int = 20_000,
    progress: Progress | None = None,
    *,
    inputs: str = "detected",
    noise: DetectorNoise | None = None,
    focal_error: float = 0.0,
    variety: BodyVariety | None = None,
    flip: bool = True,
    names: Sequence[str] | None = None,
) -> Report:
    """Score a model on the test split through virtual cameras, beside the mean pose and ridge regression.

    A network that answers in 2.5D (its `millimetres_per_unit` is None) is scored against 2.5D in mm, as on
    Human3.6M, and the baselines learn and are scored alike.

    Args:
        model: lifts (n, frames, 17, 2) to mm (see `PoseMambaConfig.millimetres_per_unit`); None for the
            baselines alone.
        clips: of both splits; the training clips are only used by the baselines.
        frames, fps: length and rate of the windows; None for each clip's own rate.
        views: cameras a window; "given" for those that the clips come with.
        seed: of the cameras, the noise and the baselines' training windows.
        rig: where the cameras stand.
        baselines: whether to fit and score them.
        fit_windows: how many training windows they are fitted on.
        progress: called with the windows that the model has lifted, and their number.
        inputs, noise, focal_error, variety: as in `motion.WindowSampler`, whose `view` is the network's own.
        flip: whether the model's answer is averaged with that for the mirrored input.
        names: some of `metrics.METRICS`; all by default.

    Raises:
        ValueError: a split has no clips, or they cannot give what is asked.
    """
    rig, test = rig or CameraRig(), select_split(clips, "test")
    known = select_split(clips, "train") if baselines else []
    flat = model is not None and unit_of(model) is None
    seen = dict(inputs=inputs, targets="2.5d" if flat else "metric", noise=noise, variety=variety)
    seen |= dict(view=getattr(getattr(model, "config", None), "view", "image"), focal_error=focal_error)
    windows = evaluation_windows(test, frames, fps, views, seed, rig, **seen)

    def measure(answers: Tensor) -> Scores:
        return score(in_millimetres(answers, windows) if flat else answers, truth, names)

    truth = replace(windows, targets=in_millimetres(windows.targets, windows)) if flat else windows
    scores, protocol = {}, dict(name="views", mean="over_actions", frames=frames, fps=fps, views=views)
    protocol |= dict(seed=seed, windows=len(windows), test_clips=len(test))
    protocol |= dict(scored_frames=int(windows.scored.sum()), flip_averaging=flip, inputs=inputs)
    protocol |= dict(targets=seen["targets"], noise=None if noise is None else vars(noise))
    protocol |= dict(view=seen["view"], focal_error=focal_error, rig=asdict(rig))
    if variety is not None:
        protocol["variety"] = asdict(variety)
    if model is not None:
        scores["model"] = measure(inference.predict_windows(model, windows.inputs, flip, progress=progress))
    if baselines:
        fitted = fit(
            known, frames, fps, seed, rig, fit_windows, views="given" if views == "given" else 1, **seen
        )
        scores |= {name: measure(baseline(windows.inputs)) for name, baseline in fitted.items()}
        protocol |= dict(ridge_penalty=fitted["ridge"].penalty, fit_windows=fit_windows)
        protocol["train_clips"] = len(known)
    return Report(scores, protocol, subjects_of(test, windows))


def subjects_of(clips: Sequence[Clip], windows: EvaluationWindows) -> tuple[str, ...]:
    """Whose body each window shows; empty where a clip does not say."""
    subjects = tuple(clips[clip].subject for clip in windows.clip.tolist())
    return subjects if all(subjects) else ()
