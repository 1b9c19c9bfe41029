"""The type of a column from a sample of its values, as text or as Python's own.

Numbers, truth values and ISO dates are what they look like; a date in another format only where the
sample settles which part is the day. What can't be told for certain stays text: no value is lost
there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from daskrun.core.json_text import MOST_DIGITS
from daskrun.data.libraries import pa, pc
from daskrun.data.tabular.values.coercion import CoercionError
from daskrun.data.tabular.values.convert import (
    EXACT,
    FALSE,
    NUMBER,
    TRUE,
    WHOLE,
    InexactError,
    check_exact,
    present,
    without_plus,
)
from daskrun.data.tabular.values.kinds import WITHIN, Kind
from daskrun.data.tabular.values.law import fit
from daskrun.data.tabular.values.types import datetime_text, type_text
from daskrun.data.tabular.values.written import found_kinds, text_column

_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?")
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
    known: bool = False
    """Whether it is no guess: text, as the sample has values of several kinds."""


def infer(name: str, column: pa.ChunkedArray, missing: bool = False) -> Inferred:
    """Infer the type of a column of text.

    ``column``: its values in the sample, with nothing missing: empty ones are ``""``. ``missing``:
    whether values are known to be missing elsewhere, such as where a file lacks the column.
    """
    values = present(column).drop_null()
    missing = missing or len(values) < len(column)
    if not len(values):
        return Inferred("text")  # pandas would say float64, and then meet text
    whole = _all(values, WHOLE)
    if whole or _all(values, NUMBER):
        floats = without_plus(values).cast(pa.float64())
        if len(codes := codes_in(values.filter(pc.equal(pc.floor(floats), floats)))):
            return _codes(name, codes[0].as_py(), "to_long" if whole else "to_float")
        if whole:
            return _whole(name, values, missing)
        with suppress(InexactError):
            check_exact(values, floats)
            return Inferred("float")
        return _numbers(name, values)  # which finds the value
    if pc.all(pc.is_in(values, value_set=pa.array([*TRUE, *FALSE], pa.string()))).as_py():
        return Inferred("boolean" if missing else "bool")
    found = infer_dates(name, column, values[0].as_py())
    if found.type == "text" and not found.warning:
        return Inferred("text", _almost_numbers(name, values))
    return found


def _numbers(name: str, column: pa.ChunkedArray) -> Inferred:
    try:
        fit(column, "float")
    except CoercionError as error:
        return too_long(name, error.value, "decimal")
    return Inferred("float")


def too_long(name: str, number: object, beside: str = "") -> Inferred:
    """Return text for whole numbers that no number type holds, ``beside`` missing or decimal ones.

    It is known to be text: values of other kinds are no news there.
    """
    what = f"beside {beside} ones fit no number type" if beside else "don't fit 64 bits"
    whole = "whole " if re.match(r"[+-]?[0-9]+(?![.eE0-9])", str(number)) else ""
    return Inferred(
        "text",
        f"column {name!r}: {whole}numbers such as {number} {what} without loss, so all are read as "
        "text. Where they may be rounded make numbers of them in run(): column.astype(float).",
        True,
    )


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
    missing = missing or bool(present(column).null_count)
    if missing and type_text in ("int", "bool"):
        return {"int": "int_as_float", "bool": "boolean"}[type_text]
    if type_text == "datetime" and not fits(column, "datetime"):
        return "datetime_utc" if fits(column, "datetime_utc") else type_text
    return type_text


def fits(column: pa.ChunkedArray, type_text: str) -> bool:
    """Return whether all values of a column of text can be read as a type."""
    try:
        fit(column, type_text)
    except CoercionError:
        return False
    return True


def _all(values: pa.ChunkedArray, pattern: str) -> bool:
    if len(values) and not re.search(pattern, values[0].as_py()):
        return False  # most columns are told by their first value
    return bool(pc.all(pc.match_substring_regex(values, pattern), min_count=0).as_py())


def _almost_numbers(name: str, present: pa.ChunkedArray) -> str:
    """Return why a column of numbers, but for few values or the way they are written, is text."""
    if _all(present, _COMMAS):
        return (
            f"column {name!r}: numbers with commas, such as {present[0].as_py()!r}, are left as "
            "text. Of delimited files decimal=',' (and thousands='.') makes numbers; else make "
            "them in run(): for decimal commas with "
            "column.str.replace('.', '').str.replace(',', '.').astype(float)."
        )
    numbers = pc.match_substring_regex(present, NUMBER)
    count = pc.sum(numbers).as_py()
    if len(present) < _ENOUGH or count < _MOSTLY * len(present):
        return ""
    odd = present.filter(pc.invert(numbers))[0].as_py()
    return (
        f"column {name!r}: {count:,} of {len(present):,} sampled values are numbers, but "
        f"{odd[:_SHOWN]!r} is not, so all are text. Write set_column_types={{{name!r}: "
        "DataType.to_float()} to have such values fail, or DataType.to_string() if it is text."
    )


def _codes(name: str, shown: str, call: str) -> Inferred:
    return Inferred(
        "text",
        f"column {name!r}: zeros or a plus before digits, as in {shown[:_SHOWN]!r}, would be lost "
        "in numbers, so all are read as text. Where they are numbers write "
        f"set_column_types={{{name!r}: DataType.{call}()}}, else DataType.to_string().",
    )


def _whole(name: str, present: pa.ChunkedArray, missing: bool) -> Inferred:
    # As Python's own numbers: only they can be as large as these may be.
    texts = present.to_pylist()
    longest = max(texts, key=len)
    if len(longest) > MOST_DIGITS:
        return too_long(name, f"{longest[:_SHOWN]}…")
    return _of_range(name, [int(text) for text in texts], missing)


def _of_range(name: str, numbers: Sequence[int], missing: bool) -> Inferred:
    low, high = min(numbers), max(numbers)
    if missing and low >= -EXACT and high <= EXACT:
        return Inferred("int_as_float")
    if not missing and low >= -(2**63) and high < 2**63:
        return Inferred("int")
    largest = max(low, high, key=abs)
    return too_long(name, largest, "missing" if missing else "")


def codes_in(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the whole numbers whose zeros or plus before the digits a number doesn't keep."""
    return values.filter(pc.match_substring_regex(values, r"^\s*([+][0-9]+|-?0[0-9]+)\s*$"))


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


def infer_values(
    name: str, values: Sequence[Any], *, dates: bool = False, nested: bool = False
) -> Inferred:
    """Infer the type of a column from a sample of its values, None where one is missing.

    ``dates``: whether texts that look like dates are dates: where the format has no others.
    ``nested``: whether lists and objects have a type of their own; else they are JSON text.

    Examples
    --------
    >>> infer_values("a", [1, None, 3]).type
    'int_as_float'
    """
    kinds = frozenset(found_kinds(values))
    if kinds <= {Kind.TEXT}:
        return _texts(name, values) if dates else Inferred("text")
    if kinds == {Kind.BOOL}:
        return Inferred("boolean" if None in values else "bool")
    if kinds == {Kind.WHOLE}:
        whole = [value for value in values if type(value) is int]
        return _of_range(name, whole, len(whole) < len(values))
    if kinds <= WITHIN[Kind.WHOLE]:
        # Text in between, and '' where there is none, as infer() knows them from CSV.
        texts = text_column(["" if value is None else value for value in values])
        return _numbers(name, texts) if Kind.EXACT in kinds else infer(name, texts)
    for some, arrow in _others().items():
        if kinds <= some:
            return Inferred(type_text(arrow))
    if len(kinds) == 1 and nested:
        try:
            return Inferred(type_text(nested_type([v for v in values if v is not None], name)))
        except _MixedError as error:
            why, what = str(error), "JSON text"
    else:
        why, what = "values of different kinds", "text: what is no text yet, as JSON"
    if len(kinds) == 1 and not nested:
        return Inferred("text", "", True)
    told = f"column {name!r} has {why} in the sample, so it is read as {what}."
    return Inferred("text", told, True)


@lru_cache(maxsize=1)
def _others() -> dict[frozenset[Kind], pa.DataType]:
    return {
        frozenset({Kind.DATE, Kind.NAIVE}): pa.timestamp("us"),
        frozenset({Kind.ZONED}): pa.timestamp("us", "UTC"),
        frozenset({Kind.TIME}): pa.time64("us"),
        frozenset({Kind.DURATION}): pa.duration("us"),
        frozenset({Kind.BINARY}): pa.binary(),
    }


def _texts(name: str, values: Sequence[Any]) -> Inferred:
    """Tell dates from other texts; a number in quotes is text in JSON."""
    first = next((value for value in values if value), None)
    if first is None:
        return Inferred("text")
    try:
        return infer_dates(name, text_column(values), first)
    except CoercionError:
        return Inferred("text")


class _MixedError(ValueError):
    """Values that have no type of their own; its text says why and where."""


_DEEPEST = 60
"""Levels of nested values that have a type: Parquet has no more than 100."""


def nested_type(values: Sequence[Any], path: str, depth: int = 0) -> pa.DataType:
    """Return the Arrow type that holds JSON values exactly, none of them missing.

    Raises ValueError: there is none; its text says why, and the path to where.
    """
    kinds = frozenset(found_kinds(values))
    if depth > _DEEPEST:
        raise _MixedError(f"more than {_DEEPEST} levels of objects and lists")
    if len(kinds) > 1 and not kinds <= WITHIN[Kind.WHOLE]:
        raise _MixedError(f"values of different kinds at {path}")
    if kinds <= {Kind.TEXT}:
        return pa.string()
    if kinds == {Kind.BOOL}:
        return pa.bool_()
    if kinds == {Kind.LIST}:
        inner = [each for value in values for each in value if each is not None]
        return pa.list_(nested_type(inner, f"{path}[]", depth + 1))
    if kinds == {Kind.STRUCT}:
        found: dict[str, list[Any]] = {}
        for value in values:
            for key, each in value.items():
                found.setdefault(key, []).extend([] if each is None else [each])
        fields = [(k, nested_type(some, f"{path}.{k}", depth + 1)) for k, some in found.items()]
        return pa.struct(fields)
    if kinds == {Kind.WHOLE} and all(-(2**63) <= value < 2**63 for value in values):
        return pa.int64()
    if Kind.FLOAT in kinds and all(map(is_float, values)):
        return pa.float64()
    raise _MixedError(f"whole numbers that no number type holds at {path}")


def is_float(value: float) -> bool:
    """Return whether float64 holds a number."""
    try:
        return value == float(value) or value != value
    except OverflowError:
        return False
