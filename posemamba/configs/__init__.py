"""The settings of a training run, read from YAML files; some ship beside this one."""

import math
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import yaml

from posemamba.losses import LOSS_WEIGHTS, LossWeights
from posemamba.model import PoseMambaConfig

MILLIMETRES_PER_UNIT = 1000.0  # networks are trained in metres
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


def _positive(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e12


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides the result of a run. Shipped ones lie in posemamba/configs.

    Attributes:
        frames, fps: length and rate of the windows.
        balance: "frames" draws all windows alike, "actions" draws an action first.
        depth, channels, state, scan, gradient, drop_path, joint_order: the network, see `PoseMambaConfig`.
        steps, batch_size: how long, and windows a step.
        learning_rate: at its peak; it rises over `warmup` steps and falls to 0 along a cosine.
        weight_decay: AdamW's, on matrices alone: decaying A_log, the skip or a bias would pull the steps and
            memories of the SSM towards arbitrary values. (The released training decays everything.)
        clip_norm: the gradient's largest norm.
        input_gain, output_gain: factors on the initial weights of the embedding and of the head. Image
            coordinates (0.25 or so) are small beside the embedding's initial bias, and the norms behind it
            would drown them: with a gain of 5 the error leaves its first plateau many times sooner. A small
            head starts near a zero pose.
        loss: weights of Equation 11's terms for poses in metres, or the name of a set in `LOSS_WEIGHTS`.
        seed: of everything.
        precision: of Lightning Fabric, "32-true" or "bf16-mixed".
    """

    frames: int = 27
    fps: float = 60.0
    balance: str = "frames"
    depth: int = 6
    channels: int = 48
    state: int = 8
    scan: str = "global-local"
    gradient: str = "exact"
    drop_path: float = 0.0
    joint_order: tuple[int, ...] | None = None
    steps: int = 2000
    batch_size: int = 16
    learning_rate: float = 2e-3
    warmup: int = 100
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    input_gain: float = 1.0
    output_gain: float = 1.0
    loss: dict | str = "metres"
    seed: int = 0
    precision: str = "32-true"

    def __post_init__(self):
        for name, least in (("steps", 1), ("batch_size", 1), ("frames", 1), ("warmup", 0), ("seed", 0)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value < 2**31:
                kind = "positive whole number" if least else "whole number, 0 or more"
                raise ValueError(f"{name} must be a {kind}, found {value!r}")
        for name in ("learning_rate", "clip_norm", "fps", "input_gain", "output_gain"):
            if not _positive(getattr(self, name)):
                raise ValueError(f"{name} must be a positive number, found {getattr(self, name)!r}")
        if not _positive(self.weight_decay) and (self.weight_decay is False or self.weight_decay != 0):
            raise ValueError(f"weight_decay must be 0 or a positive number, found {self.weight_decay!r}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}, expected one of {', '.join(PRECISIONS)}")
        if not any(astuple(self.loss_weights())):
            raise ValueError("loss gives every term the weight 0, expected at least one that counts")
        object.__setattr__(self, "joint_order", self.model_config().joint_order)  # a list becomes a tuple

    def model_config(self) -> PoseMambaConfig:
        """The network's settings."""
        shared = {f.name for f in fields(PoseMambaConfig)} & {f.name for f in fields(self)}
        return PoseMambaConfig(
            **{name: getattr(self, name) for name in shared}, millimetres_per_unit=MILLIMETRES_PER_UNIT
        )

    def loss_weights(self) -> LossWeights:
        """The weights of the loss terms."""
        if isinstance(self.loss, str):
            if self.loss not in LOSS_WEIGHTS:
                raise ValueError(
                    f"unknown loss {self.loss!r}, expected {', '.join(LOSS_WEIGHTS)} or weights by term"
                )
            return LOSS_WEIGHTS[self.loss]
        try:
            return LossWeights(**self.loss)
        except TypeError:
            known = ", ".join(field.name for field in fields(LossWeights))
            raise ValueError(f"loss holds {self.loss!r}, expected numbers for some of {known}") from None

    @classmethod
    def load(cls, source: str | Path, **changes) -> "TrainingConfig":
        """From a YAML file, or the name of one that ships with the package, with some settings changed.

        Raises:
            FileNotFoundError, ValueError: no such file, or a setting that is not known or not possible.
        """
        shipped = Path(__file__).parent
        path = shipped / f"{source}.yaml"
        if not path.is_file():
            path = Path(source)
        if not path.is_file():
            names = ", ".join(sorted(p.stem for p in shipped.glob("*.yaml")))
            raise FileNotFoundError(
                f"{source}: no such configuration file, nor one of the shipped ones: {names}"
            )
        try:
            settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not readable as YAML ({str(error).splitlines()[0]})") from None
        if not isinstance(settings, dict):
            raise ValueError(f"{path}: expected settings by name, found {type(settings).__name__}")
        known = {field.name for field in fields(cls)}
        if unknown := sorted(map(str, set(settings) - known)):
            raise ValueError(
                f"{path}: unknown setting {unknown[0]!r}, expected some of {', '.join(sorted(known))}"
            )
        for field in fields(cls):  # YAML 1.1 reads 1e-3 as text
            if field.type is float and isinstance(settings.get(field.name), str):
                with suppress(ValueError):
                    settings[field.name] = float(settings[field.name])
        try:
            return cls(**{**settings, **changes})
        except TypeError as error:
            raise ValueError(f"{path}: {error}") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        rise = min(1.0, (step + 1) / max(self.warmup, 1))
        return self.learning_rate * rise * (0.5 + 0.5 * math.cos(math.pi * step / self.steps))
