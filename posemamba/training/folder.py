"""The folder of a run: who may write into it, what it holds, and whether that fits what is asked."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml

from posemamba import storage
from posemamba.motion.clips import Clip, select_split
from posemamba.training.config import TrainingConfig


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
    before, asked = TrainingConfig.load(settings).flat(), config.flat()
    for name in asked:
        if before[name] != asked[name]:
            found = f"its run has {name} = {before[name]!r}, asked for {asked[name]!r}"
            raise ValueError(f"{folder}: {found}; resume it unchanged, or name another folder")
    state = storage.read_checkpoint(path)
    kinds = dict(step=int, seconds=float, model=dict, optimizer=dict)
    whole = all(type(state.get(name)) is kind for name, kind in kinds.items())
    if not whole or not 0 <= state["step"] <= config.steps or not state["seconds"] >= 0:
        raise ValueError(f"{path}: not a checkpoint of this run")
    if state.get("data") != data:
        raise ValueError(f"{folder}: its run was trained on other motion; give the same, or another folder")
    return state
