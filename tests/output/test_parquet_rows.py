"""Row groups of many mini-batches in one Parquet file: read back by pyarrow as what they were."""

from __future__ import annotations

import datetime
import io
import os
import zlib
from collections import namedtuple
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from generated import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from daskrun.errors import StorageError, WrongResultError
from daskrun.output.assembly.file_assembler import FileAssembler
from daskrun.output.folder import prepare_output
from daskrun.output.sinks.parquet import footer as module
from daskrun.output.sinks.parquet.footer import Footer
from daskrun.output.sinks.parquet.row_group import read_header, row_group_of
from daskrun.output.sinks.parquet.sink import null_leaves
from daskrun.output.sinks.registry import open_sink
from daskrun.output.sinks.sink import NOT_UTF8

Digit = namedtuple("Digit", "file digit")
KINDS = [
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.int8(), st.integers(-128, 127)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.bool_(), st.booleans()),
    (pa.string(), st.text(st.characters(codec="utf-8"), max_size=9)),
    (pa.binary(), st.binary(max_size=9)),
    (pa.date32(), st.dates()),
    (pa.timestamp("us"), st.datetimes().filter(lambda t: t.year > 1900)),
    (pa.decimal128(9, 2), st.integers(-(10**8), 10**8).map(lambda n: Decimal(n) / 100)),
    (pa.list_(pa.string()), st.lists(st.none() | st.text("ab", max_size=3), max_size=3)),
    (
        pa.struct([("x", pa.int32()), ("y", pa.list_(pa.float32()))]),
        st.fixed_dictionaries({"x": st.none() | st.integers(0, 9), "y": st.just([0.5, None])}),
    ),
]
OPTIONS = [
    {},
    {"compression": "none", "use_dictionary": False},
    {"compression": "zstd", "data_page_version": "2.0", "write_statistics": False},
    {"compression": "gzip", "write_page_index": True, "data_page_size": 16},
    {"compression": {"c0": "snappy"}, "version": "1.0", "write_page_checksum": True},
    {"sorting_columns": [pq.SortingColumn(0)], "store_schema": False},
    {"use_byte_stream_split": False, "dictionary_pagesize_limit": 1, "write_batch_size": 1},
]


@st.composite
def tables(draw):
    """Tables of one schema, some columns of nulls only where their type may be open."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))
    found = []
    for _ in range(draw(st.integers(1, 5))):
        rows = draw(st.integers(1, 6))
        columns = {}
        for n, (kind, values) in enumerate(kinds):
            if not pa.types.is_nested(kind) and draw(st.booleans()):
                columns[f"c{n}"] = pa.nulls(rows)
                continue
            column = draw(st.lists(st.none() | values, min_size=rows, max_size=rows))
            columns[f"c{n}"] = pa.array(column, kind)
        found.append(pa.table(columns))
    return found


def encoded(result):
    return open_sink("parquet").encode(result)


def read(result):
    """Give the table that a reader finds in the row group of a result."""
    return joined([encoded(result)])[1].read()


def joined(results):
    """Put heads and bodies together as the finalizers do; give the bytes, and pyarrow's view."""
    footer, made = Footer(), b"PAR1"
    for index, (data, header) in enumerate(results):
        if data:
            assert footer.take(index, data[:header], len(data) - header) is False
            made += data[header:]
    made += b"".join(footer.end())
    footer.close()
    return made, pq.ParquetFile(io.BytesIO(made), page_checksum_verification=True)


@settings(max_examples=examples(150))
@given(tables())
def test_row_groups_are_read_back_one_by_one_and_together(found):
    results = [encoded(table.to_pandas(types_mapper=pd.ArrowDtype)) for table in found]
    _, file = joined(results)
    assert [file.metadata.row_group(n).num_rows for n in range(len(found))] == [
        len(table) for table in found
    ]
    for n, table in enumerate(found):
        assert file.read_row_group(n).to_pylist() == table.to_pylist()
    assert file.read().to_pylist() == [row for table in found for row in table.to_pylist()]
    for field in file.schema_arrow:
        kinds = {table.field(field.name).type for table in found} - {pa.null()}
        assert str(field.type).replace("element", "item") in {
            str(kind).replace("element", "item") for kind in kinds or {pa.null()}
        }


@settings(max_examples=examples(60))
@given(tables(), st.sampled_from(OPTIONS))
def test_row_groups_that_pyarrow_wrote_with_other_options(found, options):
    schema = pa.unify_schemas([table.schema for table in found])
    if any(field.type == pa.null() for field in schema) and options.get("version") == "1.0":
        options = {}
    results = []
    for table in found:
        file = io.BytesIO()
        pq.write_table(table.cast(schema), file, row_group_size=len(table), **options)
        results.append(row_group_of(file.getvalue(), null_leaves(schema)))
    _, file = joined(results)
    assert file.read().to_pylist() == [row for table in found for row in table.to_pylist()]
    assert file.metadata.num_row_groups == len(found)
    column = file.schema_arrow.names[0]
    assert file.read(columns=[column]).num_rows == file.metadata.num_rows


def test_the_same_rows_are_the_same_bytes_in_whatever_order_heads_come():
    results = [encoded([{"a": n, "b": None if n % 3 else "x"}]) for n in range(20)]
    want, _ = joined(results)
    footer = Footer()
    for index in [*range(1, 20, 2), *range(18, -1, -2)]:
        data, header = results[index]
        footer.take(index, data[:header], len(data) - header)
    bodies = b"".join(data[header:] for data, header in results)
    assert b"PAR1" + bodies + b"".join(footer.end()) == want


@pytest.mark.parametrize("kernel", [True, False])
def test_a_finalizer_joins_them_and_begins_again_after_a_failure(tmp_path, monkeypatch, kernel):
    results = [encoded(pd.DataFrame({"a": np.arange(n) + n / 7})) for n in (3, 4000, 0, 5, 9000)]
    want, _ = joined(results)
    parts = prepare_output(tmp_path, "run1", "rows.parquet", overwrite=False)
    finalizer = FileAssembler(
        parts, tmp_path / "rows.parquet", open_sink("parquet").headers(str(parts))
    )
    finalizer._kernel_copies = kernel
    (parts / "p").write_bytes(b"".join(data for data, _ in results))
    at = 0
    for index, (data, header) in enumerate(results):
        crc = zlib.crc32(data[header:])
        finalizer.commit(index, "p" if data else "", at, len(data), header, crc)
        at += len(data)
    with monkeypatch.context() as patch:
        patch.setattr("daskrun.output.assembly.file_assembler.pwrite_all", broken)
        with pytest.raises(StorageError):
            finalizer.advance()
    finalizer.advance()
    finalizer.finish()
    size, mark = finalizer.nbytes, finalizer.mark
    finalizer.publish(overwrite=False, total=5)
    assert (tmp_path / "rows.parquet").read_bytes() == want
    assert len(want) == size
    assert mark.endswith(f":{size}")


def test_an_output_that_cannot_be_begun_leaves_nothing_open(tmp_path, monkeypatch):
    parts = prepare_output(tmp_path, "run1", "rows.parquet", overwrite=False)
    heads, (data, header) = open_sink("parquet").headers(str(parts)), encoded([1])
    before, files = len(os.listdir("/proc/self/fd")), set(os.listdir(tmp_path))
    monkeypatch.setattr("daskrun.output.assembly.file_assembler.pwrite_all", broken)
    with pytest.raises(StorageError, match="can't create"):
        FileAssembler(parts, tmp_path / "rows.parquet", heads)
    assert len(os.listdir("/proc/self/fd")) == before
    assert set(os.listdir(tmp_path)) == files
    with pytest.raises(ValueError, match="closed"):
        heads.take(0, data[:header], len(data) - header)


def broken(*_):
    raise OSError(5, "broken")


def test_more_metadata_than_memory_is_for_waits_in_a_file(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "IN_MEMORY", 1000)
    monkeypatch.setattr(module, "BLOCK", 700)
    monkeypatch.setattr(module, "LARGE", 2000)
    data, header = encoded([{"n": 1, "text": "x"}])
    footer = Footer(str(tmp_path))
    for index in range(50):
        footer.take(index, data[:header], len(data) - header)
    assert footer._spool._rolled
    blocks = list(footer.end())
    assert len(blocks) > 5
    made = b"PAR1" + data[header:] * 50 + b"".join(blocks)
    assert pq.read_table(io.BytesIO(made)).to_pylist() == [{"n": 1, "text": "x"}] * 50
    assert "the output's footer takes 0 MiB, for one row group of each" in footer.warnings[0]
    footer.close()


def test_a_footer_that_no_reader_could_count_is_refused(monkeypatch):
    monkeypatch.setattr(module, "MOST_FOOTER", 1000)
    data, header = encoded([1])
    footer = Footer()
    taken = (footer.take(n, data[:header], len(data) - header) for n in range(100))
    with pytest.raises(WrongResultError, match=r"so many row groups \(\d+, .*larger mini_batch_s"):
        list(taken)


def test_a_head_that_was_changed_is_not_believed():
    data, header = encoded([1, 2])
    for at in range(header):
        changed = bytearray(data[:header])
        changed[at] ^= 4
        with pytest.raises(ValueError, match="CRC"):
            read_header(bytes(changed))
    with pytest.raises(StorageError, match=r"mini-batch 7: the header of a row group is cut off"):
        Footer().take(7, data[:5], 0)


def test_no_row_at_all_is_a_file_without_columns():
    made, file = joined([encoded([]), encoded(pd.DataFrame({"a": []}))])
    assert (file.metadata.num_rows, file.metadata.num_row_groups) == (0, 0)
    assert pd.read_parquet(io.BytesIO(made)).empty


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (["a", None], {"result": ["a", None]}),
        ([1, 0.5, float("nan")], {"result": [1.0, 0.5, None]}),
        ([("a", 1), ("b", 2)], {"result_0": ["a", "b"], "result_1": [1, 2]}),
        ([Digit("a.png", 7)], {"file": ["a.png"], "digit": [7]}),
        ([{"x": 1}, {"y": "q", "x": 3}], {"x": [1, 3], "y": [None, "q"]}),
        ([{1: {"a": [1]}}], {"1": [{"a": [1]}]}),
        (np.array([1, 2]), {"result": [1, 2]}),
        (np.array([[1, 2], [3, 4]]), {"result_0": [1, 3], "result_1": [2, 4]}),
        ([np.arange(2), np.arange(2)], {"result_0": [0, 0], "result_1": [1, 1]}),
        (np.array(["a", None], dtype=object), {"result": ["a", None]}),
        (pd.Series([1, 2], name="n", index=[7, 8]), {"n": [1, 2]}),
        (pd.Series(["a", "b"], dtype="category"), {"result": ["a", "b"]}),
        (pd.DataFrame({"a": [1], 2: ["x"]}, index=["i"]), {"a": [1], "2": ["x"]}),
        ([np.float32(0.5), np.int64(3)], {"result": [0.5, 3.0]}),
        ([datetime.date(2024, 5, 1)], {"result": [datetime.date(2024, 5, 1)]}),
    ],
)
def test_results_as_columns(result, expected):
    table = read(result)
    assert table.to_pydict() == expected
    assert table.schema.metadata is None


@pytest.mark.parametrize(
    "values", [["a", "b"], pd.Categorical(["a", "b"]), pd.array(["a", "b"], dtype="string")]
)
def test_texts_are_one_type_however_pandas_keeps_them(values):
    assert read(pd.DataFrame({"t": values})).schema.field("t").type == pa.string()
    frame = pd.DataFrame({"t": pd.Series(["a", "b"], dtype=object)})
    assert read(frame).schema.field("t").type == pa.string()


def test_text_that_utf8_cannot_hold_is_escaped_and_warned_of():
    encoder = open_sink("parquet")
    odd = "caf\udce9"
    found = [
        encoder.encode([odd, "b"]),
        encoder.encode([{"result": odd}]),
        encoder.encode(pd.DataFrame({"result": pd.Series([odd], dtype=object)})),
    ]
    _, file = joined(found)
    assert file.read().to_pydict() == {"result": ["caf\\udce9", "b", "caf\\udce9", "caf\\udce9"]}
    assert encoder.new_warnings() == [NOT_UTF8]
    nested = read([{"files": [odd], "by": {odd: 1}}]).to_pylist()
    assert nested == [{"files": ["caf\\udce9"], "by": {"caf\\udce9": 1}}]


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ([1, "a"], "run() returned values that are no column of Parquet, 'result': "),
        ([{"a": {1, 2}}, {"a": 1}], "run() returned values that are no column of Parquet, 'a': "),
        ([2**70], "values that are no column of Parquet, 'result': "),
        ([1, (2, 3)], "run() returned a list that holds rows and values"),
        (pd.DataFrame({"a": [1, "b"]}), "run() returned a DataFrame that is no table of Parquet: "),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "a DataFrame with columns of one name: a, a."),
        (pd.DataFrame({1: [1], "1": [2]}), "a DataFrame with columns of one name: 1, 1."),
        (pd.DataFrame(index=[0, 1]), "run() returned a DataFrame that has rows and no column."),
        ([{}], "run() returned a list that has rows and no column."),
        ([np.complex128(1)], "values that are no column of Parquet, 'result': "),
        ([{"a": {}}], "run() returned values that Parquet has no type for: "),
    ],
)
def test_what_is_no_table_fails_with_the_column(result, told):
    with pytest.raises(WrongResultError) as caught:
        encoded(result)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ([1], [0.5], "column 'result' is double in 1, int64 in 0"),
        ([{"a": 1}], [{"b": 1}], "'a' is missing in mini-batch 1; column 'b' is missing in mini-b"),
        ([{"a": [1]}], [{"a": None}], "column 'a' is null in 1, list<element: int64> in 0"),
        ([{"a": [1]}], [{"a": ["x"]}], "is list<element: string> in 1, list<element: int64> in 0"),
        ([{"a": {"b": 1}}], [{"a": {"c": 1}}], "is struct<c: int64> in 1, struct<b: int64> in 0"),
        ([dict.fromkeys(map(str, range(15)), 1)], [{"x": 1}], "; and 6 more. Give each column"),
    ],
)
def test_schemas_that_contradict_are_shown_by_column(first, second, told):
    with pytest.raises(
        WrongResultError, match=r"other columns for mini-batch 1 than for"
    ) as caught:
        joined([encoded(first), encoded(second)])
    assert told in str(caught.value)
    assert "write append_row_format='jsonl'." in str(caught.value)


def test_the_mini_batch_that_is_contradicted_is_named_though_others_leave_the_type_open():
    rows = (
        [{"a": None, "b": 1}],
        [{"a": 1, "b": None}],
        [{"a": None, "b": None}],
        [{"a": "x", "b": 1}],
    )
    with pytest.raises(
        WrongResultError, match=r"mini-batch 3 than for mini-batch 1, .*string in 3"
    ):
        joined([encoded(each) for each in rows])


def test_open_types_within_lists_and_structs_are_filled():
    rows = [{"a": [], "s": {"x": None, "y": 1}}], [{"a": ["q"], "s": {"x": [], "y": None}}]
    _, file = joined([encoded(rows[0]), encoded([{"a": ["q"], "s": {"x": True, "y": None}}])])
    assert file.read().to_pylist() == [rows[0][0], {"a": ["q"], "s": {"x": True, "y": None}}]
    with pytest.raises(WrongResultError):
        joined([encoded(each) for each in rows])
