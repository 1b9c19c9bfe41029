"""``flock`` on files that may be removed while others wait for them."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOOK_EVERY = 0.05
"""Seconds between two tries at a lock that another holds."""


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """Lock a file, which is made if need be; return the descriptor that holds the lock.

    None where others hold it. It ends with the descriptor, and with the process. Raises OSError
    where there are no locks.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        # for writing: NFS locks no other exclusively
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            if error.errno in {errno.EWOULDBLOCK, errno.EAGAIN}:
                return None
            raise
        if _is_at(fd, path):
            return fd
        os.close(fd)  # it was removed meanwhile: who comes later would lock another


def wait_for_lock(path: Path, goes_on: Callable[[], bool]) -> int | None:
    """Lock a file as :func:`try_lock` does, as soon as that can be; None when it is given up.

    ``goes_on``, asked now and then, tells whether it is worth waiting longer.
    """
    while (fd := try_lock(path)) is None and goes_on():
        time.sleep(LOOK_EVERY)
    return fd


def _is_at(fd: int, path: Path) -> bool:
    try:
        there, ours = path.stat(), os.fstat(fd)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
