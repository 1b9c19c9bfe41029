"""Reading a query's rows piece by piece, streamed into the one schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.data.tabular.formats.contract import Reader, Rows
from daskrun.data.tabular.formats.sql.database import Database, shown_query
from daskrun.data.tabular.formats.sql.keys import between, ordering, rows_of
from daskrun.data.tabular.formats.sql.values import row_ids, to_arrow, unpack_key
from daskrun.data.tabular.values.casts import fit
from daskrun.data.tabular.values.coercion import CoercionError, Warnings
from daskrun.data.tabular.values.types import arrow_schema
from daskrun.errors import DatasetError, TableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from daskrun.data.tabular.formats.contract import Piece, PieceFile
    from daskrun.data.tabular.formats.node_cache import NodeCache
    from daskrun.data.tabular.formats.sql.spec import SqlSpec

_CHUNK = 4 * 2**20
"""Bytes, about, that are Python objects at a time."""
_MOST_ROWS = 10_000
"""Rows that are Python objects at a time, at most."""


class SqlReader(Reader):
    """Reads pieces of a query; the secret is the connection's URL, with its password."""

    @override
    def __init__(self, spec: SqlSpec, secrets: Mapping[str, Any], cache: NodeCache) -> None:
        self._spec = spec
        self._types = dict(spec.columns)
        self._schema = arrow_schema(spec.columns)
        self._database = Database(secrets["connection"], spec.timeout)
        self._chunk = min(_MOST_ROWS, max(1, int(_CHUNK / spec.row_bytes)))
        self._warnings = Warnings()

    @property
    @override
    def warnings(self) -> list[str]:
        return self._warnings.texts

    @override
    def read(self, piece: Piece, file: PieceFile, columns: Sequence[str], ids: bool) -> Rows:
        import numpy as np

        planned, low = (-1, None) if piece.start == 0 else piece.start
        wanted = [name for name in self._types if name in set(columns)]
        asked = list(self._types) if ids else wanted  # a row's number is made of all its values
        tables: list[pa.Table] = []
        numbers: list[Any] = []
        what = f"reading a mini-batch of {shown_query(self._spec.query)}"
        rows = 0
        try:
            with self._database.query(self._statement(asked, low, piece.stop), what) as result:
                for part in result.partitions(self._chunk):
                    tables.append(self._table(asked, part, wanted, rows))
                    numbers.append(part if ids else None)
                    rows += len(part)
        except TableError:
            raise
        except DatasetError as error:
            raise TableError(str(error), max(0, planned)) from None
        if planned not in (-1, rows):
            self._warnings.add("changed", _changed(self._spec.query))
        table = self._joined(tables, wanted)
        if not ids:
            return Rows(table, None)
        every = [row for part in numbers for row in part]
        return Rows(table, row_ids(every) if every else np.empty(0, np.uint64))

    @override
    def empty(self, columns: Sequence[str]) -> pa.Table:
        return self._joined([], [name for name in self._types if name in set(columns)])

    def _statement(self, names: list[str], low: Any, high: Any) -> Any:
        from sqlalchemy import column, literal_column, select

        keys = self._spec.keys
        chosen: list[Any] = [column(name) for name in names] or [literal_column("1")]
        statement = select(*chosen).select_from(rows_of(self._spec.query))
        if low is not None or high is not None:
            bounds = [None if key is None else unpack_key(key) for key in (low, high)]
            statement = statement.where(between(keys, *bounds))
        order = ordering(self._spec.order)
        return statement.order_by(*order) if order else statement

    def _table(
        self, names: list[str], rows: Sequence[Any], wanted: list[str], first: int
    ) -> pa.Table:
        import pyarrow as pa

        if not wanted:
            return pa.table({"rows": pa.nulls(len(rows))}).select([])
        values = dict(zip(names, zip(*rows, strict=True), strict=True))
        arrays: dict[str, pa.ChunkedArray] = {}
        for name in wanted:
            try:
                arrays[name] = to_arrow(
                    name, values[name], self._types[name], self._spec.strict_types
                )
            except CoercionError as error:
                key = {
                    name: values[name][error.row] for name in self._spec.keys[:3] if name in values
                }
                where = ", ".join(f"{name} = {value!r}" for name, value in key.items())
                raise TableError(
                    f"query={shown_query(self._spec.query)}, row {first + error.row} of the "
                    f"mini-batch{f' ({where})' if where else ''}, column {name!r}: "
                    f"{error.value!r} {error.why}",
                    first + len(rows),
                ) from None
        return pa.table(arrays)

    def _joined(self, tables: list[pa.Table], wanted: list[str]) -> pa.Table:
        """Join what was read; a column that became float64 in one part is that in all."""
        import pyarrow as pa

        if not wanted:
            rows = sum(table.num_rows for table in tables)
            return pa.table({"rows": pa.nulls(rows)}).select([])
        fields, arrays = [], []
        for name in wanted:
            target = self._schema.field(name)
            columns = [table.column(name) for table in tables]
            if any(not column.type.equals(target.type) for column in columns):
                target = target.with_type(pa.float64())
                columns = [self._float(name, column) for column in columns]
                self._warnings.widened(name)
            chunks = [chunk for column in columns for chunk in column.chunks]
            arrays.append(pa.chunked_array(chunks, type=target.type))
            fields.append(target)
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))

    def _float(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        try:
            return fit(name, column, "float", False)
        except CoercionError as error:
            raise TableError(
                f"query={shown_query(self._spec.query)}, column {name!r}: {error.value!r} "
                f"{error.why}"
            ) from None


def _changed(query: str) -> str:
    return (
        f"query={shown_query(query)} gives other rows than when the run was planned: the table has "
        "been changed since. Rows that were added or removed meanwhile may be missing or counted "
        "in another mini-batch."
    )
