"""Finding and ending processes: a script process's descendants, wherever they have moved to.

From ``/proc``, not by psutil: its import would come when something must be killed at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
MARK = "DASKRUN_NODE_FOLDER"
"""Environment variable of every process of a node, by which its orphans are known."""
PROCESS_MARK = "DASKRUN_PROCESS"
"""The same for one script process."""

TRACKER = b"resource_tracker import main"
"""In the command line of a resource tracker."""
TRACKER_GRACE = 0.5
"""Seconds that one gets to remove what is left: it takes milliseconds."""

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def become_subreaper() -> None:
    """Make orphaned descendants children of this process, so that it can end and reap them."""
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def dies_with_parent() -> Callable[[], None]:
    """Return a function for a forked child that has it killed when the forking thread ends."""
    libc, parent = _libc, os.getpid()

    def arrange() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it died before the line above
                os._exit(1)

    return arrange


def processes() -> list[int]:
    """Every process id of this machine; empty where there is no ``/proc``."""
    with contextlib.suppress(OSError):
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
    return []


def parent_of(pid: int) -> int:
    """Parent of a process, 0 when it is gone."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path(f"/proc/{pid}/stat").read_text()
        return int(text.rsplit(")", 1)[1].split()[1])
    return 0


def descendants(root: int) -> list[int]:
    """Every process below ``root``, parents before children."""
    children: dict[int, list[int]] = {}
    for pid in processes():
        children.setdefault(parent_of(pid), []).append(pid)
    found: list[int] = []
    wanted = [root]
    while wanted:
        below = children.get(wanted.pop(), [])
        found += below
        wanted += below
    return found


def marked(name: str, value: str) -> list[int]:
    """Every other process that was started with ``name=value`` in its environment."""
    mark = f"{name}={value}".encode()
    found = []
    for pid in processes():
        with contextlib.suppress(OSError):
            if pid != os.getpid() and mark in Path(f"/proc/{pid}/environ").read_bytes().split(
                b"\0"
            ):
                found.append(pid)
    return found


def kill(pids: Iterable[int]) -> None:
    """SIGKILL each; those that are gone are left alone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def but_trackers(pids: Iterable[int]) -> list[int]:
    """Leave out resource trackers of ``multiprocessing`` and joblib.

    They remove what their process has left, such as shared memory, once it and its children are
    dead, and end: killed with it they would leave that for good.
    """
    return [pid for pid in pids if TRACKER not in _command_line(pid)]


def _command_line(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def reap_orphans(own: Iterable[int]) -> list[int]:
    """Reap the dead that this subreaper has inherited, no child of its own; return their ids."""
    mine, reaped = set(own), []
    with contextlib.suppress(ChildProcessError):
        while True:
            dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if dead is None or dead.si_pid in mine:
                break  # its owner reaps it; what is behind it comes next time
            os.waitpid(dead.si_pid, 0)
            reaped.append(dead.si_pid)
    return reaped


def kill_all(find: Callable[[], list[int]], rounds: int = 20) -> list[int]:
    """SIGKILL what ``find`` returns until that is nothing; return what is still there.

    A process may start another between two looks: hence the rounds. Resource trackers of
    ``multiprocessing`` get a moment to end by themselves.
    """
    left: list[int] = []
    spared_until = time.monotonic() + TRACKER_GRACE
    for done in range(rounds):
        left = [pid for pid in find() if not _is_zombie(pid)]
        if not left:
            return []
        kill(but_trackers(left) if time.monotonic() < spared_until else left)
        time.sleep(min(0.001 * 2**done, 0.05))  # a killed process takes a moment to be gone
    return left


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    return True
