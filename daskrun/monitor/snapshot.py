"""What the views of a run are made from: a value that is kept beside the run, of bounded size."""

from __future__ import annotations

import bisect
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from daskrun.core.codec import from_record, record, to_record
from daskrun.core.json_text import parsed
from daskrun.core.report import ErrorGroup, Progress, RunStatus
from daskrun.shown.url_secrets import without_url_secrets
from daskrun.storage.durable import read_file

STATISTICS = Path("sys", "statistics.json")
"""Where it is kept, below a run's ``logs``."""
TEXTS = ("message", "waiting_for", "settings", "items", "happenings", "errors", "warnings")
"""Fields that hold what exceptions, observers and stores have said."""
LATEST, MOST = 1e11, 1 << 62
"""Seconds since the epoch, and counts, above those that can be."""
MOST_INTERVALS = 512
PER_DECADE = 10
"""Classes of durations in a factor of ten."""
SHORTEST = 1e-6
"""Seconds of the lower bound of the first class."""
CLASSES = 11 * PER_DECADE + 1
"""From a microsecond to a day, and longer."""
BOUNDS = tuple(SHORTEST * 10 ** (n / PER_DECADE) for n in range(CLASSES + 1))
"""Seconds; class *n* holds durations from the *n*-th bound to the next."""


def class_of(seconds: float) -> int:
    """Return the class of a duration.

    Examples
    --------
    >>> BOUNDS[class_of(0.5)] <= 0.5 < BOUNDS[class_of(0.5) + 1]
    True
    """
    return min(max(bisect.bisect_right(BOUNDS, seconds) - 1, 0), CLASSES - 1)


def quantile(counts: dict[int, int], part: float) -> float | None:
    """Return the seconds below which a part of the durations lie, to a tenth of a decade.

    Examples
    --------
    >>> round(quantile({class_of(1.0): 9, class_of(100.0): 1}, 0.5), 1)
    1.3
    """
    left = part * sum(counts.values())
    for number in sorted(counts):
        left -= counts[number]
        if left <= 0:
            return BOUNDS[number + 1]
    return None


class Attempt(NamedTuple):
    """One attempt at a mini-batch, as a view draws it."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nothing here uses
    attempt: int
    status: int
    process: int
    """Position in :attr:`Snapshot.processes`; -1: none."""
    started: float
    """Seconds since the epoch."""
    elapsed: float
    run_seconds: float
    load_seconds: float

    @property
    def write_seconds(self) -> float:
        """Seconds in which its results were counted and written."""
        return max(self.elapsed - self.run_seconds - self.load_seconds, 0.0)


@record
@dataclass
class SlotTimes:
    """Seconds of slots, and what they were spent on; what is left of ``slots`` is waiting."""

    slots: float = 0.0
    """Every slot counts for as long as its node is there."""
    init: float = 0.0
    load: float = 0.0
    run: float = 0.0
    write: float = 0.0
    failed: float = 0.0
    """All of attempts that failed."""

    @property
    def waiting(self) -> float:
        """Seconds in which slots had nothing in hand."""
        used = self.init + self.load + self.run + self.write + self.failed
        return max(self.slots - used, 0.0)


@record
@dataclass
class ProcessStatistics:
    """What a script process has done."""

    node: str
    name: str
    pid: int
    started: float
    """Seconds since the epoch; 0 where that is not known."""
    init_seconds: float = 0.0
    attempts: int = 0
    failures: int = 0
    items: int = 0
    load: float = 0.0
    run: float = 0.0
    write: float = 0.0
    failed: float = 0.0
    latency: dict[int, int] = field(default_factory=dict)
    """Seconds inside ``run()``: by class of durations how many attempts."""
    gpu: str = ""


@record
@dataclass
class Series:
    """What happened in intervals of equal length, from the beginning on.

    When there are too many, two become one and ``width`` doubles.
    """

    start: float
    """Seconds since the epoch."""
    width: float = 1.0
    succeeded: list[int] = field(default_factory=list)
    """Mini-batches."""
    failed: list[int] = field(default_factory=list)
    """Attempts."""
    items: list[int] = field(default_factory=list)
    """Of mini-batches that succeeded."""

    def add(self, ended: float, status: int, items: int) -> None:
        """Count an attempt in the interval in which it ended, seconds since the epoch."""
        while (at := max(int((ended - self.start) / self.width), 0)) >= MOST_INTERVALS:
            self.width *= 2
            for values in (self.succeeded, self.failed, self.items):
                values[:] = [sum(values[n : n + 2]) for n in range(0, len(values), 2)]
        missing = [0] * (at + 1 - len(self.succeeded))
        for values in (self.succeeded, self.failed, self.items) if missing else ():
            values += missing
        if status:
            self.failed[at] += 1
        else:
            self.succeeded[at] += 1
            self.items[at] += items


@record
@dataclass(frozen=True)
class Happening:
    """Something that happened to a node, a process or the run."""

    at: float
    """Seconds since the epoch."""
    node: str
    text: str


@record
@dataclass(frozen=True)
class InFlight:
    """A bundle that is with a node."""

    number: int
    node: str
    first: int
    """Its first mini-batch."""
    count: int
    since: float
    """Seconds since the epoch."""


@record
@dataclass
class Snapshot:
    """A run of a step at one moment: all that its views show."""

    run_id: str
    step: str
    started: float
    """Seconds since the epoch, when its first driver began."""
    updated: float
    status: RunStatus
    progress: Progress
    times: SlotTimes
    series: Series
    experiment: str = ""
    pipeline_run: str = ""
    folder: str = ""
    """The run's folder on the driver's machine."""
    settings: dict[str, str] = field(default_factory=dict)
    """As texts; of environment variables the names only."""
    seconds: float = 0.0
    """That its drivers have worked, by their own clocks."""
    driver_started: float = 0.0
    """Seconds since the epoch, when the present driver began, or the last one."""
    returned: float = 0.0
    """Seconds since the epoch, when a bundle came back last."""
    backups: int = 0
    """Mini-batches that were late and were run a second time meanwhile."""
    attempts_before: int = 0
    """Attempts that earlier drivers have counted."""
    message: str = ""
    waiting_for: str = ""
    """What keeps it from going on, in words; ``""`` while it works."""
    dashboard: str = ""
    """Address of the pages that show it, ``""`` where none is known."""
    slots: int = 0
    nodes: int = 0
    results: int = 0
    """Elements that ``run()`` returned."""
    output_bytes: int = 0
    latency: dict[int, int] = field(default_factory=dict)
    """As :attr:`ProcessStatistics.latency`, of all."""
    processes: list[ProcessStatistics] = field(default_factory=list)
    """The last thousand that came."""
    recent: list[list[float]] = field(default_factory=list)
    """The last attempts, each an :class:`Attempt`, in the order in which they came back."""
    slowest: list[list[float]] = field(default_factory=list)
    """Attempts, the longest first."""
    items: dict[str, str] = field(default_factory=dict)
    """By mini-batch, as text, which items those in ``slowest`` have: the first and the last."""
    in_flight: list[InFlight] = field(default_factory=list)
    """The oldest first."""
    happenings: list[Happening] = field(default_factory=list)
    """The last ones."""
    errors: list[ErrorGroup] = field(default_factory=list)
    """The most frequent first."""
    other_errors: int = 0
    """Distinct errors that are not among them."""
    warnings: list[str] = field(default_factory=list)
    epoch: float = 0.0
    """Seconds since the epoch at which its driver's clock showed 0."""
    events: int = -1
    """Bytes at the beginning of the log of events that are in it; -1: not known."""
    left: bool = False
    """Whether its driver has left the scheduler that shows it."""

    @property
    def standing(self) -> str:
        """How the run stands, as far as whoever shows this knows."""
        return "Driver left" if self.left else self.status.value

    @property
    def busy(self) -> int:
        """Slots with a bundle in hand."""
        return min(self.slots, len(self.in_flight))

    def quantile(self, part: float) -> float | None:
        """Return the seconds inside ``run()`` below which a part of the attempts lie."""
        return quantile(self.latency, part)

    def attempts(self) -> list[Attempt]:
        """Return the last attempts."""
        return [_attempt(each) for each in self.recent]

    def longest(self) -> list[Attempt]:
        """Return the attempts that took longest, the longest first."""
        return [_attempt(each) for each in self.slowest]

    def as_json(self) -> str:
        """Return it as text, for :func:`from_json`, without secrets of URLs."""
        # Attempts are lists of numbers already: to walk through them would take 8 ms of 11.
        plain = to_record(replace(self, recent=[], slowest=[]))
        plain.update(recent=self.recent, slowest=self.slowest)
        for name in TEXTS:
            plain[name] = without_url_secrets(plain[name])
        return json.dumps(plain, separators=(",", ":"), allow_nan=False)


def _attempt(values: list[float]) -> Attempt:
    return Attempt(*map(int, values[:4]), *values[4:])


def from_json(text: str) -> Snapshot:
    """Return the snapshot of a text; ValueError, TypeError or KeyError where it is none.

    Others may have written it: what views compute with is checked.
    """
    plain = parsed(text)
    if not isinstance(plain, dict):
        raise TypeError(f"{text[:40]!r} is no snapshot of a run")
    found = from_record(Snapshot, plain, known_only=True)
    if not _is_sound(found):
        raise ValueError(f"{text[:40]!r} is no snapshot of a run that can be")
    return found


def _is_sound(found: Snapshot) -> bool:
    """Return whether numbers are numbers of the sizes that they can have, and texts are texts."""
    series, progress = found.series, found.progress
    seconds = [found.started, found.updated, found.driver_started, found.epoch, found.seconds]
    seconds += [series.start, series.width, *vars(found.times).values()]
    seconds += [each.at for each in found.happenings] + [each.since for each in found.in_flight]
    counts = [*series.succeeded, *series.failed, *series.items, found.results, found.output_bytes]
    counts += [progress.succeeded, progress.failed, progress.items, progress.in_flight]
    counts.append(found.events + 1)
    latencies = [found.latency, *(each.latency for each in found.processes)]
    classes = [key for each in latencies for key in each]
    rows = [*found.recent, *found.slowest]
    texts = [found.run_id, found.step, found.message, found.waiting_for, found.folder]
    return (
        all(isinstance(each, int | float) and 0 <= each < LATEST for each in seconds)
        and all(isinstance(each, int) and 0 <= each < MOST for each in counts)
        and all(0 <= each < CLASSES for each in classes)
        and all(len(row) == len(Attempt._fields) for row in rows)
        and all(-1 <= row[3] < len(found.processes) for row in rows)
        and all(
            isinstance(each, int | float) and abs(each) < LATEST for row in rows for each in row
        )
        and len({len(series.succeeded), len(series.failed), len(series.items)}) == 1
        and len(series.succeeded) <= MOST_INTERVALS
        and series.width > 0
        and all(isinstance(each, str) for each in texts)
    )


def read_snapshot(logs: Path) -> Snapshot | None:
    """Return the snapshot that is kept below a run's ``logs``; None where there is none."""
    try:
        return from_json(read_file(logs / STATISTICS).decode())
    except (OSError, ValueError, TypeError, KeyError):
        return None
