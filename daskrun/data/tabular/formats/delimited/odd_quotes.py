"""Quotes in delimited text that open and close no field: read as they are, and seldom meant so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from daskrun.data.libraries import np
from daskrun.data.tabular.formats.text.dialect import BACKSLASH, DOUBLE, Dialect
from daskrun.data.tabular.formats.text.grammar import Grammar
from daskrun.data.tabular.formats.text.scan import record_starts, records_only

_FIELDS = 5000
"""Fields of a sample whose quotes are looked at."""
_PART = 128 << 10
"""Bytes looked at together: with their flags they stay in the second-level cache."""


KINDS = 2
"""How many there are."""


class OddQuote(NamedTuple):
    """A kind of such quotes."""

    what: str
    """What is found."""
    shown: str
    """A field that has it."""
    how: str
    """How it is read, and what to write."""

    def is_told(self, warnings: Iterable[str]) -> bool:
        """Return whether one of the warnings is of this kind."""
        return any(text.startswith(self.what) for text in warnings)

    def __str__(self) -> str:
        return f"{self.what}, as in {self.shown!r}, {self.how}"


def odd_quotes(data: bytes, dialect: Dialect) -> list[OddQuote]:
    r"""Return what quotes in records (UTF-8) tell that is not what was said, each kind once.

    Examples
    --------
    >>> from daskrun.data.tabular.formats.text.dialect import Dialect
    >>> odd_quotes(b'"say \\"hi\\"",1\n', Dialect(",", "utf8"))[0].how.partition(". ")[2]
    "Where a backslash stands before quotes in a text write quoting='backslash'."
    """
    if b'"' not in data:
        return []
    lone, field = _patterns(dialect.separator)
    found = field.finditer(data)
    told: dict[str, OddQuote] = {}
    for each in found if lone.search(data) else islice(found, _FIELDS):
        shown = each[0].decode(errors="replace").strip("\r\n")[:60]
        if each[2] and dialect.quoting == DOUBLE:
            how = (
                "Where a backslash stands before quotes in a text write quoting='backslash'."
                if b"\\" in (each[1] or b"")[-1:]
                else "A quote in a quoted text must be doubled."
            )
            odd = OddQuote(
                "text stands behind a quote that closes its field",
                shown,
                f"and is read as it is. {how}",
            )
            told.setdefault(odd.what, odd)
        elif each[3] and not dialect.skip_initial_space:
            odd = OddQuote(
                "a quote behind a blank",
                shown,
                "opens no field, so it is read as it is. Where blanks before fields are none of "
                "them write skip_initial_space=True.",
            )
            told.setdefault(odd.what, odd)
    return list(told.values())


@lru_cache(maxsize=16)
def _patterns(separator: str) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Return what finds a quote inside a field, not doubled, and what finds fields."""
    end = re.escape(separator.encode())
    lone = re.compile(rb'[^\r\n"%s]"[^\r\n"%s]' % (end, end))
    field = re.compile(
        rb'(?:"((?:[^"]|"")*)"((?:(?!%s)[^\r\n])*)|( +"(?:(?!%s)[^\r\n])*)|(?:(?!%s)[^\r\n])*)'
        rb"(?:%s|\r\n|\r|\n|\Z)" % (end, end, end, end)
    )
    return lone, field


def records_in_doubt(data: bytes, dialect: Dialect) -> Iterator[tuple[int, bytes]]:
    r"""Yield the records of a piece that may have odd quotes, each with its position.

    Examples
    --------
    >>> from daskrun.data.tabular.formats.text.dialect import Dialect
    >>> list(records_in_doubt(b'"a",1\n5" x,2\n"b"c,3\n', Dialect(",", "utf8")))
    [(13, b'"b"c,3\n')]
    """
    if dialect.quoting == BACKSLASH or not (at := _lone_quotes(data, dialect)):
        return
    grammar = dialect.grammar
    starts = record_starts(data, grammar)
    ends = [*starts[1:].tolist(), len(data)]
    end = re.escape(dialect.separator.encode(dialect.codec))
    doubt = re.compile(rb'(?:^|%s)(?:"(?:[^"]|"")*"(?!%s)[^\r\n"]| +")' % (end, end))
    for number in np.unique(np.searchsorted(starts, at, "right") - 1).tolist():
        record = data[starts[number] : ends[number]]
        if isinstance(grammar, Grammar):
            record = records_only(record, grammar)
        if doubt.search(record):
            yield int(starts[number]), record.decode(dialect.codec, "replace").encode()


def _lone_quotes(data: bytes, dialect: Dialect) -> list[int]:
    """Return the positions of quotes beside which neither a quote nor an end of a field stands."""
    codes, found = np.frombuffer(data, np.uint8), list[int]()
    separator = dialect.separator.encode(dialect.codec)
    returns = b"\r" in data
    for at in range(0, len(data), _PART):
        part = codes[at : at + _PART + 2]
        quotes = part == b'"'[0]
        ends = quotes | (part == b"\n"[0])
        for code in {separator[0], separator[-1], *(b"\r" if returns else b"")}:
            ends |= part == code
        lone = quotes[1:-1] > (ends[:-2] | ends[2:])
        if lone.any():
            found += (np.flatnonzero(lone) + at + 1).tolist()
    return found
