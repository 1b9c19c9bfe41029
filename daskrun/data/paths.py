"""Relative paths of very many files, in bytes rather than objects."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import compress
from typing import TYPE_CHECKING, Protocol, overload
from uuid import uuid4

from daskrun.errors import DatasetError, StorageError
from daskrun.storage.safe_names import below

if TYPE_CHECKING:
    from pathlib import Path

FileRow = tuple[str, int, int]
"""Relative path, size in bytes (-1 unknown), time of change in ns since the epoch (-1 unknown)."""

_CHUNK = 1024


class Hash(Protocol):
    """What :mod:`hashlib` makes."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes in."""


class PathTable(Sequence[str]):
    """Relative paths with ``/``, their sizes and times: about 25 bytes a file beside its name.

    Immutable. Names that are not UTF-8 survive (``surrogateescape``). ``rows``: path, size and time
    of each file, in the order they shall have.

    Examples
    --------
    >>> table = PathTable([("a/0.png", 10, 1), ("a/1.png", 20, 1)])
    >>> table[1], table[0:2], table.nbytes(0, 2)
    ('a/1.png', ['a/0.png', 'a/1.png'], 30)
    """

    __slots__ = ("_names", "_starts", "sizes", "times")

    def __init__(self, rows: Iterable[FileRow] = ()) -> None:
        names = bytearray()
        starts = array("q", [0])
        sizes, times = array("q"), array("q")
        for name, size, time in rows:
            names += name.encode("utf-8", "surrogateescape")
            names.append(0)  # no file name holds a zero byte
            starts.append(len(names))
            sizes.append(size)
            times.append(time)
        self._names = bytes(names)
        # A slice is exact, an array that grew has up to an eighth of slack.
        self._starts = starts[:]
        self.sizes = sizes[:]
        self.times = times[:]

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self.sizes))
            if step != 1:
                return [self[i] for i in range(start, stop, step)]
            if stop <= start:
                return []
            # One decode and one split: ten names take about 1 µs.
            chunk = self._names[self._starts[start] : self._starts[stop] - 1]
            return chunk.decode("utf-8", "surrogateescape").split("\0")
        if index < 0:
            index += len(self.sizes)
        if not 0 <= index < len(self.sizes):
            raise IndexError(f"index={index} is not below the number of files, {len(self)}")
        chunk = self._names[self._starts[index] : self._starts[index + 1] - 1]
        return chunk.decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _CHUNK):
            yield from self[start : start + _CHUNK]

    def __repr__(self) -> str:
        return f"<PathTable of {len(self):,} files>"

    def rows(self) -> Iterator[FileRow]:
        """Return path, size and time of each file."""
        return zip(self, self.sizes, self.times, strict=True)

    def to_bytes(self) -> bytes:
        """Return all of it as bytes, for :meth:`from_bytes` on a machine of the same byte order."""
        count = len(self).to_bytes(8)
        return b"".join((count, self.sizes.tobytes(), self.times.tobytes(), self._names))

    @classmethod
    def from_bytes(cls, data: bytes) -> PathTable:
        """Make the table that :meth:`to_bytes` was asked for.

        Examples
        --------
        >>> table = PathTable([("a/0.png", 10, 1), ("a/1.png", 20, 1)])
        >>> list(PathTable.from_bytes(table.to_bytes()).rows()) == list(table.rows())
        True
        """
        count = int.from_bytes(data[:8])
        numbers = array("q", data[8 : 8 + 16 * count])
        return cls._of(data[8 + 16 * count :], numbers[:count], numbers[count:])

    @classmethod
    def _of(cls, names: bytes, sizes: array[int], times: array[int]) -> PathTable:
        """Make a table of columns as they are kept."""
        made = cls()
        made._names, made.sizes, made.times = names, sizes, times
        starts, at = array("q", [0]), 0
        for _ in sizes:
            at = names.index(0, at) + 1
            starts.append(at)
        made._starts = starts[:]
        return made

    def nbytes(self, start: int, stop: int) -> int:
        """Sum the sizes of files ``start`` to ``stop``; -1 if one of them is unknown."""
        sizes = self.sizes[start:stop]
        return -1 if -1 in sizes else sum(sizes)

    def chosen(self, flags: Sequence[bool]) -> PathTable:
        """Return those files whose flag, one for each, is True."""
        names = bytearray()
        for start in range(0, len(self), _CHUNK):
            stop = min(start + _CHUNK, len(self))
            chunk = self._names[self._starts[start] : self._starts[stop] - 1].split(b"\0")
            names += b"\0".join([*compress(chunk, flags[start:stop]), b""])
        sizes, times = (array("q", compress(each, flags)) for each in (self.sizes, self.times))
        return PathTable._of(bytes(names), sizes, times)

    def part(self, start: int, stop: int) -> PathTable:
        """Return files ``start`` to ``stop`` as table of their own; bounds as those of a slice."""
        start, stop, _ = slice(start, stop).indices(len(self))
        stop = max(start, stop)
        taken = PathTable()
        first = self._starts[start]
        taken._names = self._names[first : self._starts[stop]]
        taken._starts = array("q", (at - first for at in self._starts[start : stop + 1]))
        taken.sizes = self.sizes[start:stop]
        taken.times = self.times[start:stop]
        return taken

    def update(self, digest: Hash) -> None:
        """Feed names, sizes and times to a hash."""
        digest.update(self._names)
        digest.update(self.sizes.tobytes())
        digest.update(self.times.tobytes())

    @property
    def memory(self) -> int:
        """Bytes this table takes."""
        columns = (self._starts, self.sizes, self.times)
        return len(self._names) + sum(len(c) * c.itemsize for c in columns)


def local_copies(folder: str, names: Iterable[str]) -> dict[str, str]:
    """Return where copies of a dataset's files belong below a folder.

    ``names``: paths relative to the dataset's root; one that comes twice is one copy. Returns local
    path for each name, in the order of ``names``. Raises DatasetError if a name has no safe place
    of its own there.
    """
    try:
        return below(folder, names)
    except StorageError as error:
        raise DatasetError(str(error)) from None


@contextmanager
def written_aside(final: Path) -> Iterator[str]:
    """Yield a path beside ``final`` to write to; it is renamed when it is left without an error."""
    aside = final.parent / f".daskrun-{uuid4().hex}"
    try:
        yield str(aside)
        aside.replace(final)
    finally:
        aside.unlink(missing_ok=True)
