"""The SQLite sink keeps the contract of sinks, and its program does what its README says."""

from __future__ import annotations

import email
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from walked import EXAMPLES, copy_example, run_python

from daskrun.testing.contracts.sinks import SinkContract

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daskrun import Sink


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    """Have the example's folder on the path, as that of an entry script is."""
    sys.path.insert(0, str(EXAMPLES / "sinks"))
    yield
    sys.path.remove(str(EXAMPLES / "sinks"))


class TestSqlite(SinkContract):
    def make_sink(self) -> Sink:
        from sqlite_sink import SqliteSink

        return SqliteSink(table='od\'d "name"')

    def results(self) -> Sequence[Any]:
        frame = pd.DataFrame({"x": [1, 2], "y": ["a", "é"]})
        return [frame, [], [{"x": 3, "z": [1, None]}], ["plain", 4.5], [{"odd \"'name": None}]]

    def rows(self, output: bytes) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(output)
            if not database.execute("SELECT * FROM sqlite_master").fetchall():
                return []
            return database.execute('SELECT * FROM "od\'d ""name"""').fetchall()

    def count(self, output: bytes) -> int:
        return len(self.rows(output))

    def test_the_table_has_all_columns(self, tmp_path: Path) -> None:
        assert self.rows(self._output(tmp_path, None)) == [
            (1, "a", None, None, None),
            (2, "é", None, None, None),
            (3, None, "[1, null]", None, None),
            (None, None, None, "plain", None),
            (None, None, None, 4.5, None),
            (None, None, None, None, None),
        ]


@pytest.mark.slow
def test_run_sqlite(tmp_path):
    folder = copy_example("sinks", tmp_path)
    done = run_python("run_sqlite.py", cwd=folder)
    files = list(Path(email.__file__).parent.glob("*.py"))
    words = sum(len(path.read_text(encoding="utf-8").split()) for path in files)
    assert f"{len(files)} files, {words} words" in done.stdout
