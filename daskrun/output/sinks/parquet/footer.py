"""The footer of a run's Parquet file: gathered while its row groups are put together."""

from __future__ import annotations

import tempfile
from array import array
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.errors import StorageError, WrongResultError
from daskrun.output.sinks.by_name import WAY_OUT
from daskrun.output.sinks.parquet.row_group import (
    MAGIC,
    MOST_FOOTER,
    Frame,
    RowGroup,
    empty_file,
    file_of,
    footer_end,
    footer_start,
    physical_types,
    read_footer,
    read_header,
)
from daskrun.output.sinks.sink import Headers, LostRowsError, PutByName
from daskrun.storage.error_hints import explained

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_MEMORY = 8 * 2**20
"""Bytes of metadata in memory; more wait in a file without a name."""
BLOCK = 2**20
"""Bytes of the footer that are given at once."""
LARGE = 64 * 2**20
"""Bytes from which a footer, which each reader reads whole, is warned of."""
PLACE_SIZE = 5
"""Bytes that a place takes in the end, about: a number of up to 34 bits."""
WIDTH = 6
"""Numbers that are kept of each row group."""
MOST_SCHEMAS = 1000
"""Schemas that are remembered with their mini-batch, to be named where another contradicts."""
SHOWN = 10
"""Columns that are named."""


class Footer(Headers):
    """Gathers the headers of row groups and makes the footer of them.

    Headers come in any order, each once. The footer is that of their mini-batches' order. All have
    one schema, but that a column of which a row group holds only nulls has any type.
    """

    aside = True
    by_name = True
    begins = MAGIC

    def __init__(self, spool: str | None = None, union: bool = False) -> None:
        self._spool = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=spool)  # noqa: SIM115
        self._end = 0
        self._length = 0
        """Bytes of the footer, about."""
        self._table = array("q")
        """Of each row group: mini-batch, place in the spool, bytes there of what is open and of
        metadata, rows, bytes of the body."""
        self._schemas = Schemas(union)

    @override
    def take(self, index: int, header: bytes, nbytes: int) -> bool:
        """Take in a header, which stays aside.

        WrongResultError: it has other columns than another, or the footer becomes too long.
        """
        try:
            frame, group = read_header(header)
        except ValueError as error:
            raise LostRowsError(f"mini-batch {index}: {error}") from error
        self._schemas.add(index, frame)
        self._length += len(group.metadata) + len(group.open) // 13 * PLACE_SIZE
        if self._length > MOST_FOOTER:
            count = len(self._table) // WIDTH
            problem = (
                f"so many row groups ({count:,}, one for each mini-batch) that a Parquet file "
                "can't list them. Give a larger mini_batch_size, or append_row_format='jsonl'"
            )
            raise WrongResultError("row groups", problem)
        try:
            self._spool.seek(self._end)
            self._spool.write(group.open + group.metadata)
        except OSError as error:
            raise StorageError(explained("can't keep what the footer is made of", error)) from error
        row = index, self._end, len(group.open), len(group.metadata), group.rows, nbytes
        self._table.extend(row)
        self._end += len(group.open) + len(group.metadata)
        return False

    @override
    def is_whole(self, header: bytes) -> bool:
        with suppress(ValueError):
            return bool(read_header(header))
        return False

    @override
    def mark(self) -> tuple[int, int, int]:
        return len(self._table), self._end, self._length

    @override
    def rewind(self, mark: tuple[int, int, int]) -> None:
        count, self._end, self._length = mark
        del self._table[count:]

    @property
    @override
    def warnings(self) -> tuple[str, ...]:
        if self._length < LARGE:
            return ()
        text = (
            f"the output's footer takes {self._length / 2**20:,.0f} MiB, for one row group of each "
            "mini-batch, and whatever reads the file reads all of it first: a larger "
            "mini_batch_size makes fewer"
        )
        return (text,)

    @override
    def end(self) -> Iterator[bytes]:
        # where in the table each row group is, in the order of the mini-batches
        order = sorted(range(0, len(self._table), WIDTH), key=self._table.__getitem__)
        frame = self._schemas.frame()
        types = physical_types(frame)
        found = [footer_start(frame, sum(self._table[at + 4] for at in order), len(order))]
        size, length, place = len(found[0]), 0, len(MAGIC)
        for at in order:
            found.append(self._group(at).filled(place, types))
            place += self._table[at + 5]
            size += len(found[-1])
            if size >= BLOCK:
                yield b"".join(found)
                length += size
                found, size = [], 0
        length += size + len(frame.after)
        yield b"".join((*found, frame.after, footer_end(length)))

    @override
    def close(self) -> None:
        self._spool.close()

    def _group(self, at: int) -> RowGroup:
        _, start, places, metadata, rows, _ = self._table[at : at + WIDTH]
        try:
            self._spool.seek(start)
            data = self._spool.read(places + metadata)
        except OSError as error:
            raise StorageError(explained("can't read what the footer is made of", error)) from error
        return RowGroup(rows, data[:places], data[places:])


class Schemas:
    """The one schema of many row groups; with ``union`` they may have other columns."""

    def __init__(self, union: bool = False) -> None:
        self._union = union
        self._seen: set[int] = set()
        self._frame: Frame | None = None
        self._first = 0  # the mini-batch it is of
        self._merged: Any = None
        self._known: list[tuple[int, Any]] = []
        """Mini-batch and schema, of each schema that was new."""

    def add(self, index: int, frame: Frame) -> None:
        """Take in the schema of a mini-batch, or raise WrongResultError: it contradicts another."""
        if frame == self._frame or (seen := hash(frame)) in self._seen:
            return
        if self._frame is None:
            self._frame, self._first = frame, index
            self._seen.add(seen)
            return
        if self._merged is None:
            self._merged = _schema_of(self._frame)
            self._known.append((self._first, self._merged))
        schema = _schema_of(frame)
        merged = merged_schema(self._merged, schema)
        if merged is None:
            self._look_for_names(index, schema)
        self._merged = merged
        self._seen.add(seen)
        if len(self._known) < MOST_SCHEMAS:
            self._known.append((index, schema))

    def _look_for_names(self, index: int, schema: Any) -> None:
        """Raise PutByName where only order or, with union, names differ, else what contradicts."""
        same = sorted(schema.names) == sorted(self._merged.names)
        if (same or self._union) and united(self._merged, schema) is not None:
            raise PutByName
        raise self._contradiction(index, schema)

    def frame(self) -> Frame:
        """Return the frame of the output's footer: that of all, where it is one."""
        if self._frame is not None and self._merged is None:
            return self._frame
        # Made anew, so that it doesn't depend on which came first.
        import pyarrow as pa

        schema = pa.schema([]) if self._merged is None else self._merged
        file = file_of(schema.empty_table())
        length = int.from_bytes(file[-8:-4], "little")
        return read_footer(file[-8 - length : -8])[0]

    def _contradiction(self, index: int, schema: Any) -> WrongResultError:
        other, against = next(
            (each for each in self._known if merged_schema(each[1], schema) is None),
            (self._first, self._merged),
        )
        return contradiction(index, schema, other, against)


def contradiction(index: int, schema: Any, other: int, against: Any) -> WrongResultError:
    """Return the error that the schemas of two mini-batches don't go together."""
    what = "; ".join(_differences(schema, index, against, other))
    problem = (
        f"other columns for mini-batch {index} than for mini-batch {other}, and a Parquet file "
        f"has the same in all its row groups: {what}. Give each column one type whatever its "
        "values are, such as with frame.astype({'score': 'float64'}) or [float(x) for x in "
        "...], and [] where a list has nothing; where columns are lacking, "
        f"{WAY_OUT}; or write append_row_format='jsonl'"
    )
    return WrongResultError("columns", problem)


def merged_schema(one: Any, other: Any) -> Any:
    """Return the schema that two are of, None where they contradict each other."""
    import pyarrow as pa

    if one.names != other.names:
        return None
    kinds = [_merged_type(a.type, b.type) for a, b in zip(one, other, strict=True)]
    if None in kinds:
        return None
    return pa.schema(list(zip(one.names, kinds, strict=True)))


def united(one: Any, other: Any) -> Any:
    """Return the schema of all columns of two; None where one column has two types."""
    import pyarrow as pa

    kinds = dict(zip(one.names, one.types, strict=True))
    for name, kind in zip(other.names, other.types, strict=True):
        kinds[name] = _merged_type(kinds[name], kind) if name in kinds else kind
    return None if None in kinds.values() else pa.schema(list(kinds.items()))


def _merged_type(one: Any, other: Any) -> Any:
    import pyarrow as pa

    is_ = pa.types
    if one == other:
        return one
    for a, b in ((one, other), (other, one)):
        if is_.is_null(a) and not is_.is_nested(b):
            return b
    if is_.is_list(one) and is_.is_list(other):
        kind = _merged_type(one.value_type, other.value_type)
        return None if kind is None else pa.list_(kind)
    if is_.is_struct(one) and is_.is_struct(other):
        fields = merged_schema(pa.schema(list(one)), pa.schema(list(other)))
        return None if fields is None else pa.struct(list(fields))
    return None


def _schema_of(frame: Frame) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_schema(pa.BufferReader(empty_file(frame))).remove_metadata()


def _differences(schema: Any, index: int, against: Any, other: int) -> Iterator[str]:
    """Yield where two schemas differ, column by column."""
    found = []
    for name in dict.fromkeys([*against.names, *schema.names]):
        if name not in schema.names:
            found.append(f"column {name!r} is missing in mini-batch {index}")
        elif name not in against.names:
            found.append(f"column {name!r} is missing in mini-batch {other}")
        else:
            here, there = schema.field(name).type, against.field(name).type
            if _merged_type(here, there) is None:
                found.append(f"column {name!r} is {here} in {index}, {there} in {other}")
    yield from found[:SHOWN]
    if len(found) > SHOWN:
        yield f"and {len(found) - SHOWN} more"
    if not found:
        yield f"columns are {schema.names} in {index}, {against.names} in {other}"
