"""How delimited files are written, as users say it, and what of that travels to their readers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from daskrun.core.typing import override
from daskrun.data.libraries import pa, pc
from daskrun.data.tabular.formats.text.dialect import BACKSLASH, DOUBLE, Dialect, check_separator
from daskrun.data.tabular.formats.text.text_reader import TextSpec
from daskrun.data.tabular.values.coercion import listed
from daskrun.data.tabular.values.convert import NULLS, NUMBER
from daskrun.errors import DatasetError

FIRST, NONE, SAME, COMBINE = (
    "ONLY_FIRST_FILE_HAS_HEADERS",
    "NO_HEADERS",
    "ALL_FILES_HAVE_SAME_HEADERS",
    "COMBINE_ALL_FILES_HEADERS",
)
HEADERS = (SAME, NONE, FIRST, COMBINE)
UNNAMED = "\0"
"""Stands for the name of the field behind the last separator, where rows have one more."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DelimitedOptions:
    """How files are written; see ``Dataset.Tabular.from_delimited_files``."""

    separator: str = ","
    """Any one character but a quote or line end."""
    quoting: str = DOUBLE
    """How a quote is written in a quoted field: ``double``, or ``backslash`` before it."""
    skip_initial_space: bool = False
    """True: blanks before fields are none of them."""
    comment: str | None = None
    """What lines begin with that are no records."""
    skip_rows: int = 0
    """Lines at each file's start that are none of the table."""
    decimal: str = "."
    thousands: str | None = None
    """Characters in numbers."""
    null_values: Sequence[str] = ()
    """Texts that are missing values, in all columns."""

    def dialect_in(self, encoding: str) -> Dialect:
        """Return how records are written."""
        return Dialect(
            self.separator,
            encoding,
            quoting=self.quoting,
            skip_initial_space=self.skip_initial_space,
            comment=self.comment or "",
            skip_rows=self.skip_rows,
        )

    @property
    def values(self) -> Written:
        """How values are written."""
        return Written(self.decimal, self.thousands or "", tuple(self.null_values))

    def check_in(self, encoding: str) -> None:
        """Check that options can be what they are, and beside each other; else DatasetError."""
        check_separator(self.separator, encoding)
        for wrong in _wrong(self):
            raise DatasetError(wrong)


def _wrong(given: DelimitedOptions) -> Iterator[str]:
    separator, comment = given.separator, given.comment
    if given.quoting not in (DOUBLE, BACKSLASH):
        yield (
            f"quoting={given.quoting!r} is not known. Write 'double' where a quote in a quoted "
            "field is written twice, or 'backslash' where a backslash is before it."
        )
    if given.quoting == BACKSLASH and separator == "\\":
        yield "separator='\\\\' can't be beside quoting='backslash'. Leave one of them out."
    if given.skip_initial_space not in (True, False):
        yield f"skip_initial_space={given.skip_initial_space!r}: write True or False."
    if given.skip_initial_space and separator == " ":
        yield "separator=' ' can't be beside skip_initial_space=True. Leave one of them out."
    if comment is not None and (
        not isinstance(comment, str) or not comment or set(comment) & {'"', "\r", "\n", separator}
    ):
        yield (
            f"comment={comment!r} can't be what lines that are no records begin with: no quote, "
            "line end or separator is. Write a text such as comment='#'."
        )
    rows = given.skip_rows
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 0:
        yield f"skip_rows={rows!r} is no number of lines. Write an int from 0."
    for name, mark in (("decimal", given.decimal), ("thousands", given.thousands)):
        one = isinstance(mark, str) and re.fullmatch(r"[^0-9eE+\-\"\r\n]", mark)
        if not one and not (name == "thousands" and mark is None):
            yield f"{name}={mark!r} is no character that numbers have. Write one such as ','."
    if given.decimal == given.thousands:
        yield f"decimal={given.decimal!r} and thousands= are the same character. Give two."
    words = given.null_values
    if isinstance(words, str) or not all(isinstance(word, str) for word in words):
        yield f"null_values={words!r} is no list of texts. Write one such as null_values=['-']."


@dataclass(frozen=True, slots=True)
class Written:
    """What values look like in the files, where it isn't the usual.

    Examples
    --------
    >>> import pyarrow as pa
    >>> german = Written(decimal=",", thousands=".")
    >>> german.numbers(pa.chunked_array([["1.234,5", "-2,5", "7"]])).to_pylist()
    ['1234.5', '-2.5', '7']
    >>> german.is_number(pa.chunked_array([["1.234", "1.5", "x", "NA"]])).to_pylist()
    [True, False, False, True]
    """

    decimal: str = "."
    thousands: str = ""
    null_values: tuple[str, ...] = ()
    """Words for what is missing, in all columns, beside those that always are."""

    @property
    def usual(self) -> bool:
        """Whether all is written as elsewhere."""
        return self == Written()

    @property
    def shown(self) -> str:
        """How numbers are written, for messages."""
        thousands = f" and thousands={self.thousands!r}" if self.thousands else ""
        return f"decimal={self.decimal!r}{thousands}"

    def is_number(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return which texts are numbers so written, or stand for what is missing."""
        values = pc.utf8_trim_whitespace(column)
        missing = pc.is_in(values, value_set=pa.array(NULLS, pa.string()))
        return pc.or_(missing, pc.match_substring_regex(values, _pattern(self)))

    def numbers(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the texts of numbers so written as they are written elsewhere."""
        values = pc.utf8_trim_whitespace(column)
        if self.thousands:
            values = pc.replace_substring(values, self.thousands, "")
        return pc.replace_substring(values, self.decimal, ".") if self.decimal != "." else values

    def as_usual(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return a sample's column as if it were written as elsewhere; ``""`` is what is missing.

        What would be a number elsewhere, and is none here, is no number then either.
        """
        if self.usual:
            return column
        column = pc.fill_null(self.without_words(column), "")
        if self.decimal == "." and not self.thousands:
            return column
        number = pc.match_substring_regex(pc.utf8_trim_whitespace(column), NUMBER)
        other = pc.if_else(number, pc.binary_join_element_wise(column, pa.scalar(""), "?"), column)
        return pc.if_else(self.is_number(column), self.numbers(column), other)

    def without_words(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return a column of text with ``null_values`` missing."""
        if not self.null_values:
            return column
        words = pc.is_in(column, value_set=pa.array(self.null_values, pa.string()))
        return pc.if_else(words, pa.scalar(None, pa.string()), column)


@lru_cache(maxsize=64)
def _pattern(written: Written) -> str:
    decimal, thousands = re.escape(written.decimal), re.escape(written.thousands)
    whole = "[0-9]+"
    if thousands:
        whole = f"([0-9]{{1,3}}({thousands}[0-9]{{3}})+|[0-9]+)"
    exponent = "([eE][+-]?[0-9]+)?"
    return f"^[+-]?({whole}({decimal}[0-9]*)?|{decimal}[0-9]+){exponent}$|^[+-]?(?i:inf|infinity)$"


@dataclass(frozen=True, kw_only=True)
class DelimitedSpec(DelimitedOptions, TextSpec):
    """The schema and dialect of delimited files."""

    format = "delimited"

    separator: str = field()  # has no default here: it is always part of the plain form
    names: tuple[str, ...]
    """Columns of the first file."""
    header: str
    """One of :data:`HEADERS`."""
    first: str
    """Name of the first file."""
    blanks: bool = False
    """Whether there are lines of blanks alone between records."""
    trailing: bool = False
    """Whether each record ends with one separator more than the header: a field without a name."""
    empty_as_string: bool
    multi_line: bool
    """Whether quoted fields may have line breaks."""

    @property
    @override
    def dialect(self) -> Dialect:
        dialect = self.dialect_in(self.encoding)
        return replace(dialect, blanks=self.blanks, max_unpacked=self.max_unpacked)

    @override
    def has_header(self, name: str) -> bool:
        return has_header(self.header, name, self.first)


def header_trouble(names: Collection[str], known: Collection[str], *, same: bool) -> str:
    """Return what is wrong with a file's header beside the known columns; ``""``: nothing.

    ``same``: it must have all of them.
    """
    given, others = frozenset(names), frozenset(known)
    lacks = [name for name in known if name not in given] if same else []
    has = [name for name in names if name not in others]
    told = [f"lacks {listed(lacks)}"] if lacks else []
    told += [f"has {listed(has)}, which others don't have"] if has else []
    return f"its header {' and '.join(told)}" if told else ""


SAME_FIX = (
    "Write header='COMBINE_ALL_FILES_HEADERS' to have the columns of all files, or header=False "
    "where files have no header."
)


def has_header(mode: str, name: str, first: str) -> bool:
    """Return whether a file's first record is a header, not data."""
    return mode in (SAME, COMBINE) or (mode == FIRST and name == first)
