"""Reading a query's rows piece by piece, streamed into the one schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from daskrun.data.tabular.formats.contract import Rows
from daskrun.data.tabular.formats.sql.database import Database, shown_query
from daskrun.data.tabular.formats.sql.format import SqlSource
from daskrun.data.tabular.formats.sql.keys import between, ordering, rows_of
from daskrun.data.tabular.formats.sql.values import row_ids, to_arrow, unpack_key
from daskrun.data.tabular.values.casts import UnfitError, fit
from daskrun.data.tabular.values.types import arrow_schema
from daskrun.errors import DatasetError, TableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from daskrun.data.tabular.formats.contract import Piece, PieceFile
    from daskrun.data.tabular.formats.node_cache import NodeCache

__all__ = ["SqlReader", "SqlSource", "bring", "make_reader"]

_CHUNK = 4 * 2**20
"""Bytes, about, that are Python objects at a time."""
_MOST_ROWS = 10_000
"""Rows that are Python objects at a time, at most."""


class SqlReader:
    """Reads pieces of a query; see :class:`daskrun.data.tabular.formats.contract.Reader`.

    Parameters
    ----------
    reader
        What :meth:`.sql_source.SqlSource.describe` gave.
    connection
        SQLAlchemy URL, with its password.
    """

    def __init__(self, reader: dict[str, Any], connection: str) -> None:
        self._reader = reader
        self._types: dict[str, str] = dict(reader["columns"])
        self._schema = arrow_schema(reader["columns"])
        self._database = Database(connection, reader["timeout"])
        self._chunk = min(_MOST_ROWS, max(1, int(_CHUNK / reader["row_bytes"])))
        self._warnings: list[str] = []

    @property
    def warnings(self) -> list[str]:
        """What was changed to make data fit; each text once."""
        return list(self._warnings)

    def read(
        self,
        piece: Piece,
        file: PieceFile,  # noqa: ARG002  (of the seam)
        columns: Sequence[str],
        ids: bool,
    ) -> Rows:
        """Read the rows of a piece."""
        import numpy as np

        planned, low = (-1, None) if piece.start == 0 else piece.start
        wanted = [name for name in self._types if name in set(columns)]
        asked = list(self._types) if ids else wanted  # a row's number is made of all its values
        tables: list[pa.Table] = []
        numbers: list[Any] = []
        what = f"reading a mini-batch of {shown_query(self._reader['query'])}"
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
            self._warn(_changed(self._reader["query"]))
        table = self._joined(tables, wanted)
        if not ids:
            return Rows(table, None)
        every = [row for part in numbers for row in part]
        return Rows(table, row_ids(every) if every else np.empty(0, np.uint64))

    def empty(self, columns: Sequence[str]) -> pa.Table:
        """Return a table of these columns without rows."""
        return self._joined([], [name for name in self._types if name in set(columns)])

    def lines(self, piece: Piece, file: PieceFile) -> int:  # noqa: ARG002  (of the seam)
        """Return 0: nothing tells how many rows a piece holds that can't be read."""
        return 0

    def survey(self, request: tuple[Any, ...], file: PieceFile) -> NoReturn:
        """Look at nothing: a query is cut where the run is driven."""
        raise TableError(f"{file.shown}: a query is not surveyed, but was: {request!r}.")

    def _statement(self, names: list[str], low: Any, high: Any) -> Any:
        from sqlalchemy import column, literal_column, select

        keys = self._reader["keys"]
        chosen: list[Any] = [column(name) for name in names] or [literal_column("1")]
        statement = select(*chosen).select_from(rows_of(self._reader["query"]))
        if low is not None or high is not None:
            bounds = [None if key is None else unpack_key(key) for key in (low, high)]
            statement = statement.where(between(keys, *bounds))
        order = ordering(self._reader["order"])
        return statement.order_by(*order) if order else statement

    def _table(
        self, names: list[str], rows: Sequence[Any], wanted: list[str], first: int
    ) -> pa.Table:
        import pyarrow as pa

        if not wanted:
            return pa.table({"rows": pa.nulls(len(rows))}).select([])
        values = dict(zip(names, zip(*rows, strict=True), strict=True))
        arrays: dict[str, pa.ChunkedArray] = {}
        strict = bool(self._reader["strict_types"])
        for name in wanted:
            try:
                arrays[name] = to_arrow(name, values[name], self._types[name], strict)
            except UnfitError as error:
                key = {
                    name: values[name][error.row]
                    for name in self._reader["keys"][:3]
                    if name in values
                }
                where = ", ".join(f"{name} = {value!r}" for name, value in key.items())
                raise TableError(
                    f"query={shown_query(self._reader['query'])}, row {first + error.row} of the "
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
                self._warn(_widened(name))
            chunks = [chunk for column in columns for chunk in column.chunks]
            arrays.append(pa.chunked_array(chunks, type=target.type))
            fields.append(target)
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))

    def _float(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        try:
            return fit(name, column, "float", False)
        except UnfitError as error:
            raise TableError(
                f"query={shown_query(self._reader['query'])}, column {name!r}: {error.value!r} "
                f"{error.why}"
            ) from None

    def _warn(self, text: str) -> None:
        if text not in self._warnings:
            self._warnings.append(text)


def _widened(name: str) -> str:
    return (
        f"column {name!r} holds whole numbers; where values are missing or decimal it is float64. "
        f"Write set_column_types={{{name!r}: DataType.to_float()}} to have float64 in every "
        "mini-batch, or strict_types=True to have such mini-batches fail."
    )


def _changed(query: str) -> str:
    return (
        f"query={shown_query(query)} gives other rows than when the run was planned: the table has "
        "been changed since. Rows that were added or removed meanwhile may be missing or counted "
        "in another mini-batch."
    )


def make_reader(
    reader: dict[str, Any],
    secrets: dict[str, Any],
    cache: NodeCache,  # noqa: ARG001  (of the seam)
) -> SqlReader:
    """Make the reader of an input."""
    return SqlReader(reader, secrets["connection"])


def bring(*_: Any) -> NoReturn:
    """Bring nothing: script processes ask the database themselves."""
    raise TableError("a query is not fetched: script processes ask the database themselves.")
