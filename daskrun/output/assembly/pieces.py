"""Cutting an output that is put together behind a URL into pieces; decides, reads nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from daskrun.output.assembly.assembler import SKIPPED, SMALL, Entry, Slice

if TYPE_CHECKING:
    from collections.abc import Callable

COPY_LIMIT = 256 * 2**20
"""Bytes of one copy on the store's side, so that several can go on at a time."""
READ_LIMIT = 8 * 2**20
"""Bytes from which rows are taken in slices, where nothing can be copied."""


class Rows(NamedTuple):
    """All rows of a mini-batch: read and checked, a header but the first left out."""

    mini_batch: int
    entry: Entry
    keep: bool
    """Its header is the output's."""


Segment = bytes | Rows | Slice


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
    copies: bool
    """Whether a piece may be a copy."""
    header: Callable[[int, Entry], tuple[bytes, bool]]
    """Reads the header of a mini-batch (index, entry) and tells whether the output gets it. Called
    in mini-batch order, not for all: the first, unless headers stay aside, and those of large
    mini-batches."""
    headed: bool = False
    """Whether the output needs no header any more; from the start where headers stay aside."""
    begins: bytes = b""
    """What the output begins with."""

    def __post_init__(self) -> None:
        self._large = self.smallest if self.copies else READ_LIMIT
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
        alone = header > 0 or length < SMALL or not self.copies
        if self._run and (alone or not self._follows(part, offset)):
            self._end_run()
        if not alone:
            self._run.append(Rows(index, entry, keep=False))
        elif header:
            self._add_headed(index, entry)
        elif length < self._large:
            self._append(Rows(index, entry, keep=False), length)
        else:
            self._add_range(part, offset, offset + length)
        return self._whole()

    def finish(self) -> list[Piece]:
        """Return what is left."""
        self._end_run()
        if self._piece.segments:
            self._close()
        return self._whole()

    def _follows(self, part: int, offset: int) -> bool:
        last = self._run[-1].entry
        return last.part == part and last.stop == offset

    def _add_headed(self, index: int, entry: Entry) -> None:
        """Add a mini-batch whose rows begin with a header."""
        length, header = entry.length, entry.header
        large = length - header >= self._large
        text, first = b"", False
        if large or not self.headed:
            text, first = self.header(index, entry)
            self.headed = self.headed or first
        if not large:
            self._append(Rows(index, entry, first), length if first else length - header)
            return
        if first:
            self._append(text, header)
        self._add_range(entry.part, entry.offset + header, entry.stop)

    def _end_run(self) -> None:
        """Add what lies side by side: as one range where that can be copied."""
        run, self._run = self._run, []
        if not run:
            return
        first, last = run[0].entry, run[-1].entry
        start, stop = first.offset, last.stop
        if stop - start >= self._large:
            self._add_range(first.part, start, stop)
            return
        for rows in run:
            self._append(rows, rows.entry.length)

    def _add_range(self, part: int, start: int, stop: int) -> None:
        """Add bytes of a part: what can be is copied, the edges are read."""
        if self.copies:
            start = self._fill(part, start, stop)
            while stop - start >= self.smallest and not self._piece.segments:
                taken = min(stop - start, COPY_LIMIT)
                piece = Piece(self._piece.number, [Slice(part, start, start + taken)], taken, True)
                self._ready.append(piece)
                self._piece = Piece(piece.number + 1)
                start += taken
        while start < stop:
            taken = min(stop - start, READ_LIMIT)
            self._append(Slice(part, start, start + taken), taken)
            start += taken

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
