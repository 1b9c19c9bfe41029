"""Values within their kind: held exactly by another Arrow type, at every depth, or an error."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from daskrun.data.libraries import pa, pc
from daskrun.data.tabular.values import convert
from daskrun.data.tabular.values.coercion import CoercionError, Reason
from daskrun.data.tabular.values.convert import InexactError
from daskrun.data.tabular.values.kinds import WITHIN, Kind, kind_of
from daskrun.data.tabular.values.types import arrow_type, datetime_formats, shown_arrow

if TYPE_CHECKING:
    from collections.abc import Callable

    Conversion = Callable[[pa.ChunkedArray], pa.ChunkedArray]


def hold(column: pa.ChunkedArray, target: pa.DataType, type_text: str = "") -> pa.ChunkedArray:
    """Return a column as an Arrow type that holds each of its values exactly.

    Raises CoercionError: the first value that it can't hold.
    """
    if column.type.equals(target):
        return column
    found, wanted = kind_of(column.type), kind_of(target)
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), target)])
    if pa.types.is_dictionary(target):
        return _categories(column, target, type_text)
    column = plain(column, target)
    if found not in WITHIN[wanted]:
        row = first_true(column.is_valid())
        raise CoercionError(row, value_of(column, row), Reason.OTHER_TYPE, is_no(target, type_text))
    rule = _RULES.get((found, wanted), _cast)
    return each(column, type_text, lambda part: rule(part, target), target)


def plain(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    """Return the values of categories, unless categories are wanted."""
    if not pa.types.is_dictionary(column.type) or pa.types.is_dictionary(target):
        return column
    return column.cast(column.type.value_type)


def _categories(column: pa.ChunkedArray, target: pa.DataType, type_text: str) -> pa.ChunkedArray:
    """Return categories of another type; those of a column that has some keep their order."""
    if target.ordered and not getattr(column.type, "ordered", False):
        row = first_true(column.is_valid())
        why = "is of a file that gives the column's categories no order"
        raise CoercionError(row, value_of(column, row), Reason.OTHER_TYPE, why)
    if not pa.types.is_dictionary(column.type):
        column = hold(column, target.value_type, type_text).dictionary_encode()
    chunks = [
        pa.DictionaryArray.from_arrays(
            chunk.indices.cast(target.index_type),
            hold(pa.chunked_array([chunk.dictionary]), target.value_type).combine_chunks(),
            ordered=target.ordered,
        )
        for chunk in column.chunks
    ]
    return pa.chunked_array(chunks, target)


def without_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return floats of which those that are no number are missing."""
    return pc.if_else(pc.is_nan(column), None, column)


def value_of(column: pa.ChunkedArray, row: int) -> Any:
    """Return a value as Python's; as text where Python has none such, as of the year 12000."""
    try:
        return column[row].as_py()
    except (OverflowError, ValueError):
        return column.slice(row, 1).cast("string")[0].as_py()


def first_true(flags: pa.ChunkedArray) -> int:
    """Return the row of the first that is true; -1: none is."""
    return int(pc.index(flags, True).as_py())


# each of these returns the column, or raises ValueError where one value would be another


def _cast(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    return column.cast(target)


def _round_trip(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    """Cast, and see that the same comes back: casts to floats and to dates lose without a word."""
    if pa.types.is_integer(column.type) and not pa.types.is_float16(target):
        with suppress(pa.ArrowInvalid):  # which is also for 2**54, that float64 holds
            return column.cast(target)
    made = column.cast(target, safe=False)
    back = made.cast(column.type)
    if pa.types.is_floating(column.type):
        wide = pa.float64()  # there is no arithmetic for float16
        column, back = without_nan(column.cast(wide)), without_nan(back.cast(wide))
    if not pc.all(pc.equal(column, back), min_count=0).as_py():
        raise InexactError
    return made


def _written_number(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    """Go by the digits: Arrow's own casts between decimals and other numbers round."""
    if pa.types.is_decimal(target):
        made = column.cast("string").cast(target) if pa.types.is_integer(column.type) else None
        if made is None:
            wide = column.cast(pa.float64())
            made = wide.cast(target)
            if not pc.all(pc.equal(made.cast("string").cast("double"), wide), min_count=0).as_py():
                raise InexactError
        return made
    texts = column.cast("string")
    if pa.types.is_integer(target):
        return _cast(convert.whole_numbers(texts), target)
    return hold(convert.floats(texts), target)


def _items(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    chunks = []
    before = 0
    for chunk in column.chunks:
        try:
            inner = hold(pa.chunked_array([chunk.flatten()]), target.value_type)
        except CoercionError as error:
            row = pc.list_parent_indices(chunk)[error.row].as_py()
            first = pc.sum(pc.list_value_length(chunk[:row])).as_py() or 0
            raise error.inside(before + row, f"[{error.row - first}]") from None
        lengths = pc.fill_null(pc.list_value_length(chunk), 0)
        offsets = pa.concat_arrays(
            [pa.array([0], "int64"), pc.cumulative_sum(lengths.cast("int64"))]
        )
        made = pa.LargeListArray.from_arrays(offsets, inner.combine_chunks(), mask=chunk.is_null())
        chunks.append(made.cast(target))
        before += len(chunk)
    return pa.chunked_array(chunks, target)


def _fields(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    """Convert what is in objects; a field that they lack is missing."""
    chunks = []
    before = 0
    for chunk in column.chunks:
        lacking = {f.name for f in chunk.type} - {f.name for f in target}
        for name in sorted(lacking) if not target.num_fields else ():
            inner = chunk.field(chunk.type.get_field_index(name))
            if inner.null_count < len(inner):
                row = first_true(inner.is_valid())
                why = "is of a field that the column's type has not"
                value = inner[row].as_py()
                raise CoercionError(before + row, value, Reason.OTHER_TYPE, why, f".{name}")
        parts = [_field(chunk, field, before) for field in target]
        fields = [target.field(n) for n in range(target.num_fields)]
        chunks.append(
            pa.StructArray.from_arrays(parts, fields=fields, mask=chunk.is_null())
            if fields
            else chunk.cast(target)
        )
        before += len(chunk)
    return pa.chunked_array(chunks, target)


def _field(chunk: pa.Array, field: pa.Field, before: int) -> pa.Array:
    position = chunk.type.get_field_index(field.name)
    if position < 0:
        return pa.nulls(len(chunk), field.type)
    inner = pc.struct_field(chunk, [position])  # missing where the object is
    try:
        return hold(pa.chunked_array([inner]), field.type).combine_chunks()
    except CoercionError as error:
        raise error.inside(before + error.row, f".{field.name}") from None


def _entries(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    """Convert keys and values of maps, as lists of objects."""
    inner = pa.struct([("key", column.type.key_type), ("value", column.type.item_type)])
    goal = pa.struct([("key", target.key_type), ("value", target.item_type)])
    entries = pa.chunked_array([pa.array(c.to_pylist(), pa.list_(inner)) for c in column.chunks])
    held = _items(entries, pa.list_(goal))
    return pa.chunked_array(
        [
            pa.MapArray.from_arrays(c.offsets, *c.values.flatten(), type=target, mask=c.is_null())
            for c in held.chunks
        ]
    )


_RULES: dict[tuple[Kind, Kind], Callable[[pa.ChunkedArray, pa.DataType], pa.ChunkedArray]] = {
    (Kind.WHOLE, Kind.FLOAT): _round_trip,
    (Kind.FLOAT, Kind.FLOAT): _round_trip,
    (Kind.NAIVE, Kind.DATE): _round_trip,
    (Kind.DATE, Kind.DATE): _round_trip,
    (Kind.WHOLE, Kind.EXACT): _written_number,
    (Kind.FLOAT, Kind.EXACT): _written_number,
    (Kind.EXACT, Kind.WHOLE): _written_number,
    (Kind.EXACT, Kind.FLOAT): _written_number,
    (Kind.LIST, Kind.LIST): _items,
    (Kind.STRUCT, Kind.STRUCT): _fields,
    (Kind.MAP, Kind.MAP): _entries,
}
"""How a kind is held as another; all others are cast, which Arrow does exactly or not at all."""


def each(
    column: pa.ChunkedArray,
    type_text: str,
    convert_all: Conversion,
    target: pa.DataType | None = None,
) -> pa.ChunkedArray:
    """Convert a column; where that fails, find the first value that fails by halving."""
    failed: Exception
    try:
        return convert_all(column)
    except CoercionError:
        raise  # it knows its row
    except (pa.ArrowException, ValueError, OverflowError) as error:
        failed = error
    good, bad = 0, len(column)  # column[:good] can be converted, column[:bad] can't
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            convert_all(column.slice(good, middle - good))
            good = middle
        except (pa.ArrowException, ValueError, OverflowError):
            bad = middle
    try:
        convert_all(column.slice(good, 1))
    except (pa.ArrowException, ValueError, OverflowError) as error:
        failed = error
    return _refuse(column, good, failed, type_text, target)


def _refuse(
    column: pa.ChunkedArray, row: int, error: Exception, type_text: str, target: pa.DataType | None
) -> Any:
    target = arrow_type(type_text) if target is None else target
    value, kinds = value_of(column, row), (kind_of(column.type), kind_of(target))
    whole = isinstance(value, int) or (isinstance(value, str) and re.match(convert.WHOLE, value))
    fine = _FINE.get(kinds) if not datetime_formats(type_text) else None
    inexact = isinstance(error, InexactError) or (fine is not None and fine.search(value))
    if inexact or kinds in _INEXACT or (whole and kinds[1] is Kind.WHOLE):
        why = cannot_hold(target, bool(whole))
        raise CoercionError(row, value, Reason.INEXACT, why) from None
    raise CoercionError(row, value, Reason.OTHER_TYPE, is_no(target, type_text)) from None


_INEXACT = frozenset(
    (one, other)
    for kinds in ({Kind.WHOLE, Kind.FLOAT, Kind.EXACT}, {Kind.DATE, Kind.NAIVE}, {Kind.ZONED})
    for one in kinds
    for other in kinds - {Kind.WHOLE}
)
"""Kinds of values and columns where nothing but the value's size or digits can be in the way."""


_FINE = {
    (Kind.TEXT, Kind.NAIVE): re.compile(r":\d\d\.\d{7,9}$"),
    (Kind.TEXT, Kind.ZONED): re.compile(r":\d\d\.\d{7,9}(Z|[+-]\d\d:?\d\d)$"),
}
"""Times as they are written with nanoseconds."""


def cannot_hold(target: pa.DataType, whole: bool) -> str:
    """Say that a value of the right kind is too large, or has too many digits."""
    return f"is a {'whole number' if whole else 'value'} that {shown_arrow(target)} can't hold"


_NO = {
    Kind.TEXT: "text",
    Kind.WHOLE: "whole number",
    Kind.FLOAT: "number",
    Kind.EXACT: "decimal number",
}


def is_no(target: pa.DataType, type_text: str = "") -> str:
    """Say what a value is not."""
    wanted = kind_of(target)
    if wanted in _NO:
        return f"is no {_NO[wanted]}"
    if wanted is Kind.BOOL:
        return "is neither true nor false"
    if formats := datetime_formats(type_text):
        return f"is no date written as {' or '.join(map(repr, formats))}"
    if wanted in (Kind.NAIVE, Kind.ZONED):
        zone = "without" if wanted is Kind.NAIVE else "with"
        return f"is no date and time {zone} a zone offset such as '2024-05-31 17:30:00'"
    return f"is no {target}"
