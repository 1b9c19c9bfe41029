"""Making typed values (Parquet, SQL) fit the one schema, losing nothing without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.data.tabular.values.coercion import CoercionError, Reason
from daskrun.data.tabular.values.types import arrow_type, datetime_formats, shown_type

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa


def fit(name: str, column: pa.ChunkedArray, type_text: str, strict: bool) -> pa.ChunkedArray:
    """Return a column as its type of the schema.

    An integer column that meets missing or decimal values becomes float64; the caller sees that
    from the type it gets, and warns.

    Raises
    ------
    CoercionError
        The first value that does not fit.
    """
    import pyarrow as pa

    target = arrow_type(type_text)
    if pa.types.is_dictionary(column.type) and not pa.types.is_dictionary(target):
        column = column.cast(column.type.value_type)
    if pa.types.is_integer(target):
        return _integers(name, column, target, strict)
    if column.type.equals(target):
        return column
    formats = datetime_formats(type_text)
    if formats and _is_text(column.type):
        return _each(name, column, type_text, lambda part: _dates(part, formats, target))
    if pa.types.is_integer(column.type) and pa.types.is_floating(target):
        return _floats(name, column, target)
    return _each(name, column, type_text, lambda part: _cast(part, target))


def _integers(
    name: str, column: pa.ChunkedArray, target: pa.DataType, strict: bool
) -> pa.ChunkedArray:
    """Return whole numbers, or float64 where some are missing or decimal."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = column
    if _is_text(column.type):
        column = whole = pc.utf8_trim_whitespace(column)
    if not column.type.equals(target):
        try:
            whole = _cast(column, target)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            whole = _each(name, column, "float", lambda part: _cast(part, pa.float64()))
            row = next((n for n, v in enumerate(whole.to_pylist()) if _out(v, target)), None)
            if row is not None:
                value = column[row].as_py()
                why = f"is no {target}. {_as_text(name)}"
                raise CoercionError(row, value, Reason.OTHER_TYPE, why) from None
    missing = whole.null_count
    if pa.types.is_integer(whole.type) and not missing:
        return whole
    if strict:
        wrong = (n for n, v in enumerate(whole.to_pylist()) if v is None or v != int(v))
        row = next(wrong)
        value = column[row].as_py()
        reason = Reason.MISSING if missing and value is None else Reason.DECIMAL
        said = "a missing value" if reason is Reason.MISSING else "no whole number"
        advice = f"set_column_types={{{name!r}: DataType.to_float()}}"
        why = f"is {said}, and strict_types=True. Write {advice}."
        raise CoercionError(row, value, reason, why)
    if pa.types.is_integer(whole.type):
        return _floats(name, whole, pa.float64())
    return whole


def _out(value: Any, target: pa.DataType) -> bool:
    """Return whether a number is whole but beyond an integer type: float64 would only hide that."""
    if value is None:
        return False
    bits = target.bit_width
    signed = str(target).startswith("int")
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
    return value != value or not low <= value < high


def _floats(name: str, column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    """Turn integers into floats of the same value."""
    import pyarrow as pa

    try:
        return column.cast(target)
    except pa.ArrowInvalid:  # also for 2**54, which float64 holds
        floats = column.cast(target, safe=False)
        for row, (whole, rounded) in enumerate(
            zip(column.to_pylist(), floats.to_pylist(), strict=True)
        ):
            if whole is not None and whole != int(rounded):
                why = f"is a whole number that {target} can't hold. {_as_text(name)}"
                raise CoercionError(row, whole, Reason.INEXACT, why) from None
        return floats


def _cast(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    import pyarrow as pa

    if pa.types.is_temporal(target) and (
        pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    ):
        raise pa.ArrowInvalid("a number is no date: of what unit, since when?")
    times = pa.types.is_timestamp(target) and pa.types.is_timestamp(column.type)
    if times and (target.tz is None) != (column.type.tz is None):
        here, there = (column.type.tz or "no zone"), (target.tz or "no zone")
        raise pa.ArrowInvalid(f"times of {here} are no times of {there}: which are meant?")
    if pa.types.is_dictionary(target) and not pa.types.is_dictionary(column.type):
        column = column.cast(target.value_type).dictionary_encode()
    return column.cast(target)


def _dates(column: pa.ChunkedArray, formats: list[str], target: pa.DataType) -> pa.ChunkedArray:
    """Read dates written in one of several formats."""
    import pandas as pd
    import pyarrow as pa

    texts = column.to_pandas()
    utc = target.tz is not None
    read = pd.Series(pd.NaT, index=texts.index)
    for n, form in enumerate(formats):
        left = texts[read.isna() & texts.notna()]
        if left.empty:
            break
        last = n == len(formats) - 1
        try:
            dates = pd.to_datetime(left, format=form, errors="raise" if last else "coerce", utc=utc)
        except ValueError as error:
            raise pa.ArrowInvalid(str(error)) from error
        read = dates.reindex(texts.index) if n == 0 else read.where(read.notna(), dates)
    return pa.chunked_array([pa.array(read, type=target, from_pandas=True)])


def _each(
    name: str,
    column: pa.ChunkedArray,
    type_text: str,
    convert: Callable[[pa.ChunkedArray], pa.ChunkedArray],
) -> pa.ChunkedArray:
    """Convert a column; where it fails, find the first value that does by halving."""
    import pyarrow as pa

    try:
        return convert(column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            convert(column.slice(low, middle - low))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
            high = middle
        else:
            low = middle
    value = column[low].as_py() if len(column) else None
    why = f"({column.type}) is no {shown_type(type_text)}. {_as_text(name)}"
    raise CoercionError(low, value, Reason.OTHER_TYPE, why) from None


def _as_text(name: str) -> str:
    return (
        "Correct the data, or give the column a type that holds all of it: "
        f"set_column_types={{{name!r}: DataType.to_string()}}."
    )


def _is_text(arrow: pa.DataType) -> bool:
    import pyarrow as pa

    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(check(arrow) for check in texts)
