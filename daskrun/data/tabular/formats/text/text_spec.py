"""What delimited files and JSON lines are both read by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from daskrun.data.tabular.formats.contract import ReaderSpec

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True, kw_only=True)
class TextSpec(ReaderSpec):
    """The schema of files of text."""

    encoding: str
    """A key of :data:`daskrun.data.tabular.formats.text.dialect.ENCODINGS`."""
    exact: bool
    """Whether pieces begin and end where records do; else one holds the lines that begin in it."""
    on_type_conflict: str = "fail"
    """What becomes of values that don't fit an inferred type: as
    :mod:`daskrun.data.tabular.values.conflicts` names it."""

    max_unpacked: int | None = None
    """As of :class:`~daskrun.data.tabular.formats.text.dialect.Dialect`."""

    def guessed(self, among: Collection[str]) -> list[tuple[str, str]]:
        """Return name and type of those of the columns whose type later values may not fit."""
        known = {*self.declared, *(name for name, kind in self.columns if kind == "text")}
        return [(name, kind) for name, kind in self.columns if name in among and name not in known]
