"""The records of a run's journal: what each holds, and how it is written and read again.

On the disk a record is a JSON object whose first entry is its ``kind``. A field that has its
default is left out, and one that isn't known is passed over when it is read, so that journals of
earlier and later versions can be read.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from daskrun.core.outcome import Failure, ItemsFailed, Outcome, ProcessInfo
from daskrun.storage.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from daskrun.core.events import BundleReturned

ERROR_CAP = 1000
"""Characters of a failed attempt's message in the journal; the whole is in the logs."""
TEXT_CAP = 16 * 1024
"""Characters of its traceback, which the first error of each place has in the journal."""
MOST_TEXTS = 1000
KEPT = ("message", "kind", "where", "ended")
"""What of a :class:`Failure` the journal has, beside its text."""


KINDS: dict[str, type[Record]] = {}


@dataclass(frozen=True)
class Record:
    """A record; each kind of them is a class below."""

    kind: ClassVar[str]

    def __init_subclass__(cls, kind: str) -> None:
        cls.kind = kind
        KINDS[kind] = cls


@dataclass(frozen=True)
class RunRecord(Record, kind="run"):
    """What the run is; the first record."""

    run: str
    plan: str
    """Fingerprint of the plan."""
    mini_batches: int | None
    """How many there are, where that was known."""
    settings: Mapping[str, object] | None = None
    """As :func:`daskrun.core.told.told_settings` has them."""


@dataclass(frozen=True)
class PlannedRecord(Record, kind="planned"):
    """How many mini-batches there are, where that was not known at first."""

    mini_batches: int


@dataclass(frozen=True)
class SurveyRecord(Record, kind="survey"):
    """A survey that was made, or was done without."""

    key: Sequence[object]
    """What it looked at."""
    found: str | None = None
    """As :func:`daskrun.engine.surveys.as_text` has it."""
    trouble: str | None = None
    """Why it could not be made."""


@dataclass(frozen=True)
class WarningsRecord(Record, kind="warnings"):
    """What the report is to say in any case: what was read with them isn't read again."""

    texts: Sequence[str]


@dataclass(frozen=True)
class BundleRecord(Record, kind="bundle"):
    """What came back of a bundle: what commits its mini-batches."""

    number: int
    process: tuple[str, str, int] | None
    """Node, name and pid."""
    part: str
    """Which the offsets of its outcomes are in."""
    outcomes: Sequence[Sequence[object]]
    """Each ``[index, attempt, status, items, results, offset, length, head, crc, digest]``: no
    times."""
    errors: Mapping[str, Mapping[str, str]] | None = None
    """By index, of each that failed."""
    items: Mapping[str, Sequence[Any]] | None = None
    """By index, of each success with items that failed: the fields of :class:`ItemsFailed`."""
    etag: str = ""
    """Of the part, where it is an object."""


@dataclass(frozen=True)
class ResumedRecord(Record, kind="resumed"):
    """What a further driver found, after all that it took over; or the same one, at the end."""

    lost: Sequence[int]
    """Mini-batches whose rows were gone."""
    forgiven: Sequence[int]
    """Mini-batches that were given new tries."""
    tries: int | None = None
    """``run_max_try`` from then on; None where the output was there already."""
    again: Sequence[int] = ()
    """Mini-batches that had succeeded but for some items, and were given new tries for these."""


@dataclass(frozen=True)
class FinalizingRecord(Record, kind="finalizing"):
    """The output is about to get its name."""

    mark: str
    """By which it is known."""
    mini_batches: int | None = None
    by_name: bool = False
    """Whether its rows are not as they were committed: columns were put together by name."""


@dataclass(frozen=True)
class UnfinishedRecord(Record, kind="unfinished"):
    """It has not got it after all."""


@dataclass(frozen=True)
class FinalizedRecord(Record, kind="finalized"):
    """The output is there, whole."""


@dataclass(frozen=True)
class ReopenedRecord(Record, kind="reopened"):
    """The output is to be made anew: of the rows that are in it, and of more.

    There are as many of these as it takes; nothing is reopened before the last.
    """

    part: str
    """What its rows are in from then on."""
    rows: Sequence[Sequence[int]]
    """Of each mini-batch with rows: ``[index, offset, length, head, crc]`` there."""
    last: bool = False


def encode(record: Record) -> dict[str, Any]:
    """Return a record as the journal takes it."""
    values = ((each, getattr(record, each.name)) for each in fields(record))
    told = {each.name: value for each, value in values if value is not each.default}
    return {"kind": record.kind, **told}


def decode(entry: Mapping[str, Any]) -> Record:
    """Return what :func:`encode` was given."""
    kind = KINDS[entry["kind"]]
    return kind(**{each.name: entry[each.name] for each in fields(kind) if each.name in entry})


def read_records(path: Path, *kinds: type[Record]) -> Iterator[Record]:
    """Yield the records of these kinds in a journal, in order; those of others are not parsed."""
    return map(decode, Journal.read(path, *(kind.kind for kind in kinds)))


class Recorder:
    """Makes the records of bundles."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def record(self, event: BundleReturned, digests: Mapping[int, str]) -> BundleRecord:
        """Return the record of a bundle; ``digests`` are those of its descriptors, by index."""
        process = event.process
        told = {str(o.index): o.error for o in event.outcomes if o.error is not None}
        errors = {i: self._error(each) for i, each in told.items() if isinstance(each, Failure)}
        items = {i: tuple(each) for i, each in told.items() if isinstance(each, ItemsFailed)}
        return BundleRecord(
            event.number,
            (process.node, process.name, process.pid) if process is not None else None,
            process.part if process is not None else "",
            [[*o[:9], digests.get(o.index, "")] for o in event.outcomes],
            errors or None,
            items or None,
            process.etag if process is not None else "",
        )

    def _error(self, failure: Failure) -> dict[str, str]:
        found = {name: getattr(failure, name)[:ERROR_CAP] for name in KEPT}
        key = found["kind"] or found["message"], found["where"]
        if key not in self._told and len(self._told) < MOST_TEXTS:
            self._told.add(key)
            found["text"] = failure.text[:TEXT_CAP]
        return {name: text for name, text in found.items() if text}


class Attempt(NamedTuple):
    """An attempt that a journal tells of."""

    drivers: int
    """How many had resumed the run by then."""
    outcome: Outcome
    """Its times are left out."""
    process: ProcessInfo | None
    descriptor: str
    """Digest of the mini-batch's."""


def read_attempts(path: Path) -> Iterator[Attempt]:
    """Yield what a journal has of attempts, in order; of a record that is there twice, once."""
    drivers, seen = 0, set[tuple[int, int]]()
    for record in read_records(path, BundleRecord, ResumedRecord):
        if isinstance(record, ResumedRecord):
            drivers += 1
        elif isinstance(record, BundleRecord) and (drivers, record.number) not in seen:
            seen.add((drivers, record.number))
            made_by = record.process
            part = record.part, record.etag
            process = ProcessInfo(*made_by, 0.0, *part) if made_by is not None else None
            errors, items = record.errors or {}, record.items or {}
            for *values, digest in record.outcomes:
                failure: Failure | ItemsFailed | None = None
                if (error := errors.get(str(values[0]))) is not None:
                    failure = Failure.from_plain(dict(error))
                elif (given := items.get(str(values[0]))) is not None:
                    failure = ItemsFailed(given[0], tuple(map(tuple, given[1])))
                outcome = Outcome._make((*values, 0.0, 0.0, 0.0, 0.0, failure))
                yield Attempt(drivers, outcome, process, str(digest))
