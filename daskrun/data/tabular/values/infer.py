"""The type of a column from a sample of its values, as text.

Numbers, truth values and ISO dates are what they look like; a date in another format only where the
sample settles which part is the day. What can't be told for certain stays text: no value is lost
there.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from daskrun.data.tabular.values.coercion import CoercionError
from daskrun.data.tabular.values.convert import NULLS, convert
from daskrun.data.tabular.values.types import datetime_text

if TYPE_CHECKING:
    import pyarrow as pa

_WORDS = ("True", "TRUE", "true", "False", "FALSE", "false")
_EXACT = 2**53
"""The largest distance from 0 up to which float64 holds every whole number."""

_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?")
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_COMMAS = r"^[+-]?[0-9]{1,3}(\.?[0-9]{3})*,[0-9]+$"
_MOSTLY = 0.9
"""Share of the sample from which a column of text is one of numbers with a few other values."""
_ENOUGH = 10
"""Fewer values than these are no share to speak of."""
_SHOWN = 40
"""Characters of a value that a warning shows."""
_DATE = re.compile(r"(\d|[A-Za-z]{3,9} \d).{4,36}\d( ?[AaPp][Mm])?")
_DAYS = (
    *("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%m.%d.%Y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%Y/%m/%d", "%Y.%m.%d", "%d/%m/%y", "%m/%d/%y", "%y/%m/%d"),
    *("%d-%b-%Y", "%d %b %Y", "%d/%b/%Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y"),
)
"""Two-digit years only with slashes: ``3.11.13`` is a version."""
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")


class Inferred(NamedTuple):
    """What a sample says of a column."""

    type: str
    """As :mod:`daskrun.data.tabular.values.types` writes it."""
    warning: str = ""
    """What the user should know of it; names the column and what to write."""


def infer(name: str, column: pa.ChunkedArray, missing: bool = False) -> Inferred:
    """Infer the type of a column of text.

    Parameters
    ----------
    column
        Its values in the sample, with nothing missing: empty ones are ``""``.
    missing
        Whether values are known to be missing elsewhere, such as where a file lacks the column.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    values = pc.utf8_trim_whitespace(column)
    absent = pc.is_in(values, value_set=pa.array(NULLS, pa.string()))
    present = values.filter(pc.invert(absent))
    missing = missing or len(present) < len(column)
    if not len(present):
        return Inferred("text")  # pandas would say float64, and then meet text
    if _all(present, r"^[+-]?[0-9]+$"):
        return _whole(name, present, missing)
    if fits(column, "float"):
        return Inferred("float")
    if pc.all(pc.is_in(present, value_set=pa.array(_WORDS, pa.string()))).as_py():
        return Inferred("boolean" if missing else "bool")
    found = infer_dates(name, column, present[0].as_py())
    if found.type == "text" and not found.warning:
        return Inferred("text", _almost_numbers(name, present))
    return found


def infer_dates(name: str, column: pa.ChunkedArray, first: str) -> Inferred:
    """Infer whether a column of text is dates; ``first`` is a value that isn't missing."""
    if _ISO.fullmatch(first):
        return _iso(column)
    if _DATE.fullmatch(first):
        return _dates(name, column, first)
    return Inferred("text")


def settle(type_text: str, column: pa.ChunkedArray, missing: bool = False) -> str:
    """Return the type of a column for which ``set_column_types`` has this one, in view of a sample.

    Where the sample has missing values the dtype that holds them is the column's in every
    mini-batch; ISO dates have a zone offset where all those of the sample have one.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    values = pc.utf8_trim_whitespace(column)
    missing = missing or bool(
        pc.any(pc.is_in(values, value_set=pa.array(NULLS, pa.string())), min_count=0).as_py()
    )
    if missing and type_text in ("int", "bool"):
        return {"int": "int_as_float", "bool": "boolean"}[type_text]
    if type_text == "datetime" and not fits(column, "datetime"):
        return "datetime_utc" if fits(column, "datetime_utc") else type_text
    return type_text


def fits(column: pa.ChunkedArray, type_text: str) -> bool:
    """Return whether all values of a column of text can be read as a type."""
    try:
        convert(column, type_text)
    except CoercionError:
        return False
    return True


def _all(values: pa.ChunkedArray, pattern: str) -> bool:
    import pyarrow.compute as pc

    return bool(pc.all(pc.match_substring_regex(values, pattern), min_count=0).as_py())


def _almost_numbers(name: str, present: pa.ChunkedArray) -> str:
    """Return why a column of numbers, but for few values or the way they are written, is text."""
    import pyarrow.compute as pc

    if _all(present, _COMMAS):
        return (
            f"column {name!r}: numbers with commas, such as {present[0].as_py()!r}, are left as "
            "text. Make numbers of them in run(): for decimal commas with "
            "column.str.replace('.', '').str.replace(',', '.').astype(float)."
        )
    numbers = pc.match_substring_regex(present, _NUMBER)
    count = pc.sum(numbers).as_py()
    if len(present) < _ENOUGH or count < _MOSTLY * len(present):
        return ""
    odd = present.filter(pc.invert(numbers))[0].as_py()
    return (
        f"column {name!r}: {count:,} of {len(present):,} sampled values are numbers, but "
        f"{odd[:_SHOWN]!r} is not, so all are text. Write set_column_types={{{name!r}: "
        "DataType.to_float()} to have such values fail, or DataType.to_string() if it is text."
    )


def _whole(name: str, present: pa.ChunkedArray, missing: bool) -> Inferred:
    # As Python's own numbers: only they can be as large as these may be.
    texts = present.to_pylist()
    numbers = [int(text) for text in texts]
    low, high = min(numbers), max(numbers)
    zero = next((text for text in texts if len(text) > 1 and text[0] == "0"), "")
    told = zero and (
        f"column {name!r}: the zeros before numbers such as {zero[:_SHOWN]!r} are lost, as it is "
        f"read as whole numbers. To keep them write set_column_types={{{name!r}: "
        "DataType.to_string()}."
    )
    if missing and low >= -_EXACT and high <= _EXACT:
        return Inferred("int_as_float", told)
    if not missing and low >= -(2**63) and high < 2**63:
        return Inferred("int", told)
    largest = max(low, high, key=abs)
    what = "beside missing values fit no number type" if missing else "don't fit 64 bits"
    return Inferred(
        "text",
        f"column {name!r}: whole numbers such as {largest} {what} without loss, so it is read as "
        f"text. To have rounded numbers write set_column_types={{{name!r}: DataType.to_float()}}.",
    )


def _iso(column: pa.ChunkedArray) -> Inferred:
    for candidate in ("datetime", "datetime_utc", "datetime_ns", "datetime_ns_utc"):
        if fits(column, candidate):
            return Inferred(candidate)
    return Inferred("text")


def _dates(name: str, column: pa.ChunkedArray, first: str) -> Inferred:
    """Find the one format that all dates fit; where two do, say so and leave them as text."""
    formats = [
        day + time
        for day in _DAYS
        for time in _TIMES
        if _is_date(first, day + time) and fits(column, datetime_text([day + time]))
    ]
    if not formats:
        return Inferred("text")
    if len(formats) == 1 or _same_days(first, formats):
        return Inferred(datetime_text(formats[:1]))
    chosen, *ways = (f"DataType.to_datetime({f!r})" for f in formats)
    others = " or ".join(ways)
    return Inferred(
        "text",
        f"column {name!r}: dates such as {first!r} can be read in {len(formats)} ways, so they are "
        f"left as text. Write set_column_types={{{name!r}: {chosen}}}, or with "
        f"{others}.",
    )


def _same_days(first: str, formats: list[str]) -> bool:
    """Return whether formats differ in nothing but words: ``May`` is a short and a long month."""
    return len({datetime.strptime(first, f) for f in formats}) == 1 and not any(  # noqa: DTZ007
        "%m" in f for f in formats
    )


def _is_date(text: str, format_: str) -> bool:
    try:
        datetime.strptime(text, format_)  # noqa: DTZ007  (whether it parses is all that counts)
    except ValueError:
        return False
    return True
