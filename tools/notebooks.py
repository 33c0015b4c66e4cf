"""Notebooks run and brought into one normal form, so that doing it twice changes nothing.

    python tools/notebooks.py execute book        runs them and stores their outputs
    python tools/notebooks.py try book            runs each alone in an empty folder and stores nothing
    python tools/notebooks.py normalise book      only brings them into that form

What differs from run to run or from editor to editor goes: ids, counts, timestamps, kernel versions, how a
stream was cut into pieces. What a chapter's tags mean is written out for the book, JupyterLab and Colab.
"""

import argparse
import hashlib
import math
import os
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from posemamba.storage import atomic_path

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
IGNORED = "nbval-ignore-output"
# A solution is folded by a tag in the book, by source_hidden in JupyterLab and by cellView in Colab.
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}}
# What the kernels' environment says, unless it says something already. Threads that wait for each other
# sleep: torch's spin by default, and beside other busy processes a chapter then takes many times as long.
KERNELS = {"OMP_WAIT_POLICY": "PASSIVE"}
SKIPPED = {".ipynb_checkpoints", "_build", ".venv"}


def find(paths: Iterable[str | Path]) -> list[Path]:
    """The notebooks that paths name: files, and folders with all that is under them.

    Raises FileNotFoundError for a path that is not there and ValueError for a file of another kind.
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(p for p in path.rglob("*.ipynb") if not SKIPPED & set(p.relative_to(path).parts))
        elif not path.exists():
            raise FileNotFoundError(f"{path} is not there, expected a notebook or a folder of notebooks.")
        elif path.suffix != ".ipynb":
            raise ValueError(f"{path} is not a notebook, expected a name that ends in .ipynb.")
        else:
            found.append(path)
    return found


def read(path: str | Path):
    """The notebook in a file, as nbformat has it; ValueError for a file that is none."""
    import nbformat

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # missing ids are given by normalise
        try:
            return nbformat.reads(Path(path).read_text(encoding="utf-8"), as_version=4)
        except OSError:
            raise
        except Exception as error:  # nbformat raises many kinds, whatever the file's text happens to be
            reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
            raise ValueError(f"{path} is not a notebook, expected nbformat 4: {reason}") from error


def write(notebook, path: str | Path) -> None:
    """Writes the notebook to a file; one that is there stays whole until the new one is."""
    with atomic_path(Path(path)) as temporary:
        Path(temporary).write_bytes(text(notebook).encode("utf-8"))


def text(notebook) -> str:
    """What the notebook's file holds: the same on every system."""
    import nbformat

    return nbformat.writes(notebook).rstrip("\n") + "\n"


def normalise(notebook, earlier=None):
    """A notebook in normal form.

    Args:
        notebook: as ``read`` or a run gives it.
        earlier: the notebook as it was stored before a run. A cell tagged nbval-ignore-output (a timing, say)
            whose source is as it was keeps its stored outputs: new ones would only change the file.

    Returns:
        A new notebook. Normalising it again returns the same.
    """
    import nbformat

    stored = _ignored_outputs(earlier) if earlier is not None else {}
    seen: Counter[str] = Counter()
    cells, count = [], 0
    for cell in notebook.cells:
        source = cell.source.rstrip()
        if not source:
            continue
        kept = {"cell_type": cell.cell_type, "metadata": _metadata(cell), "source": source}
        if cell.cell_type == "code":
            count += 1
            outputs = cell.outputs
            if IGNORED in kept["metadata"].get("tags", ()) and stored.get(source):
                outputs = stored[source].pop(0)
            kept |= {"execution_count": None if cell.execution_count is None else count}
            kept |= {"outputs": _outputs(outputs, kept["execution_count"])}
        elif "attachments" in cell:
            kept["attachments"] = cell.attachments
        digest = hashlib.sha256(f"{cell.cell_type}\n{source}".encode()).hexdigest()[:8]
        seen[digest] += 1
        kept["id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        cells.append(kept)
    return nbformat.from_dict({"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5})


def _ignored_outputs(notebook) -> dict[str, list]:
    stored = defaultdict(list)
    for cell in notebook.cells:
        if cell.cell_type == "code" and IGNORED in cell.metadata.get("tags", ()) and cell.execution_count:
            stored[cell.source.rstrip()].append(cell.outputs)
    return stored


def _metadata(cell) -> dict:
    tags = set(cell.metadata.get("tags", ()))
    if "solution" in tags:
        return FOLDED | {"tags": sorted(tags | {"hide-input"})}
    return {"tags": sorted(tags)} if tags else {}


def _outputs(outputs, count: int | None) -> list[dict]:
    """Outputs with streams in one piece and no traces of the run."""
    kept: list[dict] = []
    for output in outputs:
        output = {key: value for key, value in output.items() if key != "transient"}
        if output["output_type"] == "execute_result":
            output["execution_count"] = count
        if output["output_type"] == "stream":
            same = [o for o in kept if o["output_type"] == "stream" and o["name"] == output["name"]]
            if same and kept[-1]["output_type"] == "stream":
                same[-1]["text"] += output["text"]
                continue
        kept.append(output)
    return kept


def execute(path: Path, folder: Path | None = None, timeout: float = 600.0):
    """Runs a notebook, in its own folder where no other is given.

    Returns:
        The notebook with its new outputs, not yet normalised, and the seconds from the kernel's start on.

    Raises:
        nbclient.exceptions.CellExecutionError: at the first cell that fails.
    """
    from nbclient import NotebookClient

    notebook = read(path)
    place = {"metadata": {"path": str(folder or path.resolve().parent)}}
    options = dict(timeout=timeout, kernel_name="python3", record_timing=False)
    start = time.perf_counter()
    NotebookClient(notebook, resources=place, **options).execute()
    return notebook, time.perf_counter() - start


def _run_all(paths: list[Path], run: Callable[[Path], tuple[float, str]]) -> int:
    """Runs notebooks one by one; ``run(path)`` returns the seconds and a word on what became of the file."""
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    os.environ.update(KERNELS | os.environ, POSEMAMBA_RENDERER="book")
    total, failed = 0.0, 0
    for path in paths:
        try:
            seconds, word = run(path)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            print(f"{path}: stopped, the file is as it was\n{error}", file=sys.stderr, flush=True)
            failed += 1
            continue
        total += seconds
        print(f"{path}: {math.ceil(seconds)} s ({seconds:.1f}), {word}", flush=True)
    print(f"{len(paths) - failed} notebooks in {total:.0f} s" + (f", {failed} failed" if failed else ""))
    return int(failed > 0)


def _execute_all(paths: list[Path], fresh: bool) -> int:
    os.environ.update(SCALE="small", POSEMAMBA_TINY="0")  # what is stored is what a reader's laptop computes

    def run(path: Path) -> tuple[float, str]:
        notebook, seconds = execute(path)
        new = normalise(notebook, None if fresh else read(path))
        if text(new).encode() == path.read_bytes():
            return seconds, "unchanged"
        write(new, path)
        return seconds, "written"

    return _run_all(paths, run)


def _try_all(paths: list[Path]) -> int:
    def run(path: Path) -> tuple[float, str]:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            return execute(path, Path(folder))[1], "not stored"

    return _run_all(paths, run)


def _normalise_all(paths: list[Path], check: bool) -> int:
    different = 0
    for path in paths:
        new = normalise(read(path))
        if text(new).encode() == path.read_bytes():
            continue
        different += 1
        print(f"{path}: {'not in normal form' if check else 'normalised'}")
        if not check:
            write(new, path)
    print(f"{len(paths)} notebooks, {different} {'to normalise' if check else 'changed'}")
    return int(check and different > 0)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python tools/notebooks.py", description="The book's notebooks.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("execute", help="run notebooks and store their outputs in normal form")
    run.add_argument(
        "--fresh", action="store_true", help=f"replace the outputs of cells tagged {IGNORED} too"
    )
    trial = commands.add_parser(
        "try", help="run notebooks alone in an empty folder, at the environment's SCALE, and store nothing"
    )
    tidy = commands.add_parser("normalise", help="bring notebooks into normal form without running them")
    tidy.add_argument(
        "--check", action="store_true", help="change nothing, fail where something would change"
    )
    for command in (run, trial, tidy):
        command.add_argument("paths", nargs="+", metavar="PATH", help="notebooks, or folders of notebooks")
    chosen = parser.parse_args(arguments)
    try:
        paths = find(chosen.paths)
        if chosen.command == "normalise":
            return _normalise_all(paths, chosen.check)
        if chosen.command == "try":
            return _try_all(paths)
        return _execute_all(paths, chosen.fresh)
    except (OSError, ValueError) as error:
        print(f"notebooks: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
