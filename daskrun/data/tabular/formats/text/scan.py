"""Where records begin in a stretch of a delimited file, whatever its quotes do.

The grammar is that of pandas' C parser and of pyarrow: a quote opens a field only at the field's
start; inside, a doubled quote is a literal one; what follows the closing quote up to the separator
or the line's end is plain text, quotes too. Outside quotes LF, CR and CRLF end a record, and a line
with nothing in it is none.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from daskrun.data.tabular.formats.text.grammar import Grammar, Separator
from daskrun.data.tabular.formats.text.quotes import LF, QUOTE, Chunk, Entered, chunks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    Positions = NDArray[np.int64]

_NONE = np.empty(0, np.int64)
_FEW = 4
"""Targets in a chunk: finding one takes 10 to 20 us, finding all record starts 100."""

_FEW_A_BLOCK = 64
"""Targets in a block of plain lines: counting the lines between two takes 5 us at least."""

_PART = 256 << 10
"""Bytes of plain lines that are looked at together: they and their flags, twice, stay in the
second-level cache."""


UNCLOSED = (
    "the quote that opens this field is not closed before the end of the file, so that all behind "
    "it would be one value. Close it, or double a quote that belongs to the text."
)


class Trace(NamedTuple):
    """What a block holds when it is entered in one of the two states; builtins only."""

    inside: bool
    """Whether it ends inside a quoted field."""
    rows: int
    """Records that begin in it, blank lines left out."""
    first: int
    """Offset of the first of them, -1: none."""
    last: int
    """Offset of the last of them, -1: none."""
    opened: int
    """Offset of the quote that opens the field it ends in; -1: not inside, or opened before it."""
    pending: bool
    """Whether the last target has no record start after it in this block."""
    cuts: bytes
    """Offsets (int64) where targets are cut: first record start at or after each; none twice."""
    before: bytes
    """For each cut how many records of this block begin before it (int64)."""


class Scan:
    r"""Scans blocks one after another from one entry state; offsets are the file's.

    Examples
    --------
    >>> scan = Scan(False)
    >>> scan_into([scan], b'a,"1\n2"\nb,3\n', b",", 0, 4)
    >>> trace = scan.trace()
    >>> trace.rows, trace.last, np.frombuffer(trace.cuts, np.int64).tolist()
    (2, 8, [0, 8])
    """

    def __init__(self, inside: bool) -> None:
        self.inside = inside
        self.rows = 0
        self.first = self.last = self.opened = -1
        self._pending = False
        self._cuts: list[Positions] = []
        self._before: list[Positions] = []

    def take(self, chunk: Chunk, offset: int, targets: Positions) -> None:
        """Go through the next chunk; ``offset`` is its block's, targets count from there."""
        if self.inside and not chunk.quoted:
            self._pending |= bool(targets.size)
            return
        entered = chunk.entered(self.inside)
        if targets.size or self._pending:
            if targets.size > _FEW:
                self._cut(entered.starts, offset, targets)
            else:
                wanted = [chunk.start] if self._pending else []
                self._find(entered, offset, wanted + targets.tolist())
        if entered.rows:
            self.rows += entered.rows
            self.last = offset + entered.last
            self.first = offset + entered.first if self.first < 0 else self.first
        self.inside = entered.leaves
        if self.inside and chunk.opened >= 0:
            self.opened = offset + chunk.opened

    def pass_over(self, targets: Positions) -> None:
        """Go through a line that is none of the records."""
        self._pending |= bool(targets.size)

    def take_lines(
        self, offset: int, places: list[int], before: dict[int, int], last: int, end: int
    ) -> None:
        """Go through a block of plain lines: where to cut it, and the records before each place."""
        if self.inside:
            self._pending |= bool(places)
            return
        if end:
            found = dict.fromkeys([*([0] if self._pending else []), *places])
            self._pending = found.pop(end, 0) is None
            self._cuts.append(np.array(list(found), np.int64) + offset)
            counted = [before[place] for place in found]
            self._before.append(np.array(counted, np.int64) + self.rows)
            self.rows += before[end]
            self.first = offset if self.first < 0 else self.first
            self.last = offset + last

    def trace(self) -> Trace:
        """Return what was found."""
        cuts = np.concatenate([_NONE, *self._cuts]).tobytes()
        before = np.concatenate([_NONE, *self._before]).tobytes()
        found = (self.first, self.last, self.opened if self.inside else -1, self._pending)
        return Trace(self.inside, self.rows, *found, cuts, before)

    def _find(self, entered: Entered, offset: int, targets: list[int]) -> None:
        """Cut at a few targets; finding the places of all starts costs more than the scan."""
        found: dict[int, int] = {}
        self._pending = False
        for target in targets:
            place, before = entered.find(target)
            if place < 0:
                self._pending = True
                break
            found[place] = before
        self._cuts.append(np.array(list(found), np.int64) + offset)
        self._before.append(np.array(list(found.values()), np.int64) + self.rows)

    def _cut(self, starts: Positions, offset: int, targets: Positions) -> None:
        if not starts.size:
            self._pending |= bool(targets.size)
            return
        at = np.unique(np.searchsorted(starts, targets))
        if self._pending and not (at.size and at[0] == 0):
            at = np.concatenate([np.zeros(1, np.int64), at])
        self._pending = bool(at.size) and int(at[-1]) == starts.size
        at = at[:-1] if self._pending else at
        self._cuts.append(starts[at] + offset)
        self._before.append(at + self.rows)


def scan_into(
    scans: Sequence[Scan], data: bytes, separator: Separator, offset: int, step: int
) -> None:
    """Go through a block with each of the scans.

    ``separator``: the bytes of one character; ``b""``: quotes mean nothing, each line break ends a
    record. A :class:`Grammar` where records are written in another way than the usual one.
    ``step``: targets are the multiples of this that lie in the block, by the file's offsets; 0:
    none.
    """
    if isinstance(separator, Grammar):
        data = separator.masked(data)
        for start, stop, passed in separator.parts(data):
            asked = [scan for scan in scans if scan.inside or not passed]
            for scan in scans:
                if scan not in asked:
                    scan.pass_over(_targets(offset + start, offset + stop, step))
            if asked:
                scan_into(asked, data[start:stop], separator.separator, offset + start, step)
        return
    if _take_lines(scans, data, separator, offset, step):
        return
    for chunk in chunks(data, separator):
        targets = _targets(offset + chunk.start, offset + chunk.stop, step) - offset
        for scan in scans:
            scan.take(chunk, offset, targets)


def _targets(low: int, high: int, step: int) -> Positions:
    """Return the multiples of a step, 0: none, that lie in a range."""
    return np.arange(-(-low // step) * step, high, step, dtype=np.int64) if step else _NONE


def _take_lines(
    scans: Sequence[Scan], data: bytes, separator: bytes, offset: int, step: int
) -> bool:
    """Go through a block of plain lines, as most are: three times as fast as what can have quotes.

    False where it has quotes that mean something, CRs, blank lines or many targets: nothing done.
    """
    if (separator and QUOTE in data) or b"\r" in data or data.startswith(b"\n"):
        return False
    first = -(-offset // step) * step - offset if step else len(data)
    targets = range(first, len(data), step or 1)
    if len(targets) > _FEW_A_BLOCK:
        return False
    # Where the line begins that begins at a target or next behind it; none does: the end.
    places = [data.find(b"\n", t - 1) + 1 or len(data) if t else 0 for t in targets]
    bounds = sorted({0, *places, len(data)})
    view, records, before = np.frombuffer(data, np.uint8), 0, {0: 0}
    for low, high in pairwise(bounds):
        lines = _lines(view[low:high])
        if lines < 0:
            return False
        records += lines
        before[high] = records
    last = data.rfind(b"\n", 0, len(data) - 1) + 1
    for scan in scans:
        scan.take_lines(offset, places, before, last, len(data))
    return True


def _lines(view: NDArray[np.uint8]) -> int:
    """Count the lines of bytes that begin with one; -1 where one is blank."""
    found, size = 0, min(_PART, view.size)
    flags, twice = np.empty(size + 1, np.bool_), np.empty(size, np.bool_)
    flags[0] = True  # as behind a line's end
    for at in range(0, view.size, _PART):
        part = view[at : at + _PART]
        ends = np.equal(part, LF, out=flags[1 : part.size + 1])
        if np.logical_and(ends, flags[: part.size], out=twice[: part.size]).any():
            return -1
        found += int(np.count_nonzero(ends))
        flags[0] = ends[-1]
    return found + (not flags[0])


def record_starts(data: bytes, separator: Separator, inside: bool = False) -> Positions:
    r"""Find where the records begin that begin in ``data``, blank lines left out.

    ``inside``: the data begins inside a quoted field.

    Examples
    --------
    >>> record_starts(b'a,b\n\n"x\ny",1\r\nz,2', b",").tolist()
    [0, 5, 14]
    """
    walk = _entered(data, separator, inside)
    return np.concatenate([_NONE, *(entered.starts + start for start, _, entered in walk)])


def _entered(
    data: bytes, separator: Separator, inside: bool
) -> Iterator[tuple[int, Chunk, Entered]]:
    """Yield the chunks of data in the states they are entered in, and what their places are from.

    Lines that are none of the records are passed over.
    """
    parts: Iterable[tuple[int, int, bool]] = [(0, len(data), False)]
    if isinstance(separator, Grammar):
        data = separator.masked(data)
        parts, separator = separator.parts(data), separator.separator
    for start, stop, passed in parts:
        if passed and not inside:
            continue
        part = data if stop - start == len(data) else data[start:stop]
        for chunk in chunks(part, separator):
            entered = chunk.entered(inside)
            yield start, chunk, entered
            inside = entered.leaves


def records_only(data: bytes, separator: Grammar) -> bytes:
    r"""Return data that begins with a record without the lines that are none of them.

    Examples
    --------
    >>> records_only(b'a\n#b\n"c\n#d"\n', Grammar(b",", comment=b"#"))
    b'a\n"c\n#d"\n'
    """
    masked, inside, kept = separator.masked(data), False, []
    for start, stop, passed in separator.parts(masked):
        if passed and not inside:
            continue
        kept.append(data[start:stop])
        for chunk in chunks(masked[start:stop], separator.separator):
            inside = chunk.entered(inside).leaves
    return b"".join(kept)


def quoted_line_break(data: bytes, separator: Separator) -> int:
    r"""Find the first line break inside a quoted field; -1: there is none.

    Examples
    --------
    >>> quoted_line_break(b'a,"b"\nc,"d\ne"', b","), quoted_line_break(b'5" x\n6" y\n', b",")
    (10, -1)
    """
    if QUOTE not in data:
        return -1
    inside = False
    for start, chunk, entered in _entered(data, separator, False):
        if chunk.quoted or inside:
            breaks = chunk.break_positions()
            within = breaks[entered.within(breaks)]
            if within.size:
                return int(within[0]) + start
        inside = entered.leaves
    return -1


def unclosed_quote(data: bytes, separator: Separator) -> int:
    r"""Find the quote that opens a field which is not closed in ``data``; -1: there is none.

    Examples
    --------
    >>> unclosed_quote(b'a,"b"\nc,"d\n', b","), unclosed_quote(b'a,"b""\n"\n', b",")
    (8, -1)
    """
    if QUOTE not in data:
        return -1
    inside, opened = False, -1
    for start, chunk, entered in _entered(data, separator, False):
        inside = entered.leaves
        if inside and chunk.opened >= 0:
            opened = chunk.opened + start
    return opened if inside else -1
