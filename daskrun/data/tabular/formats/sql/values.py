"""Values of a database: their one type per column, as Arrow, and as keys that travel."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from daskrun.data.tabular.values.casts import fit
from daskrun.data.tabular.values.coercion import CoercionError, Reason
from daskrun.data.tabular.values.types import arrow_type, shown_type, type_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

_NUMBERS = frozenset({int, float, Decimal, bool})
_DATES = frozenset({date, datetime})
ORDERED = frozenset({int, float, Decimal, str, bool, date, datetime, bytes})
"""Python types of columns that rows can be ordered and cut by."""
_EXACT = 2**53
_MASK = 2**64 - 1
_SPREAD = 0x9E3779B97F4A7C15
"""Odd, so that equal rows get numbers that differ in all bits (Fibonacci hashing)."""


def infer(name: str, values: Sequence[Any]) -> tuple[str, str]:
    """Infer a column's type from a sample: its text, and a warning or ``""``.

    Decimal numbers are float64, as ``pandas.read_sql`` has them; ``DataType.to_string()`` keeps
    all their digits.

    Examples
    --------
    >>> infer("a", [1, None, 3])
    ('int_as_float', '')
    """
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    missing = None in values
    text = "text"
    if not kinds:
        return text, ""
    if kinds <= {bool}:
        text = "boolean" if missing else "bool"
    elif kinds <= {int, bool}:
        return _integers(name, values, missing)
    elif kinds <= _NUMBERS:
        text = "float"
    elif kinds <= _DATES:
        zones = {getattr(v, "tzinfo", None) is not None for v in values if v is not None}
        text = "text" if len(zones) > 1 else "datetime_utc" if zones.pop() else "datetime"
    elif kinds <= {bytes, bytearray, memoryview}:
        text = type_text(pa.binary())
    elif kinds <= {time}:
        text = type_text(pa.time64("us"))
    elif kinds <= {timedelta}:
        text = type_text(pa.duration("us"))
    return text, ""


def _integers(name: str, values: Sequence[Any], missing: bool) -> tuple[str, str]:
    numbers = [value for value in values if value is not None]
    low, high = min(numbers), max(numbers)
    if low < -(2**63) or high >= 2**63:
        return "text", (
            f"column {name!r} holds whole numbers beyond 64 bits ({high}): it is read as text. "
            f"Write set_column_types={{{name!r}: DataType.to_float()}} to have them rounded."
        )
    if missing and max(-low, high) > _EXACT:
        return "text", (
            f"column {name!r} holds missing values beside whole numbers that float64 can't hold "
            f"({high}): it is read as text. Exclude the missing ones in the query to have numbers."
        )
    return ("int_as_float" if missing else "int"), ""


def to_arrow(name: str, values: Sequence[Any], text: str, strict: bool) -> pa.ChunkedArray:
    """Make a column of its type; an integer column may become float64, see :func:`.casts.fit`.

    Raises
    ------
    CoercionError
        The first value that does not fit.
    """
    import pyarrow as pa

    target = arrow_type(text)
    kinds = {type(value) for value in values}
    if text == "text":
        plain = kinds <= {str, type(None)}
        texts = values if plain else [None if v is None else as_text(v) for v in values]
        return pa.chunked_array([pa.array(texts, pa.string())])
    if memoryview in kinds or bytearray in kinds:
        values = [bytes(v) if isinstance(v, (memoryview, bytearray)) else v for v in values]
    if Decimal in kinds:
        values = [_number(v) if isinstance(v, Decimal) else v for v in values]
    if kinds & _DATES and pa.types.is_timestamp(target):
        values = [_moment(v) if type(v) is date else v for v in values]
    try:
        # Text that is a number, say, is the business of fit(), which loses nothing.
        array = pa.array(values) if str in kinds else pa.array(values, target)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        array = _natural(name, values, text)
    return fit(name, pa.chunked_array([array]), text, strict)


def _natural(name: str, values: Sequence[Any], text: str) -> pa.Array:
    """Make an array of whatever type the values have, or name the first one that doesn't fit."""
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        for row, value in enumerate(values):
            try:
                fit(name, pa.chunked_array([pa.array([value])]), text, False)
            except (CoercionError, pa.ArrowException, TypeError, ValueError, OverflowError):
                raise CoercionError(
                    row,
                    value,
                    Reason.OTHER_TYPE,
                    f"is no {shown_type(text)}. Correct the data, cast the column in the query, "
                    f"or write set_column_types={{{name!r}: DataType.to_string()}}.",
                ) from None
    return pa.array([None if v is None else float(v) for v in values], pa.float64())


def _number(value: Decimal) -> int | float:
    whole = value.is_finite() and value == value.to_integral_value() and abs(value) < 2**63
    return int(value) if whole else float(value)


def _moment(value: date) -> datetime:
    return datetime(value.year, value.month, value.day)  # noqa: DTZ001  (a date has no zone)


def as_text(value: Any) -> str:
    """Return a value as text: JSON for what is nested, else as Python writes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list)):
        return json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "backslashreplace")
    return str(value)


def row_ids(rows: Sequence[Sequence[Any]]) -> NDArray[np.uint64]:
    """Return each row a number made from all its values; of rows that are the same, each its own.

    These have the same key, so that they are in one piece whatever its size.
    """
    import numpy as np

    seen: dict[int, int] = {}
    ids = np.empty(len(rows), np.uint64)
    for n, row in enumerate(rows):
        told = repr([bytes(v) if isinstance(v, memoryview) else v for v in row])
        digest = blake2b(told.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        number = int.from_bytes(digest, "little")
        times = seen[number] = seen.get(number, -1) + 1
        ids[n] = (number + times * _SPREAD) & _MASK
    return ids


def pack_key(key: Sequence[Any]) -> tuple[Any, ...]:
    """Make a key of builtins, which travels and is journalled.

    Examples
    --------
    >>> from datetime import date
    >>> pack_key([1, date(2024, 5, 31), None])
    (1, ('date', '2024-05-31'), None)
    """
    packed: list[Any] = []
    for value in key:
        if isinstance(value, datetime):
            packed.append(("datetime", value.isoformat()))
        elif isinstance(value, date):
            packed.append(("date", value.isoformat()))
        elif isinstance(value, Decimal):
            packed.append(("decimal", str(value)))
        elif isinstance(value, (bytearray, memoryview)):
            packed.append(bytes(value))
        else:
            packed.append(value)
    return tuple(packed)


def unpack_key(packed: Sequence[Any]) -> list[Any]:
    """Make the values of a packed key."""
    made: dict[str, Any] = {
        "datetime": datetime.fromisoformat,
        "date": date.fromisoformat,
        "decimal": Decimal,
    }
    return [made[v[0]](v[1]) if isinstance(v, (tuple, list)) else v for v in packed]
