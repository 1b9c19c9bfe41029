"""Room on the disk of an output: looked at before a run, and while it goes on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from daskrun.core.intervals import USUAL
from daskrun.storage.error_hints import RESUME

if TYPE_CHECKING:
    from pathlib import Path

RESERVE = 32 * 2**20
"""Bytes that must stay free: with them a run can still end in good order, which takes its journal,
states, logs and report. Between two looks the journal gets about 70 bytes for each mini-batch."""
FEWEST_FILES = 64
"""Files that it must still be possible to make, for the same reason."""
FORESEEN_AFTER = 0.02
"""Share of the mini-batches that must be done before it is judged what all of them will need."""
FEWEST_DONE = 10
"""Mini-batches that must be done before that: the first few may be odd."""


class Room(NamedTuple):
    """What is free on a disk."""

    nbytes: int
    files: int | None
    """How many more files can be made; None where the file system has no limit of its own."""


class Look(NamedTuple):
    """What a look at the room found; empty texts for nothing."""

    trouble: str
    """Why the run has to end, and what to do about it."""
    warning: str
    """What is foreseen, once."""


NOTHING = Look("", "")


def room(folder: Path) -> Room:
    """Return what is free for this user on the disk of a folder, or raise OSError."""
    found = os.statvfs(folder)
    return Room(found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)


def too_little(folder: Path) -> str:
    """Return that a folder's disk has too little room for a run; empty where it has enough."""
    free = room(folder)
    if free.nbytes < RESERVE:
        return f"{folder} has {size(free.nbytes)} free, a run needs {size(RESERVE)} at least"
    if free.files is not None and free.files < FEWEST_FILES:
        return f"{folder} is on a disk on which only {free.files} more files can be made (inodes)"
    return ""


class SpaceWatch:
    """Looks while a run goes on whether there is room for what it still has to write.

    Parts and output need twice the result: rows are in a part until the output is published.
    Journal and logs are in ``run_folder``.
    """

    def __init__(
        self, output: Path, parts: Path, run_folder: Path, interval: float = USUAL.space_look
    ) -> None:
        self._output = output
        self._parts = parts
        self._run_folder = run_folder
        self._interval = interval
        self._next = 0.0
        self._warned = False

    def check(self, now: float, committed: int, joined: int, done: int, total: int | None) -> Look:
        """Look, if the last time is some seconds ago.

        Parameters
        ----------
        now
            Seconds on a monotonic clock.
        committed
            Bytes of rows in parts that are in the journal.
        joined
            How many bytes of them the output has already.
        done, total
            Mini-batches that have ended, and all there are, where that is known.
        """
        if now < self._next:
            return NOTHING
        self._next = now + self._interval
        if not self._parts.exists():
            lost = f"the folder {self._parts} was removed while the run went on: the rows in it"
            again = "are lost, and are made again by run.resume()"
            return Look(f"{lost} {again}. See that nothing else removes it.", "")
        try:
            free = room(self._output).nbytes
            trouble = self._trouble(free, committed - joined)
        except OSError:
            return NOTHING  # whoever writes there finds out what it is, and says it
        warning = "" if trouble else self._foresee(free, committed, joined, done, total)
        return Look(trouble, warning)

    def _trouble(self, free: int, waiting: int) -> str:
        """Return why what is committed can't be put together any more, or not be written down."""
        needed = waiting + RESERVE
        if free < needed:
            why = f"{self._output} has {size(free)} free and {size(needed)} are needed"
            if waiting > 0:
                why += f": {size(waiting)} of finished rows are still to be put into the output"
            return f"{why}. Free {size(needed - free)} there, {RESUME}."
        for folder in (self._run_folder, self._output):
            if why := too_little(folder):
                return f"{why}. Free space there, {RESUME}."
        return ""

    def _foresee(self, free: int, committed: int, joined: int, done: int, total: int | None) -> str:
        """Return, once, that what is still to come will not fit if it is as what has come."""
        if self._warned or not committed or total is None or done >= total:
            return ""
        if done < max(FEWEST_DONE, FORESEEN_AFTER * total):
            return ""
        whole = committed * total // done
        needed = (whole - committed) + (whole - joined) + RESERVE
        if free >= needed:
            return ""
        self._warned = True
        return (
            f"the output is going to take about {size(whole)}, and as much again while its parts "
            f"are there: {size(needed)} more in {self._output}, which has {size(free)} free. "
            f"Free {size(needed - free)} there while the run goes on: it ends when there is no room"
        )


def size(nbytes: int) -> str:
    """Write a number of bytes for people.

    Examples
    --------
    >>> size(900), size(31_400_000), size(2_500_000_000)
    ('0.0009 MB', '31.4 MB', '2.5 GB')
    """
    if nbytes < 10**9:
        return f"{nbytes / 10**6:.3g} MB"
    return f"{nbytes / 10**9:.3g} GB" if nbytes < 10**12 else f"{nbytes / 10**12:.3g} TB"
