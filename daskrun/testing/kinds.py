"""The faults there are: what each does to the process, or to what ``run()`` returned."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

OK = "ok"
"""In a list of faults: a call without one."""
BLOCK = 16 * 2**20
"""Bytes that ``eat_memory`` takes at a time."""
LONG = 10_000_000
"""Characters of ``huge_message``: 150 times what is kept of an error's text."""
FOR_EVER = 10**6
"""Seconds of a hang; every limit there is ends it before."""


class _CannotTravelError(RuntimeError):
    """An exception that pickle refuses."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("this exception can't be pickled")


class _NoText:
    """A result that can't be made a text."""

    def __str__(self) -> str:
        raise ValueError("scripted fault 'unencodable': this row has no text")


def _raise(name: str, more: str = "") -> NoReturn:
    raise RuntimeError(f"scripted fault {name!r}{more}")


def _hang() -> None:
    while True:  # a signal handler may end one sleep
        time.sleep(FOR_EVER)


def _hang_in_c() -> None:
    while True:
        ctypes.PyDLL(None).sleep(FOR_EVER)  # unlike CDLL it keeps the GIL


def _eat_memory() -> None:
    """Allocate memory until the keeper notices; half of what is free at most."""
    eaten: list[bytes] = []
    most = _free_memory() // 2
    while len(eaten) * BLOCK < most:
        eaten.append(b"x" * BLOCK)
        time.sleep(0.002)  # the keeper looks ten times a second
    took = f"took {len(eaten) * BLOCK // 2**20:,} MB and nothing ended it"
    _raise("eat_memory", f" {took}. Set process_memory_limit, such as process_memory_limit='1GB'.")


def _free_memory() -> int:
    """Bytes that could be had now."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    return 2**31


def _unpicklable() -> None:
    raise _CannotTravelError("scripted fault 'unpicklable'")


def _disk_full() -> None:
    """Refuse the next write of rows, as a full disk does."""
    real = os.pwrite

    def refuse(*_: Any) -> NoReturn:
        os.pwrite = real
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    os.pwrite = refuse


BEFORE: dict[str, Callable[[], object]] = {
    "raise": lambda: _raise("raise"),
    "hang": _hang,
    "hang_in_c": _hang_in_c,
    "segfault": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "memory_error": lambda: bytearray(2**62),  # more than any machine has; nothing is taken
    "eat_memory": _eat_memory,
    "unpicklable": _unpicklable,
    "huge_message": lambda: _raise("huge_message", ": " + "x" * LONG),
    "disk_full": _disk_full,
}
"""Faults that come before the script's own function is called."""

AFTER: dict[str, Callable[[Any], Any]] = {
    "short": lambda result: result[:-1],
    "none": lambda _: None,
    "unencodable": lambda result: [*([""] * (len(result) - 1)), _NoText()],
}
"""Faults that change what it returned."""

OF_RUN = (*BEFORE, *AFTER)
OF_INIT = tuple(name for name in BEFORE if name != "disk_full")
NEEDS_PROCESS = {"hang", "hang_in_c", "segfault", "exit", "kill", "stop", "eat_memory", "disk_full"}
"""Faults that no process survives unhurt: not for one that is the user's own."""
