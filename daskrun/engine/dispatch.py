"""The seam between the driver and what runs bundles."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from daskrun.core.events import BundleLost, BundleReturned, Event
from daskrun.core.outcome import ProcessInfo
from daskrun.script.outcome_log import read_outcome_log

if TYPE_CHECKING:
    import queue
    from collections.abc import Sequence

    from daskrun.core.orders import Bundle


class Dispatcher(Protocol):
    """Runs bundles somewhere. Calls come from the driver's thread; events go to ``events``."""

    events: queue.SimpleQueue[Event]
    """What happened, from any thread: nodes, processes, bundles that came back."""

    @property
    def obstacle(self) -> str:
        """What is in the way of nodes, as far as that is known; else ``""``."""

    def start(self) -> None:
        """Begin to make nodes. Returns soon; each announces itself by ``NodeReady``."""

    def hand_out(self, bundles: Sequence[tuple[Bundle, bytes]], budget: float) -> None:
        """Run bundles. Each comes back exactly once, as ``BundleReturned`` or ``BundleLost``.

        The bytes are a pickled list of (encoded descriptor, attempt).
        """

    def stop(self, grace: float) -> None:
        """Have everything come back: what is in hand may end within ``grace`` seconds."""

    def close(self) -> None:
        """End every process and connection of the run."""


def returned(result: dict[str, Any], now: float | None = None) -> Event:
    """Turn what a node gives for a bundle into an event."""
    now = time.monotonic() if now is None else now
    if "lost" in result:
        return BundleLost(result["number"], result["lost"], now)
    process = result["process"]
    return BundleReturned(
        number=result["number"],
        process=ProcessInfo(*process) if process is not None else None,
        outcomes=(*read_outcome_log(result["outcome_log"]), *read_outcome_log(result["charged"])),
        seconds=result["seconds"],
        now=now,
        warnings=tuple(result.get("warnings", ())),
        trouble=result.get("trouble", ""),
    )
