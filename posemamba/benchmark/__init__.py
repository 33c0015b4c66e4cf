"""This machine's table of scans and networks: what `posemamba benchmark` measures and prints.

All take turns, so that whatever else the machine does meets them alike; medians and quartiles are kept. ::

    report = benchmark.load("posemamba-benchmark.json")
    benchmark.table(report, "scan", "S")

A record begins with `record.head`; then come device, threads, rounds, budget, peers and the sections::

    scan      cases: [shape, rows: [name, kind, seconds, to_best]], missing
    network   cases: [batch, precision, rows: [name, kind, parameters, seconds, to_best, times_as_fast_as]],
              missing

`seconds` holds for each part its median, lower_quartile, upper_quartile, least, most and rounds. What could
not be measured has `failed`, the reason. Lower bounds, training steps, memory, growth with length and first
calls are measured by the commands in figures/benchmark/ of a checkout.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from os import PathLike

import torch

from posemamba import record
from posemamba.benchmark.runs import SHAPES, Run, Shape, check, interleave
from posemamba.benchmark.sections import SECTIONS
from posemamba.benchmark.tables import Grid, table, tables

__all__ = ["SHAPES", "Grid", "Run", "Shape", "interleave", "load", "measure", "table", "tables"]


def measure(
    run: Run,
    out: str | PathLike,
    command: Sequence[str],
    only: Sequence[str] = (),
    show: Callable[[Grid], None] = lambda grid: None,
    sections: dict[str, Callable[[Run], Iterator[dict]]] = SECTIONS,
    **about,
) -> dict:
    """Measure sections (all, or `only` some), and keep the record in a JSON file.

    Args:
        run: the sizes, as `Run.choose` gives them.
        out: the file. It is replaced after each case, all or nothing: what is interrupted keeps what it has.
        command: how it was called, for the record; `about` are further entries.
        show: given each table when its section ends.

    Raises:
        ValueError, OSError: a section is not known, or the file cannot be written.
    """
    check("--only", only, sections)
    threads = torch.get_num_threads()
    torch.set_num_threads(run.threads)
    try:
        report = record.head("posemamba benchmark", command, [run.seed], run.device)
        report |= dict(device=run.device, threads=run.threads, rounds=run.rounds, budget=run.budget)
        report |= dict(peers=list(run.peers)) | about | dict(sections={})
        record.write(out, report)
        for name in (name for name in sections if not only or name in only):
            begin = time.perf_counter()
            for content in sections[name](run):
                report["sections"][name] = {"took_seconds": time.perf_counter() - begin, **content}
                record.write(out, report)
            for grid in tables(report, name):
                show(grid)
    finally:
        torch.set_num_threads(threads)
    return report


def load(path: str | PathLike) -> dict:
    """Read a benchmark's record. FileNotFoundError or ValueError says what is wrong with the file."""
    report = record.read(path)
    if report["what"] != "posemamba benchmark":
        raise ValueError(f"{path}: not a record of posemamba benchmark")
    return report
