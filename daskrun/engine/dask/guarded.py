"""Threads and callbacks of a dispatcher: one that fails ends the run, which would wait for ever."""

from __future__ import annotations

import contextlib
import threading
from functools import partial
from typing import TYPE_CHECKING

from daskrun.core.logs import get_logger
from daskrun.engine.dask.connection import Abandoned
from daskrun.errors import DaskrunError

if TYPE_CHECKING:
    from collections.abc import Callable

logger = get_logger(__name__)

JOIN_LIMIT = 5.0
"""Seconds that a thread gets to end when the run is over."""


class Guarded:
    """Does a run's work beside its driver; ``failed`` gets why some could not be done."""

    def __init__(self, run_id: str, failed: Callable[[str], None]) -> None:
        self._run_id = run_id
        self._failed = failed
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[[], None], name: str, *, joined: bool = False) -> None:
        """Do it in a thread; ``join`` waits for one that is ``joined``."""
        thread = threading.Thread(target=self._do, args=(work,), name=name, daemon=True)
        thread.start()
        if joined:
            self._threads.append(thread)

    def call(self, act: Callable[..., None]) -> Callable[..., None]:
        """Return what acts so on the client's event loop, which tells nobody of a failure."""
        return lambda *told: self._do(partial(act, *told))

    def join(self) -> None:
        """Wait for the threads, for a while."""
        for thread in self._threads:
            thread.join(JOIN_LIMIT)

    def _do(self, work: Callable[[], None]) -> None:
        try:
            with contextlib.suppress(Abandoned):
                work()
        except DaskrunError as error:
            self._failed(str(error))
        except Exception as error:
            logger.exception("run %s: its Dask cluster", self._run_id)
            self._failed(f"the Dask cluster can't be used: {type(error).__name__}: {error}")
