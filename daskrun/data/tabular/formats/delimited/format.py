"""Delimited files: CSV, TSV and their like."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from daskrun.core.rules import parse_size
from daskrun.core.typing import override
from daskrun.data.libraries import pa
from daskrun.data.tabular.formats.delimited.columns import DelimitedSample, Head
from daskrun.data.tabular.formats.delimited.spec import (
    COMBINE,
    HEADERS,
    NONE,
    SAME,
    DelimitedOptions,
    DelimitedSpec,
)
from daskrun.data.tabular.formats.files import FileSource, check_known, check_unpacked
from daskrun.data.tabular.formats.text.dialect import Dialect, known_encoding
from daskrun.data.tabular.formats.text.sample import LOOKED, SAMPLES, WIDE, FirstBytes, SampleFiles
from daskrun.data.tabular.formats.text.split import ByteSplitter
from daskrun.data.tabular.values.fitting import FAIL, TEXT, check_choice, risk
from daskrun.data.tabular.values.infer import infer, settle
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.data.listing import Listing
    from daskrun.data.tabular.formats.contract import Splitter


@dataclass(frozen=True, eq=False, repr=False)
class DelimitedSource(DelimitedOptions, FileSource):
    """Files of delimited text; what ``Dataset.Tabular.from_delimited_files`` was given."""

    made_by = "from_delimited_files"

    infer_column_types: bool = True
    """False: all columns are text, but those of ``set_column_types``."""
    header: bool | str = True
    """True, False, or one of the four names of the contract."""
    support_multi_line: bool | None = None
    """Whether a quoted field may have line breaks; None: as the data has it."""
    empty_as_string: bool = False
    """True: an empty field of a text column is ``""``, not missing."""
    encoding: str = "utf8"
    on_type_conflict: str = FAIL
    """What becomes of values that don't fit an inferred type: ``fail``, ``null``, ``text``."""
    count_rows: bool = False
    """True: planning counts the rows of each piece."""
    max_unpacked: int | str | None = None
    """Bytes that a compressed file may hold; None: what is usual for its size."""

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_in(known_encoding(self.encoding))
        self._mode  # noqa: B018
        check_choice(self.on_type_conflict, self.strict_types)
        check_unpacked(self.max_unpacked)
        if self.support_multi_line not in (True, False, None):
            raise DatasetError(
                f"support_multi_line={self.support_multi_line!r} is not known. Write True, False, "
                "or None to decide from the data."
            )

    @property
    def _mode(self) -> str:
        if self.header is True:
            return SAME
        if self.header is False:
            return NONE
        if self.header in HEADERS:
            return self.header
        raise DatasetError(
            f"header={self.header!r} is not known. Write True, False or one of "
            f"{', '.join(map(repr, HEADERS))}."
        )

    @property
    def dialect(self) -> Dialect:
        """How its records are written."""
        return self.dialect_in(known_encoding(self.encoding))

    @override
    def check(self) -> None:
        self._sample(self.first_files()).check()

    @override
    def describe(self, listing: Listing) -> DelimitedSpec:
        sample = self._sample(listing)
        heads = sample.heads()
        if not heads:
            but = " but for what skip_rows= and comment= leave out"
            raise DatasetError(
                f"{self!r}: its files are empty{but if self.skip_rows or self.comment else ''}, so "
                "there are no columns. Give files with at least a header."
            )
        names = list(sample.header_of(heads[0]))
        columns, lacking = names, frozenset[str]()
        if self._mode == COMBINE:
            columns, lacking = _union(sample.headers())
        check_known(self.set_column_types, columns)
        typed, warnings = self._types(sample, heads, columns, lacking)
        options = {each.name: getattr(self, each.name) for each in fields(DelimitedOptions)}
        hints = [*_separator_hint(columns, self.separator), *sample.hints(heads)]
        return DelimitedSpec(
            columns=tuple(typed),
            strict_types=self.strict_types,
            warnings=(*hints, *warnings),
            declared=tuple(self.set_column_types or ()),
            names=tuple(names),
            header=self._mode,
            first=listing.table[0],
            **{**options, "null_values": tuple(self.null_values)},
            blanks=sample.blanks,
            trailing=sample.trailing,
            encoding=self.dialect.encoding,
            empty_as_string=self.empty_as_string,
            exact=self.support_multi_line is not False or self.count_rows,
            multi_line=self.support_multi_line is not False,
            on_type_conflict=self.on_type_conflict,
            max_unpacked=None if self.max_unpacked is None else parse_size(self.max_unpacked),
        )

    @override
    def risks(self, listing: Listing, spec: DelimitedSpec, columns: Sequence[str]) -> list[str]:
        guessed = spec.guessed(columns)
        if not guessed:
            return []
        sample = self._sample(listing)
        heads = sample.heads()
        wider = sample.spread(heads, WIDE, time.monotonic() + LOOKED)
        drawn = _drawn(sample, [*heads, *wider], [name for name, _ in spec.columns])
        choice, values = self.on_type_conflict, self.values
        told = [risk(name, kind, choice, values.as_usual(drawn[name])) for name, kind in guessed]
        told += [str(odd) for odd in sample.odd_quotes(wider) if not odd.is_told(spec.warnings)]
        return [text for text in told if text]

    @override
    def splitter(self, spec: DelimitedSpec, listing: Listing, mini_batch_size: int) -> Splitter:
        return ByteSplitter(
            mini_batch_size,
            exact=spec.exact,
            count_rows=self.count_rows,
            plain=FirstBytes(listing, spec.encoding, mini_batch_size),
            header=spec.has_header,
            near=not listing.remote,
        )

    def _sample(self, listing: Listing) -> DelimitedSample:
        files = SampleFiles(listing, self.dialect.encoding)
        return DelimitedSample(files, self.dialect, self._mode, listing.table)

    def _types(
        self,
        sample: DelimitedSample,
        heads: Sequence[Head],
        columns: Sequence[str],
        lacking: frozenset[str],
    ) -> tuple[list[tuple[str, str]], list[str]]:
        # With "text" no value is to turn up later: as many places as can be looked at.
        wide = WIDE if self.on_type_conflict == TEXT else SAMPLES
        drawn = _drawn(sample, [*heads, *sample.spread(heads, wide)], columns)
        wanted, written = self.set_column_types or {}, self.values
        typed, warnings = [], []
        for name in columns:
            if name in wanted:
                column = written.as_usual(drawn[name])
                found = settle(wanted[name].type, column, name in lacking)
            elif self.infer_column_types:
                found, warning, _ = infer(name, written.as_usual(drawn[name]), name in lacking)
                warnings += [warning] if warning else []
            else:
                found = "text"
            typed.append((name, found))
        return typed, warnings


def _drawn(
    sample: DelimitedSample,
    heads: Sequence[Head],
    columns: Sequence[str],
) -> dict[str, pa.ChunkedArray]:
    """Join the columns of samples by name; files of other columns than these say nothing."""
    first = sample.header_of(heads[0])

    def found(head: Head) -> dict[str, pa.ChunkedArray]:
        names = sample.header_of(head) if head.header else first
        return (sample.columns(head, names) if set(names) <= set(columns) else None) or {}

    parts = [found(head) for head in heads]
    return {
        name: pa.chunked_array(
            [chunk for part in parts if name in part for chunk in part[name].chunks], pa.string()
        )
        for name in columns
    }


def _union(headers: Sequence[Sequence[str]]) -> tuple[list[str], frozenset[str]]:
    """Return all columns in the order they first come in, and those that some files lack."""
    named = [header for header in headers if header]
    columns = list(dict.fromkeys(name for header in named for name in header))
    everywhere = frozenset(columns).intersection(*named)
    return columns, frozenset(columns) - everywhere


def _separator_hint(columns: Sequence[str], separator: str) -> list[str]:
    """Say that another separator was meant, where the only column's name is full of it."""
    if len(columns) > 1:
        return []
    for other in (",", ";", "\t", "|"):
        if other != separator and other in columns[0]:
            hint = (
                f"the files have one column, {columns[0]!r}: is separator={other!r} meant instead "
                f"of separator={separator!r}?"
            )
            return [hint]
    return []
