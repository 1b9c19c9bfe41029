"""Dask's own dashboard for the local target, once a run turns out to be worth watching."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

DELAY = 3.0
"""Seconds after the first outcome: importing bokeh takes 1 s of a core, as long as a short run."""


class LateDashboard:
    """Connects the dashboard to a scheduler that was started without, in a thread of its own.

    Parameters
    ----------
    scheduler
        The local target's scheduler, whose HTTP server listens on loopback already.
    tell
        Called with the address when it is there.
    """

    def __init__(self, scheduler: Any, tell: Callable[[str], None]) -> None:
        self._scheduler = scheduler
        self._tell = tell
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Begin the wait for it, if it has not begun."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._connect, name="daskrun-dashboard", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Give it up, if it is not connected yet."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _connect(self) -> None:
        if self._closed.wait(DELAY):
            return
        try:
            from distributed.dashboard.scheduler import connect
        except ImportError:
            logger.info("no Dask dashboard: bokeh is not installed")
            return
        scheduler = self._scheduler
        if self._closed.is_set():
            return
        scheduler.loop.add_callback(
            connect, scheduler.http_application, scheduler.http_server, scheduler, prefix=""
        )
        self._tell(f"http://127.0.0.1:{scheduler.http_server.port}/status")
