"""How a run stands and how it ended: counts, words, exit code, all from the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from daskrun.core.codec import record
from daskrun.core.outcome import Status


class RunStatus(StrEnum):
    """How a run can stand. The last three are ends; from the last two it can be resumed."""

    NOT_STARTED = "NotStarted"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELED = "Canceled"

    @property
    def ended(self) -> bool:
        """Whether it is over; a run that is resumed is Running again."""
        return self in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELED)


class ExitCode(IntEnum):
    """What a program that ran a run exits with. These numbers never change."""

    DONE = 0
    FAILED = 1
    """It would fail again as it is."""
    WRONG_USE = 2
    """Nothing was started: what was asked for can't be run."""
    CANCELED = 3
    THRESHOLD = 4
    """More has failed than a threshold allows."""
    RESUMABLE = 5
    """What ended it is no fault of its script: a killed process, a full disk, no worker."""


@record
class Obstacle(StrEnum):
    """What a run has ended with that one which goes on from there begins with."""

    NONE = ""
    FAILURES = "failures"
    """More has failed than a threshold allows."""
    NO_SUCCESS = "no success"
    """Everything has failed."""
    COLUMNS = "columns"
    """Results that can't be in one output."""
    INIT = "init"
    """The script can't be imported, or its ``init()`` fails."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, at one moment; counts are of mini-batches where nothing else is said.

    Of a run that was resumed all counts are of the whole run, what earlier drivers have done
    included; ``elapsed`` and ``eta`` are of this driver alone, from its first bundle on.
    """

    total: int | None
    """In all; None while the plan is incomplete."""
    handed_out: int
    """Given to a script process at least once."""
    succeeded: int
    failed: int
    """Those that used up their tries."""
    in_flight: int
    """Handed out and not yet back."""
    retried: int
    """Attempts that failed and were, or will be, followed by another."""
    items: int
    """Items of the mini-batches that have succeeded or failed."""
    items_failed: int
    elapsed: float
    """Seconds since the first bundle was handed out."""
    eta: float | None
    """Seconds left at the pace so far; None while unknown."""
    preparing: str = ""
    """What a node is at before it can take mini-batches, if one is."""
    script: str = ""
    """The file's name, where a script is run as a whole; the one mini-batch is that."""


@record
@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """One distinct error, however often it happened."""

    message: str
    """One line: type and text."""
    where: str
    """File and line in the user's code, ``""`` when there is none."""
    count: int
    """How many attempts ended with it."""
    index: int
    """The first mini-batch that did, -1 for ``init()``."""
    attempt: int
    """Which try of it."""
    process: str
    """Node and process of that try."""
    text: str
    """The traceback, or what else is known: signal, peak memory, the end of stderr."""
    status: int = Status.RAISED
    """How the attempt ended; of ``init()`` RAISED."""
    ended: str = ""
    """As :attr:`Failure.ended`."""
    kind: str = ""
    """As :attr:`Failure.kind`: what the group was made by, beside ``where``."""


@record
@dataclass(frozen=True, slots=True)
class Report:
    """How a run ended. Every mini-batch is in exactly one of succeeded, failed, unfinished."""

    status: RunStatus
    message: str
    """What happened, and where to look."""
    total: int | None = None
    """Mini-batches in all; None when the run ended before the plan was complete."""
    succeeded: int = 0
    failed: int = 0
    unfinished: int = 0
    """Mini-batches known but neither done nor failed."""
    items: int = 0
    items_succeeded: int = 0
    items_failed: int = 0
    attempts: int = 0
    """Attempts that came back, of any status."""
    retried: int = 0
    errors: tuple[ErrorGroup, ...] = ()
    """Each distinct error once, the first first."""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    """From the run's start to its end."""
    obstacle: Obstacle = Obstacle.NONE
    """What keeps it from going on as it is."""
    backups: int = 0
    """Mini-batches that took long and were run a second time meanwhile, by this driver."""
    backups_first: int = 0
    """Those of them whose second run ended first, and counts."""
