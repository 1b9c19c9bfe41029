import pytest
from generated import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from daskrun.data.tabular.formats.delimited import odd_numbers
from daskrun.data.tabular.formats.delimited.odd_numbers import has_odd_numbers

FIELDS = st.sampled_from(
    ["", "0", "7", "0.5", "-0.07", "2024-01-05 09:30", "x07", "a 07", "-", "+", '"x"', "1:05"]
)
ODD = st.sampled_from(["007", "-007", "+7", "0x1F", "0X1f", '"01"', " 08", "\t-09", '" 00"'])
SEPARATORS = (",", ";", "\t", "|", "é")


def written(rows, separator, end):
    return end.join(separator.join(row) for row in rows).encode()


@settings(max_examples=examples(300), deadline=None)
@given(
    st.lists(st.lists(FIELDS, min_size=1, max_size=4), min_size=1, max_size=6),
    ODD,
    st.integers(0, 1 << 16),
    st.sampled_from(SEPARATORS),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_an_odd_number_is_found_in_any_field(rows, odd, where, separator, end):
    row = where % len(rows)
    rows[row][where % len(rows[row])] = odd
    assert has_odd_numbers(written(rows, separator, end), separator.encode(), True)


@settings(max_examples=examples(300), deadline=None)
@given(
    st.lists(st.lists(FIELDS, min_size=1, max_size=4), min_size=1, max_size=6),
    st.sampled_from(SEPARATORS),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_none_is_found_where_there_is_none(rows, separator, end):
    assert not has_odd_numbers(written(rows, separator, end), separator.encode(), True)


@pytest.mark.parametrize("part", [2, 3, 5, 64])
@pytest.mark.parametrize("odd", ["007", "-007", "0x1F", "+7", " 07"])
def test_parts_that_are_looked_at_together_hide_none(monkeypatch, part, odd):
    monkeypatch.setattr(odd_numbers, "_PART", part)
    for before in range(70):
        data = b"1\n" * (before // 2) + b"," * (before % 2) + odd.encode() + b",1\n"
        assert has_odd_numbers(data, b",", True), data
    assert not has_odd_numbers(b"10,0,-0.5\n" * 20, b",", True)


def test_nothing_holds_none():
    assert not has_odd_numbers(b"", b",", True)
    assert not has_odd_numbers(b"0", b",", True)
