"""How the rows of a query are read."""

from __future__ import annotations

from dataclasses import dataclass

from daskrun.data.tabular.formats.contract import ReaderSpec


@dataclass(frozen=True, kw_only=True)
class SqlSpec(ReaderSpec):
    """The schema of a query, and the keys that its rows are cut by."""

    format = "sql"
    of_files = False
    packages = ("sqlalchemy>=2",)

    query: str
    keys: tuple[str, ...]
    """Columns that rows are cut by."""
    order: tuple[str, ...]
    """Columns that rows are ordered by; the keys come first."""
    timeout: float
    """Seconds for a query."""
    row_bytes: float
    """Bytes of a row in Arrow, on average."""
