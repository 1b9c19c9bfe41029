"""What became of one attempt at one mini-batch: a plain value that goes from process to ledger."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, NamedTuple, Self

from daskrun.shown.printable import unbroken
from daskrun.shown.url_secrets import shown_text


class Status(IntEnum):
    """How an attempt ended: exactly one of these. All but SUCCEEDED are failures, and retried."""

    category: str
    """The words reports use for it."""

    def __new__(cls, value: int, category: str = "") -> Self:
        """Make a member of its number on the wire and its category."""
        made = int.__new__(cls, value)
        made._value_ = value
        made.category = category
        return made

    SUCCEEDED = 0, ""
    RAISED = 1, "User error"
    """``run()`` raised."""
    WRONG_TYPE = 2, "Wrong return type"
    """``run()`` returned something that is not a list, tuple, DataFrame, ndarray or Series."""
    TIMED_OUT = 3, "Time-out"
    """``run()`` or loading took longer than its limit; the process was killed."""
    DIED = 4, "Process died"
    """The process ended by itself: an exit, a signal."""
    OUT_OF_MEMORY = 5, "Memory limit"
    """The process was killed at ``process_memory_limit``."""
    NOT_LOADED = 6, "Input error"
    """The mini-batch could not be read."""
    NOT_WRITTEN = 7, "Output error"
    """What ``run()`` returned could not be encoded or written."""
    GPU_MEMORY = 8, "GPU memory"
    """``run()`` raised what its library does where the memory of a GPU is used up."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt, or ``init()``, failed: made once, where it happened; no secret of a URL.

    Line breaks are escaped in what is one line: it would forge lines wherever it is told.
    """

    message: str
    """One line, with the type of what was raised."""
    kind: str = ""
    """What groups it with failures of the same ``where``; ``""``: the message does."""
    where: str = ""
    """File and line in the user's code, ``""`` when there is none."""
    text: str = ""
    """The traceback, or what else is known."""
    ended: str = ""
    """How a script that is run as a program ended, in words that follow its name, such as ``ended
    with exit code 3``; ``""`` where that is not known."""
    ends_run: bool = False
    """Whether it puts other mini-batches in doubt, so that the run must not go on."""
    lasting: bool = False
    """Whether another try would end the same: a value that is not of its column's type."""
    exit_code: int | None = None
    """What a dead process ended with, minus the signal's number."""
    signal: str = ""
    """Name of the signal that ended a process which nobody here has killed."""
    peak_memory: int = 0
    """Bytes a dead process held at most."""
    stderr: str = ""
    """The end of a dead process's stderr."""

    def __post_init__(self) -> None:
        for name in ("message", "text", "ended", "stderr"):
            if (shown := shown_text(told := getattr(self, name))) is not told:
                object.__setattr__(self, name, shown)
        for name in ("message", "where", "ended"):
            if (line := unbroken(told := getattr(self, name))) is not told:
                object.__setattr__(self, name, line)

    def plain(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults as builtins, to be sent or kept."""
        told = ((field, getattr(self, field.name)) for field in fields(self))
        return {field.name: value for field, value in told if value != field.default}

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> Self:
        """Return the failure of which these are the fields; a journal may lack the message."""
        return cls(**{"message": "", **values})


class Found(NamedTuple):
    """What a survey found, where an attempt has its failure."""

    value: Any
    """As builtins."""


class ItemFailure(NamedTuple):
    """An item that ``run()`` has said has failed."""

    place: int
    """Which item of the mini-batch it is, from 0; -1 where that isn't known."""
    item: str
    """As the script named it."""
    message: str
    """One line, with the type of an exception."""
    kind: str = ""
    """As of :class:`Failure`."""
    where: str = ""
    """As of :class:`Failure`."""


class ItemsFailed(NamedTuple):
    """The items of a mini-batch that ``run()`` returned :class:`daskrun.Failed` for."""

    count: int  # type: ignore[assignment]  # hides tuple.count, which nothing here uses
    told: tuple[tuple[Any, ...], ...]
    """The first of them, each the fields of an :class:`ItemFailure`."""


class Outcome(NamedTuple):
    """One attempt at one mini-batch. Field order is the wire's.

    Made in the script process, or by its keeper when the process did not live to make it.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nothing here uses
    attempt: int
    """Which try, from 1."""
    status: int
    """A :class:`Status`."""
    items: int
    """How many items the mini-batch held (1 where that could not be found out)."""
    results: int
    """How many elements ``run()`` returned; 0 for a failure."""
    offset: int
    """Where its bytes begin in the part; -1 when it wrote none."""
    length: int
    """How many bytes it wrote, header included."""
    head: int
    """How many of them, at the front, are no rows: the header line of a table, or what the footer
    of a Parquet file needs."""
    crc: int
    """CRC-32 of those bytes; for Parquet without the head, as they are in the output."""
    started: float
    """When the attempt began, seconds since the epoch, by the script process's clock."""
    elapsed: float
    """Seconds from then to the outcome: load, run, write."""
    run_seconds: float
    """Seconds inside ``run()``."""
    load_seconds: float
    """Seconds in which its data was read, or waited for; what is left of ``elapsed`` is writing."""
    error: Failure | Found | ItemsFailed | None
    """Why it failed; of a survey that succeeded what it found; of another success its items that
    failed all the same, None if none has."""

    @property
    def failure(self) -> Failure | None:
        """Why it failed, None if it didn't."""
        return self.error if isinstance(self.error, Failure) else None

    @property
    def lasting(self) -> bool:
        """Whether it failed, and another try would end the same."""
        return isinstance(self.error, Failure) and self.error.lasting

    @property
    def items_failed(self) -> ItemsFailed | None:
        """The items that its script has said have failed."""
        return self.error if isinstance(self.error, ItemsFailed) else None

    @property
    def succeeded_items(self) -> int:
        """``min(len(result), items)`` for a success, 0 for a failure."""
        return min(self.results, self.items) if self.status == 0 else 0


class Times(NamedTuple):
    """When an attempt was made, and how long it took; as in :class:`Outcome`."""

    started: float
    elapsed: float
    run_seconds: float
    load_seconds: float


def failed(
    index: int, attempt: int, status: Status, items: int, times: Times, failure: Failure
) -> Outcome:
    """Return the outcome of an attempt that has failed, and so has written nothing."""
    return Outcome(index, attempt, int(status), items, 0, -1, 0, 0, 0, *times, failure)


class ProcessInfo(NamedTuple):
    """Which script process returned a bundle."""

    node: str
    """Name of the node, such as ``node000``."""
    name: str
    """Name of the process on its node, such as ``process000``."""
    pid: int
    started: float
    """When the process was started, seconds since the epoch."""
    part: str
    """File name of the part it writes to, ``""`` when it writes none."""
    etag: str = ""
    """That of the part, where that is an object whose store tells it."""
