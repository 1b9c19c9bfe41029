"""The columns of delimited files, and what a sample of their rows holds, before a run."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from daskrun.data.libraries import np, pa
from daskrun.data.tabular.formats.delimited import spec as delimited
from daskrun.data.tabular.formats.delimited.odd_quotes import OddQuote, odd_quotes
from daskrun.data.tabular.formats.text import lines, sample, scan
from daskrun.data.tabular.formats.text.dialect import (
    ENCODING_MARKS,
    Dialect,
    header_names,
    numbered_names,
    parse,
)
from daskrun.data.tabular.formats.text.grammar import Grammar, blank_tail, may_have_blank_lines
from daskrun.data.tabular.formats.text.source import MemoryBytes
from daskrun.data.tabular.formats.text.text_reader import FIX_ENCODING
from daskrun.data.tabular.values.coercion import cut
from daskrun.errors import DatasetError, TableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from daskrun.data.paths import FileRow, PathTable

_LOOKED = 64 << 10
"""Bytes that a first record is looked for in, else in all."""


class Head(NamedTuple):
    """The start of a file."""

    name: str
    header: bytes
    """Its first record, UTF-8, without line end; ``b""`` where the file has none."""
    data: bytes
    """Whole records behind it, of the file's encoding."""
    other: bytes = b""
    """What are the records of one from inside a file if it begins in a quoted field, and nothing
    but what they look like tells which of the two it is."""
    unclosed: int = 0
    """Line of a quote that is not closed before the end of the file."""


class DelimitedSample:
    """Looks at the files of a dataset."""

    def __init__(
        self, files: sample.SampleFiles, dialect: Dialect, header: str, table: PathTable
    ) -> None:
        self._files = files
        self.shown = files.shown
        self._dialect = dialect
        self._header = header
        self._table = table
        self.trailing = False
        """Whether rows end with one separator more than the header, as :meth:`heads` found."""

    def has_header(self, name: str) -> bool:
        """Return whether a file's first record is a header."""
        return delimited.has_header(self._header, name, self._table[0])

    def heads(self) -> list[Head]:
        """Read the first files until there are rows enough; only those that have something in them.

        DatasetError: none can be read, or with ``ONLY_FIRST_FILE_HAS_HEADERS`` not the first.
        """

        def read(name: str, size: int) -> Head | None:
            head = self.head(name, size)
            return head if head.header or head.data else None

        least = self._table[0] if self._header == delimited.FIRST and len(self._table) else ""
        found = self._files.first(read, lambda head: len(self._starts(head.data)), least)
        if not self.blanks and any(map(self._has_blank_lines, found)):
            self._dialect = replace(self._dialect, blanks=True)
            return self.heads()
        self.trailing = False
        self.trailing = bool(found) and all(map(self._has_trailing, found))
        return found

    @property
    def blanks(self) -> bool:
        """Whether lines of blanks alone are between records, as far as that was seen."""
        return self._dialect.blanks

    def hints(self, heads: Sequence[Head]) -> list[str]:
        """Return what the first rows say of how the files are written."""
        told = [*map(str, self.odd_quotes(heads))]
        if self.trailing:
            told.append("each row ends with one separator more than the header: it is left out.")
        return told

    def odd_quotes(self, heads: Sequence[Head]) -> list[OddQuote]:
        """Return what these rows say of how quotes are written."""
        known = (head.data for head in heads if not head.other)
        data = b"".join(each.decode(self._dialect.codec, "replace").encode() for each in known)
        return odd_quotes(data, self._dialect)

    def _has_blank_lines(self, head: Head) -> bool:
        if not may_have_blank_lines(head.data):
            return False
        blanks = Grammar(lines.separator_of(self._dialect.grammar), blanks=True)
        return len(scan.records_only(head.data, blanks)) < len(head.data)

    def _has_trailing(self, head: Head) -> bool:
        """Return whether all records have one field more than the header, and nothing in it."""
        if not head.header:
            return False
        names = self.header_of(head)
        if self._width(head.data) != len(names) + 1:
            return False
        ragged, table = self._parsed(head.data, [*names, delimited.UNNAMED])
        return (
            not ragged and table.num_rows > 0 and set(table[delimited.UNNAMED].to_pylist()) == {""}
        )

    def head(self, name: str, size: int, nbytes: int = sample.HEAD) -> Head:
        """Read the start of a file, at least to the end of its first row where it has one."""
        while True:
            data = self._files.start(name, nbytes, size)
            whole = len(data) < nbytes
            if whole:
                data = data[: blank_tail(data, lines.separator_of(self._dialect.grammar))]
            source = MemoryBytes(data, self._files.shown(name))
            header, at = b"", lines.first_line(source, self._dialect.grammar)
            if self.has_header(name):
                header, at = lines.read_header(source, self._dialect.grammar)
            starts = self._starts(data[at:])
            if whole or len(starts) > 1 or nbytes >= sample.MOST:
                break
            nbytes *= 8
        rows = data[at:] if whole or not starts[1:].size else data[at : at + int(starts[-1])]
        unclosed, last = 0, rows if whole or not starts[1:].size else b""
        if (quote := scan.unclosed_quote(last, self._dialect.grammar)) >= 0:
            unclosed = lines.line_number(source, at + quote) if whole else 0
            rows += b'"'  # what is behind it is one value
        return Head(name, self._header_utf8(name, header), rows, unclosed=unclosed)

    def check(self) -> None:
        """Check the first rows of the files, and their headers where these must be the same."""
        heads = self.heads()
        for head in heads:
            self._check_rows(head)
        if self._header != delimited.SAME or not heads:
            return
        known = self.header_of(heads[0])

        def one(row: FileRow) -> tuple[str, ...]:
            with suppress(DatasetError):  # a file that can't be read costs its own mini-batches
                return self._header_in(row)
            return ()

        for name, names in zip(self._table, sample.at_once(one, self._table.rows()), strict=True):
            if names and (wrong := delimited.header_trouble(names, known, same=True)):
                raise DatasetError(f"{self.shown(name)}: {wrong}. {delimited.SAME_FIX}")

    def _check_rows(self, head: Head) -> None:
        """Check that a file's first rows have as many fields as its header or first row."""
        behind = self._starts(head.data)[sample.ROWS :]
        data = head.data[: int(behind[0])] if behind.size else head.data
        if head.unclosed and not behind.size:
            raise DatasetError(
                f"{self.shown(head.name)}, line {head.unclosed}: {scan.UNCLOSED} With "
                "validate=False only the mini-batch that holds it fails."
            )
        width = len(self.header_of(head))
        ragged, _ = self._parsed(data, numbered_names(width))
        if ragged:
            fields, text = ragged[0]
            raise DatasetError(
                f"{self.shown(head.name)} has {width} columns by its first record, and then a "
                f"record with {fields}: {cut(text)!r}. Are separator={self._dialect.separator!r} "
                "and header= right? "
                + "".join(f"Also, {hint} " for hint in self.hints([head]))
                + "With validate=False only the mini-batches that hold such records fail."
            )
        try:
            data.decode(self._dialect.codec)
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"{self.shown(head.name)}: {data[error.start : error.start + 1]!r} in its "
                f"first rows is not {self._dialect.encoding}. {_fix_encoding(data)}"
            ) from None

    def _header_utf8(self, name: str, header: bytes) -> bytes:
        try:
            plain = header.decode(self._dialect.codec).encode()
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"{self.shown(name)}: byte {error.start} of the header is not "
                f"{self._dialect.encoding}. {_fix_encoding(header)}"
            ) from None
        return self._dialect.usual(plain).rstrip(b"\r\n")

    def headers(self) -> list[tuple[str, ...]]:
        """Read the names in the headers of all files."""
        return sample.at_once(self._header_in, self._table.rows())

    def _header_in(self, row: FileRow) -> tuple[str, ...]:
        return self.header_of(self.head(row[0], row[1], sample.SAMPLE_BYTES))

    def header_of(self, head: Head) -> tuple[str, ...]:
        """Return the names in a file's header; ``Column1`` … where it has data instead."""
        try:
            if self.has_header(head.name):
                return header_names(head.header, self._dialect.separator)
            return tuple(numbered_names(self._width(head.data)))
        except TableError as error:
            raise DatasetError(f"{self.shown(head.name)}: {error}") from None

    def _width(self, data: bytes) -> int:
        second = self._starts(data[:_LOOKED])[1:2]
        first = data[: int(second[0])] if len(second) else data
        return len(header_names(self._utf8(first).strip(b"\r\n"), self._dialect.separator))

    def spread(
        self, heads: Sequence[Head], count: int = sample.SAMPLES, until: float = math.inf
    ) -> list[Head]:
        """Read small samples from all over the files but these heads.

        One that can't be read is left out, and so is one of which nothing tells where a record
        begins: a piece of a text that has line breaks in it, or no such piece.
        """
        breaks = (scan.quoted_line_break(head.data, self._dialect.grammar) for head in heads)
        multi_line, begun = any(at >= 0 for at in breaks), {head.name for head in heads}

        def one(place: sample.Place) -> Head | None:
            name, offset, size = place
            if time.monotonic() > until or (not offset and name in begun):
                return None
            with suppress(DatasetError):  # its mini-batches will say so, and others can be read
                if not offset:
                    return self.head(name, size, sample.SAMPLE_BYTES)
                begins = self.has_header(name)
                header = self.head(name, size, sample.SAMPLE_BYTES).header if begins else b""
                data = self._files.lines(name, offset, size)
                return self._inside(name, header, data, multi_line)
            return None

        return [head for head in sample.at_once(one, self._files.spread(count)) if head is not None]

    def columns(self, head: Head, names: Sequence[str]) -> dict[str, pa.ChunkedArray] | None:
        """Return the text of a head's columns; rows with other numbers of fields are left out.

        None: so many have that it is no sample of these columns.
        """
        ragged, table = self._parsed(head.data, names)
        if head.other:
            found = [(ragged, table), self._parsed(head.other, names)]
            good = [each for left_out, each in found if each.num_rows and not left_out]
            if len(good) != 1:
                return None
            ragged, table = [], good[0]
        if len(ragged) > table.num_rows:
            return None
        return dict(zip(table.column_names, table.columns, strict=True))

    def _parsed(self, data: bytes, names: Sequence[str]) -> tuple[list[tuple[int, str]], pa.Table]:
        """Parse as text; records with other numbers of fields are left out and told."""
        ragged: list[tuple[int, str]] = []

        def skip(row: Any) -> str:
            ragged.append((row.actual_columns, row.text))
            return "skip"

        types = dict.fromkeys(names, pa.string())
        fields = [*names, delimited.UNNAMED] if self.trailing else list(names)
        table = parse(self._utf8(data), self._dialect.separator, fields, types, skip)
        return ragged, table

    def _inside(self, name: str, header: bytes, data: bytes, multi_line: bool) -> Head | None:
        """Keep the records of lines that may begin in a quoted field.

        Read as if they did, and as if not: from where a record begins either way it is known.
        """
        if b'"' not in data:
            return None if multi_line else Head(name, header, data)
        outside = self._starts(data)
        inside = scan.record_starts(data, self._dialect.grammar, inside=True)
        both = np.intersect1d(outside, inside, assume_unique=True)
        # The last record may go on behind the sample.
        if both.size:
            return Head(name, header, data[int(both[0]) : int(both[-1])])
        if min(outside.size, inside.size) < 2:
            return None
        one, other = (data[int(at[0]) : int(at[-1])] for at in (outside, inside))
        return Head(name, header, one, other)

    def _starts(self, data: bytes) -> NDArray[np.int64]:
        return scan.record_starts(data, self._dialect.grammar)

    def _utf8(self, data: bytes) -> bytes:
        # A sample may be wrong in a byte or two: reading the rows themselves says so.
        return self._dialect.usual(data.decode(self._dialect.codec, "replace").encode())


def _fix_encoding(data: bytes) -> str:
    """Return what to write for a file that begins with these bytes, which are not as was said."""
    if data.startswith(b"PAR1"):
        return "It is a Parquet file: use from_parquet_files()."
    for mark, encoding in ENCODING_MARKS:
        if data.startswith(mark):
            return f"It begins as files in {encoding} do: write encoding={encoding!r}."
    return FIX_ENCODING
