"""What a run would do: its network, its data, and its time at this machine's speed."""

import time
from collections.abc import Sequence
from statistics import median

from posemamba.accounting import count
from posemamba.motion.clips import Clip
from posemamba.training import ranks
from posemamba.training.config import TrainingConfig
from posemamba.training.data import held_out, resolve, sampler, subjects
from posemamba.training.feed import Feed
from posemamba.training.learner import Learner
from posemamba.training.loop import batch_rows

LONG = 10.0  # s


def forecast(
    config: TrainingConfig, clips: Sequence[Clip], device: str = "auto", tries: int = 3
) -> list[str]:
    """Lines that say what would be trained, on what, and how long that would take.

    The time is that of a few training steps made now, each with its windows, without what validation takes.

    Args:
        config: the settings, not resolved.
        clips: the motion.
        device: as for `train`.
        tries: how many steps are timed, after one to warm up; 0 leaves the time out. Where a step takes over
            ten seconds, one is all.

    Raises:
        ValueError: settings that the data cannot give.
    """
    lines, config = outline(config, clips), resolve(config, clips)
    if not tries:
        return lines
    times, where = _step_seconds(config, clips, device, tries)
    seconds = median(times) * config.steps
    size, unit = (3600, "hours") if seconds >= 3600 else (60, "minutes") if seconds >= 60 else (1, "seconds")
    told = f"{seconds / size:.1f} {unit}"
    steps = f"{median(times):.3g} s a step, the median of {len(times)} made now on {where}"
    return [*lines, f"time: {told} at {steps}"]


def outline(config: TrainingConfig, clips: Sequence[Clip]) -> list[str]:
    """The lines of `forecast` that need no time."""
    given, config = config, resolve(config, clips)
    windows, network, data = sampler(config, clips), config.model, config.data
    counted, people, out = count(network, network.frames), subjects(windows.clips), held_out(config, clips)
    shape = f"depth {network.depth}, d_m {network.channels}, N {network.state}, {network.scan}"
    size = f"{counted.parameters:,} parameters, {counted.macs / 1e9:.3g} G MACs a window"
    names = ", ".join(people[:12]) + ", ..." * (len(people) > 12)
    whose = f" of {len(people)} people ({names})" if people else ""
    frames = sum(map(len, windows.clips))
    rate = f"{data.fps:g} a second" if data.fps else "their own rates"
    seen = f"{network.frames} frames at {rate}, every {data.stride}, views {data.views}"
    inputs = data.inputs if data.views == "given" else "projected"  # all that virtual cameras have
    lines = [
        f"network: {shape}, {size}",
        f"trained on: {len(windows.clips)} clips{whose}, {frames:,} frames, {len(windows):,} windows",
        f"windows: {seen}, inputs {inputs}, noise {data.noise}, targets {data.targets}",
    ]
    if out:
        lines.append(f"held out: {', '.join(config.validation.subjects)} ({len(out)} clips)")
    if config.validation.test:
        lines.append("the best weights are also chosen on the test split, as the release does it")
    terms = {name: weight for name, weight in vars(config.loss).items() if weight}
    lines.append("loss: " + " + ".join(f"{weight:g} {name}" for name, weight in terms.items()))
    epochs = config.steps * data.batch_size / max(1, len(windows))
    lines.append(f"steps: {config.steps:,} of {data.batch_size} windows, {epochs:.3g} times all windows")
    before = given.flat()
    filled = [f"{name} {value}" for name, value in config.flat().items() if before[name] != value]
    if filled:
        lines.append("decided by the data: " + ", ".join(filled))
    return lines


def _step_seconds(
    config: TrainingConfig, clips: Sequence[Clip], device: str, tries: int
) -> tuple[list[float], str]:
    """The seconds of some steps, and where they were made; one that takes long is enough."""
    windows, place, times = sampler(config, clips), ranks.Place(), []
    fabric, rows = ranks.join(place, device, config.precision), batch_rows(config, len(windows), place)
    learner = Learner(config, rows, fabric, compile=False, graphs=False)
    with Feed(windows, clips, rows, fabric, ahead=False) as feed:
        for step in range(tries + 1):
            began = time.perf_counter()
            learner.step(step, feed)
            times.append(time.perf_counter() - began)
            if times[-1] > LONG:
                return times[-1:], fabric.device.type
    return times[1:], fabric.device.type
