"""Cutting delimited and JSON-lines files where records begin.

A file is cut at the multiples of the mini-batch size, each cut moved on to the next record start.
*Nominal* cuts need no look at the file: a piece is then the lines that begin between two of them.
*Exact* cuts come from *surveys* that the workers make: each looks at one block of whole lines and
says what it holds if a record begins where it does, and what if it begins inside a quoted field. In
order, each survey's end tells which of the two holds for the next.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from daskrun.core.typing import override
from daskrun.data.tabular.formats.contract import Cut, FileSplit, Look, Piece, Splitter
from daskrun.data.tabular.formats.text import lines
from daskrun.data.tabular.formats.text.grammar import Grammar, Separator
from daskrun.data.tabular.formats.text.sample import EXPANSION
from daskrun.data.tabular.formats.text.scan import Scan, Trace, scan_into
from daskrun.data.tabular.formats.text.source import ByteSource, LocalBytes

BLOCK = 32 << 20
"""Bytes that a survey looks at: 10 to 60 ms of work, one request to a store, and a memory that does
not grow with ``mini_batch_size``."""

_FIRST = 4
"""Blocks of a near file that are as large as all blocks of a far one: mini-batches can begin soon.
Those behind are this many times as large, as a survey costs a driver 9 ms beside 18 of work."""
_LEAST_STEP = 64 << 10
"""Where mini-batches are smaller, blocks stay small, and so does what is found in one."""

_READ = 1 << 20
"""Bytes of a survey that are in memory at a time: few enough to stay in the processor's cache. With
4 MiB a survey takes twice as long."""
_FETCHED = 8 << 20
"""The same where each read is a request."""


def fits_memory(what: Piece | Look, packed: int) -> bool:
    """Return whether what a piece or a survey (its request) needs of a compressed file is small.

    It is then made plain in memory. ``packed``: bytes of the file as it is.
    """
    return is_whole(what, packed) if isinstance(what, Piece) else what.request[-1] == 0


def is_whole(piece: Piece, packed: int) -> bool:
    """Return whether a piece is all of a compressed file.

    Such a one whose name doesn't say what it is is cut as if it were plain while it is small: from
    0 to its size. No other piece of a compressed file has these bounds.
    """
    return piece.stop is None or (piece.start == 0 and piece.stop == packed)


class ByteSplitter(Splitter):
    """Cuts files whose pieces are ranges of bytes.

    A file that is not plain has pieces of the bytes made plain, or, where these are no more than
    ``mini_batch_size`` for certain, one piece without an end.

    ``exact``: whether cuts need a look at the file; else every line break ends a record.
    ``count_rows``: whether the rows of every piece must be known, so that every file is looked at.
    ``plain``: says of a name and size whether the file's bytes can be looked at as they are.
    ``header``: says of a name whether the file's first record is a header: it is no row. ``near``:
    whether reading is no request to a store, and a survey needs no copy of its block. ``block``:
    bytes that a survey looks at, of a near file a few times as many.

    Examples
    --------
    >>> splitter = ByteSplitter(4, exact=False, count_rows=False, plain=lambda *_: True)
    >>> [cut[:2] for cut in splitter.begin("a.csv", 10)]
    [(0, 4), (4, 8), (8, 10)]
    """

    def __init__(
        self,
        mini_batch_size: int,
        *,
        exact: bool,
        count_rows: bool,
        plain: Callable[[str, int], bool],
        header: Callable[[str], bool] | None = None,
        near: bool = False,
        block: int = BLOCK,
    ) -> None:
        self._size = mini_batch_size
        self._exact, self._count_rows = exact, count_rows
        self._plain, self._header = plain, header
        self._block = block
        self._near = near

    @override
    def begin(self, name: str, size: int) -> list[Cut] | FileSplit:
        if size == 0:
            return []
        plain = self._plain(name, size) and size > 0
        small = 0 < size <= (self._size if plain else self._size // EXPANSION)
        if small and not self._count_rows:
            return [Cut(0, size if plain else None, -1, size)]
        if plain and not self._exact and not self._count_rows:
            starts = range(0, size, self._size)
            return [Cut(start, min(start + self._size, size), -1, self._size) for start in starts]
        header = self._header is not None and self._header(name)
        step = 0 if small else self._size
        grown = _FIRST if self._near and self._size >= _LEAST_STEP else 1
        return _SurveyedFile(name, size, step, self._block if plain else 0, grown, header)


class _SurveyedFile(FileSplit):
    """Finds the cuts of one file from its surveys.

    ``step``: cut at its multiples; 0: not at all, only count. ``block``: bytes of a survey; 0: one
    survey for all of a file whose plain size is unknown. ``grown``: the first so many are that
    long, all behind them so many times as long.
    """

    def __init__(
        self, name: str, size: int, step: int, block: int, grown: int, header: bool
    ) -> None:
        self._name, self._size, self._step = name, size, step
        self._block, self._grown = block, grown
        self.surveys = 1
        if block:
            self.surveys = min(-(-size // block), grown - 1 - (-size // (grown * block)))
        self._fed = 0
        self._begin = 0  # of the piece that goes on
        self._rows = -1 if header else 0  # of that piece, so far
        self._inside = self._pending = False
        self._opened = self._last = -1

    @override
    def request(self, number: int) -> tuple[Any, ...]:
        if not self._block:
            return (0, -1, self._step)
        return (self._start(number), min(self._start(number + 1), self._size), self._step)

    def _start(self, number: int) -> int:
        """Return where a block begins; the first grown one where all before it end together."""
        grown = self._grown
        return self._block * (number if number < grown else (number - grown + 1) * grown)

    @override
    def feed(self, found: Any) -> list[Cut]:
        end, *traces = found
        trace = Trace(*traces[self._inside])
        cuts = list(self._cuts(trace))
        self._rows += trace.rows
        self._pending = trace.pending or (self._pending and trace.first < 0)
        self._inside = trace.inside
        self._opened = trace.opened if trace.opened >= 0 else self._opened
        self._last = trace.last if trace.last >= 0 else self._last
        self._fed += 1
        return cuts + list(self._finish(end)) if self._fed == self.surveys else cuts

    @override
    def give_up(self, trouble: str) -> list[Cut]:
        self._fed = self.surveys
        return [Cut(self._begin, self._size if self._block else None, -1, -1, trouble)]

    def _cuts(self, trace: Trace) -> Iterator[Cut]:
        """Close the pieces that end in this block; one without rows goes on instead."""
        places: list[int] = np.frombuffer(trace.cuts, np.int64).tolist()
        before: list[int] = np.frombuffer(trace.before, np.int64).tolist()
        if self._pending and trace.first >= 0:
            places, before = [trace.first, *places], [0, *before]
        counted = 0  # of this block's records, those in pieces that are closed
        for place, records in zip(places, before, strict=True):
            self._rows += records - counted
            counted = records
            whole = not self._block and self._begin == 0 and place == self._size
            if self._rows > 0 and not whole:  # see is_whole()
                yield Cut(self._begin, place, self._rows, place - self._begin)
                self._begin, self._rows = place, 0
        self._rows -= counted

    def _finish(self, end: int) -> Iterator[Cut]:
        """Close the last piece; what a quote without an end is in is a piece of its own."""
        # A small file that isn't plain is made so in memory: without an end, as it always is.
        end = self._size if self._block else end
        stop = None if not self._block and not self._step else end
        if not self._inside:
            if self._rows > 0:
                yield Cut(self._begin, stop, self._rows, end - self._begin)
            return
        if self._rows > 1:
            yield Cut(self._begin, self._last, self._rows - 1, self._last - self._begin)
            self._begin = self._last
        trouble = (
            f"{self._name}: the quote at byte {self._opened} opens a field that is not closed "
            f"before the end of the file, so the record that begins at byte {self._last} has no "
            'end. Close the quote, or write the field as """..." if the quote belongs to its text.'
        )
        # One record, if that quote is right: how many rows are lost if it is not, its lines tell.
        yield Cut(self._begin, stop, -1, end - self._begin, trouble)


def survey_bytes(
    source: ByteSource, request: tuple[Any, ...], separator: Separator
) -> tuple[Any, ...]:
    """Look at what a request of :class:`ByteSplitter` names, on a worker.

    ``separator``: as the scan takes it: ``b""`` where quotes mean nothing. Returns where the block
    ends, and a :class:`Trace` as a plain tuple for each entry state.
    """
    start, stop, step = request
    if stop >= 0:
        blocks = _blocks(source, start, stop, separator)
        return _traced((Scan(False), Scan(True)), blocks, step, separator)
    blocks = _blocks(source, 0, source.size, separator)
    _, trace = _traced((Scan(False),), blocks, step, separator)
    return source.size, trace, ()


def _traced(
    scans: Sequence[Scan], blocks: Iterator[lines.BytePiece], step: int, separator: Separator
) -> tuple[Any, ...]:
    """Go through blocks that follow one another; give where they end, and each scan's trace."""
    end = 0
    for block in blocks:
        scan_into(scans, block.data, separator, block.offset, step)
        end = max(end, block.offset + len(block.data))
    return end, *(tuple(scan.trace()) for scan in scans)


def bring_survey(
    source: ByteSource, request: tuple[Any, ...], target: str, separator: Separator
) -> None:
    """Write what a survey of a remote file needs to a local file, for :func:`survey_file`.

    A file that was made plain is in the node's cache already: it gets another name.
    """
    start, stop, _ = request
    if stop >= 0:
        with Path(target).open("wb") as file:
            for block in _blocks(source, start, stop, separator):
                prefix = (
                    b""
                    if file.tell()
                    else lines.pack_piece(lines.BytePiece(block.offset, b"", b""))
                )
                file.write(prefix + block.data)
    elif isinstance(source, LocalBytes):
        try:
            os.link(source.path, target)  # keeps it, should the cache make room
        except OSError:  # another disk
            Path(target).symlink_to(source.path)
    else:
        with Path(target).open("wb") as file:
            for at in range(0, source.size, _READ):
                file.write(source.read(at, at + _READ))


def survey_file(path: str, request: tuple[Any, ...], separator: Separator) -> tuple[Any, ...]:
    """Look at what :func:`bring_survey` has brought."""
    source = LocalBytes(path, path)
    try:
        if request[1] < 0:
            return survey_bytes(source, request, separator)
        packed = _Packed(source)
        scans = Scan(False), Scan(True)
        blocks = (
            block._replace(offset=packed.offset + block.offset)
            for block in _lines(packed, 0, packed.size)
        )
        return _traced(scans, blocks, request[2], separator)
    finally:
        source.close()


class _Packed(ByteSource):
    """The bytes of a block in the file that :func:`bring_survey` made; a ``ByteSource``."""

    near = True

    def __init__(self, file: LocalBytes) -> None:
        empty = len(lines.pack_piece(lines.BytePiece(0, b"", b"")))
        self._file, self._skip = file, empty
        self.shown = file.shown
        self.size = file.size - empty
        self.offset = lines.unpack_piece(file.read(0, empty)).offset

    @override
    def read(self, start: int, stop: int) -> bytes:
        return self._file.read(start + self._skip, stop + self._skip)

    @override
    def close(self) -> None:
        self._file.close()


def _lines(source: ByteSource, start: int, stop: int) -> Iterator[lines.BytePiece]:
    """Read the lines that begin in a range, some megabytes at a time."""
    some = _READ if source.near else max(_READ, _FETCHED)
    for at in range(start, max(stop, start + 1), some):
        offset, data = lines.read_lines(source, at, min(at + some, stop))
        yield lines.BytePiece(offset, b"", data)


def _blocks(
    source: ByteSource, start: int, stop: int, separator: Separator
) -> Iterator[lines.BytePiece]:
    """Read the lines that begin in a block; what is before and behind a table is none of them."""
    grammar = separator if isinstance(separator, Grammar) else None
    first = lines.first_line(source, separator) if grammar and grammar.skip else -1
    for offset, _, data in _lines(grammar.viewed(source) if grammar else source, start, stop):
        end = offset + len(data)
        if offset == 0 and first < 0:
            first = lines.mark_of(data)
        if offset < first:
            offset, data = min(first, end), data[first - offset :]
        yield lines.BytePiece(offset, b"", lines.without_tail(source, offset, data, separator))
