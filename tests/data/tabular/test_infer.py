import re

import pyarrow as pa
import pytest

from daskrun.data.tabular.formats.json_lines.values import parse_line
from daskrun.data.tabular.values.infer import infer, infer_values, settle
from daskrun.data.tabular.values.law import fit
from daskrun.data.tabular.values.types import arrow_type


def column(*values: str) -> pa.ChunkedArray:
    return pa.chunked_array([list(values)], pa.string())


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (("1", "-2", " 3"), "int"),
        (("1", ""), "int_as_float"),
        (("1", "NaN"), "int_as_float"),
        (("1", "2.5"), "float"),
        (("1e5", "inf"), "float"),
        (("-9223372036854775808", "9223372036854775807"), "int"),
        (("0", "1"), "int"),
        (("True", "FALSE"), "bool"),
        (("true", ""), "boolean"),
        (("true", "1"), "text"),
        (("0x1F",), "text"),
        (("1", "x"), "text"),
        (("", ""), "text"),
        ((), "text"),
        (("2024-05-31", ""), "datetime"),
        (("2024-05-31 10:00:00.25",), "datetime"),
        (("2024-05-31T10:00:00+02:00", "2024-05-31T10:00:00Z"), "datetime_utc"),
        (("2024-05-31 10:00:00.123456789",), "datetime_ns"),
        (("2024-05-31", "soon"), "text"),
        (("13/02/2024", "01/02/2024"), "datetime:%d/%m/%Y"),
        (("01/13/2024 10:00",), "datetime:%m/%d/%Y %H:%M"),
        (("2024/01/02",), "datetime:%Y/%m/%d"),
        (("5-May-2024",), "datetime:%d-%b-%Y"),
        (("3.11.13", "3.12.1"), "text"),
        (("31/02/2024",), "text"),
    ],
)
def test_types_of_samples(values, found):
    inferred = infer("a", column(*values))
    assert (inferred.type, inferred.warning) == (found, "")
    converted = fit(column(*values), found)  # what is inferred can be read
    assert converted.values.type == arrow_type(found)
    assert converted.change is None


def test_dates_that_can_be_read_in_two_ways_stay_text_and_are_told():
    inferred = infer("day", column("01/02/2024", "03/04/2024"))
    assert inferred.type == "text"
    assert "column 'day'" in inferred.warning
    assert "set_column_types={'day': DataType.to_datetime('%d/%m/%Y')}" in inferred.warning
    assert "'%m/%d/%Y'" in inferred.warning


@pytest.mark.parametrize("values", [("9223372036854775808",), ("9007199254740993", "")])
def test_whole_numbers_that_would_be_rounded_stay_text_and_are_told(values):
    inferred = infer("id", column(*values))
    assert inferred.type == "text"
    assert values[0] in inferred.warning
    assert "'id'" in inferred.warning


@pytest.mark.parametrize(
    ("values", "type_", "told"),
    [
        (("1,5", "2,5"), "text", r"numbers with commas, such as '1,5', are left as text"),
        (("1.234,50", "-2,5"), "text", r"column\.str\.replace\('\.', ''\)"),
        ((*("7",) * 19, "n/v"), "text", r"19 of 20 sampled values are numbers, but 'n/v' is not"),
        (("1", "01234"), "text", r"zeros or a plus before digits, as in '01234'.*to_string\(\)"),
        (("+4915123", ""), "text", r"'\+4915123'.*to_long\(\)"),
        (("-007",), "text", r"'-007'"),
        (("1.5", "007"), "text", r"'007'.*to_float\(\)"),
        (("00", ""), "text", r"'00'"),
    ],
)
def test_numbers_that_are_written_unlike_others_are_told(values, type_, told):
    inferred = infer("a", column(*values))
    assert inferred.type == type_
    assert re.search(told, inferred.warning)
    assert "'a'" in inferred.warning


@pytest.mark.parametrize(
    "values",
    [("0", "0.5", "10"), ("0", "-0"), ("+1.5", "05.5"), ("x", *("1",) * 8), ("a1", "7", "b2") * 9],
)
def test_ordinary_numbers_and_texts_are_not_told(values):
    assert infer("a", column(*values)).warning == ""


def test_a_column_that_some_files_lack_has_missing_values():
    assert infer("a", column("1"), missing=True).type == "int_as_float"
    assert infer("a", column("true"), missing=True).type == "boolean"


def test_set_types_hold_what_the_sample_has():
    assert settle("int", column("1", "2")) == "int"
    assert settle("int", column("1", "")) == "int_as_float"
    assert settle("bool", column("true", "NA")) == "boolean"
    assert settle("datetime", column("2024-05-31T00:00:00Z")) == "datetime_utc"
    assert settle("datetime", column("2024-05-31", "x")) == "datetime"


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ("1 2", "int"),
        ("1 null", "int_as_float"),
        ("1 2.5", "float"),
        ("true false", "bool"),
        ("true null", "boolean"),
        ('"1" "2"', "text"),
        ('"2024-05-31" null', "datetime"),
        ("null", "text"),
    ],
)
def test_types_of_json_values(values, found):
    lines = [parse_line(b'{"a":%s}' % v.encode()) for v in values.split(" ")]
    inferred = infer_values("a", [line["a"] for line in lines], dates=True, nested=True)
    assert (inferred.type, inferred.warning) == (found, "")


def test_nested_json_values_keep_their_texts_and_mixed_ones_become_json():
    inferred = infer_values("a", [{"day": "2024-05-31", "n": [1, 2.5]}, None], nested=True)
    assert arrow_type(inferred.type) == pa.struct(
        [("day", pa.string()), ("n", pa.list_(pa.float64()))]
    )
    for mixed in ([1, "x"], [{"a": 1}, [1]], [{"a": 1}, {"a": "x"}]):
        found = infer_values("a", mixed, nested=True)
        assert found.type == "text"
        assert "'a'" in found.warning
