"""How a run has ended, in one sentence and in numbers, from what the ledger has counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from daskrun.core.outcome import Status
from daskrun.core.report import Report, RunStatus

if TYPE_CHECKING:
    from daskrun.core.events import StopAsked
    from daskrun.core.report import ErrorGroup
    from daskrun.core.tally import Tally


@dataclass(frozen=True, slots=True)
class Program:
    """A script that is run as a whole: nothing that is said of it mentions mini-batches."""

    name: str
    """Its file's."""
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
            errors=tally.groups(),
            warnings=tuple(tally.warnings),
            seconds=seconds,
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
            return f"{reason.removesuffix('.')}."
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
