"""Cutting an output that is put together behind a URL into pieces; decides, reads nothing."""

from __future__ import annotations

import threading
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from daskrun.output.assembly.assembler import SKIPPED, SMALL, Entry, Slice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COPY_LIMIT = 256 * 2**20
"""Bytes of one copy on the store's side, so that several can go on at a time."""
READ_LIMIT = 8 * 2**20
"""Bytes from which rows are taken in slices, where they can't be copied."""


class Rows(NamedTuple):
    """All rows of a mini-batch: read and checked, a header but the first left out."""

    mini_batch: int
    entry: Entry
    keep: bool
    """Its header is the output's."""


class Stretch(NamedTuple):
    """Some rows of a mini-batch, read and checked together with the others."""

    slice: Slice
    check: RowsCheck


class RowsCheck:
    """The check of rows that are read in several slices, in any order, by several threads."""

    def __init__(self, mini_batch: int, entry: Entry, start: int, crc: int) -> None:
        self.mini_batch = mini_batch
        self.entry = entry
        self._start = start
        self._crc = crc
        """Of what comes before ``start``."""
        self._found: dict[int, tuple[int, int]] = {}
        """By where they begin: CRC and length of the slices that were read."""
        self._lock = threading.Lock()

    def add(self, start: int, data: bytes | memoryview) -> int:
        """Take in a slice; return the CRC of all rows, that of the entry until all are there."""
        crc = zlib.crc32(data)
        with self._lock:
            self._found[start] = crc, len(data)
            if sum(length for _, length in self._found.values()) < self.entry.stop - self._start:
                return self.entry.crc
            whole = self._crc
            for _, (crc, length) in sorted(self._found.items()):
                whole = joined_crc(whole, crc, length)
            return whole


def joined_crc(first: int, second: int, length: int) -> int:
    """Return the CRC-32 of two texts in a row, of their CRCs and the second's length.

    CRCs are linear: the first goes through the second as it goes through so many zeros.

    Examples
    --------
    >>> joined_crc(zlib.crc32(b"some "), zlib.crc32(b"rows"), 4) == zlib.crc32(b"some rows")
    True
    """
    zeros = bytes(length)
    return zlib.crc32(zeros, first) ^ zlib.crc32(zeros) ^ second


Segment = bytes | Rows | Slice | Stretch


@dataclass
class Piece:
    """A piece of the output: what it is made of, in order."""

    number: int
    segments: list[Segment] = field(default_factory=list)
    size: int = 0
    copied: bool = False
    """It is one slice, which the store copies on its side."""


@dataclass
class PieceCutter:
    """Cuts entries, in mini-batch order, into pieces."""

    smallest: int
    """Bytes a piece must have, the last excepted; what alone has as many is copied."""
    size: Callable[[int], int]
    """How many bytes a piece should have, by its number."""
    copies: Callable[[int], bool]
    """Whether a piece may be a copy of bytes of a part, which nobody reads."""
    header: Callable[[int, Entry], tuple[bytes, bool]]
    """Reads the header of a mini-batch (index, entry) and tells whether the output gets it. Called
    in mini-batch order, not for all: the first, unless headers stay aside, and those of large
    mini-batches."""
    headed: bool = False
    """Whether the output needs no header any more; from the start where headers stay aside."""
    begins: bytes = b""
    """What the output begins with."""

    def __post_init__(self) -> None:
        self._aside = self.headed
        self._piece = Piece(0, [self.begins], len(self.begins)) if self.begins else Piece(0)
        self._run: list[Rows] = []  # side by side in one part, none small, none with a header
        self._ready: list[Piece] = []

    @property
    def number(self) -> int:
        """Number of the piece in hand."""
        return self._piece.number

    def add(self, index: int, entry: Entry) -> list[Piece]:
        """Take the next entry; return the pieces that are whole now."""
        _, part, offset, length, header, _ = entry
        if part == SKIPPED:
            return []
        alone = header > 0 or length < SMALL or not self.copies(part)
        if self._run and (alone or not self._follows(part, offset)):
            self._end_run()
        if not alone:
            self._run.append(Rows(index, entry, keep=False))
        elif header:
            self._add_headed(index, entry)
        elif length < self._large(part):
            self._append(Rows(index, entry, keep=False), length)
        else:
            self._add_large(index, entry, b"")
        return self._whole()

    def finish(self) -> list[Piece]:
        """Return what is left."""
        self._end_run()
        if self._piece.segments:
            self._close()
        return self._whole()

    def _large(self, part: int) -> int:
        """Return how many bytes of rows are not read as one."""
        return self.smallest if self.copies(part) else READ_LIMIT

    def _follows(self, part: int, offset: int) -> bool:
        last = self._run[-1].entry
        return last.part == part and last.stop == offset

    def _add_headed(self, index: int, entry: Entry) -> None:
        """Add a mini-batch whose rows begin with a header."""
        length, header = entry.length, entry.header
        large = length - header >= self._large(entry.part)
        text, first = b"", False
        if large or not self.headed:
            text, first = self.header(index, entry)
            self.headed = self.headed or first
        if not large:
            self._append(Rows(index, entry, first), length if first else length - header)
            return
        if first:
            self._append(text, header)
        self._add_large(index, entry, text)

    def _add_large(self, index: int, entry: Entry, header: bytes) -> None:
        """Add the rows of a mini-batch without their header: copied, or read slice by slice."""
        part, start = entry.part, entry.offset + len(header)
        if self.copies(part):
            self._add_range(part, start, entry.stop)
            return
        check = RowsCheck(index, entry, start, 0 if self._aside else zlib.crc32(header))
        for each in _slices(part, start, entry.stop):
            self._append(Stretch(each, check), each.stop - each.start)

    def _end_run(self) -> None:
        """Add what lies side by side: as one range where that can be copied."""
        run, self._run = self._run, []
        if not run:
            return
        first, last = run[0].entry, run[-1].entry
        start, stop = first.offset, last.stop
        if stop - start >= self.smallest:
            self._add_range(first.part, start, stop)
            return
        for rows in run:
            self._append(rows, rows.entry.length)

    def _add_range(self, part: int, start: int, stop: int) -> None:
        """Add bytes of a part that may be copied: what can't be, the edges, is read."""
        start = self._fill(part, start, stop)
        while stop - start >= self.smallest and not self._piece.segments:
            taken = min(stop - start, COPY_LIMIT)
            piece = Piece(self._piece.number, [Slice(part, start, start + taken)], taken, True)
            self._ready.append(piece)
            self._piece = Piece(piece.number + 1)
            start += taken
        for each in _slices(part, start, stop):
            self._append(each, each.stop - each.start)

    def _fill(self, part: int, start: int, stop: int) -> int:
        """Bring the piece in hand to the size it must have and close it; return the new start."""
        if not self._piece.segments:
            return start
        missing = max(0, self.smallest - self._piece.size)
        if stop - start < missing + self.smallest:
            return start  # nothing would be left to copy
        if missing:
            self._piece.segments.append(Slice(part, start, start + missing))
            self._piece.size += missing
        self._close()
        return start + missing

    def _append(self, segment: Segment, size: int) -> None:
        """Add to the piece in hand, and close it when it is large enough."""
        self._piece.segments.append(segment)
        self._piece.size += size
        if self._piece.size >= max(self.smallest, self.size(self._piece.number)):
            self._close()

    def _close(self) -> None:
        self._ready.append(self._piece)
        self._piece = Piece(self._piece.number + 1)

    def _whole(self) -> list[Piece]:
        ready, self._ready = self._ready, []
        return ready


def _slices(part: int, start: int, stop: int) -> Iterator[Slice]:
    """Cut a range into slices that are read at once."""
    for at in range(start, stop, READ_LIMIT):
        yield Slice(part, at, min(stop, at + READ_LIMIT))
