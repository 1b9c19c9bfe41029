"""How delimited files are read."""

from __future__ import annotations

from dataclasses import dataclass

from daskrun.data.tabular.formats.contract import ReaderSpec
from daskrun.data.tabular.formats.text.dialect import Dialect

FIRST, NONE, SAME, COMBINE = (
    "ONLY_FIRST_FILE_HAS_HEADERS",
    "NO_HEADERS",
    "ALL_FILES_HAVE_SAME_HEADERS",
    "COMBINE_ALL_FILES_HEADERS",
)
HEADERS = (SAME, NONE, FIRST, COMBINE)


@dataclass(frozen=True, kw_only=True)
class DelimitedSpec(ReaderSpec):
    """The schema and dialect of delimited files."""

    format = "delimited"

    names: tuple[str, ...]
    """Columns of the first file."""
    header: str
    """One of :data:`HEADERS`."""
    first: str
    """Name of the first file."""
    separator: str
    encoding: str
    """A key of :data:`daskrun.data.tabular.formats.text.dialect.ENCODINGS`."""
    empty_as_string: bool
    exact: bool
    """Whether pieces begin and end where records do; else one holds the lines that begin in it."""
    multi_line: bool
    """Whether quoted fields may have line breaks."""

    @property
    def dialect(self) -> Dialect:
        """How the files are written."""
        return Dialect(self.separator, self.encoding)

    def has_header(self, name: str) -> bool:
        """Return whether a file's first record is a header."""
        return has_header(self.header, name, self.first)


def has_header(mode: str, name: str, first: str) -> bool:
    """Return whether a file's first record is a header, not data."""
    return mode in (SAME, COMBINE) or (mode == FIRST and name == first)
