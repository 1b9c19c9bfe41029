"""The lock of a run: one driver at a time."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from daskrun.core.typing import override
from daskrun.errors import StorageError
from daskrun.storage.durable import open_file
from daskrun.storage.lock_handle import LockHandle

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 0.5
"""Seconds in which the lock is tried for: who looks whether it is held has it for that moment."""


class RunLock(LockHandle):
    """A lock that dies with its holder: ``flock`` on a file that says who holds it.

    The file stays when the lock is released: removing it would let two processes lock two files of
    one name. A process forked (not spawned) by the holder keeps the lock alive until :meth:`close`,
    which frees it for all. Its user alone may open it: whoever may read a file may lock it, and so
    keep a run from going on. ``path``: the file; made when it isn't there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor >= 0

    def acquire(self) -> None:
        """Take the lock, or fail within a moment.

        Raises StorageError where somebody holds it (the message says who), or the file system has
        no locks.
        """
        if self.held:
            return
        try:
            descriptor = open_file(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        except OSError as error:
            raise StorageError(f"can't open the lock {self.path}: {error}") from error
        with suppress(OSError):  # it is another user's
            os.fchmod(descriptor, 0o600)
        try:
            _lock(descriptor)
            _say_holder(descriptor)
        except BaseException as error:
            holder = _read_holder(descriptor)
            os.close(descriptor)
            if not isinstance(error, OSError):
                raise
            if error.errno in {errno.EWOULDBLOCK, errno.EAGAIN}:
                raise StorageError(
                    f"{self.path} is locked by {holder}. Wait for its end or stop it."
                ) from error
            raise StorageError(f"can't lock {self.path}: {error}") from error
        self._descriptor = descriptor

    @override
    def close(self) -> None:
        if not self.held:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            os.ftruncate(descriptor, 0)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def __enter__(self) -> Self:
        self.acquire()
        return self


def _lock(descriptor: int) -> None:
    """Lock a file, past those who only look whether it is locked."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(PATIENCE / 100)
        else:
            return


def _say_holder(descriptor: int) -> None:
    """Write who holds the lock into its file."""
    text = json.dumps({"pid": os.getpid(), "host": os.uname().nodename})
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)


def _read_holder(descriptor: int) -> str:
    """Say who holds the lock; it may not have written that yet."""
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
