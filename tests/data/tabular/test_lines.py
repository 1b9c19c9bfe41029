"""Physical lines, headers and line numbers."""

import re

import pytest
from generated import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from daskrun.data.tabular.formats.text import lines
from daskrun.data.tabular.formats.text.lines import line_begin, line_number, read_header, read_lines
from daskrun.data.tabular.formats.text.source import LocalBytes, MemoryBytes
from daskrun.errors import TableError

TEXT = st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\r\n", b"\n\r"]), max_size=60).map(
    b"".join
)


class FarBytes(MemoryBytes):
    near = False


def begins(data):
    return [0] * bool(data) + [
        end.end() for end in re.finditer(rb"\r\n|\n|\r", data) if end.end() < len(data)
    ]


@given(TEXT, st.sampled_from([MemoryBytes, FarBytes]), st.integers(1, 5))
@settings(max_examples=examples(100))
def test_each_line_is_read_once_whatever_the_sizes(data, kind, size):
    kept, lines._LINE = lines._LINE, 1  # every read ends inside something
    behind, lines._BEHIND = lines._BEHIND, 0
    try:
        source = kind(data, "x")
        known = begins(data)
        found = []
        for at in range(0, len(data), size):
            begin, part = read_lines(source, at, at + size)
            inside = [start for start in known if at <= start < at + size]
            if inside:
                assert begin == inside[0]
            else:
                assert part == b""
            found.append(part)
        assert b"".join(found) == data
        for at in range(len(data) + 2):
            assert line_begin(source, at) == next((s for s in known if s >= at), len(data))
    finally:
        lines._LINE, lines._BEHIND = kept, behind


@given(TEXT, st.sampled_from([1, 2, 3, 1000]))
@settings(max_examples=examples(100))
def test_line_numbers(data, step):
    kept, lines._COUNTED = lines._COUNTED, step
    try:
        known = begins(data)
        for at in range(len(data)):
            assert line_number(MemoryBytes(data, "x"), at) == sum(s <= at for s in known)
    finally:
        lines._COUNTED = kept


@pytest.mark.parametrize(
    ("data", "header", "begin"),
    [
        (b"", b"", 0),
        (b"\n\r\n", b"", 3),
        (b"a,b", b"a,b", 3),
        (b"a,b\r\n1,2\n", b"a,b", 5),
        (b'\xef\xbb\xbf\r\n\n"a\r\n",b\r\r1,2', b'"a\r\n",b', 15),
        (b"\xef\xbb\xbf", b"", 3),
        (b'5" pipe,b\n1,2', b'5" pipe,b', 10),
        (b'"a' + b"\n" * 50_000 + b'",b\n1,2', b'"a' + b"\n" * 50_000 + b'",b', 50_006),
    ],
)
def test_headers(data, header, begin):
    assert read_header(MemoryBytes(data, "x"), b",") == (header, begin)


def test_a_header_without_an_end_is_not_looked_for_for_ever(monkeypatch):
    monkeypatch.setattr(lines, "_LONGEST_HEADER", 1 << 16)
    with pytest.raises(TableError, match=r"x\.csv: the header has no end in the file's first"):
        read_header(MemoryBytes(b'a,"b\n' + b"1,2\n" * (1 << 20), "x.csv"), b",")


def test_a_local_file_is_read_by_ranges_and_closed(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    source = LocalBytes(str(path), "shown")
    assert (source.size, source.shown) == (10, "shown")
    assert [source.read(*r) for r in ((0, 3), (8, 99), (10, 12), (5, 5), (7, 2))] == [
        b"012", b"89", b"", b"", b"",
    ]  # fmt: skip
    source.close()
    source.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        source.read(0, 1)
