"""All that happens in a run, as values: what the ledger handles and what observers are shown.

Every event carries ``now``: seconds on the driver's monotonic clock, read by whoever makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daskrun.core.outcome import Failure, Outcome, ProcessInfo
    from daskrun.core.report import Report
    from daskrun.core.settings import RunSettings


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


@dataclass(frozen=True, slots=True)
class Planned:
    """More of the plan is known."""

    known: int
    """Mini-batches found so far."""
    complete: bool
    """Whether that is all of them."""
    now: float


@dataclass(frozen=True, slots=True)
class NodePreparing:
    """A node prepares what its script processes run in; repeated until it is done."""

    node: str
    text: str
    """What it is at, for how long."""
    now: float


@dataclass(frozen=True, slots=True)
class NodeReady:
    """A node's keeper runs and takes bundles."""

    node: str
    slots: int
    """Script processes it has; each is a slot."""
    now: float
    where: str = ""
    """Address of the Dask worker, or ``inline``."""


@dataclass(frozen=True, slots=True)
class NodeLost:
    """A node is gone; what it had in flight comes back as ``BundleLost``."""

    node: str
    reason: str
    now: float


@dataclass(frozen=True, slots=True)
class ProcessReady:
    """A script process has finished ``init()``."""

    process: ProcessInfo
    init_seconds: float
    now: float


@dataclass(frozen=True, slots=True)
class InitFailed:
    """A script process could not import the script or finish ``init()``, or ended right after."""

    process: ProcessInfo
    error: Failure
    now: float


@dataclass(frozen=True, slots=True)
class RoomFor:
    """A slot can take a bundle of up to ``limit`` mini-batches; for the ledger, not observers."""

    node: str
    limit: int
    now: float


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


@dataclass(frozen=True, slots=True)
class BundleLost:
    """A bundle's node is gone, nothing is known of it: it goes elsewhere, uncharged."""

    number: int
    reason: str
    now: float


@dataclass(frozen=True, slots=True)
class StopAsked:
    """The run shall end now: somebody canceled it, or something outside the mini-batches failed."""

    reason: str
    canceled: bool
    """True: status Canceled; False: Failed."""
    now: float
    error: str = ""
    """Message of the failure that ``reason`` names, if it names one."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth a line in the logs: a leftover cleared up, a process given up."""

    text: str
    now: float


@dataclass(frozen=True, slots=True)
class Resumed:
    """The run goes on where an earlier driver ended; before anything else happens in it."""

    failed: tuple[int, ...]
    """Mini-batches that have used up their tries, and get no new ones."""
    now: float


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
    | BundleReturned
    | BundleLost
    | StopAsked
    | Note
    | Resumed
    | RunEnded
)
