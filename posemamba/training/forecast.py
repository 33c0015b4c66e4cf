"""What a run would do: its network, its data, and its time at this machine's speed."""

import time
from collections.abc import Sequence
from statistics import median

import torch

from posemamba.accounting import count
from posemamba.losses import pose_loss
from posemamba.motion.clips import Clip, natural_order
from posemamba.training.config import TrainingConfig
from posemamba.training.data import held_out, resolve, sampler, units
from posemamba.training.learner import initial_model, parameter_groups


def forecast(
    config: TrainingConfig, clips: Sequence[Clip], device: str = "auto", tries: int = 3
) -> list[str]:
    """Lines that say what would be trained, on what, and how long that would take.

    The time is that of a few training steps made now, each with its windows, without what validation takes.

    Args:
        config: the settings, not resolved.
        clips: the motion.
        device: as for `train`.
        tries: how many steps are timed, after one to warm up.

    Raises:
        ValueError: settings that the data cannot give.
    """
    lines, config = outline(config, clips), resolve(config, clips)
    seconds, where = _step_seconds(config, sampler(config, clips), device, tries)
    hours = seconds * config.steps / 3600
    told = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
    return [*lines, f"time: {told} at {seconds:.3g} s a step, the median of {tries} made now on {where}"]


def outline(config: TrainingConfig, clips: Sequence[Clip]) -> list[str]:
    """The lines of `forecast` that need no time."""
    given, config = config, resolve(config, clips)
    windows, network, data = sampler(config, clips), config.model, config.data
    counted, lines = count(network, network.frames), []
    shape = f"depth {network.depth}, d_m {network.channels}, N {network.state}, {network.scan}"
    lines.append(
        f"network: {shape}, {counted.parameters:,} parameters, {counted.macs / 1e9:.2f} G MACs a window"
    )
    out = held_out(config, clips)
    people = sorted({clip.subject for clip in windows.clips} - {""}, key=natural_order)
    whose = f" of {len(people)} people ({', '.join(people)})" if people else ""
    frames = sum(len(clip) for clip in windows.clips)
    lines.append(
        f"trained on: {len(windows.clips)} clips{whose}, {frames:,} frames, {len(windows):,} windows"
    )
    rate = f"{data.fps:g} a second" if data.fps else "their own rates"
    seen = f"windows: {network.frames} frames at {rate}, every {data.stride}, views {data.views}"
    lines.append(f"{seen}, inputs {data.inputs}, noise {data.noise}, targets {data.targets}")
    if out:
        lines.append(f"held out: {', '.join(config.validation.subjects)} ({len(out)} clips)")
    if config.validation.test:
        lines.append("the best weights are also chosen on the test split, as the release does it")
    terms = {name: weight for name, weight in vars(config.loss).items() if weight}
    lines.append("loss: " + " + ".join(f"{weight:g} {name}" for name, weight in terms.items()))
    epochs = config.steps * data.batch_size / max(1, len(windows))
    lines.append(f"steps: {config.steps:,} of {data.batch_size} windows, {epochs:.3g} times all windows")
    filled = {name: value for name, value in config.flat().items() if given.flat()[name] != value}
    if filled:
        lines.append("decided by the data: " + ", ".join(f"{name} {value}" for name, value in filled.items()))
    return lines


def _step_seconds(config, windows, device: str, tries: int) -> tuple[float, str]:
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator=device, devices=1, precision=config.precision)
    settings, times = config.optimizer, []
    model = initial_model(config)
    groups = parameter_groups(model, settings.weight_decay, settings.decays)
    model, optimizer = fabric.setup(model, torch.optim.AdamW(groups, lr=settings.learning_rate))
    for step in range(tries + 1):
        began = time.perf_counter()
        inputs, targets = (fabric.to_device(part) for part in windows.batch(step))
        fabric.backward(pose_loss(model(inputs), targets / units(config), config.loss).total)
        optimizer.step()
        optimizer.zero_grad()
        if fabric.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return median(times[1:]), str(fabric.device.type)
