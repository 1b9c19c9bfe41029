"""What observes a run: the seam between a run and everything that shows or keeps how it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daskrun.core.events import (
    BundleLost,
    BundleReturned,
    InitFailed,
    NodeLost,
    NodePreparing,
    NodeReady,
    Note,
    Planned,
    ProcessReady,
    Resumed,
    RunEnded,
    RunStarted,
    StopAsked,
)

if TYPE_CHECKING:
    from daskrun.core.events import Event
    from daskrun.core.report import Progress


class Observer:
    """Base class of what observes a run; override the methods of what it needs to hear.

    Give one to ``submit(..., observers=[…])``, or register it for every run as an entry point of
    the group ``daskrun.observers``: a class, or a function, that is called without arguments for
    each run of a step. :meth:`on_run_started` comes first, :meth:`on_run_ended` last, then
    :meth:`close`. An object that is given for a pipeline of several steps hears each of them so, in
    several threads where they run side by side. A step that uses an earlier output, or can't be
    started, is not run: nothing is heard of it.

    Everything is called in the thread that drives the run, which waits for it: be quick, and do
    what may take long in a thread of your own. One that raises is named in the run's warnings, with
    the traceback in the log, and left out from then on, but for its :meth:`close`; the run goes on.

    Examples
    --------
    >>> class Failures(Observer):
    ...     def on_run_started(self, event):
    ...         self.failed = 0
    ...
    ...     def on_bundle_returned(self, event):
    ...         self.failed += sum(outcome.status != 0 for outcome in event.outcomes)
    """

    warning = ""
    """Why what it shows of the run is incomplete; it is added to the warnings of the run."""

    def notify(self, event: Event) -> None:
        """Call the method for this kind of event; override it to take in every kind at once."""
        if name := METHODS.get(type(event)):
            getattr(self, name)(event)

    def on_run_started(self, event: RunStarted) -> None:
        """Hear what is run; before anything else."""

    def on_resumed(self, event: Resumed) -> None:
        """Hear that the run continues where an earlier driver of it ended."""

    def on_planned(self, event: Planned) -> None:
        """Hear how many mini-batches are known: at the beginning, and again as more are found."""

    def on_node_preparing(self, event: NodePreparing) -> None:
        """Hear that a node builds its environment or brings side inputs; every few seconds."""

    def on_node_ready(self, event: NodeReady) -> None:
        """Hear that a node takes mini-batches, for the first time or again."""

    def on_node_lost(self, event: NodeLost) -> None:
        """Hear that a node is gone; its mini-batches are given to another, or to its successor."""

    def on_process_ready(self, event: ProcessReady) -> None:
        """Hear that a script process has finished ``init()``."""

    def on_init_failed(self, event: InitFailed) -> None:
        """Hear that a script process could not finish ``init()``, or ended right after it."""

    def on_bundle_returned(self, event: BundleReturned) -> None:
        """Hear the outcomes of mini-batches, each attempt once; the journal has them already."""

    def on_bundle_lost(self, event: BundleLost) -> None:
        """Hear that a bundle went down with its node; its mini-batches are handed out again."""

    def on_stop_asked(self, event: StopAsked) -> None:
        """Hear that the run ends before its data does, and why."""

    def on_note(self, event: Note) -> None:
        """Hear of something else that is worth a line in a log."""

    def on_run_ended(self, event: RunEnded) -> None:
        """Hear how the run ended; its output, if any, is published by then."""

    def progress(self, progress: Progress) -> None:
        """Hear how far the run is; up to four times a second, and once at the end."""

    def close(self) -> None:
        """Release what is held; also called where the observer has failed before."""


METHODS = {
    RunStarted: "on_run_started",
    Resumed: "on_resumed",
    Planned: "on_planned",
    NodePreparing: "on_node_preparing",
    NodeReady: "on_node_ready",
    NodeLost: "on_node_lost",
    ProcessReady: "on_process_ready",
    InitFailed: "on_init_failed",
    BundleReturned: "on_bundle_returned",
    BundleLost: "on_bundle_lost",
    StopAsked: "on_stop_asked",
    Note: "on_note",
    RunEnded: "on_run_ended",
}
"""By the kind of an event the method that hears it."""
