"""A folder behind a URL, by fsspec: objects put whole, read by ranges, listed, deleted, published.

fsspec and its file systems take tenths of a second to load, so they are imported when a URL is
first opened. Nothing can be appended to an object, and none is ever changed here: a name is made,
or replaced, whole.
"""

from __future__ import annotations

import errno
import functools
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from daskrun.errors import StorageError
from daskrun.storage.urls import shown_url, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import IO

Result = TypeVar("Result")
Range = tuple[str, int, int]
"""Name of an object, first byte, one past the last."""

TRIES = 5
FIRST_DELAY = 0.2
"""Seconds before something is tried again, doubled each time: 3 s in all, on top of the patience of
the file system itself."""
READS = 16
"""Ranges asked for at once: round trips of tens of milliseconds are hidden, few sockets used."""
BLOCK = 8 * 2**20
"""Bytes of a large object that are on their way at once."""
FINAL = (
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    IsADirectoryError,
    NotImplementedError,
    ImportError,
    TypeError,
    ValueError,
)
"""Errors that another try would only repeat."""
FINAL_NUMBERS = frozenset({errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.ENOSPC, errno.EROFS})
FINAL_NAMES = ("NoCredentialsError", "PartialCredentialsError", "ParamValidationError")
"""Those of botocore, which is not imported for their sake."""
_FLAT = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "memory"})
"""Stores that need no folder before there is a file in it."""
_PACKAGES = {"abfs": "adlfs", "abfss": "adlfs", "az": "adlfs", "gs": "gcsfs", "gcs": "gcsfs"}


class Publication(Protocol):
    """An object in the making: readers see nothing of it until :meth:`commit`, then all."""

    ordered: bool
    """Whether pieces must be written in their order, one at a time; else any thread may write any
    piece at any time."""
    copies: bool
    """Whether :meth:`copy` can be asked."""
    smallest: int
    """Bytes that a piece must have, the last one excepted."""

    def write(self, number: int, data: bytes) -> None:
        """Write piece ``number`` (0, 1, 2, …)."""

    def copy(self, number: int, source: Range) -> None:
        """Have the store itself make piece ``number`` of a range of an object in the folder."""

    def commit(self, overwrite: bool) -> None:
        """Let the object appear, whole.

        Raises
        ------
        FileExistsError
            There is one of that name, and ``overwrite`` is False.
        """

    def abort(self) -> None:
        """Leave no trace; may be called again, and after anything."""


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
        """Give the URL of a name as messages show it."""
        return shown_url(f"{self.url}/{name}" if name else self.url)

    def put(self, name: str, data: bytes) -> None:
        """Put a new object, whole."""
        self.patiently(f"write {self.shown(name)}", lambda: self._put(name, data))

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

    def exists(self, name: str) -> bool:
        """Tell whether there is an object of a name."""
        return self.patiently(f"look at {self.shown(name)}", lambda: self._exists(name))

    def names(self, below: str = "") -> list[str]:
        """List all objects of the folder, or of one in it, sorted."""

        def find() -> list[str]:
            self.system.invalidate_cache()
            found = self.system.find(self.path(below) if below else self._base)
            return sorted(path[len(self._base) + 1 :] for path in found)

        try:
            return self.patiently(f"list {self.shown(below)}", find, plain=True)
        except FileNotFoundError:
            return []

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects; one that isn't there is no error."""
        if names:
            self.patiently(f"delete in {self.shown()}", lambda: self._delete(names))

    def publication(self, name: str) -> Publication:
        """Begin an object that appears whole."""
        return Staged(self, name)

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
        delay = FIRST_DELAY
        for chance in range(TRIES):
            try:
                return call()
            except Exception as error:  # each of fsspec's file systems has errors of its own
                if plain and isinstance(error, (FileNotFoundError, FileExistsError)):
                    raise
                if _is_final(error) or chance == TRIES - 1:
                    raise self._explained(what, error) from error
                time.sleep(delay * random.uniform(0.5, 1.5))
                delay *= 2
        raise AssertionError

    def try_once(self, what: str, call: Callable[[], Result]) -> Result:
        """Do something; what fails is a :class:`StorageError` without secrets."""
        try:
            return call()
        except StorageError:
            raise
        except Exception as error:  # each of fsspec's file systems has errors of its own
            raise self._explained(what, error) from error

    # what subclasses know better

    def path(self, name: str) -> str:
        """Give the file system's own path of a name."""
        return f"{self._base}/{name}"

    def _put(self, name: str, data: bytes) -> None:
        self.make_room(name)
        self.system.pipe_file(self.path(name), data)

    def make_room(self, name: str) -> None:
        """Make the folder of a name, where the store has such things."""
        protocol = self.system.protocol
        protocols = {protocol} if isinstance(protocol, str) else set(protocol)
        if protocols.isdisjoint(_FLAT):
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

    def _explained(self, what: str, error: Exception) -> StorageError:
        text = without_secrets(f"{type(error).__name__}: {error}", self._options).rstrip(".")
        return StorageError(f"can't {what}: {text}")


class Staged:
    """A publication where a store has no multipart upload: written aside, then moved."""

    ordered = True
    copies = False
    smallest = 1

    def __init__(self, folder: UrlFolder, name: str) -> None:
        self._folder = folder
        self._name = name
        self._aside = f"{name}.{random.getrandbits(64):016x}.tmp"
        self._file: Any = None

    def write(self, number: int, data: bytes) -> None:
        """Write the next piece."""
        folder = self._folder

        def write() -> None:
            if self._file is None:
                folder.make_room(self._aside)
                self._file = folder.system.open(folder.path(self._aside), "wb")
            self._file.write(data)

        # once: a stream that failed on the way can't be taken up again
        folder.try_once(f"write piece {number} of {folder.shown(self._name)}", write)

    def copy(self, number: int, source: Range) -> None:
        """Never asked: ``copies`` is False."""
        raise NotImplementedError

    def commit(self, overwrite: bool) -> None:
        """Close what was written aside and move it to its name."""
        folder, name = self._folder, self._name
        if self._file is None:
            self.write(0, b"")
        folder.try_once(f"write {folder.shown(name)}", self._file.close)
        there = folder.exists(name)
        if there and not overwrite:
            raise FileExistsError(folder.shown(name))

        def move() -> None:
            if there:
                folder.system.rm_file(folder.path(name))
            folder.system.mv(folder.path(self._aside), folder.path(name))

        folder.try_once(f"publish {folder.shown(name)}", move)
        folder.system.invalidate_cache()
        self._file = None

    def abort(self) -> None:
        """Remove what was written aside."""
        if self._file is None:
            return
        file, self._file = self._file, None
        with suppress(Exception):  # it is thrown away
            file.close()
        self._folder.delete([self._aside])


def _is_final(error: Exception) -> bool:
    """Whether another try would only repeat it."""
    if isinstance(error, FINAL) or type(error).__name__ in FINAL_NAMES:
        return True
    return isinstance(error, OSError) and error.errno in FINAL_NUMBERS


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
    """Give fsspec's file system for a URL, and its own path of the folder."""
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(url, **options)
    except Exception as error:  # each of fsspec's file systems has errors of its own
        text = without_secrets(f"{type(error).__name__}: {error}", options).rstrip(".")
        protocol = url.partition("://")[0]
        package = {"s3": "s3fs", "s3a": "s3fs", **_PACKAGES}.get(protocol)
        fix = ""
        if isinstance(error, ImportError) and package:
            fix = f" Install the package it needs: pip install {package}"
        raise StorageError(f"can't open {shown_url(url)}: {text}.{fix}") from error
    return system, str(path).rstrip("/")
