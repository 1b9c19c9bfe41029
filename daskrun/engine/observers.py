"""Those who watch a run."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from daskrun.core.events import NodeLost, NodePreparing, NodeReady

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.core.events import Event
    from daskrun.core.ledger import Ledger
    from daskrun.core.observer import Observer

logger = logging.getLogger(__name__)
PROGRESS_INTERVAL = 0.25


class Audience:
    """The observers of a run; one that fails is the run's log's concern, not the run's."""

    def __init__(self, observers: Sequence[Observer], run_id: str) -> None:
        self._observers = list(observers)
        self._run_id = run_id
        self._next = 0.0
        self.trouble = ""
        """Why an observer could not write down what it was told; the first time."""
        self._preparing: dict[str, str] = {}
        """What nodes are at that can't take bundles yet."""

    def notify(self, event: Event) -> None:
        """Tell what has happened."""
        if isinstance(event, NodePreparing):
            self._preparing[event.node] = event.text
        elif isinstance(event, NodeReady | NodeLost):
            self._preparing.pop(event.node, None)
        self._tell(lambda observer: observer.notify(event))

    def show(self, ledger: Ledger, *, in_any_case: bool = False) -> None:
        """Show how far the run is, a few times a second."""
        now = time.monotonic()
        if in_any_case or now >= self._next:
            self._next = now + PROGRESS_INTERVAL
            preparing = next(iter(self._preparing.values()), "")
            progress = replace(ledger.progress(now), preparing=preparing)
            self._tell(lambda observer: observer.progress(progress))

    def close(self) -> None:
        """Say that nothing more comes."""
        self._tell(lambda observer: observer.close())

    def _tell(self, tell: Any) -> None:
        for observer in self._observers:
            try:
                tell(observer)
            except OSError as error:  # its disk; to be said once, and not at each event
                if not self.trouble:
                    self.trouble = f"what is told of the run in its logs is not whole: {error}"
                    logger.warning("run %s: %s", self._run_id, self.trouble)
            except Exception:
                logger.exception("run %s: an observer failed", self._run_id)
