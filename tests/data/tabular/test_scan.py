"""The scan against a walk over single bytes, and against pandas' own parse."""

import io
import re

import numpy as np
import pandas as pd
import pytest
from generated import examples
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reading import scan_block

from daskrun.data.tabular.formats.text import quotes, scan
from daskrun.data.tabular.formats.text.scan import (
    quoted_line_break,
    record_starts,
    unclosed_quote,
)

SEPARATORS = [b",", b"\t", b";", "§".encode(), "‖".encode(), "§".encode("latin1")]
CHUNKS = [3, 64, 1 << 18]


def walk(data, separator, inside=False):
    """One state, one byte at a time: record starts, open quote at the end, first quoted break."""
    state, opened, quoted = ("in" if inside else "record"), -1, -1
    starts, at = [], 0
    while at < len(data):
        byte = data[at : at + 1]
        if state == "in":
            if byte in b"\r\n" and quoted < 0:
                quoted = at
            state = "quote" if byte == b'"' else "in"
            at += 1
            continue
        if state == "quote" and byte == b'"':
            state = "in"
            at += 1
            continue
        if byte in b"\r\n":
            state = "record"
            at += 1
            continue
        if state == "record":
            starts.append(at)
        if data.startswith(separator, at):
            state = "field"
            at += len(separator)
            continue
        if state in ("record", "field") and byte == b'"':
            state, opened = "in", at
        else:
            state = "text"
        at += 1
    return starts, opened if state == "in" else None, quoted


def raw(separator):
    """Bytes in which much happens: stray and doubled quotes, mixed line ends, empty fields."""
    parts = [b'"', b'""', separator, b'"' + separator, separator + b'"', b"a", b"1.5", b"\n"]
    parts += [b"\r", b"\r\n", b'"\n"', b'"\r\n', b"\n\n", "é".encode()]
    return st.lists(st.sampled_from(parts), max_size=90).map(b"".join)


@st.composite
def files(draw):
    separator = draw(st.sampled_from(SEPARATORS))
    return draw(raw(separator)), separator


@pytest.fixture(params=CHUNKS)
def chunk(request, monkeypatch):
    monkeypatch.setattr(quotes, "CHUNK", request.param)
    monkeypatch.setattr(scan, "_PART", request.param)
    return request.param


@given(files())
@settings(max_examples=examples(80))
def everything(file):
    data, separator = file
    for inside in (False, True):
        starts, opened, quoted = walk(data, separator, inside)
        assert record_starts(data, separator, inside).tolist() == starts
        trace = scan_block(data, separator, 1000, 0)[inside]
        known = [1000 + at for at in starts] or [-1]
        assert (trace.rows, trace.first, trace.last) == (len(starts), known[0], known[-1])
        assert trace.inside == (opened is not None)
        assert trace.opened == (1000 + opened if opened is not None and opened >= 0 else -1)
        if not inside:
            assert quoted_line_break(data, separator) == quoted
            assert unclosed_quote(data, separator) == (-1 if opened is None else opened)


def test_agrees_with_a_walk_over_single_bytes_in_both_states(chunk):
    everything()


@given(files(), st.integers(1, 40), st.integers(0, 200))
@settings(max_examples=examples(80))
def targets(file, step, offset):
    data, separator = file
    for inside in (False, True):
        starts = [offset + at for at in walk(data, separator, inside)[0]]
        wanted = [
            next((start for start in starts if start >= target), None)
            for target in range(-(-offset // step) * step, offset + len(data), step)
        ]
        trace = scan_block(data, separator, offset, step)[inside]
        cuts = np.frombuffer(trace.cuts, np.int64).tolist()
        assert cuts == sorted({at for at in wanted if at is not None})
        assert trace.pending == (None in wanted)
        before = np.frombuffer(trace.before, np.int64).tolist()
        assert before == [starts.index(cut) for cut in cuts]


def test_each_target_gets_the_first_record_start_behind_it(chunk):
    targets()


def pandas_reads_it(data, separator):
    """Whether pandas takes it as its own grammar says.

    Not where a quote is never closed (an error), and not where a separator comes right after a
    blank line that is a lone CR: pandas 3.1 swallows it, pyarrow reads an empty field.
    """
    swallowed = re.search(rb"(?:^|[\r\n])\r" + re.escape(separator), data)
    return unclosed_quote(data, separator) < 0 and not swallowed


def read(data, separator=b",", columns=100):
    """Read all rows as pandas' C parser does, ragged ones filled up."""
    if not data.strip(b"\r\n"):
        return []
    frame = pd.read_csv(
        io.BytesIO(data),
        sep=separator.decode("latin1"),
        header=None,
        names=range(columns),
        index_col=False,
        dtype=str,
        keep_default_na=False,
        na_values=[],
        engine="c",
    )
    return [[value for value in row if isinstance(value, str)] for row in frame.to_numpy()]


@given(st.sampled_from([b",", b";", b"\t"]).flatmap(lambda s: st.tuples(raw(s), st.just(s))))
@settings(max_examples=examples(100))
def test_finds_as_many_records_as_pandas(file):
    data, separator = file
    assume(pandas_reads_it(data, separator))
    assert len(record_starts(data, separator)) == len(read(data, separator))


def test_without_a_separator_quotes_mean_nothing():
    data = b'{"a": "x"}\n\n{"b": ","}\r{"c": "\n'
    assert record_starts(data, b"").tolist() == [0, 12, 23]
    assert scan_block(data, b"", 0, 0)[0][:2] == (False, 3)


def test_long_runs_of_quotes_stay_in_one_chunk(monkeypatch):
    monkeypatch.setattr(quotes, "CHUNK", 8)
    for length in range(1, 40):
        data = b"a," + b'"' * length + b"\nb\n"
        assert record_starts(data, b",").tolist() == walk(data, b",")[0]


def test_a_plain_inch_sign_opens_nothing_also_where_parity_says_so():
    row = b'1,5" pipe,2\n'
    data = row * 50_000
    outside, inside = scan_block(data, b",", 0, 1 << 16)
    assert outside.rows == 50_000
    assert not outside.inside
    # Entered inside quotes, the first inch sign closes the field, and all is as it should be.
    assert inside.rows == 49_999
    cuts = np.frombuffer(outside.cuts, np.int64)
    assert (cuts % len(row) == 0).all()
    assert len(cuts) == len(data) // (1 << 16) + 1
