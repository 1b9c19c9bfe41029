"""What the ledger orders the driver to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daskrun.core.report import RunStatus


@dataclass(frozen=True, slots=True)
class Bundle:
    """Mini-batches that travel together."""

    number: int
    node: str
    entries: tuple[tuple[int, int], ...]
    """(index, attempt) of each, in order of index."""
    survey: bool = False
    """Whether it is no bundle of the ledger's, but a look at the data that the plan waits for."""


@dataclass(frozen=True, slots=True)
class HandOut:
    """Send this bundle to its node."""

    bundle: Bundle


@dataclass(frozen=True, slots=True)
class Skip:
    """Go on without this mini-batch in the output: it has failed for good."""

    index: int


@dataclass(frozen=True, slots=True)
class Stop:
    """The run ends before its data does: take back what is out, start nothing more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing is owed any more: close the run with this status."""

    status: RunStatus


Order = HandOut | Skip | Stop | Finish
