"""Arrays and numpy's numbers in results: whole, a line each, numbers as they are written."""

import numpy as np
import pandas as pd
import pytest

from daskrun.output.sinks.registry import open_sink
from daskrun.output.sinks.text import LINE_BREAKS

TWELVE = np.arange(12) / 7
LONG = np.arange(2000)
SQUARE = np.array([[1, 2], [3, 4]])


@pytest.mark.parametrize("kind", ["text", "csv"])
@pytest.mark.parametrize(
    "elements",
    [
        [TWELVE, TWELVE],
        np.stack([LONG, LONG]),
        [("a.png", TWELVE), ("b.png", LONG)],
        [{"file": "a", "probabilities": LONG}],
        [("deep", [LONG, {"x": SQUARE}])],
        [SQUARE],
        pd.DataFrame({"file": ["a", "b"], "p": [LONG, SQUARE]}),
        [pd.Series([1, 2])],
    ],
)
def test_an_array_is_whole_and_in_one_line(kind, elements):
    sink = open_sink(kind)
    data, header = sink.encode(elements)
    text = data[header:].decode()
    assert text.count("\n") == len(elements)
    assert "..." not in text
    assert not sink.new_warnings()


@pytest.mark.parametrize(
    ("element", "line"),
    [
        (("a", np.float64(0.5)), "('a', 0.5)"),
        ({"p": np.float32(0.25), "n": np.int64(3)}, "{'p': 0.25, 'n': 3}"),
        ([np.bool_(True), None], "[True, None]"),
        (np.float64(0.5), "0.5"),
        (np.array([0.5, 1.5]), "[0.5 1.5]"),
        (SQUARE, "[[1 2] [3 4]]"),
    ],
)
def test_numbers_of_numpy_are_plain_numbers(element, line):
    assert open_sink("text").encode([element]).data.decode() == f"{line}\n"


def test_users_own_line_breaks_stay_and_are_warned_of():
    sink = open_sink("text")
    assert sink.encode(["a\nb", TWELVE]).data.startswith(b"a\nb\n[0.")
    assert sink.new_warnings() == [LINE_BREAKS]


def test_what_numpy_prints_is_put_back():
    before = np.get_printoptions()
    open_sink("text").encode([LONG, (np.float64(1),)])
    assert np.get_printoptions() == before


@pytest.mark.parametrize("kind", ["text", "csv"])
@pytest.mark.parametrize("frame", [pd.DataFrame(), pd.DataFrame(columns=["a"]).iloc[:, :0]])
def test_a_frame_of_nothing_writes_nothing(kind, frame):
    assert open_sink(kind).encode(frame) == (b"", 0)


@pytest.mark.parametrize("empty_first", [True, False])
def test_a_header_without_rows_is_the_outputs_only_where_there_is_no_other(empty_first):
    headers = open_sink("csv").headers(None)
    other = b"" if headers.take(3, b"x\r\n", 0) else b"x\r\n"
    assert other == b"x\r\n"
    if empty_first:
        assert b"".join(headers.end()) == b"x\r\n"
        return
    assert headers.take(4, b"a,b\r\n", 9)
    assert not headers.take(5, b"", 0)
    assert (b"".join(headers.end()), headers.warnings) == (b"", ())
