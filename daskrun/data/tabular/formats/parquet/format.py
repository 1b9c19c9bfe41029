"""Parquet files as a source of rows: their one schema, from the footers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

from daskrun.core.json_text import parsed
from daskrun.core.typing import override
from daskrun.data.tabular.formats.files import FileSource
from daskrun.data.tabular.formats.parquet.categories import FRAME_KEY
from daskrun.data.tabular.formats.parquet.row_groups import FooterError, Footers, ParquetSplitter
from daskrun.data.tabular.formats.parquet.spec import ParquetSpec
from daskrun.data.tabular.formats.typed_columns import with_types
from daskrun.data.tabular.values.kinds import wider
from daskrun.data.tabular.values.types import arrow_type, type_text
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from daskrun.data.listing import Listing

_SAMPLES = 8
"""Footers looked at for the schema, spread over the files."""
_GROUPS = 64
"""Row groups of a footer whose statistics are looked at, spread over the file."""


@dataclass(frozen=True, eq=False, repr=False)
class ParquetSource(FileSource):
    """Parquet files; made by ``Dataset.Tabular.from_parquet_files`` and for dataframes."""

    made_by = "from_parquet_files"

    by_group: bool = field(default=False, repr=False)
    """Each row group is one mini-batch, and pandas' own dtypes are kept: dataframes."""

    @override
    def check(self) -> None:
        self.first_files()
        self.describe(self.listing())

    @override
    def describe(self, listing: Listing) -> ParquetSpec:
        """Find the schema, from up to eight footers spread over the files.

        The first file gives the columns, in its order. Where the others looked at have a wider
        type (int64 for int32, float64 for int64), that is the type. Integers and booleans of
        which one of these files says that values are missing are float64 and pandas' ``boolean``
        in every mini-batch; where only a later file has missing integers, those mini-batches are
        float64, with a warning.
        """
        footers = _some_footers(listing)
        if self.by_group:
            return _frame_spec(footers)
        schemas = _schemas(footers, Footers(listing).shown(listing.table[0]))

        def missing(name: str) -> bool:
            return any(_has_missing(footer, name) for footer in footers)

        columns = with_types(_columns(schemas, missing), self.set_column_types, missing)
        return ParquetSpec(
            columns=columns,
            strict_types=self.strict_types,
            warnings=(),
            declared=tuple(self.set_column_types or ()),
        )

    @override
    def splitter(
        self, spec: ParquetSpec, listing: Listing, mini_batch_size: int
    ) -> ParquetSplitter:
        return ParquetSplitter(listing, mini_batch_size, self.by_group)


def _some_footers(listing: Listing) -> list[Any]:
    """Read the footers of some files, the first file's first; those that can't be are left out."""
    table = listing.table
    if not len(table):
        raise DatasetError("path= lists no Parquet file. Give a folder, file or glob with some.")
    count = min(_SAMPLES, len(table))
    picked = sorted({len(table) * n // count for n in range(count)})
    footers = Footers(listing)

    def read(n: int) -> Any:
        try:
            return footers.read(table[n], table.sizes[n])
        except FooterError as error:
            return error

    with ThreadPoolExecutor(_SAMPLES, "daskrun-footers") as pool:
        found = list(pool.map(read, picked))
    readable = [footer for footer in found if not isinstance(footer, FooterError)]
    if not readable:
        raise DatasetError(f"no schema was found: {found[0]}") from found[0]
    return readable


def _schemas(footers: list[Any], shown_name: str) -> list[pa.Schema]:
    schemas = [footer.schema.to_arrow_schema() for footer in footers]
    names = schemas[0].names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DatasetError(
            f"{shown_name} has several columns of the name {twice[0]!r}. A table's columns need "
            "names of their own: write the file with other names."
        )
    return schemas


def _columns(schemas: list[pa.Schema], missing: Callable[[str], bool]) -> list[tuple[str, str]]:
    import pyarrow.types as kinds

    columns = []
    for column in schemas[0]:
        arrow = column.type
        for other in schemas[1:]:
            if other.get_field_index(column.name) >= 0:
                arrow = wider(arrow, other.field(column.name).type)
        lacks = (kinds.is_integer(arrow) or kinds.is_boolean(arrow)) and missing(column.name)
        if kinds.is_null(arrow):
            text = "text"  # nothing but missing values: pandas' str holds these, and later text
        elif lacks:
            text = "boolean" if kinds.is_boolean(arrow) else "int_as_float"
        else:
            text = type_text(arrow)
        columns.append((column.name, text))
    return columns


def _has_missing(footer: Any, name: str) -> bool:
    """Return whether the statistics of a file tell of missing values in a plain column."""
    paths = [footer.schema.column(n).path for n in range(footer.num_columns)]
    if name not in paths:
        return False
    position = paths.index(name)
    count = footer.num_row_groups
    picked = {count * n // _GROUPS for n in range(_GROUPS)} if count > _GROUPS else range(count)
    for group in picked:
        statistics = footer.row_group(group).column(position).statistics
        if statistics is not None and statistics.has_null_count and statistics.null_count:
            return True
    return False


def _frame_spec(footers: list[Any]) -> ParquetSpec:
    """Return a dataframe's columns as they were in memory, and what pandas must know of them.

    A column without one value in the first partition has the type of a later one.
    """
    told = [parsed(footer.metadata[FRAME_KEY]) for footer in footers]
    columns = []
    for name, text in told[0]["columns"]:
        texts = [dict(other["columns"]).get(name, text) for other in told]
        columns.append((name, _of_all(texts)))
    schema = footers[0].schema.to_arrow_schema()
    # Partitions of a Dask dataframe whose categories are unknown have lists of their own.
    same = all(other["dictionaries"] == told[0]["dictionaries"] for other in told)
    return ParquetSpec(
        columns=tuple(columns),
        strict_types=False,
        warnings=(),
        pandas=(schema.metadata or {}).get(b"pandas", b"").decode(),
        dictionaries=told[0]["dictionaries"] if same else {},
    )


def _of_all(texts: list[str]) -> str:
    """Return the type of a dataframe's column, by what it is in some of its partitions."""
    import pyarrow.types as kinds

    arrow = reduce(wider, map(arrow_type, texts))
    if kinds.is_boolean(arrow):
        return "boolean" if "boolean" in texts else "bool"
    return "text" if kinds.is_null(arrow) else type_text(arrow)
