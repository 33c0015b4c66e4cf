"""What the commands share: their output, its progress, and options that several have."""

import os
import shlex
import subprocess
import time
from functools import partial
from typing import Annotated

from rich.console import Console
from typer import Option

# Of several processes that torchrun began, the first one speaks.
out = Console(markup=False, quiet=os.environ.get("RANK", "0") != "0")
say = partial(out.print, soft_wrap=True)  # a sentence, which the terminal itself wraps

Data = Annotated[str, Option(help="'synthetic', or a motion file (data_prep/ makes them).")]
Seed = Annotated[int, Option(min=0, help="Seed of everything random.")]


def command(*words: object) -> str:
    """A command as one types it, with what needs it in quotes."""
    words = [str(word) for word in words]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


class Progress:
    """A bar on a terminal; elsewhere a line now and then."""

    def __init__(self, total: int | None):
        from rich import progress as rich

        times = (rich.MofNCompleteColumn(), rich.TimeElapsedColumn(), rich.TimeRemainingColumn())
        columns = (rich.TextColumn("{task.description}"), rich.BarColumn(), *times)
        self.bar = rich.Progress(*columns, console=out, transient=True, disable=not out.is_terminal)
        self.task = self.bar.add_task("starting", total=total)
        self.total, self.error, self.said = total, None, time.monotonic()

    def __enter__(self) -> "Progress":
        self.bar.start()
        return self

    def __exit__(self, *_) -> None:
        self.bar.stop()

    def stage(self, text: str, done: int | None = None, total: int | None = None) -> None:
        """What is being done, and how much of it there is."""
        self.bar.update(self.task, description=text, completed=done, total=total)
        self.total = total or self.total
        if self.bar.disable and (time.monotonic() - self.said > 30 or (done and done == self.total)):
            self.said = time.monotonic()
            out.print(f"step {done} of {self.total}: {text}" if done and self.total else text)

    def log(self, step: int, figures: dict[str, float]) -> None:
        """Called by training: the running mean of the error, and how long it still takes."""
        now, total = figures["mpjpe_mm"], step + 1 + figures["steps_left"]
        if self.error is None:  # the steps of an earlier run say nothing of this one's pace
            self.bar.reset(self.task, completed=step, total=total)
        self.error = now if self.error is None else 0.98 * self.error + 0.02 * now
        for split in ("test", "subjects"):
            if (measured := figures.get(f"validation/{split}/mpjpe_mm")) is not None:
                whose = "the test split" if split == "test" else "held-out subjects"
                self.bar.console.print(f"step {step + 1}: MPJPE {measured:.1f} mm on {whose}")
        text = f"MPJPE {self.error:.1f} mm (training windows)"
        if self.bar.disable:
            text += f", {_duration(figures['seconds_left'])} left"
        self.stage(text, step + 1, total)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
