"""Values as text: how each kind is written where a column is text, from whatever format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from daskrun.data.libraries import pa, pc, pd
from daskrun.data.tabular.values.coercion import CoercionError, Reason
from daskrun.data.tabular.values.kinds import Kind, kind_of


def written(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the values of a column as text.

    Numbers are as Python writes them, dates and times as ISO 8601 with a blank, truth values and
    what is nested as JSON, bytes as the UTF-8 that they are.
    """
    kind = kind_of(column.type)
    if kind is Kind.TEXT:
        return column
    if kind in _BY_ARROW:
        return column.cast(pa.string())
    if kind in (Kind.NAIVE, Kind.ZONED, Kind.TIME):
        try:
            plain = column.cast(pa.string())
        except pa.ArrowInvalid:  # pyarrow 17 knows no zones such as +02:00
            return text_column(column.to_pylist())
        texts = pc.replace_substring_regex(plain, r"Z$", "+0000")
        texts = pc.replace_substring_regex(texts, r"\.0+($|[+-])", r"\1")
        texts = pc.replace_substring_regex(texts, r"(\.\d{6})000($|[+-])", r"\1\2")
        return pc.replace_substring_regex(texts, r"([+-]\d\d)(\d\d)$", r"\1:\2")
    if kind is Kind.FLOAT:  # of float32 the digits that tell it from others
        numbers = (str(v) for chunk in column.chunks for v in chunk.to_numpy(zero_copy_only=False))
        texts = pa.array(["NaN" if text == "nan" else text for text in numbers], pa.string())
        return pa.chunked_array([pc.if_else(column.combine_chunks().is_null(), None, texts)])
    return text_column(column.to_pylist())


_BY_ARROW = frozenset({Kind.WHOLE, Kind.EXACT, Kind.BOOL, Kind.DATE, Kind.BINARY, Kind.NULL})


class WrittenFloat(float):
    """A number that still knows how it was written."""

    written: str

    def __new__(cls, written: str) -> WrittenFloat:
        """Make it from its text."""
        made = super().__new__(cls, written)
        made.written = written
        return made


def as_text(value: Any) -> str | None:
    """Return a Python value as :func:`written` has one of its kind.

    Examples
    --------
    >>> as_text(1.0), as_text(True), as_text([1, None]), as_text("x")
    ('1.0', 'true', '[1, null]', 'x')
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, WrittenFloat):
        return value.written
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode()
    if isinstance(value, float):
        return "NaN" if value != value else str(value)
    if isinstance(value, bool | list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=as_text)
    if isinstance(value, timedelta):
        return str(pd.Timedelta(value))
    return str(value)


def text_column(values: Sequence[Any]) -> pa.ChunkedArray:
    """Return Python values as a column of text.

    Raises CoercionError if one has half of a surrogate pair, or bytes that are no UTF-8.
    """
    texts: list[str | None] = []
    try:
        texts.extend(map(as_text, values))
        return pa.chunked_array([pa.array(texts, pa.string())])
    except UnicodeDecodeError as error:
        row = len(texts)
        raise CoercionError(row, error.object, Reason.OTHER_TYPE, "is no text in UTF-8") from None
    except UnicodeEncodeError:
        row = next(n for n, text in enumerate(texts) if text is not None and has_surrogate(text))
        why = "has half of a surrogate pair, which is no character"
        raise CoercionError(row, texts[row], Reason.OTHER_TYPE, why) from None


def has_surrogate(text: str) -> bool:
    """Return whether a text has half of a surrogate pair, which no encoding can hold."""
    return not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)


class Found:
    """A column of Python values that come in parts."""

    def __init__(self, values: Sequence[Any] = ()) -> None:
        self.kinds: dict[Kind, int] = {}
        """Of the values that aren't missing, each with the row of its first."""
        self._parts: list[pa.ChunkedArray] = []
        self._rows = 0
        self._wrong: CoercionError | None = None
        if values:
            self.add(values)

    def add(self, values: Sequence[Any]) -> None:
        """Add values."""
        try:
            part, kinds = _found(values)
        except CoercionError as error:  # told when all is there that says where it is
            self._wrong = self._wrong or error.inside(self._rows + error.row, "")
            part, kinds = _found([None] * len(values))
        self._parts.append(part)
        for kind, row in kinds.items():
            self.kinds.setdefault(kind, self._rows + row)
        self._rows += len(values)

    @property
    def nbytes(self) -> int:
        """Bytes of the values, about, also where they make no column."""
        return sum(part.nbytes for part in self._parts)

    def value(self, row: int) -> Any:
        """Return the value of a row."""
        for part in self._parts:
            if row < len(part):
                return part[row].as_py()
            row -= len(part)
        raise IndexError(row)

    def column(self) -> pa.ChunkedArray:
        """Return the column: of the type that all parts have, else what is written in them.

        Raises CoercionError: the first value that can't be written where it must be.
        """
        if self._wrong is not None:
            raise self._wrong
        types = {part.type for part in self._parts} - {pa.null()}
        if not types:
            return pa.chunked_array([pa.nulls(self._rows)])
        if len(types) == 1:
            (type_,) = types
            parts = [p if p.type.equals(type_) else p.cast(type_) for p in self._parts]
        else:
            parts = [written(part).cast(pa.string()) for part in self._parts]
        return pa.chunked_array([chunk for part in parts for chunk in part.chunks])


def _found(values: Sequence[Any]) -> tuple[pa.ChunkedArray, dict[Kind, int]]:
    """Return values as the column that they are, and their kinds with the row of the first.

    Values of several kinds, and what Arrow has no type for, are as they are written.
    """
    kinds = found_kinds(values)
    if not kinds:
        return pa.chunked_array([pa.nulls(len(values))]), {}
    if len(kinds) == 1:
        kind = next(iter(kinds))
        if kind is Kind.BINARY:
            values = [None if v is None else bytes(v) for v in values]
        with suppress(pa.ArrowException, TypeError, ValueError, OverflowError):  # 2**70, say
            if kind is Kind.TEXT:
                return pa.chunked_array([pa.array(values, pa.string())]), kinds
            if kind in _TYPED:
                return pa.chunked_array([pa.array(values)]), kinds
    return text_column(values), kinds


_TYPED = frozenset(
    {Kind.WHOLE, Kind.FLOAT, Kind.BOOL, Kind.DATE, Kind.NAIVE, Kind.ZONED, Kind.TIME}
    | {Kind.DURATION, Kind.BINARY}
)


def found_kinds(values: Sequence[Any]) -> dict[Kind, int]:
    """Return the kinds of Python values that aren't missing, each with the row of its first."""
    types = set(map(type, values)) - {type(None)}
    if len(types) == 1 and not types & {datetime, time}:
        first = next(row for row, value in enumerate(values) if value is not None)
        return {_KINDS.get(types.pop(), Kind.TEXT): first}
    kinds: dict[Kind, int] = {}
    for row, value in enumerate(values):
        if value is not None and value == value:
            kinds.setdefault(_kind(value), row)
    return kinds


def _kind(value: object) -> Kind:
    zoned = getattr(value, "tzinfo", None) is not None
    if zoned:
        return Kind.ZONED if type(value) is datetime else Kind.TEXT  # Arrow's times have no zone
    return _KINDS.get(type(value), Kind.TEXT)


_KINDS: dict[type, Kind] = {
    str: Kind.TEXT, int: Kind.WHOLE, float: Kind.FLOAT, WrittenFloat: Kind.FLOAT,
    Decimal: Kind.EXACT, bool: Kind.BOOL, date: Kind.DATE, datetime: Kind.NAIVE, time: Kind.TIME,
    timedelta: Kind.DURATION, bytes: Kind.BINARY, bytearray: Kind.BINARY, memoryview: Kind.BINARY,
    list: Kind.LIST, tuple: Kind.LIST, dict: Kind.STRUCT,
}  # fmt: skip
"""What isn't here, such as a UUID, is known by what it is written as."""
