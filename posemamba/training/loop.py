"""Training in the open: a loop that reads from top to bottom, on Lightning Fabric.

Every random number depends on the seed and the step alone: the windows, their cameras and flips, and which
branches drop path skips. A run that was stopped anywhere, by Ctrl-C or by a kill, therefore resumes from its
last checkpoint to the same weights as one that was left alone.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from posemamba import __version__, storage
from posemamba.losses import PoseLoss, pose_loss
from posemamba.model import PoseMamba
from posemamba.motion.clips import Clip
from posemamba.motion.windows import WindowSampler
from posemamba.training.config import TrainingConfig
from posemamba.training.data import resolve, sampler, units
from posemamba.training.folder import fingerprint, held, open_run
from posemamba.training.report import fault


class Interrupted(Exception):
    """Training was stopped by Ctrl-C or a termination signal, after saving. `step` says where."""

    def __init__(self, step: int):
        super().__init__(f"stopped after step {step}, everything is saved")
        self.step = step


def initial_model(config: TrainingConfig) -> PoseMamba:
    """The untrained network of a run, decided by its seed."""
    torch.manual_seed(config.seed)
    model = PoseMamba(config.model)
    with torch.no_grad():
        model.embed.weight *= config.initial.input_gain
        model.head[1].weight *= config.initial.output_gain
    return model


def parameter_groups(model: torch.nn.Module, weight_decay: float, decays: str = "matrices") -> list[dict]:
    """The parameters that decay ("matrices": of linear maps and convolutions; or "all"), and the others."""
    kept = ("A_log", "skip", "step_bias", "joint_position", "frame_position")
    groups = {True: [], False: []}
    for name, parameter in model.named_parameters():
        matrix = parameter.ndim > 1 and not name.endswith(kept)
        groups[matrix or decays == "all"].append(parameter)
    return [dict(params=groups[kind], weight_decay=weight_decay * kind) for kind in (True, False)]


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
    `logs/`, and at the end `model/`, for `PoseMamba.from_pretrained`. Meanwhile a lock keeps others out.

    Args:
        config: what to train.
        clips: motion; only clips of the training split are used.
        folder: made where it is missing.
        resume: go on from the folder's checkpoint; otherwise a folder that holds one is refused.
        save_every: seconds between checkpoints.
        log: called after each step with the step's number and its figures: "loss", its terms before
            weighting ("loss/mpjpe" and so on), "mpjpe_mm", "gradient_norm", "learning_rate", "seconds".
        device: Lightning Fabric's accelerator: "auto", "cpu", "cuda", "mps".

    Returns:
        The trained network, in evaluation mode.

    Raises:
        ValueError: no training clips; or the folder's run was configured otherwise, or is at work.
        FloatingPointError: a gradient is not finite; it says in which block. What was saved stays.
        Interrupted: by Ctrl-C or a termination signal, after the step at hand was finished and saved.
    """
    folder, config = Path(folder), resolve(config, clips)
    windows = sampler(config, clips)
    with held(folder):
        data = fingerprint(clips)
        start = open_run(folder, config, data, resume)
        model = _steps(config, windows, folder, data, start, save_every, log, device)
        model.save_pretrained(folder / "model", training=asdict(config), version=__version__)
    return model


def _steps(config, windows: WindowSampler, folder, data, start, save_every, log, device) -> PoseMamba:
    """The loop, in a folder that is held and from the state that it had; arguments as in `train`."""
    from lightning_fabric import Fabric
    from torch.utils.tensorboard import SummaryWriter

    fabric = Fabric(accelerator=device, devices=1, precision=config.precision)
    model, settings = initial_model(config), config.optimizer
    most = settings.clip_norm or float("inf")
    groups = parameter_groups(model, settings.weight_decay, settings.decays)
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, settings.beta2))
    network, optimizer = fabric.setup(model, optimizer)
    first, spent, began = 0, 0.0, time.monotonic()
    if start is not None:
        decays = [group["weight_decay"] for group in optimizer.param_groups]
        try:
            model.load_state_dict(start["model"])
            optimizer.load_state_dict(start["optimizer"])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError):
            path = folder / "checkpoint.pt"
            raise ValueError(f"{path}: holds a network of another shape than config.yaml") from None
        for group, decay in zip(optimizer.param_groups, decays, strict=True):
            group["weight_decay"] = decay
        first, spent = start["step"], start["seconds"]

    def seconds() -> float:
        return spent + time.monotonic() - began

    def save(step: int) -> None:
        state = dict(step=step, data=data, seconds=seconds(), model=model.state_dict())
        with storage.atomic_path(folder / "checkpoint.pt") as path:
            torch.save(state | {"optimizer": optimizer.state_dict()}, path)

    def learn(step: int) -> PoseLoss:
        """A step's loss; its gradient is left in the parameters."""
        torch.manual_seed(hash((config.seed, step)) & 0x7FFFFFFF)  # for drop path
        inputs, targets = (fabric.to_device(part) for part in windows.batch(step))
        loss = pose_loss(network(inputs), targets / units(config), config.loss)
        fabric.backward(loss.total)
        return loss

    network.train()
    writer, saved = SummaryWriter(str(folder / "logs"), purge_step=first), began
    try:
        with _stop_signals() as asked:
            for step in range(first, config.steps):
                for group in optimizer.param_groups:
                    group["lr"] = config.rate_at(step)
                loss = learn(step)
                norm = fabric.clip_gradients(network, optimizer, max_norm=most, error_if_nonfinite=False)
                if not torch.isfinite(norm):
                    where = f"{fault(model, partial(learn, step))}; try a smaller learning rate"
                    raise FloatingPointError(f"the gradient of step {step} is not finite: {where}")
                optimizer.step()
                optimizer.zero_grad()

                terms = {f"loss/{name}": float(term.detach()) for name, term in loss.terms.items()}
                found = {"loss": float(loss.total.detach()), **terms}
                found |= dict(
                    mpjpe_mm=terms["loss/mpjpe"] * (config.model.millimetres_per_unit or 2200.0),
                    gradient_norm=float(norm),
                )
                found |= dict(learning_rate=config.rate_at(step), seconds=seconds())
                for name, value in found.items():
                    writer.add_scalar(name, value, step)
                if log is not None:
                    log(step, found)
                stop, last = asked and step + 1 < config.steps, step + 1 == config.steps
                if stop or last or time.monotonic() - saved > save_every:
                    save(step + 1)
                    saved = time.monotonic()
                if stop:
                    raise Interrupted(step + 1)
    finally:
        writer.close()
    network.eval()
    return model


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Within it, the first Ctrl-C or termination signal is only noted; a second Ctrl-C breaks off."""
    asked, before = [], {}

    def ask(number, frame):
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)

    try:
        with suppress(ValueError):  # not in the main thread, where Python allows no handlers
            for name in (signal.SIGINT, signal.SIGTERM):
                before[name] = signal.signal(name, ask)
        yield asked
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
