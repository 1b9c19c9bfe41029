"""What a script process is doing, in memory that its keeper reads without asking."""

from __future__ import annotations

import mmap
import os
from enum import IntEnum
from typing import NamedTuple


class Phase(IntEnum):
    """What a script process is at."""

    STARTING = 0
    INIT = 1
    IDLE = 2
    WORKING = 3
    SHUTDOWN = 4
    SYNCING = 5
    """Putting a bundle's rows on the disk: whoever dies here leaves it open whether they are."""


MOST_SLOTS = 4096
"""Script processes that a node has at most."""


class StatusBlock:
    """What a script process is doing, in memory that its keeper reads without asking.

    One writer (the script process), one reader (the keeper), aligned 8-byte fields written by one
    native store each: a field is never seen half written. The keeper writes only ``RECALL`` and,
    while nobody else does, ``LOGGED``.

    ``ints`` and ``times`` are two views of the same memory: a field is one or the other. ``board``:
    descriptor of a memory that holds the blocks of all slots of a node, one page each. ``slot``:
    which of them, from 0.
    """

    IN_HAND, RUNNING, LOADING_SINCE, RUNNING_SINCE = 0, 1, 2, 3
    """The mini-batch in hand, -1 for none; 1 once it is loaded."""
    ITEMS, ATTEMPT, STARTED_AT = 4, 5, 6
    """Items of the mini-batch in hand (0: not known yet), its try, its start (since the epoch)."""
    PHASE, PHASE_SINCE, RECALL, LOGGED = 7, 8, 9, 10
    """Bytes of the outcome log that are outcomes; what lies behind them is not."""
    SIZE = 4096

    def __init__(self, board: int, slot: int = 0, *, create: bool) -> None:
        if create and os.fstat(board).st_size < (slot + 1) * self.SIZE:
            os.ftruncate(board, (slot + 1) * self.SIZE)
        self._map = mmap.mmap(board, self.SIZE, offset=slot * self.SIZE)
        self.ints = memoryview(self._map).cast("q")
        self.times = memoryview(self._map).cast("d")
        if create:
            self._map[:] = bytes(self.SIZE)
            self.ints[self.IN_HAND] = -1

    def enter(self, phase: Phase, now: float) -> None:
        """Show what the process is at since ``now`` (monotonic)."""
        self.times[self.PHASE_SINCE] = now
        self.ints[self.PHASE] = phase

    def close(self) -> None:
        """Unmap it."""
        self.ints.release()
        self.times.release()
        self._map.close()


class Blame(NamedTuple):
    """The mini-batch a process's death is charged to."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nothing here uses
    attempt: int
    items: int
    since: float
    """When it began, monotonic seconds."""
    started_at: float
    """When it began, seconds since the epoch."""
    loading: bool
    """True: while it was being read."""


def blame(block: StatusBlock) -> Blame | None:
    """Return which mini-batch a process has in hand, and so is charged for its end; None: none."""
    index, running = block.ints[StatusBlock.IN_HAND], bool(block.ints[StatusBlock.RUNNING])
    if index < 0:
        return None
    return Blame(
        index=index,
        attempt=block.ints[StatusBlock.ATTEMPT],
        items=max(block.ints[StatusBlock.ITEMS], 1),
        since=block.times[StatusBlock.RUNNING_SINCE if running else StatusBlock.LOADING_SINCE],
        started_at=block.times[StatusBlock.STARTED_AT],
        loading=not running,
    )


def all_in_hand(board: int) -> list[tuple[int, Blame]]:
    """Return what the processes of a node have in hand, or had when they ended, by their slots."""
    found = []
    # the script may have written far behind the blocks
    for slot in range(min(os.fstat(board).st_size // StatusBlock.SIZE, MOST_SLOTS)):
        block = StatusBlock(board, slot, create=False)
        if (at := blame(block)) is not None and at.attempt:  # else a slot that nobody has had
            found.append((slot, at))
        block.close()
    return found
