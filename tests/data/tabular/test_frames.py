"""Dataframes: their own values and dtypes in every mini-batch, the same before and in a run."""

from __future__ import annotations

import datetime
import decimal

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from agreeing import TEXT

from daskrun.data.tabular.formats.contract import Piece, PieceFile
from daskrun.data.tabular.formats.frames.format import DaskSource, PandasSource
from daskrun.data.tabular.formats.registry import reader_class
from daskrun.data.tabular.values.frame import to_frame
from daskrun.errors import DatasetError

N = 300


def frame():
    n = np.arange(N)
    return pd.DataFrame({
        "i": n, "small": n.astype("int8"), "f32": n.astype("float32"), "s": [f"t{i}" for i in n],
        "category": pd.Categorical(np.where(n < 250, "a", "b"), ["z", "b", "a"], ordered=True),
        "codes": pd.Categorical([None if i % 2 else int(i % 7) for i in n]),
        "Int64": pd.array([None if i % 3 else i for i in n], dtype="Int64"),
        "boolean": pd.array([True if i < 200 else None for i in n], dtype="boolean"),
        "zone": pd.date_range("2024", periods=N, freq="h", tz="Europe/Stockholm"),
        "ns": pd.date_range("2024", periods=N, freq="ns"),
        "seconds": pd.date_range("2024", periods=N, freq="s").astype("datetime64[s]"),
        "delta": pd.to_timedelta(n, unit="s"),
        "arrow": pd.array([1, None] * (N // 2), dtype="int64[pyarrow]"),
        "decimal": [decimal.Decimal("1.50")] * N, "date": [datetime.date(2024, 1, 1)] * N,
    }, index=pd.Index(n * 2, name="left out"))  # fmt: skip


def read(source, size):
    listing = source.listing()
    reader = source.describe(listing)
    made = reader_class(reader)(reader, listing.storage_options, None)
    names = [name for name, _ in reader.columns]
    splitter = source.splitter(reader, listing, size)
    rows, pieces = [], []
    for name, nbytes, _ in listing.table.rows():
        for cut in splitter.begin(name, nbytes):
            path = f"{listing.root}/{name}"
            piece = Piece(name, cut.start, cut.stop, cut.trouble)
            rows.append(made.read(piece, PieceFile(path, False, path), names, True))
            pieces.append((name, cut.start, cut.stop))
    return pieces, [to_frame(r.table) for r in rows], to_frame(made.empty(names)), rows


@pytest.mark.parametrize("size", [1000, 10**9])
def test_a_pandas_frame_is_the_same_before_and_after_it_is_written(tmp_path, size):
    source = PandasSource(frame())
    source.check()
    expected = frame().reset_index(drop=True)
    pieces, frames, empty, rows = read(source, size)
    written = read(source.write(str(tmp_path / "new"), size), 7)
    assert written[0] == pieces
    assert (len(pieces) > 3) == (size == 1000)
    for parts, nothing in ((frames, empty), (written[1], written[2])):
        for part in (*parts, nothing):
            assert part.dtypes.to_dict() == expected.dtypes.to_dict()
        pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), expected)
    assert [r.ids.tolist() for r in rows] == [r.ids.tolist() for r in written[3]]


def test_objects_with_missing_values_have_one_dtype_in_all_parts(tmp_path):
    columns = {"n": [*range(99), None], "b": [True] * 99 + [None], "none": [None] * 100}
    source = PandasSource(pd.DataFrame({k: pd.Series(v, dtype=object) for k, v in columns.items()}))
    for made in (source, source.write(str(tmp_path / "new"), 100)):
        _, frames, empty, _ = read(made, 100)
        assert {str(f.dtypes.to_dict()) for f in (*frames, empty)} == {str(empty.dtypes.to_dict())}
        assert [str(d) for d in empty.dtypes] == ["float64", "boolean", TEXT]


def test_the_digest_is_of_the_values_and_the_frame_can_change(tmp_path):
    mine = frame()
    source = PandasSource(mine)
    mine.loc[0, "i"] = 77
    assert source.table.column("i")[0].as_py() == 0
    times = [PandasSource(f).listing().table.times[0] for f in (frame(), frame(), mine)]
    assert times[0] == times[1] != times[2]
    assert (
        repr(source) == "Dataset.Tabular.from_pandas_dataframe(<DataFrame of 15 columns, 300 rows>)"
    )


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: pd.DataFrame({1: [1]}), "the column name 1 is no text.*rename"),
        (lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]), "several columns of the name 'a'"),
        (lambda: pd.DataFrame({"a": [1], "b": [[1]]}).assign(c=[1j]), "'c' is of dtype complex128"),
        (lambda: pd.DataFrame({"m": pd.Series([1, "x", b"y"], dtype=object)}),
         r"column 'm' holds values of different types \(int, str, bytes\).*astype"),
        (lambda: pd.DataFrame({"o": [object()]}), "column 'o' holds values of type object"),
        (lambda: pd.Series([1]), "is of type Series"),
    ],
)  # fmt: skip
def test_frames_that_can_be_no_table(made, said):
    with pytest.raises(DatasetError, match=said):
        PandasSource(made()).check()


def _named(dtypes):
    """Dtypes by name; how pandas 2 stores "string" is in no file's metadata."""
    return {n: "string" if d == "string" and TEXT == "object" else d for n, d in dtypes.items()}


def test_a_dask_frame_is_written_by_partitions(tmp_path):
    # Dask itself turns columns of objects into text.
    expected = frame().drop(columns=["decimal", "date"]).reset_index(drop=True)
    source = DaskSource(dd.from_pandas(expected, npartitions=3))
    source.check()
    dtypes = source.frame._meta.dtypes
    looked, run = read(source.as_source(2000), 1), read(source.write(str(tmp_path / "n"), 2000), 1)
    assert looked[0] == run[0]
    assert sorted(p.name for p in (tmp_path / "n").iterdir()) == [
        "part-00000.parquet", "part-00001.parquet", "part-00002.parquet",
    ]  # fmt: skip
    for part in (*run[1], run[2]):
        assert _named(part.dtypes) == _named(dtypes)
    got = pd.concat(run[1], ignore_index=True)
    pd.testing.assert_frame_equal(got, expected, check_dtype=False)
    assert len(run[1]) > 3


def test_a_dask_frame_that_can_not_be_written(tmp_path):
    def fail(part):
        if len(part) > 0 and part["a"].max() > 2:
            raise RuntimeError("no such thing")
        return part

    plain = dd.from_pandas(pd.DataFrame({"a": [1, 2, 3, 4]}), npartitions=2)
    with pytest.raises(DatasetError, match=r"RuntimeError: no such thing.*compute"):
        DaskSource(plain.map_partitions(fail, meta={"a": "int64"})).write(str(tmp_path / "x"), 9)
    DaskSource(plain).write(str(tmp_path / "y"), 9)
    with pytest.raises(DatasetError, match=r"'part-00000\.parquet' is there already"):
        DaskSource(plain).write(str(tmp_path / "y"), 9)
    with pytest.raises(DatasetError, match=r"is of type DataFrame.*from_pandas_dataframe"):
        DaskSource(pd.DataFrame({"a": [1]}))


def test_a_frame_is_written_to_a_url():
    source = PandasSource(frame())
    written = source.write("memory://frames/one", 2000)
    listing = written.listing()
    assert (listing.remote, list(listing.table)) == (True, ["frame.parquet"])
    reader = written.describe(listing)
    cuts = written.splitter(reader, listing, 1).begin("frame.parquet", -1)
    assert sum(cut.rows for cut in cuts) == N
    with pytest.raises(DatasetError, match=r"'frame\.parquet' is there already"):
        source.write("memory://frames/one", 2000)
