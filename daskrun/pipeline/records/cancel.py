"""Cancelling from another process: a small file in the run's folder, which its driver looks for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from daskrun.core.logs import get_logger
from daskrun.errors import DaskrunError

if TYPE_CHECKING:
    from collections.abc import Callable

    from daskrun.workspace.run_folders.run_folder import RunFolder

logger = get_logger("daskrun")


class CancelWatch:
    """Looks for what other processes ask, while a run is driven; a context manager.

    In a thread of its own, so that it is heard also while the driver connects, imports, or runs the
    user's code inline. It looks every ``interval`` seconds. ``cancel`` is called with the reason,
    once at most. This process has the lock.
    """

    def __init__(self, folder: RunFolder, cancel: Callable[[str], None], interval: float) -> None:
        self._folder = folder
        self._interval = interval
        self._cancel = cancel
        self._over = threading.Event()

    def __enter__(self) -> CancelWatch:
        name = f"daskrun-cancel-{self._folder.id}"
        threading.Thread(target=self._look, name=name, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        try:
            self._folder.forget_cancel()
        except OSError:  # the next driver of the run does it
            logger.warning("run %s: a request to cancel it stays", self._folder.id, exc_info=True)

    def _look(self) -> None:
        told = False
        while not self._over.wait(self._interval):
            try:
                reason = self._folder.asked_to_cancel()
            except DaskrunError as error:  # a network file system that stumbles, or others wrote it
                if not told:
                    logger.warning("run %s: the request to cancel it: %s", self._folder.id, error)
                told = True
                continue
            except Exception:  # else nobody could cancel it any more
                if not told:
                    logger.exception("run %s: a request to cancel can't be read", self._folder.id)
                told = True
                continue
            if reason is not None:
                self._cancel(reason)
                return
