"""A report of a script that was run as a whole, told as what it is: no mini-batches."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from daskrun.core.events import RunEnded
from daskrun.core.report import RunStatus

if TYPE_CHECKING:
    from daskrun.core.events import Event
    from daskrun.core.observer import Observer
    from daskrun.core.report import Progress, Report


def told_of_script(report: Report, name: str) -> Report:
    """Give the report of a step's run with a sentence about its script.

    Parameters
    ----------
    name
        The script's file name.
    """
    if report.status is RunStatus.COMPLETED:
        return replace(report, sentence=f"{name} has ended well.")
    if report.status is RunStatus.FAILED and report.errors and report.failed:
        first = report.errors[0]
        where = f" ({first.where})" if first.where else ""
        return replace(report, sentence=f"{name} failed: {first.message}{where}.")
    return report


class ScriptReports:
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

    def notify(self, event: Event) -> None:
        """Pass on an event."""
        if isinstance(event, RunEnded):
            event = replace(event, report=told_of_script(event.report, self._name))
        self._observer.notify(event)

    def progress(self, progress: Progress) -> None:
        """Pass on how far it is."""
        self._observer.progress(progress)

    def close(self) -> None:
        """Close the other."""
        self._observer.close()
