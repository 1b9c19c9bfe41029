"""The weather of the soak: workers and drivers that get SIGKILL, and what is left of them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.rounds import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.soak_work import Work

EVERY = 10.0
"""Seconds between two workers that are killed."""
SHARES = (0.25, 0.5, 0.75)
"""The driver is killed when as many calls as this part of the items have been made; where a
contestant begins work anew its calls count all the same."""
START = 60.0
"""Seconds a driver has to get its first item begun, before anything is killed."""
MARK = "DASKRUN_SOAK"
"""Environment variable that all processes of a contestant have."""
LOOK = 0.02


@dataclass
class Told:
    """What happened in a storm."""

    began: float = 0.0
    """When the first item was begun, seconds since the epoch."""
    seconds: float = 0.0
    """From then until the last driver has ended."""
    code: int | None = None
    """What the last driver ended with; None where it had to be ended, at the limit."""
    workers_killed: list[float] = field(default_factory=list)
    """When each was."""
    drivers_killed: list[float] = field(default_factory=list)


class Storm:
    """One contestant's drivers, and what befalls them and their workers.

    Parameters
    ----------
    place
        A folder of its own.
    work
        Tells how far it is.
    command
        The driver: module and arguments; a driver that was killed is started again with the same.
    victims
        Gives the processes one of which may be killed now, in an order that stays.
    limit
        Seconds after which a contestant could not finish.
    """

    def __init__(
        self,
        place: Path,
        work: Work,
        command: list[str],
        victims: Callable[[int], list[int]],
        limit: float,
    ) -> None:
        self._place, self._work = place, work
        self._command, self._victims, self._limit = command, victims, limit
        self._told = Told()

    def blow(self) -> Told:
        """Start the driver and kill until it has ended."""
        told, work, started = self._told, self._work, time.time()
        driver = self._start()
        due = [share * work.items for share in SHARES]
        while driver.poll() is None:
            time.sleep(LOOK)
            now, calls = time.time(), work.calls
            if not told.began and calls:
                told.began = now
            if now > (told.began + self._limit if told.began else started + START):
                driver.kill()
                driver.wait()
                break
            if due and calls >= due[0]:
                del due[0]
                driver.kill()
                driver.wait()
                told.drivers_killed.append(now)
                driver = self._start()
            elif told.began and now > told.began + EVERY * (len(told.workers_killed) + 1):
                self._kill_worker(driver.pid)
        else:
            told.code = driver.returncode
        told.seconds = time.time() - told.began if told.began else 0.0
        return told

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, MARK: str(self._place), "PYTHONPATH": str(ROOT)}
        with (self._place / "driver.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *self._command],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )

    def _kill_worker(self, driver: int) -> None:
        """Kill one, in turn; where there is none just now, at the next look."""
        victims = self._victims(driver)
        if victims:
            number = len(self._told.workers_killed)
            with contextlib.suppress(ProcessLookupError):
                os.kill(victims[number % len(victims)], signal.SIGKILL)
            self._told.workers_killed.append(time.time())


def marked(place: Path) -> list[int]:
    """Give the processes that a contestant has started, and that still are there."""
    mark = f"{MARK}={place}\0".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes() + b"\0" and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
    return sorted(found)


def sweep(place: Path) -> int:
    """Kill what a contestant has left behind 5 s after its end; tell how many that were."""
    deadline = time.time() + 5
    while marked(place) and time.time() < deadline:
        time.sleep(0.1)
    left = marked(place)
    while found := marked(place):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    return len(left)


def children(pid: int) -> list[int]:
    """Give the processes that a process has started."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(word) for word in task.read_text().split()]
    return sorted(found)
