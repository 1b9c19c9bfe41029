import pandas as pd
import pyarrow as pa
import pytest

from daskrun.data.tabular.values.coercion import Change, CoercionError
from daskrun.data.tabular.values.frame import to_frame
from daskrun.data.tabular.values.law import fit
from daskrun.data.tabular.values.types import (
    DataType,
    arrow_schema,
    arrow_type,
    datetime_formats,
    type_text,
)
from daskrun.errors import DatasetError, TableError

WORDS = [
    *("text", "int", "int_as_float", "float", "bool", "boolean", "datetime", "datetime_utc"),
    *("datetime_ns", "datetime_ns_utc", "datetime:%d/%m/%Y"),
]


def texts(*values: str) -> pa.ChunkedArray:
    return pa.chunked_array([list(values)], pa.string())


def test_a_data_type_is_shown_as_it_is_written():
    for call in (
        "DataType.to_string()",
        "DataType.to_long()",
        "DataType.to_float()",
        "DataType.to_bool()",
        "DataType.to_datetime()",
        "DataType.to_datetime('%d/%m/%Y')",
        "DataType.to_datetime(['%d/%m/%Y', '%Y'])",
    ):
        assert repr(eval(call, {"DataType": DataType})) == call
    with pytest.raises(AttributeError):
        DataType.to_long().type = "text"


@pytest.mark.parametrize("bad", ["", "dd/mm/yyyy", [], ["%Y", 3], ["%Y", "%Y%z"]])
def test_what_is_no_date_format_is_refused(bad):
    with pytest.raises(DatasetError, match=r"to_datetime\(format="):
        DataType.to_datetime(bad)


def test_formats_survive_the_text_of_a_type():
    for formats in (["%d/%m/%Y"], ["%d/%m/%Y", "%Y:%m"], ["[%Y]"]):
        assert datetime_formats(DataType.to_datetime(formats).type) == formats
    assert datetime_formats("datetime") == datetime_formats("text") == []


@pytest.mark.parametrize(
    "arrow",
    [
        pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))]),
        pa.decimal128(10, 2),
        pa.dictionary(pa.int32(), pa.string()),
        pa.timestamp("us", "UTC"),
        pa.int64(),
    ],
)
def test_any_arrow_type_survives_its_text(arrow):
    assert arrow_type(type_text(arrow)).equals(arrow)


@pytest.mark.parametrize("word", WORDS)
def test_a_table_without_rows_has_the_dtypes_of_one_with_rows(word):
    full = fit(texts("2024-05-31T10:00:00Z" if word.endswith("utc") else VALUES[word]), word)
    schema = arrow_schema([["a", word]])
    filled = pa.Table.from_arrays([full.values], schema=schema)
    assert (to_frame(schema.empty_table()).dtypes == to_frame(filled).dtypes).all()


VALUES = {
    "text": "x",
    "int": "1",
    "int_as_float": "1",
    "float": "1.5",
    "bool": "true",
    "boolean": "true",
    "datetime": "2024-05-31",
    "datetime_ns": "2024-05-31",
    "datetime:%d/%m/%Y": "31/05/2024",
}


def test_one_rule_of_dtypes():
    table = pa.table(
        {
            "text": ["x", None],
            "int": pa.array([1, None]),
            "bool": pa.array([True, None]),
            "whole": [True, False],
            "kind": pa.array(["a", "b"]).dictionary_encode(),
        }
    )
    frame = to_frame(table)
    assert frame.index.equals(pd.RangeIndex(2))
    assert [str(frame[c].dtype) for c in ("int", "bool", "whole", "kind")] == [
        *("float64", "boolean", "bool", "category"),
    ]
    assert frame["text"].dtype == table.to_pandas()["text"].dtype


def test_a_whole_number_is_never_rounded_beside_missing_values():
    with pytest.raises(TableError, match=r"column 'id': 9007199254740993 .*to_string"):
        to_frame(pa.table({"id": pa.array([2**53 + 1, None])}))


def test_pandas_metadata_gives_dtypes_but_no_index():
    frame = pd.DataFrame({"a": pd.array([1, None], "Int64"), "i": ["x", "y"]}).set_index("i")
    found = to_frame(pa.Table.from_pandas(frame))
    assert found.index.equals(pd.RangeIndex(2))
    assert str(found["a"].dtype) == "Int64"
    assert found["i"].tolist() == ["x", "y"]


@pytest.mark.parametrize(
    ("values", "kind", "found", "change"),
    [
        (["1", " 2", "+3", "4 "], "int", [1, 2, 3, 4], None),
        (["1", "NA"], "int", [1.0, None], "has missing values"),
        (["1", "2.5"], "int", [1.0, 2.5], "has decimal values"),
        (["1", ""], "int_as_float", [1.0, None], None),
        (
            ["1.5", "-INF", ".5", "1e3", "+1.", "n/a"],
            "float",
            [1.5, float("-inf"), 0.5, 1e3, 1, None],
            None,
        ),
        (["True", "TRUE", " false"], "bool", [True, True, False], None),
        (["True", ""], "bool", [True, None], "has missing values"),
        (["True", ""], "boolean", [True, None], None),
        (["", "NA"], "text", ["", "NA"], None),
        (["1", "2.0", "-3e2"], "int", [1, 2, -300], None),
    ],
)
def test_what_is_converted(values, kind, found, change):
    converted = fit(texts(*values), kind)
    assert (converted.values.to_pylist(), converted.change) == (found, change and Change(change))


@pytest.mark.parametrize(
    ("values", "kind", "row", "why"),
    [
        (["1", "x"], "int", 1, "no number"),
        (["1", "0x1F"], "int", 1, "no number"),
        (
            ["9007199254740993", ""],
            "int",
            1,
            "can't hold 9007199254740993",
        ),
        (["9007199254740993", "1.5"], "int", 1, "is no whole number, and float64"),
        (["", "9007199254740993"], "int_as_float", 1, "float64 can't hold"),
        (["1.5", "9007199254740993"], "float", 1, "float64 can't hold"),
        (["inf", "1e400"], "float", 1, "a value that float64 can't hold"),
        (["1", "9007199254740993.0"], "int", 1, "is no whole number"),
        (["1", "99999999999999999999"], "int", 1, "is a whole number that int64 can't hold"),
        (["1.5", "1,5", "x"], "float", 1, "no number"),
        (["true", "yes"], "bool", 1, "neither true nor false"),
        (["2024-02-29", "2023-02-29"], "datetime", 1, "no date and time"),
        (["2024-02-29T00:00:00Z"], "datetime", 0, "without a zone offset"),
        (["2024-02-29"], "datetime_utc", 0, "with a zone offset"),
        (["2024-02-29 10:00:00.123456789"], "datetime", 0, "timestamp[us] can't hold"),
        (["2024-02-29T10:00:00.1234567Z"], "datetime", 0, "without a zone offset"),
        (["31/01/2024", "31/02/2024"], "datetime:%d/%m/%Y", 1, "'%d/%m/%Y'"),
    ],
)
def test_the_first_value_that_does_not_fit_is_named(values, kind, row, why):
    with pytest.raises(CoercionError) as caught:
        fit(texts(*values), kind)
    assert (caught.value.row, caught.value.value) == (row, values[row] or None)
    assert why in caught.value.why


def test_dates_in_the_first_of_several_formats_that_fits():
    kind = DataType.to_datetime(["%d/%m/%Y", "%Y-%m-%d"]).type
    found = fit(texts("31/05/2024", "", "2024-06-01"), kind).values.to_pylist()
    assert [str(f)[:10] for f in found] == ["2024-05-31", "None", "2024-06-01"]
