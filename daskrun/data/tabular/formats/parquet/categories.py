"""Lists of the values of categories: of a dataframe's, and of those in an order.

A dataframe's are kept in its Parquet files beside what pandas keeps.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from daskrun.core.json_text import parsed
from daskrun.data.libraries import pa, pc
from daskrun.data.tabular.values.frame import coded, ordered_union
from daskrun.data.tabular.values.types import arrow_type

FRAME_KEY = b"daskrun.frame"
"""In a dataframe's file: JSON of its columns as a reader has them, and of the list of values of
each category."""


def category_values(table: pa.Table) -> dict[str, str]:
    """Return the values of each category column as text, for a file's metadata."""
    values = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_dictionary(column.type) and column.num_chunks:
            values[name] = pack_values(column.unify_dictionaries().chunk(0).dictionary)
    return values


def orders_of(
    columns: Iterable[tuple[str, str]], lists: Callable[[str], Sequence[pa.Array]]
) -> dict[str, str]:
    """Return the one list of each column of ordered categories, from those that files have.

    Raises TableError: two have them in opposite orders.
    """
    found = {}
    for name, text in columns:
        if getattr(arrow_type(text), "ordered", False) and (known := lists(name)):
            found[name] = pack_values(pa.array(ordered_union(name, known), known[0].type))
    return found


def recoded(name: str, column: pa.ChunkedArray, values: pa.Array) -> tuple[pa.ChunkedArray, int]:
    """Return a category with this list of values, or one that has its own in between, in order.

    The second is the row of the first value that is none of the list; -1: there is none. Raises
    TableError: its own list has them in the opposite order.
    """
    kind, plain = column.type, column.cast(values.type)
    codes, whole, row = pc.index_in(plain, values), values, -1
    if kind.ordered:
        lists = [values, *(chunk.dictionary for chunk in column.chunks)]
        whole = pa.array(ordered_union(name, lists, len(column)), values.type)
    if codes.null_count > column.null_count:
        if not kind.ordered:  # a partition of Dask's has values of its own
            return column, -1
        row = pc.index(pc.and_(codes.is_null(), column.is_valid()), True).as_py()
        codes, values = pc.index_in(plain, whole), whole
    return coded(codes, values, kind), row


def with_orders(table: pa.Table, schema: pa.Schema, file: Any) -> pa.Table:
    """Return a dataframe's ordered categories that Parquet made plain values of, such as numbers.

    ``file``: an open ``ParquetFile``, whose metadata have their lists.
    """
    for position, field in enumerate(table.schema):
        kind = schema.field(field.name).type
        if getattr(kind, "ordered", False) and not pa.types.is_dictionary(field.type):
            told = parsed(file.metadata.metadata[FRAME_KEY])["dictionaries"]
            values = unpack_values(told[field.name])
            codes = pc.index_in(table.column(position).cast(values.type), values)
            table = table.set_column(position, field.name, coded(codes, values, kind))
    return table


def pack_values(values: pa.Array) -> str:
    """Return a list of values as text."""
    table = pa.table({"values": values})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return base64.b64encode(sink.getvalue().to_pybytes()).decode()


def unpack_values(text: str) -> pa.Array:
    """Read what :func:`pack_values` wrote."""
    with pa.ipc.open_stream(pa.py_buffer(base64.b64decode(text))) as stream:
        column = stream.read_all().column(0)
    # None of the values is missing, and a list without values has no chunk.
    return column.combine_chunks() if column.num_chunks else pa.array([], column.type)
