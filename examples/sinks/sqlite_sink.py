"""``SqliteSink``: the results of a run as a table of a SQLite database that appears whole."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daskrun import CommittedRows, EncodedRows, Sink

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class SqliteSink(Sink):
    """Writes dicts, or rows of a DataFrame, to a table; other results to its column ``result``.

    The table has the columns of all results, in the order in which mini-batches have them first.
    """

    table: str = "results"

    def encode_elements(self, elements: Sequence[Any]) -> EncodedRows:
        """Encode results in a script process: a line of JSON for each."""
        rows = (each if isinstance(each, dict) else {"result": each} for each in elements)
        return EncodedRows(b"".join(self.utf8(json.dumps(row, default=str) + "\n") for row in rows))

    def assemble(self, mini_batches: Iterator[CommittedRows], file: Path) -> None:
        """Make the database in the driver, of what script processes have encoded."""
        with closing(sqlite3.connect(file)) as database, database:
            database.execute("PRAGMA user_version = 1")  # also without rows it is a database
            columns: list[str] = []
            for each in mini_batches:
                rows = [json.loads(line) for line in each.rows.splitlines()]
                for name in dict.fromkeys(name for row in rows for name in row):
                    if name not in columns:
                        self._add_column(database, name, first=not columns)
                        columns.append(name)
                places = ", ".join("?" * len(columns))
                values = ([_plain(row.get(name)) for name in columns] for row in rows)
                database.executemany(f"INSERT INTO {_quoted(self.table)} VALUES ({places})", values)

    def _add_column(self, database: sqlite3.Connection, name: str, *, first: bool) -> None:
        table = _quoted(self.table)
        if first:
            database.execute(f"CREATE TABLE {table} ({_quoted(name)})")
        else:
            database.execute(f"ALTER TABLE {table} ADD COLUMN {_quoted(name)}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _plain(value: Any) -> Any:
    """Return a value that SQLite has a type for."""
    return json.dumps(value) if isinstance(value, dict | list) else value
