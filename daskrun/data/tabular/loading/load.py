"""Mini-batches of tables as ``run()`` gets them: read, completed from the path, steps applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.data.libraries import np, pa
from daskrun.data.partition_format import PartitionFormat
from daskrun.data.protocols import shown_url
from daskrun.data.remote_files import join_url
from daskrun.data.tabular.conditions.row_steps import Keys, Slices, Steps, row_keys
from daskrun.data.tabular.formats.contract import Piece, PieceFile
from daskrun.data.tabular.formats.registry import reader_class
from daskrun.data.tabular.loading.table_spec import PATH, TableSpec
from daskrun.data.tabular.values.frame import exact_floats, in_order, to_frame
from daskrun.data.tabular.values.kinds import Kind, kind_of
from daskrun.data.tabular.values.written import written
from daskrun.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from daskrun.core.minibatch import PlanInput
    from daskrun.data.tabular.formats.node_cache import NodeCache

    Pieces = Sequence[Sequence[Any]]
    """Of a mini-batch: the fields of each :class:`~daskrun.data.tabular.formats.contract.Piece`."""
    Files = Sequence[PieceFile] | None
    """What was brought for each piece, or a survey; None: they are read in place."""


class TableLoader:
    """Makes the mini-batches of one input; one for each script process and input.

    Not for several threads at a time: readers keep files open.
    """

    def __init__(self, source: PlanInput, cache: NodeCache) -> None:
        assert source.table is not None, "an input of files has no rows"
        table = TableSpec.of(source.table)
        self._root, self._remote = source.root, source.remote
        self._reader = reader_class(table.reader)(table.reader, source.storage_options, cache)
        self._columns = list(table.columns)
        self._steps = Steps(table.steps)
        self._format = PartitionFormat(table.partition.format) if table.partition else None
        self._added = table.added

    def load(self, pieces: Pieces, files: Files, slices: Slices = ()) -> pd.DataFrame:
        """Load a mini-batch; its index is 0..n-1."""
        table, keys = self._read(pieces, files, self._columns, self._steps.needs_ids)
        return self._steps.apply(to_frame(table), keys, slices)

    def count(self, pieces: Pieces, files: Files, slices: Slices, window: int) -> int:
        """Count the rows of a mini-batch that reach window ``window``."""
        looked = self._steps.looks_at(window)
        columns = [name for name in self._columns if name in looked] or self._columns[:1]
        table, keys = self._read(pieces, files, columns, self._steps.samples_before(window))
        return len(self._steps.apply(to_frame(table), keys, slices, window))

    def look(self, load: Sequence[Any], files: Files) -> Any:
        """Make a survey.

        ``("survey", "count", pieces, slices, window)``, or of the reader's ``("survey", "look",
        name, *request)``.
        """
        if load[1] == "count":
            return self.count(load[2], files, load[3], load[4])
        name, *request = load[2:]
        file = self._in_place(name) if files is None else files[0]
        return self._reader.survey(tuple(request), file)

    def meta(self) -> pd.DataFrame:
        """Return a mini-batch without rows: the columns and their dtypes."""
        return self._applied(to_frame(self._empty()))

    def try_steps(self) -> None:
        """Apply the steps to no rows.

        Raises TableError: a column is compared with a value of another kind.
        """
        table = self._empty()
        # Text that pandas 2 has as objects: of these only values would tell that they are text.
        texts = [each.name for each in table.schema if kind_of(each.type) is Kind.TEXT]
        frame = to_frame(table).astype(dict.fromkeys(texts, "string"))
        self._applied(frame)

    def schema(self) -> pa.Schema:
        """Return the Arrow types of a mini-batch's columns."""
        table = self._empty()
        for step in self._steps.plain:
            if step[0] == "keep":
                table = table.select(list(step[1]))
        return table.schema

    def close(self) -> None:
        """Let go of what is held open."""
        self._reader.close()

    @property
    def warnings(self) -> list[str]:
        """What was changed to make data fit; each text once."""
        return self._reader.warnings

    def _applied(self, frame: pd.DataFrame) -> pd.DataFrame:
        keys = np.empty(0, np.uint64) if self._steps.needs_ids else None
        return self._steps.apply(frame, keys, [(0, 0)] * len(self._steps.windows))

    def _empty(self) -> pa.Table:
        return self._completed(self._reader.empty(self._columns), None)

    def _read(
        self, pieces: Pieces, files: Files, columns: list[str], ids: bool
    ) -> tuple[pa.Table, Keys]:
        tables: list[pa.Table] = []
        keys: list[NDArray[np.uint64]] = []
        for number, fields in enumerate(pieces):
            piece = Piece(*fields)
            try:
                file = self._in_place(piece.name) if files is None else files[number]
                if piece.trouble:
                    found = self._reader.lines(piece, file)
                    raise TableError(self._reader.trouble(piece, file), found)
                rows = self._reader.read(piece, file, columns, ids)
            except TableError as error:
                before = sum(len(table) for table in tables)
                if not before:
                    raise
                told = {"ends_run": error.ends_run, "lasting": error.lasting}
                raise TableError(str(error), error.items + before, **told) from error
            tables.append(self._completed(rows.table, piece.name))
            if ids:
                assert rows.ids is not None, "a reader that is asked for ids gives them"
                keys.append(row_keys(piece.name, rows.ids))
        table = tables[0] if len(tables) == 1 else _joined(tables)
        if not ids:
            return table, None
        return table, keys[0] if len(keys) == 1 else np.concatenate(keys)

    def _in_place(self, name: str) -> PieceFile:
        if self._remote:
            return PieceFile("", False, shown_url(join_url(self._root, name)))
        path = f"{self._root.rstrip('/')}/{name}"
        return PieceFile(path, False, path)

    def _completed(self, table: pa.Table, name: str | None) -> pa.Table:
        """Add the columns that come from the path of a file; None: a table without rows."""
        if not self._added:
            return table
        names = [] if name is None else [name]
        values = path_columns(self._root, names, self._format, self._added)
        for column in values.column_names:
            found = values.column(column)
            filled = found if name is None else pa.repeat(found[0], len(table))
            at = 0 if column == PATH else table.num_columns
            table = table.add_column(at, values.schema.field(column), filled)
        return table


def path_columns(
    root: str, names: Sequence[str], form: PartitionFormat | None, needed: Collection[str]
) -> pa.Table:
    """Return the columns that come from paths, one row for each file."""
    columns: dict[str, pa.Array] = {}
    if PATH in needed and not (form and PATH in form.columns):
        columns[PATH] = pa.array([f"/{name}" for name in names], pa.string())
    if form is not None:
        values = [form.values(root, name) for name in names]
        for place, column in enumerate(form.columns):
            if column in needed:
                kind = pa.timestamp("us") if form.is_date(column) else pa.string()
                columns[column] = pa.array([each[place] for each in values], kind)
    return pa.table(columns)


def _joined(tables: list[pa.Table]) -> pa.Table:
    """Join pieces whose types may differ: an int column that met a missing value is float64."""
    for at, name in enumerate(tables[0].column_names):
        kinds = {table.field(at).type for table in tables}
        if len(kinds) > 1 and pa.string() in kinds:  # on_type_conflict="text" of one of them
            field = pa.field(name, pa.string())
            tables = [t.set_column(at, field, written(t.column(at))) for t in tables]
        elif len(kinds) > 1 and pa.float64() in kinds:
            field = pa.field(name, pa.float64())
            tables = [t.set_column(at, field, exact_floats(name, t.column(at))) for t in tables]
    return in_order(pa.concat_tables(tables, promote_options="permissive")).unify_dictionaries()
