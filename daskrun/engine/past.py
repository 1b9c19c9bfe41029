"""The journal of a run as its next driver reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from daskrun.core.minibatch import digest
from daskrun.engine.journal_records import (
    KINDS,
    BundleRecord,
    FinalizedRecord,
    FinalizingRecord,
    PlannedRecord,
    ReopenedRecord,
    ResumedRecord,
    RunRecord,
    SurveyRecord,
    UnfinishedRecord,
    WarningsRecord,
    read_attempts,
    read_records,
)
from daskrun.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from daskrun.core.minibatch import Plan
    from daskrun.core.outcome import Outcome, ProcessInfo
    from daskrun.engine.journal_records import Attempt, Record

BESIDE_BUNDLES = tuple(kind for kind in KINDS.values() if kind is not BundleRecord)


@dataclass
class Past:
    """What is in a journal beside attempts."""

    path: Path
    plan: str = ""
    """Fingerprint of the plan."""
    surveys: dict[str, SurveyRecord] = field(default_factory=dict)
    """By what they looked at, as JSON."""
    mark: str | None = None
    """Of an output that was about to be published; None where none was, or it was given up."""
    by_name: bool = False
    """As of :class:`FinalizingRecord`."""
    finalized: bool = False
    drivers: int = 0
    """How many have resumed the run."""
    lost: dict[int, int] = field(default_factory=dict)
    """By mini-batch: which driver last found its rows gone, from 1."""
    forgiven: dict[int, int] = field(default_factory=dict)
    """By mini-batch: which driver last gave it new tries."""
    again: set[int] = field(default_factory=set)
    """Mini-batches that had succeeded, and were given new tries for items that had failed."""
    reopened: int = -1
    """How many drivers had resumed the run when its output was last reopened; -1: it wasn't."""
    part: str = ""
    """What the rows are in that the output then had."""
    restored: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """By mini-batch: offset, length, head and CRC of these."""
    mini_batches: int | None = None
    """How many there are, where that was known."""
    warnings: list[str] = field(default_factory=list)
    """For the report."""
    _rows: dict[int, tuple[int, ...]] = field(default_factory=dict)
    _part: str = ""

    def take(self, record: Record) -> None:
        """Take in the next record."""
        match record:
            case RunRecord():
                self.plan, self.mini_batches = record.plan, record.mini_batches
            case PlannedRecord():
                self.mini_batches = record.mini_batches
            case WarningsRecord():
                self.warnings += record.texts
            case SurveyRecord():
                self.surveys[json.dumps(record.key)] = record
            case ResumedRecord():
                self.drivers += 1
                self.lost.update(dict.fromkeys(record.lost, self.drivers))
                self.forgiven.update(dict.fromkeys(record.forgiven, self.drivers))
                self.again.update(record.again)
            case _:
                self._take_of_output(record)

    def _take_of_output(self, record: Record) -> None:
        match record:
            case FinalizingRecord():
                self.mark, self.by_name = record.mark, record.by_name
            case UnfinishedRecord():
                self.mark = None
            case FinalizedRecord():
                self.finalized = True
            case ReopenedRecord():
                if record.part != self._part:  # of others that are not whole nothing counts
                    self._rows, self._part = {}, record.part
                self._rows.update((each[0], tuple(each[1:])) for each in record.rows)
                if record.last:
                    self.restored, self.part, self.reopened = self._rows, self._part, self.drivers
                    self.finalized, self.mark = False, None

    def attempts(self) -> Iterator[Attempt]:
        """Yield the attempts, rows where they are now, without successes that others follow."""
        last = {}
        if self.again:
            for number, each in enumerate(read_attempts(self.path)):
                if not each.outcome.status and each.outcome.index in self.again:
                    last[each.outcome.index] = number
        for number, each in enumerate(read_attempts(self.path)):
            outcome = each.outcome
            if outcome.status or (self.reopened < each.drivers and not last):
                yield each
            elif last.get(outcome.index, number) == number:
                yield self._restored(each) if each.drivers <= self.reopened else each

    def committed(self) -> Iterator[Attempt]:
        """Yield the successes whose rows count, with where these are now."""
        for each in self.attempts():
            if not each.outcome.status and self.lost.get(each.outcome.index, 0) <= each.drivers:
                yield each

    def _restored(self, attempt: Attempt) -> Attempt:
        """Return a success that the output had when it was reopened, as it is to be read now."""
        outcome, process = attempt.outcome, attempt.process
        offset, length, head, crc = self.restored.get(outcome.index, (-1, 0, 0, 0))
        outcome = outcome._replace(offset=offset, length=length, head=head, crc=crc)
        process = process._replace(part=self.part, etag="") if process is not None else None
        return attempt._replace(outcome=outcome, process=process)


def read_past(path: Path) -> Past | None:
    """Return what is in a journal; None where there is nothing to resume from."""
    if not path.exists():
        return None
    past = None
    for record in read_records(path, *BESIDE_BUNDLES):
        past = past or Past(path)
        past.take(record)
    return past


@dataclass
class Replay:
    """The attempts of a journal, as far as they still count."""

    past: Past
    plan: Plan
    known: Callable[[int], bool]
    """Extends the plan until a mini-batch is known; False where it ends before."""
    sizes: Mapping[str, int] | None
    """Of the parts that are there; None where rows are no longer needed."""
    tries: int
    """``run_max_try``."""
    retry_failed: bool
    """Whether mini-batches that have used them up get new ones, unless the run is over."""
    over: bool = False
    """Whether the output is there already."""

    def __post_init__(self) -> None:
        self.retry_failed = self.retry_failed and not self.over
        self._out_of_tries: set[int] = set()
        self._lost: list[int] = []
        self._partly: set[int] = set()
        """Mini-batches that have succeeded but for some items."""
        self.again: list[int] = []
        """Mini-batches that had succeeded but for some items, and get new tries."""

    def __iter__(self) -> Iterator[tuple[Outcome, ProcessInfo | None, bool]]:
        """Yield what :meth:`Ledger.recall` takes."""
        past = self.past
        for driver, outcome, process, descriptor in past.attempts():
            index = outcome.index
            if not self.known(index) or digest(self.plan.encode(index)) != descriptor:
                raise StorageError(
                    f"mini-batch {index} is not what it was when the run began: its data, or how "
                    "they are cut, were changed. Submit the pipeline as a new run."
                )
            forgiven = past.forgiven.get(index, 0) > driver
            if outcome.status == 0:
                if past.lost.get(index, 0) > driver:
                    continue
                if self._is_gone(outcome, process):
                    self._lost.append(index)
                    continue
                self._out_of_tries.discard(index)
                partly = outcome.items_failed is not None
                forgiven = partly and self.retry_failed
                if partly:
                    self._partly.add(index)
                if forgiven:
                    self.again.append(index)
            elif index in self._partly:  # tried once more in vain: the success stands
                forgiven = False
            elif (outcome.lasting or outcome.attempt >= self.tries) and not forgiven:
                self._out_of_tries.add(index)
                forgiven = self.retry_failed
            yield outcome, process, forgiven

    def record(self) -> ResumedRecord:
        """Return the journal's record of this, once all attempts were read."""
        forgiven = sorted(self._out_of_tries) if self.retry_failed else []
        tries = None if self.over else self.tries
        return ResumedRecord(self._lost, forgiven, tries, tuple(self.again))

    def _is_gone(self, outcome: Outcome, process: ProcessInfo | None) -> bool:
        """Return whether the rows are in a part that is missing or too short."""
        if self.sizes is None or not outcome.length:
            return False
        part = process.part if process is not None else ""
        return self.sizes.get(part, -1) < outcome.offset + outcome.length
