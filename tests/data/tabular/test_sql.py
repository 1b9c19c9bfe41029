"""Queries: each row exactly once at every size, one schema, named errors, no password anywhere."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from daskrun.data import Dataset
from daskrun.data.tabular.formats.contract import Piece, PieceFile
from daskrun.data.tabular.formats.sql.format import SqlSource
from daskrun.data.tabular.formats.sql.keys import pack_key, unpack_key
from daskrun.data.tabular.formats.sql.reader import SqlReader
from daskrun.data.tabular.values.frame import to_frame
from daskrun.data.tabular.values.infer import infer_values
from daskrun.data.tabular.values.types import DataType
from daskrun.errors import DatasetError, TableError
from tests import postgres

sqlalchemy = pytest.importorskip("sqlalchemy")
FILE = PieceFile("/query", False, "/query")


class Read:
    """All of a source, read piece by piece."""

    def __init__(self, source, size, ids=False, before=None):
        listing = source.listing()
        self.reader = source.describe(listing)
        assert postgres.PASSWORD not in repr((source, self.reader))
        self.names = [name for name, _ in self.reader.columns]
        self.cuts = source.splitter(self.reader, listing, size).begin("query", -1)
        if before is not None:
            before()
        made = SqlReader(self.reader, listing.storage_options, None)
        pieces = [Piece("query", c.start, c.stop, c.trouble) for c in self.cuts]
        self.rows = [made.read(piece, FILE, self.names, ids) for piece in pieces]
        self.warnings = made.warnings
        self.frames = [to_frame(rows.table) for rows in self.rows]
        self.empty = to_frame(made.empty(self.names))
        made._database.close()

    def column(self, name):
        return [v for rows in self.rows for v in rows.table.column(name).to_pylist()]


@pytest.fixture
def sqlite(tmp_path):
    """Make an SQLite file by statements; gives its URL."""

    def make(*statements):
        with closing(sqlite3.connect(tmp_path / "t.db")) as db:
            for statement, *rows in statements:
                if rows:
                    db.executemany(statement, rows[0])
                else:
                    db.execute(statement)
            db.commit()
        return f"sqlite:///{tmp_path}/t.db"

    return make


@pytest.fixture(scope="module")
def server():
    if postgres.programs() is None:
        pytest.skip("PostgreSQL (initdb, postgres) is not installed")
    with postgres.server() as url:
        engine = sqlalchemy.create_engine(url)
        with engine.begin() as db:
            db.execute(sqlalchemy.text(TABLE))
            db.execute(sqlalchemy.text("CREATE TABLE twice AS SELECT 1 AS a, 'x' AS b "
                                       "FROM generate_series(1, 50)"))  # fmt: skip
        engine.dispose()
        yield url


TABLE = """
CREATE TABLE many AS SELECT
    n AS id, CASE WHEN n % 7 = 0 THEN NULL ELSE n % 40 END AS k,
    CASE WHEN n % 11 = 0 THEN NULL ELSE (ARRAY['', 'a', 'B', 'å', 'ä', 'Z z'])[n % 6 + 1] END AS s,
    TIMESTAMP '2024-01-01' + n * INTERVAL '1 minute 0.000001 s' AS t,
    TIMESTAMPTZ '2024-01-01 12:00+02' + (n % 100) * INTERVAL '1 hour' AS z,
    (n::numeric / 7)::numeric(20, 6) AS d, (n / 3.0)::real AS r,
    CASE WHEN n % 5 = 0 THEN 'NaN'::float8 ELSE n / 3.0::float8 END AS f,
    n % 3 = 0 AS b, DATE '2024-01-01' + n % 50 AS day, json_build_object('n', n) AS j,
    md5(n::text)::uuid AS u, 9007199254740993 + n AS big
FROM generate_series(1, 100000) AS n
"""


@pytest.mark.slow
def test_each_row_of_sqlite_exactly_once_with_missing_and_equal_keys(sqlite):
    draw = random.Random(1)
    rows = [
        (n, draw.choice([None, *range(9)]), draw.choice([None, "", "a", "B", "å"]), draw.random())
        for n in range(400)
    ]
    url = sqlite(("CREATE TABLE t(id INTEGER, k INTEGER, s TEXT, f REAL)",),
                 ("INSERT INTO t VALUES (?, ?, ?, ?)", rows))  # fmt: skip
    for query, index in [
        ("SELECT * FROM t", None), ("SELECT * FROM t", "id"), ("SELECT * FROM t;", "k"),
        ("SELECT * FROM t", "s"), ("SELECT k, s, id FROM t -- :a comment", None),
    ]:  # fmt: skip
        source = SqlSource(query, connection=url, index_column=index)
        for size in (200, 10**9):
            read = Read(source, size)
            assert Counter(read.column("id")) == Counter(range(400)), (query, index, size)
            assert [cut.rows for cut in read.cuts] == [len(f) for f in read.frames]
            assert read.warnings == []
            assert len({str(frame.dtypes.to_dict()) for frame in [*read.frames, read.empty]}) == 1
            order = [(v is not None, v) for v in read.column(index or query.split()[1].strip("*,")
                                                             or "id")]  # fmt: skip
            assert order == sorted(order)


@pytest.mark.slow
@pytest.mark.parametrize("index", [None, "k", "s", "z", "r"])
def test_each_of_100000_rows_of_postgres_exactly_once(server, index):
    query = f"SELECT id, k, s, {index} AS x FROM many" if index not in (None, "id", "k", "s") else (
        "SELECT id, k, s FROM many"
    )  # fmt: skip
    index = index if index in (None, "id", "k", "s") else "x"
    read = Read(SqlSource(query, connection=server, index_column=index), 300_000)
    ids = np.concatenate([frame["id"].to_numpy() for frame in read.frames])
    assert np.array_equal(np.sort(ids), np.arange(1, 100_001))
    assert len(read.cuts) > 5 or index == "s"  # of six texts: as many mini-batches, at most 7
    assert read.warnings == [] or index == "x"


@pytest.mark.slow
def test_many_sizes_of_postgres_by_all_columns_give_the_same_rows(server):
    query = "SELECT k, s, f, b, t, j, u, id FROM many WHERE id <= 500"
    source = SqlSource(query, connection=server)
    reads = [Read(source, size, ids=True) for size in (2000, 20_000, 10**9)]
    assert reads[0].reader.keys == ("k", "s", "f", "b", "t", "id")  # json, uuid: no order here
    assert [len(read.cuts) > 1 for read in reads] == [True, True, False]
    ids = [np.concatenate([rows.ids for rows in read.rows]) for read in reads]
    assert len(np.unique(ids[0])) == 500
    for read, numbers in zip(reads[:2], ids[:2], strict=True):
        assert read.column("id") == reads[2].column("id")
        assert np.array_equal(numbers, ids[2])
    assert {type(v) for v in reads[0].column("j")} == {str}
    assert str(reads[0].frames[0]["t"].dtype) == "datetime64[us]"


def test_rows_that_are_the_same_stay_together_and_have_numbers_of_their_own(server):
    read = Read(SqlSource("SELECT * FROM twice", connection=server), 30, ids=True)
    assert [cut.rows for cut in read.cuts] == [50]
    assert len(np.unique(read.rows[0].ids)) == 50


def test_types_of_postgres(server):
    query = "SELECT b, day, d, z, big, NULL::int AS none, f FROM many"
    read = Read(SqlSource(query + " WHERE id < 300", connection=server), 10**9)
    assert dict(read.reader.columns) == {
        "b": "bool", "day": "datetime", "d": "float", "z": "datetime_utc", "big": "int",
        "none": "text", "f": "float",
    }  # fmt: skip
    assert sorted(read.column("day"))[0] == datetime.fromisoformat("2024-01-01")
    assert min(read.column("z")) == datetime(2024, 1, 1, 10, tzinfo=UTC)
    exact = SqlSource(
        query + " WHERE id = 1", connection=server, set_column_types={"d": DataType.to_string()}
    )
    assert Read(exact, 100).column("d") == ["0.142857"]


@pytest.mark.parametrize(
    "asked",
    ["password=hun%2Fter2", "odbc_connect=DRIVER%3Dx%3BPWD%3Dhun%2Fter2", "sslpassword=hun/ter2"],
)
def test_a_password_among_the_parameters_of_a_url_is_never_shown(tmp_path, asked):
    url = f"sqlite:///{tmp_path}/none.db?{asked}&mode=ro"
    dataset = Dataset.Tabular.from_sql_query("SELECT 1", connection=url, validate=False)
    assert "mode=ro" in repr(dataset)
    with pytest.raises(DatasetError, match="there is no file") as caught:
        dataset.resolve()
    assert "ter2" not in f"{dataset!r}{caught.value}"


def test_a_password_is_never_shown(server):
    wrong = server.replace("geheim", "falsch-0815")
    source = SqlSource("SELECT 1 AS a", connection=wrong)
    with pytest.raises(DatasetError, match=r"can't connect: .*password authentication") as caught:
        source.check()
    for text in (repr(source), str(caught.value), repr(caught.value)):
        assert "falsch-0815" not in text
    assert caught.value.__cause__ is None
    with pytest.raises(DatasetError, match="Correct the query") as caught:
        SqlSource("SELECT 'geheim:/@%1' FROM nothing", connection=server).check()
    assert postgres.PASSWORD not in str(caught.value).split("failed at")[1]
    engine = sqlalchemy.create_engine(server)
    source = SqlSource("SELECT 1 AS a", connection=engine)
    assert "geheim" not in repr(source)
    source.check()


def test_a_query_ends_in_time_and_only_reads(server, sqlite):
    with pytest.raises(DatasetError, match=r"longer than query_timeout=0\.3 seconds"):
        SqlSource("SELECT pg_sleep(20), 1 AS a", connection=server, query_timeout=0.3).check()
    endless = ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
               "SELECT count(*) AS a FROM n")  # fmt: skip
    url = sqlite(("CREATE TABLE t(a)",))
    with pytest.raises(DatasetError, match=r"longer than query_timeout=0\.3 seconds"):
        SqlSource(endless, connection=url, query_timeout=0.3).check()
    change = "SELECT setval(pg_get_serial_sequence('kept', 'id'), 5) AS a"
    with sqlalchemy.create_engine(server).begin() as db:
        db.execute(sqlalchemy.text("CREATE TABLE kept(id serial)"))
    with pytest.raises(DatasetError, match="read-only transaction"):
        SqlSource(change, connection=server).check()


def test_a_table_that_changes_is_said_and_no_row_comes_twice(sqlite, tmp_path):
    url = sqlite(("CREATE TABLE t(id INTEGER)",),
                 ("INSERT INTO t VALUES (?)", [(n,) for n in range(100)]))  # fmt: skip

    def change():
        sqlite(("INSERT INTO t VALUES (-5), (500)",))

    read = Read(SqlSource("SELECT id FROM t", connection=url), 80, before=change)
    assert len(read.cuts) == 10
    assert sorted(read.column("id")) == [-5, *range(100), 500]
    assert [text for text in read.warnings if "has been changed since" in text]


def test_what_turns_up_after_the_sample(sqlite):
    url = sqlite(
        ("CREATE TABLE t(id INTEGER, a, b)",),
        ("INSERT INTO t VALUES (?, ?, ?)", [(n, n, n) for n in range(300)]),
        ("UPDATE t SET a = NULL WHERE id = 250",),
        ("UPDATE t SET b = 'seven' WHERE id = 270",),
    )
    source = SqlSource("SELECT id, a FROM t", connection=url, index_column="id")
    read = Read(source, 1600)
    assert [str(f["a"].dtype) for f in read.frames] == ["int64"] * 2 + ["float64"]
    assert [text for text in read.warnings if "column 'a'" in text and "to_float()" in text]
    for strict, query, said in [
        (True, "SELECT id, a FROM t", r"id = 250.* column 'a' .*None is a missing value"),
        (False, "SELECT id, b FROM t", r"id = 270.* column 'b' .*'seven' .*to_string\(\)"),
    ]:
        source = SqlSource(query, connection=url, index_column="id", strict_types=strict)
        with pytest.raises(TableError, match=said):
            Read(source, 1600)


def test_a_column_without_values_in_the_sample_is_looked_at_further(sqlite):
    rows = [(n, None if n < 250 else n) for n in range(300)]
    url = sqlite(("CREATE TABLE t(id INTEGER, a)",), ("INSERT INTO t VALUES (?, ?)", rows))
    read = Read(SqlSource("SELECT * FROM t", connection=url), 500)
    assert read.reader.columns == (("id", "int"), ("a", "int_as_float"))
    assert {str(frame["a"].dtype) for frame in read.frames} == {"float64"}


def test_an_empty_result_has_no_piece_and_no_columns_still_count(sqlite):
    url = sqlite(("CREATE TABLE t(id INTEGER)",))
    assert Read(SqlSource("SELECT * FROM t", connection=url), 500).cuts == []
    sqlite(("INSERT INTO t VALUES (1), (2)",))
    source = SqlSource("SELECT * FROM t", connection=url)
    listing = source.listing()
    made = SqlReader(source.describe(listing), listing.storage_options, None)
    assert made.read(Piece("query", 0, None), FILE, [], False).table.num_rows == 2


def test_planning_that_fails_is_a_piece_in_trouble(sqlite, tmp_path):
    url = sqlite(("CREATE TABLE t(id INTEGER)",), ("INSERT INTO t VALUES (1)",))
    source = SqlSource("SELECT * FROM t", connection=url)
    listing = source.listing()
    reader = source.describe(listing)
    sqlite(("DROP TABLE t",))
    (cut,) = source.splitter(reader, listing, 100).begin("query", -1)
    assert "cuts 'SELECT * FROM t' into mini-batches failed" in cut.trouble
    assert "no such table" in cut.trouble


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"connection": "sqlite://"}, "in the memory of this process"),
        ({"connection": "sqlite:////no/such/file.db"}, "there is no file '/no/such/file.db'"),
        ({"connection": "rides.db"}, "no SQLAlchemy URL"),
        ({"connection": "nodb://me:secret@host/x"}, "driver is not installed"),
        ({"connection": 7}, "is of type int"),
        ({}, "has no connection"),
        ({"connection": "sqlite:///x", "query_timeout": 0}, "query_timeout=0 is no time"),
        ({"connection": "sqlite:///x", "query": " ; "}, "is no query"),
        ({"query": (object(), "SELECT 1")}, "this datastore has no database connection"),
    ],
)
def test_what_can_not_be_asked(kwargs, said):
    with pytest.raises(DatasetError, match=said) as caught:
        SqlSource(**{"query": "SELECT 1 AS a", **kwargs}).check()
    assert "secret" not in str(caught.value)


def test_columns_that_are_not_there(sqlite, server):
    url = sqlite(("CREATE TABLE t(ident INTEGER, b BLOB)",), ("INSERT INTO t VALUES (1, x'00')",))
    with pytest.raises(DatasetError, match=r"index_column='idend' is no .* mean 'ident'\?"):
        SqlSource("SELECT * FROM t", connection=url, index_column="idend").check()
    with pytest.raises(DatasetError, match="several columns of the name 'b'"):
        SqlSource("SELECT 1 AS b, 2 AS b", connection=server).check()
    with pytest.raises(DatasetError, match="there is no column 'c'"):
        SqlSource("SELECT * FROM t", {"c": DataType.to_long()}, connection=url).check()


def test_the_repr_is_the_call():
    source = SqlSource("SELECT a FROM t", connection="postgresql://me:pw@h/d", index_column="a")
    assert repr(source) == (
        "Dataset.Tabular.from_sql_query('SELECT a FROM t', "
        "connection='postgresql://me:***@h/d', index_column='a')"
    )


def test_keys_travel_as_builtins():
    key = [1, 2.5, None, "x", True, b"\0", Decimal("1.20"), date(2024, 2, 29),
           datetime(2024, 1, 1, 2, 3, 4, 5, UTC)]  # fmt: skip
    packed = pack_key(key)
    assert unpack_key(packed) == key
    assert [type(v) for v in unpack_key(packed)] == [type(v) for v in key]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1, 2], "int"), ([1, None], "int_as_float"), ([1, 2.5], "float"), ([True], "bool"),
        ([True, None], "boolean"), ([2**70], "text"), ([2**60, None], "text"), (["a", 1], "text"),
        ([date(2024, 1, 1)], "datetime"), ([], "text"), ([Decimal("1.5")], "float"),
        ([datetime.fromisoformat("2024-01-01"), datetime(2024, 1, 1, tzinfo=UTC)], "text"),
        ([timedelta(1)], "arrow:duration[us]"),
    ],
)  # fmt: skip
def test_inferred_types(values, text):
    from daskrun.data.tabular.values.types import arrow_type

    found, told, known = infer_values("a", values)
    if text.startswith("arrow:"):
        found = f"arrow:{arrow_type(found)}"
    assert found == text
    zones = [getattr(value, "tzinfo", None) for value in values]
    assert bool(told) == (values in ([2**70], [2**60, None], ["a", 1]) or len(set(zones)) > 1)
    assert known == bool(told)
