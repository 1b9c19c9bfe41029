import json
from datetime import UTC, date, datetime

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskrun import Dataset, Datastore, DataType, Workspace
from daskrun.data.dataset_codec import from_plain, to_plain
from daskrun.data.protocols import DataPath
from daskrun.errors import DatasetError, NameNotFoundError

Tabular = Dataset.Tabular


def nothing(name):
    raise AssertionError(name)


def again(dataset, find_datastore=nothing):
    """Give the dataset as another process has it."""
    return from_plain(json.loads(json.dumps(to_plain(dataset))), find_datastore)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Change to a folder with files of every format."""
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None], "t": pd.Timestamp("2026-01-31")})
    for user in ("ann", "bob"):
        folder = tmp_path / user / "2026" / "01"
        folder.mkdir(parents=True)
        frame.to_csv(folder / "rows.csv", index=False)
        frame.to_parquet(folder / "rows.parquet")
        frame.to_json(folder / "rows.jsonl", orient="records", lines=True, date_format="iso")
    return tmp_path


FORM = "{user}/{day:yyyy/MM}/*"
FILES = {
    "folder": lambda: Dataset.File.from_files("ann"),
    "glob": lambda: Dataset.File.from_files("**/*.csv"),
    "list": lambda: Dataset.File.from_files(["ann", "bob/2026"]),
    "partitioned": lambda: Dataset.File.from_files(".", partition_format=FORM),
    "selected": lambda: Dataset.File.from_files(".").skip(1).take(4).take_sample(0.9, seed=3),
    "split": lambda: Dataset.File.from_files(".").random_split(0.5, seed=1)[1],
}
TYPES = {"a": DataType.to_string(), "t": DataType.to_datetime(["%Y-%m-%d", "%d.%m.%Y"])}


def csv(**options):
    return Tabular.from_delimited_files("**/*.csv", **options)


def times():
    dataset = csv(partition_format=FORM, set_column_types={"t": DataType.to_datetime()})
    return dataset.with_timestamp_columns("t", "day").time_after(datetime(2020, 1, 1, tzinfo=UTC))


TABLES = {
    "delimited": lambda: csv(separator=",", header="ALL_FILES_HAVE_SAME_HEADERS", encoding="utf8"),
    "typed": lambda: csv(set_column_types=TYPES, support_multi_line=False, count_rows=True),
    "headless": lambda: csv(header=False, infer_column_types=False, include_path=True),
    "json": lambda: Tabular.from_json_lines_files("**/*.jsonl", invalid_lines="drop"),
    "parquet": lambda: Tabular.from_parquet_files("**/*.parquet", partition_format=FORM),
    "strict": lambda: Tabular.from_parquet_files("ann/**/*.parquet", strict_types=True),
    "columns": lambda: csv().keep_columns(["b", "a"]).drop_columns("b"),
    "windows": lambda: csv().skip(1).take(2).take_sample(0.5, seed=7).random_split(0.5, 2)[0],
    "filter": lambda: csv().filter(
        (csv()["a"] >= 1.5) & ~csv()["b"].isin(["x"]) | csv()["b"].is_null()
    ),
    "infinite": lambda: csv().filter(csv()["a"] < float("inf")),
    "texts": lambda: csv().filter(csv()["b"].starts_with("x") | csv()["t"].between(
        date(2026, 1, 1), datetime(2026, 2, 1, tzinfo=UTC))),
    "times": times,
}  # fmt: skip


@pytest.mark.parametrize("make", [*FILES.values(), *TABLES.values()], ids=[*FILES, *TABLES])
def test_a_dataset_is_the_same_again(data, make):
    dataset = make()
    made = again(dataset)
    assert type(made) is type(dataset)
    assert repr(made) == repr(dataset)
    assert made.fingerprint() == dataset.fingerprint()


def test_it_is_the_same_from_another_folder(data, monkeypatch):
    files, table = Dataset.File.from_files("ann"), csv()
    paths, frame = files.to_path(), table.to_pandas_dataframe()
    kept = [json.dumps(to_plain(each)) for each in (files, table)]
    monkeypatch.chdir("/")
    found = [from_plain(json.loads(text), nothing) for text in kept]
    assert found[0].to_path() == paths
    pd.testing.assert_frame_equal(found[1].to_pandas_dataframe(), frame)


texts = st.text(min_size=1).filter(lambda text: "\0" not in text)


@given(
    st.lists(texts, min_size=1),
    st.lists(st.one_of(st.integers(0).map(lambda n: ("take", n)), st.just(("skip", 2)))),
    st.floats(0, 1, exclude_min=True),
    st.integers(0, 2**32),
)
def test_any_paths_and_selections_come_back(paths, calls, share, seed):
    dataset = Dataset.File.from_files(paths, validate=False)
    for name, count in calls:
        dataset = getattr(dataset, name)(count)
    dataset = dataset.take_sample(share, seed)
    made = again(dataset)
    assert repr(made) == repr(dataset)
    assert (made.elements, made.selections) == (dataset.elements, dataset.selections)


values = st.one_of(st.integers(), st.text(), st.booleans(), st.floats(allow_nan=False), st.dates())


@given(st.text(), values, st.lists(values))
def test_any_condition_comes_back(name, value, listed):
    column = Tabular.from_delimited_files("x.csv", validate=False)[name]
    condition = (column <= value) & column.isin(listed) | ~(column != value)
    dataset = Tabular.from_delimited_files("x.csv", validate=False).filter(condition)
    made = again(dataset)
    assert repr(made) == repr(dataset)
    assert made.steps == dataset.steps


def test_a_name_that_is_no_text_comes_back(tmp_path):
    (tmp_path / b"\xff.txt".decode("utf-8", "surrogateescape")).write_text("x")
    dataset = Dataset.File.from_files(
        str(tmp_path / b"\xff.txt".decode("utf-8", "surrogateescape"))
    )
    assert again(dataset).to_path() == dataset.to_path()


def test_a_datastore_is_kept_by_its_name(data, tmp_path):
    ws = Workspace.create("trial")
    store = Datastore.register_local(ws, "images", data)
    other = Datastore.register_url(
        ws, "secret", "s3://bucket", {"key": "me", "secret": "hush-hush"}
    )
    for dataset in (
        Dataset.File.from_files(store.path("ann")),
        Dataset.File.from_files([(store, "ann"), store.path("bob")]),
        Tabular.from_delimited_files((store, "**/*.csv")).take(2),
    ):
        made = again(dataset, lambda name: Datastore(ws, name))
        assert repr(made) == repr(dataset)
        assert made.fingerprint() == dataset.fingerprint()
    cloud = Dataset.File.from_files(other.path("in/"), validate=False)
    assert "hush-hush" not in json.dumps(to_plain(cloud))
    assert again(cloud, lambda name: Datastore(ws, name)).elements == cloud.elements
    ws.records.delete("datastores", "secret")
    with pytest.raises(NameNotFoundError, match="no datastore has the name 'secret'"):
        again(cloud, lambda name: Datastore(ws, name))


class Database:
    """A datastore with a database behind it."""

    name = "rides"
    connection = "sqlite:///rides.db"
    storage_options = {}  # noqa: RUF012

    def url(self, relative):
        return relative


@pytest.mark.parametrize("kind", ["text", "url", "engine", "datastore", "path"])
def test_a_query_comes_back(data, kind):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    address, store = f"sqlite:///{data}/rides.db", Database()
    engine = sqlalchemy.create_engine(address)
    with engine.begin() as connection:
        pd.DataFrame({"a": [1, 2, 3]}).to_sql("rides", connection, index=False)
    query = "SELECT * FROM rides"
    options = {"set_column_types": {"a": DataType.to_float()}, "query_timeout": 12.5}
    dataset = {
        "text": lambda: Tabular.from_sql_query(query, connection="sqlite:///rides.db", **options),
        "url": lambda: Tabular.from_sql_query(query, connection=engine.url, **options),
        "engine": lambda: Tabular.from_sql_query(query, connection=engine, **options),
        "datastore": lambda: Tabular.from_sql_query((store, query), **options),
        "path": lambda: Tabular.from_sql_query(DataPath(store, query), **options),
    }[kind]()
    made = again(dataset, {"rides": store}.__getitem__)
    assert repr(made) == repr(dataset)
    assert made.fingerprint() == dataset.fingerprint()
    assert list(made.to_pandas_dataframe()["a"]) == [1.0, 2.0, 3.0]


class Nameless:
    """A datastore that only this process knows."""

    storage_options = {}  # noqa: RUF012

    def url(self, relative):
        return f"/data/{relative}"


def test_what_only_this_process_knows_is_refused(data):
    frame = Tabular.from_pandas_dataframe(pd.DataFrame({"a": [1]}))
    with pytest.raises(DatasetError, match=r"only in the memory of this process.*to_parquet_files"):
        to_plain(frame)
    nameless = Dataset.File.from_files((Nameless(), "x"), validate=False)
    with pytest.raises(DatasetError, match=r"is no registered datastore.*Datastore.register_url"):
        to_plain(nameless)


def test_a_stored_dataframe_is_kept(data):
    frame = pd.DataFrame({"a": pd.Categorical(["x", "y", "x"]), "b": [1, 2, 3]})
    dataset = Tabular.from_pandas_dataframe(frame).take(2).stored(data / "stored", 1 << 20)
    made = again(dataset)
    assert made.fingerprint() == dataset.fingerprint()
    pd.testing.assert_frame_equal(made.to_pandas_dataframe(), dataset.to_pandas_dataframe())


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({"layout": 99, "dataset": {}}, "layout 99, and this daskrun knows layout 1"),
        ({}, "layout None"),
        ({"layout": 1, "dataset": {"is": "Popen", "args": "ls"}}, "of a 'Popen'"),
        ({"layout": 1, "dataset": {"is": "Take", "count": 1}}, "is a Take, not a dataset"),
        ({"layout": 1, "dataset": {"is": "Take", "more": 1}}, "'more'.*of a 'Take'"),
    ],
)
def test_what_is_no_dataset_is_refused(value, match):
    with pytest.raises(DatasetError, match=match):
        from_plain(value, nothing)
