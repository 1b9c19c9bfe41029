"""A report of a script that was run as a whole, told as what it is: no mini-batches."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from daskrun.core.events import RunEnded
from daskrun.core.observer import Observer
from daskrun.core.report import RunStatus
from daskrun.core.typing import override
from daskrun.errors import EntryScriptError

if TYPE_CHECKING:
    from daskrun.core.events import Event
    from daskrun.core.report import ErrorGroup, Progress, Report

OVER_TIME = "run() took longer than run_invocation_timeout="
"""How a script process says that the time for one ``run()`` is over, which a script's is."""


def told_of_script(report: Report, name: str) -> Report:
    """Return the report of a step's run with a message about its script.

    Parameters
    ----------
    name
        The script's file name.
    """
    if report.status is RunStatus.COMPLETED:
        return replace(report, message=f"{name} has ended well.")
    if report.status is RunStatus.FAILED and report.errors and report.failed:
        return replace(report, message=_message(report.errors[0], name))
    if report.status is RunStatus.CANCELED:
        reason = report.message.removesuffix(f"; {report.succeeded:,} of 1 mini-batches are done.")
        if reason != report.message:
            ended = "has ended" if report.succeeded else "has not ended"
            return replace(report, message=f"{reason}; {name} {ended}.")
    return report


def _message(error: ErrorGroup, name: str) -> str:
    """Return how a script ended, without the words for what only entry scripts have."""
    ended = error.message.removeprefix(f"{EntryScriptError.__name__}: ")
    if ended.startswith(f"{name} ended with "):
        return f"{ended.rstrip('.')}."
    if error.message.startswith(OVER_TIME):
        return f"{name} took longer than timeout={error.message.removeprefix(OVER_TIME)}."
    where = f" ({error.where})" if error.where else ""
    return f"{name} failed: {error.message}{where}."


class ScriptReports(Observer):
    """Passes on what it is told to another observer, the end in a script's words.

    Parameters
    ----------
    observer
        The other.
    name
        The script's file name.
    """

    def __init__(self, observer: Observer, name: str) -> None:
        self._observer = observer
        self._name = name

    @override
    def notify(self, event: Event) -> None:
        if isinstance(event, RunEnded):
            event = replace(event, report=told_of_script(event.report, self._name))
        self._observer.notify(event)
        self.warning = self._observer.warning

    @override
    def progress(self, progress: Progress) -> None:
        self._observer.progress(replace(progress, script=self._name))

    @override
    def close(self) -> None:
        self._observer.close()
