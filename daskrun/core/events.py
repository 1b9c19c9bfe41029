"""All that happens in a run, as values; who observes it; and what the ledger orders to be done.

Every event carries ``now``: seconds on the driver's monotonic clock, read by whoever makes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from daskrun.core.codec import record
from daskrun.core.outcome import Failure, Outcome, ProcessInfo
from daskrun.core.report import Progress, Report, RunStatus
from daskrun.core.settings import RunSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


@record
@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run of a step starts, or starts again where it is resumed; the first event of every one."""

    run_id: str
    step_name: str
    settings: RunSettings
    """What the step was given. The values of ``environment_variables`` may be secret."""
    mini_batches: int | None
    """How many there are; None while that is not known."""
    now: float
    experiment: str = ""
    pipeline_run_id: str = ""
    """The run that this step's run is part of."""
    folder: str = ""
    """The run's folder on the driver's machine."""
    resumed: bool = False
    """Whether an earlier driver has had it."""


@record
@dataclass(frozen=True, slots=True)
class Planned:
    """More of the plan is known."""

    known: int
    """Mini-batches found so far."""
    complete: bool
    """Whether that is all of them."""
    now: float


@record
@dataclass(frozen=True, slots=True)
class NodePreparing:
    """A node prepares what its script processes run in; repeated until it is done."""

    node: str
    text: str
    """What it is at, for how long."""
    now: float


@record
@dataclass(frozen=True, slots=True)
class NodeReady:
    """A node's keeper runs and takes bundles."""

    node: str
    slots: int
    """Script processes it has; each is a slot."""
    now: float
    where: str = ""
    """Address of the Dask worker, or ``inline``."""


@record
@dataclass(frozen=True, slots=True)
class NodeLost:
    """A node is gone; what it had in flight comes back as ``BundleLost``."""

    node: str
    reason: str
    now: float


@record
@dataclass(frozen=True, slots=True)
class ProcessReady:
    """A script process has finished ``init()``."""

    process: ProcessInfo
    init_seconds: float
    now: float
    repeatable: bool = False
    """Whether the script says that a mini-batch may be run twice at once, whatever it writes."""
    gpu: str = ""
    """The one it has, as ``CUDA_VISIBLE_DEVICES`` names it."""


@record
@dataclass(frozen=True, slots=True)
class InitFailed:
    """A script process could not import the script or finish ``init()``, or ended right after."""

    process: ProcessInfo
    error: Failure
    now: float


@record
@dataclass(frozen=True, slots=True)
class RoomFor:
    """A slot can take a bundle of up to ``limit`` mini-batches; for the ledger, not observers."""

    node: str
    limit: int
    now: float


@dataclass(frozen=True, slots=True)
class SlotsIdle:
    """Slots have had nothing to do for a while; for the ledger, not observers."""

    free: Mapping[str, int]
    """How many, by node."""
    limit: int
    """Mini-batches that a bundle may hold."""
    now: float


@record
@dataclass(frozen=True, slots=True)
class HandedOut:
    """Bundles were sent to their nodes; for observers, the ledger has ordered it."""

    bundles: tuple[Bundle, ...]
    now: float


@record
@dataclass(frozen=True, slots=True)
class BundleReturned:
    """A bundle came back, wholly or partly done. What has no outcome was not started."""

    number: int
    process: ProcessInfo | None
    """None when no script process was free and it came back untouched."""
    outcomes: tuple[Outcome, ...]
    """Already journalled when the ledger sees them."""
    seconds: float
    """Wall time in the script process."""
    now: float
    warnings: tuple[str, ...] = ()
    """What readers changed to make data fit; each process reports each text once."""
    trouble: str = ""
    """Why rows can't be kept where the run's parts are, and what to do about it: the run ends. The
    mini-batches whose rows these were have no outcome."""
    alone: tuple[int, ...] = ()
    """Mini-batches that were done and whose rows were lost with their process, which one of them
    may have ended: each is handed out again in a bundle of its own, so that it shows which."""


@record
@dataclass(frozen=True, slots=True)
class BundleLost:
    """A bundle's node is gone, nothing is known of it: it goes elsewhere, uncharged."""

    number: int
    reason: str
    now: float


@record
@dataclass(frozen=True, slots=True)
class StopAsked:
    """The run shall end now: somebody canceled it, or something outside the mini-batches failed."""

    reason: str
    canceled: bool
    """True: status Canceled; False: Failed."""
    now: float
    error: str = ""
    """Message of the failure that ``reason`` names, if it names one."""


@record
@dataclass(frozen=True, slots=True)
class Note:
    """Something worth a line in the logs: a leftover cleared up, a process given up."""

    text: str
    now: float
    dashboard: str = ""
    """Address of the pages that show the run, where the text tells of them."""
    warns: bool = False
    """Whether the run's report has it too."""


@record
@dataclass(frozen=True, slots=True)
class Resumed:
    """The run goes on where an earlier driver ended; before anything else happens in it."""

    failed: tuple[int, ...]
    """Mini-batches that have used up their tries, and get no new ones."""
    now: float
    again: tuple[int, ...] = ()
    """Mini-batches that had succeeded but for some items, and run again for these."""


@record
@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run is over and its output, if any, published."""

    report: Report
    now: float


Event = (
    RunStarted
    | Planned
    | NodePreparing
    | NodeReady
    | NodeLost
    | ProcessReady
    | InitFailed
    | RoomFor
    | SlotsIdle
    | HandedOut
    | BundleReturned
    | BundleLost
    | StopAsked
    | Note
    | Resumed
    | RunEnded
)


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
    >>> from daskrun import Observer, Status
    >>> class Failures(Observer):
    ...     def on_run_started(self, event):
    ...         self.failed = 0
    ...
    ...     def on_bundle_returned(self, event):
    ...         self.failed += sum(outcome.status != Status.SUCCEEDED for outcome in event.outcomes)
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

    def on_handed_out(self, event: HandedOut) -> None:
        """Hear which mini-batches were sent to which node."""

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
    kind: "on" + re.sub("([A-Z])", r"_\1", kind.__name__).lower()
    for kind in get_args(Event)
    if kind not in (RoomFor, SlotsIdle)
}
"""By the kind of an event the method that hears it."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Mini-batches that travel together."""

    number: int
    node: str
    entries: tuple[tuple[int, int], ...]
    """(index, attempt) of each, in order of index."""
    survey: bool = False
    """Whether it is no bundle of the ledger's, but a look at the data that the plan waits for."""
    backup: bool = False
    """Whether its mini-batches are in another bundle too, which takes long: the first counts."""


@dataclass(frozen=True, slots=True)
class HandOut:
    """Send this bundle to its node."""

    bundle: Bundle


@dataclass(frozen=True, slots=True)
class Skip:
    """Go on without this mini-batch in the output: it has failed for good."""

    index: int


@dataclass(frozen=True, slots=True)
class Keep:
    """The new tries of a mini-batch have failed: what it had before is what it has."""

    index: int


@dataclass(frozen=True, slots=True)
class Tell:
    """Say this in the logs."""

    text: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The run ends before its data does: take back what is out, start nothing more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing is owed any more: close the run with this status."""

    status: RunStatus


Order = HandOut | Skip | Keep | Tell | Stop | Finish
