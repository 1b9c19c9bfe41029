"""Parquet: cuts by row groups and rows, one schema, only what is needed, damage named."""

from __future__ import annotations

import os
import shutil
import time
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from generated import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from daskrun.data.remote_files import RemoteFolder
from daskrun.data.tabular.formats.contract import Piece, PieceFile
from daskrun.data.tabular.formats.parquet import row_groups as parquet_split
from daskrun.data.tabular.formats.parquet.format import ParquetSource
from daskrun.data.tabular.formats.parquet.reader import ParquetReader
from daskrun.data.tabular.formats.parquet.row_groups import RowGroups, cut_groups
from daskrun.data.tabular.values.frame import to_frame
from daskrun.data.tabular.values.types import DataType
from daskrun.errors import DatasetError, TableError


def table(rows, first=0):
    n = np.arange(first, first + rows)
    return pa.table({
        "n": n, "small": n.astype("int32"), "x": n * 0.5, "text": [f"text {i}" for i in n],
        "kind": pa.array([f"k{i % 3}" for i in n]).dictionary_encode(),
        "nested": [[{"a": int(i)}] for i in n],
        "struct": [{"a": int(i), "b.c": str(i)} for i in n],
    })  # fmt: skip


class Opened:
    """A source with its reader."""

    def __init__(self, path, **options):
        self.source = ParquetSource((str(path),), "/", **options)
        self.listing = self.source.listing()
        self.reader = self.source.describe(self.listing)
        self.made = ParquetReader(self.reader, {}, None)
        self.names = [name for name, _ in self.reader.columns]
        self.root = self.listing.root

    def cuts(self, size):
        splitter = self.source.splitter(self.reader, self.listing, size)
        return [
            (name, cut)
            for name, nbytes, _ in self.listing.table.rows()
            for cut in splitter.begin(name, nbytes)
        ]

    def read(self, name, cut, columns=None, ids=True):
        path = f"{self.root}/{name}"
        piece = Piece(name, cut.start, cut.stop, cut.trouble)
        columns = self.names if columns is None else columns
        return self.made.read(piece, PieceFile(path, False, path), columns, ids)

    def all(self, size, columns=None):
        rows = [self.read(name, cut, columns).table for name, cut in self.cuts(size)]
        return pa.concat_tables(rows)


@pytest.fixture
def folder(tmp_path):
    pq.write_table(table(1000), tmp_path / "a.parquet", row_group_size=130)
    pq.write_table(table(0), tmp_path / "b.parquet")
    pq.write_table(table(700, 1000), tmp_path / "c.parquet", row_group_size=700)
    return tmp_path


@pytest.mark.parametrize("size", [300, 2000, 60_000, 10**9])
def test_each_row_exactly_once_and_in_order(folder, size):
    opened = Opened(folder)
    cuts = opened.cuts(size)
    whole = pa.concat_tables(pq.read_table(folder / name) for name in ("a.parquet", "c.parquet"))
    rows = [opened.read(name, cut) for name, cut in cuts]
    got = pa.concat_tables(part.table for part in rows)
    assert got.combine_chunks().equals(whole.combine_chunks().unify_dictionaries())
    ids = np.concatenate([part.ids for part in rows])
    assert np.array_equal(ids, [*range(1000), *range(700)])
    assert [cut.rows for _, cut in cuts] == [part.table.num_rows for part in rows]
    assert {name for name, _ in cuts} == {"a.parquet", "c.parquet"}
    assert opened.made.warnings == []


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 500)), max_size=12),
    st.integers(1, 600),
    st.booleans(),
)
@settings(max_examples=examples(40))
def test_cuts_are_each_row_once_none_too_large_nor_empty(groups, size, by_group):
    rows, sizes = [r for r, _ in groups], [s for _, s in groups]
    cuts = cut_groups(RowGroups(rows, sizes), size, by_group)
    bounds = [0, *(cut.stop for cut in cuts)]
    assert [cut.start for cut in cuts] == bounds[:-1]
    assert bounds[-1] == sum(rows)
    assert all(cut.rows == cut.stop - cut.start > 0 for cut in cuts)
    if by_group:
        assert [cut.rows for cut in cuts] == [r for r in rows if r]
        return
    for cut in cuts:
        assert cut.nbytes * (cut.rows - 1) <= size * cut.rows  # give or take a row
    for one, other in pairwise(cuts):  # no two could have been one
        whole_groups = {0, *np.cumsum(rows).tolist()} >= {one.start, one.stop, other.stop}
        assert not whole_groups or one.nbytes + other.nbytes > size


def test_pieces_of_a_large_group_go_on_where_the_last_one_ended(folder, monkeypatch):
    opened = Opened(folder / "c.parquet")
    begun = []
    iterate = pq.ParquetFile.iter_batches
    monkeypatch.setattr(
        pq.ParquetFile, "iter_batches", lambda *a, **k: begun.append(a) or iterate(*a, **k)
    )
    cuts = opened.cuts(700)
    assert len(cuts) > 10
    for skipped in (0, 1, 2):  # every third: as one of three processes gets them
        begun.clear()
        for name, cut in cuts[skipped::3]:
            got = opened.read(name, cut, ["n"]).table.column("n").to_pylist()
            assert got == list(range(1000 + cut.start, 1000 + cut.stop))
        assert len(begun) == 1


def test_only_kept_columns_are_read_also_none(folder):
    opened = Opened(folder)
    name, cut = opened.cuts(10**9)[0]
    assert opened.read(name, cut, ["x", "n"]).table.column_names == ["n", "x"]
    assert opened.read(name, cut, []).table.num_rows == 1000
    assert opened.read(name, cut, ["n"], ids=False).ids is None
    empty = opened.made.empty(["kind", "n"])
    assert (empty.num_rows, empty.column_names) == (0, ["n", "kind"])


def test_10000_footers_are_read_in_well_under_two_seconds(tmp_path):
    pq.write_table(table(50), tmp_path / "0.parquet")
    for n in range(1, 10_000):
        os.link(tmp_path / "0.parquet", tmp_path / f"{n}.parquet")
    opened = Opened(tmp_path)
    began = time.perf_counter()
    cuts = opened.cuts(1 << 20)
    assert time.perf_counter() - began < 2
    assert [cut[:3] for _, cut in cuts] == [(0, 50, 50)] * 10_000


def test_quick_row_counts_are_those_of_pyarrow(tmp_path, monkeypatch):
    for n in range(20):
        pq.write_table(table(n * 37), tmp_path / f"{n:02}.parquet", row_group_size=50)
    parsed = []
    parse = parquet_split.parse_footer
    monkeypatch.setattr(parquet_split, "parse_footer", lambda t: parsed.append(1) or parse(t))
    opened = Opened(tmp_path)
    parsed.clear()
    rows = {name: cut.rows for name, cut in opened.cuts(10**9)}
    assert rows == {f"{n:02}.parquet": n * 37 for n in range(1, 20)}
    assert len(parsed) < 20


def test_files_of_other_types_are_cast_by_name(tmp_path):
    pq.write_table(pa.table({"a": pa.array([1, 2], "int32"), "k": ["x", "y"]}), tmp_path / "0")
    pq.write_table(
        pa.table({"k": pa.array(["y", "z"]).dictionary_encode(), "more": [1, 2],
                  "a": pa.array([2**40, 4], "int64")}), tmp_path / "1",
    )  # fmt: skip
    opened = Opened(tmp_path)
    assert opened.reader.columns == (("a", "int"), ("k", "text"))
    got = opened.all(10**9)
    assert got.to_pydict() == {"a": [1, 2, 2**40, 4], "k": ["x", "y", "y", "z"]}
    assert got.schema.types == [pa.int64(), pa.string()]


def test_integers_with_missing_values(tmp_path):
    def write(name, *values):
        pq.write_table(pa.table({"a": pa.array(values, "int64")}), tmp_path / name)

    for n in range(30):
        write(f"{n:02}", n)
    write("05", 1, None)  # none of the footers that are looked at
    opened = Opened(tmp_path)
    frames = [to_frame(opened.read(name, cut).table) for name, cut in opened.cuts(10**9)]
    assert {n for n, f in enumerate(frames) if str(f["a"].dtype) == "float64"} == {5}
    (told,) = opened.made.warnings
    assert "column 'a'" in told
    assert "DataType.to_float()" in told
    with pytest.raises(TableError, match=r"05, row 1, column 'a' .*: None is a missing value, and"):
        Opened(tmp_path, strict_types=True).all(10**9)
    write("00", None, 1)  # looked at: float64 from the start
    opened = Opened(tmp_path)
    assert {str(opened.read(*c).table.schema.field("a").type) for c in opened.cuts(9)} == {"double"}
    assert opened.made.warnings == []
    write("08", 2**53 + 1)
    with pytest.raises(TableError, match=r"row 0, column 'a' .*: 9007199254740993 is a whole"):
        Opened(tmp_path).all(10**9)
    write("07", 2**53 + 1)  # looked at: there is no number type for all of them
    opened = Opened(tmp_path)
    assert opened.reader.columns == (("a", "text"),)
    assert "9007199254740993 beside missing ones" in opened.reader.warnings[0]
    assert opened.all(10**9).column("a").to_pylist().count("9007199254740993") == 2


def test_missing_truth_values_are_pandas_boolean_everywhere(tmp_path):
    values = pa.array([True, None, False, True])
    pq.write_table(pa.table({"a": values}), tmp_path / "0", row_group_size=2)
    opened = Opened(tmp_path)
    frames = [to_frame(opened.read(*cut).table) for cut in opened.cuts(1)]
    assert {str(frame["a"].dtype) for frame in frames} == {"boolean"}
    assert str(to_frame(opened.made.empty(["a"]))["a"].dtype) == "boolean"


def test_set_column_types(tmp_path):
    pq.write_table(
        pa.table({"a": ["1", "2"], "b": [1, 2], "c": ["31/12/2024", "1/2/2025"]}), tmp_path / "0"
    )
    types = {"a": DataType.to_long(), "b": DataType.to_string(),
             "c": DataType.to_datetime("%d/%m/%Y")}  # fmt: skip
    assert Opened(tmp_path, set_column_types=types).all(100).to_pydict() == {
        "a": [1, 2], "b": ["1", "2"],
        "c": [datetime.fromisoformat(day) for day in ("2024-12-31", "2025-02-01")],
    }  # fmt: skip
    with pytest.raises(
        TableError, match=r"row 0, column 'c' .*to_float.*'31/12/2024' is no number"
    ):
        Opened(tmp_path, set_column_types={"c": DataType.to_float()}).all(100)
    with pytest.raises(DatasetError, match=r"no column 'bb'. Did you mean 'b'\?"):
        Opened(tmp_path, set_column_types={"bb": DataType.to_float()})


def test_a_column_that_a_file_lacks_is_named(tmp_path):
    pq.write_table(pa.table({"a": [1], "b": [1]}), tmp_path / "0")
    pq.write_table(pa.table({"a": [1], "c": [1]}), tmp_path / "1")
    opened = Opened(tmp_path)
    assert opened.all(100, ["a"]).num_rows == 2
    with pytest.raises(TableError, match=r"/1 has no column 'b'.*it has 'a', 'c'.*drop_columns"):
        opened.all(100)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[: len(data) // 2], "can't be read as a Parquet file"),
        (lambda data: b"a,b\n1,2\n", "can't be read as a Parquet file"),
        (lambda data: data[:3], "can't be read as a Parquet file"),
        (lambda data: data[:-60] + b"\xff" * 40 + data[-20:], "can't be read as a Parquet file"),
    ],
)
def test_footers_that_can_not_be_read_are_pieces_in_trouble(folder, damage, said):
    data = (folder / "a.parquet").read_bytes()
    (folder / "d.parquet").write_bytes(damage(data))
    opened = Opened(folder)
    cuts = dict(opened.cuts(1))
    assert cuts["d.parquet"].trouble.startswith(f"{folder}/d.parquet {said}")
    assert cuts["c.parquet"].trouble == ""
    with pytest.raises(DatasetError, match="no schema was found"):
        Opened(folder / "d.parquet")


def test_pages_that_are_corrupt_name_the_row_group(tmp_path):
    path = tmp_path / "a"
    pq.write_table(table(1000), path, row_group_size=500, compression="zstd")
    start = pq.read_metadata(path).row_group(1).column(0).dictionary_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 400] = os.urandom(400)
    path.write_bytes(data)
    opened = Opened(path)
    assert opened.read("a", opened.cuts(10**4)[0][1]).table.num_rows > 0
    for size in (10**9, 1):
        with pytest.raises(TableError, match=r"row group.* can't be read: .*damaged") as caught:
            opened.all(size)
        assert caught.value.items > 0


def test_a_file_that_has_been_changed_since_is_read_anew(tmp_path):
    path = tmp_path / "a"
    pq.write_table(table(100), path)
    opened = Opened(path)
    ((name, cut),) = opened.cuts(10**9)
    opened.read(name, cut)
    pq.write_table(table(50), path)
    with pytest.raises(TableError, match="has 50 rows and had more when the run was submitted"):
        opened.read(name, cut)
    path.unlink()
    with pytest.raises(TableError, match="is missing: it was there"):
        opened.read(name, cut)


class Cache:
    """As the node's cache, for one process."""

    def __init__(self, folder):
        self.folder = folder
        self.made = {}

    def get(self, key, make):
        if key not in self.made:
            self.made[key] = str(self.folder / str(len(self.made)))
            make(self.made[key])
        return self.made[key]


def test_of_remote_files_only_footer_and_needed_chunks_are_fetched(folder, tmp_path, monkeypatch):
    local = Opened(folder)
    remote = RemoteFolder(f"file://{folder}", {})
    asked = []
    for method in ("cat_ranges", "cat_file"):
        plain = getattr(remote.system, method)

        def told(*args, _plain=plain, **kwargs):
            got = _plain(*args, **kwargs)
            asked.append(sum(map(len, got)) if isinstance(got, list) else len(got))
            return got

        monkeypatch.setattr(remote.system, method, told)
    monkeypatch.setattr(parquet_split, "_TAIL", 1024)
    bring = partial(ParquetReader.bring, local.reader)
    (tmp_path / "cache").mkdir()
    cache = Cache(tmp_path / "cache")
    for number, (name, cut) in enumerate(local.cuts(4000)):
        target = str(tmp_path / f"brought{number}")
        piece = Piece(name, cut.start, cut.stop)
        bring(remote, ["n"], piece, target, cache)
        got = local.made.read(piece, PieceFile(target, True, name), ["n"], False).table
        assert got.equals(local.read(name, cut, ["n"], ids=False).table)
        assert os.path.getsize(target) == os.path.getsize(folder / name)
    size = sum(os.path.getsize(folder / name) for name in ("a.parquet", "c.parquet"))
    assert sum(asked) < size / 2
    shared = [key for key in cache.made if "c.parquet row group" in key]
    assert len(shared) == 1  # it has one, cut in many
    monkeypatch.setattr(os, "link", lambda *a: (_ for _ in ()).throw(OSError(18, "other device")))
    bring(remote, ["n"], piece, str(tmp_path / "copied"), cache)
    assert Path(tmp_path / "copied").read_bytes() == Path(target).read_bytes()


def test_linked_pieces_of_a_group_go_on_though_the_cache_sets_the_time(folder, monkeypatch):
    opened = Opened(folder / "c.parquet")
    begun = []
    iterate = pq.ParquetFile.iter_batches
    monkeypatch.setattr(
        pq.ParquetFile, "iter_batches", lambda *a, **k: begun.append(a) or iterate(*a, **k)
    )
    for number, (_, cut) in enumerate(opened.cuts(3000)[:4]):
        link = folder / f"piece{number}"
        link.hardlink_to(folder / "c.parquet")
        os.utime(link)
        piece = Piece("c.parquet", cut.start, cut.stop)
        rows = opened.made.read(piece, PieceFile(str(link), True, "c"), ["n"], False)
        assert rows.table.column("n")[0].as_py() == 1000 + cut.start
        link.unlink()
    assert len(begun) == 1


def test_all_columns_are_fetched_without_a_choice(folder, tmp_path):
    local = Opened(folder)
    (tmp_path / "cache").mkdir()
    name, cut = local.cuts(4000)[1]
    piece = Piece(name, cut.start, cut.stop)
    target = str(tmp_path / "brought")
    remote, cache = RemoteFolder(f"file://{folder}", {}), Cache(tmp_path / "cache")
    ParquetReader.bring(local.reader, remote, local.names, piece, target, cache)
    got = local.made.read(piece, PieceFile(target, True, name), local.names, False).table
    assert got.equals(local.read(name, cut, ids=False).table)


def test_check_and_repr(folder):
    ParquetSource((str(folder),), "/").check()
    shutil.copy(folder / "a.parquet", folder / "x.parquet")
    source = ParquetSource(("x",), "/", include_path=True, strict_types=True)
    assert repr(source) == (
        "Dataset.Tabular.from_parquet_files('x', include_path=True, strict_types=True)"
    )
    with pytest.raises(DatasetError, match="does not exist"):
        ParquetSource(("/no/such",), "/").check()
