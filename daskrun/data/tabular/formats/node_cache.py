"""Files that a node makes once for all its processes: decompressed files, large row groups."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

FREE = 0.1
"""Part of the disk that stays free, where old files can be removed for it."""
IN_USE = 60.0
"""Seconds since it was last asked for in which a file is not removed: who asked may not have opened
it yet. (Who has opened it keeps it, also when it is removed.)"""


class NodeCache:
    """Files made once on a node, kept in a folder that goes when the run leaves the node.

    A file is there whole or not at all: it is made under another name by one process, which holds
    a lock, and renamed. When the disk runs full, those asked for longest ago are removed, and made
    again if need be.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> cache = NodeCache(tempfile.mkdtemp())
    >>> path = cache.get("a.gz", lambda target: pathlib.Path(target).write_text("plain"))
    >>> pathlib.Path(path).read_text()
    'plain'
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def get(self, key: str, make: Callable[[str], object]) -> str:
        """Return the path of the file that ``make`` makes, which is called if it isn't there yet.

        ``make``: writes the file to the path it is given, whole; what it raises is raised here, and
        nothing is left. It may run in another process: then this one waits for it.
        """
        path = Path(self.folder) / blake2b(key.encode(), digest_size=16).hexdigest()
        if _used(path):
            return str(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_suffix(".lock")):
            if not _used(path):
                self._make_room()
                _make(path, make)
        return str(path)

    def _make_room(self) -> None:
        """Remove what was asked for longest ago while the disk is nearly full."""
        if _enough(self.folder):
            return
        old = []
        for entry in os.scandir(self.folder):
            with suppress(FileNotFoundError):
                if not Path(entry.name).suffix and entry.is_file():
                    old.append((entry.stat().st_mtime, entry.path))
        for used, path in sorted(old):
            if used > time.time() - IN_USE or _enough(self.folder):
                return
            Path(path).unlink(missing_ok=True)


def _used(path: Path) -> bool:
    """Return whether a file is there; if so, note that it is asked for."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _make(path: Path, make: Callable[[str], object]) -> None:
    unfinished = path.with_suffix(".part")
    unfinished.unlink(missing_ok=True)  # of a process that died
    try:
        make(str(unfinished))
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _enough(folder: str) -> bool:
    disk = shutil.disk_usage(folder)
    return disk.free >= FREE * disk.total


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that dies with its holder. Its file stays: another may wait for it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
