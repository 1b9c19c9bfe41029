"""Values that a column's type can't hold: told, or held by a wider type; nothing is changed."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from contextlib import closing
from decimal import Decimal

import dask
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daskrun.data import Dataset
from daskrun.data.tabular.formats.json_lines.values import typed_column
from daskrun.data.tabular.values.coercion import CoercionError
from daskrun.data.tabular.values.frame import ordered_union, to_frame
from daskrun.data.tabular.values.infer import infer_values
from daskrun.data.tabular.values.law import fit
from daskrun.data.tabular.values.types import DataType, arrow_type
from daskrun.errors import DatasetError, TableError

Tabular = Dataset.Tabular
DAY, MOMENT = dt.date(2024, 1, 1), dt.datetime(2024, 1, 1, 17, 30)  # noqa: DTZ001
SEVENTEEN = pd.Timestamp(MOMENT)


def ordered(values, categories):
    return pa.array(pd.Categorical(values, categories, ordered=True))


# two Parquet files: what the column of both is where both were looked at for the schema, and where
# only the first was
PAIRS = {
    "bool, int": (pa.array([True]), pa.array([5]), "5 is neither true nor false", None),
    "bool, int 1": (pa.array([True]), pa.array([1]), "1 is neither true nor false", None),
    "int, bool": (pa.array([5]), pa.array([True]), "True is no whole number", None),
    "date, time stamp": (pa.array([DAY]), pa.array([MOMENT]), [pd.Timestamp(DAY), SEVENTEEN],
                         "'2024-01-01 17:30:00' is a value that date32.*to_datetime"),
    "date, midnight": (pa.array([DAY]), pa.array([DAY]).cast("timestamp[us]"),
                       [pd.Timestamp(DAY)] * 2, [DAY, DAY]),
    "time, time stamp": (pa.array([dt.time(1)]), pa.array([MOMENT]), "is no time64", None),
    "int, time stamp": (pa.array([5]), pa.array([MOMENT]), "is no whole number", None),
    "int, text": (pa.array([5]), pa.array(["7"]), None, "'7' is text, and is no whole.*to_long"),
    "int, no text": (pa.array([5]), pa.array([""]), None, "'' is text, and is no whole number"),
    "float, text": (pa.array([0.5]), pa.array(["inf"]), None, "'inf' is text, and is no number"),
    "bool, text": (pa.array([True]), pa.array(["true"]), None, "'true' is text, and is neither"),
    "time stamp, text": (pa.array([MOMENT]), pa.array(["2024-01-01"]), None, "is text, and is no"),
    "int missing, NaN": (pa.array([5, None]), pa.array([float("nan")]), None, [5, None, None]),
    "int, date": (pa.array([5]), pa.array([DAY]), "is no whole number", None),
    "time stamp, int": (pa.array([MOMENT]), pa.array([5]), "5 is no date and time", None),
    "float32, double": (pa.array([0.5], "float"), pa.array([1e300]), [0.5, 1e300],
                        r"1e\+300 is a value that float32 can't hold.*to_float"),
    "float16, int32": (pa.array(np.array([0.5], "float16")), pa.array([70_000], "int32"),
                       [0.5, 70_000.0], "70000 is a whole number that float16 can't"),
    "int32, int64": (pa.array([1], "int32"), pa.array([2**40]), [1, 2**40],
                     "whole number that int32 can't hold.*to_long"),
    "int, double": (pa.array([1]), pa.array([2.0]), [1.0, 2.0], [1, 2]),
    "decimal, double": (pa.array([Decimal("1.10")]), pa.array([1.105]), [1.1, 1.105],
                        r"1.105 is a value that decimal128\(3, 2\) can't hold"),
    "decimal, int": (pa.array([Decimal("1.10")]), pa.array([3]), [Decimal("1.10"), 3], None),
    "zone, none": (pa.array([MOMENT], pa.timestamp("us", "UTC")), pa.array([MOMENT]),
                   "with a zone offset", None),
    "object": (pa.array([{"x": 1}]), pa.array([{"x": 1.5}]), [{"x": 1.0}, {"x": 1.5}],
               "at c.x: 1.5 is no whole number"),
    "lists": (pa.array([{"a": [{"id": 1}]}]), pa.array([{"a": [None, {"id": 1}, {"id": 0.5}]}]),
              None, r"at c.a\[2\].id: 0.5 is no whole number"),
    "map": (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
            pa.array([[("k", 2)], None], pa.map_(pa.string(), pa.int32())),
            [[("k", 1)], [("k", 2)], None], None),
    "map, float": (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
                   pa.array([[("k", 0.5)]], pa.map_(pa.string(), pa.float64())),
                   None, r"at c\[0\].value: 0.5 is no whole number"),
}  # fmt: skip


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", PAIRS)
def test_parquet_files_of_two_types(tmp_path, name, strict):
    one, other, sampled, unsampled = PAIRS[name]
    unsampled = sampled if unsampled is None else unsampled
    for files, expected in ((2, sampled), (9, unsampled)):  # eight are looked at
        if expected is None:
            continue
        for number in range(files):
            column = other if number == files - 1 else one
            pq.write_table(pa.table({"c": column}), tmp_path / f"{number}.parquet")
        dataset = Tabular.from_parquet_files(str(tmp_path), strict_types=strict)
        if isinstance(expected, str):
            with pytest.raises(TableError, match=expected):
                dataset.to_pandas_dataframe()
        else:
            column = dataset.to_pandas_dataframe()["c"]
            found = [None if type(v) is float and np.isnan(v) else v for v in column]
            assert [*found[: len(one)], *found[-len(other) :]] == expected


@pytest.mark.parametrize(
    ("arrow", "types", "said"),
    [
        (pa.array([4_000_000], "int32").cast("date32"), None, "pandas can't hold its values"),
        (pa.array([4 * 10**17]).cast("timestamp[us]"), {"c": DataType.to_long()}, "no such form"),
        (pa.array([4 * 10**17]).cast("timestamp[us]"), {"c": DataType.to_string()}, ""),
        (pa.array([1]).cast("timestamp[ns]"), {"c": DataType.to_datetime()}, "timestamp.us. can't"),
        (pa.array([2**64 - 1, None], "uint64"), {"c": DataType.to_long()}, "is no|can't hold"),
    ],
)
def test_values_that_python_or_pandas_has_not(tmp_path, arrow, types, said):
    pq.write_table(pa.table({"c": arrow}), tmp_path / "0")
    dataset = Tabular.from_parquet_files(str(tmp_path), set_column_types=types, validate=False)
    if not said:
        assert dataset.to_pandas_dataframe()["c"].tolist() == ["14645-06-30 15:06:40"]
        return
    with pytest.raises(DatasetError, match=said):
        dataset.to_pandas_dataframe()


def test_what_changes_a_column_is_told_once_with_its_place_or_fails(tmp_path):
    columns = {"b": (True, None), "t": ("x", 5), "n": (1, None)}
    for number in range(20):
        late = number in (8, 9)
        table = pa.table({name: [pair[late]] for name, pair in columns.items()})
        pq.write_table(table, tmp_path / f"{number:02}.parquet")
    dataset = Tabular.from_parquet_files(str(tmp_path))
    with pytest.warns(UserWarning) as told:  # noqa: PT030  (all of them are looked at)
        dataset.to_pandas_dataframe()
    texts = [str(each.message) for each in told]
    assert len(texts) == 3
    assert all("First met in" in text and "parquet, row 0." in text for text in texts)
    for name, said in (("b", "missing"), ("t", "no text"), ("n", "missing")):
        strict = Tabular.from_parquet_files(str(tmp_path), strict_types=True).keep_columns(name)
        with pytest.raises(TableError, match=f"column '{name}'.*{said}.*strict_types=True"):
            strict.to_pandas_dataframe()


def test_fields_of_later_parquet_files_are_not_left_out_in_silence(tmp_path):
    for number in range(9):
        value = {"x": 1, "y": 2} if number == 8 else {"x": 1}
        pq.write_table(pa.table({"c": [[value]]}), tmp_path / f"{number}.parquet")
    with pytest.warns(UserWarning, match=r"8.parquet has 'c\[\].y'"):
        Tabular.from_parquet_files(str(tmp_path)).to_pandas_dataframe()


def test_a_footer_that_says_0_rows_is_not_believed(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": range(6)}), path)
    for said, found in (
        (0, [*range(6)]),
        (3, "has 3 rows, and its row groups have 6"),
    ):
        data = bytearray(path.read_bytes())
        at = next(n for n in range(len(data)) if data[n : n + 1] == b"\x16" and data[n + 2] == 0x19)
        data[at + 1] = said * 2
        path.write_bytes(data)
        assert pq.read_metadata(path).num_rows == said
        dataset = Tabular.from_parquet_files(str(tmp_path))
        if isinstance(found, str):
            with pytest.raises(TableError, match=found):
                dataset.to_pandas_dataframe()
        else:
            assert dataset.to_pandas_dataframe()["a"].tolist() == found


# a second Parquet file beside ["S", "L"]: the categories of both, or what is told, where both were
# looked at; and where only the first was: of to_pandas_dataframe, with strict types, of Dask

MANY = ["S", "L", *map(str, range(300))]
NO_ORDER = "'L' is of a file that gives the column's categories no order"
ORDERS = {
    "more": (ordered(["M"], ["S", "M", "L"]), ["S", "M", "L"],
             (["S", "M", "L"], "'M' is none of the ordered", "Dask joins only the same")),
    "more, unused": (ordered(["L"], MANY), MANY, (["S", "L"],) * 3),
    "none": (ordered([None], []), ["S", "L"], (["S", "L"],) * 3),
    "otherwise": (ordered(["L"], ["L", "S"]), "'S' is before 'L' in some files",
                  ("'S' is before 'L' in some files",) * 3),
    "without order": (pa.array(["L"]).dictionary_encode(), None, (NO_ORDER,) * 3),
    "text": (pa.array(["L"]), None, (NO_ORDER,) * 3),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:column 'c' has values that are none of its ordered")
@pytest.mark.parametrize("name", ORDERS)
def test_ordered_categories_of_files_are_joined_or_told(tmp_path, name):
    other, sampled, unsampled = ORDERS[name]
    for files, expected in ((2, (sampled,) * 3), (9, unsampled)):  # eight are looked at
        for number in range(files):
            column = other if number == files - 1 else ordered(["S", "L"], ["S", "L"])
            pq.write_table(pa.table({"c": column}), tmp_path / f"{number}.parquet")
        plain, strict = (
            Tabular.from_parquet_files(str(tmp_path), strict_types=strict, validate=False)
            for strict in (False, True)
        )
        ways = (
            plain.to_pandas_dataframe,
            strict.to_pandas_dataframe,
            lambda dataset=plain: dataset.to_dask_dataframe("1MB").compute(scheduler="sync"),
        )
        for read, wanted in zip(ways, expected, strict=True):
            if isinstance(wanted, str):
                with pytest.raises(TableError, match=wanted):
                    read()
                continue
            found = read()["c"]
            assert found.iloc[:2].tolist() == ["S", "L"]
            assert (
                found.iloc[-1:].dropna().tolist() == pd.Series(other.to_pylist()).dropna().tolist()
            )
            assert wanted is None or found.dtype == pd.CategoricalDtype(wanted, ordered=True)


def test_partitions_have_their_own_lists_of_ordered_categories():
    import dask.dataframe as dd

    parts = [
        pd.DataFrame({"c": pd.Categorical(*each, ordered=True)})
        for each in (([2], [3, 2]), ([1], [3, 1, 2]), ([3], [3]))
    ]
    lazy = dd.from_delayed([dask.delayed(each) for each in parts], meta=parts[0], verify_meta=False)
    dataset = Tabular.from_dask_dataframe(lazy)
    for found in (
        dataset.to_pandas_dataframe()["c"],
        dataset.to_dask_dataframe("1MB").compute(scheduler="sync")["c"],
    ):
        assert found.tolist() == [2, 1, 3]
        assert found.dtype == pd.CategoricalDtype([3, 1, 2], ordered=True)


def test_categories_have_room_for_as_many_as_later_files_have(tmp_path):
    for number in range(9):
        values = map(str, range(300 if number == 8 else 1))
        column = pa.array(pd.Categorical([*values]))
        nested = pa.StructArray.from_arrays([column], names=["k"])
        pq.write_table(pa.table({"c": column, "n": nested}), tmp_path / f"{number}.parquet")
    found = Tabular.from_parquet_files(str(tmp_path)).to_pandas_dataframe()
    assert found["c"].tolist() == [*"0" * 8, *map(str, range(300))]
    assert found["c"].dtype == "category"
    assert found["n"].tolist()[-1] == {"k": "299"}


# JSON: what the sample has# JSON: what the sample has, and what comes behind it


def deep(levels):
    return json.loads('{"a":' * levels + "1" + "}" * levels)


SAMPLED = [
    ([{"id": 2**64 - 1}], ['{"id": 18446744073709551615}'], r"no number type holds at v\.id"),
    ([[0, 1], [0.5]], [[0.0, 1.0], [0.5]], ""),
    ([[], [1.5]], [[], [1.5]], ""),
    ([{}, {"k": 5}], [{"k": None}, {"k": 5}], ""),
    ([{"x": 1}, {"x": None}, {"x": 2**53 + 1}], [{"x": 1}, {"x": None}, {"x": 2**53 + 1}], ""),
    ([[1, None], [2]], [[1, None], [2]], ""),
    ([{"a": [{"k": 1}, {"k": "x"}]}], ['{"a": [{"k": 1}, {"k": "x"}]}'], r"at v\.a\[\]\.k"),
    ([deep(200)], [json.dumps(deep(200))], "more than 60 levels"),
    ([1, "x", True], ["1", "x", "true"], "values of different kinds"),
]


@pytest.mark.parametrize(("values", "expected", "told"), SAMPLED)
@pytest.mark.filterwarnings("ignore:column 'v' has")
def test_nested_values_of_the_sample_widen(tmp_path, values, expected, told):
    lines = "\n".join(json.dumps({"v": value}) for value in values)
    (tmp_path / "a.jsonl").write_text(lines)
    dataset = Tabular.from_json_lines_files(str(tmp_path), strict_types=True)
    found = dataset.to_pandas_dataframe()["v"].tolist()
    plain = [v.tolist() if isinstance(v, np.ndarray) else v for v in found]
    assert json.dumps(plain) == json.dumps(expected)
    warning = infer_values("v", values, nested=True).warning
    assert pd.Series([warning]).str.contains(told or "^$").all()


LATE = [
    ({"id": 1}, {"id": 2**64 - 1}, r"at v\.id: 18446744073709551615 is a whole.* int64 can't"),
    ({"id": 1.5}, {"id": 2**64 - 1}, r"at v\.id: 18446744073709551615 is a whole.* float64 can't"),
    ([0, 1], [0.5], r"at v\[0\]: 0.5 is no whole number"),
    ([], [1.5], r"at v\[0\]: 1.5 is no text"),
    ({}, {"k": 5}, "has keys, where the sample had empty objects alone"),
    ({"a": [{"id": 1}]}, {"a": [{}, {}, {}, {"id": "x"}]}, r"at v\.a\[3\]\.id: 'x' is no whole"),
    ({"a": "x"}, {"a": "\ud800"}, r"at v\.a: '\\ud800' is no text"),
    ({"a": True}, {"a": 1}, r"at v\.a: 1 is neither true nor false"),
    ([1], deep(200), "is no list<item: int64>"),
]


@pytest.mark.parametrize(("sample", "late", "said"), LATE)
def test_nested_values_behind_the_sample_are_errors_with_their_path(sample, late, said):
    arrow = arrow_type(infer_values("v", [sample], nested=True).type)
    with pytest.raises(CoercionError) as caught:
        typed_column([sample, None, late], arrow)
    assert caught.value.row == 2
    at = f"at v{caught.value.path}: " if caught.value.path else ""
    assert pd.Series([f"{at}{caught.value.value!r} {caught.value.why}"]).str.contains(said).all()


@pytest.mark.parametrize(
    ("sample", "late", "said"),
    [
        ("2024-01-01T10:00:00", "2024-01-01T10:00:00+02:00", "without a zone offset"),
        ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00", "with a zone offset"),
        (True, 1, "'1' is neither true nor false"),
        (1, True, "'true' is no whole number"),
        ({}, {"k": 5}, "has keys, where"),
        ({"id": 1.5}, {"id": 2**63}, ""),
        (1.5, b"1e400", "1e400' is a value that float64 can't hold"),
        ([1.5], b"[1e400]", r"at v\[0\]: .*1e400.* float64 can't hold"),
        ({"id": 1.5}, {"id": 2**53 + 1}, r"at v\.id: 9007199254740993 is a whole number"),
    ],
)
@pytest.mark.filterwarnings("ignore:keys that the sample")
def test_a_line_that_no_sample_sees(tmp_path, sample, late, said):
    for number in range(9):
        (tmp_path / f"{number}.jsonl").write_text(json.dumps({"v": sample}).ljust(60) + "\n")
    source = Tabular.from_json_lines_files(str(tmp_path), validate=False)
    from daskrun.data.tabular.collect import loader_of, plan_of

    plan = plan_of(source, 1000)
    text = late.decode() if isinstance(late, bytes) else json.dumps(late)
    (tmp_path / "8.jsonl").write_text(f'{{"v": {text}}}'.ljust(60) + "\n")
    with loader_of(plan) as loader:
        load = plan[8].load.plain()
        if not said:
            assert loader.frame(load)["v"].tolist() == [late]
            return
        with pytest.raises(TableError, match=f"8.jsonl, line 1, column 'v'.*{said}"):
            loader.frame(load)


# databases


@pytest.fixture
def query(tmp_path):
    def make(*late, first=1, rows=400, **options):
        values = [first] * (rows - len(late)) + [*late]
        (tmp_path / "t.db").unlink(missing_ok=True)
        with closing(sqlite3.connect(tmp_path / "t.db")) as db:
            db.execute("CREATE TABLE t(id INTEGER, a)")
            db.executemany("INSERT INTO t VALUES (?, ?)", enumerate(values))
            db.commit()
        url = f"sqlite:///{tmp_path}/t.db"
        return Tabular.from_sql_query(
            "SELECT * FROM t", connection=url, index_column="id", **options
        )

    return make


@pytest.mark.parametrize(
    ("first", "late", "warned", "strict"),
    [
        (1, 19.99, "has decimal values", "no whole number"),
        ("x", 5, "has values that are no text", "no text"),
        (1, None, "has missing values", "a missing value"),
    ],
)
def test_queries_widen_and_tell(query, first, late, warned, strict):
    with pytest.warns(UserWarning, match=rf"{warned}.*First met in .*row 399 .*\(id = 399\)"):
        found = query(late, first=first).to_pandas_dataframe()["a"].tolist()
    assert found[-2:] == [first, str(late) if warned.endswith("text") else late] or late is None
    with pytest.raises(TableError, match=rf"row 399 .*\(id = 399\).*{strict}, and with strict"):
        query(late, first=first, strict_types=True).to_pandas_dataframe()


@pytest.mark.parametrize(("first", "late"), [(1, "7"), (0.5, "0.5"), (1, ""), (0.5, "NaN")])
def test_text_behind_the_sample_of_a_query_is_no_number(query, first, late):
    with pytest.raises(TableError, match=f"row 399 .*'{late}' is text, and is no.*read what"):
        query(late, first=first).to_pandas_dataframe()
    types = {"a": DataType.to_float()}
    found = query(late, first=first, set_column_types=types).to_pandas_dataframe()["a"].iloc[-1]
    assert str(found) == str(float(late or "nan"))


@pytest.mark.parametrize(
    ("values", "type_", "said"),
    [
        ((1.5,), DataType.to_long(), r"1.5 is no whole number.*to_float\(\)"),
        ((19.99,), DataType.to_long(), "19.99 is no whole number"),
        ((1704130200,), DataType.to_datetime(), "has no such form"),
        ((b"\xff",), DataType.to_string(), r"b'\\xff' is no text.*drop_columns"),
        ((5,), DataType.to_bool(), "'5' is neither true nor false"),
        ((2**53 + 1,), DataType.to_float(), "whole number that float64 can't hold"),
    ],
)
def test_queries_of_types_that_are_asked_for(query, values, type_, said):
    dataset = query(*values, rows=1, set_column_types={"a": type_}, validate=False)
    with pytest.raises(DatasetError, match=said):
        dataset.to_pandas_dataframe()


def test_bytes_among_other_values_of_a_query_are_told_with_their_row(query):
    dataset = query(5, b"\xff", rows=1, set_column_types={"a": DataType.to_string()})
    with pytest.raises(TableError, match=r"row 1 .*b'\\xff' is no text in UTF-8"):
        dataset.to_pandas_dataframe()


def test_bytes_that_are_no_text_are_not_told_to_be_read_as_text(query):
    dataset = query(5, b"\xff", rows=1000)  # no sample sees them
    with pytest.raises(TableError, match=r"b'\\xff' .* leave the column out: .drop_columns\('a'"):
        dataset.to_pandas_dataframe()
    told = query(5, b"12x", rows=1000)
    with pytest.raises(TableError, match=r"'12x' .* set_column_types={'a': DataType.to_string"):
        told.to_pandas_dataframe()


def test_texts_with_a_zone_offset_are_times_with_a_zone_in_every_format(query, tmp_path):
    types = {"a": DataType.to_datetime()}
    texts = pa.array(["2024-01-01T10:00:00+02:00", "2024-01-01T10:00:00Z"])
    pq.write_table(pa.table({"a": texts}), tmp_path / "texts.parquet")
    parquet = Tabular.from_parquet_files(str(tmp_path / "texts.parquet"), set_column_types=types)
    for dataset in (parquet, query(*texts.to_pylist(), rows=1, set_column_types=types)):
        found = dataset.to_pandas_dataframe()["a"].dt.tz_convert("UTC")
        assert found.dt.hour.tolist() == [8, 10]


def test_the_missing_value_is_blamed_and_not_the_ids_beside_it(tmp_path):
    (tmp_path / "ids.csv").write_text(f"id,n\n{2**60 + 1},1\n{2**60 + 3},2\n,3\n")
    types = {"id": DataType.to_long()}
    dataset = Tabular.from_delimited_files(str(tmp_path / "ids.csv"), set_column_types=types)
    with pytest.raises(
        TableError, match=r"line 4, .*None is missing, .*can't hold 1152921504606846"
    ):
        dataset.to_pandas_dataframe()
    with pytest.raises(CoercionError) as refused:
        fit(pa.chunked_array([[str(2**60 + 1)]]), "int_as_float")
    assert refused.value.why.endswith("which the column is for missing values of the sample")


ZONED = dt.datetime(2024, 1, 1, 17, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("values", "arrow"),
    [
        ([[ZONED, None], None], pa.list_(pa.timestamp("us", "UTC"))),
        ([{"a": MOMENT, "n": 2**60 + 1}, {"a": None, "n": None}],
         pa.struct([("a", pa.timestamp("ns")), ("n", pa.int64())])),
        ([{"a": dt.timedelta(1)}], pa.struct([("a", pa.duration("ns"))])),
        ([[("k", ZONED)]], pa.map_(pa.string(), pa.timestamp("ns", "UTC"))),
        ([[{"a": ZONED}]], pa.large_list(pa.struct([("a", pa.timestamp("ns", "UTC"))]))),
    ],
)  # fmt: skip
def test_times_inside_lists_and_objects_stay_times_with_their_zone(values, arrow):
    found = to_frame(pa.table({"c": pa.array(values, arrow)}))["c"].tolist()
    assert [v.tolist() if isinstance(v, np.ndarray) else v for v in found] == values


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([{"a": 1}], pa.struct([("a", pa.timestamp("ns"))])), "at c.a: .*has nanosec"),
        (pa.array([[10**12]], pa.list_(pa.timestamp("s", "UTC"))), "a time can't be one of Python"),
    ],
)
def test_times_inside_that_python_has_not_are_told(column, said):
    with pytest.raises(TableError, match=f"{said}.*to_string"):
        to_frame(pa.table({"c": column}))


def test_a_dask_dataframe_of_a_query_has_the_rows_of_now(query):
    lazy = query(1, 2, rows=2).to_dask_dataframe("1MB")
    assert lazy.compute(scheduler="sync")["a"].tolist() == [1, 2]
    query(3, 4, rows=2)  # another file in its place
    assert lazy.compute(scheduler="sync")["a"].tolist() == [3, 4]


# dataframes


def objects(*values):
    return pd.DataFrame({"c": pd.Series(values, dtype=object)})


def test_categories_keep_their_zone(tmp_path):
    days = pd.to_datetime(["2024-01-01", "2024-01-02"]).tz_localize("Europe/Berlin")
    frame = pd.DataFrame({"c": pd.Categorical(days.as_unit("us"))})
    for dataset in (made := Tabular.from_pandas_dataframe(frame), made.stored(tmp_path, 1)):
        pd.testing.assert_frame_equal(dataset.to_pandas_dataframe(), frame)


def test_dates_beside_times_are_times():
    for values in ((DAY, MOMENT), (MOMENT, DAY), (None, DAY, MOMENT)):
        found = Tabular.from_pandas_dataframe(objects(*values)).to_pandas_dataframe()["c"]
        assert str(found.dtype) == "datetime64[us]"
        assert [None if pd.isna(v) else v for v in found] == [
            None if v is None else pd.Timestamp(v) for v in values
        ]


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pd.DataFrame({"c": pd.cut([1, 2, 3], 2)}), "'c' has categories that are .*interval"),
        (objects(2**60 + 1, None), r"beside 1152921504606846977.*astype\(\{'c': 'Int64'\}\)"),
        (objects(True, 5), r"different types \(bool, int\)"),
        (objects(MOMENT, MOMENT.replace(tzinfo=dt.UTC)), "only some have a time or a zone"),
        (objects(dt.time(1, tzinfo=dt.UTC)), "times of day with a zone"),
        (objects(DAY, dt.time(1)), "of which only some|different types"),
        (objects(pd.Timestamp(DAY), 5), r"different types \(Timestamp, int\)"),
        (objects(pd.Timestamp(DAY), "x"), r"different types \(Timestamp, str\)"),
        (objects(dt.timedelta(1), 5), r"different types \(timedelta, int\)"),
        (objects(np.bool_(True), 1), r"different types \(bool, int\)"),
        (objects("x", b"x"), r"different types \(str, bytes\)"),
        (objects({"a": [MOMENT]}, {"a": [None, DAY]}), r"\(datetime, date\) at \.a\[\]"),
        (
            objects({"a": MOMENT}, {"a": MOMENT.replace(tzinfo=dt.UTC)}),
            r"a zone, some without\) at \.a",
        ),
        (objects([dt.time(1, tzinfo=dt.UTC)]), r"\(times of day with a zone\) at \[\]"),
        (pd.DataFrame({"c": pd.Categorical(objects("x", b"y")["c"])}), r"\(bytes, str\)"),
    ],
)
def test_frames_that_would_be_changed_are_refused(frame, said):
    with pytest.raises(DatasetError, match=said):
        Tabular.from_pandas_dataframe(frame)


def test_objects_of_one_kind_are_no_mixture():
    nested = [{"a": "x", "b": np.array([0.5])}, {"a": float("nan"), "b": [1, None]}, None]
    for values in (
        nested,
        [1, Decimal("1.5")],
        [True, None, float("nan")],
        [b"x", bytearray(b"y")],
    ):
        found = Tabular.from_pandas_dataframe(objects(*values)).to_pandas_dataframe()
        assert len(found) == len(values)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (([True], [5]), "5 is neither true nor false"),
        (([5], [True]), "True is no whole number"),
        (([DAY], [MOMENT]), [pd.Timestamp(DAY), SEVENTEEN]),
        (([1, None], [2]), [1.0, None, 2.0]),
    ],
)
def test_partitions_of_objects_have_one_type(parts, expected):
    import dask.dataframe as dd

    with dask.config.set({"dataframe.convert-string": False}):
        made = [dask.delayed(objects(*values)) for values in parts]
        dataset = Tabular.from_dask_dataframe(dd.from_delayed(made, meta=objects()))
    if isinstance(expected, str):
        with pytest.raises(TableError, match=expected) as error:
            dataset.to_pandas_dataframe()
        assert "set_column_types" not in str(error.value), "a dataframe has none"
        assert "dataframe.astype({'c': 'str'})" in str(error.value)
    else:
        found = dataset.to_pandas_dataframe()["c"]
        assert [None if pd.isna(v) else v for v in found] == expected


def test_categories_that_one_partition_alone_has_are_not_lost():
    import dask.dataframe as dd

    parts = [pd.DataFrame({"c": pd.Categorical(["z" if n == 8 else "a"])}) for n in range(9)]
    lazy = dd.from_delayed([dask.delayed(each) for each in parts], meta=parts[0], verify_meta=False)
    found = Tabular.from_dask_dataframe(lazy).to_pandas_dataframe()["c"].tolist()
    assert found == [*"aaaaaaaa", "z"]


def test_ordered_categories_are_joined_in_their_order():
    assert ordered_union("c", [["S", "L"], ["S", "XL"], ["M", "L"]]) == ["S", "M", "L", "XL"]
    column = pa.chunked_array([ordered(["L"], ["S", "L"]), ordered(["M"], ["S", "M", "L"])])
    found = to_frame(pa.table({"c": column}))["c"]
    assert found.tolist() == ["L", "M"]
    assert found.cat.categories.tolist() == ["S", "M", "L"]
    assert found.cat.ordered
