"""Training in the open: a loop that reads from top to bottom, on Lightning Fabric.

Every random number depends on the seed and the step alone: the windows, their cameras and flips, and which
branches drop path skips. A run that was stopped anywhere, by Ctrl-C or by a kill, therefore resumes from its
last checkpoint to the same weights as one that was left alone.
"""

import hashlib
import platform
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import torch
import yaml

from posemamba import __version__, storage
from posemamba.configs import MILLIMETRES_PER_UNIT, TrainingConfig
from posemamba.losses import pose_loss
from posemamba.model import PoseMamba
from posemamba.motion.clips import Clip, select_split
from posemamba.motion.windows import WindowSampler


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
    data = fingerprint(clips)
    start = _open_folder(folder, config, data, resume)
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
        for group, fresh in zip(
            optimizer.param_groups, parameter_groups(model, config.weight_decay), strict=True
        ):
            group["weight_decay"] = fresh["weight_decay"]
        spent = start["seconds"]
    first = 0 if start is None else start["step"]
    weights = config.loss_weights()
    writer = SummaryWriter(str(folder / "logs"), purge_step=first)
    stop, began = _StopSignal(), time.monotonic()
    saved = began

    def save(step: int) -> None:
        state = dict(
            step=step,
            data=data,
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


def fingerprint(clips: list[Clip]) -> str:
    """A digest of the training split's motion, by which a run knows its data again."""
    digest = hashlib.sha256()
    for clip in select_split(clips, "train"):
        digest.update(f"{clip.name}|{clip.action}|{clip.fps}|{len(clip)}|".encode())
        digest.update(np.ascontiguousarray(clip.joints).tobytes())
    return digest.hexdigest()


def _open_folder(folder: Path, config: TrainingConfig, data: str, resume: bool) -> dict | None:
    """The folder's checkpoint, or None for a run that begins."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder for the run, found a file")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "checkpoint.pt"
    if path.exists() and not resume:
        raise ValueError(f"{folder}: holds a run already; resume it, or name another folder")
    settings = folder / "config.yaml"
    if not path.exists():
        if (folder / "model").exists() or (settings.exists() and TrainingConfig.load(settings) != config):
            raise ValueError(f"{folder}: holds something that this run did not make; name another folder")
        if not settings.exists():
            with storage.atomic_path(settings) as target:
                target.write_text(yaml.safe_dump(asdict(config), sort_keys=False), encoding="utf-8")
        return None
    if not settings.is_file():
        raise ValueError(f"{folder}: holds a checkpoint without the config.yaml of its run")
    before = TrainingConfig.load(settings)
    if before != config:
        name = next(f.name for f in fields(config) if getattr(before, f.name) != getattr(config, f.name))
        raise ValueError(
            f"{folder}: its run has {name} = {getattr(before, name)!r}, asked for {getattr(config, name)!r}; "
            "resume it unchanged, or name another folder"
        )
    state = storage.read_checkpoint(path)
    step, seconds = state.get("step"), state.get("seconds")
    whole = type(step) is int and 0 <= step <= config.steps and isinstance(seconds, float) and seconds >= 0
    if not whole or not isinstance(state.get("model"), dict) or not isinstance(state.get("optimizer"), dict):
        raise ValueError(f"{path}: not a checkpoint of this run")
    if state.get("data") != data:
        raise ValueError(
            f"{folder}: its run was trained on other motion; give the same data, or another folder"
        )
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
