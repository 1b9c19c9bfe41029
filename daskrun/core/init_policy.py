"""When ``init()`` can't succeed (CONTRACT, "Failure policy")."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daskrun.core.outcome import ProcessInfo


class InitPolicy:
    """How often ``init()`` has failed, in which processes, since when one was a success."""

    def __init__(self) -> None:
        self._failed_in: set[tuple[str, str]] = set()
        self._failures = 0
        """Since the last success."""
        self._succeeded = False
        self._unproven: dict[tuple[object, ...], int] = {}
        """Ready processes that have returned nothing yet: failures that each has made forgotten."""

    def ready(self, process: ProcessInfo) -> None:
        """Note that ``init()`` has ended well."""
        self._succeeded = True
        self._unproven[process[:3]] = self._failures
        self._failures = 0

    def proven(self, process: ProcessInfo) -> None:
        """Note that a process has returned something."""
        self._unproven.pop(process[:3], None)

    def failed(self, process: ProcessInfo, processes: int) -> str:
        """Note a failure; return why the run must end, which has so many processes; or ``""``."""
        was_ready = self._unproven.pop(process[:3], None)  # then it was no success after all
        self._failures += 1 + (was_ready or 0)
        self._failed_in.add((process.node, process.name))
        processes = max(1, processes)
        whole_wave = not self._succeeded and len(self._failed_in) >= processes
        if not whole_wave and self._failures < 2 * processes:
            return ""
        if was_ready is not None:
            return "script processes end right after init(), before they return anything"
        return "no script process could import the entry script and finish init()"
