"""How a dataset's values are written: numbers with decimal commas, words for what is missing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from daskrun.data.tabular.values.convert import NULLS, NUMBER
from daskrun.data.tabular.values.infer import Inferred, infer

if TYPE_CHECKING:
    import pyarrow as pa


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
        import pyarrow as pa
        import pyarrow.compute as pc

        values = pc.utf8_trim_whitespace(column)
        missing = pc.is_in(values, value_set=pa.array(NULLS, pa.string()))
        return pc.or_(missing, pc.match_substring_regex(values, _pattern(self)))

    def numbers(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the texts of numbers so written as they are written elsewhere."""
        import pyarrow.compute as pc

        values = pc.utf8_trim_whitespace(column)
        if self.thousands:
            values = pc.replace_substring(values, self.thousands, "")
        return pc.replace_substring(values, self.decimal, ".") if self.decimal != "." else values

    def as_usual(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return a sample's column as if it were written as elsewhere; ``""`` is what is missing.

        What would be a number elsewhere, and is none here, is no number then either.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.usual:
            return column
        column = pc.fill_null(self.without_words(column), "")
        if self.decimal == "." and not self.thousands:
            return column
        number = pc.match_substring_regex(pc.utf8_trim_whitespace(column), NUMBER)
        other = pc.if_else(number, pc.binary_join_element_wise(column, pa.scalar(""), "?"), column)
        return pc.if_else(self.is_number(column), self.numbers(column), other)

    def inferred(self, name: str, column: pa.ChunkedArray, missing: bool) -> Inferred:
        """Infer the type of a sample's column."""
        return infer(name, self.as_usual(column), missing)

    def without_words(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return a column of text with ``null_values`` missing."""
        import pyarrow as pa
        import pyarrow.compute as pc

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
