"""Reading a query's rows piece by piece, streamed into the one schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.data.libraries import np, sa
from daskrun.data.tabular.formats.contract import Piece, PieceFile, Rows
from daskrun.data.tabular.formats.sql.database import Database, shown_query
from daskrun.data.tabular.formats.sql.keys import (
    SqlSpec,
    between,
    ordering,
    row_ids,
    rows_of,
    unpack_key,
)
from daskrun.data.tabular.formats.typed_columns import TypedReader
from daskrun.data.tabular.values.written import Found
from daskrun.errors import DatasetError, TableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from daskrun.data.tabular.formats.node_cache import NodeCache

_CHUNK = 4 * 2**20
"""Bytes, about, that are Python objects at a time."""
_MOST_ROWS = 10_000
"""Rows that are Python objects at a time, at most."""


class SqlReader(TypedReader):
    """Reads pieces of a query; the secret is the connection's URL, with its password."""

    def __init__(self, spec: SqlSpec, secrets: Mapping[str, Any], cache: NodeCache) -> None:
        super().__init__(spec, secrets, cache)
        self._spec = spec
        self._database = Database(secrets["connection"], spec.timeout)
        self._chunk = min(_MOST_ROWS, max(1, int(_CHUNK / spec.row_bytes)))

    @override
    def read(self, piece: Piece, file: PieceFile, columns: Sequence[str], ids: bool) -> Rows:
        planned, low = (-1, None) if piece.start == 0 else piece.start
        wanted = [name for name in self._types if name in set(columns)]
        asked = list(self._types) if ids else wanted  # a row's number is made of all its values
        found = {name: Found() for name in asked}
        every: list[Any] = []
        what = f"reading a mini-batch of {shown_query(self._spec.query)}"
        rows = 0
        try:
            with self._database.query(self._statement(asked, low, piece.stop), what) as result:
                for part in result.partitions(self._chunk):
                    for name, values in zip(asked, zip(*part, strict=True), strict=False):
                        found[name].add(values)
                    every += part if ids else []
                    rows += len(part)
        except DatasetError as error:
            raise TableError(str(error), max(0, planned)) from None
        if planned not in (-1, rows):
            self._warnings.add("changed", _changed(self._spec.query))
        table = self._table(found, wanted, rows)
        if not ids:
            return Rows(table, None)
        return Rows(table, row_ids(every) if every else np.empty(0, np.uint64))

    @override
    def close(self) -> None:
        self._database.close()

    def _statement(self, names: list[str], low: Any, high: Any) -> Any:
        keys = self._spec.keys
        chosen: list[Any] = [sa.column(name) for name in names] or [sa.literal_column("1")]
        statement = sa.select(*chosen).select_from(rows_of(self._spec.query))
        if low is not None or high is not None:
            bounds = [None if key is None else unpack_key(key) for key in (low, high)]
            statement = statement.where(between(keys, *bounds))
        order = ordering(self._spec.order)
        return statement.order_by(*order) if order else statement

    def _table(self, found: dict[str, Found], wanted: list[str], rows: int) -> pa.Table:
        def where(row: int) -> str:
            keys = [name for name in self._spec.keys[:3] if name in found]
            of_keys = {name: found[name].value(row) for name in keys}  # None: no value, or no text
            told = ", ".join(f"{name} = {v!r}" for name, v in of_keys.items() if v is not None)
            of_row = f"row {row} of the mini-batch{f' ({told})' if told else ''}"
            return f"query={shown_query(self._spec.query)}, {of_row}"

        columns = {}
        for name in wanted:
            with self._fitter.told(name, where, rows):
                columns[name] = found[name].column()
        kinds = {name: found[name].kinds for name in wanted}
        return self._fitter.table(wanted, columns, rows, where, kinds)


def _changed(query: str) -> str:
    return (
        f"query={shown_query(query)} gives other rows than when the run was planned: the table has "
        "been changed since. Rows that were added or removed meanwhile may be missing or counted "
        "in another mini-batch."
    )
