"""Values and rows that would be changed or lost without a word: each is said, or kept."""

from __future__ import annotations

import gzip
import json
import warnings
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daskrun.data import Dataset, DataType
from daskrun.data.tabular.collect import loader_of, plan_of
from daskrun.errors import TableError

if TYPE_CHECKING:
    from pathlib import Path

BIG = 2**53 + 1
"""The smallest whole number that float64 can't hold."""
MANY = "".join(f"{n},{'x' * 40}\n" for n in range(20_000))
"""More rows than a sample looks at, at the ends of two files."""


@pytest.mark.parametrize("value", ["0x1F", "0X1f", "-0x1F", '"0x10"'])
@pytest.mark.parametrize("column", ["k", "gap"])
def test_text_that_pyarrow_takes_for_hexadecimal_is_no_whole_number(
    tmp_path: Path, value: str, column: str
) -> None:
    rows = "".join(f"{n},{n if n % 2 else ''},0xabc\n" for n in range(300))
    bad = f"{value},1,x" if column == "k" else f"1,{value},x"
    (tmp_path / "a.csv").write_text(f"k,gap,t\n{rows}{bad}\n")
    types = {"k": DataType.to_long(), "gap": DataType.to_long()}
    dataset = Dataset.Tabular.from_delimited_files(str(tmp_path), set_column_types=types)
    with pytest.raises(TableError, match=f"line 302, column '{column}'.*is no whole number"):
        dataset.to_pandas_dataframe()
    assert len(dataset.keep_columns("t").to_pandas_dataframe()) == 301


def test_rows_are_not_joined_where_that_would_round_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"k,t\n{MANY}{BIG},x\n")
    (tmp_path / "b.csv").write_text(f"k,t\n{MANY},x\n")
    dataset = Dataset.Tabular.from_delimited_files(str(tmp_path))
    with (
        pytest.warns(UserWarning, match="'k' has missing values"),
        pytest.raises(TableError, match=f"'k': {BIG} is a whole number that float64 can't hold"),
    ):
        dataset.to_pandas_dataframe()


@pytest.mark.parametrize(("number", "fits"), [(BIG, False), (2**54, True)])
def test_pieces_of_a_partition_are_not_joined_where_that_would_round_them(
    tmp_path: Path, number: int, fits: bool
) -> None:
    from daskrun.data.tabular.loading.load import _joined

    tables = [pa.table({"k": [1, number]}), pa.table({"k": [1.5]})]
    if fits:
        assert _joined(tables).column("k").to_pylist() == [1.0, float(number), 1.5]
        return
    with pytest.raises(TableError, match=f"'k': {number} is a whole number"):
        _joined(tables)


@pytest.mark.parametrize(
    ("values", "arrow"),
    [
        ([{"y": BIG}, {"y": None}], pa.struct([("y", pa.int64())])),
        ([[BIG, None]], pa.list_(pa.int64())),
        ([[{"y": BIG}, {"y": None}]], pa.list_(pa.struct([("y", pa.int64())]))),
        ([[("a", BIG), ("b", None)]], pa.map_(pa.string(), pa.int64())),
    ],
)
def test_nested_whole_numbers_beside_missing_ones_are_what_they_were(
    tmp_path: Path, values: list[object], arrow: pa.DataType
) -> None:
    pq.write_table(pa.table({"a": pa.array(values, arrow)}), tmp_path / "a.parquet")
    found = Dataset.Tabular.from_parquet_files(str(tmp_path)).to_pandas_dataframe()
    assert str(BIG) in str(found["a"].tolist())


@pytest.mark.parametrize(
    ("kind", "size"),
    [(kind, size) for kind in ("csv", "lines", "json") for size in (1000, 1 << 20)]
    + [("gz", 1000)],
)
def test_a_file_that_has_become_shorter_is_said_to_be_changed(
    tmp_path: Path, kind: str, size: int
) -> None:
    def write(rows: int) -> None:
        if kind == "json":
            text = "".join(f"{json.dumps({'k': n})}\n" for n in range(rows))
            (tmp_path / "a.jsonl").write_text(text)
            return
        data = "k,v\n" + "".join(f"{n},{n * 2}\n" for n in range(rows))
        if kind == "gz":
            (tmp_path / "a.csv.gz").write_bytes(gzip.compress(data.encode()))
        else:
            (tmp_path / "a.csv").write_text(data)

    write(3000)
    if kind == "json":
        dataset = Dataset.Tabular.from_json_lines_files(str(tmp_path))
    else:
        lines = False if kind == "lines" else None
        dataset = Dataset.Tabular.from_delimited_files(str(tmp_path), support_multi_line=lines)
    plan = plan_of(dataset, size)
    write(1000)
    with loader_of(plan) as loader, pytest.raises(TableError, match="it has been changed"):
        _ = [loader.frame(plan[index].load.plain()) for index in range(plan.known)]


def test_columns_of_later_parquet_files_are_not_left_out_in_silence(tmp_path: Path) -> None:
    pq.write_table(pa.table({"k": [1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"k": [2], "z": ["a"]}), tmp_path / "2.parquet")
    dataset = Dataset.Tabular.from_parquet_files(str(tmp_path))
    with pytest.warns(UserWarning, match="2.parquet has 'z', which the files that columns"):
        assert dataset.to_pandas_dataframe()["k"].tolist() == [1, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(Dataset.Tabular.from_parquet_files(str(tmp_path / "2*")).to_pandas_dataframe())


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("size", [8, 1 << 20])
def test_wide_characters_need_no_mark_where_the_first_are_ascii(
    tmp_path: Path, codec: str, size: int
) -> None:
    (tmp_path / "a.csv").write_bytes("k,v\n1,é\n2,ö\n".encode(codec))
    dataset = Dataset.Tabular.from_delimited_files(str(tmp_path), encoding=codec[:6])
    plan = plan_of(dataset, size)
    with loader_of(plan) as loader:
        frames = [loader.frame(plan[index].load.plain()) for index in range(plan.known)]
    assert [value for frame in frames for value in frame["v"]] == ["é", "ö"]
    assert len(frames) == (2 if size == 8 else 1)


def test_wide_characters_without_a_mark_that_tell_no_order_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("é,v\n1,2\n".encode("utf-16-le"))
    with pytest.raises(
        TableError, match=r"(?i)not utf16: (UTF-16 )?stream does not start with BOM"
    ):
        Dataset.Tabular.from_delimited_files(str(tmp_path), encoding="utf16")


@pytest.mark.parametrize("bad", ["x\ry", "x\r\ny", "\r"])
def test_carriage_returns_in_texts_are_written_so_that_they_come_back(
    tmp_path: Path, bad: str
) -> None:
    frame = pd.DataFrame({"t": ["plain", bad, None], "n": [1, 2, 3]})
    Dataset.Tabular.from_pandas_dataframe(frame).to_csv_files(target=str(tmp_path / "out"))
    found = Dataset.Tabular.from_delimited_files(str(tmp_path / "out")).to_pandas_dataframe()
    pd.testing.assert_frame_equal(found, frame)
    found = pd.concat([pd.read_csv(path) for path in sorted((tmp_path / "out").iterdir())])
    assert found["t"].tolist()[:2] == ["plain", bad]


def test_what_pandas_can_not_hold_is_named_and_told_how_to_leave_out(tmp_path: Path) -> None:
    times = pa.array([1, 2], pa.time64("ns"))
    pq.write_table(pa.table({"k": [1, 2], "t": times}), tmp_path / "a.parquet")
    dataset = Dataset.Tabular.from_parquet_files(str(tmp_path))
    with pytest.raises(TableError, match=r"'t': pandas can't hold .*\.drop_columns\('t'\)"):
        dataset.to_pandas_dataframe()
    assert dataset.drop_columns("t").to_pandas_dataframe()["k"].tolist() == [1, 2]


def test_times_with_and_without_a_zone_are_not_taken_for_one_another(tmp_path):
    times = pd.to_datetime(["2024-01-01 10:00", "2024-01-02 11:00"])
    pd.DataFrame({"t": times.tz_localize("UTC")}).to_parquet(tmp_path / "a.parquet")
    pd.DataFrame({"t": times}).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(TableError, match=r"b\.parquet, row 0, column 't'"):
        Dataset.Tabular.from_parquet_files(str(tmp_path)).to_pandas_dataframe()
    berlin = times.tz_localize("Europe/Berlin")
    pd.DataFrame({"t": berlin}).to_parquet(tmp_path / "b.parquet")
    read = Dataset.Tabular.from_parquet_files(str(tmp_path)).to_pandas_dataframe()
    assert list(read["t"][2:]) == list(berlin)


def _read(folder: Path, row: str, **options: object) -> list[str]:
    """Read a row between others that no sample sees; give what is told."""
    plain = f'1,"{"x" * 40}"\n' * 40_000
    (folder / "a.csv").write_text(f"n,t\n{plain}{row}\n{plain}")
    dataset = Dataset.Tabular.from_delimited_files(str(folder / "a.csv"), **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset.to_pandas_dataframe()
    return [str(each.message) for each in caught]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ('7,"x"y', "must be doubled"),
        ('7,"x" y', "must be doubled"),
        ('7,"a,b\nc" "d"', "must be doubled"),
        ('"7",5" x\n8,"x"y\n9,"x"y', "must be doubled"),
        ('7,"He said \\"hi\\" to me"', "write quoting='backslash'"),
        ('7, "x y"', "skip_initial_space=True"),
    ],
)
def test_an_odd_quote_that_no_sample_sees_is_told_with_its_line(
    tmp_path: Path, row: str, told: str
) -> None:
    (text,) = _read(tmp_path, row)
    assert told in text
    assert text.endswith(f"a.csv, line {40_003 if '8,' in row else 40_002}.")


@pytest.mark.parametrize(
    ("row", "options"),
    [
        ('7,5" pipe "B"', {}),
        ('7,"a ""b"" c, ""d"""', {}),
        ('7,", ""x"\n8,""', {}),
        ('# "x"y\n7,"z"', {"comment": "#"}),
        ('7, "x y"', {"skip_initial_space": True}),
        ('7,"He said \\"hi\\" to me"', {"quoting": "backslash"}),
    ],
)
def test_quotes_that_mean_what_they_say_are_not_told(
    tmp_path: Path, row: str, options: dict[str, object]
) -> None:
    assert _read(tmp_path, row, **options) == []
