"""Where a driver can be stopped, exactly, by a test of what happens then."""

from __future__ import annotations

import os
import signal

KILL_AT = "DASKRUN_KILL_AT"
"""Environment variable: ``point`` or ``point:n``. The driver's process gets SIGKILL when it reaches
that point for the n-th time (from 1)."""

POINTS = ("written", "journalled", "counted", "finalizing", "renamed", "finalized", "swept")
"""The steps of the commit, in order: rows are in a part and the outcomes are back; the journal has
them on the disk; the ledger has counted them; the journal says that the output is being put
together; the output has its name; the journal says so; the run's parts are gone."""


class Checkpoints:
    """Counts the points that a driver reaches, and kills its process at the one asked for.

    Examples
    --------
    >>> Checkpoints("").reach("written")
    """

    def __init__(self, kill_at: str | None = None) -> None:
        text = os.environ.get(KILL_AT, "") if kill_at is None else kill_at
        self._point, _, number = text.partition(":")
        if self._point and (self._point not in POINTS or not (number or "1").isdecimal()):
            raise ValueError(f"{KILL_AT}={text!r}: write one of {', '.join(POINTS)}, or point:n")
        self._left = int(number or 1)

    def reach(self, point: str) -> None:
        """Note that a point is reached, and end the process there if that was asked for."""
        if point != self._point:
            return
        self._left -= 1
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
