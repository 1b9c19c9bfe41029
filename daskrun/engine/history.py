"""The journal of a run: as its driver writes it, and as the next one reads it."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from daskrun.core.minibatch import digest
from daskrun.core.settings import told_settings
from daskrun.core.warned import subject
from daskrun.engine.journal_records import (
    KINDS,
    BundleRecord,
    FinalizedRecord,
    FinalizingRecord,
    PlannedRecord,
    Recorder,
    ResumedRecord,
    RunRecord,
    SurveyRecord,
    UnfinishedRecord,
    WarningsRecord,
    encode,
    read_attempts,
    read_records,
)
from daskrun.errors import StorageError
from daskrun.storage.journal import Journal
from daskrun.storage.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from daskrun.core.events import BundleReturned
    from daskrun.core.minibatch import Plan
    from daskrun.core.outcome import Outcome, ProcessInfo
    from daskrun.engine.journal_records import Record
    from daskrun.engine.request import StepRequest

KILL_AT = "DASKRUN_KILL_AT"
"""Environment variable: ``point`` or ``point:n``. The driver's process gets SIGKILL when it reaches
that point for the n-th time (from 1)."""

POINTS = ("written", "journalled", "counted", "finalizing", "renamed", "finalized", "swept")
"""The steps of the commit, in order: rows are in a part and the outcomes are back; the journal has
them on the disk; the ledger has counted them; the journal says that the output is being put
together; the output has its name; the journal says so; the run's parts are gone."""


class Checkpoints:
    """Counts the points that a driver reaches, and kills its process at the one asked for.

    Examples
    --------
    >>> Checkpoints("").reach("written")
    """

    def __init__(self, kill_at: str | None = None) -> None:
        text = os.environ.get(KILL_AT, "") if kill_at is None else kill_at
        self._point, _, number = text.partition(":")
        if self._point and (self._point not in POINTS or not (number or "1").isdecimal()):
            raise ValueError(f"{KILL_AT}={text!r}: write one of {', '.join(POINTS)}, or point:n")
        self._left = int(number or 1)

    def reach(self, point: str) -> None:
        """Note that a point is reached, and end the process there if that was asked for."""
        if point != self._point:
            return
        self._left -= 1
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


class History:
    """What is committed, and what else a next driver of the run has to know."""

    def __init__(self, request: StepRequest, checkpoints: Checkpoints) -> None:
        self._request = request
        self._reach = checkpoints.reach
        self._journal: Journal | None = None
        self._recorder = Recorder()
        self._damage: list[str] = []
        self._sized = False
        """Whether the journal says how many mini-batches there are."""
        self.warnings: dict[str, None] = {}
        """What readers have changed, and what is lost of the journal; each once."""

    def open(self) -> Past | None:
        """Begin the journal, or continue an earlier driver's and return what is in it."""
        path, segments = self._request.run_folder / "journal", None
        if self._request.kept_at:
            from daskrun.storage.stores import open_url_folder

            kept = open_url_folder(self._request.kept_at, self._request.kept_options)
            segments = Segments(kept)
        if not self._request.resumed or not path.exists():
            self._journal = Journal(path, segments=segments)
            return None
        past, lost = read_past(path), Journal.passed_over(path)
        self._journal = Journal.open(path, segments)
        if lost.records:
            self._damage.append(
                f"the journal {path} was damaged at byte {lost.at:,}: the {lost.records:,} whole "
                f"records behind it ({lost.nbytes:,} bytes) were passed over, and what they told "
                "of is done again"
            )
        if past is not None:
            self._sized = past.mini_batches is not None
            self.warnings.update(dict.fromkeys(past.warnings))
            self._warn(self._damage)
        return past

    def begin(self) -> None:
        """Write the first record: what the run is."""
        settings, plan = told_settings(self._request.settings), self._request.plan
        self._sized = plan.complete
        known = plan.known if plan.complete else None
        self.note(RunRecord(self._request.run_id, plan.fingerprint(), known, settings))
        self._warn(self._damage)

    def note(self, record: Record) -> None:
        """Write a record; return when it is on the disk."""
        self.note_later(record)
        self.sync()

    def note_later(self, record: Record) -> None:
        """Write a record; it is on the disk before any that comes after it."""
        assert self._journal is not None
        self._journal.append(encode(record))

    def note_size(self) -> None:
        """Write how many mini-batches there are, once that is known."""
        if self._request.plan.complete and not self._sized:
            self._sized = True
            self.note_later(PlannedRecord(self._request.plan.known))

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        assert self._journal is not None
        self._journal.sync()

    def commit(
        self,
        bundles: Sequence[BundleReturned],
        surveys: Sequence[BundleReturned],
        digests_of: Callable[[int], Mapping[int, str]],
    ) -> None:
        """Put what came back on the disk, before anything of it counts as done.

        ``digests_of`` returns those of a bundle's descriptors. Of surveys only what is to be warned
        of is written.
        """
        with_outcomes = [each for each in bundles if each.outcomes]
        for each in (*surveys, *bundles):
            if each.warnings:
                known = set(map(subject, self.warnings))
                self._warn([text for text in each.warnings if subject(text) not in known])
        for each in with_outcomes:
            self._reach("written")
            self.note_later(self._recorder.record(each, digests_of(each.number)))
        if with_outcomes and self._request.before_commit is not None:
            self._request.before_commit()
        self.sync()
        for _ in with_outcomes:
            self._reach("journalled")

    def close(self) -> None:
        """Close the journal, if it was opened."""
        if self._journal is not None:
            self._journal.close()

    def _warn(self, texts: list[str]) -> None:
        """Keep warnings for the report, also for that of a next driver."""
        if texts:
            self.warnings.update(dict.fromkeys(texts))
            self.note_later(WarningsRecord(texts))


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
    finalized: bool = False
    lost: dict[int, int] = field(default_factory=dict)
    """By mini-batch: which driver last found its rows gone, from 1."""
    forgiven: dict[int, int] = field(default_factory=dict)
    """By mini-batch: which driver last gave it new tries."""
    mini_batches: int | None = None
    """How many there are, where that was known."""
    warnings: list[str] = field(default_factory=list)
    """For the report."""


def read_past(path: Path) -> Past | None:
    """Return what is in a journal; None where there is nothing to resume from."""
    if not path.exists():
        return None
    past = None
    resumed = 0
    for record in read_records(path, *BESIDE_BUNDLES):
        if past is None:
            past = Past(path)
        match record:
            case RunRecord():
                past.plan, past.mini_batches = record.plan, record.mini_batches
            case PlannedRecord():
                past.mini_batches = record.mini_batches
            case WarningsRecord():
                past.warnings += record.texts
            case SurveyRecord():
                past.surveys[json.dumps(record.key)] = record
            case ResumedRecord():
                resumed += 1
                past.lost.update(dict.fromkeys(record.lost, resumed))
                past.forgiven.update(dict.fromkeys(record.forgiven, resumed))
            case FinalizingRecord():
                past.mark = record.mark
            case UnfinishedRecord():
                past.mark = None
            case FinalizedRecord():
                past.finalized = True
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

    def __iter__(self) -> Iterator[tuple[Outcome, ProcessInfo | None, bool]]:
        """Yield what :meth:`Ledger.recall` takes."""
        past = self.past
        for driver, outcome, process, descriptor in read_attempts(past.path):
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
            elif outcome.attempt >= self.tries and not forgiven:
                self._out_of_tries.add(index)
                forgiven = self.retry_failed
            yield outcome, process, forgiven

    def record(self) -> ResumedRecord:
        """Return the journal's record of this, once all attempts were read."""
        forgiven = sorted(self._out_of_tries) if self.retry_failed else []
        return ResumedRecord(self._lost, forgiven, None if self.over else self.tries)

    def _is_gone(self, outcome: Outcome, process: ProcessInfo | None) -> bool:
        """Return whether the rows are in a part that is missing or too short."""
        if self.sizes is None or not outcome.length:
            return False
        part = process.part if process is not None else ""
        return self.sizes.get(part, -1) < outcome.offset + outcome.length
