"""How JSON-lines files are read."""

from __future__ import annotations

from dataclasses import dataclass

from daskrun.data.tabular.formats.text.dialect import Dialect
from daskrun.data.tabular.formats.text.text_spec import TextSpec


@dataclass(frozen=True, kw_only=True)
class JsonLinesSpec(TextSpec):
    """The schema and encoding of JSON-lines files."""

    format = "json_lines"

    invalid_lines: str
    """``error`` or ``drop``."""

    @property
    def dialect(self) -> Dialect:
        """One in which every line break ends a record: without a separator, quotes mean nothing."""
        return Dialect("", self.encoding, self.max_unpacked)
