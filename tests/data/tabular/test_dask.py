import pickle
import warnings

import fsspec
import pandas as pd
import pytest
from distributed import Client

from daskrun.data import DataPath, Dataset, DataType
from daskrun.data.tabular.collect import loader_of, plan_of
from daskrun.data.tabular.dask_frames import ReadMiniBatch
from daskrun.errors import TableError


def rows(n):
    return "".join(f'{i},{i / 2},"r{i % 5}\n{i}",{i % 2 == 0}\n' for i in range(n))


@pytest.fixture
def files(tmp_path):
    (tmp_path / "a.csv").write_text("id,x,s,flag\n" + rows(200))
    (tmp_path / "b.csv").write_text("id,x,s,flag\n")
    (tmp_path / "c.csv").write_text("id,x,s,flag\n" + rows(3))
    return tmp_path


@pytest.mark.parametrize("size", [1, 64, 1000, "1MB"])
def test_partition_i_is_mini_batch_i(files, size):
    dataset = Dataset.Tabular.from_delimited_files(files)
    frame = dataset.to_dask_dataframe(size)
    plan = plan_of(dataset, frame.npartitions and size)
    assert frame.npartitions == plan.known
    assert not frame.known_divisions
    with loader_of(plan) as loader:
        for n in {0, 1, plan.known // 2, plan.known - 1}:
            got = frame.get_partition(n).compute(scheduler="synchronous")
            pd.testing.assert_frame_equal(got, loader.frame(plan[n].load.plain()))
            assert got.dtypes.tolist() == frame.dtypes.tolist(), "Dask keeps pandas' own str"


def test_all_rows_with_threads_and_columns_that_dask_asks_for(files):
    dataset = Dataset.Tabular.from_delimited_files(files)
    frame = dataset.filter(dataset["flag"]).to_dask_dataframe(300)
    whole = dataset.to_pandas_dataframe()
    expected = whole[whole.flag].reset_index(drop=True)
    got = frame.compute(scheduler="threads").reset_index(drop=True)
    pd.testing.assert_frame_equal(got, expected)
    assert frame["x"].sum().compute(scheduler="threads") == expected.x.sum()
    two = frame[["s", "id"]].compute(scheduler="threads").reset_index(drop=True)
    pd.testing.assert_frame_equal(two, expected[["s", "id"]])


def test_dask_reads_only_the_columns_it_needs(files):
    plan = plan_of(Dataset.Tabular.from_delimited_files(files), 500)
    loader = ReadMiniBatch(plan).loader(["x"])
    assert loader._loader._columns == ["x"]
    again = ReadMiniBatch(plan)
    assert again.loader(["x"]) is loader, "its files stay open from one mini-batch to the next"
    assert again.loader() is not loader


def test_the_same_dataset_is_the_same_keys_and_another_never(files):
    dataset = Dataset.Tabular.from_delimited_files(files)
    names = {
        dataset.to_dask_dataframe(500)._name,
        dataset.to_dask_dataframe(500)._name,
        dataset.to_dask_dataframe(600)._name,
        dataset.take(10).to_dask_dataframe(500)._name,
    }
    assert len(names) == 3


def test_nothing_is_one_partition_with_the_dtypes(files):
    dataset = Dataset.Tabular.from_delimited_files(files)
    frame = dataset.take(0).to_dask_dataframe()
    assert (frame.npartitions, len(frame)) == (1, 0)
    assert frame.dtypes.tolist() == dataset.to_pandas_dataframe().dtypes.tolist()


def test_on_a_cluster(files):
    dataset = Dataset.Tabular.from_delimited_files(files).skip(5)
    frame = dataset.to_dask_dataframe(500)
    with (
        warnings.catch_warnings(),
        Client(
            processes=False, n_workers=1, threads_per_worker=2, dashboard_address=":0"
        ) as client,
    ):
        got = client.compute(frame).result(timeout=30).reset_index(drop=True)
        bad = Dataset.Tabular.from_delimited_files(
            files / "a.csv", set_column_types={"x": DataType.to_float()}
        )
        (files / "a.csv").write_text("id,x,s,flag\n" + rows(200).replace("99.5,", "late,", 1))
        with pytest.raises(TableError, match="'late'"):
            client.compute(bad.to_dask_dataframe("1MB")).result(timeout=30)
    (files / "a.csv").write_text("id,x,s,flag\n" + rows(200))
    assert len(got) == 198
    pd.testing.assert_frame_equal(got, dataset.to_pandas_dataframe())


class Store:
    """A datastore of files in memory that has a password."""

    storage_options = {"password": "hunter2"}  # noqa: RUF012

    def url(self, relative):
        return f"memory://daskrun-tables/{relative}"


@pytest.fixture
def remote():
    system = fsspec.filesystem("memory")
    with system.open("/daskrun-tables/in/a.csv", "wb") as file:
        file.write(("id,x,s,flag\n" + rows(100)).encode())
    yield Dataset.Tabular.from_delimited_files(DataPath(Store(), "in"))
    system.rm("/daskrun-tables", recursive=True)


def test_remote_files_and_their_secrets(remote):
    frame = remote.to_dask_dataframe(400)
    whole = remote.to_pandas_dataframe()
    got = frame.compute(scheduler="threads").reset_index(drop=True)
    pd.testing.assert_frame_equal(got, whole)
    assert len(whole) == 100
    assert frame.npartitions > 4
    graph = frame.optimize().dask
    assert "hunter2" not in repr(frame) + repr(graph) + str(list(graph))
    assert "hunter2" not in repr([task for task in graph.values()])  # noqa: C416
    reader = ReadMiniBatch(plan_of(remote, 400))
    assert "hunter2" not in repr(reader) + str(reader.__dask_tokenize__())
    assert pickle.loads(pickle.dumps(reader)).token == reader.token


def test_a_dataframe_here_is_sent_in_parts_never_whole_with_each_task():
    frame = pd.DataFrame({"n": range(20_000)})
    dataset = Dataset.Tabular.from_pandas_dataframe(frame)
    parts = dataset.to_dask_dataframe("10KB")
    assert parts.npartitions > 10
    sizes = [len(pickle.dumps(task)) for task in parts.optimize().dask.values()]
    assert max(sizes) < 20_000 < sum(sizes)
    got = parts.compute(scheduler="synchronous").reset_index(drop=True)
    pd.testing.assert_frame_equal(got, frame)


def test_a_reader_that_is_not_kept_leaves_nothing(files):
    made = [
        ReadMiniBatch(plan_of(Dataset.Tabular.from_delimited_files(files).skip(n), 500)).loader()
        for n in range(10)
    ]
    folders = [loader._here._folder.parent for loader in made]
    assert [folder.exists() for folder in folders] == [False] * 2 + [True] * 8
