"""How Parquet files are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from daskrun.data.tabular.formats.contract import ReaderSpec


@dataclass(frozen=True, kw_only=True)
class ParquetSpec(ReaderSpec):
    """The schema of Parquet files."""

    format = "parquet"

    pandas: str | None = None
    """Of a dataframe's files: pandas' own metadata, with the dtypes it had."""
    dictionaries: Mapping[str, str] | None = None
    """The list of values of each category of a dataframe, else of each whose values have an order,
    as :mod:`daskrun.data.tabular.formats.parquet.categories` writes it."""
