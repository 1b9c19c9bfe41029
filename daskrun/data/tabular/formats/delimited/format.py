"""Delimited files: CSV, TSV and their like."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from daskrun.data.listing import Listing, check_files, list_files
from daskrun.data.tabular.formats.delimited.columns import (
    COMBINE,
    HEADERS,
    NONE,
    SAME,
    DelimitedSample,
    Head,
    has_header,
)
from daskrun.data.tabular.formats.delimited.reader import bring, make_reader
from daskrun.data.tabular.formats.text.arguments import call_text, check_known, check_types
from daskrun.data.tabular.formats.text.dialect import Dialect, check_separator, known_encoding
from daskrun.data.tabular.formats.text.sample import SampleFiles
from daskrun.data.tabular.formats.text.source import is_plain
from daskrun.data.tabular.formats.text.split import ByteSplitter
from daskrun.data.tabular.values.infer import infer, settle
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from daskrun.data.protocols import PathElement
    from daskrun.data.tabular.formats.contract import Splitter
    from daskrun.data.tabular.values.types import DataType

__all__ = ["DelimitedSource", "bring", "make_reader"]

_DEFAULTS: dict[str, Any] = {
    "include_path": False,
    "infer_column_types": True,
    "set_column_types": None,
    "separator": ",",
    "header": True,
    "partition_format": None,
    "support_multi_line": None,
    "empty_as_string": False,
    "encoding": "utf8",
    "strict_types": False,
    "count_rows": False,
}


@dataclass(frozen=True, eq=False, repr=False)
class DelimitedSource:
    """Files of delimited text; what ``Dataset.Tabular.from_delimited_files`` was given.

    Raises
    ------
    DatasetError
        If an argument can't be what it is.
    """

    elements: tuple[PathElement, ...]
    """What ``path`` listed."""
    folder: str
    """What relative local paths are relative to."""
    include_path: bool = False
    """Whether the dataset has a column for the path; it is not one of the file's."""
    infer_column_types: bool = True
    """False: all columns are text, but those of ``set_column_types``."""
    set_column_types: Mapping[str, DataType] | None = None
    separator: str = ","
    """Any one character but a quote or line end."""
    header: bool | str = True
    """True, False, or one of the four names of the contract."""
    partition_format: str | None = None
    """What the dataset's partition columns come from; they are not the file's."""
    support_multi_line: bool | None = None
    """Whether a quoted field may have line breaks; None: as the data has it."""
    empty_as_string: bool = False
    """True: an empty field of a text column is ``""``, not missing."""
    encoding: str = "utf8"
    strict_types: bool = False
    """True: a value that changes a column's dtype in its mini-batch fails it."""
    count_rows: bool = False
    """True: planning counts the rows of each piece."""

    format = "delimited"

    def __post_init__(self) -> None:
        check_separator(self.separator, known_encoding(self.encoding))
        self._mode  # noqa: B018
        check_types(self.set_column_types)
        if self.support_multi_line not in (True, False, None):
            raise DatasetError(
                f"support_multi_line={self.support_multi_line!r} is not known. Write True, False, "
                "or None to decide from the data."
            )

    def __repr__(self) -> str:
        return call_text("from_delimited_files", self, _DEFAULTS)

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
    def _dialect(self) -> Dialect:
        return Dialect(self.separator, known_encoding(self.encoding))

    def check(self) -> None:
        """Check that files are there and that the first one's first rows can be read."""
        listing = check_files(self.elements, self.folder)
        sample = self._sample(listing)
        for head in sample.heads():
            sample.check(head)

    def listing(self) -> Listing:
        """Find the files, in order."""
        return list_files(self.elements, self.folder)

    def describe(self, listing: Listing) -> dict[str, Any]:
        """Find the columns and infer their types."""
        sample = self._sample(listing)
        heads = sample.heads()
        if not heads:
            raise DatasetError(
                f"{self!r}: its files are empty, so there are no columns. Give files with at least "
                "a header."
            )
        names = list(sample.header_of(heads[0]))
        columns, lacking = names, frozenset[str]()
        if self._mode == COMBINE:
            columns, lacking = _union(sample.headers())
        check_known(self.set_column_types, columns)
        typed, warnings = self._types(sample, heads, columns, lacking)
        hint = _separator_hint(columns, self.separator)
        return {
            "format": self.format,
            "columns": typed,
            "strict_types": self.strict_types,
            "warnings": [*hint, *warnings],
            "names": names,
            "header": self._mode,
            "first": listing.table[0],
            "separator": self.separator,
            "encoding": self._dialect.encoding,
            "empty_as_string": self.empty_as_string,
            "exact": self.support_multi_line is not False or self.count_rows,
            "multi_line": self.support_multi_line is not False,
        }

    def splitter(self, reader: dict[str, Any], listing: Listing, mini_batch_size: int) -> Splitter:
        """Return what cuts the files at record ends."""
        return ByteSplitter(
            mini_batch_size,
            exact=reader["exact"],
            count_rows=self.count_rows,
            plain=partial(is_plain, encoding=reader["encoding"]),
            header=partial(has_header, reader["header"], first=reader["first"]),
            near=not listing.remote,
        )

    def _sample(self, listing: Listing) -> DelimitedSample:
        files = SampleFiles(listing, self._dialect.encoding)
        return DelimitedSample(files, self._dialect, self._mode, listing.table)

    def _types(
        self,
        sample: DelimitedSample,
        heads: Sequence[Head],
        columns: Sequence[str],
        lacking: frozenset[str],
    ) -> tuple[list[list[str]], list[str]]:
        """Return ``[name, type]`` of the columns, and the warnings."""
        drawn = _drawn(sample, heads, columns)
        wanted = self.set_column_types or {}
        typed, warnings = [], []
        for name in columns:
            if name in wanted:
                found = settle(wanted[name].type, drawn[name], name in lacking)
            elif self.infer_column_types:
                found, warning = infer(name, drawn[name], name in lacking)
                warnings += [warning] if warning else []
            else:
                found = "text"
            typed.append([name, found])
        return typed, warnings


def _drawn(
    sample: DelimitedSample, heads: Sequence[Head], columns: Sequence[str]
) -> dict[str, pa.ChunkedArray]:
    """Join the columns of all samples by name; files of other columns than these say nothing."""
    first = sample.header_of(heads[0])

    def found(head: Head) -> dict[str, pa.ChunkedArray]:
        names = sample.header_of(head) if head.header else first
        return (sample.columns(head, names) if set(names) <= set(columns) else None) or {}

    parts = [found(head) for head in heads]
    sure = _joined(parts, columns)
    multi_line = sample.multi_line(heads)
    for head in sample.spread():
        part = found(head)
        if not (multi_line and head.inner) or _alike(part, sure):
            parts.append(part)
    return _joined(parts, columns)


def _joined(
    parts: Sequence[Mapping[str, pa.ChunkedArray]], columns: Sequence[str]
) -> dict[str, pa.ChunkedArray]:
    import pyarrow as pa

    return {
        name: pa.chunked_array(
            [chunk for part in parts if name in part for chunk in part[name].chunks], pa.string()
        )
        for name in columns
    }


def _alike(part: Mapping[str, pa.ChunkedArray], sure: Mapping[str, pa.ChunkedArray]) -> bool:
    """Return whether a sample may be rows: the inside of a long text can look like some."""
    return all(
        infer(name, column).type != "text" or infer(name, sure[name]).type == "text"
        for name, column in part.items()
    )


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
