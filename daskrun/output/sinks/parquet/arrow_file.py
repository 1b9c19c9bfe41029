"""Tables of Arrow as Parquet files of one row group, whatever values they hold."""

from __future__ import annotations

from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def file_of(table: Any) -> bytes:
    """Return a whole Parquet file that holds a table as one row group.

    Its pages have checksums. What all nulls is isn't known, so such a column is written in the one
    way that suits each type: without a dictionary.
    """
    import pyarrow.parquet as pq

    nulls = null_leaves(table.schema)
    paths = [path for path, _ in _leaves(table.schema)]
    unknown = {paths[leaf] for leaf in nulls}
    file = BytesIO()
    with pq.ParquetWriter(
        file,
        table.schema,
        version="2.6",
        compression="snappy",
        use_dictionary=[path for path in paths if path not in unknown] if unknown else True,
        write_page_checksum=True,
    ) as writer:
        if len(table):
            writer.write_table(table, row_group_size=len(table))
    return file.getvalue()


def plain(table: Any) -> Any:
    """Return a table whose types don't depend on which values it holds or how pandas keeps them."""
    import pyarrow as pa

    table = table.replace_schema_metadata(None)
    fields = [field.with_type(_plain_type(field.type)) for field in table.schema]
    schema = pa.schema([pa.field(field.name, field.type) for field in fields])
    return table if schema == table.schema else table.cast(schema)


def null_leaves(schema: Any) -> frozenset[int]:
    """Return the numbers of the columns, as Parquet counts them, of which only nulls are known."""
    return frozenset(n for n, (_, unknown) in enumerate(_leaves(schema)) if unknown)


def _plain_type(kind: Any) -> Any:
    import pyarrow as pa

    is_ = pa.types
    if is_.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if is_.is_large_string(kind) or is_.is_string_view(kind):
        return pa.string()
    if is_.is_large_binary(kind) or is_.is_binary_view(kind):
        return pa.binary()
    if is_.is_large_list(kind) or is_.is_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    if is_.is_struct(kind):
        return pa.struct([(each.name, _plain_type(each.type)) for each in kind])
    return kind


def _leaves(schema: Any) -> Iterator[tuple[str, bool]]:
    """Return path and whether it is of nulls only, of each column that Parquet file would have."""
    return chain.from_iterable(_leaves_of(field.name, field.type) for field in schema)


def _leaves_of(path: str, kind: Any) -> Iterator[tuple[str, bool]]:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        for each in kind:
            yield from _leaves_of(f"{path}.{each.name}", each.type)
    elif pa.types.is_map(kind):
        yield from _leaves_of(f"{path}.key_value.key", kind.key_type)
        yield from _leaves_of(f"{path}.key_value.value", kind.item_type)
    elif pa.types.is_nested(kind):  # what is left are lists
        yield from _leaves_of(f"{path}.list.element", kind.value_type)
    else:
        yield path, bool(pa.types.is_null(kind))
