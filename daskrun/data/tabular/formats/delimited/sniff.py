"""How files are written, guessed from the first bytes of one."""

from __future__ import annotations

import csv
import io
import warnings
from collections import Counter
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from daskrun.data.libraries import pa
from daskrun.data.tabular.formats.text.dialect import BACKSLASH, DOUBLE, ENCODING_MARKS
from daskrun.data.tabular.formats.text.sample import SAMPLE_BYTES, SampleFiles
from daskrun.data.tabular.formats.text.source import ordered
from daskrun.data.tabular.values.infer import infer
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from daskrun.data.tabular.formats.delimited.format import DelimitedSource

_SEPARATORS = ",;\t|:"
"""The likeliest first."""


def sniffed(source: DelimitedSource) -> DelimitedSource:
    """Return a source with what was found for the options that have their defaults.

    Raises DatasetError: the first file can't be read, or is empty.
    """
    given = {each.name: getattr(source, each.name) for each in fields(source)}
    usual = {each.name: each.default for each in fields(source)}
    listing = source.first_files()
    name, size, _ = next(listing.table.rows())
    raw = SampleFiles(listing, "utf8").start(name, SAMPLE_BYTES, size)
    found = {"encoding": _encoding(raw)}
    encoding = given["encoding"] if given["encoding"] != usual["encoding"] else found["encoding"]
    start = SampleFiles(listing, encoding).start(name, SAMPLE_BYTES, size)
    codec = replace(source, encoding=encoding).dialect.codec
    text = start.decode(codec, "replace").removeprefix("\ufeff")
    lines = text.splitlines(keepends=True)[source.skip_rows :]
    if source.comment:
        lines = [line for line in lines if not line.startswith(source.comment)]
    whole = lines if len(start) < SAMPLE_BYTES else lines[:-1]
    text = "".join(whole or lines)
    if not text.strip():
        raise DatasetError(f"{source!r}: its first file is empty: nothing tells how it is written.")
    own = given["separator"] != usual["separator"]
    rows, found["separator"], found["quoting"] = _records(
        text, source.separator if own else _SEPARATORS, space=source.skip_initial_space
    )
    chosen: dict[str, Any] = {k: v for k, v in found.items() if given[k] == usual[k]}
    if source.header is True:
        chosen["header"] = _has_header(rows)
    made = replace(source, **chosen)
    told = ", ".join(f"{name}={value!r}" for name, value in chosen.items())
    warnings.warn(f"sniff=True: {listing.table[0]} is read with {told}.", stacklevel=3)
    return made


def _encoding(raw: bytes) -> str:
    for mark, encoding in ENCODING_MARKS:
        if raw.startswith(mark):
            return encoding
    for encoding in ("utf32", "utf16"):
        if raw.count(b"\0") and ordered(encoding, raw[:4]) != encoding:
            return encoding
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        # Unless it is a character that the end of the sample cuts.
        if len(raw) < SAMPLE_BYTES or error.start < len(raw) - 3:
            return "windows1252" if any(0x80 <= byte < 0xA0 for byte in raw) else "latin1"
    return "utf8"


def _records(text: str, separators: str, *, space: bool) -> tuple[list[list[str]], str, str]:
    """Return the records, and separator and quoting that most of them agree on."""
    best: tuple[float, list[list[str]], str, str] = (-1.0, [], separators[0], DOUBLE)
    for quoting in (DOUBLE, BACKSLASH) if '\\"' in text else (DOUBLE,):
        for separator in separators:
            escape = "\\" if quoting == BACKSLASH else None
            lines = io.StringIO(text, newline="")
            read = csv.reader(lines, delimiter=separator, escapechar=escape, skipinitialspace=space)
            try:
                rows = [row for row in read if row]
            except csv.Error:  # a field that has no end
                continue
            width, count = Counter(map(len, rows)).most_common(1)[0]
            stray = sum(field.count('"') for row in rows for field in row if quoting == DOUBLE)
            score = (width > 1) * (1 + count / len(rows)) - 0.1 * (stray > 0 and escape is None)
            if score > best[0]:
                best = score, rows, separator, quoting
    return best[1], best[2], best[3]


def _has_header(rows: list[list[str]]) -> bool:
    """Return whether the first record names the columns: none is a number, and each another."""
    first, *others = rows
    if not others:
        return True
    kinds = [infer("", pa.chunked_array([pa.array([field])])).type for field in first]
    if set(kinds) != {"text"} or len(set(first)) < len(first) or "" in first:
        return False
    columns = list(zip(*(row for row in others if len(row) == len(first)), strict=True))
    types = [infer("", pa.chunked_array([pa.array(c, pa.string())])).type for c in columns]
    if any(kind != "text" for kind in types):
        return True
    return not any(
        name in (row[at] for row in others if len(row) > at) for at, name in enumerate(first)
    )
