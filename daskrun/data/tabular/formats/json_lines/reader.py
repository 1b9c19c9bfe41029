"""Reading pieces of JSON-lines files: pyarrow.json where it can be trusted, else line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.data.tabular.formats.contract import Rows
from daskrun.data.tabular.formats.json_lines.values import (
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
from daskrun.data.tabular.formats.text.dialect import Dialect
from daskrun.data.tabular.formats.text.text_reader import TextReader
from daskrun.data.tabular.values.convert import Misfit, convert, first_change
from daskrun.data.tabular.values.fitting import (
    Fitted,
    Unfit,
    assembled,
    cut,
    finish,
    listed,
    misfit_text,
    parsed_as,
    strict_misfit,
)
from daskrun.data.tabular.values.types import arrow_type
from daskrun.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from daskrun.data.remote_files import RemoteFolder
    from daskrun.data.tabular.formats.contract import Piece, PieceFile
    from daskrun.data.tabular.formats.node_cache import NodeCache
    from daskrun.data.tabular.formats.text.byte_reader import RawPiece


def dialect_of(reader: dict[str, Any]) -> Dialect:
    """Return the dialect in which every line break ends a record.

    Without a separator, a quote means nothing.
    """
    return Dialect("", reader["encoding"])


def make_reader(
    reader: dict[str, Any], secrets: dict[str, Any], cache: NodeCache
) -> JsonLinesReader:
    """Make the reader of an input; local files and what was brought need no secrets."""
    del secrets
    return JsonLinesReader(reader, cache)


def bring(
    folder: RemoteFolder,
    reader: dict[str, Any],
    what: Piece | tuple[Any, ...],
    target: str,
    cache: NodeCache,
) -> None:
    """Write the bytes of a piece or survey to a local file."""
    bring_piece(folder, what, target, cache, dialect_of(reader), exact=False, header=False)


class JsonLinesReader(TextReader):
    """Reads pieces of JSON-lines files; see :class:`daskrun.data.tabular.formats.contract.Reader`.

    Parameters
    ----------
    reader
        What ``JsonLinesSource.describe`` gave.
    cache
        Of this node.
    """

    def __init__(self, reader: dict[str, Any], cache: NodeCache) -> None:
        super().__init__(reader, dialect_of(reader), cache, exact=False)
        self._unknown = "error"
        """What pyarrow.json does with keys the schema lacks; ``ignore`` once they were named."""

    def read(self, piece: Piece, file: PieceFile, columns: list[str], ids: bool) -> Rows:
        """Read the rows of a piece."""
        import pyarrow as pa

        raw = self._bytes.read(piece, file, header=False)
        data = self._text(raw)
        kept: list[Line] | None = None
        try:
            rows, found = self._quick(data, columns)
        except (Unfit, Misfit, pa.ArrowInvalid):
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
            raise TableError(
                f"{raw.at(error.start)}: the bytes are not {self._reader['encoding']}. Write the "
                "encoding the file has, such as encoding='latin1' or encoding='windows1252'.",
                count_lines(raw.data),
            ) from None
        return data

    def _quick(self, data: bytes, columns: Sequence[str]) -> tuple[int, dict[str, Fitted]]:
        """Have pyarrow.json read all lines at once."""
        import pyarrow as pa

        every = len(columns) == len(self._types)
        try:
            table = self._parse(data, columns, self._unknown if every else "ignore")
        except pa.ArrowInvalid as error:
            if "unexpected field" not in str(error):
                raise
            self._name_unknown(data)
            self._unknown = "ignore"
            table = self._parse(data, columns, "ignore")
        lines = data.count(b"\n") + (not data.endswith(b"\n"))
        if table.num_rows != lines and table.num_rows != count_lines(data):
            raise Unfit  # objects that share a line, or go over several
        found = {name: finish(table.column(name), self._types[name]) for name in columns}
        if self._reader["strict_types"] and any(change for _, change in found.values()):
            raise Unfit
        return table.num_rows, found

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
            raise Unfit
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

    def _unknown_in(self, found: dict[str, Any]) -> list[str]:
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
                if fitted.change and self._reader["strict_types"]:
                    row = first_change(text_column(values), fitted.change)
                    shown = as_text(values[row]) or "null"
                    raise strict_misfit(row, shown, fitted.change)
            except Misfit as misfit:
                where = self._line(raw, data, kept[misfit.row])
                text = misfit_text(where, name, self._types[name], misfit)
                raise TableError(text, len(kept)) from None
            found[name] = fitted
        return kept, len(objects), found

    def _column(self, values: Sequence[Any], kind: str) -> Fitted:
        if kind.startswith("arrow:"):
            return Fitted(typed_column(values, arrow_type(kind)), "")
        # An empty text is a value in JSON: what is missing is null, or not there.
        return Fitted(*convert(text_column(values), kind, empty_as_string=True))

    def _objects(self, raw: RawPiece, data: bytes) -> tuple[list[Line], list[dict[str, Any]]]:
        """Parse the lines; those that are no objects are an error, or dropped."""
        kept: list[Line] = []
        objects: list[dict[str, Any]] = []
        dropped: list[str] = []
        for line in lines_of(data):
            try:
                objects.append(parse_line(line.data))
            except ValueError as error:
                where = self._line(raw, data, line)
                if self._reader["invalid_lines"] == "error":
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
