"""What a watcher of a run is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from daskrun.core.events import Event
    from daskrun.core.report import Progress


class Observer(Protocol):
    """Watches a run: it is shown what happens, and one that raises is logged and changes nothing.

    All methods are called in the thread that drives the run, so they must be quick.
    """

    def notify(self, event: Event) -> None:
        """Take in an event; every one of the run comes by, in order."""

    def progress(self, progress: Progress) -> None:
        """Take in how far the run is, a few times a second."""

    def close(self) -> None:
        """Finish: nothing comes after."""
