"""How delimited files are read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from daskrun.data.tabular.formats.delimited.written import Written
from daskrun.data.tabular.formats.text.dialect import DOUBLE, Dialect
from daskrun.data.tabular.formats.text.text_spec import TextSpec
from daskrun.data.tabular.values.coercion import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

FIRST, NONE, SAME, COMBINE = (
    "ONLY_FIRST_FILE_HAS_HEADERS",
    "NO_HEADERS",
    "ALL_FILES_HAVE_SAME_HEADERS",
    "COMBINE_ALL_FILES_HEADERS",
)
UNNAMED = "\0"
"""Stands for the name of the field behind the last separator, where rows have one more."""
HEADERS = (SAME, NONE, FIRST, COMBINE)


class DelimitedOptions(Protocol):
    """How files are written, as users say it; see ``Dataset.Tabular.from_delimited_files``."""

    @property
    def separator(self) -> str:
        """Between fields."""

    @property
    def quoting(self) -> str:
        """``double`` or ``backslash``."""

    @property
    def skip_initial_space(self) -> bool:
        """Whether blanks before fields are none of them."""

    @property
    def comment(self) -> str | None:
        """What lines begin with that are no records."""

    @property
    def skip_rows(self) -> int:
        """Lines before the table."""

    @property
    def decimal(self) -> str:
        """The point in numbers."""

    @property
    def thousands(self) -> str | None:
        """What is between thousands."""

    @property
    def null_values(self) -> Sequence[str]:
        """Texts that are missing values."""


def dialect_of(given: DelimitedOptions, encoding: str) -> Dialect:
    """Return how records are written."""
    return Dialect(
        given.separator,
        encoding,
        quoting=given.quoting,
        skip_initial_space=given.skip_initial_space,
        comment=given.comment or "",
        skip_rows=given.skip_rows,
    )


def written_of(given: DelimitedOptions) -> Written:
    """Return how values are written."""
    return Written(given.decimal, given.thousands or "", tuple(given.null_values))


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
    quoting: str = DOUBLE
    skip_initial_space: bool = False
    comment: str | None = None
    skip_rows: int = 0
    decimal: str = "."
    thousands: str | None = None
    null_values: tuple[str, ...] = ()
    blanks: bool = False
    """Whether there are lines of blanks alone between records."""
    trailing: bool = False
    """Whether each record ends with one separator more than the header: a field without a name."""
    empty_as_string: bool
    multi_line: bool
    """Whether quoted fields may have line breaks."""

    @property
    def dialect(self) -> Dialect:
        """How the files are written."""
        return replace(
            dialect_of(self, self.encoding), blanks=self.blanks, max_unpacked=self.max_unpacked
        )

    @property
    def written(self) -> Written:
        """How values are written."""
        return written_of(self)

    def has_header(self, name: str) -> bool:
        """Return whether a file's first record is a header."""
        return has_header(self.header, name, self.first)


def header_trouble(names: Collection[str], known: Collection[str], *, same: bool) -> str:
    """Return what is wrong with a file's header beside the known columns; ``""``: nothing.

    ``same``: it must have all of them.
    """
    given, others = frozenset(names), frozenset(known)
    lacks = [name for name in known if name not in given] if same else []
    has = [name for name in names if name not in others]
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
