"""Whether a cluster's scheduler answers, and which workers it gives tasks.

A scheduler that is stopped keeps its connections, and a worker that Dask has paused stays in the
cluster: nothing breaks, and what waits for them would wait for ever.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from daskrun.core.intervals import USUAL
from daskrun.core.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Collection

    from daskrun.core.intervals import Intervals

logger = get_logger(__name__)

NO_TASKS = "is given no tasks by Dask: it is paused, as its memory is full, or leaving"
LONGEST_STEP = 5.0
"""Seconds that count at most between two looks: this process may have been stopped itself."""


class Health(NamedTuple):
    """What a check found; empty where all is well."""

    note: str
    """Something for the log."""
    trouble: str
    """Why the run has to end; once."""
    idle: list[str]
    """Workers that have been given no tasks for ``Intervals.pause_limit``."""
    back: bool
    """Whether a worker that was given none is given some again."""


class HealthCheck:
    """Asks the scheduler every few seconds which of some workers it gives tasks.

    Checks and answers come from two threads. A scheduler that has not answered for ``patience``
    seconds, ``Intervals.least_silence`` at least, is given up.
    """

    def __init__(self, patience: float, intervals: Intervals = USUAL) -> None:
        self._intervals = intervals
        self._patience = max(patience, intervals.least_silence)
        self._lock = threading.Lock()
        self._asked = float("-inf")
        self._out = False
        """Whether a question is waiting for its answer."""
        self._looked: float | None = None
        self._silence = 0.0
        self._told = self._given_up = False
        self._heard: float | None = None
        self._idle: dict[str, float] = {}
        """Address of a worker that is given no tasks -> seconds for which that is known."""
        self._back = False

    def check(self, client: Any, workers: Collection[str], now: float) -> Health:
        """Return what is known, and ask again where that is due; nobody waits for the answer.

        ``workers`` are the addresses of those to ask about.
        """
        with self._lock:
            step = 0.0 if self._looked is None else min(now - self._looked, LONGEST_STEP)
            self._looked = now
            self._silence = self._silence + step if self._out else 0.0
            due = not self._out and now >= self._asked + self._intervals.health_interval
            if due:
                self._asked, self._out = now, True
            found = self._found(workers)
        if due:
            client.loop.add_callback(self._ask, client, list(workers), now)
        return found

    @property
    def silent(self) -> bool:
        """Whether a question has been waiting for its answer for a while."""
        return self._silence > self._intervals.health_interval

    def restart(self) -> None:
        """Forget everything: the connection was broken, and may lead to another scheduler now."""
        with self._lock:
            self._out, self._silence, self._told, self._heard = False, 0.0, False, None
            self._idle.clear()

    def heard(self, asked: Collection[str], busy: Collection[str] | None, now: float) -> None:
        """Note which of the workers ``asked`` about are given tasks; None: no answer came.

        ``now`` is when that was asked.
        """
        with self._lock:
            self._out = False
            if busy is None:
                return
            step = 0.0 if self._heard is None else min(now - self._heard, LONGEST_STEP)
            self._heard = now
            self._back |= any(address in self._idle for address in busy)
            self._idle = {
                address: self._idle[address] + step if address in self._idle else 0.0
                for address in asked
                if address not in busy
            }

    async def _ask(self, client: Any, workers: list[str], now: float) -> None:
        busy = None
        try:
            busy = await client.scheduler.ncores_running(workers=workers)
        except Exception as error:  # noqa: BLE001  (who looks at the connection says what is wrong)
            logger.info("asking the scheduler: %s", error)
        self.heard(workers, busy, now)

    def _found(self, workers: Collection[str]) -> Health:
        words = f"has not answered for {self._silence:.0f} s"
        gone = self._silence > self._patience and not self._given_up
        self._given_up |= gone
        trouble = f"{words}: it is stopped, or overloaded" if gone else ""
        tell = self._silence > self._intervals.silence_told
        note = words if tell and not self._told else ""
        self._told = tell
        limit = self._intervals.pause_limit
        idle = [each for each in workers if self._idle.get(each, 0.0) >= limit]
        back, self._back = self._back, False
        return Health(note, trouble, idle, back)
