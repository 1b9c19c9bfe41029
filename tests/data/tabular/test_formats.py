"""Every format keeps the contract of formats, and a new one is a folder and a line."""

import sqlite3
from contextlib import closing

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from daskrun.core import plugins
from daskrun.data import Dataset, TabularDataset
from daskrun.data.dataset_codec import from_plain, to_plain
from daskrun.data.tabular.formats.delimited.format import DelimitedSource
from daskrun.data.tabular.formats.frames.format import DaskSource, PandasSource
from daskrun.data.tabular.formats.json_lines.format import JsonLinesSource
from daskrun.data.tabular.formats.parquet.format import ParquetSource
from daskrun.data.tabular.formats.registry import FORMATS, GROUP, Format, format_named, spec_class
from daskrun.data.tabular.formats.sql.format import SqlSource
from daskrun.errors import DatasetError
from daskrun.testing.contracts.formats import FormatContract


def rows():
    n = np.arange(120)
    return pd.DataFrame({
        "n": n, "x": n / 4, "t": [f"text {i}" for i in n], "flag": n % 3 == 0,
        "when": pd.date_range("2024-01-01", periods=120, freq="h").astype("datetime64[us]"),
    })  # fmt: skip


class Files(FormatContract):
    """Rows in three files, the second without any."""

    def write(self, folder):
        frame = rows()
        for number, part in enumerate((frame[:70], frame[:0], frame[70:])):
            self.save(part, folder / f"{number}")
        return frame


class TestDelimited(Files):
    def save(self, frame, path):
        frame.to_csv(path, index=False)

    def source(self, where):
        return DelimitedSource((where,), "/")


class TestDelimitedCounted(TestDelimited):
    def source(self, where):
        return DelimitedSource((where,), "/", count_rows=True)


class TestDelimitedLines(TestDelimited):
    def source(self, where):
        return DelimitedSource((where,), "/", support_multi_line=False)


class TestJsonLines(Files):
    def save(self, frame, path):
        frame.to_json(path, orient="records", lines=True, date_format="iso", date_unit="us")

    def source(self, where):
        return JsonLinesSource((where,), "/")


class TestParquet(Files):
    def save(self, frame, path):
        frame.to_parquet(path, index=False, row_group_size=25)

    def source(self, where):
        return ParquetSource((where,), "/")


class TestSql(FormatContract):
    of_files = False

    def write(self, folder):
        frame = rows()[["n", "x", "t"]]
        with closing(sqlite3.connect(folder / "rows.db")) as db:
            db.execute("CREATE TABLE rows(n INTEGER, x REAL, t TEXT)")
            db.executemany("INSERT INTO rows VALUES (?, ?, ?)", frame.astype(object).to_numpy())
            db.commit()
        return frame

    def source(self, where):
        pytest.importorskip("sqlalchemy")
        url = f"sqlite:///{where}/rows.db"
        return SqlSource("SELECT * FROM rows", connection=url, index_column="n")


class TestPandas(FormatContract):
    of_files = False

    def write(self, folder):
        return rows()

    def source(self, where):
        return PandasSource(rows())


class TestDask(TestPandas):
    def source(self, where):
        with dask.config.set({"dataframe.convert-string": False}):
            return DaskSource(dd.from_pandas(rows(), npartitions=3, sort=False))


def test_every_format_is_what_its_line_says():
    for name in FORMATS:
        if FORMATS[name].reader:  # else it is read as another
            assert spec_class(name).format == name
            assert plugins.load(format_named(name).reader).read
        if FORMATS[name].source:
            assert plugins.load(FORMATS[name].source).describe


class Installed:
    """An entry point of another package."""

    name = "more"

    def load(self):
        place = f"{__name__}:"
        return Format(FORMATS["parquet"].spec, FORMATS["parquet"].reader, f"{place}MoreSource")


class MoreSource(ParquetSource):
    pass


def test_a_package_can_register_a_format(monkeypatch, tmp_path):
    monkeypatch.setitem(plugins._groups, GROUP, {"more": Installed()})
    assert format_named("more") == Installed().load()
    rows().to_parquet(tmp_path / "a")
    kept = to_plain(TabularDataset(MoreSource((str(tmp_path),), "/")).take(3))
    assert kept["dataset"]["source"]["is"] == "MoreSource"
    made = from_plain(kept, None)
    assert type(made.source) is MoreSource
    assert made.to_pandas_dataframe()["n"].tolist() == [0, 1, 2]


def test_a_format_that_is_not_here_is_said(monkeypatch, tmp_path):
    monkeypatch.setitem(plugins._groups, GROUP, {})
    with pytest.raises(DatasetError, match=r"no format 'no_such'.*entry point 'no_such' of"):
        format_named("no_such")
    with pytest.raises(DatasetError, match="only in the memory of this process"):
        to_plain(TabularDataset(MoreSource((str(tmp_path),), "/")))
    kept = to_plain(Dataset.Tabular.from_parquet_files(str(tmp_path), validate=False))
    kept["dataset"]["source"]["is"] = "MoreSource"
    with pytest.raises(DatasetError, match=r"of a 'MoreSource'.*doesn't know"):
        from_plain(kept, None)
