"""The one law of types: what becomes of a value in a column, whatever the format it is from.

A value is held exactly, or it is an error, or its column is widened and that is told. Which kinds
of values a column takes is the table in :mod:`daskrun.data.tabular.values.kinds`; that each of them
is held exactly is seen to here, for all values of a column at once.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from daskrun.data.libraries import pa, pc
from daskrun.data.tabular.values import convert
from daskrun.data.tabular.values.coercion import Change, CoercionError, Fitted, Reason
from daskrun.data.tabular.values.hold import (
    each,
    first_true,
    hold,
    is_no,
    plain,
    value_of,
    without_nan,
)
from daskrun.data.tabular.values.kinds import MOMENTS, WRITTEN, Kind, admits, kind_of
from daskrun.data.tabular.values.types import arrow_type, datetime_formats
from daskrun.data.tabular.values.written import written

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Conversion = Callable[[pa.ChunkedArray], pa.ChunkedArray]


def fit(
    column: pa.ChunkedArray,
    type_text: str,
    declared: bool = False,
    kinds: Mapping[Kind, int] | None = None,
    reads: frozenset[Kind] = WRITTEN,
) -> Fitted:
    """Return a column as its type of the schema.

    A column of whole numbers that meets missing or decimal values becomes float64, one of text that
    meets others has them as they are written; what else does not fit is an error. ``declared``:
    whether ``set_column_types`` says the type: it is inferred otherwise. ``kinds``: kinds of the
    values, each with the row of its first, where not the Arrow type tells: of values that were
    written as text. ``reads``: as :func:`.kinds.admits` takes it; by default of files where all is
    text. Raises CoercionError: the first value that can't be held.
    """
    target = arrow_type(type_text)
    column = plain(column, target)
    found, wanted = kind_of(column.type), kind_of(target)
    reads = WRITTEN if declared else reads
    if (kinds is None or kinds.keys() <= {found}) and (
        quick := _quick(column, target, type_text, reads)
    ) is not None:
        return Fitted(quick)
    as_whole = type_text == "int_as_float" or wanted not in (Kind.FLOAT, Kind.EXACT, Kind.TEXT)
    if found is Kind.FLOAT and as_whole:
        column = without_nan(column)
    kinds = {found: first_true(column.is_valid())} if kinds is None else kinds
    _check_kinds(column, kinds, type_text, declared, reads)
    if found is Kind.TEXT and wanted in _READ:
        column = convert.present(column)
    if pa.types.is_dictionary(target):
        return Fitted(hold(column, target, type_text))
    if wanted is Kind.TEXT:
        return _text(column, target, kinds, declared)
    if found is Kind.WHOLE and (wanted is Kind.BOOL or datetime_formats(type_text)):
        column, found = column.cast("string"), Kind.TEXT
    if wanted is Kind.WHOLE or type_text == "int_as_float":
        return _whole(column, target, type_text, declared)
    values = _as(column, target, type_text, declared)
    missing = type_text == "bool" and values.null_count
    return (
        Fitted(values, Change.MISSING, first_true(values.is_null())) if missing else Fitted(values)
    )


def _quick(
    column: pa.ChunkedArray, target: pa.DataType, type_text: str, reads: frozenset[Kind]
) -> pa.ChunkedArray | None:
    """Return a column that nothing needs to be done for, as almost every one, or ISO dates."""
    if column.type.equals(target):
        missing = widens(target, type_text) and column.null_count
        as_it_is = type_text != "int_as_float" and not missing
        return column if as_it_is else None
    iso = type_text in ("datetime", "datetime_utc") and reads >= MOMENTS
    if iso and kind_of(column.type) is Kind.TEXT:
        with suppress(pa.ArrowInvalid):
            return column.cast(target)
    return None


def widens(target: pa.DataType, type_text: str) -> bool:
    """Return whether missing values make another dtype of a column."""
    return type_text in ("int", "bool") or pa.types.is_integer(target)


_READ = frozenset({Kind.WHOLE, Kind.FLOAT, Kind.BOOL, Kind.NAIVE, Kind.ZONED})
"""Kinds whose written form is read here rather than by Arrow, which takes other forms too."""


def _check_kinds(
    column: pa.ChunkedArray,
    kinds: Mapping[Kind, int],
    type_text: str,
    declared: bool,
    reads: frozenset[Kind],
) -> None:
    rows = {
        row: kind for kind, row in kinds.items() if not admits(type_text, kind, declared, reads)
    }
    for row, kind in sorted(rows.items()):
        missing = "NaN" if kind is Kind.FLOAT else None  # which is written in columns of text
        if row >= 0 and (value := value_of(column, row)) not in (missing, None):
            why = is_no(arrow_type(type_text), type_text)
            if kind is Kind.TEXT and admits(type_text, kind, declared=True):
                raise CoercionError(row, value, Reason.TEXT, f"is text, and {why}")
            raise CoercionError(row, value, Reason.OTHER_TYPE, why)


def _text(
    column: pa.ChunkedArray, target: pa.DataType, kinds: Mapping[Kind, int], declared: bool
) -> Fitted:
    values = each(column, "text", written)
    values = values if values.type.equals(target) else values.cast(target)
    others = [row for kind, row in kinds.items() if kind is not Kind.TEXT and row >= 0]
    if not others or declared:
        return Fitted(values)
    return Fitted(values, Change.TEXT, min(others))


def _whole(column: pa.ChunkedArray, target: pa.DataType, type_text: str, declared: bool) -> Fitted:
    """Return whole numbers, or float64 where some are missing or decimal."""
    as_float = type_text == "int_as_float"
    numbers = as_float and kind_of(column.type) is Kind.WHOLE
    try:
        whole = column if numbers else _as(column, pa.int64() if as_float else target, type_text)
    except CoercionError as error:
        if declared:
            with suppress(CoercionError):
                _as(column.slice(error.row, 1), pa.float64(), type_text)
                error.reason = Reason.DECIMAL if error.reason is Reason.OTHER_TYPE else error.reason
            raise
        floats = _floats_beside(column, error, type_text)
        whole = pc.and_(pc.equal(pc.floor(floats), floats), pc.is_finite(floats))
        decimals = pc.fill_null(pc.invert(whole), False)
        first = first_true(decimals)
        if first < 0:  # whole, and beyond the type: float64 would only hide that
            raise
        return Fitted(floats, Change.DECIMAL, first)
    if not whole.null_count and not as_float:
        return Fitted(whole)
    try:
        floats = hold(whole, pa.float64(), type_text)
    except CoercionError as error:
        if not whole.null_count or (as_float and not declared):  # the number is what is new
            value = value_of(column, error.row)
            why = f"{error.why}, which the column is for missing values of the sample"
            raise CoercionError(error.row, value, error.reason, why) from None
        row = first_true(whole.is_null())
        raise CoercionError(row, None, Reason.INEXACT, _beside("is missing", error)) from None
    return (
        Fitted(floats) if as_float else Fitted(floats, Change.MISSING, first_true(whole.is_null()))
    )


def _floats_beside(
    column: pa.ChunkedArray, refused: CoercionError, type_text: str
) -> pa.ChunkedArray:
    """Return numbers as float64; where some can't be that, blame the one that isn't whole."""
    try:
        return _as(column, pa.float64(), type_text)
    except CoercionError as error:
        if error.row == refused.row:
            raise (error if error.reason is Reason.OTHER_TYPE else refused) from None
        if error.reason is not Reason.INEXACT:
            raise
        why = _beside("is no whole number", error)
        raise CoercionError(refused.row, refused.value, Reason.INEXACT, why) from None


def _beside(what: str, error: CoercionError) -> str:
    return f"{what}, and float64, which that needs, can't hold {error.value} of the same column"


def _as(
    column: pa.ChunkedArray, target: pa.DataType, type_text: str, declared: bool = False
) -> pa.ChunkedArray:
    kinds = kind_of(column.type), kind_of(target)
    if kinds[0] is not Kind.TEXT or kinds[1] is Kind.TEXT:
        return hold(column, target, type_text)
    return each(column, type_text, _reads(type_text, target, declared), target)


def _reads(type_text: str, target: pa.DataType, declared: bool) -> Conversion:
    wanted = kind_of(target)
    if wanted is Kind.WHOLE:
        return lambda part: hold(convert.whole_numbers(part), target)
    if wanted is Kind.FLOAT:
        return lambda part: hold(convert.floats(part), target)
    if wanted is Kind.BOOL:
        return lambda part: convert.truth_values(part, digits=declared)
    if wanted in (Kind.NAIVE, Kind.ZONED):
        return lambda part: convert.dates(part, type_text, target)
    return lambda part: part.cast(target)
