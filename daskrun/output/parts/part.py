"""Parts: what script processes write finished rows to, a file or objects behind a URL."""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from daskrun.core.typing import override
from daskrun.errors import PartError, StorageError
from daskrun.output.sinks.sink import EncodedRows
from daskrun.storage.descriptors import out_of_reach, spoilt
from daskrun.storage.durable import pwrite_all, sync_data, sync_folder
from daskrun.storage.error_hints import explained, store_remedy
from daskrun.storage.urls import is_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from tempfile import SpooledTemporaryFile

    from daskrun.output.sinks.sink import Sink
    from daskrun.storage.url_folder import UrlFolder

IN_MEMORY = 8 * 2**20
"""Bytes of rows that wait in memory to be put to a URL; more wait in a local file."""


class UnusableProcessError(PartError):
    """Rows can't be kept in this process any more, and in another they can.

    It has to end, at the cost of the mini-batch in hand.
    """


class Part(ABC):
    """Where a script process writes its rows."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the file or object with the rows written last, ``""`` until there are some.

        It may change at the first write after a :meth:`sync`.
        """

    @property
    def etag(self) -> str:
        """ETag of that object once it is put; ``""`` unknown, and of a file."""
        return ""

    @abstractmethod
    def write(self, data: bytes) -> int:
        """Append ``data``; return the offset where it begins.

        PartError is the storage's fault, whatever the data is. What was written then is not part of
        the rows: the next write begins at the same offset.
        """

    @abstractmethod
    def sync(self) -> None:
        """Make everything that was written durable, or raise PartError.

        Then no later call succeeds where a second try could be wrong.
        """

    @abstractmethod
    def close(self) -> None:
        """Sync, and release what is open; may be called again."""


def open_part(parts: str, options: Mapping[str, Any], prefix: str, spool: str) -> Part | None:
    """Return the part of this process in a folder or behind a URL; None where there is neither.

    ``prefix`` begins the part's name, such as ``node000-process000-``; in ``spool``, a folder of
    this node, rows wait that go to a URL. ``options`` of fsspec may hold secrets.
    """
    if not parts:
        return None
    if is_url(parts):
        return ObjectPart(parts, options, prefix, Path(spool))
    return PartWriter(Path(parts), prefix)


class PartWriter(Part):
    r"""Writes the part of one script process.

    The part's name is made here, at the first write, from the process and chance: never from what
    Dask hands around, since Dask may run a task twice. Without rows there is no file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> part = PartWriter(pathlib.Path(tempfile.mkdtemp()), "node000-process000-")
    >>> part.name
    ''
    >>> part.write(b"first\n"), part.write(b"second\n")
    (0, 6)
    >>> part.close()
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder = folder
        self._prefix = prefix
        self._name = ""
        self._descriptor = -1
        self._end = 0
        self._dirty = False
        self._named = False
        self._broken: PartError | None = None
        self._made: os.stat_result | None = None

    @property
    @override
    def name(self) -> str:
        return self._name if self._end else ""

    @override
    def write(self, data: bytes) -> int:
        offset = self._end
        if not data:
            return offset
        if self._broken is not None:
            raise self._broken
        try:
            if self._descriptor < 0:
                self._create()
            self._dirty = True
            pwrite_all(self._descriptor, data, offset)
        except OSError as error:
            # Gives the space back; that it fails is no harm, the next write goes over it.
            with suppress(OSError):
                os.ftruncate(self._descriptor, offset)
            raise self._explained("write", error) from error
        self._end = offset + len(data)
        return offset

    @override
    def sync(self) -> None:
        if not self._dirty:
            return
        if self._broken is not None:
            raise self._broken
        try:
            self._look_for_name()
            sync_data(self._descriptor)
            if not self._named:
                sync_folder(self._folder)
                self._named = True
        except OSError as error:
            # The kernel reports a lost page once and then calls it clean: a second try would lie.
            self._broken = self._explained("keep", error)
            raise self._broken from error
        self._dirty = False

    @override
    def close(self) -> None:
        if self._descriptor < 0:
            return
        try:
            if self._end:
                self.sync()
            else:
                (self._folder / self._name).unlink(missing_ok=True)
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    def _create(self) -> None:
        if self._name:
            raise ValueError(f"the part {self._name} is closed")
        name = f"{self._prefix}{os.getpid()}-{os.urandom(8).hex()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        self._descriptor = out_of_reach(os.open(self._folder / name, flags, 0o664), file=True)
        self._name = name
        self._made = os.fstat(self._descriptor)

    def _look_for_name(self) -> None:
        """Check that the part still has its name: a file without one takes rows, and loses them."""
        found, made = os.fstat(self._descriptor), self._made
        if made is not None and found.st_dev != made.st_dev:
            raise OSError(errno.EBADF, "another file is in its place")
        # Some file systems count no links, not even the first.
        if made is not None and made.st_nlink and not found.st_nlink:
            raise FileNotFoundError(errno.ENOENT, "the part was removed")

    def _explained(self, verb: str, error: OSError) -> PartError:
        what = f"can't {verb} rows in {self._folder / self._name}"
        if spoilt(error):
            why = "the entry script has closed its file, leaves too many open or limits their size"
            return UnusableProcessError(f"{what}: {error.strerror}: {why}.")
        return PartError(explained(what, error))


class ObjectPart(Part):
    """Writes the rows of one script process to objects behind a URL, one for each bundle.

    Nothing can be appended to an object: rows wait on this machine until :meth:`sync` puts them as
    a new object, whole. What a process had not put when it died is made again.
    """

    def __init__(self, url: str, options: Mapping[str, Any], prefix: str, spool: Path) -> None:
        self._url = url
        self._options = options
        self._prefix = prefix
        self._spool = spool
        self._file: SpooledTemporaryFile[bytes] | None = None
        self._name = self._etag = ""
        self._tells: dict[bool, bool] = {}
        """Whether the store goes on telling the ETag that it answered, of pieces and others."""
        self._end = 0

    @property
    @override
    def name(self) -> str:
        return self._name

    @property
    @override
    def etag(self) -> str:
        return self._etag

    @override
    def write(self, data: bytes) -> int:
        if not data:
            return self._end
        offset = self._end
        try:
            if self._file is None:
                import tempfile  # not at the top: most script processes write to a folder

                self._file = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(self._spool))  # noqa: SIM115
            self._file.seek(offset)  # over what a write that failed has left
            self._file.write(data)
        except OSError as error:
            what = f"can't hold rows in {self._spool} until they are put to the output's URL"
            raise PartError(explained(what, error)) from error
        if not offset:
            # Names are never used again: the object of one that failed may appear late.
            self._name = f"{self._prefix}{os.getpid()}-{os.urandom(8).hex()}"
            self._etag = ""
        self._end = offset + len(data)
        return offset

    @override
    def sync(self) -> None:
        if not self._end or self._file is None:
            return
        try:
            etag = self._folder.put_file(self._name, self._file, self._end).etag
            kind = "-" in etag
            if etag and kind not in self._tells:
                self._tells[kind] = etag == self._folder.etag(self._name)
            self._etag = etag if self._tells.get(kind) else ""
        except StorageError as error:
            self._end = 0  # all of it is made again: close() need not try once more
            raise PartError(store_remedy(error)) from error
        self._end = 0
        self._file.seek(0)
        self._file.truncate()

    @override
    def close(self) -> None:
        try:
            self.sync()
        finally:
            self._end = 0
            if self._file is not None:
                self._file.close()
                self._file = None

    @cached_property
    def _folder(self) -> UrlFolder:
        # Here, not at the start: fsspec takes tenths of a second, and init() comes first.
        from daskrun.storage.stores import open_url_folder

        return open_url_folder(self._url, self._options)


class Written(NamedTuple):
    """Which bytes of the part are the rows of a mini-batch."""

    offset: int = -1
    length: int = 0
    header: int = 0
    """How many of them, at their front, are a header."""
    crc: int = 0
    """CRC-32 of them, without a header that stays aside."""


NO_ROWS = Written()


class ResultWriter:
    """Writes the results of the mini-batches of one process: to no part, where they only count.

    ``any_number``: how many results there are says nothing of how many items have succeeded.
    """

    def __init__(self, sink: Sink, part: Part | None, any_number: bool = False) -> None:
        self.any_number = any_number
        self._encode = sink.encode
        self._aside = sink.header_aside
        self._part = part
        self.count = sink.count
        self.new_warnings = sink.new_warnings

    def write(self, result: Any, guard: AbstractContextManager[object]) -> Written:
        """Write the rows of what ``run()`` returned for one mini-batch.

        ``guard`` encloses the sink's code, which calls the user's: ``str(element)``. A
        WrongResultError is the fault of the mini-batch, a PartError is not.
        """
        if self._part is None:
            return NO_ROWS
        with guard:
            encoded = self._encode(result)
        if type(encoded) is not EncodedRows:
            raise TypeError(
                f"{self._encode.__qualname__}() returned no EncodedRows: {encoded!r:.99}"
            )
        data, header = encoded
        if not data:
            return NO_ROWS
        if not header:
            crc = crc32(data)
        elif 0 < header <= len(data):
            crc = crc32(memoryview(data)[header:] if self._aside else data)
        else:
            raise ValueError(f"a header of {header} bytes in rows of {len(data)}")
        return Written(self._part.write(data), len(data), header, crc)
