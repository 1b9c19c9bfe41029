"""Reading pieces of JSON-lines files: pyarrow.json where it can be trusted, else line by line."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.data.tabular.formats.contract import Rows
from daskrun.data.tabular.formats.json_lines.values import (
    JsonObject,
    Line,
    as_text,
    count_lines,
    lines_of,
    parse_line,
    text_column,
    typed_column,
    unknown_keys,
)
from daskrun.data.tabular.formats.text.byte_reader import bring_piece
from daskrun.data.tabular.formats.text.text_reader import TextReader
from daskrun.data.tabular.values.coercion import CoercionError, Fitted, cut, listed
from daskrun.data.tabular.values.convert import convert, first_change
from daskrun.data.tabular.values.fitting import assembled, coercion_text, finish, parsed_as
from daskrun.data.tabular.values.types import arrow_type
from daskrun.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from daskrun.data.remote_files import RemoteFolder
    from daskrun.data.tabular.formats.contract import Look, Piece, PieceFile
    from daskrun.data.tabular.formats.json_lines.spec import JsonLinesSpec
    from daskrun.data.tabular.formats.node_cache import NodeCache
    from daskrun.data.tabular.formats.text.byte_reader import RawPiece


class JsonLinesReader(TextReader):
    """Reads pieces of JSON-lines files."""

    def __init__(self, spec: JsonLinesSpec, secrets: Mapping[str, Any], cache: NodeCache) -> None:
        super().__init__(spec, secrets, cache, spec.dialect, exact=False)
        self._drops = spec.invalid_lines == "drop"
        self._unknown = "error"
        """What pyarrow.json does with keys the schema lacks; ``ignore`` once they were named."""

    @classmethod
    @override
    def bring(
        cls,
        spec: JsonLinesSpec,
        folder: RemoteFolder,
        columns: Sequence[str],
        what: Piece | Look,
        target: str,
        cache: NodeCache,
    ) -> None:
        bring_piece(folder, what, target, cache, spec.dialect, exact=False, header=False)

    @override
    def read(self, piece: Piece, file: PieceFile, columns: Sequence[str], ids: bool) -> Rows:
        import pyarrow as pa

        raw = self._bytes.read(piece, file, header=False)
        data = self._text(raw)
        kept: list[Line] | None = None
        quick = None
        with suppress(CoercionError, pa.ArrowInvalid):
            quick = self._quick(data, columns)
        if quick is not None:
            rows, found = quick
        else:
            kept, rows, found = self._slow(raw, data, columns)
        self._warnings.changed(found, self._types)
        table = assembled(columns, self._types, found, rows)
        return Rows(table, self._ids(raw, kept) if ids else None)

    def _ids(self, raw: RawPiece, kept: list[Line] | None) -> Any:
        import numpy as np

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

    def _quick(self, data: bytes, columns: Sequence[str]) -> tuple[int, dict[str, Fitted]] | None:
        """Read all lines at once by pyarrow.json; None: that can't be trusted."""
        import pyarrow as pa

        every = len(columns) == len(self._types)
        try:
            table = self._parse(data, columns, self._unknown if every else "ignore")
        except pa.ArrowInvalid as error:
            if not _of_unknown_key(error):
                raise
            self._name_unknown(data)
            self._unknown = "ignore"
            table = self._parse(data, columns, "ignore")
        lines = data.count(b"\n") + (not data.endswith(b"\n"))
        if table.num_rows != lines and table.num_rows != count_lines(data):
            return None  # objects that share a line, or go over several
        found = {name: finish(table.column(name), self._types[name]) for name in columns}
        return None if self._refused(found.values()) else (table.num_rows, found)

    def _parse(self, data: bytes, columns: Sequence[str], unknown: str) -> pa.Table:
        import pyarrow as pa
        from pyarrow import json

        schema = pa.schema([(name, parsed_as(self._types[name])) for name in columns])
        if not data or data.isspace():
            return schema.empty_table()
        table = json.read_json(
            pa.BufferReader(data),
            json.ReadOptions(use_threads=False, block_size=min(len(data) + 1, 1 << 30)),
            json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unknown),
        )
        if not table.schema.equals(schema):
            raise pa.ArrowInvalid("nested values are of other types than the schema's")
        return table

    def _name_unknown(self, data: bytes) -> None:
        """Say which keys the schema lacks, by the lines of this piece."""
        names: dict[str, None] = {}
        for line in lines_of(data):
            try:
                found = parse_line(line.data)
            except ValueError:
                continue
            names.update(dict.fromkeys(self._unknown_in(found)))
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
    ) -> tuple[list[Line], int, dict[str, Fitted]]:
        """Read line by line; say what can't be read and where."""
        kept, objects = self._objects(raw, data)
        if len(columns) == len(self._types):
            unknown = (name for found in objects for name in self._unknown_in(found))
            self._say_unknown(list(dict.fromkeys(unknown)))
        found = {}
        for name in columns:
            values = [line.get(name) for line in objects]
            try:
                fitted = self._column(values, self._types[name])
                if fitted.change and self._strict:
                    row = first_change(text_column(values), fitted.change)
                    raise fitted.change.error(row, as_text(values[row]) or "null")
            except CoercionError as error:
                where = self._line(raw, data, kept[error.row])
                text = coercion_text(where, name, self._types[name], error)
                raise TableError(text, len(kept)) from None
            found[name] = fitted
        return kept, len(objects), found

    def _column(self, values: Sequence[Any], kind: str) -> Fitted:
        if kind.startswith("arrow:"):
            return Fitted(typed_column(values, arrow_type(kind)))
        # An empty text is a value in JSON: what is missing is null, or not there.
        return convert(text_column(values), kind, empty_as_string=True)

    def _objects(self, raw: RawPiece, data: bytes) -> tuple[list[Line], list[JsonObject]]:
        """Parse the lines; those that are no objects are an error, or dropped."""
        kept: list[Line] = []
        objects: list[JsonObject] = []
        dropped: list[str] = []
        for line in lines_of(data):
            try:
                objects.append(parse_line(line.data))
            except ValueError as error:
                where = self._line(raw, data, line)
                if not self._drops:
                    shown = cut(line.data.decode().strip())
                    raise TableError(
                        f"{where}: the line is no JSON object: {error}: {shown!r}. Mend it, or "
                        "leave such lines out with invalid_lines='drop'.",
                        count_lines(data),
                    ) from None
                dropped.append(where)
            else:
                kept.append(line)
        if dropped:
            self._warnings.add(
                dropped[0],
                f"invalid_lines='drop': {len(dropped)} lines that are no JSON objects were left "
                f"out, the first at {dropped[0]}.",
            )
        return kept, objects

    def _line(self, raw: RawPiece, data: bytes, line: Line) -> str:
        if data is raw.data:
            return raw.at(line.offset)
        return raw.at(len(data[: line.offset].decode().encode(self._dialect.codec)))


def _of_unknown_key(error: pa.ArrowInvalid) -> bool:
    """Return whether pyarrow.json met a key that the schema lacks: only its words tell."""
    return "unexpected field" in str(error)
