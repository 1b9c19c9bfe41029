"""Files that the script writes by itself, where the output is a URL: written here, put there."""

from __future__ import annotations

import fcntl
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import IO

    from daskrun.storage.url_folder import UrlFolder

UPLOADS = 8
"""Files put at once: round trips of tens of milliseconds are hidden, few sockets used."""
SETTLED = 0.02
"""Seconds after which another write shows in a file's time: the kernel's clock for that ticks every
1 to 10 ms."""
LOCK_LOOK = 0.02
"""Seconds between two looks whether another process of the node is done."""
GONE = -1
"""In place of a size: the file is not there any more."""


class _Version(NamedTuple):
    size: int
    time: int
    """``mtime_ns``."""


def open_files(folder: str, url: str, options: Mapping[str, Any], record: Path) -> OutputFiles:
    """Give what brings the files of a node's folder to a URL; see :class:`OutputFiles`."""
    return OutputFiles(Path(folder), url, options, record)


class OutputFiles:
    """Brings what a script has written to a folder of its node to the output's URL.

    The processes of a node share the folder and this account of it: one syncs at a time, and what
    it has put the others need not. A file is put again, whole, when its size or time has changed,
    and deleted there when it is deleted here. Where two nodes write one name, the later put wins.

    Parameters
    ----------
    folder
        Where the script writes.
    url
        The output's folder.
    options
        For fsspec; may hold secrets.
    record
        A file of the node beside ``folder``: which versions have been put.
    """

    def __init__(self, folder: Path, url: str, options: Mapping[str, Any], record: Path) -> None:
        self._folder = folder
        self._url = url
        self._options = options
        self._record = record
        self._read = 0
        """Bytes of the record that are known here."""
        self._sent: dict[str, _Version] = {}
        self._opened: UrlFolder | None = None

    def sync(self, alive: Callable[[], None] = lambda: None) -> None:
        """Return when everything in the folder is behind the URL.

        Parameters
        ----------
        alive
            Called now and then, while this goes on.

        Raises
        ------
        OSError
            A file can't be read or put; it says which. The others are put.
        """
        with self._account(alive) as record:
            found = self._changed()
            if any(_is_young(version) for version in found.values()):
                time.sleep(SETTLED)  # else a write right after this look could leave no trace
                found = self._changed()
            gone = [name for name in self._sent if not os.path.lexists(self._folder / name)]
            if gone:
                self._remote.delete(gone)
                for name in gone:
                    self._note(record, name, _Version(GONE, 0))
            self._put_all(found, record, alive)

    def _put_all(
        self, found: dict[str, _Version], record: IO[str], alive: Callable[[], None]
    ) -> None:
        if not found:
            return
        remote, failed = self._remote, None  # opened here: the threads would each
        with ThreadPoolExecutor(min(UPLOADS, len(found)), "daskrun-put") as pool:
            puts = {name: pool.submit(_put, remote, self._folder, name) for name in found}
            for name, put in puts.items():
                try:
                    version = put.result()
                except OSError as error:
                    failed = failed or error
                    continue
                alive()
                if version is not None and not _is_young(version):
                    self._note(record, name, version)
        if failed is not None:
            raise failed

    def _changed(self) -> dict[str, _Version]:
        """Give what is in the folder and was not put as it is now."""
        found: dict[str, _Version] = {}
        folders = [""]
        while folders:
            below = folders.pop()
            for entry in os.scandir(self._folder / below):
                name = f"{below}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{name}/")
                elif entry.is_file():
                    stat = entry.stat()
                    version = _Version(stat.st_size, stat.st_mtime_ns)
                    if self._sent.get(name) != version:
                        found[name] = version
        return found

    @contextmanager
    def _account(self, alive: Callable[[], None]) -> Iterator[IO[str]]:
        """Hold the record alone, and know all that is in it."""
        with self._record.open("a+") as record:
            while True:
                try:
                    fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    alive()  # who holds it has limits of its own
                    time.sleep(LOCK_LOOK)
            record.seek(self._read)
            for line in record.read().split("\n"):
                # A process that was killed may have left half a line, which is no JSON.
                if line.startswith("[") and line.endswith("]"):
                    name, *version = json.loads(line)
                    self._know(name, _Version(*version))
            try:
                yield record
                self._read = record.seek(0, os.SEEK_END)
            finally:
                fcntl.flock(record, fcntl.LOCK_UN)  # a copy that user code forks has it open too

    def _note(self, record: IO[str], name: str, version: _Version) -> None:
        record.write(f"\n{json.dumps([name, *version])}\n")  # begins a line, also after half a one
        record.flush()
        self._know(name, version)

    def _know(self, name: str, version: _Version) -> None:
        if version.size == GONE:
            self._sent.pop(name, None)
        else:
            self._sent[name] = version

    @property
    def _remote(self) -> UrlFolder:
        if self._opened is None:
            # Here: fsspec takes tenths of a second to load, and init() comes first.
            from daskrun.storage.url_folder import open_url_folder

            self._opened = open_url_folder(self._url, self._options)
        return self._opened


def _put(remote: UrlFolder, folder: Path, name: str) -> _Version | None:
    """Put a file and give which version that is; None when it has been removed meanwhile."""
    try:
        file = (folder / name).open("rb")
    except FileNotFoundError:
        return None
    with file:
        stat = os.fstat(file.fileno())
        remote.put_file(name, file, stat.st_size)
    return _Version(stat.st_size, stat.st_mtime_ns)


def _is_young(version: _Version) -> bool:
    """Whether a write that follows could leave the file's time as it is."""
    return version.time > time.time_ns() - SETTLED * 1e9
