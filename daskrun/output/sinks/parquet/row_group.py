"""A row group on its way from the script process that made it to the one Parquet file of a run.

What a script process writes for a mini-batch is *header* and *body*. The body is the row group's
bytes, as they will be in the output. The header is what the output's footer needs of it: the frame,
which is the footer without row groups, and the row group's metadata, with all numbers open that
depend on where in the output the body will be.
"""

from __future__ import annotations

import os
import zlib
from io import BytesIO
from itertools import chain
from struct import Struct, error, iter_unpack
from typing import TYPE_CHECKING, Any, NamedTuple

from daskrun.output.sinks.parquet.thrift import (
    I64,
    LIST,
    STRUCT,
    Elements,
    Field,
    Open,
    Template,
    list_head,
    packed,
    read_struct,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

MAGIC = b"PAR1"
TAIL = 8
"""Bytes behind a footer: its length, and the magic."""
MOST_FOOTER = 2**31 - 1
"""Bytes of a footer: what readers can count."""

# The fields of parquet.thrift that are looked at, by their numbers.
_FILE_ROWS, _FILE_GROUPS = 3, 4
_GROUP_COLUMNS, _GROUP_ROWS, _GROUP_OFFSET, _GROUP_ORDINAL = 1, 3, 5, 7
_CHUNK_OFFSET, _CHUNK_META = 2, 3
_CHUNK_INDEXES = frozenset({4, 5, 6, 7})
_META_TYPE = 1
_META_OFFSETS = frozenset({9, 10, 11})
_META_BLOOM = frozenset({14, 15})
_SCHEMA, _ELEMENT_TYPE = 2, 1

PLACE, TYPE = 0, 1
"""What is open in metadata: a place in the output; the physical type of a column of nulls."""
_HEADER = Struct("<IIIIIQ")
"""CRC-32 of the rest, bytes of the frame's two halves, count of open numbers, bytes of metadata,
rows."""
_OPEN = Struct("<IBq")
Changes = dict[int, "Callable[[Any], Any] | None"]
"""What becomes of the value of a field, by the field's number."""


class Frame(NamedTuple):
    """A footer without what it says of row groups."""

    before: bytes
    """Up to the number of rows."""
    after: bytes
    """From behind the row groups on."""


class RowGroup(NamedTuple):
    """What a footer says of one row group."""

    rows: int
    open: bytes
    """What is open in the metadata: :data:`_OPEN` each."""
    metadata: bytes

    def filled(self, place: int, types: list[int]) -> bytes:
        """Return the metadata of a row group whose bytes begin at ``place`` in the output.

        ``types`` are the physical types of the output's columns.
        """
        metadata, done, found = self.metadata, 0, []
        for at, what, value in iter_unpack(_OPEN.format, self.open):
            found.append(metadata[done:at])
            found.append(packed(place + value if what == PLACE else types[value]))
            done = at
        found.append(metadata[done:])
        return b"".join(found)


def row_group_of(file: bytes, nulls: frozenset[int]) -> tuple[bytes, int]:
    """Return header and body of a Parquet file's one row group, and the length of the header.

    ``nulls`` are the numbers of its columns that have no value, and will have whatever type those
    of other row groups have. ValueError: it is no such file.
    """
    start = len(file) - TAIL - int.from_bytes(file[-TAIL:-4], "little")
    frame, groups = read_footer(file[start:-TAIL])
    if len(groups) != 1:
        raise ValueError(f"a Parquet file of {len(groups)} row groups, where one is expected")
    header = _header(frame, groups[0], nulls, len(MAGIC))
    return b"".join((header, memoryview(file)[len(MAGIC) : start])), len(header)


def headers_again(file: Path, places: Iterable[int]) -> Iterator[bytes]:
    """Yield the header of each row group of a file, as it was when that was put together.

    ``places`` are where each begins. ValueError: there aren't as many.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with file.open("rb") as opened:
        size = opened.seek(-TAIL, os.SEEK_END)
        length = int.from_bytes(opened.read(4), "little")
        opened.seek(size - length)
        frame, groups = read_footer(opened.read(length))
    nulls = null_leaves(pq.read_schema(pa.BufferReader(empty_file(frame))))
    for group, start in zip(groups, places, strict=True):
        yield _header(frame, group, nulls, start)


def _header(frame: Frame, group: list[Field], nulls: frozenset[int], start: int) -> bytes:
    """Return the header of a row group that begins at ``start`` in its file."""
    template = Template()
    template.struct(_opened(group, nulls, start))
    rows = next(each.value for each in group if each.id == _GROUP_ROWS)
    places = b"".join(_OPEN.pack(*each) for each in template.open)
    rest = b"".join((*frame, places, template.data))
    sizes = len(frame.before), len(frame.after), len(template.open), len(template.data), rows
    return _HEADER.pack(zlib.crc32(rest, zlib.crc32(_HEADER.pack(0, *sizes))), *sizes) + rest


def read_header(header: bytes) -> tuple[Frame, RowGroup]:
    """Return what a header holds, or raise ValueError: it is not what was written."""
    try:
        crc, before, after, places, metadata, rows = _HEADER.unpack_from(header)
    except error:
        raise ValueError("the header of a row group is cut off") from None
    sizes = before, after, places, metadata, rows
    if zlib.crc32(memoryview(header)[_HEADER.size :], zlib.crc32(_HEADER.pack(0, *sizes))) != crc:
        raise ValueError("the header of a row group has another CRC than it was written with")
    parts, at = [], _HEADER.size
    for size in (before, after, places * _OPEN.size, metadata):
        parts.append(header[at : at + size])
        at += size
    return Frame(*parts[:2]), RowGroup(rows, *parts[2:])


def read_footer(footer: bytes) -> tuple[Frame, list[list[Field]]]:
    """Return the frame of a footer, and the metadata of its row groups."""
    fields, _ = read_struct(footer)
    by_id = {each.id: each for each in fields}
    rows, groups = by_id[_FILE_ROWS], by_id[_FILE_GROUPS]
    if (rows.kind, groups.kind) != (I64, LIST) or groups.start != rows.stop + 1:
        raise ValueError("a Parquet footer of another layout than is known")
    return Frame(footer[: rows.start], footer[groups.stop :]), list(groups.value.values)


def footer_start(frame: Frame, rows: int, groups: int) -> bytes:
    """Return what is before the metadata of the first row group."""
    list_field = bytes([(_FILE_GROUPS - _FILE_ROWS) << 4 | LIST])
    return frame.before + packed(rows) + list_field + list_head(groups, STRUCT)


def footer_end(length: int) -> bytes:
    """Return what is behind a footer of so many bytes."""
    return length.to_bytes(4, "little") + MAGIC


def empty_file(frame: Frame) -> bytes:
    """Return a Parquet file without rows, for what reads its schema."""
    footer = footer_start(frame, 0, 0) + frame.after
    return MAGIC + footer + footer_end(len(footer))


def physical_types(frame: Frame) -> list[int]:
    """Return the physical type of each column."""
    fields, _ = read_struct(footer_start(frame, 0, 0) + frame.after)
    schema = next(each.value for each in fields if each.id == _SCHEMA)
    elements = [{each.id: each.value for each in element} for element in schema.values]
    return [each[_ELEMENT_TYPE] for each in elements if _ELEMENT_TYPE in each]  # of leaves


def _opened(group: list[Field], nulls: frozenset[int], start: int) -> list[Field]:
    """Return the metadata of a row group, open where it depends on where that will be."""

    def place(offset: int) -> Open:
        return Open(PLACE, offset - start)  # relative to the body's beginning

    def chunks(columns: Elements) -> Elements:
        numbered = enumerate(columns.values)
        return Elements(STRUCT, [_opened_chunk(each, n, n in nulls, place) for n, each in numbered])

    # the ordinal may be left out, and has room for 32,767 only
    changes: Changes = {_GROUP_OFFSET: place, _GROUP_COLUMNS: chunks, _GROUP_ORDINAL: None}
    return _changed(group, changes)


def _opened_chunk(
    chunk: list[Field], number: int, is_null: bool, place: Callable[[int], Open]
) -> list[Field]:
    meta: Changes = {**dict.fromkeys(_META_BLOOM), **dict.fromkeys(_META_OFFSETS, place)}
    if is_null:
        meta[_META_TYPE] = lambda _: Open(TYPE, number)
    changes: Changes = {
        **dict.fromkeys(_CHUNK_INDEXES),  # these hold places themselves, and may be left out
        _CHUNK_OFFSET: lambda offset: offset and place(offset),  # today 0: it is of no use
        _CHUNK_META: lambda fields: _changed(fields, meta),
    }
    return _changed(chunk, changes)


def _changed(fields: list[Field], changes: Changes) -> list[Field]:
    """Return fields, the values of some changed; those with None for a change are left out."""
    changed = []
    for field in fields:
        if field.id not in changes:
            changed.append(field)
        elif (change := changes[field.id]) is not None:
            changed.append(field._replace(value=change(field.value)))
    return changed


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
