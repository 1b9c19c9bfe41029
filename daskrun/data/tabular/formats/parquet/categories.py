"""The values of a dataframe's categories, kept in its Parquet files beside what pandas keeps."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

FRAME_KEY = b"daskrun.frame"
"""In a dataframe's file: JSON of its columns as a reader has them, and of the list of values of
each category."""


def category_values(table: pa.Table) -> dict[str, str]:
    """Return the values of each category column as text, for a file's metadata."""
    import pyarrow as pa

    values = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_dictionary(column.type) and column.num_chunks:
            values[name] = _pack(column.unify_dictionaries().chunk(0).dictionary)
    return values


def _pack(values: pa.Array) -> str:
    import pyarrow as pa

    table = pa.table({"values": values})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return base64.b64encode(sink.getvalue().to_pybytes()).decode()


def unpack_values(text: str) -> pa.Array:
    """Read what :func:`category_values` wrote of a column."""
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(base64.b64decode(text))) as stream:
        column = stream.read_all().column(0)
    # None of the values is missing, and a list without values has no chunk.
    return column.combine_chunks() if column.num_chunks else pa.array([], column.type)
