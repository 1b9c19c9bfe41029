"""Reading Parquet files: rows of row groups, only the columns kept, into the one schema."""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.data.input_changes import cut_short
from daskrun.data.libraries import np, pa, pq
from daskrun.data.tabular.formats.contract import Look, Piece, PieceFile, Rows
from daskrun.data.tabular.formats.parquet.categories import recoded, unpack_values, with_orders
from daskrun.data.tabular.formats.parquet.ranges import bring
from daskrun.data.tabular.formats.parquet.row_groups import reason, unreadable
from daskrun.data.tabular.formats.typed_columns import TypedReader
from daskrun.data.tabular.values.coercion import Change, listed
from daskrun.data.tabular.values.fitting import without_columns
from daskrun.data.tabular.values.kinds import lacking
from daskrun.data.tabular.values.types import arrow_schema
from daskrun.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from daskrun.data.remote_files import RemoteFolder
    from daskrun.data.tabular.formats.node_cache import NodeCache
    from daskrun.data.tabular.formats.parquet.spec import ParquetSpec
    from daskrun.data.tabular.values.fitting import Where

_OPEN = 2
"""Files held open: the pieces of a bundle are consecutive. What was brought lies on the disk as
long as it is open."""
_BUFFER = 256 * 1024
"""Bytes read ahead of each column chunk while rows are taken out of a large row group; 12 columns
of 80 MB were decoded in a quarter of the memory that reading whole chunks takes, as fast."""
_BATCH = 64 * 1024
"""Most rows decoded at a time out of a large row group."""


class ParquetReader(TypedReader):
    """Reads pieces of Parquet files.

    Columns are found by name. What differs from the schema is cast where nothing is lost; an
    integer column that meets missing values becomes float64 in that piece, with a warning.
    """

    def __init__(self, spec: ParquetSpec, secrets: Mapping[str, Any], cache: NodeCache) -> None:
        super().__init__(spec, secrets, cache, of_frame=bool(spec.pandas))
        # Now, before a script process says that it is ready: 40 ms of the first piece otherwise.
        import pyarrow.parquet  # noqa: F401

        self._pandas = spec.pandas or ""
        packed = spec.dictionaries or {}
        self._dictionaries = {name: unpack_values(text) for name, text in packed.items()}
        self._schema = arrow_schema(self._columns)
        self._names = set(self._schema.names)
        if self._pandas:
            self._schema = self._schema.with_metadata({b"pandas": self._pandas.encode()})
        self._open: OrderedDict[tuple[int, ...], _OpenFile] = OrderedDict()

    @classmethod
    @override
    def bring(
        cls,
        spec: ParquetSpec,
        folder: RemoteFolder,
        columns: Sequence[str],
        what: Piece | Look,
        target: str,
        cache: NodeCache,
    ) -> None:
        bring(folder, columns, what, target, cache)

    @override
    def read(self, piece: Piece, file: PieceFile, columns: Sequence[str], ids: bool) -> Rows:
        opened = self._opened(file)
        start = int(piece.start)
        stop = opened.starts[-1] if piece.stop is None else int(piece.stop)
        asked = set(columns)
        wanted = [(name, text) for name, text in self._columns if name in asked]
        opened.check([name for name, _ in wanted], stop, stop - start)
        found = opened.rows(start, stop, [n for n, _ in wanted])
        if self._pandas:
            found = with_orders(found, self._schema, opened.file)
        table = self._fitted(found, wanted, file, start)
        numbers = np.arange(start, stop, dtype=np.uint64) if ids else None
        return Rows(table, numbers)

    @override
    def empty(self, columns: Sequence[str]) -> pa.Table:
        fields = [field for field in self._schema if field.name in set(columns)]
        none = [(f.name, pa.chunked_array([], type=f.type)) for f in fields]
        arrays = [self._recoded(name, column, str) for name, column in none]
        return pa.Table.from_arrays(arrays, schema=self._schema_of(fields))

    def _opened(self, file: PieceFile) -> _OpenFile:
        """Open a file, or go on with one that is: by what it is, not by its path."""
        try:
            found = os.stat(file.path)  # noqa: PTH116  (1 µs a mini-batch rather than 3)
            # What was brought is never changed, but the cache it is linked from sets its time.
            time = 0 if file.brought else found.st_mtime_ns
            key = (found.st_dev, found.st_ino, found.st_size, time)
            opened = self._open.get(key)
            if opened is None:
                opened = _OpenFile(file)
                self._tell_others(opened)
                self._open[key] = opened
            opened.shown = file.shown
        except TableError:
            raise
        except Exception as error:  # pyarrow's own, and those of the operating system
            cuts = (each.cut() for each in self._open.values() if each.path == file.path)
            why = next(filter(None, cuts), "") or unreadable(file.shown, error)
            raise TableError(why) from error
        self._open.move_to_end(key)
        while len(self._open) > _OPEN:
            self._open.popitem(last=False)[1].close()
        return opened

    def _fitted(
        self, table: pa.Table, wanted: Sequence[tuple[str, str]], file: PieceFile, first: int
    ) -> pa.Table:
        names = [name for name, _ in wanted]
        if not self._dictionaries and (done := self._fitter.as_found(table, names)) is not None:
            return done.replace_schema_metadata(self._schema.metadata)

        def where(row: int) -> str:
            return f"{file.shown}, row {first + row}"

        arrays, fields = [], []
        for name, _ in wanted:
            field, column = self._schema.field(name), table.column(name)
            # What pandas wrote with its own types has them from its own metadata.
            if not (self._pandas and column.type.equals(field.type)):
                column = self._fitter.column(name, column, where)
            arrays.append(self._recoded(name, column, where))
            fields.append(field.with_type(column.type))
        if not arrays:
            return without_columns(table.num_rows)
        return pa.Table.from_arrays(arrays, schema=self._schema_of(fields))

    def _schema_of(self, fields: list[pa.Field]) -> pa.Schema:
        return pa.schema(fields, metadata=self._schema.metadata)

    def _recoded(self, name: str, column: pa.ChunkedArray, where: Where) -> pa.ChunkedArray:
        """Return a category its whole list of values, which a row group doesn't have."""
        if name not in self._dictionaries:
            return column
        made, row = recoded(name, column, self._dictionaries[name])
        if row >= 0:
            self._fitter.changed(name, column, Change.CATEGORIES, row, where)
        return made

    def _tell_others(self, opened: _OpenFile) -> None:
        """Say, for the first such file, that it has columns which the first of all has not."""
        others = sorted(opened.names - self._names)
        others += opened.fields_beside(self._schema)
        if others:
            text = (
                f"{opened.shown} has {listed(others)}, which the files that columns come from have "
                "not: what they lack is left out. To have it give a list of paths in which a file "
                "with all columns is first."
            )
            self._warnings.add("others", text)


class _OpenFile:
    """A Parquet file with what of it is being read."""

    def __init__(self, file: PieceFile) -> None:
        self.path = file.path
        self._size = os.stat(file.path).st_size  # noqa: PTH116  (as above)
        self.shown = file.shown
        self.file = pq.ParquetFile(file.path, pre_buffer=False)
        self.starts = [0]
        metadata = self.file.metadata
        for n in range(metadata.num_row_groups):
            self.starts.append(self.starts[-1] + metadata.row_group(n).num_rows)
        if metadata.num_rows not in (0, self.starts[-1]):  # what it was cut by
            raise ValueError(
                f"it says that it has {metadata.num_rows} rows, and its row groups have "
                f"{self.starts[-1]}"
            )
        self.names = set(self.file.schema_arrow.names)
        self._stream: _Stream | None = None

    def fields_beside(self, schema: pa.Schema) -> list[str]:
        """Return the fields inside its columns that another schema's have not."""
        found: list[str] = []
        for field in self.file.schema_arrow:
            position = schema.get_field_index(field.name)
            if position >= 0 and not field.type.equals(schema.field(position).type):
                found += lacking(field.type, schema.field(position).type, field.name)
        return found

    def close(self) -> None:
        """Close it."""
        self._stream = None
        self.file.close()

    def cut(self) -> str:
        """Return what to say of a file that was cut short since it was opened; else ``""``."""
        with suppress(OSError):
            if (found := os.stat(self.path).st_size) < self._size:  # noqa: PTH116
                return cut_short(self.shown, self._size, found)
        return ""

    def check(self, columns: list[str], stop: int, items: int) -> None:
        """Fail if it lacks a column or rows."""
        if stop > self.starts[-1]:
            raise TableError(
                f"{self.shown} has {self.starts[-1]} rows and had more when the run was submitted: "
                "it has been changed. Submit the run again.",
                items,
            )
        for name in columns:
            if name not in self.names:
                raise TableError(
                    f"{self.shown} has no column {name!r}, which other files have; it has "
                    f"{', '.join(map(repr, self.file.schema_arrow.names[:20]))}. Write the file "
                    "with that column, give a path that leaves the file out, or leave the column "
                    f"out: .drop_columns({name!r}).",
                    items,
                )

    def rows(self, start: int, stop: int, columns: list[str]) -> pa.Table:
        """Read rows: row groups that are whole at once, parts of one by going through it."""
        if not columns:
            return pa.table({"rows": pa.nulls(stop - start)}).select([])
        parts: list[pa.Table] = []
        whole: list[int] = []
        for group in self._groups(start, stop):
            low, high = self.starts[group], self.starts[group + 1]
            if start <= low and high <= stop:
                whole.append(group)
                continue
            parts += self._whole(whole, columns)
            whole = []
            parts.append(self._part(group, max(start, low), min(stop, high), columns))
        parts += self._whole(whole, columns)
        if not parts:
            return self.file.schema_arrow.empty_table().select(columns)
        return parts[0] if len(parts) == 1 else pa.concat_tables(parts)

    def _groups(self, start: int, stop: int) -> Iterator[int]:
        from bisect import bisect_right

        group = bisect_right(self.starts, start) - 1
        while group < len(self.starts) - 1 and self.starts[group] < stop:
            if self.starts[group] < self.starts[group + 1]:
                yield group
            group += 1

    def _whole(self, groups: list[int], columns: list[str]) -> list[pa.Table]:
        if not groups:
            return []
        rows = sum(self.starts[g + 1] - self.starts[g] for g in groups)
        try:
            table = self.file.read_row_groups(groups, columns=columns, use_threads=False)
        except Exception as error:  # what pyarrow raises depends on what is damaged
            raise TableError(self._damaged(groups, error), rows) from error
        if table.num_rows != rows:
            raise TableError(self._fewer(groups, rows, table.num_rows), rows)
        return [table]

    def _part(self, group: int, start: int, stop: int, columns: list[str]) -> pa.Table:
        """Take rows out of a row group, going on where the last piece of it ended."""
        stream = self._stream
        if stream is None or not stream.leads_to(group, start, columns):
            batch = min(_BATCH, stop - start)
            stream = _Stream(self.path, group, self.starts[group], columns, batch)
        self._stream = None  # one that fails can't go on
        try:
            stream.skip(start)
            table = stream.take(stop)
        except Exception as error:  # as above
            raise TableError(self._damaged([group], error), stop - start) from error
        if table.num_rows != stop - start:
            rows = self.starts[group + 1] - self.starts[group]
            raise TableError(self._fewer([group], rows, stream.row - self.starts[group]), rows)
        if stop < self.starts[group + 1]:
            self._stream = stream
        return table

    def _damaged(self, groups: list[int], error: Exception) -> str:
        return self.cut() or (
            f"{self.shown}: {_named(groups)} can't be read: {reason(error)}. The file is damaged, "
            "or written by software that does not keep to the format: write it anew."
        )

    def _fewer(self, groups: list[int], rows: int, found: int) -> str:
        return (
            f"{self.shown}: {_named(groups)} should hold {rows} rows by the file's own metadata, "
            f"but {found} are there. The file is damaged: write it anew."
        )


class _Stream:
    """Goes through a row group, decoding only a little more than what is asked for."""

    def __init__(self, path: str, group: int, row: int, columns: list[str], batch: int) -> None:
        self.group = group
        self.row = row
        self.columns = columns
        # A file of its own: reads are buffered, so that a column chunk is never whole in memory.
        self._file = pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)
        self._batches: Iterator[pa.RecordBatch] = self._file.iter_batches(
            batch, [group], columns, use_threads=False
        )
        self._rest: pa.RecordBatch | None = None

    def leads_to(self, group: int, row: int, columns: list[str]) -> bool:
        """Return whether rows from here on can be reached without beginning anew."""
        return group == self.group and row >= self.row and columns == self.columns

    def skip(self, row: int) -> None:
        """Go on to a row."""
        while self.row < row and self._next(row - self.row) is not None:
            pass

    def take(self, stop: int) -> pa.Table:
        """Take the rows up to ``stop``; fewer if the group ends before."""
        parts: list[pa.RecordBatch] = []
        while self.row < stop:
            part = self._next(stop - self.row)
            if part is None:
                break
            parts.append(part)
        schema = parts[0].schema if parts else self._file.schema_arrow
        return pa.Table.from_batches(parts, schema)

    def _next(self, most: int) -> pa.RecordBatch | None:
        batch = self._rest if self._rest is not None else next(self._batches, None)
        self._rest = None
        if batch is None:
            return None
        if batch.num_rows > most:
            batch, self._rest = batch.slice(0, most), batch.slice(most)
        self.row += batch.num_rows
        return batch


def _named(groups: list[int]) -> str:
    if len(groups) == 1:
        return f"row group {groups[0]}"
    return f"one of the row groups {groups[0]} to {groups[-1]}"
