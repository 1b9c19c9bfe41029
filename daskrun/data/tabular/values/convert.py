"""Reading text: numbers, truth values, dates as they are written.

pyarrow.csv converts while it parses. What it refuses comes here, column by column: spaces around
values, a leading plus, dates in other formats than ISO. All raise ``ValueError`` (``ArrowInvalid``
is one) for a column that has any value that can't be read;
:mod:`daskrun.data.tabular.values.law` finds out which.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any

from daskrun.data.libraries import pa, pc, pd
from daskrun.data.tabular.values.types import datetime_formats

NULLS = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("N/A", "NA", "NULL", "NaN", "n/a", "nan", "null"),
)
"""What is a missing value in columns that aren't text: pyarrow.csv's own list."""

TRUE, FALSE = ("True", "TRUE", "true"), ("False", "FALSE", "false")
"""Words that are truth values; with 1 and 0 pyarrow.csv's own, which hold all of pandas'."""

EXACT = 2**53
"""The largest distance from 0 up to which float64 holds every whole number."""

WHOLE = r"^[+-]?[0-9]+$"
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?(?i:inf|infinity)$"


def present(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts without blanks around them, and none where one of :data:`NULLS` is written."""
    values = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.is_in(values, value_set=_array(NULLS)), None, values)


def whole_numbers(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Read int64; ``2.0`` is one too, as far as float64 holds all whole numbers."""
    written = pc.match_substring_regex(values, WHOLE)
    if pc.all(written, min_count=0).as_py():
        return without_plus(values).cast(pa.int64())
    others = _floats(pc.if_else(written, None, values))
    if not pc.all(pc.less(pc.abs(others), EXACT), min_count=0).as_py():
        raise ValueError("beyond the whole numbers that float64 holds")
    plain = whole_numbers(pc.if_else(written, values, None))
    return pc.coalesce(plain, others.cast(pa.int64()))


def without_plus(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return numbers without the plus before them, which Arrow doesn't take."""
    if not pc.any(pc.starts_with(values, "+")).as_py():
        return values
    return pc.replace_substring_regex(values, r"^\+", "")


def floats(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Read float64; a whole number only as far as float64 holds it."""
    found = _floats(values)
    check_exact(values, found)
    return found


def check_exact(values: pa.ChunkedArray, found: pa.ChunkedArray) -> None:
    """Raise InexactError where float64 can't hold what is written."""
    large = pc.greater_equal(pc.abs(found), EXACT)
    if pc.any(large).as_py():  # as few are, only these are looked at as they are written
        for number, text in zip(found.filter(large), values.filter(large), strict=True):
            if re.match(WHOLE, text.as_py()) and number.as_py() != int(text.as_py()):
                raise InexactError("a whole number that float64 can't hold")
            if math.isinf(number.as_py()) and re.search("[0-9]", text.as_py()):
                raise InexactError("a number beyond float64")


class InexactError(ValueError):
    """A value that its type would change."""


def _floats(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pc.all(pc.match_substring_regex(values, NUMBER), min_count=0).as_py():
        raise ValueError("no number")  # the cast takes more than pandas does
    return without_plus(values).cast(pa.float64())


def truth_values(values: pa.ChunkedArray, digits: bool) -> pa.ChunkedArray:
    """Read :data:`TRUE` and :data:`FALSE`; ``digits``: also 1 and 0."""
    true = pc.is_in(values, value_set=_array((*TRUE, "1") if digits else TRUE))
    false = pc.is_in(values, value_set=_array((*FALSE, "0") if digits else FALSE))
    if not pc.all(pc.or_(pc.or_(true, false), pc.is_null(values)), min_count=0).as_py():
        raise ValueError("no bool")
    return pc.if_else(pc.is_null(values), None, true)


def dates(values: pa.ChunkedArray, type_text: str, target: pa.DataType) -> pa.ChunkedArray:
    """Read dates and times, in the formats of a type or as ISO 8601 has them."""
    if formats := datetime_formats(type_text):
        return _formatted(values, formats, target)
    try:
        return values.cast(target)
    except pa.ArrowInvalid:  # nine digits of a second, of which the last three may be zeros
        if target.unit == "ns":
            raise
        return values.cast(pa.timestamp("ns", target.tz)).cast(target)


def _formatted(values: pa.ChunkedArray, formats: list[str], target: pa.DataType) -> pa.ChunkedArray:
    """Parse dates with pandas: pyarrow's strptime makes 2 March of 31 February."""
    utc = target.tz is not None
    left = pd.Series(values.to_pylist(), dtype="object")
    found: Any = None
    for number, format_ in enumerate(formats, 1):
        errors: Any = "raise" if number == len(formats) else "coerce"
        parsed = pd.to_datetime(left, format=format_, exact=True, errors=errors, utc=utc)
        found = parsed if found is None else found.where(found.notna(), parsed)
        left = left.where(found.isna(), None)
    made = pa.Array.from_pandas(found).cast(target)
    return pa.chunked_array([made], target)


@lru_cache(maxsize=8)
def _array(values: tuple[str, ...]) -> pa.Array:
    return pa.array(values, pa.string())
