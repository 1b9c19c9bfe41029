import os
import pickle
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import daskrun.data.tabular.tabular_dataset as module
from daskrun.data import DataPath, Dataset, DatasetConsumptionConfig, DataType, TabularDataset
from daskrun.data.tabular.collect import loader_of, plan_of
from daskrun.data.tabular.loading.local_fetch import complete_here
from daskrun.data.tabular.loading.table_spec import Partition
from daskrun.data.tabular.planning.table_plan import TablePlan
from daskrun.errors import DatasetError, TableError

Tabular = Dataset.Tabular


def at(text):
    return datetime.fromisoformat(text)


@pytest.fixture(scope="module")
def rides(tmp_path_factory):
    """Four files of 60 rows: two departments, two days."""
    root = tmp_path_factory.mktemp("rides")
    whole = []
    for n, (dep, day) in enumerate((d, day) for d in ("Acc", "Dev") for day in (1, 2)):
        folder = root / dep / "2020/01" / f"{day:02d}"
        folder.mkdir(parents=True)
        rows = np.arange(60)
        frame = pd.DataFrame(
            {
                "id": rows + 60 * n,
                "x": rows * 0.5,
                "s": pd.Series([None if r % 7 == 0 else f"r{r % 5}" for r in rows], dtype="str"),
                "t": (pd.Timestamp(2020, 1, day) + pd.to_timedelta(rows * 24, "min")).astype(
                    "datetime64[us]"
                ),
            }
        )
        frame.to_csv(folder / "data.csv", index=False)
        frame.to_parquet(folder / "data.parquet", row_group_size=25)
        frame.to_json(folder / "data.jsonl", orient="records", lines=True, date_format="iso")
        whole.append(frame.assign(Dep=dep, Day=pd.Timestamp(2020, 1, day).as_unit("us")))
    return root, pd.concat(whole, ignore_index=True)


FORM = "/{Dep}/{Day:yyyy/MM/dd}/"


@pytest.fixture(params=["csv", "parquet", "jsonl"])
def made(request, rides):
    root, whole = rides
    make = {
        "csv": Tabular.from_delimited_files,
        "parquet": Tabular.from_parquet_files,
        "jsonl": Tabular.from_json_lines_files,
    }[request.param]
    options = {"partition_format": f"{FORM}data.{request.param}"}
    if request.param == "jsonl":  # JSON has no dates of its own
        options["set_column_types"] = {"t": DataType.to_datetime()}
    return make(f"{root}/**/*.{request.param}", **options), whole


@pytest.fixture
def csv(rides):
    return Tabular.from_delimited_files(f"{rides[0]}/**/*.csv", partition_format=f"{FORM}data.csv")


def same(got, expected):
    pd.testing.assert_frame_equal(got, expected.reset_index(drop=True))


def test_every_row_once_with_one_schema(made):
    dataset, whole = made
    same(dataset.to_pandas_dataframe(), whole)


CALLS = {
    "nothing": (lambda d: d, lambda f: f),
    "filter": (
        lambda d: d.filter((d["x"] > 10) & (d["Dep"] == "Dev") & d["s"].not_null()),
        lambda f: f[(f.x > 10) & (f.Dep == "Dev") & f.s.notna()],
    ),
    "files only": (lambda d: d.filter(d["Day"] > date(2020, 1, 1)), lambda f: f[f.Day.dt.day > 1]),
    "no file": (lambda d: d.filter(d["Dep"] == "x"), lambda f: f[:0]),
    "take": (lambda d: d.take(130), lambda f: f[:130]),
    "take none": (lambda d: d.take(0), lambda f: f[:0]),
    "skip, take": (lambda d: d.skip(55).take(10), lambda f: f[55:65]),
    "take, then files": (
        lambda d: d.take(70).filter(d["Day"] == "2020-01-02"), lambda f: f[60:70],
    ),
    "filter between windows": (
        lambda d: d.skip(3).filter(d["x"] >= 20).skip(5).take(40),
        lambda f: f[3:][f[3:].x >= 20][5:45],
    ),
    "columns": (
        lambda d: d.keep_columns(["t", "Dep", "id"]).drop_columns("t"), lambda f: f[["Dep", "id"]],
    ),
    "filter, then drop what it used": (
        lambda d: d.filter(d["x"] == 1).keep_columns("id"), lambda f: f[f.x == 1][["id"]],
    ),
    "path columns only": (lambda d: d.keep_columns(["Dep"]).skip(100), lambda f: f[["Dep"]][100:]),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_the_steps_are_those_of_pandas_through_every_way(made, name):
    call, expected = CALLS[name]
    dataset, whole = call(made[0]), expected(made[1])
    same(dataset.to_pandas_dataframe(), whole)
    for size in (300, "1KB"):
        plan = plan_of(dataset, size)
        with loader_of(plan) as loader:
            parts = [loader.frame(plan[i].load.plain()) for i in range(plan.known)]
        if parts:
            same(pd.concat(parts, ignore_index=True), whole)
        assert all(list(part.index) == list(range(len(part))) for part in parts)
        assert len(parts) or not len(whole)


def test_a_sample_is_the_same_for_every_size(made):
    dataset, whole = made
    sample = dataset.take_sample(0.3, seed=5)
    once = sample.to_pandas_dataframe()
    assert 40 < len(once) < 105
    assert set(once["id"]) < set(whole["id"])
    for size in (200, 1000):
        cut = sample.to_dask_dataframe(size).compute(scheduler="synchronous")
        same(cut.reset_index(drop=True), once)
    again = dataset.take_sample(0.3, seed=5).filter(dataset["Dep"] == "Dev")
    same(again.to_pandas_dataframe(), once[once.Dep == "Dev"])
    first = dataset.filter(dataset["Dep"] == "Dev").take_sample(0.3, seed=5)
    same(first.to_pandas_dataframe(), once[once.Dep == "Dev"])


def test_random_split_puts_each_row_in_one_part(made):
    dataset, whole = made
    one, two = dataset.random_split(0.6)
    ids = [*one.to_pandas_dataframe()["id"], *two.to_pandas_dataframe()["id"]]
    assert sorted(ids) == whole["id"].tolist()
    assert 100 < len(one.to_pandas_dataframe()) < 185
    assert len(one.take_sample(0.5, seed=1).skip(3).to_pandas_dataframe()) < len(ids) / 2


def test_what_no_one_needs_is_not_read(csv):
    spec = csv.filter(csv["x"] > 1).keep_columns(["Day", "id"]).resolve().spec
    assert spec.columns == ("id", "x")
    assert spec.partition == Partition(f"{FORM}data.csv", ("Day",))
    assert csv.resolve().spec.steps == ()
    pruned = csv.filter((csv["Dep"] == "Acc") & (csv["Day"] >= at("2020-01-02"))).resolve()
    assert list(pruned.listing.table) == ["Acc/2020/01/02/data.csv"]
    assert pruned.spec.steps == ()
    behind = csv.take(500).filter(csv["Dep"] == "Acc").resolve()
    assert len(behind.listing.table) == 4, "a take counts rows of all files"


def test_a_filter_changes_no_type(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a/x.csv").write_text("v\n1\n")
    (tmp_path / "b/x.csv").write_text("v\n1.5\n")
    dataset = Tabular.from_delimited_files(tmp_path, partition_format="{k}/x.csv")
    assert dataset.filter(dataset["k"] == "a").to_pandas_dataframe()["v"].dtype == "float64"


def test_include_path(rides):
    root, _ = rides
    dataset = Tabular.from_parquet_files(f"{root}/*/**/*.parquet", include_path=True)
    frame = dataset.to_pandas_dataframe()
    assert frame.columns[0] == "Path"
    assert frame["Path"].unique().tolist()[0] == "/Acc/2020/01/01/data.parquet"
    one = dataset.filter(dataset["Path"].starts_with("/Dev/")).keep_columns("id")
    assert len(one.resolve().listing.table) == 2
    assert one.to_pandas_dataframe()["id"].tolist() == list(range(120, 240))


def test_clashes_of_column_names(tmp_path):
    (tmp_path / "k").mkdir()
    (tmp_path / "k/x.csv").write_text("Path,k\n1,2\n")
    twice = Tabular.from_delimited_files(tmp_path, partition_format="{k}/x.csv")
    with pytest.raises(DatasetError, match="partition_format has a column 'k', and so have the"):
        twice.resolve()
    path = Tabular.from_delimited_files(tmp_path, include_path=True)
    with pytest.raises(DatasetError, match="include_path=True adds a column 'Path'"):
        path.resolve()


def test_a_partition_whose_value_is_missing_is_one_of_its_own(tmp_path):
    for city, day in (("Bern", "2024-05-31"), ("__HIVE_DEFAULT_PARTITION__",) * 2):
        folder = tmp_path / f"City={city}" / f"Day={day}"
        folder.mkdir(parents=True)
        (folder / "a.csv").write_text("n\n1\n2\n")
    dataset = Dataset.Tabular.from_delimited_files(
        str(tmp_path), partition_format="City={City}/Day={Day:yyyy-MM-dd}/*.csv"
    )
    for rows in (dataset.to_pandas_dataframe(), dataset.to_dask_dataframe("1MB").compute()):
        assert str(rows["Day"].dtype) == "datetime64[us]"
        assert rows["City"].isna().tolist() == rows["Day"].isna().tolist()
        assert sorted(rows["City"].fillna("")) == ["", "", "Bern", "Bern"]
    day = pd.Timestamp("2024-05-31").to_pydatetime()
    assert sorted(dataset.get_partition_key_values(), key=str) == [
        {"City": "Bern", "Day": day},
        {"City": None, "Day": None},
    ]
    assert len(dataset.filter(dataset["City"] == "Bern").to_pandas_dataframe()) == 2
    missing = dataset.filter(dataset["City"].is_null())
    assert missing.to_pandas_dataframe()["n"].tolist() == [1, 2]
    assert len(missing.listing().table) == 1, "the others are not read"


def test_partition_keys(csv, rides):
    assert csv.partition_keys == ["Dep", "Day"]
    assert csv.get_partition_key_values(["Dep"]) == [{"Dep": "Acc"}, {"Dep": "Dev"}]
    assert csv.get_partition_key_values()[1] == {"Dep": "Acc", "Day": at("2020-01-02")}
    left = csv.filter(csv["Day"] < date(2020, 1, 2)).get_partition_key_values(["Day"])
    assert left == [{"Day": at("2020-01-01")}]
    plain = Tabular.from_delimited_files(f"{rides[0]}/**/*.csv")
    assert plain.partition_keys == []
    with pytest.raises(DatasetError, match=r"has no partitions. Give partition_format="):
        plain.get_partition_key_values()
    with pytest.raises(DatasetError, match="'day' is not in partition_format"):
        csv.get_partition_key_values(["day"])
    other = Tabular.from_delimited_files(f"{rides[0]}/**/*.csv", partition_format="{a}/x.csv")
    with pytest.raises(DatasetError, match=r"the path '.*/Acc/2020/01/01/data.csv' does not fit"):
        other.to_pandas_dataframe()


def test_all_files_of_a_combination_are_one_mini_batch(csv, rides):
    plan = TablePlan([("x", csv.filter(csv["x"] > 3).resolve())], 100, ["Day"])
    complete_here(plan)
    with loader_of(plan) as loader:
        parts = [loader.frame(plan[i].load.plain()) for i in range(plan.known)]
    whole = rides[1][rides[1].x > 3]
    for part, (_, expected) in zip(parts, whole.groupby("Day"), strict=True):
        same(part, expected)


def test_times(csv, rides):
    _, whole = rides
    timed = csv.with_timestamp_columns("t", partition_timestamp="Day")
    start, end = at("2020-01-01T22:48"), at("2020-01-02T02:00")
    for got, expected in (
        (timed.time_after(start), whole.t >= start),
        (timed.time_after(start, include_boundary=False), whole.t > start),
        (timed.time_before(start), whole.t <= start),
        (timed.time_before(start, False), whole.t < start),
        (timed.time_between(start, end), (whole.t >= start) & (whole.t <= end)),
        (timed.time_before(start.replace(tzinfo=UTC)), whole.t <= start),
        (timed.time_before(date(2020, 1, 2), False), whole.Day.dt.day == 1),
    ):
        same(got.to_pandas_dataframe(), whole[expected])
    assert len(timed.time_after(at("2020-01-02T05:00")).resolve().listing.table) == 2
    assert len(timed.time_before(at("2020-01-02"), False).resolve().listing.table) == 2
    by_day = csv.with_timestamp_columns(partition_timestamp="Day")
    same(
        by_day.time_after(at("2020-01-02T05:00")).to_pandas_dataframe(),
        whole[whole.Day.dt.day == 2],
    )


def test_time_recent_is_of_the_call(csv, rides, monkeypatch):
    class Clock(datetime):
        @classmethod
        def now(cls, zone=None):
            return datetime(2020, 1, 3, tzinfo=UTC)

    monkeypatch.setattr(module, "datetime", Clock)
    recent = csv.with_timestamp_columns("t").time_recent(timedelta(hours=2))
    monkeypatch.undo()
    _, whole = rides
    same(recent.to_pandas_dataframe(), whole[whole.t >= at("2020-01-02T22:00")])


def test_dropped_columns_tell_no_time(csv):
    timed = csv.with_timestamp_columns("t", "Day")
    kept = timed.keep_columns(["id", "Day"])
    assert (kept.times.timestamp, kept.times.partition_timestamp) == (None, "Day")
    assert timed.drop_columns("Day").times.partition_timestamp is None
    with pytest.raises(DatasetError, match=r"time_recent\(\) needs to know which column"):
        timed.drop_columns(["Day", "t"]).time_recent(timedelta(1))


NO_COLUMN = "there is no column 'idd'. Did you mean 'id'?"


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda d: d.take(-1), "count=-1 is not a number of rows"),
        (lambda d: d.skip("3"), "count='3' is not a number of rows"),
        (lambda d: d.take_sample(0), "probability=0 is not a fraction"),
        (lambda d: d.random_split(1), "percentage=1 is not a fraction"),
        (lambda d: d.filter("x > 3"), "'x > 3' is of type str, and filter() takes conditions"),
        (lambda d: d["id", "x"], "dataset[('id', 'x')]: give the name of one column"),
        (list, "is not a list. Look at its rows with to_pandas_dataframe()"),
        (lambda d: d.keep_columns([]), "columns=[] names no column"),
        (lambda d: d.keep_columns(3), "columns=3 is not a list of names"),
        (lambda d: d.drop_columns(["a", "a"]), "names a column twice"),
        (lambda d: d.keep_columns("idd", validate=True), f"keep_columns(['idd']): {NO_COLUMN}"),
        (lambda d: d.drop_columns("idd").resolve(), f"drop_columns(['idd']): {NO_COLUMN}"),
        (lambda d: d.filter(d["idd"] > 1).resolve(), f"filter(...): {NO_COLUMN}"),
        (lambda d: d.filter(d["zz"] > 1).resolve(), "There are 'id', 'x', 's', 't', 'Dep', 'Day'."),
        (lambda d: d.drop_columns("x").filter(d["x"] > 1).resolve(), "was left out by an earlier"),
        (lambda d: d.drop_columns(["id", "x", "s", "t", "Dep", "Day"]).resolve(), "leaves no colu"),
        (lambda d: d.filter(d["s"] > 1).resolve(), "the column 's' is str, not comparable"),
        (lambda d: d.filter(d["Day"] > 1).resolve(), "the column 'Day' is datetime64[us]"),
        (lambda d: d.to_dask_dataframe("x"), "mini_batch_size='x' is not a number of bytes"),
        (lambda d: d.to_dask_dataframe(0), "mini_batch_size=0 is not a number of bytes"),
        (lambda d: d.with_timestamp_columns(), "names no column"),
        (lambda d: d.with_timestamp_columns("t", "t"), "are the same column"),
        (lambda d: d.with_timestamp_columns(3), "timestamp=3 is not the name of a column"),
        (lambda d: d.with_timestamp_columns("t", "x"), "'x' is no date column of the path"),
        (lambda d: d.with_timestamp_columns("q", validate=True), "there is no column 'q'"),
        (lambda d: d.time_after(at("2020-01-01")), "time_after() needs to know which column"),
        (lambda d: d.with_timestamp_columns("t").time_after("2020"), "start_time='2020' is of ty"),
        (lambda d: d.with_timestamp_columns("t").time_recent(3), "time_delta=3 is not a span"),
        (lambda d: d.with_timestamp_columns("x").time_after(at("2020-01-01"), validate=True),
         "the column 'x' is float64, not comparable to datetime"),
    ],
)  # fmt: skip
def test_wrong_calls(csv, call, text):
    with pytest.raises(DatasetError) as error:
        call(csv)
    assert text in str(error.value)


def test_wrong_arguments_of_the_factory(tmp_path):
    (tmp_path / "a.csv").write_text("a\n1\n")
    with pytest.raises(DatasetError, match="set_column_types=3 is not a dict"):
        Tabular.from_delimited_files(tmp_path, set_column_types=3)
    with pytest.raises(DatasetError, match=r"set_column_types=\{'a': 'int'\}: that is no type"):
        Tabular.from_parquet_files(tmp_path, set_column_types={"a": "int"})
    with pytest.raises(DatasetError, match="partition_format='x' names no column"):
        Tabular.from_json_lines_files(tmp_path, partition_format="x")
    with pytest.raises(DatasetError, match="does not exist"):
        Tabular.from_delimited_files(tmp_path / "nothing")
    later = Tabular.from_delimited_files(tmp_path / "nothing", validate=False)
    with pytest.raises(DatasetError, match="does not exist"):
        later.take(1).to_pandas_dataframe()


def test_lazy_immutable_and_pickles(csv):
    taken = csv.take(3)
    assert csv.steps == ()
    assert len(csv.to_pandas_dataframe()) == 240
    copy = pickle.loads(pickle.dumps(taken.filter(taken["x"] > 0)))
    assert isinstance(copy, TabularDataset)
    assert copy.to_pandas_dataframe()["id"].tolist() == [1, 2]


class Store:
    storage_options = {"password": "hunter2"}  # noqa: RUF012

    def url(self, relative):
        return f"https://me:hunter2@host/{relative}?sig=hunter2"


def test_repr_is_the_calls_without_secrets(csv):
    made = Tabular.from_delimited_files("a/*.csv", validate=False, separator=";")
    one, _ = made.skip(3).take(5).random_split(0.5, seed=1)
    chain = one.filter((one["a"] > 3) & one["b"].isin(["x"])).keep_columns(["a"]).drop_columns("b")
    assert repr(chain) == (
        f"{made!r}.skip(3).take(5).random_split(0.5, seed=1)[0]"
        ".filter((dataset['a'] > 3) & dataset['b'].isin(['x']))"
        ".keep_columns(['a']).drop_columns(['b'])"
    )
    assert repr(made).startswith("Dataset.Tabular.from_delimited_files('a/*.csv'")
    timed = csv.with_timestamp_columns("t").time_between(at("2020-01-01"), at("2020-01-02"), False)
    assert repr(timed).endswith(
        ".with_timestamp_columns(timestamp='t').time_between(datetime.datetime(2020, 1, 1, 0, 0), "
        "datetime.datetime(2020, 1, 2, 0, 0), include_boundary=False)"
    )
    secret = Tabular.from_parquet_files(DataPath(Store(), "x"), validate=False)
    assert "hunter2" not in repr(secret.take(1))


def test_fingerprint_follows_data_schema_and_steps(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    dataset = Tabular.from_delimited_files(tmp_path)
    first = dataset.fingerprint()
    others = {
        dataset.take(1).fingerprint(),
        dataset.filter(dataset["a"] > 1).fingerprint(),
        dataset.filter(dataset["a"] > 2).fingerprint(),
        dataset.keep_columns(["a"]).fingerprint(),
        Tabular.from_delimited_files(tmp_path, infer_column_types=False).fingerprint(),
    }
    assert len({first, *others}) == 6
    assert dataset.fingerprint() == first
    os.utime(path, ns=(1, 1))
    assert dataset.fingerprint() != first


def test_as_an_input(csv):
    named = csv.as_named_input("rides")
    assert (named.name, named.dataset, named.resolve({})) == ("rides", csv, csv)
    assert DatasetConsumptionConfig("x", csv).as_mount().dataset is csv


def test_bad_rows_are_named_and_warnings_told_once(tmp_path):
    rows = "\n".join(f"{n},{'x' * 20}" for n in range(60_000))  # the middle is in no sample
    (tmp_path / "a.csv").write_text(f"a,b\n{rows}\n,y\n{rows}\n,y\n")
    with pytest.warns(UserWarning, match="'a'") as told:
        frame = Tabular.from_delimited_files(tmp_path).to_pandas_dataframe()
    assert (len(frame), frame["a"].dtype, len(told)) == (120_002, "float64", 1)
    (tmp_path / "a.csv").write_text(f"a,b\n{rows}\nlate,y\n{rows}\n{rows}\n")
    with pytest.raises(TableError, match=r"a\.csv, line 60002.*'late'"):
        Tabular.from_delimited_files(tmp_path).to_pandas_dataframe()


def test_dataframes(rides):
    _, whole = rides
    frame = whole.assign(c=pd.Categorical(["u", "v"] * 120), i=pd.array([1, None] * 120, "Int64"))
    dataset = Tabular.from_pandas_dataframe(frame)
    assert dataset.in_memory
    assert not Tabular.from_parquet_files("x", validate=False).in_memory
    same(dataset.to_pandas_dataframe(), frame)
    picked = dataset.filter(dataset["c"] == "v").skip(1).take(3)
    same(picked.to_pandas_dataframe(), frame[frame.c == "v"][1:4])


def test_a_stored_dataframe_is_the_same_dataset(rides, tmp_path):
    dataset = Tabular.from_pandas_dataframe(rides[1]).take_sample(0.5, seed=3)
    stored = dataset.stored(tmp_path / "0", 2000)
    assert not stored.in_memory
    same(stored.to_pandas_dataframe(), dataset.to_pandas_dataframe())
    parts = stored.to_dask_dataframe(2000)
    before = dataset.to_dask_dataframe(2000)
    assert parts.npartitions == before.npartitions > 3
    for n in range(parts.npartitions):
        one, two = (
            each.get_partition(n).compute(scheduler="synchronous") for each in (parts, before)
        )
        pd.testing.assert_frame_equal(one, two)


def test_categories_of_different_rows_are_one_column(tmp_path):
    for name, values in (("a", ["x", "y"]), ("b", ["z"])):
        pd.DataFrame({"c": pd.Categorical(values)}).to_parquet(tmp_path / f"{name}.parquet")
    frame = Tabular.from_parquet_files(tmp_path).to_pandas_dataframe()
    assert frame["c"].dtype == "category"
    assert frame["c"].tolist() == ["x", "y", "z"]


def test_making_a_dataset_loads_no_heavy_package():
    code = (
        "import sys; from daskrun import Dataset, DataType, TabularDataset\n"
        "d = Dataset.Tabular.from_parquet_files('x', validate=False, set_column_types=\n"
        "    {'a': DataType.to_long()}).take(3)\n"
        "d.filter(d['a'] > 3).as_named_input('x')\n"
        "heavy = {'dask', 'pandas', 'pyarrow', 'fsspec'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    paths = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    subprocess.run([sys.executable, "-c", code], check=True, env=paths)


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_what_writers_leave_beside_tables_is_no_data(tmp_path, kind):
    make = {
        "csv": Tabular.from_delimited_files,
        "parquet": Tabular.from_parquet_files,
        "jsonl": Tabular.from_json_lines_files,
    }[kind]

    def save(name, values):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        frame = pd.DataFrame({"a": values})
        write = {
            "csv": lambda path: frame.to_csv(path, index=False),
            "parquet": frame.to_parquet,
            "jsonl": lambda path: frame.to_json(path, orient="records", lines=True),
        }
        write[kind](tmp_path / name)

    save(f"1.{kind}", [1, 2])
    save(f"_2.{kind}", [3])
    save(f"_y=1/.3.{kind}", [4])
    save(f"_y=1/3.{kind}", [5])
    save(f"_delta_log/0.{kind}", [6])
    for name in ("0.empty", "_SUCCESS"):
        (tmp_path / name).touch()

    def rows(path, **options):
        with pytest.warns(
            UserWarning, match=r"'[^']+'( and . more are| is) left out: files of 0 b"
        ):
            return sorted(make(str(path), **options).to_pandas_dataframe()["a"])

    assert rows(tmp_path) == [1, 2, 5]
    assert rows(tmp_path, include_hidden=True) == [1, 2, 3, 4, 5, 6]
    assert list(make(str(tmp_path / f"_2.{kind}")).to_pandas_dataframe()["a"]) == [3]
    listed = Dataset.File.from_files(str(tmp_path)).to_path()
    assert len(listed) == 6, "a file dataset has all but those that begin with a point"
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "_a").touch()
    with pytest.raises(DatasetError, match=r"begin with '\.' or '_' are left out"):
        make(str(tmp_path / "only"))
