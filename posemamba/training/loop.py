"""Training in the open: a loop that reads from top to bottom, on Lightning Fabric.

Every random number depends on the seed and the step alone: the windows, their cameras and flips, and which
branches drop path skips for which window. A run that was stopped anywhere, by Ctrl-C or by a kill, therefore
resumes from its last checkpoint to the same weights as one that was left alone; and several processes, or
several micro-batches, do to rounding what one does in one go.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from posemamba.model import PoseMamba
from posemamba.motion.clips import Clip
from posemamba.training import ranks
from posemamba.training.config import TrainingConfig
from posemamba.training.data import resolve, sampler
from posemamba.training.feed import Feed
from posemamba.training.folder import Keeper, fingerprint, held, open_run
from posemamba.training.learner import Learner
from posemamba.training.validation import Validator


class Interrupted(Exception):
    """Training was stopped by Ctrl-C or a termination signal, after saving. `step` says where."""

    def __init__(self, step: int):
        super().__init__(f"stopped after step {step}, everything is saved")
        self.step = step


def train(
    config: TrainingConfig,
    clips: list[Clip],
    folder: str | Path,
    resume: bool = True,
    save_every: float = 30.0,
    log: Callable[[int, dict[str, float]], None] | None = None,
    device: str = "auto",
    devices: int = 1,
    compile: bool = False,
    graphs: bool = False,
) -> PoseMamba:
    """Train on the training split and leave the result in a folder.

    The folder holds `config.yaml`, with what depends on the data filled in; `checkpoint.pt`, the last state;
    `curve.csv` and, for TensorBoard, `logs/`; at the end `model/`, for `PoseMamba.from_pretrained`. With
    validation also `validation.csv`, `best_on_test/` and `best_on_subjects/`. Meanwhile a lock keeps others
    out.

    Under torchrun each of its processes calls this with the same arguments. Several processes give the
    weights of one to rounding: the sum of the gradients is rounded elsewhere. So is it with another number
    of threads; with the same one a run that was killed ends with the same weights to the bit (on a CPU).

    Args:
        config: what to train.
        clips: motion; the test split is used for validation alone, and only if that is asked for.
        folder: made where it is missing.
        resume: go on from the folder's checkpoint; otherwise a folder that holds one is refused.
        save_every: seconds between checkpoints.
        log: called after each step with the step's number, from 0, and its figures: "loss", its terms before
            weighting ("loss/mpjpe" and so on), "mpjpe_mm" (of 2.5D about: 2200 mm a unit), "gradient_norm",
            "learning_rate", "seconds" of training, "steps_left", "seconds_left" at this pace; where it was
            validated also "validation/test/mpjpe_mm" and its kin.
        device: Lightning Fabric's accelerator: "auto", "cpu", "cuda", "mps".
        devices: processes, each on a device of its own, or sharing the processor's cores.
        compile: run the network through torch.compile.
        graphs: replay the network as CUDA graphs; on one CUDA device alone.

    Returns:
        The trained network (with `optimizer.ema` its running mean), in evaluation mode.

    Raises:
        ValueError: no training clips, a batch that cannot be divided; the folder's run was configured
            otherwise, or is at work; motion that changed under way. What was saved stays.
        FloatingPointError: a gradient is not finite; it says in which block. What was saved stays.
        OSError: the disk is full, or another process ended. What was saved stays.
        Interrupted: by Ctrl-C or a termination signal, after the step at hand was finished and saved.
    """
    config = resolve(config, clips)
    settings = config, clips, Path(folder), resume, save_every, device, compile, graphs
    with ranks.together(devices, _beside, *settings) as place:
        return _train(place, *settings, log=log)


def _beside(place: ranks.Place, *settings) -> None:
    """What the processes of rank 1 and up do."""
    with suppress(Interrupted):
        _train(place, *settings)


def _train(place, config, clips, folder, resume, save_every, device, compile, graphs, log=None) -> PoseMamba:
    """`train`, in one of the processes."""
    windows, data, first_rank = sampler(config, clips), fingerprint(clips), place.rank == 0
    rows = batch_rows(config, len(windows), place)
    with held(folder) if first_rank else nullcontext():
        start = open_run(folder, config, data, resume) if first_rank else None
        fabric = ranks.join(place, device, config.precision)
        settings, known, start = fabric.broadcast((config.flat(), data, start))
        if (settings, known) != (config.flat(), data):
            raise ValueError(f"process {place.rank} has other settings or motion than process 0")
        learner = Learner(config, rows, fabric, compile, graphs)
        validator = Validator(config, clips) if config.validation.every else None
        if start is not None:
            learner.restore(start, folder / "checkpoint.pt")
        with Feed(windows, clips, rows, fabric, ahead=fabric.device.type == "cuda") as feed:
            keeper = Keeper(folder, config, data, start, feed.check) if first_rank else None
            _steps(learner, feed, keeper, validator, 0 if start is None else start["step"], save_every, log)
        if first_rank:
            keeper.finish(learner.best)
        fabric.barrier()
    return learner.best.eval()


def _steps(learner, feed, keeper, validator, first, save_every, log) -> None:
    """The loop; only the process that has a keeper writes."""
    config, fabric, began = learner.config, learner.fabric, time.monotonic()
    spent, saved, every = keeper.seconds if keeper else 0.0, began, config.validation.every
    with _stop_signals() as asked:
        for step in range(first, config.steps):
            found = learner.step(step, feed)
            last = step + 1 == config.steps
            measured = every is not None and ((step + 1) % every == 0 or last)
            now = time.monotonic() - began
            found |= dict(learning_rate=config.rate_at(step), seconds=spent + now)
            if keeper:
                keeper.logs.add(step, found)
            if measured:
                rows = validator.measure(learner.best, step + 1, spent + now, fabric)
                if keeper:
                    found |= keeper.validated(rows, learner.best)
            left, pace = config.steps - step - 1, (time.monotonic() - began) / (step + 1 - first)
            found |= dict(steps_left=left, seconds_left=left * pace)
            if log is not None:
                log(step, found)
            stop = learner.any(asked) and not last
            if keeper and (stop or last or measured or time.monotonic() - saved > save_every):
                keeper.save(step + 1, spent + time.monotonic() - began, learner.state())
                saved = time.monotonic()
            if stop:
                raise Interrupted(step + 1)


def batch_rows(config: TrainingConfig, windows: int, place: ranks.Place) -> slice:
    """The rows of each batch that a process works on; ValueError where it cannot be divided so."""
    size = min(config.data.batch_size, windows) if config.data.balance == "epochs" else config.data.batch_size
    if size % (place.world * config.optimizer.accumulate):
        ways = f"{place.world} processes times optimizer.accumulate = {config.optimizer.accumulate}"
        raise ValueError(f"a batch has {size} windows, expected a multiple of {ways}")
    share = size // place.world
    return slice(place.rank * share, (place.rank + 1) * share)


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
