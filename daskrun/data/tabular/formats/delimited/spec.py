"""How delimited files are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from daskrun.data.tabular.formats.text.dialect import Dialect
from daskrun.data.tabular.formats.text.text_spec import TextSpec
from daskrun.data.tabular.values.coercion import listed

if TYPE_CHECKING:
    from collections.abc import Collection

FIRST, NONE, SAME, COMBINE = (
    "ONLY_FIRST_FILE_HAS_HEADERS",
    "NO_HEADERS",
    "ALL_FILES_HAVE_SAME_HEADERS",
    "COMBINE_ALL_FILES_HEADERS",
)
HEADERS = (SAME, NONE, FIRST, COMBINE)


@dataclass(frozen=True, kw_only=True)
class DelimitedSpec(TextSpec):
    """The schema and dialect of delimited files."""

    format = "delimited"

    names: tuple[str, ...]
    """Columns of the first file."""
    header: str
    """One of :data:`HEADERS`."""
    first: str
    """Name of the first file."""
    separator: str
    empty_as_string: bool
    multi_line: bool
    """Whether quoted fields may have line breaks."""

    @property
    def dialect(self) -> Dialect:
        """How the files are written."""
        return Dialect(self.separator, self.encoding, self.max_unpacked)

    def has_header(self, name: str) -> bool:
        """Return whether a file's first record is a header."""
        return has_header(self.header, name, self.first)


def header_trouble(names: Collection[str], known: Collection[str], *, same: bool) -> str:
    """Return what is wrong with a file's header beside the known columns; ``""``: nothing.

    ``same``: it must have all of them.
    """
    lacks = [name for name in known if name not in names] if same else []
    has = [name for name in names if name not in known]
    told = [f"lacks {listed(lacks)}"] if lacks else []
    told += [f"has {listed(has)}, which others don't have"] if has else []
    return f"its header {' and '.join(told)}" if told else ""


SAME_FIX = (
    "Write header='COMBINE_ALL_FILES_HEADERS' to have the columns of all files, or header=False "
    "where files have no header."
)


def has_header(mode: str, name: str, first: str) -> bool:
    """Return whether a file's first record is a header, not data."""
    return mode in (SAME, COMBINE) or (mode == FIRST and name == first)
