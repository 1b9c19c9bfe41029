import json
import pickle
import subprocess
import sys
from enum import Enum, IntEnum

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskrun.errors import DaskrunError, SettingsError, WrongResultError
from daskrun.output.sinks import text as encode
from daskrun.output.sinks.registry import open_sink
from daskrun.output.sinks.settings_file import SETTINGS_FILE, read_settings
from daskrun.output.sinks.sink import NOT_UTF8
from daskrun.output.sinks.text import LINE_BREAKS

CSV = "pandas.DataFrame.to_csv"


class Odd(str):
    def __str__(self):
        return "odd"


class Color(str, Enum):  # noqa: UP042 - its str() is not its text
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Count(int):
    def __str__(self):
        return f"<{int(self)}>"


def naive(elements):
    return "".join(str(element) + "\n" for element in elements).encode("utf-8", "backslashreplace")


elements = st.one_of(
    st.text(st.sampled_from("ab \n\r\té\U0001f600\udce9\x00"), max_size=6),
    st.integers(),
    st.floats(),
    st.none(),
    st.binary(max_size=4),
    st.tuples(st.integers(), st.text("xy")),
    st.just(Odd("even")),
    st.just(Color.RED),
    st.booleans(),
    st.just(Level.HIGH),
    st.just(Count(7)),
)


@given(result=st.lists(elements))
def test_lists_and_tuples_are_the_naive_join(result):
    encoder = open_sink("text")
    for kind in (list, tuple):
        assert encoder.count(kind(result)) == len(result)
        assert encoder.encode(kind(result)) == (naive(result), 0)


ARRAYS = [
    np.array([1.5, 2.0, -0.0, np.nan]),
    np.array([0.1, 2.0], dtype=np.float32),
    np.array(["a", "né"]),
    np.array([[1, 2], [3, 4], [5, 6]]),
    np.zeros((2, 5)),  # longer ones: test_whole_arrays.py
    np.zeros((0, 3)),
    np.zeros(0),
    np.array([None, "x", 3], dtype=object),
    np.array(["2024-01-02"], dtype="datetime64[D]"),
    pd.Series([1, 2, 3], index=[7, 8, 9]),
    pd.Series([0.1, 0.2], dtype="float32"),
    pd.Series(["a", None, "é"]),
    pd.Series([], dtype=float),
    pd.Series(pd.Categorical(["x", "y", "x"])),
]


@pytest.mark.parametrize("result", ARRAYS, ids=lambda r: f"{type(r).__name__}-{r.dtype}-{r.shape}")
def test_arrays_and_series_are_the_naive_join(result):
    encoder = open_sink("text")
    assert encoder.count(result) == len(result)
    assert encoder.encode(result) == (naive(result), 0)


@pytest.mark.parametrize(
    ("result", "data"),
    [
        (["0.png: 7", 2], b"0.png: 7\n2\n"),
        ([], b""),
        ([""], b"\n"),
        (["", ""], b"\n\n"),
        ((None, 1.0, True), b"None\n1.0\nTrue\n"),
        (["caf\udce9.png", "é"], b"caf\\udce9.png\n\xc3\xa9\n"),
        ([Odd("even"), Color.RED], b"odd\nColor.RED\n"),
        (pd.DataFrame({"a": [1, 2], "b": ["x y", "é"]}), b'1 "x y"\n2 \xc3\xa9\n'),
        (pd.DataFrame({"a": [0.1, None]}, index=[5, 6]), b'0.1\n""\n'),
        (pd.DataFrame({"a": []}), b""),
    ],
)
def test_bytes_by_hand(result, data):
    assert open_sink("text").encode(result) == (data, 0)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Series])
def test_many_elements_are_made_text_a_block_at_a_time(monkeypatch, kind, count):
    monkeypatch.setattr(encode, "BLOCK", 3)
    result = kind([f"{n}\n!" * (n % 2) for n in range(count)])
    encoder = open_sink("text")
    assert encoder.encode(result) == (naive(result), 0)
    assert encoder.new_warnings() == [LINE_BREAKS] * (count > 1)


@pytest.mark.parametrize(
    ("result", "warnings"),
    [
        ([], []),
        ([""], []),
        (["a", "b"], []),
        (["a\r", "b"], []),
        (["a\nb"], [LINE_BREAKS]),
        (["a", "\n"], [LINE_BREAKS]),
        (["caf\udce9"], [NOT_UTF8]),
        (np.zeros((2, 100)), []),  # a long row is one line too
        (np.zeros((2, 3)), []),
        (pd.DataFrame({"a": ["two\nlines"]}), []),  # a quoted field, as CSV has it
        (pd.DataFrame({"a": ["caf\udce9"]}, dtype=object), [NOT_UTF8]),
    ],
)
def test_what_is_odd_about_results_is_told_once(result, warnings):
    encoder = open_sink("text")
    encoder.encode(["plain", 1])
    assert encoder.new_warnings() == []
    encoder.encode(result)
    assert encoder.new_warnings() == warnings
    encoder.encode(result)
    assert encoder.new_warnings() == []


def frames():
    names = st.text(st.sampled_from('ab "\n,é'), max_size=3)
    column = st.lists(st.one_of(st.integers(-5, 5), st.text('xy "\n,')), min_size=2, max_size=2)
    flat = st.lists(names, max_size=3, unique=True).flatmap(
        lambda labels: st.lists(column, min_size=len(labels), max_size=len(labels)).map(
            lambda cs: pd.DataFrame(dict(zip(labels, cs, strict=True)), dtype=object)
        )
    )
    deep = st.lists(st.tuples(names, names), min_size=1, max_size=3, unique=True).map(
        lambda labels: pd.DataFrame(
            [range(len(labels))] * 2, columns=pd.MultiIndex.from_tuples(labels, names=["p", "q"])
        )
    )
    return flat | deep


@given(
    frame=frames(),
    options=st.fixed_dictionaries(
        {},
        optional={
            "sep": st.sampled_from(",;\t"),
            "header": st.booleans(),
            "index": st.booleans(),
            "quoting": st.sampled_from([0, 1]),
            "lineterminator": st.sampled_from(["\n", "\r\n"]),
        },
    ),
)
def test_frames_are_to_csv_and_their_header_is_found(frame, options):
    encoder = open_sink("text", {CSV: options})
    data, head = encoder.encode(frame)
    plain = {"sep": " ", "header": False, "index": False, "lineterminator": "\n"} | options
    nothing = not frame.size and not len(frame.columns)  # for which pandas writes a line end
    assert data == (b"" if nothing else frame.to_csv(**plain).encode())
    assert encoder.count(frame) == len(frame)
    if nothing or not plain["header"]:
        assert head == 0
    else:
        # The rest is the rows: with the header off, only the line of index names is less.
        assert data[head:] == frame.to_csv(**plain | {"header": False}).encode()
        assert head > 0


def test_header_with_other_names_is_a_header():
    encoder = open_sink("text", {CSV: {"sep": ",", "header": ["x", "y"]}})
    frame = pd.DataFrame({"a": [1], "b": [2]})
    assert encoder.encode(frame) == (b"x,y\n1,2\n", 4)


def generator():
    yield 1


@pytest.mark.parametrize(
    ("result", "name", "hint"),
    [
        (None, "NoneType", "returned None.*Is a return statement missing"),
        ("text", "str", r"type str\. .*return \[text\]"),
        ({"a": 1}, "dict", "type dict.*results.items"),
        (generator(), "generator", r"type generator.*list\(results\)"),
        ({1}, "set", "type set.*sorted"),
        (3, "int", "type int"),
        (b"x", "bytes", "type bytes"),
        (range(3), "range", "type range"),
        (iter([]), "list_iterator", "type list_iterator"),
        (np.array(3), "0-d numpy.ndarray", "type 0-d numpy.ndarray"),
        (np.float64(3), "numpy.float64", "type numpy.float64"),
        (pd.Index([1]), None, "type pandas.*Index"),
        (pd.DataFrame, "type", "type type"),
        (Color.RED, None, "type .*Color"),
    ],
)
def test_other_types_are_named(result, name, hint):
    for call in (open_sink("text").count, open_sink("text").encode):
        with pytest.raises(WrongResultError, match=hint) as caught:
            call(result)
        assert "Return a list, tuple, pandas.DataFrame, pandas.Series or numpy" in str(caught.value)
        assert isinstance(caught.value, DaskrunError)
        assert isinstance(caught.value, TypeError)
        if name:
            assert caught.value.type_name == name
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_an_element_that_fails_raises_what_it_raises():
    class Broken:
        def __str__(self):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        open_sink("text").encode([Broken()])


def test_neither_pandas_nor_numpy_is_imported():
    code = (
        "import sys\n"
        "from daskrun.output.sinks.registry import open_sink\n"
        "e = open_sink('text')\n"
        "print(e.count(['a']), e.encode(['a', 1]))\n"
        "try: e.count(None)\n"
        "except TypeError as error: print(error.type_name)\n"
        "print('pandas' in sys.modules, 'numpy' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "1 EncodedRows(data=b'a\\n1\\n', header=0)\nNoneType\nFalse False\n"


def settings(folder, value):
    text = value if isinstance(value, str) else json.dumps(value)
    (folder / SETTINGS_FILE).write_text(text)
    return read_settings(folder)


def test_without_a_file_there_are_no_settings(tmp_path):
    assert read_settings(tmp_path) == {}
    assert read_settings(tmp_path / "no folder") == {}


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"append_row": {}},
        {"append_row": {CSV: {}}},
        {"append_row": {CSV: {"sep": ",", "header": True}}},
        {
            "append_row": {
                CSV: {
                    "sep": "\t",
                    "na_rep": "-",
                    "float_format": "%.2f",
                    "columns": ["a"],
                    "header": ["x"],
                    "index": True,
                    "index_label": "n",
                    "quoting": 1,
                    "quotechar": "'",
                    "lineterminator": "\r\n",
                    "chunksize": 5,
                    "date_format": "%Y",
                    "doublequote": False,
                    "escapechar": "\\",
                    "decimal": ",",
                }
            }
        },
    ],
)
def test_settings_are_given_and_are_what_to_csv_takes(tmp_path, value):
    given_back = settings(tmp_path, value)
    assert given_back == value.get("append_row", {})
    data, head = open_sink("text", given_back).encode(pd.DataFrame({"a": [1.5]}))
    options = {"sep": " ", "header": False, "index": False} | given_back.get(CSV, {})
    assert data == pd.DataFrame({"a": [1.5]}).to_csv(**options).encode()
    assert (head > 0) == bool(options["header"])


def test_a_byte_order_mark_is_passed_over(tmp_path):
    assert settings(tmp_path, '\ufeff{"append_row": {}}') == {}


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ("{", r"settings\.json: it can't be read as JSON: .*line 1"),
        ("[]", r"\[\] is not an object\. Write \{\"append_row\""),
        ({"append_rows": {}}, "'append_rows' is not allowed. Allowed is 'append_row'"),
        ({"append_row": 3}, "append_row: 3 is not an object"),
        (
            {"append_row": {"to_csv": {}}},
            f"append_row: 'to_csv' is not allowed. Allowed is '{CSV}'",
        ),
        ({"append_row": {CSV: [1]}}, r"to_csv: \[1\] is not an object"),
        (
            {"append_row": {CSV: {"path_or_buf": "x"}}},
            "'path_or_buf' can't be set: append_row_file",
        ),
        ({"append_row": {CSV: {"mode": "a"}}}, "'mode' can't be set"),
        ({"append_row": {CSV: {"compression": "gzip"}}}, "'compression' can't be set"),
        (
            {"append_row": {CSV: {"encoding": "latin1"}}},
            "'encoding' can't be set: the output is UTF",
        ),
        (
            {"append_row": {CSV: {"seperator": ","}}},
            "'seperator' is not allowed. Allowed are sep, ",
        ),
        ({"append_row": {CSV: {"sep": ", "}}}, 'sep=", " is wrong. Write one character'),
        ({"append_row": {CSV: {"sep": 1}}}, "sep=1 is wrong"),
        ({"append_row": {CSV: {"header": 1}}}, "header=1 is wrong. Write true, false or a list"),
        ({"append_row": {CSV: {"index": "no"}}}, 'index="no" is wrong. Write true or false'),
        ({"append_row": {CSV: {"quoting": True}}}, "quoting=true is wrong"),
        ({"append_row": {CSV: {"lineterminator": ""}}}, 'lineterminator="" is wrong'),
        ({"append_row": {CSV: {"chunksize": 0}}}, "chunksize=0 is wrong"),
        ({"append_row": {CSV: {"columns": "a"}}}, 'columns="a" is wrong'),
    ],
)
def test_wrong_settings_name_file_key_and_what_is_allowed(tmp_path, value, match):
    with pytest.raises(SettingsError, match=match) as caught:
        settings(tmp_path, value)
    assert str(tmp_path / SETTINGS_FILE) in str(caught.value)


def test_all_problems_are_said_at_once(tmp_path):
    with pytest.raises(SettingsError, match="has 3 problems"):
        settings(tmp_path, {"x": 1, "append_row": {"y": 2, CSV: {"mode": "w"}}})


def test_text_without_names_warns_of_columns_in_another_order():
    sink = open_sink("text")
    for columns, warned in (["a", "b"], False), (["a", "b"], False), (["b", "a"], True):
        sink.encode(pd.DataFrame([[1, 2]], columns=columns))
        assert bool(sink.new_warnings()) is warned
