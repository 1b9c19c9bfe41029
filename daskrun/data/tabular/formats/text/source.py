"""Bytes of a file by ranges, wherever it is; what is compressed or in UTF-16 made plain first.

All that looks for line breaks and quotes works on *plain* bytes: those of an encoding in which
ASCII characters are single bytes of their own.
"""

from __future__ import annotations

import codecs
import io
import os
from contextlib import closing, suppress
from functools import lru_cache, partial
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
        """Let go of what is open, if anything; may be called again."""
        return


class LocalBytes(ByteSource):
    """A file of this machine, opened once.

    Raises OSError if it can't be opened or read. Raises TableError if it is cut short while it is
    read: what comes then ends anywhere, also inside a value.
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

    def first(self) -> bytes:
        """Return the file's first bytes, which tell how it is compressed."""
        return self.read(0, FIRST)

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
        """Return the file's first bytes, read once."""
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


def raw_bytes(name: str, where: str | RemoteFolder, size: int = -1) -> LocalBytes | RemoteBytes:
    """Open the bytes of a file as they are; parameters as of :class:`TextFile`."""
    return LocalBytes(where, where) if isinstance(where, str) else RemoteBytes(where, name, size)


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


class TextFile:
    """A file of text: *plain*, or compressed, of wide characters (UTF-16, UTF-32), or both.

    ``where``: its path, or the folder that ``name`` is in. ``size``: of the file as listed, -1
    unknown; spares a question where it is remote.
    """

    def __init__(self, name: str, where: str | RemoteFolder, encoding: str, size: int = -1) -> None:
        self._name, self._where, self._size = name, where, size
        self._wide = encoding if is_wide(encoding) else None
        self.shown = where if isinstance(where, str) else shown_url(join_url(where.url, name))

    def is_plain(self) -> bool:
        """Return whether its bytes can be looked at as they are; the first ones tell."""
        if self._wide is not None:
            return False
        source, kind = self._looked_at()
        source.close()
        return kind is None

    def start(self, nbytes: int) -> bytes:
        """Return the first plain bytes, without reading all; TableError if they are corrupt."""
        source, kind = self._looked_at()
        with closing(source):
            if kind is None and self._wide is None:
                return source.read(0, nbytes)
        found, where = b"", self._where
        raw: Any = Path(where) if isinstance(where, str) else where.system
        path = () if isinstance(where, str) else (where.path(self._name),)
        with raw.open(*path, mode="rb") as stream:
            for part in self._plain(stream, kind):
                found += part
                if len(found) >= nbytes:
                    break
        return found[:nbytes]

    def open(
        self, cache: NodeCache, *, in_memory: Callable[[int], bool], max_unpacked: int | None = None
    ) -> ByteSource:
        """Open its plain bytes: decompressed, UTF-16 and UTF-32 as UTF-8 without a mark.

        ``cache``: keeps what had to be made plain, if that isn't done in memory. ``in_memory``:
        says of a file that isn't plain, of this size, whether it is made so in memory.
        ``max_unpacked``: bytes that a compressed one may hold; None: what is usual for its size.
        Raises TableError if it is truncated or corrupt, or holds more than that. Raises OSError if
        it can't be read.
        """
        source, kind = self._looked_at()
        if kind is None and self._wide is None:
            return source
        size = source.size
        source.close()
        most = most_unpacked(max_unpacked, size)
        if in_memory(size):
            with self._whole() as raw:
                data = b"".join(self._plain(raw, kind, most))
            plain: ByteSource = MemoryBytes(data, self.shown)
        else:
            plain = self._cached(cache, partial(self._write, kind, most))
        plain.packed = size
        return plain

    def _looked_at(self) -> tuple[LocalBytes | RemoteBytes, str | None]:
        """Open it as it is; say how it is compressed."""
        raw = raw_bytes(self._name, self._where, self._size)
        return raw, packing(raw.first())

    def _cached(self, cache: NodeCache, write: Callable[[str], None]) -> ByteSource:
        if isinstance(self._where, str):
            found = Path(self._where).stat()  # the key changes with the file, where that is seen
            key = f"{self._where}\0{self._wide}\0{found.st_size}\0{found.st_mtime_ns}"
        else:
            key = f"{join_url(self._where.url, self._name)}\0{self._wide}"
        while True:
            path = cache.get(key, write)
            try:
                return LocalBytes(path, self.shown)
            except FileNotFoundError:  # removed to make room before it was opened
                continue

    def _whole(self) -> BinaryIO:
        """Open it as it is; a remote one comes whole."""
        if isinstance(self._where, str):
            return Path(self._where).open("rb")
        return io.BytesIO(self._where.system.cat_file(self._where.path(self._name)))

    def _write(self, kind: str | None, most: int, target: str) -> None:
        local = self._where if isinstance(self._where, str) else f"{target}.fetched"
        try:
            if not isinstance(self._where, str):
                self._where.fetch(self._name, local)
            with Path(local).open("rb") as raw, Path(target).open("wb") as file:
                for part in self._plain(raw, kind, most):
                    file.write(part)
        finally:
            if not isinstance(self._where, str):
                Path(local).unlink(missing_ok=True)

    def _plain(self, raw: BinaryIO, kind: str | None, most: int | None = None) -> Iterator[bytes]:
        here = raw.fileno() if isinstance(self._where, str) else -1
        size = os.fstat(here).st_size if here >= 0 else 0
        parts = unpacked(raw, kind, self.shown, most)
        yield from parts if self._wide is None else self._transcoded(parts, self._wide)
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
