"""Conditions evaluated: which rows of a DataFrame they are true for."""

from __future__ import annotations

import operator
from datetime import UTC, date
from typing import TYPE_CHECKING, Any

from daskrun.data.libraries import pd
from daskrun.data.tabular.conditions.expression import Plain, written
from daskrun.errors import TableError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_COMPARE = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TEXT = {"starts_with": "startswith", "ends_with": "endswith"}
_KINDS = {"bool": "number", "int": "number", "float": "number", "str": "text"}
_KINDS |= {"datetime": "time", "date": "time"}


def mask(frame: pd.DataFrame, plain: Plain) -> NDArray[np.bool_]:
    """Evaluate a condition.

    Raises TableError: a column is compared with a value of another kind.
    """
    kind = plain[0]
    if kind == "compare":
        return _compared(frame, plain)
    if kind == "isin":
        return _one_of(frame, plain)
    if kind == "missing":
        return frame[plain[1]].isna().to_numpy(dtype=bool)
    if kind == "text":
        return _text(frame, plain)
    if kind == "not":
        return ~mask(frame, plain[1])
    if kind == "and":
        return mask(frame, plain[1]) & mask(frame, plain[2])
    return mask(frame, plain[1]) | mask(frame, plain[2])


def _compared(frame: pd.DataFrame, plain: Plain) -> NDArray[np.bool_]:
    op, left, right = plain[1:]
    series = _bare(frame[left[1]])
    other = _bare(frame[right[1]]) if right[0] == "column" else right
    if right[0] == "column":
        _same_kind(plain, series, _kind(other), f"{_shown(other)} column {right[1]!r}")
    else:
        _same_kind(plain, series, _KINDS[right[1]], f"{right[1]} {right[2]!r}")
        series, other = _aligned(series, right, plain)
    try:
        found = _COMPARE[op](series, other)
    except (TypeError, ValueError) as error:
        raise _misfit(plain, str(error)) from error
    result = _bools(found)
    if op == "!=":  # pandas calls NaN and NaT unequal to everything
        result = result & series.notna().to_numpy(dtype=bool)
        if right[0] == "column":
            result = result & other.notna().to_numpy(dtype=bool)
    return result


def _one_of(frame: pd.DataFrame, plain: Plain) -> NDArray[np.bool_]:
    name: str = plain[1]
    series = _bare(frame[name])
    values = []
    for value in plain[2]:
        _same_kind(plain, series, _KINDS[value[1]], f"{value[1]} {value[2]!r}")
        series, other = _aligned(series, value, plain)
        values.append(other)
    return _bools(series.isin(values))


def _text(frame: pd.DataFrame, plain: Plain) -> NDArray[np.bool_]:
    name: str = plain[2]
    series = _bare(frame[name])
    how, text = plain[1], plain[3]
    _same_kind(plain, series, "text", f"str {text!r}")
    try:
        if how == "contains":
            return _bools(series.str.contains(text, regex=False))
        return _bools(getattr(series.str, _TEXT[how])(text))
    except AttributeError as error:  # an object column without texts
        raise _misfit(plain, f"the column {plain[2]!r} is not text") from error


def _bare(series: pd.Series[Any]) -> pd.Series[Any]:
    """Turn categories into what they stand for: each mini-batch may have others."""
    if str(series.dtype) == "category":
        return series.astype(series.cat.categories.dtype)
    return series


def _bools(result: pd.Series[Any]) -> NDArray[np.bool_]:
    if result.dtype == bool:
        return result.to_numpy()
    return result.astype("boolean").to_numpy(dtype=bool, na_value=False)


def _kind(series: pd.Series[Any]) -> str:
    """Return what a column holds: number, text, time, or what only its values tell."""
    types = pd.api.types
    dtype = series.dtype
    if dtype.kind == "O" and str(dtype) == "object":
        # What pandas 2 makes of text; without rows nothing tells (TableLoader.try_steps does).
        return "text" if types.infer_dtype(series) == "string" else "any"
    if types.is_bool_dtype(dtype) or types.is_numeric_dtype(dtype):
        return "number"
    if types.is_datetime64_any_dtype(dtype):
        return "time"
    return "text" if types.is_string_dtype(dtype) else "any"


def _same_kind(plain: Plain, series: pd.Series[Any], other: str, shown: str) -> None:
    kind = _kind(series)
    if kind == other or "any" in (kind, other) or (kind == "time" and shown.startswith("str ")):
        return
    what = f"the column {series.name!r} is {_shown(series)}, not comparable to {shown}"
    raise _misfit(plain, what)


def _shown(series: pd.Series[Any]) -> str:
    """Return a column's dtype for a message; one name for text, which each pandas calls another."""
    return "str" if _kind(series) == "text" else str(series.dtype)


def _aligned(series: pd.Series[Any], operand: Plain, plain: Plain) -> tuple[pd.Series[Any], Any]:
    """Return column and value so that they can be compared; a time without a zone is UTC."""
    _, kind, value = operand
    if kind in ("datetime", "date"):
        if str(series.dtype) == "object":
            if kind == "date" and all(isinstance(each, date) for each in series.dropna()):
                return series, date.fromisoformat(value)
            series = pd.to_datetime(series)
        return series, _zoned(pd.Timestamp(value), series)
    if kind == "str" and _kind(series) == "time":
        try:
            return series, _zoned(pd.Timestamp(value), series)
        except ValueError as error:
            raise _misfit(plain, f"{value!r} is no date") from error
    return series, value


def _zoned(time: pd.Timestamp, series: pd.Series[Any]) -> pd.Timestamp:
    zone = getattr(series.dtype, "tz", None)
    if zone is None:
        return time if time.tzinfo is None else time.tz_convert(UTC).tz_localize(None)
    return time.tz_localize(UTC) if time.tzinfo is None else time


def _misfit(plain: Plain, why: str) -> TableError:
    return TableError(
        f"filter({written(plain)}): {why.rstrip('.')}. Compare with a value of the column's own "
        "type, or give the column another with set_column_types={...}."
    )
