"""The folder of a run: who may write into it, whether what it holds fits what is asked, and what is saved."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import yaml

from posemamba import __version__, storage
from posemamba.model import PoseMamba
from posemamba.motion.clips import Clip, select_split
from posemamba.training.config import TrainingConfig
from posemamba.training.logs import Logs
from posemamba.training.validation import Row, best, write_rows


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a folder, which is made where it is missing.

    The lock is the operating system's: it goes with the process that holds it, however that ends.

    Raises:
        ValueError: the path is a file, or another training holds the folder.
    """
    from filelock import FileLock, Timeout

    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder for the run, found a file")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        found = "another training writes into it now; wait for its end, or name another folder"
        raise ValueError(f"{folder}: {found}") from None
    try:
        yield  # the file stays: between its removal and the release two others could get in
    finally:
        lock.release()


def fingerprint(clips: list[Clip]) -> str:
    """A digest of the training split's motion, by which a run knows its data again."""
    digest = hashlib.sha256()
    for clip in select_split(clips, "train"):
        digest.update(f"{clip.name}|{clip.action}|{clip.fps}|{len(clip)}|".encode())
        for array in (clip.joints, *(array for view in clip.views for _, array in view.arrays())):
            if array is not None:
                digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def open_run(folder: Path, config: TrainingConfig, data: str, resume: bool) -> dict | None:
    """The state that a folder's run is in, or None for one that begins, whose config.yaml is written.

    Raises:
        ValueError: the folder holds something else, a run of other settings or data, or a broken checkpoint.
    """
    path, settings = folder / "checkpoint.pt", folder / "config.yaml"
    if path.exists() and not resume:
        raise ValueError(f"{folder}: holds a run already; resume it, or name another folder")
    if not path.exists():
        if (folder / "model").exists() or (settings.exists() and TrainingConfig.load(settings) != config):
            raise ValueError(f"{folder}: holds something that this run did not make; name another folder")
        if not settings.exists():
            with storage.atomic_path(settings) as target:
                target.write_text(yaml.safe_dump(asdict(config), sort_keys=False), encoding="utf-8")
        return None
    if not settings.is_file():
        raise ValueError(f"{folder}: holds a checkpoint without the config.yaml of its run")
    state = storage.read_checkpoint(path)
    if state.get("data", data) != data:
        raise ValueError(f"{folder}: its run was trained on other motion; give the same, or another folder")
    before, asked = TrainingConfig.load(settings).flat(), config.flat()
    for name in asked:
        if before[name] != asked[name]:
            found = f"its run has {name} = {before[name]!r}, asked for {asked[name]!r}"
            raise ValueError(f"{folder}: {found}; resume it unchanged, or name another folder")
    kinds = dict(step=int, seconds=float, data=str, model=dict, optimizer=dict)
    whole = all(type(state.get(name)) is kind for name, kind in kinds.items())
    if not (whole and 0 <= state["step"] <= config.steps and state["seconds"] >= 0):
        raise ValueError(f"{path}: not a checkpoint of this run")
    return state


class Keeper:
    """What writes into the folder while a run goes on.

    Args:
        folder, config, data: of the run; the last is its `fingerprint`.
        start: the state that `open_run` gave.
        check: called before anything is saved, to raise where it should not be.

    Attributes:
        seconds: how long the run had been trained before.
        logs: its curves.
        rows: all its validations.
    """

    def __init__(
        self, folder: Path, config: TrainingConfig, data: str, start: dict | None, check: Callable[[], None]
    ):
        self.folder, self.config, self.data, self.check = folder, config, data, check
        start = start or dict(step=0, seconds=0.0)
        self.saved, self.seconds = start["step"], start["seconds"]
        self.rows = [Row(**row) for row in start.get("validation", ())]
        self.logs = Logs(folder, self.saved, config.steps)
        for half in folder.glob(".checkpoint-*.pt"):  # of a process that was killed while it saved
            half.unlink()

    def validated(self, rows: Mapping[str, Row], model: PoseMamba) -> dict[str, float]:
        """Note what was measured after a step, and keep the model where it is the best so far."""
        self.rows += rows.values()
        figures = {}
        for split, row in rows.items():
            figures |= {f"validation/{split}/{n}_mm": getattr(row, n) for n in ("mpjpe", "p_mpjpe")}
            if best(self.rows, split) is row:
                self._keep(f"best_on_{split}", model, row.step, validation=asdict(row))
            self.logs.scalars(row.step - 1, figures)
        return figures

    def save(self, step: int, seconds: float, state: dict) -> None:
        """Save the state after so many steps: all or nothing."""
        with self._writing(step):
            self.logs.flush()
            rows = [asdict(row) for row in self.rows]
            state = dict(step=step, seconds=seconds, data=self.data, validation=rows) | state
            with storage.atomic_path(self.folder / "checkpoint.pt") as path:
                torch.save(state, path)
            self.saved = step
            if rows:
                write_rows(self.folder, self.rows)

    def finish(self, model: PoseMamba) -> None:
        """Write `model/`."""
        self._keep("model", model, self.config.steps)

    def _keep(self, name: str, model: PoseMamba, step: int, **about) -> None:
        about = dict(training=asdict(self.config), version=__version__) | about
        with self._writing(step):
            model.save_pretrained(self.folder / name, **about)

    @contextmanager
    def _writing(self, step: int) -> Iterator[None]:
        self.check()
        try:
            yield
        except (OSError, RuntimeError) as error:  # torch raises the latter for a disk that is full
            kept = f"the state after step {self.saved} is" if self.saved else "nothing was"
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            found = f"step {step} could not be saved ({reason}); {kept} saved"
            advice = "with room to write, the same command goes on from there"
            raise OSError(f"{self.folder}: {found}; {advice}") from error
