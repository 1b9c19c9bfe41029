"""A folder behind a URL, by fsspec: objects put whole, read by ranges, listed, deleted, published.

fsspec and its file systems take tenths of a second to load, so they are imported when a URL is
first opened. Nothing can be appended to an object, and none is ever changed here: a name is made,
or replaced, whole.
"""

from __future__ import annotations

import functools
import random
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from daskrun.errors import StorageError
from daskrun.storage.object_times import time_of
from daskrun.storage.publication import Publication, Staged
from daskrun.storage.retry import explained, harmless, patiently
from daskrun.storage.urls import package_of, protocol_problem, shown_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import IO

Result = TypeVar("Result")
Range = tuple[str, int, int]
"""Name of an object, first byte, one past the last."""

READS = 16
"""Ranges asked for at once: round trips of tens of milliseconds are hidden, few sockets used."""
BLOCK = 8 * 2**20
"""Bytes of a large object that are on their way at once."""
_FLAT = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "memory"})
"""Stores that need no folder before there is a file in it."""


class UrlFolder:
    """A folder of objects; names are relative to it. Any thread may call anything.

    Parameters
    ----------
    url
        The folder, which need not be there.
    options
        For fsspec; may hold secrets, which no error of this class shows.

    Raises
    ------
    StorageError
        No file system is known for it, a package is missing, or the options aren't its own.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self.url = url.rstrip("/")
        self._options = dict(options)
        self.system, self._base = _open(self.url, self._options)

    def __repr__(self) -> str:
        return f"<UrlFolder {shown_url(self.url)}>"

    def shown(self, name: str = "") -> str:
        """Return the URL of a name as messages show it."""
        return shown_url(f"{self.url}/{name}" if name else self.url)

    def put(self, name: str, data: bytes) -> None:
        """Put a new object, whole."""
        self.patiently(f"write {self.shown(name)}", lambda: self._put(name, data))

    def create(self, name: str, data: bytes) -> None:
        """Put an object whose name is free: of all who try at once, one succeeds.

        Raises
        ------
        FileExistsError
            It isn't.
        StorageError
            The store can't do that, or fails.
        """
        what, mark = f"write {self.shown(name)}", f"{random.getrandbits(128):032x}"
        self.patiently(what, lambda: self._create(name, data, mark), plain=True)

    def put_file(self, name: str, file: IO[bytes], size: int) -> None:
        """Put the first ``size`` bytes of a file as a new object, a block in memory at a time."""
        file.seek(0)
        if size <= BLOCK:
            self.put(name, file.read(size))
            return
        publication = self.publication(name)
        try:
            for number in range(-(-size // BLOCK)):
                data = file.read(min(BLOCK, size - number * BLOCK))
                publication.write(number, data)
            publication.commit(overwrite=True)  # the name is new: no need to ask
        finally:
            publication.abort()

    def read(self, ranges: Sequence[Range]) -> list[bytes]:
        """Read ranges, several at once; each is given whole, or an error names its object.

        Raises
        ------
        StorageError
            An object isn't there, is too short, or can't be read.
        """
        for name, start, stop in ranges:
            if stop <= start:
                raise ValueError(f"{name}: {start} to {stop} is no range")
        found = self._read(ranges)
        for n, ((name, start, stop), data) in enumerate(zip(ranges, found, strict=True)):
            if isinstance(data, BaseException):
                again = functools.partial(self._one, name, start, stop)
                data = found[n] = self.patiently(f"read {self.shown(name)}", again)
            if len(data) != stop - start:
                raise StorageError(
                    f"{self.shown(name)} is too short: bytes {start} to {stop} are wanted, only "
                    f"{len(data)} of them are there"
                )
        return found

    def read_whole(self, name: str) -> bytes:
        """Read an object.

        Raises
        ------
        FileNotFoundError
            There is none of that name.
        """

        def read() -> bytes:
            return bytes(self.system.cat_file(self.path(name)))

        return self.patiently(f"read {self.shown(name)}", read, plain=True)

    def exists(self, name: str) -> bool:
        """Return whether there is an object of a name."""
        return self.patiently(f"look at {self.shown(name)}", lambda: self._exists(name))

    def names(self, below: str = "") -> list[str]:
        """List all objects of the folder, or of one in it, relative to that, sorted."""
        return list(self.sizes(below))

    def sizes(self, below: str = "") -> dict[str, int]:
        """List all objects of the folder, or of one in it, as :meth:`names` does, with sizes."""
        return {name: int(each["size"]) for name, each in self._listed(below).items()}

    def versions(self, below: str = "") -> dict[str, str]:
        """List as :meth:`names` does, with texts that change when an object is put again."""
        return {name: _version(each) for name, each in self._listed(below).items()}

    def times(self, below: str = "") -> dict[str, float]:
        """List as :meth:`names` does, with when each was put, in seconds since the epoch.

        0 where the store doesn't tell.
        """
        return {name: max(0, time_of(each)) / 1e9 for name, each in self._listed(below).items()}

    def folders(self, below: str) -> list[str]:
        """Return the names of the folders in one of the folder, sorted; not of what is in them."""

        def look() -> list[dict[str, Any]]:
            self.system.invalidate_cache()
            found: list[dict[str, Any]] = self.system.ls(self.path(below), detail=True)
            return found

        try:
            found = self.patiently(f"list {self.shown(below)}", look, plain=True)
        except FileNotFoundError:
            return []
        paths = (str(each["name"]).rstrip("/") for each in found if each["type"] == "directory")
        return sorted(path.rpartition("/")[2] for path in paths)

    def _listed(self, below: str) -> dict[str, dict[str, Any]]:
        """Return what the store tells of each object, by its name relative to ``below``, sorted."""
        base = self.path(below)

        def find() -> dict[str, dict[str, Any]]:
            self.system.invalidate_cache()
            found = self.system.find(base, detail=True)
            return {path[len(base) + 1 :]: found[path] for path in sorted(found)}

        try:
            return self.patiently(f"list {self.shown(below)}", find, plain=True)
        except FileNotFoundError:
            return {}

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects; one that isn't there is no error."""
        if names:
            self.patiently(f"delete in {self.shown()}", lambda: self._delete(names))

    def publication(self, name: str, note: str = "") -> Publication:  # noqa: ARG002  (S3's)
        """Begin an object that appears whole.

        Parameters
        ----------
        note
            Where to note what this leaves when its process is killed, for the next one that
            begins the same object.
        """
        return Staged(self, name)

    def published(self, name: str, mark: str) -> bool:
        """Return whether the object of a name is the publication that had this mark.

        Its driver may have been killed while the object was moved to its name: then it is at both.
        """
        aside = self.sizes()
        if name not in aside or aside.get(mark, aside[name]) != aside[name]:
            return False
        self.delete([mark] if mark in aside else [])
        return True

    def halt(self, name: str, note: str) -> None:
        """Keep a publication that another process has begun from appearing, where that can be.

        Here it can not; on S3 it can.
        """

    def forget_begun(self, name: str, note: str) -> None:  # noqa: ARG002  (S3's)
        """Forget a publication of ``name`` whose process was killed; see :meth:`publication`."""
        aside = re.compile(rf"{re.escape(name)}\.[0-9a-f]{{16}}\.tmp", re.ASCII)
        self.delete([found for found in self.names() if aside.fullmatch(found)])

    def forget(self, below: str) -> None:
        """Delete all objects of a folder in it, and what was begun there and never ended."""
        self.delete([f"{below}/{name}" for name in self.names(below)])

    def patiently(self, what: str, call: Callable[[], Result], *, plain: bool = False) -> Result:
        """Do something, again with growing pauses where that may help.

        Parameters
        ----------
        what
            What it is, for messages: ``can't …``.
        plain
            Whether that something is missing, or is there, is raised as Python's own error.

        Raises
        ------
        StorageError
            It fails for good; the text holds no secret.
        """
        return patiently(what, call, self._options, plain=plain)

    def try_once(self, what: str, call: Callable[[], Result]) -> Result:
        """Do something; what fails is a :class:`StorageError` without secrets."""
        return patiently(what, call, self._options, tries=1)

    # what subclasses know better

    def path(self, name: str) -> str:
        """Return the file system's own path of a name; of ``""`` that is the folder's."""
        return f"{self._base}/{name}" if name else self._base

    def _put(self, name: str, data: bytes) -> None:
        self.make_room(name)
        self.system.pipe_file(self.path(name), data)

    def _create(self, name: str, data: bytes, mark: str) -> None:  # noqa: ARG002  (S3's)
        self.make_room(name)
        self.system.pipe_file(self.path(name), data, mode="create")

    def make_room(self, name: str) -> None:
        """Make the folder of a name, where the store has such things."""
        if not is_flat(self.system):
            self.system.makedirs(self.path(name).rpartition("/")[0], exist_ok=True)

    def _read(self, ranges: Sequence[Range]) -> list[Any]:
        """Read each once; an exception in place of what could not be read."""

        def one(source: Range) -> Any:
            try:
                return self._one(*source)
            except Exception as error:  # noqa: BLE001  (given, and tried again by the caller)
                return error

        if len(ranges) == 1:
            return [one(ranges[0])]
        with ThreadPoolExecutor(min(READS, len(ranges)), "daskrun-read") as pool:
            return list(pool.map(one, ranges))

    def _one(self, name: str, start: int, stop: int) -> bytes:
        return bytes(self.system.cat_file(self.path(name), start=start, end=stop))

    def _exists(self, name: str) -> bool:
        self.system.invalidate_cache()
        return bool(self.system.exists(self.path(name)))

    def _delete(self, names: Sequence[str]) -> None:
        for name in names:
            try:
                self.system.rm_file(self.path(name))
            except FileNotFoundError:
                continue


def _version(found: Mapping[str, Any]) -> str:
    """Tell one version of an object from another, by what its store says of it."""
    marks = (found.get(key) for key in ("ETag", "etag", "LastModified", "mtime", "created"))
    return f"{found['size']} {next((mark for mark in marks if mark is not None), '')}"


def is_flat(system: Any) -> bool:
    """Return whether a file system of fsspec has no folders that must be made."""
    protocol = system.protocol
    return not _FLAT.isdisjoint({protocol} if isinstance(protocol, str) else set(protocol))


def open_url_folder(url: str, options: Mapping[str, Any]) -> UrlFolder:
    """Open a folder behind a URL; one on S3 can do more.

    Raises
    ------
    StorageError
        No file system is known for it, or a package is missing.
    """
    if url.startswith(("s3://", "s3a://")):
        from daskrun.storage.s3 import S3Folder

        return S3Folder(url, options)
    return UrlFolder(url, options)


def _open(url: str, options: dict[str, Any]) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and its own path of the folder."""
    if problem := protocol_problem(url):
        raise StorageError(f"can't open {shown_url(url)}: it {problem}")
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(url, **options)
    except Exception as error:  # noqa: BLE001  (each of fsspec's file systems has its own)
        package = package_of(url.partition("://")[0])
        what = f"can't open {shown_url(url)}"
        if isinstance(error, ImportError) and package:
            what += f", which needs the package {package} (pip install {package})"
        raise explained(what, error, options) from harmless(error, options)
    return system, str(path).rstrip("/")
