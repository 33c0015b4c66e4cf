"""Training in the open: a loop that reads from top to bottom, on Lightning Fabric.

Every random number depends on the seed and the step alone: the windows, their cameras and flips, and which
branches drop path skips. A run that was stopped anywhere, by Ctrl-C or by a kill, therefore resumes from its
last checkpoint to the same weights as one that was left alone.
"""

import math
import platform
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
import yaml

from posemamba import __version__, storage
from posemamba.losses import LOSS_WEIGHTS, LossWeights, pose_loss
from posemamba.model import PoseMamba, PoseMambaConfig
from posemamba.motion.clips import Clip, select_split
from posemamba.motion.windows import WindowSampler

MILLIMETRES_PER_UNIT = 1000.0  # the network is trained in metres


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides the result of a run. Shipped ones lie in posemamba/configs.

    Attributes:
        frames, fps: length and rate of the windows.
        balance: "frames" draws all windows alike, "actions" draws an action first.
        depth, channels, state, scan, gradient, drop_path: the network, see `PoseMambaConfig`.
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
        for name in ("steps", "batch_size", "frames"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be a positive whole number, found {getattr(self, name)!r}")
        for name in ("learning_rate", "clip_norm", "fps", "input_gain", "output_gain"):
            if not isinstance(getattr(self, name), int | float) or not getattr(self, name) > 0:
                raise ValueError(f"{name} must be a positive number, found {getattr(self, name)!r}")
        self.loss_weights()
        self.model_config()

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
        shipped = Path(__file__).parent / "configs"
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


class Interrupted(Exception):
    """Training was stopped by Ctrl-C or a termination signal, after saving. `step` says where."""

    def __init__(self, step: int):
        super().__init__(f"stopped after step {step}, everything is saved")
        self.step = step


def initial_model(config: TrainingConfig) -> PoseMamba:
    """The untrained network of a run, decided by its seed."""
    torch.manual_seed(config.seed)
    model = PoseMamba(config.model_config())
    with torch.no_grad():
        model.embed.weight *= config.input_gain
        model.head[1].weight *= config.output_gain
    return model


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict]:
    """The parameters that decay (weights of linear maps and convolutions) and those that do not."""
    kept = ("A_log", "skip", "step_bias", "joint_position", "frame_position")
    groups = {True: [], False: []}
    for name, parameter in model.named_parameters():
        groups[parameter.ndim > 1 and not name.endswith(kept)].append(parameter)
    return [
        dict(params=groups[True], weight_decay=weight_decay),
        dict(params=groups[False], weight_decay=0.0),
    ]


def train(
    config: TrainingConfig,
    clips: list[Clip],
    folder: str | Path,
    resume: bool = True,
    save_every: float = 30.0,
    log: Callable[[int, dict[str, float]], None] | None = None,
    device: str = "auto",
) -> PoseMamba:
    """Train on the training split and leave the result in a folder.

    The folder holds `config.yaml`, `checkpoint.pt` (network, optimiser, step), TensorBoard's scalars in
    `logs/`, and at the end `model/`, for `PoseMamba.from_pretrained`.

    Args:
        config: what to train.
        clips: motion; only clips of the training split are used.
        folder: made where it is missing.
        resume: go on from the folder's checkpoint; otherwise a folder that holds one is refused.
        save_every: seconds between checkpoints.
        log: called after each step with the step's number and its figures.
        device: Lightning Fabric's accelerator: "auto", "cpu", "cuda", "mps".

    Raises:
        ValueError: no training clips; or the folder's run was configured otherwise.
        Interrupted: by Ctrl-C or a termination signal, after the step at hand was finished and saved.
    """
    from lightning_fabric import Fabric
    from torch.utils.tensorboard import SummaryWriter

    folder = Path(folder)
    sampler = WindowSampler(
        select_split(clips, "train"),
        config.frames,
        config.fps,
        config.batch_size,
        config.seed,
        balance=config.balance,
    )
    start = _open_folder(folder, config, resume)
    fabric = Fabric(accelerator=device, devices=1, precision=config.precision)
    model = initial_model(config)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, config.weight_decay), lr=config.learning_rate, betas=(0.9, 0.99)
    )
    network, optimizer = fabric.setup(model, optimizer)
    spent = 0.0
    if start is not None:
        try:
            model.load_state_dict(start["model"])
            optimizer.load_state_dict(start["optimizer"])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(
                f"{folder / 'checkpoint.pt'}: holds a network of another shape than config.yaml"
            ) from None
        spent = start["seconds"]
    first = 0 if start is None else start["step"]
    weights = config.loss_weights()
    writer = SummaryWriter(str(folder / "logs"), purge_step=first)
    stop, began = _StopSignal(), time.monotonic()
    saved = began

    def save(step: int) -> None:
        state = dict(
            step=step,
            seconds=spent + time.monotonic() - began,
            model=model.state_dict(),
            optimizer=optimizer.state_dict(),
        )
        with storage.atomic_path(folder / "checkpoint.pt") as path:
            torch.save(state, path)

    network.train()
    try:
        with stop:
            for step in range(first, config.steps):
                torch.manual_seed(hash((config.seed, step)) & 0x7FFFFFFF)  # for drop path
                for group in optimizer.param_groups:
                    group["lr"] = config.rate_at(step)
                inputs, targets = (fabric.to_device(part) for part in sampler.batch(step))
                loss, terms = pose_loss(network(inputs), targets / MILLIMETRES_PER_UNIT, weights)
                fabric.backward(loss)
                norm = fabric.clip_gradients(
                    network, optimizer, max_norm=config.clip_norm, error_if_nonfinite=False
                )
                if not torch.isfinite(norm):
                    raise FloatingPointError(
                        f"the gradient of step {step} is not finite; try a smaller learning rate"
                    )
                optimizer.step()
                optimizer.zero_grad()

                seconds = spent + time.monotonic() - began
                figures = {
                    "loss": float(loss.detach()),
                    "mpjpe_mm": float(terms["mpjpe"].detach()) * MILLIMETRES_PER_UNIT,
                    "gradient_norm": float(norm),
                    "learning_rate": config.rate_at(step),
                    "seconds": seconds,
                }
                for name, value in figures.items():
                    writer.add_scalar(name, value, step)
                if log is not None:
                    log(step, figures)
                if stop.asked and step + 1 < config.steps:
                    save(step + 1)
                    raise Interrupted(step + 1)
                if time.monotonic() - saved > save_every:
                    save(step + 1)
                    saved = time.monotonic()
        if first < config.steps:
            save(config.steps)
    finally:
        writer.close()
    network.eval()
    model.save_pretrained(folder / "model", training=asdict(config), version=__version__)
    return model


class _StopSignal:
    """Within it, the first Ctrl-C or termination signal only sets `asked`; a second Ctrl-C breaks off."""

    def __init__(self):
        self.asked = False
        self._before = {}

    def __enter__(self):
        for name in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[name] = signal.signal(name, self._ask)
            except ValueError:  # not in the main thread, where Python allows no handlers
                return self
        return self

    def __exit__(self, *_):
        for name, handler in self._before.items():
            signal.signal(name, handler)

    def _ask(self, number, frame):
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True


def _open_folder(folder: Path, config: TrainingConfig, resume: bool) -> dict | None:
    """The folder's checkpoint, or None for a run that begins."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder for the run, found a file")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "checkpoint.pt"
    if path.exists() and not resume:
        raise ValueError(f"{folder}: holds a run already; resume it, or name another folder")
    if not path.exists():
        with storage.atomic_path(folder / "config.yaml") as target:
            target.write_text(yaml.safe_dump(asdict(config), sort_keys=False), encoding="utf-8")
        return None
    before = TrainingConfig.load(folder / "config.yaml")
    if before != config:
        name = next(f.name for f in fields(config) if getattr(before, f.name) != getattr(config, f.name))
        raise ValueError(
            f"{folder}: its run has {name} = {getattr(before, name)!r}, asked for {getattr(config, name)!r}; "
            "resume it unchanged, or name another folder"
        )
    state = storage.read_checkpoint(path)
    if not {"step", "seconds", "model", "optimizer"} <= set(state):
        raise ValueError(f"{path}: not a training checkpoint of posemamba")
    return state


def describe_machine() -> dict:
    """What a measured figure depends on: processor, threads, versions."""
    return {
        "processor": platform.processor() or platform.machine(),
        "system": platform.system(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "posemamba": __version__,
    }
