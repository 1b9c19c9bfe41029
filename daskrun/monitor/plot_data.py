"""What the plots of a run show, as columns made of a :class:`Snapshot`; others draw them.

Texts of columns are escaped for a terminal, not for HTML; times are milliseconds since the epoch.
"""

from __future__ import annotations

import csv
import os
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from daskrun.core.outcome import Status
from daskrun.monitor.findings import KINDS, shares
from daskrun.monitor.snapshot import BOUNDS, quantile
from daskrun.shown.printable import one_line
from daskrun.storage.durable import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable

    from daskrun.monitor.snapshot import ProcessStatistics, Snapshot

Columns: TypeAlias = dict[str, list[Any]]
COLORS = {
    "run": "#2b7bba",
    "load": "#e08e0b",
    "write": "#8fbc5a",
    "init": "#8d6cab",
    "failed": "#c0392b",
    "waiting": "#b8b8b8",
}
DONE, FAILED, AGAIN, LEFT = COLORS["run"], COLORS["failed"], COLORS["load"], COLORS["waiting"]
MOST_BARS = 40
"""Processes drawn by name; of more, those that made most attempts."""
USAGE_ROWS = 2000
"""Lines at the ends of nodes' files of usage that are drawn, in all."""
USAGE = "processes_resource_usage.csv"
ROW_BYTES = 100
"""About what one takes."""


def progress(snapshot: Snapshot) -> Columns:
    """Return how many mini-batches are in which state: a bar of parts."""
    now = snapshot.progress
    left = max((now.total or 0) - now.succeeded - now.failed - now.in_flight, 0)
    counts = [now.succeeded, now.failed, now.in_flight, left]
    names = ["succeeded", "failed", "in flight", "not begun"]
    return _stacked(names, counts, [DONE, FAILED, AGAIN, LEFT])


def times(snapshot: Snapshot) -> Columns:
    """Return what the slots' time went into: a bar of parts, and their ``seconds``."""
    found = shares(snapshot)
    columns = _stacked([KINDS[kind] for kind in found], found.values(), map(COLORS.get, found))
    return {**columns, "seconds": [getattr(snapshot.times, kind) for kind in found]}


def throughput(snapshot: Snapshot) -> Columns:
    """Return mini-batches that succeeded, failed tries and items, each per second, over time."""
    series = snapshot.series
    counts = {"succeeded": series.succeeded, "failed": series.failed, "items": series.items}
    starts = [1000 * (series.start + n * series.width) for n in range(len(series.succeeded))]
    rates = {name: [each / series.width for each in values] for name, values in counts.items()}
    return {"time": starts, **rates}


def latency(snapshot: Snapshot) -> Columns:
    """Return a histogram of the seconds inside ``run()``."""
    classes = sorted(snapshot.latency.items())
    return {
        "left": [BOUNDS[number] for number, _ in classes],
        "right": [BOUNDS[number + 1] for number, _ in classes],
        "count": [count for _, count in classes],
    }


def processes(snapshot: Snapshot) -> Columns:
    """Return what each process's time went into, and how long its ``run()`` takes."""
    some = sorted(snapshot.processes, key=lambda each: -each.attempts)[:MOST_BARS]
    some.sort(key=_label)
    return {
        "process": [_label(each) for each in some],
        "run": [each.run for each in some],
        "load": [each.load for each in some],
        "write": [each.write for each in some],
        "init": [each.init_seconds for each in some],
        "failed": [each.failed for each in some],
        "attempts": [each.attempts for each in some],
        "failures": [each.failures for each in some],
        "gpu": [each.gpu or "none" for each in some],
        "median": [quantile(each.latency, 0.5) or 0.0 for each in some],
        "high": [quantile(each.latency, 0.95) or 0.0 for each in some],
    }


def timeline(snapshot: Snapshot) -> Columns:
    """Return the last attempts, one bar each; failures and repetitions have colors of their own."""
    made = [each for each in snapshot.attempts() if each.process >= 0]
    labels = [_label(each) for each in snapshot.processes]
    return {
        "process": [labels[each.process] for each in made],
        "left": [1000 * each.started for each in made],
        "right": [1000 * (each.started + each.elapsed) for each in made],
        "color": [FAILED if each.status else AGAIN if each.attempt > 1 else DONE for each in made],
        "index": [each.index for each in made],
        "attempt": [each.attempt for each in made],
        "status": [Status(each.status).category or "succeeded" for each in made],
        "seconds": [each.elapsed for each in made],
        "inside": [each.run_seconds for each in made],
    }


def usage(snapshot: Snapshot) -> Columns:
    """Return cores and megabytes of each script process, from the files that nodes write."""
    found: Columns = {"time": [], "process": [], "cores": [], "memory": []}
    paths = sorted(Path(snapshot.folder, "logs", "sys", "perf").glob("*/" + USAGE))
    count = max(USAGE_ROWS // max(len(paths), 1), 20)
    for path in paths:
        for row in _last_rows(path, count):
            # a line that is being written, or was cut
            with suppress(ValueError):
                when, process, _, cores, memory = row
                used, size = float(cores), float(memory)
                found["time"].append(1000 * datetime.fromisoformat(f"{when}+00:00").timestamp())
                found["process"].append(one_line(f"{path.parent.name}/{process}"))
                found["cores"].append(used)
                found["memory"].append(size)
    return found


def _last_rows(path: Path, count: int) -> list[list[str]]:
    """Return so many rows at the end of a file, which is read again once it has changed."""
    with suppress(OSError):
        about = path.stat()
        return _read_rows(path, count, (about.st_mtime_ns, about.st_size))
    return []


@lru_cache(maxsize=256)
def _read_rows(path: Path, count: int, _version: tuple[int, int]) -> list[list[str]]:
    with open_regular(path) as file:
        file.seek(max(file.seek(0, os.SEEK_END) - count * ROW_BYTES, 0))
        text = file.read().decode("utf-8", "replace")
    return list(csv.reader(text.splitlines()))[-count:]


def _stacked(names: list[str], parts: Iterable[float], colors: Iterable[Any]) -> Columns:
    """Return the parts of one bar, from left to right."""
    counts = list(parts)
    ends = list(accumulate(counts))
    return {
        "name": names,
        "left": [0, *ends[:-1]] if counts else [],
        "right": ends,
        "count": counts,
        "color": list(colors),
    }


def _label(process: ProcessStatistics) -> str:
    return one_line(f"{process.node}/{process.name.removeprefix('process')}.{process.pid}")
