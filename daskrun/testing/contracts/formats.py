"""What every format of tables has to keep."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

import pytest

from daskrun.data.tabular.collect import empty, loader_of, plan_of
from daskrun.data.tabular.formats.node_cache import NodeCache
from daskrun.data.tabular.formats.registry import spec_of
from daskrun.data.tabular.loading.load import TableLoader
from daskrun.data.tabular.loading.local_fetch import BroughtHere, complete_here
from daskrun.data.tabular.planning.table_plan import TablePlan
from daskrun.data.tabular.tabular_dataset import TabularDataset
from daskrun.errors import DatasetError
from daskrun.script import wire

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from daskrun.data.tabular.formats.contract import FrameSource, Source

SIZES = (24, 300, 2000, 10**9)
"""Mini-batch sizes in bytes: from less than a row to all rows. (At 1 byte nearly all are empty.)"""


class FormatContract(ABC):
    """The tests of a format.

    Examples
    --------
    ::

        class TestOrc(FormatContract):
            def write(self, folder):
                frame = pandas.DataFrame({"a": range(100), "b": [str(i) for i in range(100)]})
                frame[:60].to_orc(folder / "0.orc")
                frame[60:].reset_index(drop=True).to_orc(folder / "1.orc")
                return frame

            def source(self, where):
                return OrcSource((where,), "/")
    """

    of_files: ClassVar[bool] = True
    """Whether rows are in files: those behind URLs and damaged ones are read, too."""

    @abstractmethod
    def write(self, folder: Path) -> pd.DataFrame:
        """Write some 100 rows to a folder, best in several files, and return them.

        There is a column of different whole numbers, of dtype int64, and no other of its name.
        """

    @abstractmethod
    def source(self, where: str) -> Source | FrameSource:
        """Return the source of what :meth:`write` wrote: ``where`` is that folder or its URL."""

    @pytest.fixture
    def rows(self, tmp_path: Path) -> pd.DataFrame:
        (tmp_path / "data").mkdir()
        return self.write(tmp_path / "data")

    @pytest.fixture
    def dataset(self, rows: pd.DataFrame, tmp_path: Path) -> TabularDataset:  # noqa: ARG002
        return TabularDataset(self.source(str(tmp_path / "data")))

    def test_it_can_be_checked_and_shown(self, dataset: TabularDataset) -> None:
        """Its repr is one call, and its fingerprint is the same each time."""
        dataset.source.check()
        assert repr(dataset).startswith("Dataset.Tabular.")
        assert "\n" not in repr(dataset)
        assert dataset.readable(1).fingerprint() == dataset.readable(1).fingerprint()

    @pytest.mark.parametrize("size", SIZES)
    def test_each_row_comes_once_in_order_with_the_same_dtypes(
        self, dataset: TabularDataset, rows: pd.DataFrame, size: int
    ) -> None:
        import pandas as pd

        plan = plan_of(dataset, size)
        frames = _frames(plan)
        for index, frame in enumerate(frames):
            batch = plan[index]
            assert frame.index.equals(pd.RangeIndex(len(frame)))
            assert frame.dtypes.equals(empty(plan).dtypes)
            assert batch.items in (None, len(frame))
        pd.testing.assert_frame_equal(pd.concat(frames, ignore_index=True), rows)

    def test_columns_that_are_left_out_change_no_others(
        self, dataset: TabularDataset, rows: pd.DataFrame
    ) -> None:
        import pandas as pd

        for name in rows.columns:
            found = dataset.keep_columns([name]).to_pandas_dataframe()
            pd.testing.assert_frame_equal(found, rows[[name]])

    @pytest.mark.parametrize("size", SIZES)
    def test_samples_and_windows_are_the_same_for_every_size(
        self, dataset: TabularDataset, rows: pd.DataFrame, size: int
    ) -> None:
        """Rows are drawn by ids that do not depend on the size."""
        number = next(name for name in rows.columns if rows[name].dtype == "int64")
        chosen = dataset.take_sample(0.5, seed=4).skip(3).take(20)
        expected = chosen.to_pandas_dataframe()[number].tolist()
        plan = plan_of(chosen, size)
        found = [value for frame in _frames(plan) for value in frame[number]]
        assert found == expected
        assert len(found) == 20

    @pytest.mark.parametrize("size", SIZES)
    def test_surveys_are_plain_and_may_end_in_any_order(
        self, dataset: TabularDataset, tmp_path: Path, size: int
    ) -> None:
        """What surveys find is builtins, and gives the same mini-batches in any order."""
        plan = TablePlan([("input_0", dataset.readable(size).resolve())], size)
        while not plan.complete:
            plan.extend(1 << 30)
            surveys = plan.begin(1000)
            assert surveys or plan.complete, "a plan that isn't complete waits for something"
            for survey in reversed(surveys):
                _, _, load, _, _ = wire.decode(survey.descriptor)
                found = _look(plan, load, tmp_path)
                plan.learn(survey.number, wire.decode(pickle.dumps(found, 5)))
        usual = plan_of(dataset, size)
        assert plan.known == usual.known
        for index in range(plan.known):
            assert plan.encode(index) == usual.encode(index)
            wire.decode(plan.encode(index))  # builtins only

    def test_the_specification_travels(self, dataset: TabularDataset) -> None:
        table = dataset.resolve().spec
        plain = table.plain()
        assert wire.decode(pickle.dumps(plain, 5)) == plain
        assert type(table).of(plain) == table
        assert spec_of(plain["reader"]) == table.reader

    @pytest.mark.parametrize("size", SIZES)
    def test_remote_rows_are_those_of_local_ones(
        self, rows: pd.DataFrame, tmp_path: Path, size: int
    ) -> None:
        """What is brought holds all that a piece or survey needs."""
        import fsspec
        import pandas as pd

        if not self.of_files:
            pytest.skip("its rows are in no files")
        url = f"memory://{uuid4().hex}"
        for file in (tmp_path / "data").rglob("*"):
            if file.is_file():
                name = file.relative_to(tmp_path / "data").as_posix()
                fsspec.filesystem("memory").pipe_file(f"{url}/{name}", file.read_bytes())
        plan = plan_of(TabularDataset(self.source(url)), size)
        pd.testing.assert_frame_equal(pd.concat(_frames(plan), ignore_index=True), rows)

    @pytest.mark.parametrize("how", ["damaged", "missing"])
    def test_a_file_that_can_not_be_read_is_named(
        self, dataset: TabularDataset, tmp_path: Path, how: str
    ) -> None:
        if not self.of_files:
            pytest.skip("its rows are in no files")
        table = dataset.resolve()
        name = table.listing.table[len(table.listing.table) - 1]
        file = tmp_path / "data" / name
        if how == "damaged":
            file.write_bytes(b"\xff\xfe,\x00\n" * (file.stat().st_size // 5 + 1))
        else:
            file.unlink()
        plan = TablePlan([("input_0", table)], 10**9)
        with pytest.raises(DatasetError, match=file.name):
            _completed(plan)


def _frames(plan: TablePlan) -> list[pd.DataFrame]:
    with loader_of(plan) as loader:
        return [loader.frame(plan[index].load.plain()) for index in range(plan.known)]


def _completed(plan: TablePlan) -> list[pd.DataFrame]:
    complete_here(plan)
    return _frames(plan)


def _look(plan: TablePlan, load: tuple[Any, ...], folder: Path) -> Any:
    source, cache = plan.inputs[0], NodeCache(str(folder / "cache"))
    here = BroughtHere(folder / "brought", cache)
    return TableLoader(source, cache).look(load, here.bring(source, load))
