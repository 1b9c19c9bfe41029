"""How other threads reach the driver of a run."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from daskrun.core.events import StopAsked

if TYPE_CHECKING:
    import queue

    from daskrun.core.events import Event


class RunControl:
    """Passes on to a driver what other threads ask of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: queue.SimpleQueue[Event] | None = None
        self._reason: str | None = None

    def cancel(self, reason: str) -> None:
        """End the run with status Canceled; what is finished is kept."""
        with self._lock:
            self._reason = self._reason or reason
            if self._events is not None:
                self._events.put(StopAsked(reason, canceled=True, now=time.monotonic()))

    def connect(self, events: queue.SimpleQueue[Event]) -> None:
        """Pass cancellations on to a driver, also one that was asked for before."""
        with self._lock:
            self._events = events
            reason = self._reason
        if reason is not None:
            self.cancel(reason)
