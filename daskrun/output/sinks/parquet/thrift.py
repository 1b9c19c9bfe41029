"""Thrift's compact protocol, as far as the footer of a Parquet file needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
"""Kinds of values; a boolean field is its kind."""
_INTS = frozenset({I16, I32, I64})
_LONG_LIST = 15
"""Elements from which a list's length is a number of its own."""


class Field(NamedTuple):
    """A field of a struct."""

    id: int
    kind: int
    value: Any
    """An int; the bytes of text, of a double, of a byte; a list of fields; :class:`Elements`."""
    start: int = 0
    """Where its value begins in what was read."""
    stop: int = 0


class Elements(NamedTuple):
    """A list."""

    kind: int
    values: Sequence[Any]


class Open(NamedTuple):
    """A number that is filled in later: :class:`Template` leaves it out and notes where."""

    what: int
    value: int


class Template:
    r"""Bytes of structs, with numbers left open.

    Examples
    --------
    >>> template = Template()
    >>> template.struct([Field(1, I32, 5), Field(2, I64, Open(0, 70))])
    >>> bytes(template.data), template.open
    (b'\x15\n\x16\x00', [(3, 0, 70)])
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.open: list[tuple[int, int, int]] = []
        """Place in the data, what is to be filled in there, a number that goes with it."""

    def struct(self, fields: Iterable[Field]) -> None:
        """Write a struct."""
        last = 0
        for each in fields:
            step = each.id - last
            if 0 < step <= 15:
                self.data.append(step << 4 | each.kind)
            else:
                self.data.append(each.kind)
                self.data += packed(each.id)
            last = each.id
            self._value(each.kind, each.value)
        self.data.append(0)

    def _value(self, kind: int, value: Any) -> None:
        if kind in _INTS:
            if isinstance(value, Open):
                self.open.append((len(self.data), value.what, value.value))
            else:
                self.data += packed(value)
        elif kind == BINARY:
            self.data += _varint(len(value)) + value
        elif kind == STRUCT:
            self.struct(value)
        elif kind in (LIST, SET):
            self.data += list_head(len(value.values), value.kind)
            for each in value.values:
                self._value(BYTE if value.kind in (TRUE, FALSE) else value.kind, each)
        elif kind in (BYTE, DOUBLE):
            self.data += value


def packed(number: int) -> bytes:
    r"""Write a signed number.

    Examples
    --------
    >>> packed(-1), packed(64)
    (b'\x01', b'\x80\x01')
    """
    return _varint(number << 1 if number >= 0 else (-number << 1) - 1)


def list_head(count: int, kind: int) -> bytes:
    """Write what a list begins with."""
    if count < _LONG_LIST:
        return bytes([count << 4 | kind])
    return bytes([0xF0 | kind]) + _varint(count)


def read_struct(data: bytes, at: int = 0) -> tuple[list[Field], int]:
    """Read a struct; return its fields and where it ends, or raise ValueError: it is none."""
    fields: list[Field] = []
    last = 0
    try:
        while head := data[at]:
            at += 1
            kind, step = head & 15, head >> 4
            if step:
                last += step
            else:
                last, at = _read_int(data, at)
            start = at
            value, at = _read_value(data, at, kind)
            fields.append(Field(last, kind, value, start, at))
    except IndexError:
        raise ValueError("the bytes end within a struct") from None
    return fields, at + 1


def _varint(number: int) -> bytes:
    if number < 128:  # most
        return bytes([number])
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    at += 1
    if byte < 128:
        return byte, at
    number, shift = byte & 127, 7
    while byte > 127:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        shift += 7
    return number, at


def _read_int(data: bytes, at: int) -> tuple[int, int]:
    number, at = _read_varint(data, at)
    return (number >> 1) ^ -(number & 1), at


def _read_value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in _INTS:
        return _read_int(data, at)
    if kind == BINARY:
        size, at = _read_varint(data, at)
        return _read_bytes(data, at, size)
    if kind == STRUCT:
        return read_struct(data, at)
    if kind in (LIST, SET):
        return _read_list(data, at)
    if kind in (TRUE, FALSE):
        return None, at
    if kind in (BYTE, DOUBLE):
        return _read_bytes(data, at, 1 if kind == BYTE else 8)
    raise ValueError(f"{kind} is no kind of value in a Parquet footer")


def _read_bytes(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(data):
        raise IndexError
    return bytes(data[at : at + size]), at + size


def _read_list(data: bytes, at: int) -> tuple[Elements, int]:
    head = data[at]
    at += 1
    kind, count = head & 15, head >> 4
    if count == _LONG_LIST:
        count, at = _read_varint(data, at)
    each_kind = BYTE if kind in (TRUE, FALSE) else kind  # in a list a boolean is a byte
    values = []
    for _ in range(count):
        value, at = _read_value(data, at, each_kind)
        values.append(value)
    return Elements(kind, values), at
