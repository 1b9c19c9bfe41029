"""From Arrow tables to pandas' frames: one rule of dtypes for all formats."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from daskrun.data.libraries import pa, pc, pd
from daskrun.data.tabular.values.coercion import CoercionError
from daskrun.data.tabular.values.hold import hold
from daskrun.data.tabular.values.types import NULLABLE, asking
from daskrun.errors import TableError

WIDE = 1000
"""Columns from which on a frame is made in slices: to replace one takes pandas time for each beside
it."""


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Turn a table into a DataFrame with index 0..n-1: one rule of dtypes for all formats.

    Text is pandas' own ``str``, a bool column with missing values ``boolean``, an integer column
    with missing values ``float64``, a dictionary a category, anything else what
    ``pyarrow.Table.to_pandas`` gives, with the dtypes that pandas' own metadata names. Raises
    TableError if an integer beside missing values is one that float64 can't hold, or pandas has
    nothing for a value, such as a time of day with nanoseconds.
    """
    if table.num_columns > WIDE:
        starts = range(0, table.num_columns, WIDE)
        slices = (range(n, min(n + WIDE, table.num_columns)) for n in starts)
        return pd.concat([to_frame(table.select(list(each))) for each in slices], axis=1)
    looked_at = [(n, kind) for n, arrow in enumerate(table.schema.types) if (kind := _kind(arrow))]
    if not looked_at:
        return _plain_frame(table)
    frame = _plain_frame(in_order(table))
    for position, kind in looked_at:
        field, column = table.field(position), table.column(position)
        if kind == "nested":
            if _times_inside(field.type):
                of_frame = b"pandas" in (table.schema.metadata or ())
                frame[field.name] = _with_times(field.name, column, of_frame)
            elif _lacks_inside(column):  # which would make floats of the whole numbers beside
                whole = column.to_pandas(use_threads=False, integer_object_nulls=True)
                frame[field.name] = whole
        elif kind == "category":
            frame[field.name] = _with_kind(frame[field.name], field.type.value_type)
        elif kind == "int":
            if column.null_count and frame.dtypes.iloc[position] == "float64":
                exact_floats(field.name, column)
        elif (column.null_count or NULLABLE in (field.metadata or ())) and (
            frame.dtypes.iloc[position] != "boolean"
        ):
            frame[field.name] = frame[field.name].astype("boolean")
    return frame


def in_order(table: pa.Table) -> pa.Table:
    """Return a table whose ordered categories have one list each: pyarrow joins in any order."""
    for position, field in enumerate(table.schema):
        column = table.column(position)
        if not pa.types.is_dictionary(field.type) or not field.type.ordered:
            continue
        lists = [chunk.dictionary for chunk in column.chunks]
        if any(not each.equals(lists[0]) for each in lists[1:]):
            whole = pa.array(ordered_union(field.name, lists), field.type.value_type)
            codes = pc.index_in(column.cast(whole.type), whole)
            table = table.set_column(position, field, coded(codes, whole, field.type))
    return table


def coded(codes: pa.ChunkedArray, values: pa.Array, kind: pa.DataType) -> pa.ChunkedArray:
    """Return categories from the position of each in a list."""
    codes = codes.cast(kind.index_type)
    chunks = codes.chunks if codes.num_chunks else [pa.array([], kind.index_type)]
    made = [pa.DictionaryArray.from_arrays(c, values, ordered=kind.ordered) for c in chunks]
    return pa.chunked_array(made)


def ordered_union(name: str, lists: Iterable[Iterable[Any]], rows: int = 0) -> list[Any]:
    """Join lists of ordered categories, of so many rows, to one in which each keeps its order.

    Raises TableError: two say the opposite of each other.

    Examples
    --------
    >>> ordered_union("size", [["S", "L"], ["S", "M", "L", "XL"]])
    ['S', 'M', 'L', 'XL']
    """
    first, *others = [list(each) for each in lists]
    for other in others:
        at = 0
        for number, value in enumerate(other):
            if value not in first:  # before what comes behind it here, else last
                behind = (first.index(v) for v in other[number:] if v in first)
                first.insert(next(behind, len(first)), value)
            elif first.index(value) < at:
                raise TableError(
                    f"column {name!r}: of its ordered categories {str(value)!r} is before "
                    f"{str(first[at - 1])!r} in some files and behind in others. Write one order, "
                    f"or have text: {asking(name, 'to_string')}, or of a dataframe "
                    f"{asking(name, 'to_string', of_frame=True)}.",
                    rows,
                    lasting=True,
                )
            at = first.index(value) + 1
    return first


def _plain_frame(table: pa.Table) -> pd.DataFrame:
    """Return what pyarrow makes of a table; name the column that it makes nothing of."""
    try:
        frame: pd.DataFrame = _without_index(table).to_pandas(use_threads=False)
    except (pa.ArrowException, ValueError, OverflowError) as error:
        for field, column in zip(table.schema, table.columns, strict=True):
            try:
                column.to_pandas(use_threads=False)
            except (pa.ArrowException, ValueError, OverflowError):
                raise TableError(
                    f"column {field.name!r}: pandas can't hold its values, which are {field.type}: "
                    f"{error}. Leave it out: .drop_columns({field.name!r}).",
                    len(table),
                ) from None
        raise TableError(f"pandas can't hold the rows: {error}.", len(table)) from None
    return frame


@lru_cache(maxsize=1024)
def _kind(arrow: pa.DataType) -> str:
    if pa.types.is_boolean(arrow):
        return "bool"
    if pa.types.is_nested(arrow):
        return "nested"
    if pa.types.is_dictionary(arrow):
        return "category"
    return "int" if pa.types.is_int64(arrow) or pa.types.is_uint64(arrow) else ""


def _lacks_inside(column: pa.ChunkedArray) -> bool:
    if pa.types.is_integer(column.type):
        return bool(column.null_count)
    return pa.types.is_nested(column.type) and any(map(_lacks_inside, inner_columns(column)))


@lru_cache(maxsize=1024)
def _times_inside(arrow: pa.DataType, named: bool = False) -> bool:
    """Return whether pyarrow changes times inside.

    In lists it leaves out their zone; in objects, ``named``, nanoseconds are whole numbers.
    """
    if pa.types.is_nested(arrow):
        named = named or pa.types.is_struct(arrow) or pa.types.is_map(arrow)
        return any(_times_inside(arrow.field(n).type, named) for n in range(arrow.num_fields))
    zoned = pa.types.is_timestamp(arrow) and arrow.tz is not None
    return zoned or (named and getattr(arrow, "unit", "") == "ns" and not pa.types.is_time(arrow))


def _with_times(name: str, column: pa.ChunkedArray, of_frame: bool) -> pd.Series:
    """Return nested values with times as Python has them.

    Raises TableError: the first that has nanoseconds, or is of a year that Python has not.
    """
    whole: pd.Series
    try:
        exact = hold(column, _in_microseconds(column.type))
        whole = exact.to_pandas(
            use_threads=False, integer_object_nulls=True, timestamp_as_object=True
        )
    except CoercionError as error:
        path, what = error.path, f"{error.value} has nanoseconds"
    except (pa.ArrowException, ValueError, OverflowError) as error:
        path, what = "", f"a time can't be one of Python's ({error})"
    else:
        return whole
    raise TableError(
        f"column {name!r}, at {name}{path}: {what}, and inside lists and objects times are "
        f"Python's. Read the column as text: {asking(name, 'to_string', of_frame)}.",
        len(column),
        lasting=True,
    )


def _in_microseconds(arrow: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(arrow):
        fields = [arrow.field(n) for n in range(arrow.num_fields)]
        return pa.struct([each.with_type(_in_microseconds(each.type)) for each in fields])
    if pa.types.is_map(arrow):
        return pa.map_(_in_microseconds(arrow.key_type), _in_microseconds(arrow.item_type))
    if pa.types.is_nested(arrow):
        return pa.list_(arrow.value_field.with_type(_in_microseconds(arrow.value_type)))
    if pa.types.is_timestamp(arrow) and arrow.unit == "ns":
        return pa.timestamp("us", arrow.tz)
    return pa.duration("us") if arrow.equals(pa.duration("ns")) else arrow


def _with_kind(column: pd.Series, kind: pa.DataType) -> pd.Series:
    """Return categories their zone, and those without a value their kind: pyarrow leaves it out."""
    values: Any = column.cat.categories
    if getattr(kind, "tz", None):
        values = pd.DatetimeIndex(values).tz_localize("UTC").tz_convert(kind.tz)
    elif len(values) or not pa.types.is_string(kind):
        return column
    else:
        values = pd.Index([""]).delete(0)  # of what pandas has texts as
    return column.cat.rename_categories(values)


def exact_floats(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return whole numbers as float64, as pandas does, and fail where it would round them.

    Raises TableError: the first value that float64 can't hold.
    """
    try:
        return hold(column, pa.float64())
    except CoercionError as error:
        raise TableError(
            f"column {name!r}: {error.value} is a whole number that float64 can't hold, and "
            "float64 it must be beside missing or decimal values. Read it as text: "
            f"{asking(name, 'to_string')}.",
            len(column),
        ) from None


def inner_columns(column: pa.ChunkedArray) -> Iterator[pa.ChunkedArray]:
    """Yield what is inside nested values."""
    for chunk in column.chunks:
        if pa.types.is_map(chunk.type):
            parts = [chunk.keys, chunk.items]
        else:
            flat = chunk.flatten()
            parts = flat if isinstance(flat, list) else [flat]
        yield from (pa.chunked_array([part]) for part in parts)


def _without_index(table: pa.Table) -> pa.Table:
    """Take the index out of pandas' metadata: its columns are columns here."""
    metadata = table.schema.metadata
    if not metadata or b"pandas" not in metadata:
        return table
    plain = _plain_metadata(metadata[b"pandas"])
    return table.replace_schema_metadata({**metadata, b"pandas": plain})


@lru_cache(maxsize=256)
def _plain_metadata(text: bytes) -> bytes:
    told: dict[str, Any] = json.loads(text)
    told["index_columns"] = []
    return json.dumps(told).encode()
