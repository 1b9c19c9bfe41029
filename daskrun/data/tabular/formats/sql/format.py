"""A query as a source of rows: its one schema, and the columns that its rows are cut by."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.data.libraries import sa
from daskrun.data.listing import Listing
from daskrun.data.paths import PathTable
from daskrun.data.protocols import DataPath, Place
from daskrun.data.tabular.formats.contract import Source
from daskrun.data.tabular.formats.files import call_text
from daskrun.data.tabular.formats.sql.database import (
    Database,
    parse_url,
    shown_connection,
    shown_query,
)
from daskrun.data.tabular.formats.sql.keys import ORDERED, SqlSpec, SqlSplitter, below, rows_of
from daskrun.data.tabular.formats.typed_columns import with_types
from daskrun.data.tabular.values.coercion import alike
from daskrun.data.tabular.values.infer import Inferred, infer_values
from daskrun.data.tabular.values.written import Found
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskrun.data.tabular.values.types import DataType

_SAMPLE = 200
"""Rows that types and sizes are inferred from."""
_MOST_KEYS = 16
"""Columns that rows are cut by, at most: each is in the conditions of every query."""


@dataclass(frozen=True, eq=False, repr=False)
class SqlSource(Source):
    """A query; made by ``Dataset.Tabular.from_sql_query``.

    Rows are in the order of the index column (of all columns that can be ordered, without one),
    missing values first: an ``ORDER BY`` of the query itself has no effect.
    """

    query: str | DataPath | tuple[Place, str]
    """A ``SELECT``, or a datastore that has a ``connection`` with one."""
    set_column_types: Mapping[str, DataType] | None = None
    """Types of columns that shall not be those inferred."""
    query_timeout: float = 30
    """Seconds for a query."""
    connection: Any = field(default=None, repr=False)
    """SQLAlchemy URL or engine; None where the datastore has it."""
    index_column: str | None = None
    """Column that rows are ordered and cut by."""
    strict_types: bool = False
    """Whether an integer column may not become float64 where values are missing."""
    folder: str = field(default_factory=lambda: str(Path.cwd()), repr=False)
    """What a relative path of an SQLite file is relative to."""

    packages = SqlSpec.packages
    changes_unseen = True
    """Other rows in the tables don't change what a plan is known by."""

    def __post_init__(self) -> None:
        seconds = self.query_timeout
        if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not seconds > 0:
            raise DatasetError(
                f"query_timeout={seconds!r} is no time. Give seconds above 0, such as 30."
            )
        if not _text(self.query):
            raise DatasetError(
                f"query={self.query!r} is no query. Give a text such as 'SELECT * FROM rides', or "
                "(datastore, 'SELECT ...')."
            )
        if self.connection is None and isinstance(self.query, str):
            raise DatasetError(
                f"query={shown_query(self.query)} has no connection. Write "
                "connection='postgresql+psycopg://user:password@host/database', or give "
                "(datastore, 'SELECT ...')."
            )

    @override
    def __repr__(self) -> str:
        first, connection = repr(_text(self.query)), self._shown_connection()
        return call_text("from_sql_query", first, self, **connection)

    def closed(self) -> SqlSource:
        """Return the same query with only the URL of its connection, with its password."""
        if self.connection is None:
            return self
        url = parse_url(getattr(self.connection, "url", self.connection))
        return replace(self, connection=str(url.render_as_string(hide_password=False)))

    @override
    def check(self) -> None:
        self.describe(self.listing())

    @override
    def listing(self) -> Listing:
        return Listing("", PathTable([("query", -1, -1)]), False, {"connection": self._url()})

    @override
    def describe(self, listing: Listing) -> SqlSpec:
        """Infer the schema from the first 200 rows, and find the columns to cut by.

        A column without a value in these is looked at further, for its first values.
        """
        query = _text(self.query)
        database = Database(listing.storage_options["connection"], self.query_timeout)
        try:
            names, rows = _sample(database, query)
            self._check_index(names)
            values = {name: [row[n] for row in rows] for n, name in enumerate(names)}
            inferred = {name: _inferred(database, query, name, values[name]) for name in names}
            columns = with_types(
                [(n, inferred[n].type) for n in names],
                self.set_column_types,
                lambda name: None in values[name],
                lambda name: [value for value in values[name] if isinstance(value, str)],
            )
            keys, order = self._keys(database, query, values)
        finally:
            database.close()
        nbytes = sum(Found(values[name]).nbytes for name in names)
        asked = self.set_column_types or {}
        return SqlSpec(
            columns=columns,
            strict_types=self.strict_types,
            warnings=tuple(e.warning for n, e in inferred.items() if e.warning and n not in asked),
            declared=(*asked, *(n for n, e in inferred.items() if e.known and n not in asked)),
            query=query,
            keys=tuple(keys),
            order=tuple(order),
            timeout=self.query_timeout,
            row_bytes=max(1.0, nbytes / max(1, len(rows))),
        )

    @override
    def splitter(self, spec: SqlSpec, listing: Listing, mini_batch_size: int) -> SqlSplitter:
        return SqlSplitter(spec, listing.storage_options["connection"], mini_batch_size)

    def _url(self) -> str:
        """Return the URL with its password, and the whole path of an SQLite file."""
        connection = self.connection
        if connection is None:
            place = self.query.place if isinstance(self.query, DataPath) else self.query[0]
            connection = getattr(place, "connection", None)
            if connection is None:
                raise DatasetError(
                    f"query=({place!r}, ...): this datastore has no database connection. Write "
                    "from_sql_query('SELECT ...', connection='postgresql+psycopg://...')."
                )
        url = getattr(connection, "url", connection)
        if not isinstance(url, str) and not hasattr(url, "render_as_string"):
            raise DatasetError(
                f"connection= is of type {type(connection).__name__}. Give an SQLAlchemy URL or "
                "engine."
            )
        made = parse_url(url)
        file = made.database
        local = made.get_backend_name() == "sqlite" and file and file != ":memory:"
        if local and not file.startswith("file:"):
            made = made.set(database=str(Path(self.folder) / file))
        return str(made.render_as_string(hide_password=False))

    def _shown_connection(self) -> dict[str, str]:
        url = getattr(self.connection, "url", self.connection)
        if url is None:
            return {}
        try:
            return {"connection": shown_connection(parse_url(url))}
        except DatasetError:
            return {"connection": "***"}

    def _check_index(self, names: list[str]) -> None:
        if self.index_column is None or self.index_column in names:
            return
        raise DatasetError(
            f"index_column={self.index_column!r} is no column of the query. "
            f"{alike(self.index_column, names)}"
        )

    def _keys(
        self, database: Database, query: str, values: dict[str, list[Any]]
    ) -> tuple[list[str], list[str]]:
        usable = _usable(database, query, {n: v for n, v in values.items() if _ordered(v)})
        if len(usable) > _MOST_KEYS:
            # Those with many values: they leave few rows that can't be told apart.
            many = sorted(usable, key=lambda name: -len(set(values[name])))[:_MOST_KEYS]
            usable = [name for name in usable if name in many]
        index = self.index_column
        if index is None:
            return usable, usable
        if index in usable or not any(v is not None for v in values[index]):
            return [index], [index, *(name for name in usable if name != index)]
        value = next(v for v in values[index] if v is not None)
        if not _usable(database, query, {index: values[index]} if _ordered(values[index]) else {}):
            raise DatasetError(
                f"index_column={index!r} holds values of type {type(value).__name__}, which can't "
                "be ordered here. Give a column of numbers, texts or dates, or cast it in the "
                "query."
            )
        return [index], [index, *usable]


def _text(query: object) -> str:
    """Return the text of a query; ``""`` if it has none."""
    if isinstance(query, DataPath):
        query = query.relative
    elif isinstance(query, tuple) and len(query) == 2:
        query = query[1]
    return query.strip().rstrip(";").rstrip() if isinstance(query, str) else ""


def _sample(database: Database, query: str) -> tuple[list[str], list[Any]]:
    first: Any = sa.select(sa.literal_column("*")).select_from(rows_of(query)).limit(_SAMPLE)
    with database.query(first, f"query={shown_query(query)}") as result:
        names = [str(name) for name in result.keys()]  # noqa: SIM118  (not a dict)
        rows = result.fetchall()
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DatasetError(
            f"query={shown_query(query)} gives several columns of the name {twice[0]!r}. Give "
            f"them names of their own: SELECT a.{twice[0]} AS a_{twice[0]}, …"
        )
    return names, rows


def _inferred(database: Database, query: str, name: str, values: list[Any]) -> Inferred:
    if values and all(value is None for value in values):
        this: Any = sa.column(name)
        some = sa.select(this).select_from(rows_of(query)).where(this.is_not(None)).limit(_SAMPLE)
        try:
            with database.query(some, f"looking for values of {name!r}") as result:
                values = [None, *(row[0] for row in result)]
        except DatasetError:
            values = []  # a type that has no such condition, or a long way to the first value
    return infer_values(name, values)


def _ordered(values: list[Any]) -> bool:
    kinds = {type(value) for value in values if value is not None}
    return bool(kinds) and kinds <= ORDERED


def _usable(database: Database, query: str, values: dict[str, list[Any]]) -> list[str]:
    """Leave out columns whose values, as this driver gives them, can't be compared with them."""
    firsts = {name: next(v for v in some if v is not None) for name, some in values.items()}
    if not firsts or _compares(database, query, firsts):
        return list(firsts)
    return [name for name, value in firsts.items() if _compares(database, query, {name: value})]


def _compares(database: Database, query: str, key: Mapping[str, Any]) -> bool:
    names: Sequence[str] = list(key)
    condition = below(names, list(key.values()))
    one: Any = (
        sa.select(sa.literal_column("1")).select_from(rows_of(query)).where(condition).limit(1)
    )
    try:
        with database.query(one, "comparing keys") as result:
            result.fetchall()
    except DatasetError:
        return False
    return True
