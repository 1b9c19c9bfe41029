from datetime import date, datetime

import fsspec
import pandas as pd
import pyarrow.parquet as pq
import pytest

from daskrun.data import DataPath, Dataset
from daskrun.errors import DatasetError, TableError


@pytest.fixture
def frame():
    n = range(200)
    return pd.DataFrame(
        {
            "id": n,
            "x": [i / 4 for i in n],
            "s": pd.Series([None if i == 3 else f'a,"{i % 3}"\nä' for i in n], dtype="str"),
            "k": [f"k{i % 3}" for i in n],
            "day": [date(2020, 1, 1 + i % 2) for i in n],
            "t": pd.to_datetime([datetime(2020, 1, 1, i % 2, 30) for i in n]).as_unit("us"),  # noqa: DTZ001
        }
    )


@pytest.fixture
def dataset(frame, tmp_path):
    (tmp_path / "in").mkdir()
    frame[:120].to_parquet(tmp_path / "in/a.parquet", row_group_size=30)
    frame[120:].to_parquet(tmp_path / "in/b.parquet", row_group_size=30)
    return Dataset.Tabular.from_parquet_files(tmp_path / "in")


def names(files):
    return [path.rpartition("/")[2] for path in files.to_path()]


def test_csv_files_are_read_again_as_they_were(dataset, tmp_path, frame):
    wanted = dataset.drop_columns(["day"]).skip(1)
    files = wanted.to_csv_files(";", target=tmp_path / "out", mini_batch_size=1000)
    count = wanted.to_dask_dataframe(1000).npartitions
    assert count > 3
    assert names(files) == [f"part-{n:05d}.csv" for n in range(count)]
    back = Dataset.Tabular.from_delimited_files(tmp_path / "out", separator=";")
    expected = frame[1:].drop(columns="day").reset_index(drop=True)
    pd.testing.assert_frame_equal(back.to_pandas_dataframe(), expected)


def test_parquet_files_are_read_again_as_they_were(dataset, tmp_path, frame):
    files = dataset.to_parquet_files(target=str(tmp_path / "out"), mini_batch_size=1000)
    assert len(names(files)) > 3
    back = Dataset.Tabular.from_parquet_files(tmp_path / "out").to_pandas_dataframe()
    pd.testing.assert_frame_equal(back, frame)
    schemas = {str(pq.read_schema(path)) for path in files.to_path()}
    assert len(schemas) == 1


def test_without_a_target_there_is_one_for_this_process(dataset):
    assert names(dataset.take(5).to_csv_files()) == ["part-00000.csv"]
    assert names(dataset.take(0).to_parquet_files()) == ["part-00000.parquet"]


@pytest.mark.slow
def test_partition_by(dataset, tmp_path, frame):
    parts = dataset.partition_by(["k", "day"], tmp_path / "out", mini_batch_size=1000)
    assert parts.partition_keys == ["k", "day"]
    assert repr(parts).endswith("partition_format='{k}/{day:yyyy-MM-dd}/*.parquet')")
    values = parts.get_partition_key_values()
    assert len(values) == 6
    assert values[0] == {"k": "k0", "day": datetime(2020, 1, 1)}  # noqa: DTZ001
    back = parts.to_pandas_dataframe()
    assert list(back.columns) == ["id", "x", "s", "t", "k", "day"]
    one = parts.filter(parts["k"] == "k1").to_pandas_dataframe()
    expected = frame[frame.k == "k1"]
    assert sorted(one["id"]) == expected["id"].tolist()
    a_day = parts.filter((parts["k"] == "k1") & (parts["day"] == date(2020, 1, 2)))
    kept = expected[expected.id % 2 == 1].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        a_day.drop_columns(["day"]).to_pandas_dataframe(),
        kept[["id", "x", "s", "t", "k"]],
    )
    folders = {
        p.relative_to(tmp_path / "out").parent.as_posix() for p in tmp_path.glob("out/*/*/*")
    }
    assert "k2/2020-01-01" in folders


def test_partition_by_times_and_numbers(dataset, tmp_path, frame):
    parts = dataset.partition_by(["t"], tmp_path / "t")
    assert parts.partition_keys == ["t"]
    pd.testing.assert_frame_equal(
        parts.to_pandas_dataframe().sort_values("id", ignore_index=True)[list(frame.columns)],
        frame.assign(day=frame["day"]),
    )
    numbers = dataset.keep_columns(["id", "x"]).take(3).partition_by(["x"], tmp_path / "x")
    assert [each["x"] for each in numbers.get_partition_key_values()] == ["0.0", "0.25", "0.5"]


def test_integers_that_met_missing_values_are_named_as_integers(tmp_path):
    rows = "".join(f"{n % 2},{n},{'x' * 300}\n" for n in range(3000))
    (tmp_path / "a.csv").write_text(f"k,n,t\n{rows},0,in no sample\n{rows}")
    table = Dataset.Tabular.from_delimited_files(tmp_path / "a.csv")
    with pytest.warns(UserWarning, match="'k'"):
        parts = table.filter(table["k"].not_null()).partition_by(["k"], tmp_path / "out")
    assert parts.get_partition_key_values() == [{"k": "0"}, {"k": "1"}]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "the column 'k' has a missing value, which no folder can be named by"),
        ("", "the column 'k' has the value '', which can't be the name of a folder"),
        (".hidden", "has the value '.hidden'"),
        ("a/b", "has the value 'a/b'"),
        ("x" * 300, "can't be the name of a folder"),
        (datetime(2020, 1, 1, 0, 0, 0, 5), "a folder's name tells whole seconds"),  # noqa: DTZ001
    ],
)
def test_values_that_are_no_folder(tmp_path, value, text):
    frame = pd.DataFrame({"k": [value, value], "n": [1, 2]})
    with pytest.raises(TableError) as error:
        Dataset.Tabular.from_pandas_dataframe(frame).partition_by(["k"], tmp_path / "out")
    assert text in str(error.value)
    assert not list(tmp_path.glob("out/**/*.parquet"))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda d, p: d.partition_by(["q"], p), "there is no column 'q'"),
        (lambda d, p: d.partition_by([], p), "partition_keys=[] names no column"),
        (
            lambda d, p: d.partition_by(["k"], p, name="x"),
            "is in no datastore, whose workspace",
        ),
        (lambda d, p: d.keep_columns("k").partition_by("k", p), "no column would be left"),
        (lambda d, p: d.take(0).partition_by(["k"], p), "has no rows: there is nothing"),
        (lambda d, p: d.to_csv_files(separator="ab"), "separator='ab' is not one character"),
        (lambda d, p: d.to_csv_files(target=[p]), "is a list. Give one folder"),
        (lambda d, p: d.to_csv_files(target=3), "=3 is of type int"),
    ],
)
def test_wrong_arguments(dataset, tmp_path, call, text):
    with pytest.raises(DatasetError) as error:
        call(dataset, tmp_path / "out")
    assert text in str(error.value)


def test_names_that_mean_something_else_in_a_format(tmp_path):
    frame = pd.DataFrame({"a:b": ["x"], "n": [1]})
    with pytest.raises(DatasetError, match=r"the name 'a:b' has one of"):
        Dataset.Tabular.from_pandas_dataframe(frame).partition_by(["a:b"], tmp_path / "out")


def test_a_target_with_something_in_it_is_left_alone(dataset, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    for call in (dataset.to_csv_files, dataset.to_parquet_files):
        with pytest.raises(DatasetError, match=r"target='.*out' is not empty: 'mine' is there"):
            call(target=tmp_path / "out")
    with pytest.raises(DatasetError, match="is not empty"):
        dataset.partition_by(["k"], tmp_path / "out")
    with pytest.raises(DatasetError, match=r"target='.*mine' can't be used: NotADirectoryError"):
        dataset.to_csv_files(target=tmp_path / "out/mine")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


class Store:
    storage_options = {"password": "hunter2"}  # noqa: RUF012

    def url(self, relative):
        return f"memory://daskrun-written/{relative}"


@pytest.mark.slow
def test_a_datastore_is_a_target(dataset, frame):
    try:
        parts = dataset.partition_by(["k"], (Store(), "parts"), mini_batch_size=1000)
        assert parts.get_partition_key_values() == [{"k": "k0"}, {"k": "k1"}, {"k": "k2"}]
        assert sorted(parts.to_pandas_dataframe()["id"]) == frame["id"].tolist()
        with pytest.raises(DatasetError, match="is not empty") as error:
            dataset.to_csv_files(target=DataPath(Store(), "parts"))
        assert "hunter2" not in str(error.value) + repr(parts)
        files = dataset.take(3).to_csv_files(target=DataPath(Store(), "csv"))
        assert files.to_path() == ["memory://daskrun-written/csv/part-00000.csv"]
    finally:
        fsspec.filesystem("memory").rm("/daskrun-written", recursive=True)
