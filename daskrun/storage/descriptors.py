"""Descriptors of ours in processes that run the user's code."""

from __future__ import annotations

import errno
import fcntl
import os
import resource

HIGHEST = 1000
"""Numbers are given below this: the kernel's table grows with the highest, and is copied by each
fork."""
ROOM = 64
"""How far below the limit: for all that a script process has."""


BEYOND = 1 << 40
"""An offset in files of ours that nothing of ours is at."""


_LIMIT = resource.getrlimit(resource.RLIMIT_FSIZE)


def spoilt(error: OSError) -> bool:
    """Return whether an error is of this process, not of a disk: its script has spoilt it."""
    if error.errno == errno.EFBIG:
        return resource.getrlimit(resource.RLIMIT_FSIZE) != _LIMIT
    return error.errno in (errno.EBADF, errno.EMFILE)


def out_of_reach(descriptor: int, *, file: bool) -> int:
    """Return a descriptor under a high number, not inherited; the old number is closed.

    What closes or writes to all low numbers, as daemons and old recipes for subprocesses do,
    doesn't meet it, and no file that is opened later gets its number. A write to each descriptor
    that is there comes behind all that is in a ``file``, which is read and written at offsets.
    """
    if file:
        os.lseek(descriptor, BEYOND, os.SEEK_SET)
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = HIGHEST if limit == resource.RLIM_INFINITY else min(limit, HIGHEST)
    try:
        moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, max(lowest - ROOM, 3))
    except OSError:  # the script has used them up: it stays where it is
        os.set_inheritable(descriptor, False)
        return descriptor
    os.close(descriptor)
    return moved
