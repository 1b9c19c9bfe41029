"""The compact protocol: what is read is written again as it was."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskrun.output.sinks.parquet import thrift
from daskrun.output.sinks.parquet.thrift import Elements, Field, Open, Template, packed, read_struct

NUMBERS = st.integers(-(2**63), 2**63 - 1)
LEAVES = {
    thrift.TRUE: st.none(),
    thrift.FALSE: st.none(),
    thrift.BYTE: st.binary(min_size=1, max_size=1),
    thrift.I16: st.integers(-(2**15), 2**15 - 1),
    thrift.I32: st.integers(-(2**31), 2**31 - 1),
    thrift.I64: NUMBERS,
    thrift.DOUBLE: st.binary(min_size=8, max_size=8),
    thrift.BINARY: st.binary(max_size=200),
}


def lists(kind, values):
    return st.lists(values, max_size=20).map(lambda found: (thrift.LIST, Elements(kind, found)))


def structs(values):
    """Structs of fields with these (kind, value) pairs, their numbers rising by small and large."""
    field = st.tuples(st.integers(1, 40), values)

    def numbered(steps):
        fields, last = [], 0
        for step, (kind, value) in steps:
            last += step
            fields.append((last, kind, value))
        return fields

    return st.lists(field, max_size=6).map(numbered)


def plain_values():
    pairs = [value.map(lambda v, k=kind: (k, v)) for kind, value in LEAVES.items()]
    of_ints = [lists(kind, LEAVES[kind]) for kind in (thrift.I32, thrift.I64, thrift.BINARY)]
    of_bools = lists(thrift.TRUE, st.sampled_from([b"\1", b"\2"]))
    return st.one_of(*pairs, *of_ints, of_bools)


VALUES = st.recursive(
    plain_values(),
    lambda inner: st.one_of(
        structs(inner).map(lambda fields: (thrift.STRUCT, fields)),
        lists(thrift.STRUCT, structs(inner)),
    ),
    max_leaves=20,
)


def as_fields(fields):
    return [Field(number, kind, as_value(kind, value)) for number, kind, value in fields]


def as_value(kind, value):
    if kind == thrift.STRUCT:
        return as_fields(value)
    if kind == thrift.LIST and value.kind == thrift.STRUCT:
        return Elements(value.kind, [as_fields(each) for each in value.values])
    return value


def bare(fields):
    """Leave out where fields were."""
    found = []
    for each in fields:
        value = each.value
        if each.kind == thrift.STRUCT:
            value = bare(value)
        elif each.kind == thrift.LIST and value.kind == thrift.STRUCT:
            value = Elements(value.kind, [bare(one) for one in value.values])
        found.append(Field(each.id, each.kind, value))
    return found


@given(structs(VALUES))
def test_what_is_written_is_read(fields):
    fields = as_fields(fields)
    template = Template()
    template.struct(fields)
    data = bytes(template.data)
    found, end = read_struct(data + b"more")
    assert (bare(found), end) == (fields, len(data))
    again = Template()
    again.struct(found)
    assert bytes(again.data) == data


@given(structs(VALUES), st.data())
def test_bytes_that_end_early_are_said_to(fields, draw):
    template = Template()
    template.struct(as_fields(fields))
    cut = draw.draw(st.integers(0, len(template.data) - 1))
    with pytest.raises(ValueError, match="end within a struct"):
        read_struct(bytes(template.data[:cut]))


@given(st.lists(NUMBERS, min_size=1, max_size=5))
def test_what_was_left_open_is_filled_in_where_it_was(numbers):
    template, whole = Template(), Template()
    template.struct([Field(n, thrift.I64, Open(7, n)) for n in range(1, len(numbers) + 1)])
    whole.struct([Field(n, thrift.I64, number) for n, number in enumerate(numbers, 1)])
    made, done = b"", 0
    for at, what, n in template.open:
        assert what == 7
        made += bytes(template.data[done:at]) + packed(numbers[n - 1])
        done = at
    assert made + bytes(template.data[done:]) == bytes(whole.data)


def test_pyarrows_own_footer_is_written_again_as_it_was():
    file = io.BytesIO()
    nested = pa.array([[{"a": 1, "b": "x"}], None, []])
    pq.write_table(pa.table({"n": nested, "f": [0.5, None, 1.5]}), file, row_group_size=2)
    data = file.getvalue()
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") : -8]
    fields, end = read_struct(footer)
    template = Template()
    template.struct(fields)
    assert (bytes(template.data), end) == (footer, len(footer))


def test_a_map_is_no_value_of_a_footer():
    with pytest.raises(ValueError, match="11 is no kind of value"):
        read_struct(b"\x1b\x00\x00")
