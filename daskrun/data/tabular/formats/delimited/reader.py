"""Reading pieces of delimited files: pyarrow.csv at its own speed, and names for what won't fit."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.core.warned import FIRST_MET
from daskrun.data.libraries import np, pa, pc
from daskrun.data.tabular.formats.contract import Piece, PieceFile, Rows
from daskrun.data.tabular.formats.delimited import spec as delimited
from daskrun.data.tabular.formats.delimited.odd_numbers import has_odd_numbers
from daskrun.data.tabular.formats.delimited.odd_quotes import KINDS, odd_quotes, records_in_doubt
from daskrun.data.tabular.formats.text import scan
from daskrun.data.tabular.formats.text.dialect import BACKSLASH, Missing, header_names, parse
from daskrun.data.tabular.formats.text.text_reader import RawPiece, TextReader
from daskrun.data.tabular.values.coercion import CoercionError, Reason, cut
from daskrun.data.tabular.values.fitting import (
    NULL,
    TEXT,
    has_negative,
    may_be_rounded,
    may_be_whole,
    parsed_as,
)
from daskrun.data.tabular.values.infer import codes_in
from daskrun.data.tabular.values.kinds import WRITTEN
from daskrun.data.tabular.values.types import shown_type
from daskrun.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from daskrun.data.tabular.formats.node_cache import NodeCache


_ESCAPED_BREAK = re.compile(rb"(?<!\\)(?:\\\\)*\\[\r\n]")
_WHOLE = ("int", "int_as_float")
_NUMBERS = (*_WHOLE, "float")
_LOOKED = 64 << 20
"""Bytes in which the quote is looked for that is never closed."""


class DelimitedReader(TextReader):
    """Reads pieces of delimited files."""

    reads = WRITTEN

    def __init__(
        self, spec: delimited.DelimitedSpec, secrets: Mapping[str, Any], cache: NodeCache
    ) -> None:
        super().__init__(spec, secrets, cache)
        self._spec = spec
        self._written = spec.values
        self._words = False
        self._odd_quotes = set[str]()
        self._parsings: dict[tuple[str, ...], tuple[dict[str, pa.DataType], bool]] = {}

    @override
    def read(self, piece: Piece, file: PieceFile, columns: Sequence[str], ids: bool) -> Rows:
        header = self._spec.has_header(piece.name)
        raw = self._raw(piece, file, header=header)
        if b'"' in raw.data or self._dialect.quoting == BACKSLASH:
            self._check_quotes(raw)
        names = self._names(raw)
        table = self._table(raw, names, columns)
        return Rows(table, self._ids(raw, table.num_rows) if ids else None)

    def _ids(self, raw: RawPiece, rows: int) -> Any:
        starts = self._starts(raw)
        if len(starts) != rows:
            raise TableError(
                f"{raw.shown}: {rows} rows were read where {len(starts)} records begin, so no "
                "sample can be drawn of them. Leave out take_sample and random_split.",
                rows,
            )
        return (starts + raw.offset).astype("uint64")

    def _starts(self, raw: RawPiece) -> Any:
        return scan.record_starts(raw.data, self._dialect.grammar)

    def _where(self, raw: RawPiece, row: int) -> str:
        return raw.at(int(self._starts(raw)[row]))

    def _trouble(self, raw: RawPiece, text: str, **more: Any) -> TableError:
        return TableError(text, len(self._starts(raw)), lasting=True, **more)

    @override
    def trouble(self, piece: Piece, file: PieceFile) -> str:
        """Name the line where the quote opens that is never closed, if that is the trouble."""
        if file.brought:
            return piece.trouble  # and nothing was: only its byte is known
        stop = piece.stop and min(piece.stop, piece.start + _LOOKED)
        try:
            raw = self._raw(piece._replace(stop=stop), file, header=False)
        except TableError:
            return piece.trouble
        at = scan.unclosed_quote(raw.data, self._dialect.grammar)
        return f"{raw.at(at)}: {piece.trouble}" if at >= 0 else piece.trouble

    def _check_quotes(self, raw: RawPiece) -> None:
        """Find what would make wrong rows without a word: pyarrow takes both as they come."""
        separator = self._dialect.grammar
        if not self._spec.multi_line:
            at, escaped = scan.quoted_line_break(raw.data, separator), None
            if self._dialect.quoting == BACKSLASH:
                escaped = _ESCAPED_BREAK.search(raw.data)
            if at >= 0 or escaped:
                at = escaped.start() if escaped else at
                raise self._trouble(
                    raw,
                    f"{raw.at(at)}: a {'' if escaped else 'quoted '}field has a line break in it, "
                    "which support_multi_line=False says there is none of: rows may have been cut "
                    "in two. Write support_multi_line=True, or leave it out.",
                    ends_run=True,
                )
        self._tell_odd_quotes(raw)
        if raw.last and (at := scan.unclosed_quote(raw.data, separator)) >= 0:
            raise self._trouble(raw, f"{raw.at(at)}: {scan.UNCLOSED}")

    def _tell_odd_quotes(self, raw: RawPiece) -> None:
        """Warn of quotes such as no sample had, of each kind once."""
        if len(self._odd_quotes) == KINDS:
            return
        for at, record in records_in_doubt(raw.data, self._dialect):
            for odd in odd_quotes(record, self._dialect):
                if odd.what not in self._odd_quotes and not odd.is_told(self._spec.warnings):
                    text = f"{odd.what}, {odd.how}{FIRST_MET}{raw.at(at)}."
                    self._warnings.add(("quote", odd.what), text)
                self._odd_quotes.add(odd.what)

    def _names(self, raw: RawPiece) -> tuple[str, ...]:
        mode, known = self._spec.header, self._spec.names
        if mode not in (delimited.SAME, delimited.COMBINE):
            return known
        if not raw.header:
            return known  # an empty file
        try:
            header = self._dialect.utf8(raw.header).rstrip(b"\r\n")
            names = header_names(header, self._dialect.separator)
        except UnicodeDecodeError:
            raise self._trouble(raw, self._not_encoded(f"{raw.shown}, line 1")) from None
        if set(names) == set(known) or not raw.data:
            return names
        wrong = delimited.header_trouble(
            names, known if mode == delimited.SAME else self._types, same=mode == delimited.SAME
        )
        if not wrong:
            return names
        fix = "The file was changed since the run began. Start the run again."
        raise self._trouble(
            raw, f"{raw.shown}: {wrong}. {delimited.SAME_FIX if mode == delimited.SAME else fix}"
        )

    def _table(self, raw: RawPiece, names: Sequence[str], columns: Sequence[str]) -> pa.Table:
        given = set(names)
        there = [name for name in columns if name in given]
        if self._spec.trailing:
            names = (*names, delimited.UNNAMED)
        with suppress(TableError, pa.ArrowInvalid, UnicodeDecodeError):
            data = self._dialect.utf8(raw.data)
            table = self._quick(data, names, there)
            again = self._rounded(data, table)
            if not again and (done := self._fitter.as_found(table, columns)) is not None:
                return done
            found = dict(zip(table.column_names, table.columns, strict=True))
            if again:  # what is written tells what pyarrow does not
                types = dict.fromkeys(again, pa.string())
                text = parse(data, self._dialect.separator, names, types)
                found |= zip(text.column_names, text.columns, strict=True)
            return self._fitted(raw, columns, table.num_rows, found)
        return self._fitted(raw, columns, *self._as_text(raw, names, there), written=True)

    def _fitted(
        self,
        raw: RawPiece,
        columns: Sequence[str],
        rows: int,
        found: dict[str, pa.ChunkedArray],
        *,
        written: bool = False,
    ) -> pa.Table:
        where = partial(self._where, raw)
        for name, column in found.items():
            inferred = name not in self._spec.declared
            if inferred and self._types[name] in _NUMBERS and column.type == pa.string():
                self._warn_of_codes(name, column, where)
        return self._fitter.table(columns, found, rows, where, written=written)

    def _warn_of_codes(
        self, name: str, column: pa.ChunkedArray, where: Callable[[int], str]
    ) -> None:
        codes = codes_in(column)
        if not len(codes):
            return
        shown = codes[0].as_py()
        row = pc.index(column, codes[0]).as_py()
        self._warnings.add(
            (name, "codes"),
            f"column {name!r} has zeros or a plus before digits, as in {cut(shown)!r}, where the "
            "sample its type is from had none: they are lost, as it is read as numbers. Write "
            f"set_column_types={{{name!r}: DataType.to_string()}} to keep them, or "
            f"{shown_type(self._types[name])} if this is meant.{FIRST_MET}{where(row)}.",
        )

    def _quick(self, data: bytes, names: Sequence[str], columns: Sequence[str]) -> pa.Table:
        """Parse and convert in one go, as almost every piece can be; ArrowInvalid: this can't."""
        if self._spec.trailing or not self._written.usual:
            raise pa.ArrowInvalid("values are not written as pyarrow reads them")
        types, words = self._parsing(tuple(columns))
        return self._parse(data, names, types, words)

    def _parsing(self, columns: tuple[str, ...]) -> tuple[dict[str, pa.DataType], bool]:
        """Return what types pyarrow shall make, and whether only words are truth values: made once.

        Inferred ones take no digits; those of others are read by the law.
        """
        if columns not in self._parsings:
            types = {name: parsed_as(self._types[name]) for name in columns}
            truths = [name for name in columns if self._types[name] in ("bool", "boolean")]
            declared = [name for name in truths if name in self._spec.declared]
            words = len(declared) < len(truths)
            types |= dict.fromkeys(declared, pa.string()) if words else {}
            self._parsings[columns] = types, words
        return self._parsings[columns]

    def _rounded(self, data: bytes, table: pa.Table) -> list[str]:
        """Return the columns of which pyarrow may have made other numbers than are written."""
        found = dict(zip(table.column_names, table.columns, strict=True))
        whole = [name for name, column in found.items() if may_be_whole(column)]
        again = {name for name in whole if may_be_rounded(found[name])}
        declared = self._spec.declared
        told = ((name, _WHOLE if name in declared else _NUMBERS) for name in whole)
        numbers = [name for name, kinds in told if self._types[name] in kinds]
        minus = b"-" in data and any(has_negative(found[name]) for name in numbers)
        if numbers and has_odd_numbers(data, self._dialect.separator.encode(), minus):
            again.update(numbers)
        return list(again)

    def _parse(
        self, data: bytes, names: Sequence[str], types: dict[str, pa.DataType], words: bool
    ) -> pa.Table:
        """Parse data; where words such as ``NA`` were met, with those from then on.

        Which of the two it is can't be seen in the values: a float column's ``nan`` is one anyway.
        """
        separator, as_string = self._dialect.separator, self._spec.empty_as_string
        if not self._words:
            missing = Missing.EMPTY_NOT_TEXT if as_string else Missing.EMPTY
            with suppress(pa.ArrowInvalid):
                return parse(data, separator, names, types, missing=missing, words=words)
        table = parse(data, separator, names, types, words=words)
        self._words = True  # only for what has such words: others can't be parsed either way
        for name in types:
            if not as_string and self._types[name] == "text":
                position = table.schema.get_field_index(name)
                column = without_empty(table.column(position))
                table = table.set_column(position, name, column)
        return table

    def _as_text(
        self, raw: RawPiece, names: Sequence[str], columns: Sequence[str]
    ) -> tuple[int, dict[str, pa.ChunkedArray]]:
        """Parse as text, of which the law can say what does not fit and where."""
        try:
            text = self._dialect.decoded(raw.data)
            text.decode()
        except UnicodeDecodeError as error:
            raise self._trouble(raw, self._not_encoded(raw.at(error.start))) from None
        ragged: list[Any] = []
        types = dict.fromkeys([*columns, *names[len(names) - self._spec.trailing :]], pa.string())
        try:
            text = self._dialect.usual(text)
        except TableError as error:
            raise self._trouble(raw, f"{raw.at(0)}: {error}") from None

        def skip(row: Any) -> str:
            ragged[:] = ragged or [row]
            return "skip"

        table = parse(text, self._dialect.separator, names, types, skip)
        if ragged:
            row = ragged[0]
            start, *behind = self._starts(raw)[row.number - 1 :][:2].tolist()
            record = raw.data[start : behind[0] if behind else None].decode(self._dialect.codec)
            raise self._trouble(
                raw,
                f"{raw.at(start)}: {row.actual_columns} fields were found, {row.expected_columns} "
                f"expected: {cut(record.rstrip())!r}. A field that has "
                f"{self._dialect.separator!r} in it must be in quotes.",
            )
        if self._spec.trailing:
            self._check_unnamed(raw, table)
        found = {name: self._written.without_words(table.column(name)) for name in columns}
        if self._written.decimal != "." or self._written.thousands:
            numbers = [name for name in columns if self._types[name] in _NUMBERS]
            found.update({name: self._as_numbers(raw, name, found[name]) for name in numbers})
        if not self._spec.empty_as_string:
            texts = (name for name in columns if self._types[name] == "text")
            found.update({name: without_empty(found[name]) for name in texts})
        return table.num_rows, found

    def _as_numbers(self, raw: RawPiece, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return numbers as they are written elsewhere; what is no number so written is told."""
        numbers = self._written.is_number(pc.fill_null(column, ""))
        wrong = pc.index(numbers, pa.scalar(False)).as_py()
        choice = self._fitter.choice_of(name)
        if wrong < 0 or choice == TEXT:
            return column if wrong >= 0 else self._written.numbers(column)
        where = partial(self._where, raw)
        value = column[wrong].as_py()
        if choice == NULL:
            self._fitter.chosen(name, value, where, wrong)
            kept = pc.if_else(numbers, column, pa.scalar(None, pa.string()))
            return self._written.numbers(kept)
        with self._fitter.told(name, where, len(column)):
            why = f"is no number with {self._written.shown}"
            raise CoercionError(wrong, value, Reason.OTHER_TYPE, why)

    def _check_unnamed(self, raw: RawPiece, table: pa.Table) -> None:
        lengths = pc.utf8_length(table.column(delimited.UNNAMED))
        if not pc.max(lengths).as_py():
            return
        row = pc.index(pc.greater(lengths, 0), True).as_py()
        value = table.column(delimited.UNNAMED)[row].as_py()
        raise self._trouble(
            raw,
            f"{self._where(raw, row)}: {cut(value)!r} is behind the last column's "
            "separator, where no row of the sample has anything. Give it a name in the header.",
        )


def without_empty(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Make the empty texts of a column missing; no text is copied."""
    chunks = []
    for chunk in column.chunks:
        _, offsets, data = chunk.buffers()
        ends = np.frombuffer(offsets, np.int32, len(chunk) + 1, chunk.offset * 4)
        there = ends[1:] != ends[:-1]
        if not there.all():
            valid = pa.py_buffer(np.packbits(there, bitorder="little"))
            plain = pa.py_buffer(np.ascontiguousarray(ends))
            chunk = pa.Array.from_buffers(pa.string(), len(chunk), [valid, plain, data])
        chunks.append(chunk)
    return pa.chunked_array(chunks, pa.string())
