"""Files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from io import BufferedReader
    from pathlib import Path

ABANDONED = 24 * 3600
"""Seconds after which what no record names is taken for a killed process's."""
NO_HARD_LINKS = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK}
)
"""What ``link`` answers on a file system that has no hard links (exFAT, many FUSE mounts)."""


def sync_data(descriptor: int) -> None:
    """Wait until what was written to an open file is on the disk."""
    # macOS has no fdatasync; fsync does the same and a little more.
    getattr(os, "fdatasync", os.fsync)(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until the names in ``folder`` are on the disk: fsync of a file leaves its name out."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and FUSE mounts can't sync a folder: their names are durable, or never are.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF}:
            raise
    finally:
        os.close(descriptor)


def pwrite_all(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of ``data`` at ``offset``: one ``pwrite`` may take less."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written


def read_file(path: Path) -> bytes:
    """Return what a file holds; OSError as :func:`open_file` has it."""
    with open_regular(path) as file:
        return file.read()


def open_regular(path: Path | str) -> BufferedReader:
    """Open a file to read its bytes; OSError as :func:`open_file` has it."""
    return os.fdopen(open_file(path), "rb")


def open_file(path: Path | str, flags: int = os.O_RDONLY) -> int:
    """Open a file; OSError for a pipe or device, which might never end or be opened."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return descriptor


def write_aside(folder: Path, data: bytes, mode: int = 0o664, *, synced: bool = True) -> Path:
    """Write ``data`` to a new hidden file in ``folder``; ``synced``: it is on the disk then.

    ``mode`` says who may read and write it, as far as the process's umask lets them.
    """
    # A name of its own for each writer: one that was killed can't be in the way of the next.
    path = folder / f".{os.getpid()}-{os.urandom(8).hex()}.tmp"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        pwrite_all(descriptor, data, 0)
        if synced:
            os.fsync(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return path


def write_whole(path: Path, data: bytes, mode: int = 0o664, *, synced: bool = True) -> None:
    """Write a file that a reader sees with its old content or all of the new, never in between.

    An existing file is replaced. When this returns, content and name are on the disk if ``synced``.
    ``mode`` is that of :func:`write_aside`.
    """
    temporary = write_aside(path.parent, data, mode, synced=synced)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if synced:
        sync_folder(path.parent)


def abandoned(folder: Path, known: Callable[[], Collection[str]]) -> list[Path]:
    """Return what killed processes left in a folder: what is a day old and no record names.

    ``known`` returns the names that records have; it is called only where something is old, and
    after the folder was listed.
    """
    old = []
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > ABANDONED:
                    old.append(path)
    named = known() if old else ()
    return [path for path in old if path.name not in named]


def publish_new(temporary: Path, path: Path) -> None:
    """Give ``temporary`` the name ``path``, which nothing may have yet, and put that on the disk.

    Both must be on one file system. Of several processes that do this at once, one succeeds.

    Raises FileExistsError where there is a file of that name; ``temporary`` is left as it is.
    """
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        # Claim the name with an empty file, then put the whole one in its place. In between, a
        # reader can see the empty one: no better way is left without hard links.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o664))
        try:
            temporary.replace(path)
        except BaseException:
            path.unlink()
            raise
    else:
        temporary.unlink()
    sync_folder(path.parent)
