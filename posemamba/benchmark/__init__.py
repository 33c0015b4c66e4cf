"""This machine's table of scans and networks: what `posemamba benchmark` measures, stores and prints.

`measure` runs the sections that its settings name and writes a JSON file after each step, so that an
interrupted run keeps what it has. `load` and `table` read such a file::

    from posemamba import benchmark
    report = benchmark.load("posemamba-benchmark.json")
    benchmark.table(report, "scan", "S")

In all sections the contestants take turns (`timing.interleave`); medians and quartiles are kept. The file::

    what, command, date, commit, hardware, versions, peers, device, threads, rounds, seed
    sections.scan      cases: [shape, work, rows: [name, kind, seconds, memory, agreement, to_best,
                       to_bound]], missing, copy, threads, first_call
    sections.network   cases: [batch, precision, mode, rows: [name, kind, parameters, seconds, memory,
                       sequences_a_second, to_best, times_as_fast_as]], missing
    sections.training  rows: [variant, batch, frames, precision, mode, seconds, memory, sequences_a_second]
    sections.length    rows: [frames, seconds, memory], exponents

`seconds` holds for each part its median, lower_quartile, upper_quartile, least, most and rounds; memory is in
bytes. What could not be measured has `failed`, the reason. A section that ran to its end has `done`: true.
"""

from collections.abc import Callable
from pathlib import Path

from posemamba.benchmark.report import Grid, load, table, tables

__all__ = ["Grid", "load", "measure", "table", "tables"]


def measure(
    settings,
    out: str | Path,
    command: list[str],
    log: Callable[[str], None] = lambda line: None,
    show: Callable[[Grid], None] = lambda grid: None,
) -> dict:
    """Run the sections of some `cases.Settings` and keep the record in a JSON file.

    Arguments:
        out: the file; its folder must exist. It is replaced after each step, all or nothing.
        command: how it was called, for the record.
        log: told what is being done.
        show: given each table when its section ends.

    Returns the record. Raises ValueError or OSError where the file cannot be written.
    """
    import time
    from importlib import import_module

    import torch

    from posemamba import storage
    from posemamba.benchmark import record

    modules = {"scan": "scans", "network": "networks", "training": "training", "length": "lengths"}
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        report = record.head(settings, command)
        storage.write_json(out, report)
        for name in settings.sections:
            begin = time.perf_counter()

            def keep(found: dict, name=name, begin=begin, done=False) -> None:
                wall = time.perf_counter() - begin
                report["sections"][name] = {"done": done, "took_seconds": wall} | found
                storage.write_json(out, report)

            last: dict = {}
            import_module(f"posemamba.benchmark.{modules[name]}").section(
                settings, log, lambda found, last=last, keep=keep: (last.update(found), keep(found))
            )
            keep(last, done=True)
            for grid in tables(report, name):
                show(grid)
    finally:
        torch.set_num_threads(threads)
    return report
