"""A run's curves on disk: `curve.csv`, and TensorBoard's scalars in `logs/`."""

import csv
import time
from pathlib import Path

from posemamba import storage

ROWS = 10_000  # a longer run logs every n-th step alone


class Logs:
    """Curves from a step on. What an earlier process wrote of that step and later ones is cut off.

    Rows wait until `flush`, which comes before each checkpoint: so the curves reach at least as far as that.

    Attributes:
        every: how many steps lie between rows.
    """

    def __init__(self, folder: Path, first: int, steps: int):
        self.every, self._first, self._path = -(-steps // ROWS), first, folder / "curve.csv"
        self._events = folder / "logs" / f"events.out.tfevents.{time.time_ns()}"
        self._rows: list[dict[str, float]] = []
        self._scalars: list[tuple[float, int, dict[str, float]]] = []
        self._columns: list[str] = []
        if self._path.exists():
            self._rewrite()

    def add(self, step: int, figures: dict[str, float]) -> None:
        """Keep the figures of a step, counted from 0, where it is one of those that are logged."""
        if step % self.every == 0:
            self._rows.append({"step": step, **figures})
            self.scalars(step, figures)

    def scalars(self, step: int, figures: dict[str, float]) -> None:
        """Keep figures for TensorBoard alone."""
        self._scalars.append((time.time(), step, dict(figures)))

    def flush(self) -> None:
        """Write what waits; OSError where that is not possible."""
        rows, scalars, self._rows, self._scalars = self._rows, self._scalars, [], []
        if scalars:
            self._write_events(scalars)
        if rows:
            if (columns := list(rows[0])) != self._columns:
                self._rewrite(columns)
            with self._path.open("a", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(row.values() for row in rows)

    def _rewrite(self, columns: list[str] | None = None) -> None:
        """Write the curve anew without the rows that do not count; with other columns, if given."""
        kept = []
        if self._path.exists():
            with self._path.open(encoding="utf-8", newline="") as file:
                kept = list(csv.DictReader(file))
        columns = self._columns = columns or list(kept[0] if kept else ())
        with storage.atomic_path(self._path) as path, path.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
            if columns:
                table.writeheader()
            # A process that was killed may have left half a row, whose last fields are None.
            whole = (row for row in kept if None not in row.values() and (row["step"] or "").isdecimal())
            table.writerows(row for row in whole if int(row["step"]) < self._first)

    def _write_events(self, scalars: list[tuple[float, int, dict[str, float]]]) -> None:
        # TensorBoard's own record of a step, written here: its writer has a thread of its own, whose failures
        # (a full disk) come too late, and makes a record of each figure.
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        events, begun = [], self._events.exists()
        if not begun:
            self._events.parent.mkdir(exist_ok=True)
            start = SessionLog(status=SessionLog.START)  # at which TensorBoard forgets what came later
            heads = dict(file_version="brain.Event:2"), dict(step=self._first, session_log=start)
            events += [Event(wall_time=scalars[0][0], **head) for head in heads]
        for wall, step, figures in scalars:
            values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
            events.append(Event(wall_time=wall, step=step, summary=Summary(value=values)))
        with self._events.open("ab") as file:
            for event in events:
                RecordWriter(file).write(event.SerializeToString())
