"""What a node and the processes of a run on it use: processor and memory, noted again and again.

The files have the original's names, in ``logs/sys/perf/<node>/``. Where there is no ``/proc``, as
on macOS, nothing is noted.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.script.keeper.hardware import resident_memory
from daskrun.script.keeper.log_cap import cap_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

NODE = "node_resource_usage.csv", "Time (UTC),Cores,Cores Used,Memory (MB),Memory Used (MB)\n"
PROCESSES = "processes_resource_usage.csv", "Time (UTC),Process,Pid,Cores Used,Memory (MB)\n"
IDLE, WAITING = 3, 4
"""Places of times in the first line of ``/proc/stat`` in which a core has nothing to do."""
MEGABYTE = 1 << 20
PROC = Path("/proc")


class UsageLog:
    """Notes what is used, every so often; a file that can't be written is passed over.

    Parameters
    ----------
    folder
        Where the files go; made by the first note.
    interval
        Seconds between two notes; 0: there are none.
    limit
        Bytes of a file, above which its middle is left out.
    """

    def __init__(self, folder: Path, interval: float, limit: int) -> None:
        self._folder = folder
        self._interval = interval
        self._limit = limit
        self._due = time.monotonic() + interval
        self._busy = _busy()
        self._at = time.monotonic()
        self._before: dict[int, tuple[float, float]] = {}
        """Of each process when it was looked at, and the seconds of a core it had used then."""

    def look(self, now: float, pids: Callable[[], Mapping[str, int]]) -> None:
        """Note what the node and some processes use, if it is time.

        Parameters
        ----------
        now
            ``time.monotonic()``.
        pids
            Gives those of the processes by name.
        """
        if self._interval and now >= self._due:
            self._due = now + self._interval
            self.note(pids())

    def note(self, pids: Mapping[str, int]) -> None:
        """Note what is used now, whatever the time."""
        if not self._interval or not PROC.joinpath("stat").exists():
            return
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        with contextlib.suppress(OSError):
            self._append(NODE, [f"{at},{self._of_node()}"])
            used = ((name, pid, self._of_process(pid)) for name, pid in pids.items())
            lines = [f"{at},{name},{pid},{text}" for name, pid, text in used if text]
            self._append(PROCESSES, lines)

    def _append(self, file: tuple[str, str], lines: Iterable[str]) -> None:
        path = self._folder / file[0]
        self._folder.mkdir(parents=True, exist_ok=True)
        with path.open("a") as opened:
            if not opened.tell():
                opened.write(file[1])
            opened.writelines(f"{line}\n" for line in lines)
        cap_log(path, self._limit)

    def _of_node(self) -> str:
        """Return what all of the machine uses, since the last look."""
        now, busy = time.monotonic(), _busy()
        used = (busy - self._busy) / max(now - self._at, 0.01)
        self._busy, self._at = busy, now
        total, free = _memory()
        return f"{os.cpu_count()},{used:.2f},{total // MEGABYTE},{(total - free) // MEGABYTE}"

    def _of_process(self, pid: int) -> str:
        """Return what a process uses, since the last look or its start; ``""`` if it is gone."""
        found = _seconds(pid)
        if found is None:
            return ""
        started, seconds = found
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        last, before = self._before.get(pid, (started, 0.0))
        if seconds < before:  # another process of that number
            last, before = started, 0.0
        self._before[pid] = now, seconds
        used = (seconds - before) / max(now - last, 0.01)
        return f"{used:.2f},{resident_memory(pid) // MEGABYTE}"


def _busy() -> float:
    """Return the seconds that cores of this machine have been at work, 0 where nobody tells."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        with PROC.joinpath("stat").open() as file:
            times = [int(text) for text in file.readline().split()[1:9]]
        return (sum(times) - times[IDLE] - times[WAITING]) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _memory() -> tuple[int, int]:
    """Return the bytes of memory of this machine, and of it what is to be had."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        lines = PROC.joinpath("meminfo").read_text().splitlines()
        kilobytes = {name: rest.split()[0] for name, _, rest in (x.partition(":") for x in lines)}
        return int(kilobytes["MemTotal"]) * 1024, int(kilobytes["MemAvailable"]) * 1024
    return 0, 0


def _seconds(pid: int) -> tuple[float, float] | None:
    """Return when a process was started, since the boot, and the seconds of a core it has used."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        # The second field is the program's name in brackets, which may hold anything.
        fields = PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()
        user, system, started = (int(fields[n]) for n in (11, 12, 19))
        ticks = os.sysconf("SC_CLK_TCK")
        return started / ticks, (user + system) / ticks
    return None
