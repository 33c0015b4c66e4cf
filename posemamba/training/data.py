"""What a run is shown: who trains, who is held out, and what of the settings the data decides."""

from collections.abc import Sequence
from dataclasses import replace

from posemamba.motion.clips import Clip, natural_order, select_split
from posemamba.motion.noise import WILD_NOISE, DetectorNoise
from posemamba.motion.rig import WILD
from posemamba.motion.variety import BodyVariety
from posemamba.motion.windows import WindowSampler
from posemamba.training.config import TrainingConfig


def resolve(config: TrainingConfig, clips: Sequence[Clip]) -> TrainingConfig:
    """The settings with everything filled in that depends on the data.

    These are: "auto" and "last"; with epochs the steps; and where they are None, the schedule's epoch and the
    steps from one validation to the next. A named target that virtual cameras cannot give becomes "metric".

    Raises:
        ValueError: no training clips, held-out subjects that are not there, or nobody left to train on.
    """
    train, found = select_split(clips, "train"), config
    if config.data.views == "auto":
        found = replace(found, views="given" if all(clip.views for clip in train) else "virtual")
    virtual = found.data.views == "virtual"
    if config.data.noise == "auto":
        stands_in = virtual and config.data.inputs == "detected"
        found = replace(found, noise="detector" if stands_in else "none")
    if virtual and config.data.targets not in ("metric", "2.5d"):
        found = replace(found, targets="metric")
    if config.validation.subjects == "last":
        if len(people := subjects(train)) < 2:
            raise ValueError(f"the motion names {len(people)} training subjects, expected 2 to hold one out")
        found = replace(found, **{"validation.subjects": (people[-1],)})
    epoch = max(1, len(sampler(found, clips)) // found.data.batch_size)
    if found.epochs is not None:
        found = replace(found, steps=found.epochs * epoch)
    if found.schedule.name == "exponential" and found.schedule.epoch is None:
        found = replace(found, epoch=epoch)
    if found.validation.every is None and (found.validation.test or found.validation.subjects):
        found = replace(found, **{"validation.every": epoch})
    return found


def subjects(clips: Sequence[Clip]) -> list[str]:
    """The people that clips name, in the order of their numbers."""
    return sorted({clip.subject for clip in clips} - {""}, key=natural_order)


def training_clips(config: TrainingConfig, clips: Sequence[Clip]) -> list[Clip]:
    """The training split without those who are held out; ValueError where nobody is left."""
    train, out = select_split(clips, "train"), held_out(config, clips)
    kept = [clip for clip in train if clip.subject not in config.validation.subjects]
    if not kept:
        found = f"all {len(out)} training clips are held out for validation"
        raise ValueError(f"{found}, expected some to train on")
    return kept


def held_out(config: TrainingConfig, clips: Sequence[Clip]) -> list[Clip]:
    """The clips of `validation.subjects`; ValueError names one who is not in the training split."""
    train = select_split(clips, "train")
    for subject in config.validation.subjects:
        if subject not in {clip.subject for clip in train}:
            there = ", ".join(subjects(train)) or "none by name"
            raise ValueError(f"validation.subjects has {subject!r}, expected some of the training's: {there}")
    return [clip for clip in train if clip.subject in config.validation.subjects]


def window_rules(config: TrainingConfig) -> dict:
    """What training and validation windows have in common."""
    same = {name: getattr(config.data, name) for name in ("fps", "short", "inputs", "targets", "focal_error")}
    same |= dict(frames=config.model.frames, view=config.model.view)
    same |= dict(noise={"detector": DetectorNoise(), "wild": WILD_NOISE}.get(config.data.noise))
    same |= dict(rig=WILD if config.data.cameras == "wild" else None)
    return same | dict(variety=BodyVariety() if config.data.bodies == "varied" else None)


def sampler(config: TrainingConfig, clips: Sequence[Clip]) -> WindowSampler:
    """The training windows of a configuration that is resolved."""
    settings = dict(vars(config.data), seed=config.seed) | window_rules(config)
    for chosen_by_name in ("cameras", "bodies"):
        del settings[chosen_by_name]
    return WindowSampler(training_clips(config, clips), **settings)


def units(config: TrainingConfig) -> float:
    """What targets are divided by to be in the network's unit: mm per unit, or 1 for 2.5D."""
    return config.model.millimetres_per_unit or 1.0
