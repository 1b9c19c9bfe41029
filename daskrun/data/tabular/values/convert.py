"""From columns of text to typed ones, slowly and forgivingly, and naming the value that won't fit.

pyarrow.csv converts while it parses. What it refuses comes here, column by column: spaces around
values, a leading plus, whole numbers that meet missing or decimal ones, dates in other formats than
ISO. Schema inference asks the same functions whether a type fits a sample, so that what was
inferred is what can be read.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from daskrun.data.tabular.values.coercion import Change, CoercionError, Fitted, Reason
from daskrun.data.tabular.values.types import arrow_type, datetime_formats

if TYPE_CHECKING:
    import pyarrow as pa

NULLS = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("N/A", "NA", "NULL", "NaN", "n/a", "nan", "null"),
)
"""What is a missing value in columns that aren't text: pyarrow.csv's own list."""

TRUE, FALSE = ("1", "True", "TRUE", "true"), ("0", "False", "FALSE", "false")
"""pyarrow.csv's own spellings, which hold all of pandas'."""

_WHOLE = r"^[+-]?[0-9]+$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?(?i:inf|infinity)$"


def convert(column: pa.ChunkedArray, type_text: str, *, empty_as_string: bool = False) -> Fitted:
    """Convert a column of text, in which nothing is missing yet.

    Raises
    ------
    CoercionError
        The first value that can't be converted.
    """
    import pyarrow.compute as pc

    if type_text == "text":
        if empty_as_string:
            return Fitted(column)
        return Fitted(pc.if_else(pc.equal(column, ""), None, column))
    values = pc.utf8_trim_whitespace(column)
    values = pc.if_else(pc.is_in(values, value_set=_array(NULLS)), None, values)
    if type_text in ("int", "int_as_float"):
        return _whole_numbers(column, values, type_text)
    return _others(column, values, type_text)


def _whole_numbers(column: pa.ChunkedArray, values: pa.ChunkedArray, type_text: str) -> Fitted:
    """Return int64; float64 where values are missing or decimal, if each is what it was."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = pc.all(pc.match_substring_regex(values, _WHOLE), min_count=0).as_py()
    if whole:
        try:
            numbers = pc.replace_substring_regex(values, r"^\+", "").cast(pa.int64())
        except pa.ArrowInvalid:
            pass  # beyond int64: as any number that float64 might hold
        else:
            if type_text == "int" and not numbers.null_count:
                return Fitted(numbers)
    floats = _others(column, values, "float").values
    _check_whole(column, values)
    if not whole:
        return Fitted(floats, Change.DECIMAL)
    missing = type_text == "int" and values.null_count
    return Fitted(floats, Change.MISSING if missing else None)


def _check_whole(column: pa.ChunkedArray, values: pa.ChunkedArray) -> None:
    """Find whole numbers that float64 would round; only those of 16 digits and more can be."""
    import pyarrow.compute as pc

    long = pc.match_substring_regex(values, r"^[+-]?[0-9]{16,}$")
    for row in pc.indices_nonzero(pc.fill_null(long, False)).to_pylist():
        text = values[row].as_py()
        if int(float(text)) != int(text):
            why = "is a whole number that float64, which the column is here, can't hold"
            raise CoercionError(row, column[row].as_py(), Reason.INEXACT, why)


def _others(column: pa.ChunkedArray, values: pa.ChunkedArray, type_text: str) -> Fitted:
    import pyarrow as pa

    try:
        found = _try(values, type_text)
    except (pa.ArrowInvalid, ValueError):
        row = _first_bad(values, type_text)
        raise CoercionError(row, column[row].as_py(), Reason.OTHER_TYPE, _why(type_text)) from None
    return Fitted(found, Change.MISSING if type_text == "bool" and found.null_count else None)


def _first_bad(values: pa.ChunkedArray, type_text: str) -> int:
    """Find the first value that can't be converted: halve what is known to hold it."""
    import pyarrow as pa

    good, bad = 0, len(values)  # values[:good] convert, values[:bad] don't
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            _try(values.slice(good, middle - good), type_text)
            good = middle
        except (pa.ArrowInvalid, ValueError):
            bad = middle
    return good


def _try(values: pa.ChunkedArray, type_text: str) -> pa.ChunkedArray:
    """Convert, or raise ``ArrowInvalid`` or ``ValueError``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    arrow = arrow_type(type_text)
    if type_text == "float":
        if not pc.all(pc.match_substring_regex(values, _NUMBER), min_count=0).as_py():
            raise ValueError("no number")  # the cast takes more than pandas does
        return pc.replace_substring_regex(values, r"^\+", "").cast(arrow)
    if type_text in ("bool", "boolean"):
        true = pc.is_in(values, value_set=_array(TRUE))
        false = pc.is_in(values, value_set=_array(FALSE))
        known = pc.or_(pc.or_(true, false), pc.is_null(values))
        if not pc.all(known, min_count=0).as_py():
            raise ValueError("no bool")
        return pc.if_else(pc.is_null(values), None, true)
    formats = datetime_formats(type_text)
    if formats:
        return _dates(values, formats)
    try:
        return values.cast(arrow)
    except pa.ArrowInvalid:  # nine digits of a second, of which the last three may be zeros
        if not type_text.startswith("datetime"):
            raise
        return values.cast(pa.timestamp("ns", arrow.tz)).cast(arrow)


def _dates(values: pa.ChunkedArray, formats: list[str]) -> pa.ChunkedArray:
    """Parse dates with pandas: pyarrow's strptime makes 2 March of 31 February."""
    import pandas as pd
    import pyarrow as pa

    utc = "%z" in formats[0]
    left = pd.Series(values.to_pylist(), dtype="object")
    found: Any = None
    for number, format_ in enumerate(formats, 1):
        errors: Any = "raise" if number == len(formats) else "coerce"
        parsed = pd.to_datetime(left, format=format_, exact=True, errors=errors, utc=utc)
        found = parsed if found is None else found.where(found.notna(), parsed)
        left = left.where(found.isna(), None)
    arrow = pa.timestamp("us", "UTC" if utc else None)
    made = pa.Array.from_pandas(found).cast(arrow)
    return pa.chunked_array([made], arrow)


def _why(type_text: str) -> str:
    if type_text == "float":
        return "is no number"
    if type_text in ("bool", "boolean"):
        return "is neither true nor false"
    formats = datetime_formats(type_text)
    if formats:
        return f"is no date written as {' or '.join(map(repr, formats))}"
    zone = "with a zone offset" if type_text.endswith("utc") else "without a zone offset"
    return f"is no date and time {zone} such as '2024-05-31 17:30:00'"


@lru_cache(maxsize=8)
def _array(values: tuple[str, ...]) -> pa.Array:
    import pyarrow as pa

    return pa.array(values, pa.string())


def first_change(column: pa.ChunkedArray, change: Change) -> int:
    """Find the first value of a column of text that :attr:`Fitted.change` is about."""
    import pyarrow.compute as pc

    values = pc.utf8_trim_whitespace(column)
    missing = pc.is_in(values, value_set=_array(NULLS))
    if change is Change.MISSING:
        return int(pc.index(missing, True).as_py())
    plain = pc.or_(missing, pc.match_substring_regex(values, _WHOLE))
    return int(pc.index(plain, False).as_py())
