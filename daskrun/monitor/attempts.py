"""``processed_mini-batches.csv``: one row for each attempt at a mini-batch."""

from __future__ import annotations

import csv
import os
import time
from typing import TYPE_CHECKING

from daskrun.core.events import Observer
from daskrun.core.minibatch import FilePaths
from daskrun.core.outcome import Failure, Status
from daskrun.core.typing import override
from daskrun.data.protocols import shown_url
from daskrun.storage.durable import open_file
from daskrun.storage.folders import make_folder, open_kept

if TYPE_CHECKING:
    from pathlib import Path

    from daskrun.core.events import BundleReturned
    from daskrun.core.minibatch import Plan
    from daskrun.core.outcome import Outcome

LAST = 1 << 20
"""Bytes at the end of a file in which its last whole line is looked for."""
COLUMNS = (
    "Mini-batch Id",
    "Picked Count",
    "Process",
    "Process Start Time (UTC)",
    "Total",
    "Succeeded",
    "Failed",
    "Elapsed Seconds",
    "Process Seconds",
    "Run Method Seconds",
    "Status",
    "Error Category",
    "Error Message",
    "Mini-batch Detail",
)
"""Azure ML's, in its order. Elapsed Seconds are those of load, run and write; Process Seconds leave
out waiting, which here is over before an attempt begins: they are the same."""


class AttemptTable(Observer):
    """Writes a row for each attempt to ``path``; with a ``plan`` failed ones name their items."""

    def __init__(self, path: Path, plan: Plan | None = None) -> None:
        self._plan = plan
        make_folder(path.parent)
        if path.exists():  # an earlier driver of the run may have been killed within a row
            cut_torn_line(path, b'"')
        # Rows gather here until flush(): a write for each bundle would cost more than the row.
        self._file = open_kept(path, "a", encoding="utf-8", errors="backslashreplace", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        if path.stat().st_size == 0:
            self._writer.writerow(COLUMNS)

    @override
    def on_bundle_returned(self, event: BundleReturned) -> None:
        process = event.process
        where, started = ("", "")
        if process is not None:
            where, started = f"{process.node}/{process.name}", _utc(process.started)
        # A plain row needs no quoting, and by hand costs a third of what csv takes for it.
        plain = f",{where},{started},"
        rows: list[str] = []
        for outcome in event.outcomes:
            index, attempt, status, items, results, _, _, _, _, _, elapsed, inside, _, _ = outcome
            if status:
                self._file.write("".join(rows))
                rows.clear()
                self._writer.writerow(_failed_row(outcome, where, started, self._plan))
                continue
            done = results if results < items else items
            seconds = f"{elapsed:.6f}"
            row = (
                f"{index},{attempt}{plain}{items},{done},{items - done},{seconds},{seconds},"
                f"{inside:.6f},Succeeded,,,"
            )
            if done == items:
                rows.append(f"{row}mini-batch {index}\n")
            else:  # which of them are lost, the script alone knows
                detail = f"mini-batch {index}{named_items(self._plan, index)}".replace('"', '""')
                rows.append(f'{row}"{detail}"\n')
        self._file.write("".join(rows))

    def flush(self) -> None:
        """Write what was added to the file."""
        self._file.flush()

    @override
    def close(self) -> None:
        self._file.close()


def cut_torn_line(path: Path, quote: bytes = b"") -> None:
    """Cut off what follows a file's last whole line; no line ends between two ``quote``."""
    with os.fdopen(open_file(path, os.O_RDWR), "rb+") as file:
        quotes = 0
        while quote and (block := file.read(LAST)):
            quotes += block.count(quote)
        size = file.seek(0, os.SEEK_END)
        start = file.seek(max(0, size - LAST))
        tail = file.read()
        end = len(tail)
        while end and (tail[end - 1 : end] != b"\n" or quotes % 2):
            before = tail.rfind(b"\n", 0, end - 1) + 1
            quotes -= tail.count(quote, before, end) if quote else 0
            end = before
        if end < len(tail):
            file.truncate(start + end)


def item_paths(plan: Plan, index: int) -> list[str]:
    """Return the path or URL of each file of a mini-batch, with bounds where it is a piece."""
    mini_batch = plan[index]
    root = plan.inputs[mini_batch.input].root.rstrip("/")
    load = mini_batch.load
    if isinstance(load, FilePaths):
        return [shown_url(f"{root}/{name}") for name in load.names]
    return [
        shown_url(f"{root}/{name}") + ("" if stop is None else f" [{start}:{stop}]")
        for name, start, stop, _ in load.pieces
    ]


def named_items(plan: Plan | None, index: int) -> str:
    """Return the first and the last item of a mini-batch."""
    items = item_paths(plan, index) if plan is not None else []
    if not items:
        return ""
    return f", {items[0]}" + (f" ... {items[-1]}" if len(items) > 1 else "")


def _failed_row(
    outcome: Outcome, where: str, started: str, plan: Plan | None
) -> tuple[object, ...]:
    failure = outcome.failure or Failure("")
    place = f", {failure.where}" if failure.where else ""
    place += named_items(plan, outcome.index)
    return (
        outcome.index,
        outcome.attempt,
        where,
        started,
        outcome.items,
        0,
        outcome.items,
        f"{outcome.elapsed:.6f}",
        f"{outcome.elapsed:.6f}",
        f"{outcome.run_seconds:.6f}",
        "Failed",
        Status(outcome.status).category,
        failure.message,
        f"mini-batch {outcome.index}{place}",
    )


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
