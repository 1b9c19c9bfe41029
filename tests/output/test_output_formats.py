"""CSV and JSON lines: byte for byte, and read back by others as what it was."""

from __future__ import annotations

import csv
import datetime
import json
import pickle
from collections import namedtuple
from decimal import Decimal
from io import StringIO
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskrun.errors import WrongResultError
from daskrun.output.sinks import csv as formats
from daskrun.output.sinks import text as encode
from daskrun.output.sinks.registry import open_sink

Digit = namedtuple("Digit", "file digit")
FRAME = pd.DataFrame({"file": ["a,b", 'c"d'], "score": [0.1, None]}, index=[7, 8])


def encoded(name, result):
    return open_sink(name).encode(result)


@pytest.mark.parametrize(
    ("result", "header", "rows"),
    [
        (["a", 1, None, 0.5, True], "result", 'a\r\n1\r\n""\r\n0.5\r\nTrue\r\n'),
        ([("a", 1), ("b", 2)], "result_0,result_1", "a,1\r\nb,2\r\n"),
        ([["a", None]], "result_0,result_1", "a,\r\n"),
        ([Digit("a.png", 7)], "file,digit", "a.png,7\r\n"),
        ([{"x": 1}, {"y": 2, "x": 3}], "x,y", "1,\r\n3,2\r\n"),
        ([{1: "one"}], "1", "one\r\n"),
        ([float("nan"), pd.NaT, pd.NA, np.float32("nan")], "result", '""\r\n' * 4),
        (['say "hi"', "a\nb", "c\rd", "e,f"], "result", None),
        (np.array([1, 2]), "result", "1\r\n2\r\n"),
        (np.array([[1, 2], [3, 4]]), "result_0,result_1", "1,2\r\n3,4\r\n"),
        (pd.Series([1, 2], name="n"), "n", "1\r\n2\r\n"),
        (pd.Series([0.5]), "result", "0.5\r\n"),
        (("only",), "result", "only\r\n"),
        (FRAME, "file,score", '"a,b",0.1\r\n"c""d",\r\n'),
        (FRAME.iloc[:0], "file,score", ""),
        ([datetime.date(2024, 5, 1), np.int64(3)], "result", "2024-05-01\r\n3\r\n"),
    ],
)
def test_csv(result, header, rows):
    data, head = encoded("csv", result)
    assert data[:head].decode() == f"{header}\r\n"
    if rows is None:
        rows = '"say ""hi"""\r\n"a\nb"\r\n"c\rd"\r\n"e,f"\r\n'
    assert data[head:].decode() == rows


@pytest.mark.slow
@given(st.lists(st.tuples(*[st.text(st.characters(codec="utf-8"))] * 2), min_size=1))
def test_every_csv_reader_gives_the_texts_back(rows):
    data, head = encoded("csv", rows)
    text = StringIO(data[head:].decode(), newline="")
    assert [tuple(row) for row in csv.reader(text, strict=True)] == rows
    frame = pd.DataFrame(rows, columns=["result_0", "result_1"])
    if not any("\r" in field or "\n" in field for row in rows for field in row):
        assert encoded("csv", frame)[0] == data


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (["é", 1, None, 0.5, True], ["é", 1, None, 0.5, True]),
        ([("a", 1), [2]], [["a", 1], [2]]),
        ([Digit("a.png", 7)], [{"file": "a.png", "digit": 7}]),
        ([{"x": {"y": [1, None]}}], [{"x": {"y": [1, None]}}]),
        ([np.int64(3), np.float32(0.5), np.bool_(True), np.arange(2)], [3, 0.5, True, [0, 1]]),
        (
            [float("nan"), {"a": [np.float32("nan"), np.float64("nan")]}],
            [None, {"a": [None, None]}],
        ),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (pd.Series([1.5, None]), [1.5, None]),
        (FRAME, [{"file": "a,b", "score": 0.1}, {"file": 'c"d', "score": None}]),
        (FRAME[[]], [{}, {}]),
        (
            pd.DataFrame({"t": pd.to_datetime(["2024-05-01 12:00", None]), "i": [1, 2]}),
            [{"t": "2024-05-01T12:00:00", "i": 1}, {"t": None, "i": 2}],
        ),
        ([np.datetime64("2024-05-01T12", "ns")], ["2024-05-01T12:00:00.000000000"]),
        ([datetime.date(2024, 5, 1), datetime.time(7)], ["2024-05-01", "07:00:00"]),
        ([Decimal("1.10"), PurePosixPath("a/b"), pd.NA], ["1.10", "a/b", None]),
        ([datetime.timedelta(seconds=5)], ["0:00:05"]),
        (["a\nb\u2028c"], ["a\nb\u2028c"]),
        (["file\udce9"], ["file\udce9"]),
        ([2**70], [2**70]),
        ([], []),
    ],
)
def test_jsonl(result, expected):
    data, head = encoded("jsonl", result)
    lines = data.split(b"\n")
    assert head == 0
    assert lines.pop() == b""
    assert [json.loads(line) for line in lines] == expected


def test_jsonl_text_is_readable():
    assert encoded("jsonl", ["é"])[0] == '"é"\n'.encode()


@pytest.mark.parametrize("name", ["csv", "jsonl"])
def test_no_result_is_nothing_at_all(name):
    assert encoded(name, []) == (b"", 0)


@pytest.mark.parametrize("name", ["csv", "jsonl"])
def test_many_are_encoded_in_blocks_to_the_same_bytes(name, monkeypatch):
    results = [{"n": n, "text": "x" * (n % 7)} for n in range(100)]
    whole = encoded(name, results)
    monkeypatch.setattr(formats, "BLOCK", 7)
    assert encoded(name, results) == whole
    assert encode.BLOCK > 100


@pytest.mark.parametrize(
    ("name", "result", "message"),
    [
        ("csv", [1, {"a": 2}], "run() returned a list that holds dicts and values."),
        ("csv", [(1,), 2], "run() returned a list that holds rows and values."),
        ("csv", [(1,), (2, 3)], "run() returned a list of rows of 1 and 2 values."),
        ("jsonl", [float("inf")], "run() returned the number inf, which JSON can't hold: write "),
        ("jsonl", [{"a": {1}}], "a value of type set, {1}, which JSON can't hold. Write sorted"),
        ("jsonl", [b"x"], "a value of type bytes, b'x', which JSON can't hold. It can hold text"),
        (
            "jsonl",
            pd.DataFrame([[1, 2]], columns=["a", "a"]),
            "run() returned a DataFrame with columns of one name: a, a.",
        ),
        ("csv", None, "run() returned None. Return a list"),
        ("jsonl", {"a": 1}, "run() returned a value of type dict. Return a list"),
    ],
)
def test_what_cannot_be_a_row_is_said(name, result, message):
    with pytest.raises(WrongResultError) as caught:
        encoded(name, result)
    assert message in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    ("name", "asked", "shown"),
    [
        ("text", {"sep": ";"}, None),
        ("csv", {}, None),
        ("csv", {"sep": ",", "header": True, "index": False}, None),
        ("csv", {"sep": ";", "header": True}, 'says sep=";". Remove'),
        ("csv", {"header": False}, "says header=false."),
        ("csv", {"na_rep": "-"}, 'says na_rep="-".'),
        ("jsonl", {"header": True}, "append_row_format='jsonl' says how rows look, and parallel_"),
    ],
)
def test_a_settings_file_must_not_contradict(name, asked, shown):
    problems = open_sink(name).configure({"pandas.DataFrame.to_csv": asked} if asked else {})
    assert len(problems) == (shown is not None)
    assert shown is None or shown in problems[0]


def test_lines_that_are_csv_already_are_warned_of():
    sink = open_sink("csv")
    assert sink.encode(["a,1", "b,2"]).data == b'result\r\n"a,1"\r\n"b,2"\r\n'
    assert sink.new_warnings() == [formats.READY_LINES]
