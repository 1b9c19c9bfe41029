"""JSON-lines files: one object a line."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from daskrun.core.rules import parse_size
from daskrun.core.typing import override
from daskrun.data.tabular.formats.files import FileSource, check_unpacked
from daskrun.data.tabular.formats.json_lines.reader import JsonLinesSpec
from daskrun.data.tabular.formats.json_lines.values import (
    JsonObject,
    count_lines,
    lines_of,
    parse_line,
)
from daskrun.data.tabular.formats.text import sample
from daskrun.data.tabular.formats.text.dialect import MOST_COLUMNS, Dialect, known_encoding
from daskrun.data.tabular.formats.text.split import ByteSplitter
from daskrun.data.tabular.values.fitting import FAIL, TEXT, check_choice, risk
from daskrun.data.tabular.values.infer import infer_values, settle
from daskrun.data.tabular.values.written import found_kinds, text_column
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from daskrun.data.listing import Listing
    from daskrun.data.tabular.formats.contract import Splitter


@dataclass(frozen=True, eq=False, repr=False)
class JsonLinesSource(FileSource):
    """Files of JSON lines; what ``Dataset.Tabular.from_json_lines_files`` was given.

    ``set_column_types`` may name keys that the sample lacks.
    """

    made_by = "from_json_lines_files"

    invalid_lines: str = "error"
    """``error``, or ``drop`` to leave out lines that are no JSON objects."""
    encoding: str = "utf8"
    on_type_conflict: str = FAIL
    max_unpacked: int | str | None = None
    """As of delimited files."""

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.on_type_conflict, self.strict_types)
        check_unpacked(self.max_unpacked)
        known_encoding(self.encoding)
        if self.invalid_lines not in ("error", "drop"):
            raise DatasetError(
                f"invalid_lines={self.invalid_lines!r} is not known. Write 'error', or 'drop' to "
                "leave out lines that are no JSON objects."
            )

    @override
    def check(self) -> None:
        listing = self.first_files()
        files = sample.SampleFiles(listing, known_encoding(self.encoding))
        name, size, _ = next(listing.table.rows())
        for number, line in enumerate(lines_of(self._head(files, name, sample.HEAD, size)), 1):
            if number > sample.ROWS or self.invalid_lines == "drop":
                break
            try:
                parse_line(line.data)
            except ValueError as error:
                raise DatasetError(
                    f"{files.shown(name)}: line {number} of those that aren't blank is no JSON "
                    f"object: {error}. Give JSON lines, one object a line; leave other lines out "
                    "with invalid_lines='drop', or check none now with validate=False."
                ) from None

    @override
    def describe(self, listing: Listing) -> JsonLinesSpec:
        objects = self._sample(
            listing, sample.WIDE if self.on_type_conflict == TEXT else sample.SAMPLES
        )
        wanted = self.set_column_types or {}
        keys = _by_key(objects)
        if len(keys) > MOST_COLUMNS:
            raise DatasetError(
                f"{self!r}: the sample has {len(keys):,} keys, and a table may have "
                f"{MOST_COLUMNS:,} columns. Give lines whose keys are names, not data."
            )
        if not keys and not wanted:
            raise DatasetError(
                f"{self!r}: no JSON object was found in the first files, so there are no columns. "
                "Give files that have some."
            )
        typed, warnings, declared = [], [], [*wanted]
        for name in [*keys, *(name for name in wanted if name not in keys)]:
            values = keys.get(name, [None])
            if name in wanted:
                texts = text_column(["" if value is None else value for value in values])
                typed.append((name, settle(wanted[name].type, texts, name not in keys)))
                if name not in keys:
                    warnings.append(_unseen(name, keys))
            else:
                found = infer_values(name, values, dates=True, nested=True)
                typed.append((name, found.type))
                declared += [name] if found.known else []
                warnings += [found.warning] if found.warning else []
        return JsonLinesSpec(
            columns=tuple(typed),
            strict_types=self.strict_types,
            warnings=tuple(warnings),
            declared=tuple(declared),
            encoding=known_encoding(self.encoding),
            invalid_lines=self.invalid_lines,
            exact=False,
            on_type_conflict=self.on_type_conflict,
            max_unpacked=None if self.max_unpacked is None else parse_size(self.max_unpacked),
        )

    @override
    def risks(self, listing: Listing, spec: JsonLinesSpec, columns: Sequence[str]) -> list[str]:
        guessed = [each for each in spec.guessed(columns) if "arrow:" not in each[1]]
        if not guessed:
            return []
        objects = self._sample(listing, sample.WIDE, time.monotonic() + sample.LOOKED)
        told, keys = [], _by_key(objects)
        for name, kind in guessed:
            values = keys.get(name, [None])
            column, kinds = text_column(values), found_kinds(values)
            told.append(risk(name, kind, self.on_type_conflict, column, kinds))
        return [text for text in told if text]

    @override
    def splitter(self, spec: JsonLinesSpec, listing: Listing, mini_batch_size: int) -> Splitter:
        return ByteSplitter(
            mini_batch_size,
            exact=False,
            count_rows=False,
            plain=sample.FirstBytes(listing, spec.encoding, mini_batch_size),
        )

    def _sample(self, listing: Listing, count: int, until: float = math.inf) -> list[JsonObject]:
        """Parse the first lines of the first files, and some from all over."""
        files = sample.SampleFiles(listing, known_encoding(self.encoding))

        def read(name: str, size: int) -> bytes | None:
            begun.add(name)
            return self._head(files, name, sample.HEAD, size).strip() or None

        begun = set[str]()
        return _parsed([*files.first(read, count_lines), *self._spread(files, begun, count, until)])

    def _spread(
        self, files: sample.SampleFiles, begun: set[str], count: int, until: float
    ) -> list[bytes]:
        def one(place: sample.Place) -> bytes:
            name, offset, size = place
            if time.monotonic() > until or (not offset and name in begun):
                return b""
            with suppress(DatasetError):  # its mini-batches will say so, and others can be read
                if not offset:
                    return self._head(files, name, sample.SAMPLE_BYTES, size)
                return self._utf8(files.lines(name, offset, size))
            return b""

        return sample.at_once(one, files.spread(count))

    def _head(self, files: sample.SampleFiles, name: str, nbytes: int, size: int) -> bytes:
        """Read whole lines from a file's start: one at least, if it has any."""
        while True:
            data = files.start(name, nbytes, size)
            if len(data) < nbytes:
                return self._utf8(data.rstrip(b" \t\r\n\x1a"))
            whole = data[: max(data.rfind(b"\n"), data.rfind(b"\r")) + 1]
            if (whole and not whole.isspace()) or nbytes >= sample.MOST:
                return self._utf8(whole)
            nbytes *= 8

    def _utf8(self, data: bytes) -> bytes:
        # A sample may be wrong in a byte or two: reading the rows themselves says so.
        codec = Dialect("", known_encoding(self.encoding)).codec
        return data.decode(codec, "replace").encode()


def _by_key(objects: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the values of each key, and one None where an object lacks it."""
    found: dict[str, list[Any]] = {}
    for each in objects:
        for key, value in each.items():
            found.setdefault(key, []).append(value)
    for values in found.values():
        values += [None] * (len(values) < len(objects))
    return found


def _parsed(stretches: list[bytes]) -> list[JsonObject]:
    objects = []
    for data in stretches:
        for line in lines_of(data):
            with suppress(ValueError):  # reading the rows says so
                objects.append(parse_line(line.data))
    return objects


def _unseen(name: str, keys: Iterable[str]) -> str:
    near = get_close_matches(name, keys, 3, 0.6)
    alike = f" There is {', '.join(map(repr, near))}." if near else ""
    return f"set_column_types: the key {name!r} is in no line of the sample.{alike}"
