"""Bytes of a file by ranges, wherever it is; what is compressed or in UTF-16 made plain first.

All that looks for line breaks and quotes works on *plain* bytes: those of an encoding in which
ASCII characters are single bytes of their own. fsspec and pyarrow are imported where they are
needed: they take tenths of a second to load, and most files need neither.
"""

from __future__ import annotations

import codecs
import io
import os
from contextlib import closing, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from daskrun.core.typing import override
from daskrun.data.input_changes import cut_short
from daskrun.data.protocols import shown_url
from daskrun.data.remote_files import RemoteFolder, join_url
from daskrun.data.tabular.formats.text.packing import FIRST, most_unpacked, packing, unpacked
from daskrun.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daskrun.data.tabular.formats.node_cache import NodeCache

_KEPT = 16 << 10
"""Bytes from a remote file's start that are read with its first ones, and kept: a header, or all of
a small file."""
_STEP = 1 << 20


class ByteSource(Protocol):
    """The bytes of one file, read by ranges; from one thread."""

    shown: str
    """Path or URL for messages, without secrets."""
    size: int
    near: bool
    """Whether a small read costs microseconds, not a request."""
    packed: int = -1
    """Size of the file that these bytes were made of; -1: they are its own."""

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from ``start`` up to ``stop``, as far as there are any."""

    def close(self) -> None:
        """Let go of what is open; may be called again."""


class LocalBytes(ByteSource):
    """A file of this machine, opened once.

    Raises
    ------
    OSError
        If it can't be opened or read.
    TableError
        If it is cut short while it is read: what comes then ends anywhere, also inside a value.
    """

    near = True

    def __init__(self, path: str, shown: str) -> None:
        self.path = path
        self.shown = shown
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self._descriptor).st_size

    @override
    def read(self, start: int, stop: int) -> bytes:
        wanted = min(stop, self.size) - start
        if wanted <= 0:
            return b""
        data = os.pread(self._descriptor, wanted, start)
        if len(data) == wanted:
            return data
        parts = [data]  # the system gives at most 2 GiB at a time
        while data and (left := wanted - sum(map(len, parts))):
            data = os.pread(self._descriptor, left, start + wanted - left)
            parts.append(data)
        if not data:
            check_uncut(self._descriptor, self.size, self.shown)
        return b"".join(parts)

    @override
    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        # A cache of open files can't close what it drops: it may be in use.
        with suppress(AttributeError, OSError):
            self.close()


def check_uncut(descriptor: int, size: int, shown: str) -> None:
    """Raise TableError where an open file is not as large any more as when it was opened."""
    if (found := os.fstat(descriptor).st_size) < size:
        raise TableError(cut_short(shown, size, found))


class RemoteBytes(ByteSource):
    """A file behind a URL, read by range requests."""

    near = False

    def __init__(self, folder: RemoteFolder, name: str, size: int = -1) -> None:
        self.shown = shown_url(join_url(folder.url, name))
        self._system, self._path = folder.system, folder.path(name)
        if size < 0:
            told = self._system.info(self._path).get("size")
            if not isinstance(told, int):
                raise TableError(
                    f"{self.shown}: the server doesn't say how large the file is, so that no part "
                    "of it can be asked for. Copy it to where it can, or read it as a local file."
                )
            size = told
        self.size = size
        self._kept = b""
        self._looked, self._name = folder.first_bytes, name

    def first(self) -> bytes:
        """Return the file's first bytes, which tell how it is compressed."""
        if self._name not in self._looked:
            self._kept = self.read(0, _KEPT)
            self._looked[self._name] = self._kept[:FIRST]
        return self._looked[self._name]

    @override
    def read(self, start: int, stop: int) -> bytes:
        stop = min(stop, self.size)
        if stop <= start:
            return b""
        if stop <= len(self._kept):
            return self._kept[start:stop]
        data: bytes = self._system.cat_file(self._path, start=start, end=stop)
        if len(data) == stop - start:
            return data
        if len(data) == self.size:  # an HTTP server that knows no ranges sends all
            return data[start:stop]
        raise TableError(
            f"{self.shown}: {len(data)} bytes came where bytes {start} to {stop} were asked for. "
            "The file has changed since it was listed, or the connection broke. Start the run "
            "again."
        )

    @override
    def close(self) -> None:
        """Do nothing: connections are the file system's."""


class MemoryBytes(ByteSource):
    """Bytes that are here already."""

    near = True

    def __init__(self, data: bytes, shown: str) -> None:
        self.shown = shown
        self.size = len(data)
        self._data = data

    @override
    def read(self, start: int, stop: int) -> bytes:
        return self._data[start:stop] if stop > start else b""

    @override
    def close(self) -> None:
        """Do nothing."""


def open_bytes(
    name: str,
    where: str | RemoteFolder,
    encoding: str,
    cache: NodeCache,
    *,
    in_memory: Callable[[int], bool],
    size: int = -1,
    max_unpacked: int | None = None,
) -> ByteSource:
    """Open the plain bytes of a file: decompressed, UTF-16 and UTF-32 as UTF-8 without a mark.

    Parameters
    ----------
    cache
        Keeps what had to be made plain, if that isn't done in memory.
    in_memory
        Says of a file that isn't plain, of this size, whether it is made so in memory.
    max_unpacked
        Bytes that a compressed one may hold; None: what is usual for its size.

    Raises
    ------
    TableError
        If it is truncated or corrupt, or holds more than that.
    OSError
        If it can't be read.
    """
    source, kind = _looked_at(name, where, size)
    if kind is None and not is_wide(encoding):
        return source
    size = source.size
    source.close()
    file = _Wrapped(name, where, encoding, kind, most_unpacked(max_unpacked, size))
    if in_memory(size):
        with file.opened() as raw:
            plain: ByteSource = MemoryBytes(b"".join(file.plain(raw)), file.shown)
    else:
        plain = _cached(file, cache)
    plain.packed = size
    return plain


def _cached(file: _Wrapped, cache: NodeCache) -> ByteSource:
    while True:
        path = cache.get(file.key(), file.write)
        try:
            return LocalBytes(path, file.shown)
        except FileNotFoundError:  # removed to make room before it was opened
            continue


def _looked_at(
    name: str, where: str | RemoteFolder, size: int = -1
) -> tuple[LocalBytes | RemoteBytes, str | None]:
    """Open a file as it is; say how it is compressed."""
    if isinstance(where, str):
        local = LocalBytes(where, where)
        return local, packing(local.read(0, FIRST))
    remote = RemoteBytes(where, name, size)
    return remote, packing(remote.first())


def is_plain(name: str, where: str | RemoteFolder, encoding: str, size: int = -1) -> bool:
    """Return whether a file's bytes can be looked at as they are; its first ones tell."""
    if is_wide(encoding):
        return False
    source, kind = _looked_at(name, where, size)
    source.close()
    return kind is None


def start_of(
    name: str, where: str | RemoteFolder, encoding: str, nbytes: int, size: int = -1
) -> bytes:
    """Return the first plain bytes of a file, without reading all of it.

    Raises
    ------
    TableError
        If what is before them is corrupt.
    """
    source, kind = _looked_at(name, where, size)
    with closing(source):
        if kind is None and not is_wide(encoding):
            return source.read(0, nbytes)
    file = _Wrapped(name, where, encoding, kind)
    raw: Any = Path(where) if isinstance(where, str) else where.system
    found = b""
    with raw.open("rb") if isinstance(where, str) else raw.open(where.path(name), "rb") as stream:
        for part in file.plain(stream):
            found += part
            if len(found) >= nbytes:
                break
    return found[:nbytes]


class _Wrapped:
    """A file that is compressed, or in an encoding of wide characters, or both."""

    def __init__(
        self,
        name: str,
        where: str | RemoteFolder,
        encoding: str,
        kind: str | None,
        most: int | None = None,
    ) -> None:
        self._name, self._where = name, where
        self._most = most
        self._kind = kind
        self._encoding = encoding if is_wide(encoding) else None
        if isinstance(where, str):
            self.shown = where
        else:
            self.shown = shown_url(join_url(where.url, name))

    def key(self) -> str:
        """Return a text that changes with the file, as far as that can be seen."""
        if isinstance(self._where, str):
            found = Path(self._where).stat()
            return f"{self._where}\0{self._encoding}\0{found.st_size}\0{found.st_mtime_ns}"
        return f"{join_url(self._where.url, self._name)}\0{self._encoding}"

    def opened(self) -> BinaryIO:
        """Open the file as it is; a remote one comes whole."""
        if isinstance(self._where, str):
            return Path(self._where).open("rb")
        return io.BytesIO(self._where.system.cat_file(self._where.path(self._name)))

    def write(self, target: str) -> None:
        """Write its plain bytes to a file."""
        if isinstance(self._where, str):
            self._pour(self._where, target)
            return
        fetched = f"{target}.fetched"
        try:
            self._where.fetch(self._name, fetched)
            self._pour(fetched, target)
        finally:
            Path(fetched).unlink(missing_ok=True)

    def _pour(self, path: str, target: str) -> None:
        with Path(path).open("rb") as raw, Path(target).open("wb") as file:
            for part in self.plain(raw):
                file.write(part)

    def plain(self, raw: BinaryIO) -> Iterator[bytes]:
        """Return its plain bytes, part by part."""
        here = raw.fileno() if isinstance(self._where, str) else -1
        size = os.fstat(here).st_size if here >= 0 else 0
        parts = unpacked(raw, self._kind, self.shown, self._most)
        yield from parts if self._encoding is None else self._transcoded(parts, self._encoding)
        if here >= 0:
            check_uncut(here, size, self.shown)

    def _transcoded(self, parts: Iterator[bytes], encoding: str) -> Iterator[bytes]:
        decode: Callable[..., str] = codecs.getincrementaldecoder(encoding)().decode
        done, first = 0, True
        try:
            for part in parts:
                if not done:
                    encoding = ordered(encoding, part[:4])
                    decode = codecs.getincrementaldecoder(encoding)().decode
                text = decode(part)
                done += len(part)
                if first and text:
                    text, first = text.removeprefix("\ufeff"), False
                yield text.encode()
            yield decode(b"", True).encode()
        except UnicodeError as error:
            at = f"somewhere in the MiB that ends with byte {done + _STEP}"
            if isinstance(error, UnicodeDecodeError):
                at = f"about byte {done + error.start}"
            raise TableError(
                f"{self.shown}: {at} the file is not {encoding}: {getattr(error, 'reason', error)}."
                f" Write the encoding it has instead of encoding={encoding!r}, or make it again if "
                "it is truncated."
            ) from error


def ordered(encoding: str, first: bytes) -> str:
    r"""Name the order of bytes where no mark does: the zeros of ASCII characters tell it.

    Examples
    --------
    >>> ordered("utf16", b"a\0,\0"), ordered("utf-32", b"\0\0\0a")
    ('utf-16-le', 'utf-32-be')
    """
    width = {"utf16": 2, "utf32": 4}.get(encoding.lower().replace("-", "").replace("_", ""), 0)
    for order, at in (("le", 0), ("be", width - 1)):
        letters = first[at::width] if width else b""
        zeros = len(first) - len(letters)
        if letters.isascii() and first.count(0) == zeros and 0 not in letters and letters:
            return f"utf-{8 * width}-{order}"
    return encoding


@lru_cache
def is_wide(encoding: str) -> bool:
    """Return whether an encoding has no bytes of their own for ASCII characters."""
    plain = encoding.lower().replace("-", "").replace("_", "")
    return plain.startswith(("utf16", "utf32"))
