"""Physical lines and headers of a file, found by reading a little around an offset."""

from __future__ import annotations

import codecs
from struct import Struct
from typing import NamedTuple

from daskrun.core.typing import override
from daskrun.data.tabular.formats.contract import Piece
from daskrun.data.tabular.formats.text.grammar import Grammar, Separator, blank_tail
from daskrun.data.tabular.formats.text.scan import record_starts, unclosed_quote
from daskrun.data.tabular.formats.text.source import ByteSource
from daskrun.errors import TableError

_LINE = 4 << 10
"""Bytes read first for the rest of a line; each step then doubles."""
_HEADER = 16 << 10
_LONGEST_HEADER = 64 << 20
_BEHIND = 64 << 10
"""Bytes that a request asks for behind its range, so that most last lines need no second one; at
most this, and a 64th of the range."""
_COUNTED = 1 << 20
_TAIL = 4 << 10
"""Bytes of a file's end in which lines of blanks alone are looked for."""
_PREFIX = Struct("<QQ")


class BytePiece(NamedTuple):
    """The bytes of a piece, ready to be parsed."""

    offset: int
    """Where in the file ``data`` begins."""
    header: bytes
    """The file's first record without its line end; ``b""`` where the file has no header."""
    data: bytes
    """Whole lines without the header; no byte-order mark."""


def line_begin(source: ByteSource, at: int) -> int:
    """Find where the first line begins that begins at ``at`` or after it; the size if none does.

    A line begins after LF, CR or CRLF, and where the file does.
    """
    if at <= 0:
        return 0
    # From the byte before: whether a line begins at `at` is told by it, and by the byte there.
    position, step = at - 1, _LINE
    while position < source.size:
        data = source.read(position, position + step)
        if not data:
            break
        ends = [end for end in (data.find(b"\n"), data.find(b"\r")) if end >= 0]
        if ends:
            end = min(ends)
            after = data[end : end + 2]
            if after == b"\r":
                after += source.read(position + end + 1, position + end + 2)
            return min(position + end + (2 if after == b"\r\n" else 1), source.size)
        position += len(data)
        step *= 2
    return source.size


def read_lines(source: ByteSource, start: int, stop: int) -> tuple[int, bytes]:
    r"""Read all lines that begin in ``[start, stop)``, each to its end.

    Returns where the first of them begins, and their bytes.

    Examples
    --------
    >>> from daskrun.data.tabular.formats.text.source import MemoryBytes
    >>> source = MemoryBytes(b"one\ntwo\r\nthree", "x")
    >>> read_lines(source, 0, 4), read_lines(source, 4, 9), read_lines(source, 9, 14)
    ((0, b'one\n'), (4, b'two\r\n'), (9, b'three'))
    """
    stop = min(stop, source.size)
    if not source.near:
        behind = min(_BEHIND, max(_LINE, (stop - start) // 64))
        source = _Ahead(source, max(start - 1, 0), stop + behind)
    begin = line_begin(source, start)
    if begin >= stop:
        return begin, b""
    return begin, source.read(begin, line_begin(source, stop))


class _Ahead(ByteSource):
    """A source of which one range has been read already."""

    near = True

    def __init__(self, source: ByteSource, start: int, stop: int) -> None:
        self.shown, self.size = source.shown, source.size
        self._source, self._start = source, start
        self._data = source.read(start, stop)

    @override
    def read(self, start: int, stop: int) -> bytes:
        end = self._start + len(self._data)
        if stop > end and end < self.size:
            self._data += self._source.read(end, stop)
        return self._data[start - self._start : stop - self._start]


def read_header(source: ByteSource, separator: Separator) -> tuple[bytes, int]:
    r"""Read the first record of a file, also one with line breaks in quotes.

    Returns the record without byte-order mark and line end, and where the next one begins. Of a
    file without records: ``b""`` and its size. Raises TableError if the record has no end in its
    first 64 MiB.

    Examples
    --------
    >>> from daskrun.data.tabular.formats.text.source import MemoryBytes
    >>> read_header(MemoryBytes(b'\n"a\n1",b\r\n2,3\n', "x"), b",")
    (b'"a\n1",b', 10)
    """
    size = _HEADER
    while True:
        data = source.read(0, size)
        begin = first_line(source, separator)
        starts = record_starts(data[begin:], separator)
        if starts.size > 1 or len(data) >= source.size:
            break
        if size >= _LONGEST_HEADER:
            raise TableError(
                f"{source.shown}: the header has no end in the file's first {size >> 20} MiB. "
                "Close the quote that it may leave open, or write header=False if the file has "
                "no header."
            )
        size *= 8
    if not starts.size:
        return b"", source.size
    begin, end = begin + int(starts[0]), begin + int(starts[1]) if starts.size > 1 else source.size
    header = data[begin:end].rstrip(b"\r\n")
    if (quote := unclosed_quote(header, separator)) >= 0:
        raise TableError(
            f"{source.shown}, line {line_number(source, begin + quote)}: the header opens a quote "
            "that is not closed before the end of the file. Close it, or write header=False if "
            "the file has no header."
        )
    return header, end


def checked_header(source: ByteSource, lines: bool, separator: Separator) -> tuple[bytes, int]:
    """Read the header as :func:`read_header` does, and make sure that it can be used.

    Raises TableError if it is never closed, or has line breaks though ``lines`` says it must not.
    """
    header, after = read_header(source, separator)
    if b'"' in header and not lines and len(header.splitlines()) > 1:
        raise TableError(
            f"{source.shown}: the header has a line break inside quotes, which "
            "support_multi_line=False says there is none of. Write support_multi_line=True, or "
            "leave it out.",
            ends_run=True,
        )
    return header, after


def line_number(source: ByteSource, offset: int) -> int:
    r"""Return the number of the physical line that an offset is in, from 1; reads all before it.

    Examples
    --------
    >>> from daskrun.data.tabular.formats.text.source import MemoryBytes
    >>> source = MemoryBytes(b"a\r\nb\rc\n", "x")
    >>> [line_number(source, offset) for offset in range(8)]
    [1, 1, 1, 2, 2, 3, 3, 4]
    """
    ends, after_cr = _line_ends(source, 0, offset)
    # At the LF of a CRLF the line hasn't ended yet.
    return 1 + ends - (after_cr and source.read(offset, offset + 1) == b"\n")


def lines_between(source: ByteSource, start: int, stop: int | None) -> int:
    r"""Count the physical lines of a range that begins where one does.

    Examples
    --------
    >>> from daskrun.data.tabular.formats.text.source import MemoryBytes
    >>> lines_between(MemoryBytes(b"a\r\nb\rc", "x"), 0, None)
    3
    """
    stop = source.size if stop is None else min(stop, source.size)
    ends, _ = _line_ends(source, start, stop)
    return ends + (stop > start and source.read(stop - 1, stop) not in (b"\n", b"\r"))


def _line_ends(source: ByteSource, start: int, stop: int) -> tuple[int, bool]:
    """Count the line ends of a range; and say whether it ends with a CR."""
    ends, position, after_cr = 0, start, False
    while position < stop:
        data = source.read(position, min(position + _COUNTED, stop))
        if not data:
            break
        ends += data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")
        ends -= after_cr and data.startswith(b"\n")  # its CR was counted with the block before
        after_cr = data.endswith(b"\r")
        position += len(data)
    return ends, after_cr


def bring_bytes(
    source: ByteSource,
    piece: Piece | tuple[int, int | None],
    exact: bool,
    header: bool,
    separator: Separator,
) -> BytePiece:
    """Read what a piece holds.

    ``exact``: whether the bounds are record starts; else the piece is the lines that begin between
    them. Raises TableError if the header is never closed, or has line breaks where pieces are cut
    by lines; if the file has become shorter than its pieces.
    """
    start, stop = (piece.start, piece.stop) if isinstance(piece, Piece) else piece
    stop = source.size if stop is None else stop
    if stop > source.size:
        raise TableError(
            f"{source.shown} has {source.size} bytes and had {stop} or more when it was looked at "
            "for the run: it has been changed. Submit the run again."
        )
    whole = start == 0 and stop >= source.size
    first, begin = b"", start
    if header:
        first, after = checked_header(source, exact or whole, separator)
        begin = max(start, after)
    elif start == 0 or (isinstance(separator, Grammar) and separator.skip):
        begin = max(start, first_line(source, separator))
    if exact or whole:
        offset, data = min(begin, source.size), source.read(begin, stop)
    else:
        offset, data = read_lines(source, start, stop)
        offset, data = max(offset, begin), data[max(begin - offset, 0) :]
    return BytePiece(offset, first, without_tail(source, offset, data, separator))


def pack_piece(piece: BytePiece) -> bytes:
    """Put a piece into one value, for a local file.

    Examples
    --------
    >>> unpack_piece(pack_piece(BytePiece(7, b"a,b", b"1,2")))
    BytePiece(offset=7, header=b'a,b', data=b'1,2')
    """
    return b"".join((_PREFIX.pack(piece.offset, len(piece.header)), piece.header, piece.data))


def unpack_piece(packed: bytes) -> BytePiece:
    """Take a piece out again."""
    offset, length = _PREFIX.unpack_from(packed)
    data = _PREFIX.size + length
    return BytePiece(offset, packed[_PREFIX.size : data], packed[data:])


def first_line(source: ByteSource, separator: Separator) -> int:
    r"""Return where the first line of the table begins: behind a mark, and lines to skip.

    Examples
    --------
    >>> from daskrun.data.tabular.formats.text.source import MemoryBytes
    >>> first_line(MemoryBytes(b"made by x\r\n\na,b\n", "x"), Grammar(b",", skip=2))
    12
    """
    at = mark_of(source.read(0, 3))
    for _ in range(separator.skip if isinstance(separator, Grammar) else 0):
        at = line_begin(source, at + 1)
    return at


def without_tail(source: ByteSource, offset: int, data: bytes, separator: Separator) -> bytes:
    """Return lines that begin at an offset without those of blanks alone that end the file."""
    end, low = offset + len(data), max(source.size - _TAIL, 0)
    if end <= low or not data:
        return data
    plain = separator_of(separator)
    if end >= source.size:
        return data[: blank_tail(data, plain)]
    start = line_begin(source, low)
    tail = start + blank_tail(source.read(start, source.size), plain)
    return data[: max(tail - offset, 0)]


def separator_of(separator: Separator) -> bytes:
    """Return the separator alone."""
    return separator.separator if isinstance(separator, Grammar) else separator


def mark_of(data: bytes) -> int:
    """Return the length of the byte-order mark that a file begins with."""
    return len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
