"""A folder behind a URL, by fsspec: objects put whole, read by ranges, listed, deleted, published.

fsspec and its file systems take tenths of a second to load, so they are imported when a URL is
first opened. Nothing can be appended to an object, and none is ever changed here: a name is made,
or replaced, whole.
"""

from __future__ import annotations

import functools
import secrets
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from daskrun.errors import StorageError
from daskrun.storage.object_times import mark_of, time_of
from daskrun.storage.retry import explained, harmless, retry
from daskrun.storage.safe_names import is_part
from daskrun.storage.urls import install, package_of, protocol_problem, secrets_of, shown_url

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import IO

    from daskrun.storage.object_times import Details
    from daskrun.storage.publication import Publication, Range
    from daskrun.storage.urls import StorageOptions

Result = TypeVar("Result")
READS = 16
"""Ranges asked for at once: round trips of tens of milliseconds are hidden, few sockets used."""
BLOCK = 8 * 2**20
"""Bytes of a large object that are on their way at once."""
MOST_BLOCKS = 9_999
"""Blocks of an object, one less than S3 takes pieces: a file of terabytes has larger ones."""
MOST_COPIED = 5 * 2**30
"""Bytes that S3 copies as one piece (its rule)."""


class Put(NamedTuple):
    """What was put."""

    sent: int
    """Bytes."""
    etag: str
    """That of its answer: another object of that name has another; ``""`` unknown."""


class UrlFolder(ABC):
    """A folder of objects; names are relative to it. Any thread may call anything.

    :func:`~daskrun.storage.stores.open_url_folder` returns the kind that suits the store.

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

    def __init__(self, url: str, options: StorageOptions) -> None:
        self.url = url.rstrip("/")
        self._options = dict(options)
        self._hidden = secrets_of(url, options)
        self.system, self._base = _open(self.url, self._options)

    def __repr__(self) -> str:
        return f"<UrlFolder {shown_url(self.url)}>"

    def shown(self, name: str = "") -> str:
        """Return the URL of a name as messages show it."""
        return shown_url(f"{self.url}/{name}" if name else self.url)

    def put(self, name: str, data: bytes) -> str:
        """Put a new object, whole; return its ETag, see :class:`Put`."""
        return self.retry(f"write {self.shown(name)}", lambda: self._put(name, data))

    def create(self, name: str, data: bytes) -> None:
        """Put an object whose name is free: of all who try at once, one succeeds.

        Raises
        ------
        FileExistsError
            It isn't.
        StorageError
            The store can't do that, or fails.
        """
        what, mark = f"write {self.shown(name)}", secrets.token_hex(16)
        self.retry(what, lambda: self._create(name, data, mark), plain=True)

    def put_file(
        self,
        name: str,
        file: IO[bytes],
        size: int,
        there: int = 0,
        alive: Callable[[], None] = lambda: None,
    ) -> Put:
        """Put the first ``size`` bytes of a file as a new object, a block in memory at a time.

        ``there`` of them are the object of that name already: a store that can copies them itself.
        ``alive`` is called after each block.

        Raises EOFError where the file has fewer bytes.
        """
        file.seek(0)
        if size <= BLOCK:
            etag = self.put(name, _exactly(file, size))
            alive()
            return Put(size, etag)
        publication = self.publication(name)
        copies = publication.copies and publication.smallest <= there <= MOST_COPIED
        kept = file.seek(there if copies else 0)
        try:
            if kept:
                publication.copy(0, (name, 0, kept))
            block = max(BLOCK, -(-size // MOST_BLOCKS))
            for number, start in enumerate(range(kept, size, block), 1 if kept else 0):
                publication.write(number, _exactly(file, min(block, size - start)))
                alive()
            publication.commit(overwrite=True)  # the name is new: no need to ask
        finally:
            publication.abort()
        return Put(size - kept, publication.etag)

    def read(self, ranges: Sequence[Range]) -> list[bytes]:
        """Read ranges, several at once; each is given whole, or an error names its object.

        Raises StorageError where an object isn't there, is too short, or can't be read.
        """
        for name, start, stop in ranges:
            if stop <= start:
                raise ValueError(f"{name}: {start} to {stop} is no range")
        found = self._read(ranges)
        for n, ((name, start, stop), data) in enumerate(zip(ranges, found, strict=True)):
            if isinstance(data, BaseException):
                again = functools.partial(self._one, name, start, stop)
                data = found[n] = self.retry(f"read {self.shown(name)}", again)
            if len(data) != stop - start:
                raise StorageError(
                    f"{self.shown(name)} is too short: bytes {start} to {stop} are wanted, only "
                    f"{len(data)} of them are there"
                )
        return found

    def read_whole(self, name: str) -> bytes:
        """Read an object.

        Raises FileNotFoundError where there is none of that name.
        """

        def read() -> bytes:
            return bytes(self.system.cat_file(self.path(name)))

        return self.retry(f"read {self.shown(name)}", read, plain=True)

    def exists(self, name: str) -> bool:
        """Return whether there is an object of a name."""
        return self.retry(f"look at {self.shown(name)}", lambda: self._exists(name))

    def names(self, below: str = "") -> list[str]:
        """List all objects of the folder, or of one in it, relative to that, sorted."""
        return list(self.sizes(below))

    def sizes(self, below: str = "") -> dict[str, int]:
        """List all objects of the folder, or of one in it, as :meth:`names` does, with sizes."""
        return {name: int(each["size"]) for name, each in self._listed(below).items()}

    def versions(self, below: str = "") -> dict[str, str]:
        """List as :meth:`names` does, with texts that change when an object is put again."""
        found = self._listed(below)
        return {name: mark_of(each) or str(each["size"]) for name, each in found.items()}

    def times(self, below: str = "") -> dict[str, float]:
        """List as :meth:`names` does, with when each was put, in seconds since the epoch.

        0 where the store doesn't tell.
        """
        return {name: max(0, time_of(each)) / 1e9 for name, each in self._listed(below).items()}

    def folders(self, below: str) -> list[str]:
        """Return the names of the folders in one of the folder, sorted; not of what is in them.

        Those that can't be a folder's here, such as ``..``, are left out.
        """

        def look() -> list[Details]:
            self.system.invalidate_cache()
            found: list[Details] = self.system.ls(self.path(below), detail=True)
            return found

        try:
            found = self.retry(f"list {self.shown(below)}", look, plain=True)
        except FileNotFoundError:
            return []
        paths = (str(each["name"]).rstrip("/") for each in found if each["type"] == "directory")
        return sorted(filter(is_part, (path.rpartition("/")[2] for path in paths)))

    def _listed(self, below: str) -> dict[str, Details]:
        """Return what the store tells of each object, by its name relative to ``below``, sorted."""
        base = self.path(below)

        def find() -> dict[str, Details]:
            self.system.invalidate_cache()
            found = self.system.find(base, detail=True)
            return {path[len(base) + 1 :]: found[path] for path in sorted(found)}

        try:
            return self.retry(f"list {self.shown(below)}", find, plain=True)
        except FileNotFoundError:
            return {}

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects; one that isn't there is no error."""
        if names:
            self.retry(f"delete in {self.shown()}", lambda: self._delete(names))

    def forget(self, below: str) -> None:
        """Delete all objects of a folder in it, and what was begun there and never ended."""
        self.delete([f"{below}/{name}" for name in self.names(below)])

    def retry(self, what: str, call: Callable[[], Result], *, plain: bool = False) -> Result:
        """Do something, again with growing pauses where that may help.

        Parameters
        ----------
        what
            What it is, for messages: ``can't …``.
        plain
            Whether that something is missing, or is there, is raised as Python's own error.

        Raises StorageError where it fails for good; the text holds no secret.
        """
        return retry(what, call, self._hidden, plain=plain)

    def try_once(self, what: str, call: Callable[[], Result]) -> Result:
        """Do something; what fails is a :class:`StorageError` without secrets."""
        return retry(what, call, self._hidden, tries=1)

    def path(self, name: str) -> str:
        """Return the file system's own path of a name; of ``""`` that is the folder's."""
        return f"{self._base}/{name}" if name else self._base

    def _one(self, name: str, start: int, stop: int) -> bytes:
        return bytes(self.system.cat_file(self.path(name), start=start, end=stop))

    @abstractmethod
    def publication(self, name: str, note: str = "") -> Publication:
        """Begin an object that appears whole.

        Parameters
        ----------
        note
            Object that names what this leaves when its process is killed, for the next one that
            begins the same object.
        """

    @abstractmethod
    def published(self, name: str, mark: str) -> bool:
        """Return whether the object of a name is the publication that had this mark."""

    @abstractmethod
    def halt(self, name: str, note: str) -> None:
        """Keep a publication that another process has begun from appearing, where that can be."""

    @abstractmethod
    def forget_begun(self, name: str, note: str) -> None:
        """Remove a publication of ``name`` whose process was killed; see :meth:`publication`."""

    @abstractmethod
    def etag(self, name: str) -> str:
        """Return the ETag of an object; ``""`` where there is none, or the store has no such."""

    @abstractmethod
    def _put(self, name: str, data: bytes) -> str:
        """Put an object once; see :meth:`put`."""

    @abstractmethod
    def _create(self, name: str, data: bytes, mark: str) -> None:
        """Create an object once, exclusively; ``mark`` is new for each that is created."""

    @abstractmethod
    def _read(self, ranges: Sequence[Range]) -> list[Any]:
        """Read each once; an exception in place of what could not be read."""

    @abstractmethod
    def _exists(self, name: str) -> bool:
        """Return whether there is an object, by asking once."""

    @abstractmethod
    def _delete(self, names: Sequence[str]) -> None:
        """Delete objects once; one that isn't there is no error."""


def _exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError(f"it was cut short: {size} bytes were wanted, {len(data)} are there")
    return data


def _open(url: str, options: StorageOptions) -> tuple[Any, str]:
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
            what += f", which needs the package {package} ({install(package)})"
        secret = secrets_of(url, options)
        raise explained(what, error, secret) from harmless(error, secret)
    return system, str(path).rstrip("/")
