"""Every way of looking at a dataset gives the same rows, and they are those of pandas or pyarrow.

Mini-batch i of the plan, partition i of ``to_dask_dataframe``, a slice of the whole as another
reader has it, a run: the same values and dtypes, whatever the source and ``mini_batch_size``.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import sqlite3
from collections import Counter
from contextlib import closing
from itertools import accumulate, pairwise

import dask
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pyarrow.parquet as pq
import pytest
from agreeing import TEXT, agree, parts_of, same, table_of
from generated import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from running import make_request, run_request

from daskrun.core.report import RunStatus
from daskrun.data import Dataset
from daskrun.data.tabular.planning.table_plan import TablePlan

Tabular = Dataset.Tabular
SIZES = (1, 300)
ROWS = 14

# what each source is made of: it, and the whole as pandas or pyarrow has it

MISSING = {name: [""] for name in "sxnu"}


def by_pandas(path, **options):
    """Read as pandas does; decimals by Python's own rule, since pandas' is off by a last digit."""
    read = pd.read_csv(
        path,
        parse_dates=["t"],
        keep_default_na=False,
        na_values=MISSING,
        dtype={"x": str},
        **options,
    )
    return read.astype({"t": "datetime64[us]", "x": "float64"})


def delimited(folder, dialect=None, **options):
    """Write a table with pandas' writer; gives the dataset and what pandas reads."""
    name, encoding, packed = (dialect or {}).get("as", ("a.csv", "utf-8", bytes))
    written = {k: v for k, v in (dialect or {}).items() if k != "as"}
    table = table_of(ROWS).drop(columns=["s", "u"] if encoding == "ascii" else [])
    if encoding in ("latin-1", "cp1252"):
        table["s"] = table["s"].replace("é€ñ", "éñ" if encoding == "latin-1" else "é€")
        table["u"] = table["u"].replace("é€ñ", "ñ")
    buffer = io.StringIO(newline="")
    table.to_csv(buffer, index=False, **written)
    data = buffer.getvalue().encode(encoding)
    (folder / name).write_bytes(packed(data))
    read = {"sep": written.get("sep", ","), "encoding": encoding}
    if written.get("header") is False:
        whole = by_pandas(io.BytesIO(data), header=None, names=list(table), **read)
        whole.columns = [f"Column{n}" for n in range(1, len(table.columns) + 1)]
    else:
        whole = by_pandas(io.BytesIO(data), **read)
    return Tabular.from_delimited_files(str(folder / name), **options), whole


def zstd(data):
    return pa.compress(data, "zstd", asbytes=True)


QUOTED = {"quoting": csv.QUOTE_ALL}
DIALECTS = {
    "as pandas writes it": ({}, {}),
    "CRLF, all quoted": ({**QUOTED, "lineterminator": "\r\n"}, {}),
    "CR": ({**QUOTED, "lineterminator": "\r"}, {"support_multi_line": True}),
    "semicolon": ({"sep": ";"}, {"separator": ";"}),
    "tab, CRLF": ({"sep": "\t", "lineterminator": "\r\n"}, {"separator": "\t"}),
    "bar, quoted numbers": ({"sep": "|", "quoting": csv.QUOTE_NONNUMERIC}, {"separator": "|"}),
    "no header": ({"header": False}, {"header": False}),
    "BOM": ({"as": ("a.csv", "utf-8-sig", bytes)}, {}),
    "utf8bom": ({"as": ("a.csv", "utf-8-sig", bytes)}, {"encoding": "utf8bom"}),
    "latin1": ({"as": ("a.csv", "latin-1", bytes)}, {"encoding": "latin1"}),
    "windows1252": ({"as": ("a.csv", "cp1252", bytes)}, {"encoding": "windows1252"}),
    "ascii": ({"as": ("a.csv", "ascii", bytes)}, {"encoding": "ascii"}),
    "utf16": ({"as": ("a.csv", "utf-16", bytes)}, {"encoding": "utf16"}),
    "utf32, CR": (
        {"as": ("a.csv", "utf-32", bytes), **QUOTED, "lineterminator": "\r"}, {"encoding": "utf32"},
    ),
    "gzip": ({"as": ("a.csv.gz", "utf-8", gzip.compress)}, {}),
    "bz2": ({"as": ("a.csv.bz2", "utf-8", bz2.compress)}, {}),
    "xz": ({"as": ("a.csv.xz", "utf-8", lzma.compress)}, {}),
    "counted": ({"lineterminator": "\r\n"}, {"count_rows": True}),
}  # fmt: skip


AT_1_BYTE = {"as pandas writes it", "CR", "utf16", "gzip"}
"""The others differ in nothing that has to do with sizes; each mini-batch costs milliseconds."""


@pytest.mark.parametrize("name", DIALECTS)
def test_delimited_files(tmp_path, name):
    dialect, options = DIALECTS[name]
    dataset, whole = delimited(tmp_path, dialect, **options)
    assert len(whole) == ROWS
    counts = agree(dataset, whole, *(SIZES if name in AT_1_BYTE else SIZES[1:]))
    assert 2 < counts.pop() < ROWS
    assert counts in ([], [ROWS]), "a byte is less than any record"


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "size"), [(3, 1), (60, 1000)])
def test_lines_as_records(tmp_path, rows, size):
    whole = table_of(rows).drop(columns=["n", "u"] if rows == 3 else [])
    for name in whole.columns.intersection(["s", "u"]):
        whole[name] = whole[name].str.replace(r"[\r\n]+", " ", regex=True)
    whole.to_csv(tmp_path / "a.csv", index=False)
    dataset = Tabular.from_delimited_files(str(tmp_path / "a.csv"), support_multi_line=False)
    agree(dataset, by_pandas(tmp_path / "a.csv"), size)


@pytest.mark.filterwarnings("ignore:'1.csv' is left out")
@pytest.mark.parametrize("mode", ["first", "none", "combine", "same"])
def test_header_modes(tmp_path, mode):
    whole = table_of(30)
    header = {"first": [True, False, False, False], "none": [False] * 4}.get(mode, [True] * 4)
    wanted = {
        "first": "ONLY_FIRST_FILE_HAS_HEADERS",
        "none": "NO_HEADERS",
        "combine": "COMBINE_ALL_FILES_HEADERS",
        "same": "ALL_FILES_HAVE_SAME_HEADERS",
    }[mode]
    files = [whole[:12], whole[12:12], whole[12:25], whole[25:]]
    if mode == "combine":
        files[2] = files[2].drop(columns=["s", "b"])
    for n, (part, has) in enumerate(zip(files, header, strict=True)):
        part = part[list(reversed(list(part)))] if mode in ("combine", "same") and n == 3 else part
        part.to_csv(tmp_path / f"{n}.csv", index=False, header=has)
    if mode == "combine":
        whole = pd.concat(files, ignore_index=True).astype({"b": "boolean"})
    if mode == "none":
        whole = whole.set_axis([f"Column{n}" for n in range(1, 8)], axis=1)
    dataset = Tabular.from_delimited_files(str(tmp_path), header=wanted)
    agree(dataset, whole, 900)


def test_pyarrow_reads_the_same(tmp_path):
    whole = table_of(200, seed=4)
    whole.to_csv(tmp_path / "a.csv", index=False)
    read = pacsv.read_csv(
        tmp_path / "a.csv",
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=True,
            column_types={"t": pa.timestamp("us"), "n": pa.float64()},
        ),
    ).to_pandas()  # fmt: skip
    agree(Tabular.from_delimited_files(str(tmp_path / "a.csv")), read, 700)


@pytest.mark.parametrize("packed", [bytes, gzip.compress, zstd], ids=["plain", "gz", "zst"])
@pytest.mark.parametrize(("rows", "size", "end"), [(1, 1, "\n"), (40, 700, "\r\n")])
def test_json_lines(tmp_path, packed, rows, size, end):
    rows = table_of(rows).drop(columns=[*"tsuxn"] if rows == 1 else "t")
    rows["deep"] = [{"a": n, "b": [str(n)] * (n % 3)} for n in range(len(rows))]
    lines = [json.dumps({k: None if v != v else v for k, v in row.items()})
             for row in rows.to_dict("records")]  # fmt: skip
    text = end.join(lines).encode()
    suffix = {bytes: "", gzip.compress: ".gz", zstd: ".zst"}[packed]
    (tmp_path / f"a.jsonl{suffix}").write_bytes(packed(text))
    whole = pajson.read_json(io.BytesIO(text)).to_pandas()
    dataset = Tabular.from_json_lines_files(str(tmp_path))
    agree(dataset, whole, size)


@pytest.mark.parametrize("groups", [[26], [1] * 5 + [21], [10, 0, 16]])
def test_parquet(tmp_path, groups):
    table = pa.Table.from_pandas(table_of(26), preserve_index=False)
    number = np.arange(26)
    table = table.append_column("list", pa.array([[int(n)] * (n % 4) for n in number]))
    table = table.append_column("word", pa.array([f"w{n % 5}" for n in number]).dictionary_encode())
    table = table.append_column("small", pa.array(number, pa.uint8()))
    table = table.append_column("zone", pa.array(number * 10**15, pa.timestamp("ns", "UTC")))
    table = table.append_column(
        "maybe", pa.array([None if n % 7 == 0 else n % 2 == 0 for n in number])
    )
    at = list(accumulate(groups, initial=0))
    with pq.ParquetWriter(tmp_path / "a.parquet", table.schema) as writer:
        for first, last in pairwise(at):
            writer.write_table(table[first:last], row_group_size=max(1, last - first))
    pq.write_table(table[:0], tmp_path / "b.parquet")
    pq.write_table(table[10:20], tmp_path / "c.parquet", row_group_size=3)
    read = [pq.read_table(tmp_path / f"{name}.parquet") for name in "abc"]
    whole = pa.concat_tables(read).to_pandas().astype({"maybe": "boolean"})
    dataset = Tabular.from_parquet_files(str(tmp_path))
    agree(dataset, whole, 1 if len(groups) == 1 else 700, 3000)


@pytest.mark.parametrize("index", ["id", "n", None])
def test_queries(tmp_path, index):
    whole = table_of(ROWS).drop(columns=["t", "b"])
    url = f"sqlite:///{tmp_path}/t.db"
    with closing(sqlite3.connect(tmp_path / "t.db")) as db:
        whole.to_sql("t", db, index=False)
        keys = {"id": "id", "n": "n IS NOT NULL, n", None: "id, s, x, n, u"}[index]
        rows = pd.read_sql_query(f"SELECT * FROM t ORDER BY {keys}", db)
    dataset = Tabular.from_sql_query("SELECT * FROM t", connection=url, index_column=index)
    for size in SIZES:
        if index == "n":  # rows of one key have no order of their own
            frames, _ = parts_of(dataset, size)
            assert all(list(f.dtypes) == list(rows.dtypes) for f in frames)
            got = pd.concat(frames)
            assert got["n"].tolist() == pytest.approx(rows["n"].tolist(), nan_ok=True)
            same(got.sort_values("id").reset_index(drop=True), rows.sort_values("id"))
        else:
            agree(dataset, rows, size)


def frame_with_all():
    whole = table_of(20)
    whole["cat"] = pd.Categorical([f"c{n % 3}" for n in range(20)])
    whole["maybe"] = pd.array([None, True, False, True, None] * 4, "boolean")
    whole["delta"] = pd.to_timedelta(np.arange(20), "s")
    whole["zone"] = whole["t"].dt.tz_localize("Europe/Stockholm", ambiguous="NaT",
                                              nonexistent="NaT")  # fmt: skip
    whole["half"] = whole["x"].astype("float32")
    whole["long"] = pd.array([None, 2**62 + 1] * 10, "Int64")
    return whole


@pytest.mark.parametrize("size", [1, 700])
def test_pandas_frames(size, tmp_path):
    whole = frame_with_all()
    dataset = Tabular.from_pandas_dataframe(whole)
    agree(dataset, whole, size)
    agree(dataset.stored(tmp_path, size), whole, size)


@pytest.mark.parametrize("size", [1, 700])
def test_dask_frames(size):
    whole = frame_with_all()
    with dask.config.set({"dataframe.convert-string": False}):
        from dask.dataframe import from_pandas

        lazy = from_pandas(whole, npartitions=4, sort=False)
    agree(Tabular.from_dask_dataframe(lazy), whole, size)


# the same steps, whatever the source, also in a run


def written(kind, folder, whole):
    """Write the same rows as each kind of source has them."""
    if kind == "sql":
        with closing(sqlite3.connect(folder / "t.db")) as db:
            whole.to_sql("t", db, index=False)
        url = f"sqlite:///{folder}/t.db"
        return Tabular.from_sql_query("SELECT * FROM t", connection=url, index_column="id")
    if kind == "pandas":
        return Tabular.from_pandas_dataframe(whole)
    if kind == "dask":
        with dask.config.set({"dataframe.convert-string": False}):
            from dask.dataframe import from_pandas

            return Tabular.from_dask_dataframe(from_pandas(whole, npartitions=3, sort=False))
    path = str(folder / "in")
    (folder / "in").mkdir()
    for n, part in enumerate([whole[:17], whole[17:]]):
        file = f"{path}/{n}.{kind}"
        if kind == "parquet":
            part.to_parquet(file, row_group_size=5)
        elif kind == "jsonl":
            part.to_json(file, orient="records", lines=True, double_precision=15)
        else:
            part.to_csv(file, index=False)
    make = {"parquet": Tabular.from_parquet_files, "jsonl": Tabular.from_json_lines_files}
    return make.get(kind, Tabular.from_delimited_files)(path)


STEPS = {
    "filter, skip, take": (
        lambda d: d.filter((d["n"] > 0) | d["s"].is_null()).skip(2).take(9).drop_columns("x"),
        lambda f: f[(f.n > 0) | f.s.isna()][2:11].drop(columns="x"),
    ),
    "take, keep, filter": (
        lambda d: d.take(20).keep_columns(["s", "id"]).filter(d["id"] != 2**53 + 3),
        lambda f: f[:20][["s", "id"]][f[:20].id != 2**53 + 3],
    ),
}
ROW = """
def run(frame, context):
    kinds = [str(dtype) for dtype in frame.dtypes]
    rows = frame.itertuples(index=False, name=None)
    return [f"{context.minibatch_index} {kinds} {row!r}" for row in rows]
"""
KINDS = ["csv", "csv.gz", "jsonl", "parquet", "sql", "pandas", "dask"]


@pytest.mark.parametrize("kind", KINDS)
def test_steps_agree(tmp_path, kind):
    whole = table_of(30)[["id", "s", "x", "n"]]
    whole["x"] = whole["x"].round(3)
    dataset = written(kind, tmp_path, whole)
    for made, expected in STEPS.values():
        agree(made(dataset), expected(whole), 250)
    sample, rest = dataset.random_split(0.5, seed=3)
    chosen, other = sample.to_pandas_dataframe(), rest.to_pandas_dataframe()
    same(pd.concat([chosen, other]).sort_values("id", ignore_index=True), whole)
    assert 5 < len(chosen) < 25
    agree(sample, chosen, 150)
    agree(rest.skip(2), other[2:], 400)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_gets_the_partitions(tmp_path, kind):
    whole = table_of(30)[["id", "s", "x", "n"]].round({"x": 3})
    dataset = written(kind, tmp_path, whole)
    size = 100 if kind == "csv.gz" else 300
    if dataset.in_memory:
        dataset = dataset.stored(tmp_path / "stored", size)
    dataset = dataset.filter(dataset["n"] != 0).skip(3).take_sample(0.8, seed=1)
    partitions = dask.compute(*dataset.to_dask_dataframe(size).to_delayed(), scheduler="sync")
    expected = [
        f"{number} {[str(dtype) for dtype in frame.dtypes]} {row!r}\n"
        for number, frame in enumerate(partitions)
        for row in frame.itertuples(index=False, name=None)
    ]
    plan = TablePlan([("rows", dataset.resolve())], size)
    done = run_request(make_request(tmp_path, ROW, plan=plan, target="inline"))
    assert done.report.status is RunStatus.COMPLETED
    assert done.output == "".join(expected).encode()
    assert len(expected) > 9
    assert len(partitions) > 2


# files of all shapes


bare = st.text(st.sampled_from("ab \"'é1.-"), max_size=4).filter(lambda text: text[:1] != '"')
inner = st.text(st.sampled_from('ab "\n\r,;é'), max_size=5)
quoted = st.tuples(inner, bare).map(
    lambda both: '"' + both[0].replace('"', '""') + '"' + both[1]  # plain text behind the quote
)
record = st.tuples(bare | quoted, quoted | bare, st.sampled_from(["", "", "\n", "\r\n"]))


@st.composite
def shapes(draw):
    """Give a file's header, its records with their line ends, separator and encoding."""
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    separator = draw(st.sampled_from([",", ";", "\t"]))
    chosen = draw(st.lists(record, min_size=1, max_size=9))
    records = [
        f"{n}{separator}{one}{separator}{two}{end}{blank}"
        for n, (one, two, blank) in enumerate(chosen)
    ]
    if draw(st.booleans()):
        records[-1] = records[-1].rstrip("\r\n")
    header = draw(st.sampled_from(["", f"n{separator}one{separator}two{end}"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "utf-16"]))
    return header, records, separator, encoding


@pytest.mark.filterwarnings("ignore:text stands behind a quote:UserWarning")
@pytest.mark.filterwarnings("ignore:a quote behind a blank:UserWarning")
@settings(max_examples=examples(25))
@given(shapes(), st.integers(1, 60), st.sampled_from([None, True]))
def test_files_of_all_shapes_are_cut_where_pandas_sees_records(tmp_path_factory, shape, size, many):
    header, records, separator, encoding = shape
    path = tmp_path_factory.mktemp("shape") / "a.csv"
    path.write_bytes((header + "".join(records)).encode(encoding))
    expected = pd.read_csv(
        path, sep=separator, encoding=encoding, header=0 if header else None, index_col=False,
        dtype=str, keep_default_na=False, na_values=[""],
    )  # fmt: skip
    assert len(expected) == len(records)
    if not header:
        expected.columns = ["Column1", "Column2", "Column3"]
    dataset = Tabular.from_delimited_files(
        str(path), separator=separator, header=bool(header), support_multi_line=many,
        infer_column_types=False, encoding={"utf-8-sig": "utf8"}.get(encoding, encoding),
    )  # fmt: skip
    agree(dataset, expected.astype(TEXT), size)
    if encoding != "utf-16":  # its pieces are counted in bytes of UTF-8
        mark = 3 if encoding == "utf-8-sig" else 0
        sizes = [len(text.encode(encoding)) - mark for text in (header, *records)]
        starts = [mark + at for at in accumulate(sizes)][: len(records)]
        held = [len(frame) for frame in parts_of(dataset, size)[0] if len(frame)]
        assert held == list(Counter(start // size for start in starts).values())
