"""Reading pieces of JSON-lines files: pyarrow.json where it can be trusted, else line by line."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.data.libraries import arrow_json, np, pa
from daskrun.data.tabular.formats.contract import Piece, PieceFile, Rows
from daskrun.data.tabular.formats.json_lines.values import (
    JsonObject,
    Line,
    count_lines,
    lines_of,
    parse_line,
    typed_column,
    unknown_keys,
)
from daskrun.data.tabular.formats.text.dialect import Dialect
from daskrun.data.tabular.formats.text.text_reader import RawPiece, TextReader, TextSpec
from daskrun.data.tabular.values.coercion import CoercionError, cut, listed
from daskrun.data.tabular.values.fitting import NULL, TEXT, may_be_rounded, parsed_as
from daskrun.data.tabular.values.kinds import MOMENTS, admits
from daskrun.data.tabular.values.types import arrow_type
from daskrun.data.tabular.values.written import found_kinds, text_column
from daskrun.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from daskrun.data.tabular.formats.node_cache import NodeCache

MOST_VALUES = 10_000_000
VALUES_PER_BYTE = 128
"""Of a piece: more than both, and its keys are data. Each line with a key of its own, a megabyte
would be billions of values."""
_PART = 128 << 10
"""Bytes looked at together, which stay in the second-level cache."""
_NO_OBJECT = re.compile(
    rb"^(?![ \t]*(?:\{|\xef\xbb\xbf)[^\n]*\}[ \t\r]*$)[^\S\n]*[^\s][^\n]*\n?", re.MULTILINE
)
"""A line that isn't blank and does not begin and end as an object does."""


@dataclass(frozen=True, kw_only=True)
class JsonLinesSpec(TextSpec):
    """The schema and encoding of JSON-lines files."""

    format = "json_lines"

    invalid_lines: str
    """``error`` or ``drop``."""

    @property
    @override
    def dialect(self) -> Dialect:
        """One in which every line break ends a record: without a separator, quotes mean nothing."""
        return Dialect("", self.encoding, self.max_unpacked)


class JsonLinesReader(TextReader):
    """Reads pieces of JSON-lines files."""

    reads = MOMENTS

    def __init__(self, spec: JsonLinesSpec, secrets: Mapping[str, Any], cache: NodeCache) -> None:
        super().__init__(spec, secrets, cache)
        self._drops = spec.invalid_lines == "drop"
        self._schemas: dict[tuple[str, ...], pa.Schema] = {}
        self._unknown = "error"
        """What pyarrow.json does with keys the schema lacks; ``ignore`` once they were named."""

    @override
    def read(self, piece: Piece, file: PieceFile, columns: Sequence[str], ids: bool) -> Rows:
        raw = self._raw(piece, file, header=False)
        data = self._text(raw)
        self._check_filled(data, columns)
        kept: list[Line] | None = None
        try:
            table = self._quick(raw, data, data, columns)
        except (TableError, pa.ArrowInvalid):
            try:
                table = self._without_dropped(raw, data, columns)
                kept = list(_braced(data)) if ids else None
            except (TableError, pa.ArrowInvalid):
                kept, table = self._slow(raw, data, columns)
        return Rows(table, self._ids(raw, kept) if ids else None)

    def _check_filled(self, data: bytes, columns: Sequence[str]) -> None:
        """Refuse a table that has far more room than its text has values."""
        width = sum(_width(self._types[name]) for name in columns)
        if width <= VALUES_PER_BYTE:  # a line has a byte at least
            return
        values = width * data.count(b"\n")
        if values > max(MOST_VALUES, VALUES_PER_BYTE * len(data)):
            rows = count_lines(data)
            raise TableError(
                f"{rows:,} lines of {len(data):,} bytes would be a table of {values:,} values, "
                "nearly all of them missing: most keys are in few lines. Give lines whose keys are "
                "names, not data, or choose some of them: .keep_columns([...]).",
                rows,
                lasting=True,
            )

    def _ids(self, raw: RawPiece, kept: list[Line] | None) -> Any:
        # The offsets are those of the file's bytes, which another encoding makes longer.
        starts = np.fromiter((line.offset for line in lines_of(raw.data)), np.uint64)
        if kept is not None:
            numbers = {line.offset: n for n, line in enumerate(lines_of(self._text(raw)))}
            starts = starts[[numbers[line.offset] for line in kept]]
        return starts + np.uint64(raw.offset)

    def _text(self, raw: RawPiece) -> bytes:
        """Return the piece as UTF-8; pyarrow.json lets bytes of no character through."""
        try:
            data = self._dialect.utf8(raw.data)
            if data is raw.data and not data.isascii():
                data.decode()
        except UnicodeDecodeError as error:
            text = self._not_encoded(raw.at(error.start))
            raise TableError(text, count_lines(raw.data)) from None
        return data

    def _without_dropped(self, raw: RawPiece, data: bytes, columns: Sequence[str]) -> pa.Table:
        """Read as quickly what is left without the lines that are no objects at a glance."""
        first = _NO_OBJECT.search(data) if self._drops else None
        if first is None:
            raise pa.ArrowInvalid("nothing is dropped at a glance")
        braced, count = _NO_OBJECT.subn(b"", data)
        table = self._quick(raw, data, braced, columns)
        self._say_dropped(raw, data, count, first.start())
        return table

    def _quick(self, raw: RawPiece, whole: bytes, data: bytes, columns: Sequence[str]) -> pa.Table:
        """Read all lines at once by pyarrow.json; ArrowInvalid where that can't be trusted.

        ``data`` is ``whole``, or what is left of it without lines that are no objects.
        """
        every = len(columns) == len(self._types)
        try:
            table = self._parse(data, columns, self._unknown if every else "ignore")
        except pa.ArrowInvalid as error:
            if "unexpected field" not in str(error):  # a key that the schema lacks: its words tell
                raise
            self._name_unknown(data)
            self._unknown = "ignore"
            table = self._parse(data, columns, "ignore")
        codes = np.frombuffer(data, np.uint8)  # a fifth of the time that data.count() takes
        parts = (codes[at : at + _PART] for at in range(0, len(codes), _PART))
        breaks = sum(np.count_nonzero(part == b"\n"[0]) for part in parts)
        lines = breaks + (not data.endswith(b"\n"))
        if table.num_rows != lines and table.num_rows != count_lines(data):
            raise pa.ArrowInvalid("objects share a line, or go over several")
        if any(map(may_be_rounded, table.columns)):
            raise pa.ArrowInvalid("numbers may be rounded")
        if (done := self._fitter.as_found(table, columns)) is not None:
            return done

        def where(row: int) -> str:
            lines = lines_of(whole) if data is whole else _braced(whole)
            return self._line(raw, whole, next(islice(lines, row, None)).offset)

        found = dict(zip(columns, table.columns, strict=True))
        return self._fitter.table(columns, found, table.num_rows, where)

    def _parse(self, data: bytes, columns: Sequence[str], unknown: str) -> pa.Table:
        schema = self._schema(tuple(columns))
        if unknown == "ignore" and any(_has_empty(each) for each in schema.types):
            raise pa.ArrowInvalid("keys of objects that have none in the sample would be left out")
        if not data or data.isspace():
            return schema.empty_table()
        table = arrow_json.read_json(
            pa.BufferReader(data),
            arrow_json.ReadOptions(use_threads=False, block_size=min(len(data) + 1, 1 << 30)),
            arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unknown),
        )
        if not table.schema.equals(schema):
            raise pa.ArrowInvalid("nested values are of other types than the schema's")
        return table

    def _schema(self, columns: tuple[str, ...]) -> pa.Schema:
        """Return what is asked of pyarrow.json, made once."""
        if columns not in self._schemas:
            fields = [(name, _parsed_as(self._types[name])) for name in columns]
            self._schemas[columns] = pa.schema(fields)
        return self._schemas[columns]

    def _name_unknown(self, data: bytes) -> None:
        names: dict[str, None] = {}
        for line in lines_of(data):
            with suppress(ValueError):
                names.update(dict.fromkeys(self._unknown_in(parse_line(line.data))))
        self._say_unknown(list(names))

    def _unknown_in(self, found: JsonObject) -> list[str]:
        names = []
        for key, value in found.items():
            if key not in self._types:
                names.append(key)
            elif isinstance(value, (dict, list)) and self._types[key].startswith("arrow:"):
                names += unknown_keys(value, arrow_type(self._types[key]), key)
        return names

    def _say_unknown(self, names: list[str]) -> None:
        if names:
            self._warnings.add(
                "unknown",
                f"keys that the sample which columns come from had not are left out: "
                f"{listed(names)}. To have one as a column write "
                f"set_column_types={{{names[0].split('.')[0]!r}: DataType.to_string()}}.",
            )

    def _slow(
        self, raw: RawPiece, data: bytes, columns: Sequence[str]
    ) -> tuple[list[Line], pa.Table]:
        kept, objects = self._objects(raw, data)
        if len(columns) == len(self._types):
            unknown = (name for found in objects for name in self._unknown_in(found))
            self._say_unknown(list(dict.fromkeys(unknown)))
        found, kinds = {}, {}

        def where(row: int) -> str:
            return self._line(raw, data, kept[row].offset)

        for name in columns:
            values = [line.get(name) for line in objects]
            kinds[name] = found_kinds(values)
            if self._fitter.choice_of(name) == NULL:
                values = self._without_misfits(name, values, where)
                kinds[name] = found_kinds(values)
            with self._fitter.told(name, where, len(kept)):
                found[name] = self._column(name, values)
        return kept, self._fitter.table(columns, found, len(kept), where, kinds, written=True)

    def _column(self, name: str, values: Sequence[Any]) -> pa.ChunkedArray:
        kind = self._types[name]
        if not kind.startswith("arrow:"):
            return text_column(values)
        try:  # a NaN among lists or objects is a value that is missing
            return typed_column([None if v != v else v for v in values], arrow_type(kind))
        except CoercionError:
            if self._fitter.choice_of(name) != TEXT:
                raise
            return text_column(values)

    def _without_misfits(
        self, name: str, values: list[Any], where: Callable[[int], str]
    ) -> list[Any]:
        """Have values of other kinds than the column's missing; what is left reads as its type."""
        kept, first = list(values), -1
        for row, value in enumerate(values):
            if value is not None and not self._holds(name, value):
                kept[row], first = None, row if first < 0 else first
        if first >= 0:
            self._fitter.chosen(name, values[first], where, first)
        return kept

    def _holds(self, name: str, value: Any) -> bool:
        kind = self._types[name]
        if not kind.startswith("arrow:"):
            return all(admits(kind, each, False, self.reads) for each in found_kinds([value]))
        try:
            typed_column([value], arrow_type(kind))
        except CoercionError:
            return False
        return True

    def _objects(self, raw: RawPiece, data: bytes) -> tuple[list[Line], list[JsonObject]]:
        """Parse the lines; those that are no objects are an error, or dropped."""
        kept: list[Line] = []
        objects: list[JsonObject] = []
        dropped: list[int] = []
        for line in lines_of(data):
            try:
                objects.append(parse_line(line.data))
            except ValueError as error:
                if self._drops:
                    dropped.append(line.offset)
                    continue
                shown = cut(line.data.decode().strip())
                raise TableError(
                    f"{self._line(raw, data, line.offset)}: the line is no JSON object: {error}: "
                    f"{shown!r}. Mend it, or leave such lines out with invalid_lines='drop'.",
                    count_lines(data),
                    lasting=True,
                ) from None
            kept.append(line)
        if dropped:
            self._say_dropped(raw, data, len(dropped), dropped[0])
        return kept, objects

    def _say_dropped(self, raw: RawPiece, data: bytes, count: int, first: int) -> None:
        """Say how many lines are left out; where one is costs reading all before it: the first."""
        where = self._line(raw, data, first)
        self._warnings.add(
            where,
            f"invalid_lines='drop': {count} lines that are no JSON objects were left out, the "
            f"first at {where}.",
        )

    def _line(self, raw: RawPiece, data: bytes, offset: int) -> str:
        if data is raw.data:
            return raw.at(offset)
        return raw.at(len(data[:offset].decode().encode(self._dialect.codec)))


@lru_cache(maxsize=1024)
def _width(kind: str) -> int:
    """Return how many values a row has in a column, with those inside others."""
    return _leaves(arrow_type(kind)) if kind.startswith("arrow:") else 1


def _leaves(arrow: pa.DataType) -> int:
    return sum(_leaves(arrow.field(n).type) for n in range(arrow.num_fields)) or 1


def _braced(data: bytes) -> Iterator[Line]:
    return (line for line in lines_of(data) if not _NO_OBJECT.match(line.data))


def _parsed_as(kind: str) -> pa.DataType:
    """Return what pyarrow.json makes of a column: dates stay text, as it drops their zones."""
    return pa.string() if kind.startswith("datetime") else parsed_as(kind)


def _has_empty(arrow: pa.DataType) -> bool:
    if pa.types.is_list(arrow):
        return _has_empty(arrow.value_type)
    return pa.types.is_struct(arrow) and (
        not arrow.num_fields or any(_has_empty(f.type) for f in arrow)
    )
