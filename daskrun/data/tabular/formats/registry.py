"""The formats there are, by name; each is loaded when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from daskrun.data.tabular.formats.contract import Bring, Reader
    from daskrun.data.tabular.formats.node_cache import NodeCache

FORMATS = {
    "delimited": "delimited.reader",
    "json_lines": "json_lines.reader",
    "parquet": "parquet.reader",
    "sql": "sql.reader",
    "frame": "frames.format",
}
"""Module of this package that has the format's ``make_reader`` and ``bring``."""


def make_reader(reader: dict[str, Any], secrets: dict[str, Any], cache: NodeCache) -> Reader:
    """Make the reader of an input; ``secrets`` is its ``storage_options`` (SQL: the connection)."""
    made = _module(reader).make_reader(reader, secrets, cache)
    return cast("Reader", made)


def bring_function(reader: dict[str, Any]) -> Bring:
    """Return the format's function that brings remote pieces here."""
    return cast("Bring", _module(reader).bring)


def _module(reader: dict[str, Any]) -> Any:
    return import_module(f"daskrun.data.tabular.formats.{FORMATS[reader['format']]}")
