"""Motion from wherever it comes: the generator, a motion file, an .npz of the CMU database."""

from pathlib import Path

from posemamba.motion.clips import Clip
from posemamba.motion.files import load_motion, read_cmu
from posemamba.motion.synthetic import synthetic_clips
from posemamba.storage.kinds import ZIP, existing_file


def open_motion(source: str | Path, seed: int = 0) -> list[Clip]:
    """Opens motion by name or path.

    Args:
        source: "synthetic" for the generator, or the path of a motion file (`load_motion`) or of an .npz of
            the CMU database (`read_cmu`); its content tells which.
        seed: the generator's seed; files ignore it.

    Raises:
        FileNotFoundError: there is no file; the message says what can be had without one.
        ValueError: as the reader of the file raises it.
    """
    if str(source) == "synthetic":
        return synthetic_clips(seed=seed)
    if not Path(source).exists():
        raise FileNotFoundError(f"{source} does not exist; 'synthetic' for generated motion needs no file")
    path = existing_file(source)
    with path.open("rb") as file:
        return read_cmu(path) if file.read(4) == ZIP else load_motion(path)
