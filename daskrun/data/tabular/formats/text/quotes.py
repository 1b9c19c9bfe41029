"""What the quotes of a stretch of a delimited file mean, in numpy.

Only *runs* of adjacent quotes can change the state, and only runs of odd length do (an even one
opens and closes, or is all doubled quotes, or plain text). With ``s`` true inside a quoted field::

    the odd run stands at a field's start:      s becomes not s     (it opens, or it closes)
    it stands elsewhere:                        s becomes false     (it closes, or is plain text)

So parity is right up to the first run elsewhere that finds the state outside. Whether there is one
is seen without a loop: a quote that parity has open a field, though it neither stands at a field's
start nor follows a quote. Chunks without are worked out in bits, 64 bytes at a time; the others
run by run, exactly. Both are done for the states in which a chunk may be entered; they soon agree.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]
    Words = NDArray[np.uint64]
    Positions = NDArray[np.int64]

CHUNK = 3 << 17
"""Bytes that are looked at together: their masks stay in the second-level cache, and numpy's own
cost per call is small beside them. Of 128 KiB to 1 MiB the fastest with few and with many quotes,
by up to a tenth."""

QUOTE = b'"'
LF, _CR = 10, b"\r"
_WORD, _SIGNED = np.dtype("<u8"), np.dtype("<i8")
_ONE, _TOP, _SIGN = np.uint64(1), np.uint64(63), np.int64(63)


def chunks(data: bytes, separator: bytes) -> Iterator[Chunk]:
    """Cut a block so that no run of quotes is in two chunks."""
    view = np.frombuffer(data, np.uint8)
    scratch = Scratch(min(CHUNK, len(data)))
    start = 0
    while start < len(data):
        stop = min(start + CHUNK, len(data))
        while data[stop : stop + 1] == QUOTE:
            ahead = data[stop : stop + CHUNK]
            stop += len(ahead) - len(ahead.lstrip(QUOTE))
        if stop - start > scratch.size:
            scratch = Scratch(stop - start)
        yield Chunk(data, view[start:stop], start, separator, scratch)
        start = stop


class Scratch:
    """Memory for the masks of one chunk after the other.

    New masks of this size come from the system and go back to it at once: their page faults took
    a third of the scan's time where there are quotes, and five times that of plain lines.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._flags = np.empty(size, np.bool_)
        self._words: dict[str, Words] = {}

    def flags(self, size: int) -> Flags:
        """Return a flag for each byte, until the next are asked for."""
        return self._flags[:size]

    def words(self, name: str, size: int) -> Words:
        """Return a bit for each byte, until the next of that name are asked for."""
        if name not in self._words:
            self._words[name] = np.empty(-(-self.size // 64), _WORD)
        return self._words[name][: -(-size // 64)]

    def packed(self, name: str, flags: Flags) -> Words:
        """Pack to bits, the first byte's lowest; what is missing in the last word is 0."""
        words = self.words(name, flags.size)
        octets = words.view(np.uint8)
        packed = np.packbits(flags, bitorder="little")
        octets[: packed.size] = packed
        octets[packed.size :] = 0
        return words


class Chunk:
    """A stretch of a block; no run of quotes crosses its ends. Positions are the block's.

    What is needed is worked out when it is asked for, and once; so it must be asked before the next
    chunk is looked at, which uses the same ``scratch``.
    """

    def __init__(
        self, data: bytes, view: NDArray[np.uint8], start: int, separator: bytes, scratch: Scratch
    ) -> None:
        self._data, self._view, self._separator = data, view, separator
        self.scratch = scratch
        self.start, self.stop = start, start + view.size
        self.quoted = bool(separator) and data.find(QUOTE, start, self.stop) >= 0
        self._entered: dict[bool, Entered] = {}

    def entered(self, inside: bool) -> Entered:
        """Return what it is when it is entered in this state."""
        if inside not in self._entered:
            self._entered[inside] = Entered(self, inside)
        return self._entered[inside]

    def break_positions(self) -> Positions:
        """Find all bytes of line breaks."""
        return _positions(self.breaks) + self.start

    @cached_property
    def opened(self) -> int:
        """The quote that opens the field it ends in, if it ends in one; -1: opened before it."""
        at = self._data.rfind(QUOTE, self.start, self.stop)
        if at < 0:
            return -1
        if at == self.start or self._data[at - 1] != QUOTE[0]:
            return at
        runs = _odd_runs(self._view)
        return self.start + int(runs[-1]) if runs.size else -1

    @cached_property
    def breaks(self) -> Words:
        """Bytes of line breaks."""
        breaks = self._mask("breaks", LF)
        if self._data.find(_CR, self.start, self.stop) >= 0:
            breaks |= self._mask("returns", _CR[0])
        return breaks

    @cached_property
    def marks(self) -> Words:
        """Bytes that are no line break after one that is: record starts, if outside quotes."""
        marks = shifted(self.breaks, self._after_break, self._words("marks"))
        _without(marks, self.breaks, self._words("moved"), marks)
        if self._view.size % 64:  # no byte is where the last word goes on
            marks[-1] &= np.uint64((1 << self._view.size % 64) - 1)
        return marks

    @cached_property
    def quotes(self) -> Words:
        """All quotes."""
        return self._mask("quotes", QUOTE[0])

    @cached_property
    def elsewhere(self) -> Words:
        """Quotes that neither stand at a field's start nor follow another."""
        return _without(self.quotes, self._starts, self._words("moved"), self._words("elsewhere"))

    @cached_property
    def parity(self) -> Words:
        """For each byte whether the number of quotes up to it is odd."""
        return _parity(self.quotes, self._words("moved"), self._words("parity"))

    @cached_property
    def runs(self) -> tuple[Positions, Flags]:
        """Odd runs of quotes, and which of them stand at a field's start."""
        runs = _odd_runs(self._view)
        starts = self._starts[runs >> 6] >> (runs & 63).astype(_WORD) & np.uint64(1)
        return runs + self.start, starts.astype(np.bool_)

    @property
    def _after_break(self) -> bool:
        """Whether a line break comes before it; one comes before each block."""
        return self.start == 0 or self._data[self.start - 1] in (LF, _CR[0])

    @cached_property
    def _starts(self) -> Words:
        """Bytes right after a separator, a line break or a quote."""
        text = self._separator
        ends = self._mask("ends", text[0]) if len(text) == 1 else self._text_ends(text)
        ends |= self.breaks
        ends |= self.quotes
        before = self._data[max(self.start - len(text), 0) : self.start]  # no quote's is its last
        return shifted(ends, self._after_break or before == text, self._words("starts"))

    def _mask(self, name: str, byte: int) -> Words:
        flags = self.scratch.flags(self._view.size)
        return self.scratch.packed(name, np.equal(self._view, byte, out=flags))

    def _words(self, name: str) -> Words:
        return self.scratch.words(name, self._view.size)

    def _text_ends(self, text: bytes) -> Words:
        """Mark the last bytes of where this text is, also if it begins before the chunk."""
        found = self.scratch.flags(self._view.size)
        found[:] = False
        at = self._data.find(text, max(self.start - len(text) + 1, 0), self.stop)
        while at >= 0:
            found[at + len(text) - 1 - self.start] = True
            at = self._data.find(text, at + len(text), self.stop)
        return self.scratch.packed("ends", found)


class Entered:
    """A chunk entered in one of the two states."""

    def __init__(self, chunk: Chunk, inside: bool) -> None:
        self._chunk, self._inside = chunk, inside
        self._found: dict[int, tuple[int, int]] = {}

    @cached_property
    def leaves(self) -> bool:
        """The state at its end."""
        if not self._chunk.quoted:
            return self._inside
        if self._parity is not None:
            return bool(self._parity[-1] >> _TOP)
        return bool(self._states[-1])

    @cached_property
    def starts(self) -> Positions:
        """Where records begin."""
        return _positions(self._marks) + self._chunk.start

    @cached_property
    def rows(self) -> int:
        """How many begin."""
        return int(np.bitwise_count(self._marks).sum())

    @property
    def first(self) -> int:
        """Where the first begins; there is one."""
        at = int(self._marks.astype(np.bool_).argmax())
        word = int(self._marks[at])
        return self._chunk.start + 64 * at + (word & -word).bit_length() - 1

    @cached_property
    def last(self) -> int:
        """Where the last begins; there is one."""
        at = self._marks.size - 1 - int(self._marks[::-1].astype(np.bool_).argmax())
        return self._chunk.start + 64 * at + int(self._marks[at]).bit_length() - 1

    def find(self, position: int) -> tuple[int, int]:
        """Find the first start at or after a position, -1: none; and how many begin before it."""
        if position not in self._found:  # both scans ask, once they agree about the state
            self._found[position] = self._find(position)
        return self._found[position]

    def _find(self, position: int) -> tuple[int, int]:
        marks = self._marks
        at, bit = divmod(position - self._chunk.start, 64)
        word = int(marks[at]) >> bit << bit
        if not word:
            later = marks[at + 1 :].astype(np.bool_)
            at += 1 + int(later.argmax()) if later.any() else marks.size
            if at >= marks.size:
                return -1, self.rows
            word = int(marks[at])
        bit = (word & -word).bit_length() - 1
        before = int(np.bitwise_count(marks[:at]).sum())
        before += (int(marks[at]) & ((1 << bit) - 1)).bit_count()
        return self._chunk.start + 64 * at + bit, before

    def within(self, positions: Positions) -> Flags:
        """Say for positions right after or on a line break whether they are in a quoted field."""
        if not self._chunk.quoted:
            return np.full(positions.size, self._inside)
        at: Flags = self._states[np.searchsorted(self._chunk.runs[0], positions)]
        return at

    @cached_property
    def _marks(self) -> Words:
        chunk = self._chunk
        if not chunk.quoted:
            return np.zeros(0, _WORD) if self._inside else chunk.marks
        if self._parity is not None:
            marks = self._words("marks")
            # What holds before each byte: a record may begin with a quote.
            np.bitwise_xor(self._parity, chunk.quotes, out=marks)
            return _without(chunk.marks, marks, marks, marks)
        starts = _positions(chunk.marks) + chunk.start
        flags = chunk.scratch.flags(chunk.stop - chunk.start)
        flags[:] = False
        flags[starts[~self.within(starts)] - chunk.start] = True
        return chunk.scratch.packed(f"marks {self._inside}", flags)

    @cached_property
    def _parity(self) -> Words | None:
        """For each byte the state after it; None where parity is not the state."""
        chunk = self._chunk
        states = chunk.parity
        if self._inside:
            states = np.invert(chunk.parity, out=self._words("parity"))
        stray = np.bitwise_and(chunk.elsewhere, states, out=self._words("marks"))
        return None if stray.any() else states

    def _words(self, name: str) -> Words:
        chunk = self._chunk
        return chunk.scratch.words(f"{name} {self._inside}", chunk.stop - chunk.start)

    @cached_property
    def _states(self) -> Flags:
        """The entry state, then that after each odd run.

        A run's is whether the number of those at a field's start, since the last one elsewhere, is
        odd; before the first one elsewhere the entry state counts as one of them.
        """
        opening = self._chunk.runs[1]
        number = np.arange(opening.size)
        before = -2 if self._inside else -1
        origin = np.maximum.accumulate(np.where(opening, before, number))
        states: Flags = opening & ((number - origin) & 1 == 1)
        return np.concatenate([np.array([self._inside]), states])


def _positions(words: Words) -> Positions:
    return np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little").view(np.bool_))


def shifted(words: Words, first: bool, out: Words) -> Words:
    """Move each bit to the next byte's; ``first``: what becomes the first byte's."""
    np.left_shift(words, _ONE, out=out)
    out[1:] |= words[:-1] >> _TOP
    out[0] |= np.uint64(first)
    return out


def _without(words: Words, others: Words, moved: Words, out: Words) -> Words:
    """Return the bits that the others do not have; ``moved`` may be the others, ``out`` either."""
    np.invert(others, out=moved)
    return np.bitwise_and(words, moved, out=out)


def _parity(words: Words, moved: Words, out: Words) -> Words:
    """Say for each bit whether the number of bits up to and with it is odd."""
    np.left_shift(words, _ONE, out=out)
    out ^= words
    for places in (2, 4, 8, 16, 32):
        np.left_shift(out, np.uint64(places), out=moved)
        out ^= moved
    before = np.bitwise_xor.accumulate(out[:-1], out=moved[1:])
    # All bits of a word whose predecessors have an odd number: their last bits tell.
    signs = before.view(_SIGNED)
    np.right_shift(signs, _SIGN, out=signs)
    out[1:] ^= before
    return out


def _odd_runs(view: NDArray[np.uint8]) -> Positions:
    marks = view == QUOTE[0]
    quotes = np.flatnonzero(marks)
    if not (marks[1:] & marks[:-1]).any():
        return quotes
    first = np.flatnonzero(np.concatenate([np.array([True]), np.diff(quotes) != 1]))
    lengths = np.diff(first, append=quotes.size)
    odd: Positions = quotes[first[(lengths & 1) == 1]]
    return odd
