"""What earlier drivers of a run have left in its journal, for the one that resumes it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from daskrun.core.minibatch import digest
from daskrun.engine import journal_records as records
from daskrun.engine.journal_records import KINDS, BundleRecord, ResumedRecord, read_attempts
from daskrun.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from daskrun.core.minibatch import Plan
    from daskrun.core.outcome import Outcome, ProcessInfo
BESIDE_BUNDLES = tuple(kind for kind in KINDS.values() if kind is not BundleRecord)


@dataclass
class Past:
    """What is in a journal beside attempts."""

    path: Path
    plan: str = ""
    """Fingerprint of the plan."""
    surveys: dict[str, records.SurveyRecord] = field(default_factory=dict)
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
    """Return what is in a journal; None where there is nothing to resume from.

    Raises
    ------
    StorageError
        It can't be read.
    """
    if not path.exists():
        return None
    past = None
    resumed = 0
    for record in records.read_records(path, *BESIDE_BUNDLES):
        if past is None:
            past = Past(path)
        match record:
            case records.RunRecord():
                past.plan, past.mini_batches = record.plan, record.mini_batches
            case records.PlannedRecord():
                past.mini_batches = record.mini_batches
            case records.WarningsRecord():
                past.warnings += record.texts
            case records.SurveyRecord():
                past.surveys[json.dumps(record.key)] = record
            case ResumedRecord():
                resumed += 1
                past.lost.update(dict.fromkeys(record.lost, resumed))
                past.forgiven.update(dict.fromkeys(record.forgiven, resumed))
            case records.FinalizingRecord():
                past.mark = record.mark
            case records.UnfinishedRecord():
                past.mark = None
            case records.FinalizedRecord():
                past.finalized = True
    return past


class Replay:
    """The attempts of a journal, as far as they still count.

    Parameters
    ----------
    past
        What else is in it.
    plan
        The run's.
    known
        Extends the plan until a mini-batch is known; False where it ends before.
    sizes
        Of the parts that are there; None where rows are no longer needed.
    tries
        ``run_max_try``.
    retry_failed
        Whether mini-batches that have used them up get new ones.
    over
        Whether the output is there already: then none does.
    """

    def __init__(
        self,
        past: Past,
        plan: Plan,
        known: Callable[[int], bool],
        sizes: Mapping[str, int] | None,
        *,
        tries: int,
        retry_failed: bool,
        over: bool = False,
    ) -> None:
        self._past = past
        self._plan = plan
        self._known = known
        self._sizes = sizes
        self._tries = tries
        self._retry_failed = retry_failed and not over
        self._over = over
        self._out_of_tries: set[int] = set()
        self._lost: list[int] = []

    def __iter__(self) -> Iterator[tuple[Outcome, ProcessInfo | None, bool]]:
        """Yield what :meth:`Ledger.recall` takes.

        Raises
        ------
        StorageError
            The plan is not the one the journal is of.
        """
        past = self._past
        for driver, outcome, process, descriptor in read_attempts(past.path):
            index = outcome.index
            if not self._known(index) or digest(self._plan.encode(index)) != descriptor:
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
            elif outcome.attempt >= self._tries and not forgiven:
                self._out_of_tries.add(index)
                forgiven = self._retry_failed
            yield outcome, process, forgiven

    def record(self) -> ResumedRecord:
        """Return the journal's record of this, once all attempts were read."""
        forgiven = sorted(self._out_of_tries) if self._retry_failed else []
        return ResumedRecord(self._lost, forgiven, None if self._over else self._tries)

    def _is_gone(self, outcome: Outcome, process: ProcessInfo | None) -> bool:
        """Return whether the rows are in a part that is missing or too short."""
        if self._sizes is None or not outcome.length:
            return False
        part = process.part if process is not None else ""
        return self._sizes.get(part, -1) < outcome.offset + outcome.length
