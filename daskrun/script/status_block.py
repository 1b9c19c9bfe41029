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


class StatusBlock:
    """What a script process is doing, in memory that its keeper reads without asking.

    One writer (the script process), one reader (the keeper), aligned 8-byte fields written by one
    native store each: a field is never seen half written. The keeper writes only ``RECALL``.

    ``ints`` and ``times`` are two views of the same memory: a field is one or the other.
    """

    LOADING, LOADING_SINCE, RUNNING, RUNNING_SINCE = 0, 1, 2, 3
    ITEMS, ATTEMPT, STARTED_AT = 4, 5, 6
    """Items of the mini-batch in hand (0: not known yet), its try, its start (since the epoch)."""
    PHASE, PHASE_SINCE, RECALL = 7, 8, 9
    SIZE = 4096

    def __init__(self, fd: int, *, create: bool) -> None:
        if create:
            os.ftruncate(fd, self.SIZE)
        self._map = mmap.mmap(fd, self.SIZE)
        self.ints = memoryview(self._map).cast("q")
        self.times = memoryview(self._map).cast("d")
        if create:
            self.clear()

    def clear(self) -> None:
        """Show that nothing is being loaded or run."""
        self.ints[self.LOADING] = -1
        self.ints[self.RUNNING] = -1

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
    """Return which mini-batch a dead process was executing; None when it was none, or two at once.

    With one loading and one running, either may have been the cause: neither is charged, and both
    run again without read-ahead.
    """
    loading, running = block.ints[StatusBlock.LOADING], block.ints[StatusBlock.RUNNING]
    if (loading < 0) == (running < 0):
        return None
    is_loading = running < 0
    return Blame(
        index=loading if is_loading else running,
        attempt=block.ints[StatusBlock.ATTEMPT],
        items=max(block.ints[StatusBlock.ITEMS], 1),
        since=block.times[StatusBlock.LOADING_SINCE if is_loading else StatusBlock.RUNNING_SINCE],
        started_at=block.times[StatusBlock.STARTED_AT],
        loading=is_loading,
    )
