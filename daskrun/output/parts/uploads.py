"""Files that a script writes by itself, uploaded where the output is a URL."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from daskrun.core.json_text import parsed
from daskrun.errors import StorageError

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

    @classmethod
    def of(cls, stat: os.stat_result) -> _Version:
        """Return the version that a file has."""
        return cls(stat.st_size, stat.st_mtime_ns)


def record_of(folder: str) -> str:
    """Return where a folder's record is: empty, or not there, until something of it is put."""
    return f"{folder}.put"


class OutputFiles:
    """Brings what a script has written to a folder of its node to the output's URL.

    The processes of a node share the folder and this account of it: one syncs at a time, and what
    it has put the others need not. A file is put again, whole, when its size or time has changed,
    and deleted there when it is deleted here. Where two nodes write one name, the later put wins.

    A file beside the folder, its record, says which versions have been put.
    """

    def __init__(self, folder: str | Path, url: str, options: Mapping[str, Any]) -> None:
        self._folder = Path(folder)
        self._url = url
        self._options = options
        self._record = Path(record_of(str(folder)))
        self._read = 0
        """Bytes of the record that are known here."""
        self._sent: dict[str, _Version] = {}
        self._since = time.time_ns() - int(SETTLED * 1e9)
        """``ctime_ns`` from which on this process may have written what is not in the record."""

    def sync(self, alive: Callable[[], None] = lambda: None) -> None:
        """Bring everything in the folder behind the URL, and call ``alive`` at each piece of it.

        Any thread may call that, several at once.

        Raises
        ------
        StorageError
            The store can't be reached, or refuses what it is asked; it says which.
        OSError
            Another error of a file's own, which no store would take as it is. It is raised by the
            next sync of each process that may have written it, and not again, though that file is
            tried again. The others are put.
        """
        with self._account(alive) as record:
            found, failed = self._look()
            if any(_is_young(version) for version in found.values()):
                time.sleep(SETTLED)  # else a write right after this look could leave no trace
                found, failed = self._look()
            since, self._since = self._since, time.time_ns() - int(SETTLED * 1e9)
            gone = [name for name in self._sent if not os.path.lexists(self._folder / name)]
            if gone:
                self._remote.delete(gone)
                for name in gone:
                    self._note(record, name, _Version(GONE, 0))
            failed |= self._put_all(found, record, alive)
        for name, error in failed.items():
            if self._is_since(name, since):
                raise error

    def _put_all(
        self, found: dict[str, _Version], record: IO[str], alive: Callable[[], None]
    ) -> dict[str, OSError]:
        """Upload files, all that can be; return the errors of the others by name."""
        failed: dict[str, OSError] = {}
        if not found:
            return failed
        remote, trouble = self._remote, None  # opened here: the threads would each
        with ThreadPoolExecutor(min(UPLOADS, len(found)), "daskrun-put") as pool:
            puts = {name: pool.submit(_put, remote, self._folder, name, alive) for name in found}
            for name, put in puts.items():
                try:
                    version = put.result()
                except StorageError as error:
                    trouble = trouble or error
                    continue
                except OSError as error:
                    failed[name] = error
                    continue
                if version is not None and not _is_young(version):
                    self._note(record, name, version)
        if trouble is not None:
            raise trouble
        return failed

    def _look(self) -> tuple[dict[str, _Version], dict[str, OSError]]:
        """Return what was not put as it is now, and the folders that can't be looked into."""
        found: dict[str, _Version] = {}
        failed: dict[str, OSError] = {}
        folders = [""]
        while folders:
            below = folders.pop()
            try:
                entries = list(os.scandir(self._folder / below))
            except OSError as error:
                if not below:
                    raise  # what is gone is unknown too
                failed[below] = error
                continue
            for entry in entries:
                name = f"{below}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{name}/")
                    continue
                try:
                    version = _Version.of(entry.stat()) if entry.is_file() else None
                except OSError as error:
                    failed[name] = error
                    continue
                if version is not None and self._sent.get(name) != version:
                    found[name] = version
        return found, failed

    def _is_since(self, name: str, since: int) -> bool:
        """Return whether something was made or changed after a time; what is gone again was not.

        The time of a change, unlike that of a write, is the kernel's own.
        """
        path = self._folder / name
        while True:
            try:
                changed = path.lstat().st_ctime_ns
                return max(changed, path.stat().st_ctime_ns if path.exists() else 0) >= since
            except FileNotFoundError:
                return False
            except OSError:
                path = path.parent  # which can't be looked into, and says since when

    @contextmanager
    def _account(self, alive: Callable[[], None]) -> Iterator[IO[str]]:
        """Lock the record, and read what is new in it."""
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
                    name, *version = parsed(line)
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

    @cached_property
    def _remote(self) -> UrlFolder:
        # Here: fsspec takes tenths of a second to load, and init() comes first.
        from daskrun.storage.stores import open_url_folder

        return open_url_folder(self._url, self._options)


def _put(remote: UrlFolder, folder: Path, name: str, alive: Callable[[], None]) -> _Version | None:
    """Upload a file; return its version, None when it has been removed or cut short meanwhile."""
    if name.encode(errors="replace").decode() != name:
        raise OSError(f"the file name {name!r} is not UTF-8, which every URL is: give it another")
    try:
        file = (folder / name).open("rb")
    except FileNotFoundError:
        return None
    with file:
        stat = os.fstat(file.fileno())
        try:
            remote.put_file(name, file, stat.st_size, alive=alive)
        except EOFError:
            return None  # it is written anew, and put then
        except StorageError as error:
            if getattr(error.__cause__, "errno", None) == errno.ENAMETOOLONG:
                raise OSError(f"{error}. Give the file a shorter name") from error
            raise
    return _Version.of(stat)


def _is_young(version: _Version) -> bool:
    """Return whether a write that follows could leave the file's time as it is."""
    return version.time > time.time_ns() - SETTLED * 1e9
