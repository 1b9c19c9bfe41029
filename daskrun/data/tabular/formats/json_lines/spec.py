"""How JSON-lines files are read."""

from __future__ import annotations

from dataclasses import dataclass

from daskrun.data.tabular.formats.contract import ReaderSpec
from daskrun.data.tabular.formats.text.dialect import Dialect


@dataclass(frozen=True, kw_only=True)
class JsonLinesSpec(ReaderSpec):
    """The schema and encoding of JSON-lines files."""

    format = "json_lines"

    encoding: str
    """A key of :data:`daskrun.data.tabular.formats.text.dialect.ENCODINGS`."""
    invalid_lines: str
    """``error`` or ``drop``."""
    exact: bool
    """Always False: a piece holds the lines that begin in it."""

    @property
    def dialect(self) -> Dialect:
        """One in which every line break ends a record: without a separator, quotes mean nothing."""
        return Dialect("", self.encoding)
