"""How delimited text is written, and pyarrow.csv told so: separators, encodings, headers.

pyarrow.csv takes one ASCII character as separator and UTF-8 as encoding. Other separators are
replaced by a control character that the data doesn't have; other encodings are UTF-8 before.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from daskrun.data.libraries import arrow_csv, pa, pc
from daskrun.data.tabular.formats.text.grammar import Grammar, Separator
from daskrun.data.tabular.formats.text.scan import record_starts, records_only
from daskrun.data.tabular.values.convert import FALSE, TRUE
from daskrun.errors import DatasetError, TableError

ENCODINGS = {
    "utf8": "utf-8",
    "utf8bom": "utf-8",
    "ascii": "ascii",
    "latin1": "latin-1",
    "windows1252": "cp1252",
    "utf16": "utf-16",
    "utf32": "utf-32",
}
"""Names of the public API, and Python's codec of each."""

ENCODING_MARKS = (
    (codecs.BOM_UTF32_LE, "utf32"),  # first: it begins with that of utf16
    (codecs.BOM_UTF32_BE, "utf32"),
    (codecs.BOM_UTF16_LE, "utf16"),
    (codecs.BOM_UTF16_BE, "utf16"),
)
"""What files in these encodings may begin with."""

_OTHER_NAMES = {
    "utf8sig": "utf8bom",
    "utf8withbom": "utf8bom",
    "iso88591": "latin1",
    "l1": "latin1",
    "usascii": "ascii",
    "cp1252": "windows1252",
}

# pyarrow takes block sizes up to 2 GiB; a larger piece is parsed in several.
_MOST = 1 << 30

MOST_COLUMNS = 100_000
"""Of a table of text: each costs half a millisecond. More are most often rows that were not cut."""
_STAND_INS = (31, 30, 29, 28, *range(1, 9), *range(14, 28))


DOUBLE, BACKSLASH = "double", "backslash"


class Missing(Enum):
    """Which fields a parser makes missing values of; all others it must be able to convert."""

    EMPTY = "empty"
    """Empty ones in every column. A value is looked up in no list, which is a tenth of the time."""
    EMPTY_NOT_TEXT = "empty, not text"
    """Empty ones, which in text columns are ``""``."""
    WORDS = "words"
    """Also ``NA``, ``null`` and the like (:data:`~.convert.NULLS`); in text columns none."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the files of a dataset are written."""

    separator: str
    encoding: str
    """A key of :data:`ENCODINGS`."""
    max_unpacked: int | None = None
    """Bytes that a compressed file may hold; None: what is usual for its size."""
    quoting: str = DOUBLE
    """How a quote is written in a quoted field: twice, or with a backslash before it."""
    skip_initial_space: bool = False
    comment: str = ""
    """What lines begin with that are no records."""
    skip_rows: int = 0
    """Lines at each file's start that are none of the table."""
    blanks: bool = False
    """Whether there are lines of blanks alone between records."""

    @property
    def codec(self) -> str:
        """Python's codec of a source's bytes: those of UTF-16 and UTF-32 are UTF-8 already."""
        return "utf-8" if self.encoding in ("utf16", "utf32") else ENCODINGS[self.encoding]

    @property
    def grammar(self) -> Separator:
        """How records are written in a source's bytes, as the scan takes it."""
        return self._grammar(self.codec)

    def _grammar(self, codec: str) -> Separator:
        separator = self.separator.encode(codec)
        escape, comment = self.quoting == BACKSLASH, self.comment.encode(codec)
        given = escape, self.skip_initial_space, comment, self.blanks, self.skip_rows
        return Grammar(separator, *given) if any(given) else separator

    def utf8(self, data: bytes) -> bytes:
        """Return a source's records as UTF-8, written in the usual way."""
        return self.usual(self.decoded(data))

    def decoded(self, data: bytes) -> bytes:
        """Return a source's bytes as UTF-8; pyarrow itself checks those that should be already."""
        if self.codec == "utf-8" or data.isascii():
            return data
        return data.decode(self.codec).encode()

    def usual(self, data: bytes) -> bytes:
        """Return records in UTF-8 as they are written in the usual way."""
        grammar = self._grammar("utf-8")
        return rewritten(data, grammar) if isinstance(grammar, Grammar) else data


def known_encoding(encoding: object) -> str:
    """Return the key of :data:`ENCODINGS` that an ``encoding`` means."""
    plain = re.sub(r"[-_ ]", "", encoding).lower() if isinstance(encoding, str) else ""
    plain = _OTHER_NAMES.get(plain, plain)
    if plain not in ENCODINGS:
        raise DatasetError(
            f"encoding={encoding!r} is not known. Write one of {', '.join(ENCODINGS)}."
        )
    return plain


def check_separator(separator: object, encoding: str) -> str:
    """Check that ``separator`` is one character that can be one."""
    shown = f"separator={separator!r}"
    if not isinstance(separator, str) or len(separator) != 1:
        hint = " For a tab write separator='\\t'." if separator in ("\\t", "tab", "TAB") else ""
        raise DatasetError(f"{shown} is not one character. Write one such as ',' or ';'.{hint}")
    if separator in '"\r\n':
        raise DatasetError(
            f"{shown} is a quote or a line end, which no separator can be. Write one such as ','."
        )
    try:
        Dialect(separator, encoding).grammar  # noqa: B018
    except UnicodeEncodeError:
        raise DatasetError(
            f"{shown} is not a character of encoding={encoding!r}. Give the encoding of the files."
        ) from None
    return separator


def parse(
    data: bytes,
    separator: str,
    names: Sequence[str],
    types: Mapping[str, pa.DataType],
    on_ragged: Callable[[pa.csv.InvalidRow], str] | None = None,
    missing: Missing = Missing.WORDS,
    words: bool = False,
) -> pa.Table:
    """Parse records of UTF-8 text without a header; of its columns, those that have types.

    ``names`` are those of all fields; ``on_ragged`` is called for a record with another number of
    them, and gives ``"skip"``; ``words``: 1 and 0 are no truth values. Raises
    pyarrow.ArrowInvalid if a value isn't of its type, or a record has another number of fields.
    """
    if not data:
        return pa.schema(list(types.items())).empty_table()
    plain, quoted = separator, b'"' in data
    if not "\0" < separator < "\x80":
        data, plain = _with_stand_in(data, separator)
    table = arrow_csv.read_csv(
        pa.BufferReader(data),
        arrow_csv.ReadOptions(
            use_threads=False, column_names=names, block_size=min(len(data) + 1, _MOST)
        ),
        # To look for line breaks in quotes is a pass over all of the data.
        arrow_csv.ParseOptions(
            delimiter=plain, newlines_in_values=quoted, invalid_row_handler=on_ragged
        ),
        # Without a column nothing would say how many rows there are.
        arrow_csv.ConvertOptions(
            column_types=types,
            include_columns=list(types) or names[:1],
            check_utf8=pa.string() not in types.values() or not data.isascii(),
            null_values=None if missing is Missing.WORDS else [""],
            strings_can_be_null=missing is Missing.EMPTY,
            true_values=TRUE if words else None,
            false_values=FALSE if words else None,
        ),
    )
    if plain != separator and quoted:
        table = _without_stand_in(table, plain, separator)
    return table


def rewritten(data: bytes, grammar: Grammar) -> bytes:
    r"""Return UTF-8 records as they are written in the usual way; what is is left as it is.

    Examples
    --------
    >>> rewritten(b'a, "b"\n#c\nd,e\\,\n', Grammar(b",", escape=True, space=True, comment=b"#"))
    b'a,b\r\nd,"e,"\r\n'
    """
    data = records_only(data, grammar)
    separator = grammar.separator.decode()
    blank = re.compile(rb"(?:^|[\r\n]|%s) " % re.escape(grammar.separator))
    if not (grammar.escape and b"\\" in data) and not (grammar.space and blank.search(data)):
        return data
    begins, records = _read(data, grammar)
    if begins != record_starts(data, grammar).tolist():
        raise TableError(
            "a backslash stands right behind a quote that closes its field, so that nobody knows "
            "what it is to mean. Is quoting='backslash' right?",
            lasting=True,
        )
    made = io.StringIO(newline="")
    # With "\n" alone Python up to 3.12 puts no quotes around a text that has a "\r" in it.
    csv.writer(made, delimiter=separator, lineterminator="\r\n").writerows(records)
    return made.getvalue().encode()


def _read(data: bytes, grammar: Grammar) -> tuple[list[int], list[list[str]]]:
    """Return where records begin for Python's reader, and what is in them."""
    at, begin, begins, records = 0, 0, [], []

    def lines() -> Iterator[str]:
        nonlocal at
        for line in io.StringIO(data.decode(), newline=""):
            at += len(line.encode())
            yield line

    longest = csv.field_size_limit(len(data) + 1)
    try:
        for row in csv.reader(
            lines(),
            delimiter=grammar.separator.decode(),
            escapechar="\\" if grammar.escape else None,
            skipinitialspace=grammar.space,
        ):
            if row:
                begins.append(begin)
                records.append(row)
            begin = at
    finally:
        csv.field_size_limit(longest)
    return begins, records


def _with_stand_in(data: bytes, separator: str) -> tuple[bytes, str]:
    stand_in = next((code for code in _STAND_INS if code not in data), None)
    if stand_in is None:
        raise TableError(
            f"separator={separator!r} can't be used for data that has all control characters in "
            "it. Give files with an ASCII separator such as ',' or '\\t'."
        )
    return data.replace(separator.encode(), bytes([stand_in])), chr(stand_in)


def _without_stand_in(table: pa.Table, stand_in: str, separator: str) -> pa.Table:
    """Return quoted separators back, which have been replaced with the others."""
    columns = [
        pc.replace_substring(each, stand_in, separator) if each.type == pa.string() else each
        for each in table.columns
    ]
    return pa.table(columns, table.schema)


@lru_cache(maxsize=1024)
def header_names(header: bytes, separator: str) -> tuple[str, ...]:
    """Return the names in a header record (UTF-8, without line end), made unique.

    Examples
    --------
    >>> header_names(b"a,b,a,", ",")
    ('a', 'b', 'a.1', 'Column4')
    """
    if not header:
        return ()
    if (count := header.count(separator.encode())) >= MOST_COLUMNS:
        raise TableError(
            f"the first line has {count + 1:,} fields, and a table may have {MOST_COLUMNS:,} "
            f"columns. Is separator={separator!r} the files' own?"
        )
    plain = separator
    if not "\0" < separator < "\x80":
        header, plain = _with_stand_in(header, separator)
    found = arrow_csv.read_csv(
        pa.BufferReader(header + b"\n"),
        arrow_csv.ReadOptions(use_threads=False, block_size=len(header) + 2),
        arrow_csv.ParseOptions(delimiter=plain, newlines_in_values=True),
    ).column_names
    if plain != separator:
        found = [name.replace(plain, separator) for name in found]
    return tuple(unique_names(found))


def numbered_names(count: int) -> list[str]:
    """Name the columns of files without a header.

    Examples
    --------
    >>> numbered_names(2)
    ['Column1', 'Column2']
    """
    return [f"Column{number}" for number in range(1, count + 1)]


def unique_names(names: Sequence[str]) -> list[str]:
    """Name empty ones by their position and number those that come again, as pandas does."""
    filled = [name or f"Column{number}" for number, name in enumerate(names, 1)]
    given, taken, last = set(filled), set(), dict.fromkeys(filled, 0)
    unique = []
    for name in filled:
        candidate, number = name, last[name]
        if number:
            candidate = f"{name}.{number}"
        while candidate in taken or (number and candidate in given):
            number += 1
            candidate = f"{name}.{number}"
        taken.add(candidate)
        last[name] = number
        unique.append(candidate)
    return unique
