"""Counts of a run, its distinct errors each once, and what is said of them when it has ended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from daskrun.core.outcome import Failure, Outcome, ProcessInfo, Status
from daskrun.core.report import ErrorGroup, Obstacle, Report, RunStatus
from daskrun.shown.counted import many

if TYPE_CHECKING:
    from collections.abc import Iterable

    from daskrun.core.events import StopAsked

MOST_GROUPS = 1000
"""Distinct errors kept; what comes after is counted as one group of others."""
ERROR_CAP = 64 * 1024
"""Characters of an error's text kept."""
ANY_NUMBER = (
    "Where run() may return any number of rows, one for a group or none, write "
    "results_per_item='any' in ParallelRunConfig"
)


class Tally:
    """What the ledger has counted. Only the last attempt of a mini-batch counts its items."""

    def __init__(self) -> None:
        self.succeeded = self.failed = 0
        self.items = self.items_succeeded = 0
        self.attempts = self.retried = 0
        self.backups = self.backups_first = 0
        self.warnings: list[str] = []
        self._groups: dict[tuple[str, str], ErrorGroup] = {}

    def success(self, outcome: Outcome, process: ProcessInfo | None) -> None:
        """Count a mini-batch that is done; what it has too few results for is an error."""
        self.attempts += 1
        self.succeeded += 1
        self.items += outcome.items
        if outcome.results == outcome.items:
            self.items_succeeded += outcome.items
            return
        self.items_succeeded += outcome.succeeded_items
        self.note_items(outcome, process)
        if outcome.results > outcome.items and not self.warnings:
            self.warnings.append(
                f"run() returned more results than the mini-batch has items (mini-batch "
                f"{outcome.index}: {outcome.results} for {outcome.items}); all were written. "
                f"{ANY_NUMBER}"
            )

    def note_items(self, outcome: Outcome, process: ProcessInfo | None) -> None:
        """Note the items of a success that have failed all the same."""
        given = outcome.items_failed
        for each in given.told if given is not None else ():
            _, _, message, kind, where = each
            failure = Failure(message, kind=kind, where=where)
            self._group(failure, outcome.index, outcome.attempt, process, Status.RAISED)
        if outcome.results + (given.count if given is not None else 0) < outcome.items:
            self._short(outcome, process)

    def _short(self, outcome: Outcome, process: ProcessInfo | None) -> None:
        results, items = many(outcome.results, "result"), many(outcome.items, "item")
        message = (
            f"run() returned {results} for {items}: an item without a result counts "
            f"as failed and is not retried. {ANY_NUMBER}"
        )
        failure = Failure(message, kind="fewer results than items")
        self._group(failure, outcome.index, outcome.attempt, process, Status.SUCCEEDED)

    def failure(self, outcome: Outcome, process: ProcessInfo | None, *, final: bool) -> None:
        """Count an attempt that failed; its items too if it was the last."""
        self.attempts += 1
        if final:
            self.failed += 1
            self.items += outcome.items
        else:
            self.retried += 1
        failure = outcome.failure or Failure("")
        self._group(failure, outcome.index, outcome.attempt, process, outcome.status)

    def give_up(self, items: int) -> None:
        """Count a mini-batch, whose last failure is counted already, as failed for good."""
        self.retried -= 1
        self.failed += 1
        self.items += items

    def init_failure(self, failure: Failure, process: ProcessInfo) -> None:
        """Note that ``init()`` failed."""
        self._group(failure, -1, 1, process, Status.RAISED)

    def first_error(self) -> str:
        """Return the first error: what, where, in which mini-batch; ``""`` when there was none."""
        groups = self.groups()
        return first_of(groups[0]) if groups else ""

    def recall(self, groups: Iterable[ErrorGroup]) -> None:
        """Begin with errors that were counted before."""
        self._groups.update({(each.kind or each.message, each.where): each for each in groups})

    def groups(self) -> tuple[ErrorGroup, ...]:
        """Return each distinct error once, the first first."""
        return tuple(self._groups.values())

    def _group(
        self, failure: Failure, index: int, attempt: int, process: ProcessInfo | None, status: int
    ) -> None:
        message = (failure.message or Status(status).category)[:ERROR_CAP]
        key = (failure.kind or message, failure.where)
        if key not in self._groups and len(self._groups) >= MOST_GROUPS:
            key = ("other errors", "")
            message = f"other errors, beyond the first {MOST_GROUPS} distinct ones"
        group = self._groups.get(key)
        if group is None:
            text, ended = failure.text[:ERROR_CAP], failure.ended
            label = f"{process.node}/{process.name}" if process is not None else ""
            self._groups[key] = ErrorGroup(
                message, key[1], 1, index, attempt, label, text, status, ended, failure.kind
            )
        else:
            self._groups[key] = replace(group, count=group.count + 1)


def first_of(group: ErrorGroup) -> str:
    """Return the first error of a group: what, where, in which mini-batch."""
    where = f" ({group.where})" if group.where else ""
    return f"{group.message}{where} in {place_of(group)}"


def place_of(group: ErrorGroup) -> str:
    """Return where the first error of a group happened."""
    place = f"mini-batch {group.index}, attempt {group.attempt}"
    return f"{'init()' if group.index < 0 else place} on {group.process or 'no process'}"


@dataclass(frozen=True, slots=True)
class Program:
    """A script that is run as a whole: nothing that is said of it mentions mini-batches."""

    name: str
    timeout: float
    """Seconds it may take."""

    def failed_by(self, error: ErrorGroup) -> str:
        """Return how it ended with an error."""
        if error.ended:
            return f"{self.name} {error.ended.rstrip('.')}."
        if error.status == Status.TIMED_OUT and error.index >= 0:
            return f"{self.name} took longer than timeout={self.timeout:g} s."
        where = f" ({error.where})" if error.where else ""
        return f"{self.name} failed: {error.message}{where}."


@dataclass(frozen=True, slots=True)
class Ending:
    """The ledger's account at the end of a run."""

    tally: Tally
    known: int
    """Mini-batches that were found."""
    complete: bool
    """Whether these are all."""
    stopped: StopAsked | None
    """Why the run ended before its data; None: it did not."""
    status: RunStatus | None
    """None: it did not get to its end."""
    untried: int
    """Mini-batches that were to be tried again and were not."""
    program: Program | None = None
    obstacle: Obstacle = Obstacle.NONE

    def report(self, seconds: float) -> Report:
        """Return the final account of a run that took so long."""
        tally = self.tally
        return Report(
            status=self.status or RunStatus.FAILED,
            message=self.message(),
            total=self.known if self.complete else None,
            succeeded=tally.succeeded,
            failed=tally.failed,
            unfinished=self.known - tally.succeeded - tally.failed,
            items=tally.items,
            items_succeeded=tally.items_succeeded,
            items_failed=tally.items - tally.items_succeeded,
            attempts=tally.attempts,
            retried=tally.retried - self.untried,
            backups=tally.backups,
            backups_first=tally.backups_first,
            errors=tally.groups(),
            warnings=tuple(tally.warnings),
            seconds=seconds,
            obstacle=self.obstacle,
        )

    def message(self) -> str:
        """Return how the run ended, with the first user error where it failed."""
        tally = self.tally
        if self.program is not None and self.status is RunStatus.COMPLETED:
            return f"{self.program.name} has ended well."
        if self.program is not None and self.status is RunStatus.FAILED and tally.failed:
            return self.program.failed_by(tally.groups()[0])
        if self.stopped is not None:
            reason = self.stopped.reason
        elif self.status is RunStatus.FAILED:
            reason = self._nothing()
        else:
            return self._done()
        if self.stopped is not None and self.stopped.canceled:
            if self.program is not None:
                ended = "has ended" if tally.succeeded else "has not ended"
                return f"{reason}; {self.program.name} {ended}."
            return f"{reason}; {tally.succeeded:,} of {self.known:,} mini-batches are done."
        first = tally.first_error()
        named = self.stopped.error if self.stopped is not None else ""
        if not first or tally.groups()[0].message == named:
            return reason if reason.endswith("?") else f"{reason.removesuffix('.')}."
        return f"{reason.removesuffix('.')}. First error: {first}"

    def _nothing(self) -> str:
        """Return why there is nothing to write."""
        tally = self.tally
        if tally.succeeded == 0 and self.known:
            return "not one mini-batch succeeded, so append_row has nothing to write"
        return (
            f"not one of {tally.items:,} items succeeded: each run() that didn't fail "
            f"({tally.succeeded:,} of {self.known:,} mini-batches) returned no results, so "
            "append_row has nothing to write. Return one element for each item that succeeded"
        )

    def _done(self) -> str:
        tally = self.tally
        done = f"{tally.succeeded:,} of {self.known:,} mini-batches succeeded"
        if not tally.items:
            return f"{done}; there was nothing in them: the inputs have no items."
        lost = tally.items - tally.items_succeeded
        return f"{done}; {lost:,} of {tally.items:,} items failed." if lost else f"{done}."
