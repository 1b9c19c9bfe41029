"""What a node and the processes of a run on it use: processor and memory, noted again and again.

The files have the original's names, in ``logs/sys/perf/<node>/``.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any

from daskrun.script.keeper.log_cap import cap_log
from daskrun.storage.folders import make_folder, open_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

NODE = "node_resource_usage.csv", "Time (UTC),Cores,Cores Used,Memory (MB),Memory Used (MB)\n"
PROCESSES = "processes_resource_usage.csv", "Time (UTC),Process,Pid,Cores Used,Memory (MB)\n"
IDLE = ("idle", "iowait", "guest", "guest_nice")
"""Times in which a core has nothing to do, or that others hold already."""
MEGABYTE = 1 << 20
FIRST = 2.0
"""Seconds to the first note of a run, each wait after it twice as long, up to the interval."""


def load_psutil(folder: str = "") -> Any:
    """Import psutil, which takes 8 ms; None where it can't be had.

    ``folder`` is where the worker has it: the keeper's own path holds the standard library only.
    """
    sys.path.append(folder)
    try:
        import psutil
    except ImportError:
        return None
    finally:
        sys.path.remove(folder)
    return psutil


class UsageLog:
    """Notes what is used, every so often; a file that can't be written is passed over.

    Every ``interval`` seconds, the first after :data:`FIRST`, 0 for never; of a file above
    ``limit`` bytes the middle is left out; ``psutil`` is as :func:`load_psutil` returns it.
    """

    def __init__(self, folder: Path, interval: float, limit: int, psutil: Any) -> None:
        self._folder = folder
        self._limit = limit
        self._psutil = psutil
        self._interval = interval if psutil is not None else 0
        self._at = time.monotonic()
        self._wait = min(FIRST, interval)
        self._due = self._at + self._wait
        self._busy = self._core_seconds() if self._interval else 0.0
        self._before: dict[Any, tuple[float, float]] = {}
        """By process when it was looked at, and the seconds of a core it had used then."""

    def look(self, now: float, pids: Callable[[], Mapping[str, int]]) -> None:
        """Note what the node and processes use, by their names, if ``now`` (monotonic) is time."""
        if self._interval and now >= self._due:
            self._wait = min(2 * self._wait, self._interval)
            self._due = now + self._wait
            self.note(pids())

    def note(self, pids: Mapping[str, int]) -> None:
        """Note what is used now, whatever the time."""
        if not self._interval:
            return
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        with contextlib.suppress(OSError):
            self._append(NODE, [f"{at},{self._of_node()}"])
            used = ((name, pid, self._of_process(pid)) for name, pid in pids.items())
            lines = [f"{at},{name},{pid},{text}" for name, pid, text in used if text]
            self._append(PROCESSES, lines)

    def _append(self, file: tuple[str, str], lines: Iterable[str]) -> None:
        path = self._folder / file[0]
        make_folder(self._folder)
        with open_kept(path, "a") as opened:
            if not opened.tell():
                opened.write(file[1])
            opened.writelines(f"{line}\n" for line in lines)
        cap_log(path, self._limit)

    def _of_node(self) -> str:
        """Return what all of the machine uses, since the last look."""
        now, busy = time.monotonic(), self._core_seconds()
        used = (busy - self._busy) / max(now - self._at, 0.01)
        self._busy, self._at = busy, now
        cores, memory = self._psutil.cpu_count(), self._psutil.virtual_memory()
        taken = memory.total - memory.available
        return f"{cores},{used:.2f},{memory.total // MEGABYTE},{taken // MEGABYTE}"

    def _of_process(self, pid: int) -> str:
        """Return what a process uses, since the last look or its start; ``""`` if it is gone."""
        with contextlib.suppress(self._psutil.Error):
            process, now = self._psutil.Process(pid), time.time()
            last, before = self._before.get(process, (process.create_time(), 0.0))
            seconds = sum(process.cpu_times()[:2])
            self._before[process] = now, seconds
            used = (seconds - before) / max(now - last, 0.01)
            return f"{used:.2f},{process.memory_info().rss // MEGABYTE}"
        return ""

    def _core_seconds(self) -> float:
        """Return how long cores of this machine have been at work."""
        times = self._psutil.cpu_times()._asdict()
        return float(sum(times.values()) - sum(times.get(name, 0) for name in IDLE))
