"""Other ways to write records than the usual one, and how they are looked at as if they weren't.

What an escape or leading blanks do to quotes and line breaks is told by the bytes beside them: they
are *masked*, byte for byte, by others that mean the same to the scan. Whether a line is passed over
(a comment, blanks alone) depends on the quotes before it: the scan asks, line by line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from daskrun.core.typing import override
from daskrun.data.tabular.formats.text.source import ByteSource

_PAIR = re.compile(rb"\\.", re.DOTALL)
_BACK = 64
"""Bytes that are read before a place, to see whether it is escaped."""


@dataclass(frozen=True, slots=True)
class Grammar:
    r"""How records are written, in a source's bytes.

    Examples
    --------
    >>> spaced = Grammar(b",", escape=True, space=True)
    >>> spaced.masked(b'a\\",  "b')
    b'a~~,"~~b'
    """

    separator: bytes
    escape: bool = False
    r"""A backslash takes from what follows what it means: ``\"``, ``\,``, also a line break."""
    space: bool = False
    """Blanks before a field are none of it: a quote behind them opens it."""
    comment: bytes = b""
    """What lines begin with that are no records."""
    blanks: bool = False
    """Lines of blanks alone are no records."""
    skip: int = 0
    """Lines at a file's start that are none of the table."""

    def masked(self, data: bytes) -> bytes:
        """Return as many bytes, with escaped ones and the blanks before quotes masked."""
        if self.escape and b"\\" in data:
            data = _PAIR.sub(_filler(self.separator) * 2, data)
        if self.space and b' "' in data:
            data = _before_quotes(self.separator).sub(self._moved, data)
        return data

    def _moved(self, found: re.Match[bytes]) -> bytes:
        # To the field's start: where a quote closes one instead, it does so as well there.
        return found[1] + found[3] + _filler(self.separator) * len(found[2])

    def parts(self, data: bytes) -> Iterator[tuple[int, int, bool]]:
        """Cut lines that are passed over out of data that begins with a line, if outside quotes.

        Yields start and end of a stretch, and whether it is such a line.
        """
        if not (self.comment or self.blanks):
            yield 0, len(data), False
            return
        at = 0
        for found in _passed(self.separator, self.comment, self.blanks).finditer(data):
            if found.start() and data[found.start() - 1] not in b"\r\n":
                continue  # cheaper than to have the pattern look back from each byte
            if found.start() > at:
                yield at, found.start(), False
            yield found.start(), found.end(), True
            at = found.end()
        if at < len(data):
            yield at, len(data), False

    def viewed(self, source: ByteSource) -> ByteSource:
        """Return a source whose line breaks all end lines: those that are escaped are masked."""
        return _Unescaped(source, self) if self.escape else source


Separator: TypeAlias = "bytes | Grammar"
"""The bytes of one character, for the usual way to write records; ``b""``: quotes mean nothing."""


def may_have_blank_lines(data: bytes) -> bool:
    """Return whether a line of data may be one of blanks alone: one begins with a blank."""
    marks = (b" ", b"\t", b"\x1a")
    return data.startswith(marks) or any(e + m in data for e in (b"\n", b"\r") for m in marks)


def blank_tail(data: bytes, separator: bytes) -> int:
    r"""Return where lines of blanks alone, or the mark of an end, begin that a file ends with.

    Examples
    --------
    >>> blank_tail(b"a,b\n1, \n  \n\x1a", b","), blank_tail(b"1\n2\x1a", b",")
    (8, 3)
    """
    blanks = bytes(set(b" \t") - set(separator)) + b"\r\n\x1a"
    end = len(data.rstrip(blanks))
    left = data[end:]
    ends = [at for at in (left.find(b"\n"), left.find(b"\r"), left.find(b"\x1a")) if at >= 0]
    if not end:
        return 0
    if not ends:
        return len(data)
    first = min(ends)
    if left[first] == 0x1A:
        return end + first
    return end + first + (2 if left[first : first + 2] == b"\r\n" else 1)


class _Unescaped(ByteSource):
    def __init__(self, source: ByteSource, grammar: Grammar) -> None:
        self.shown, self.size, self.near = source.shown, source.size, source.near
        self._source = source
        self._filler = _filler(grammar.separator)

    @override
    def read(self, start: int, stop: int) -> bytes:
        back = _BACK
        while True:
            begin = max(start - back, 0)
            data = self._source.read(begin, stop)
            before = data[: start - begin]
            plain = len(before.rstrip(b"\\"))
            if plain or not begin:  # behind a character that is no backslash, pairs are known
                masked = _PAIR.sub(self._filler * 2, data[plain:])
                return masked[len(before) - plain :]
            back *= 16

    @override
    def close(self) -> None:
        self._source.close()


@lru_cache(maxsize=64)
def _filler(separator: bytes) -> bytes:
    return next(each for each in (b"~", b"^", b"_") if each not in separator)


@lru_cache(maxsize=64)
def _before_quotes(separator: bytes) -> re.Pattern[bytes]:
    return re.compile(rb'(^|[\r\n]|%s)( +)("+)' % re.escape(separator))


@lru_cache(maxsize=64)
def _passed(separator: bytes, comment: bytes, blanks: bool) -> re.Pattern[bytes]:
    """Match a line that is passed over, with its end, if it begins where a line does."""
    empty = bytes(set(b" \t\x1a") - set(separator))
    kinds = [re.escape(comment) + rb"[^\r\n]*"] if comment else []
    kinds += [b"[" + re.escape(empty) + b"]+(?=[\r\n]|\\Z)"] if blanks else []
    return re.compile(rb"(?:%s)(?:\r\n|\r|\n|\Z)" % b"|".join(kinds))
