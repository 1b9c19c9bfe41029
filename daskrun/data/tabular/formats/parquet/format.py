"""Parquet files as a source of rows: their one schema, from the footers."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

from daskrun.core.json_text import parsed
from daskrun.core.typing import override
from daskrun.data.libraries import pa
from daskrun.data.tabular.formats.files import FileSource
from daskrun.data.tabular.formats.parquet.categories import FRAME_KEY, orders_of, unpack_values
from daskrun.data.tabular.formats.parquet.row_groups import FooterError, Footers, ParquetSplitter
from daskrun.data.tabular.formats.parquet.spec import ParquetSpec
from daskrun.data.tabular.formats.typed_columns import with_types
from daskrun.data.tabular.values.convert import EXACT
from daskrun.data.tabular.values.infer import Inferred, is_float, too_long
from daskrun.data.tabular.values.kinds import roomy, wider
from daskrun.data.tabular.values.types import arrow_type, type_text
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        files = Footers(listing)
        looked_at, footers = _some_footers(listing, files)
        if self.by_group:
            return _frame_spec(footers)
        schemas = _schemas(footers, files.shown(listing.table[0]))
        known = [_known(each) for each in footers]
        found, asked = _columns(schemas, known), self.set_column_types or {}
        plain = [(name, each.type) for name, each in found.items()]
        others = {name: each for name, each in found.items() if name not in asked}

        def lists(column: str) -> list[pa.Array]:
            each = (files.categories(name, column) for name in looked_at)
            return [values for values in each if values is not None]

        columns = with_types(
            plain, asked, lambda name: _has_missing(known, name), lambda name: _texts(known, name)
        )
        return ParquetSpec(
            columns=columns,
            strict_types=self.strict_types,
            warnings=tuple(each.warning for each in others.values() if each.warning),
            declared=(*asked, *(name for name, each in others.items() if each.known)),
            dictionaries=orders_of(columns, lists) or None,
        )

    @override
    def splitter(
        self, spec: ParquetSpec, listing: Listing, mini_batch_size: int
    ) -> ParquetSplitter:
        return ParquetSplitter(listing, mini_batch_size, self.by_group)


def _some_footers(listing: Listing, footers: Footers) -> tuple[list[str], list[Any]]:
    """Read the footers of some files, the first file's first; names and footers of those read."""
    table = listing.table
    if not len(table):
        raise DatasetError("path= lists no Parquet file. Give a folder, file or glob with some.")
    count = min(_SAMPLES, len(table))
    picked = sorted({len(table) * n // count for n in range(count)})

    def read(n: int) -> Any:
        try:
            return footers.read(table[n], table.sizes[n])
        except FooterError as error:
            return error

    with ThreadPoolExecutor(_SAMPLES, "daskrun-footers") as pool:
        found = list(pool.map(read, picked))
    readable = [n for n, each in enumerate(found) if not isinstance(each, FooterError)]
    if not readable:
        raise DatasetError(f"no schema was found: {found[0]}") from found[0]
    return [table[picked[n]] for n in readable], [found[n] for n in readable]


def _schemas(footers: list[Any], shown_name: str) -> list[pa.Schema]:
    schemas = [footer.schema.to_arrow_schema() for footer in footers]
    names = schemas[0].names
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise DatasetError(
            f"{shown_name} has several columns of the name {twice[0]!r}. A table's columns need "
            "names of their own: write the file with other names."
        )
    return schemas


class _Footer(NamedTuple):
    """What a file tells of its columns."""

    metadata: Any
    positions: dict[str, int]
    """Where each plain column is: to look for one would take time for each of the others."""


def _known(footer: Any) -> _Footer:
    paths = [footer.schema.column(n).path for n in range(footer.num_columns)]
    return _Footer(footer, {path: n for n, path in reversed([*enumerate(paths)])})


def _columns(schemas: list[pa.Schema], footers: list[_Footer]) -> dict[str, Inferred]:
    columns = {}
    types = [dict(zip(schema.names, schema.types, strict=True)) for schema in schemas]
    for column in schemas[0]:
        others = [roomy(each[column.name]) for each in types if column.name in each]
        arrow = reduce(wider, others)
        columns[column.name] = _inferred(column.name, arrow, others, footers)
    return columns


def _inferred(
    name: str, arrow: pa.DataType, found: list[pa.DataType], footers: list[_Footer]
) -> Inferred:
    """Return the type of a column, in view of what statistics say of missing and large values."""
    if pa.types.is_null(arrow):
        return Inferred("text")  # nothing but missing values: pandas' str holds these, and text
    if pa.types.is_boolean(arrow):
        return Inferred("boolean" if _has_missing(footers, name) else "bool")
    missing = pa.types.is_integer(arrow) and _has_missing(footers, name)
    if missing or (pa.types.is_floating(arrow) and any(map(pa.types.is_integer, found))):
        known = [s for each in footers for s in _statistics(each, name) if s and s.has_min_max]
        ends = [n for s in known for n in (s.min, s.max) if isinstance(n, int)]
        large = [n for n in ends if (abs(n) > EXACT if missing else not is_float(n))]
        if large:
            return too_long(name, large[0], "missing" if missing else "decimal")
    return Inferred("int_as_float" if missing else type_text(arrow))


def _has_missing(footers: list[_Footer], name: str) -> bool:
    return any(
        statistics is None or (statistics.has_null_count and statistics.null_count > 0)
        for footer in footers
        for statistics in _statistics(footer, name)
    )


def _texts(footers: list[_Footer], name: str) -> list[str]:
    """Return the first and the last text of a column in each place looked at."""
    known = [s for each in footers for s in _statistics(each, name) if s and s.has_min_max]
    return [end for s in known for end in (s.min, s.max) if isinstance(end, str)]


def _statistics(footer: _Footer, name: str) -> Iterator[Any]:
    """Yield the statistics of some of a file's row groups; None for one with no value at all."""
    told, position = footer.metadata, footer.positions.get(name)
    if position is None:
        return
    count = told.num_row_groups
    empty = str(told.schema.column(position).logical_type) == "Null"
    picked = {count * n // _GROUPS for n in range(_GROUPS)} if count > _GROUPS else range(count)
    for group in picked:
        statistics = None if empty else told.row_group(group).column(position).statistics
        if empty or statistics is not None:
            yield statistics


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
    found = [other["dictionaries"] for other in told]

    def lists(column: str) -> list[pa.Array]:
        return [unpack_values(each[column]) for each in found if column in each]

    same = all(each == found[0] for each in found)
    return ParquetSpec(
        columns=tuple(columns),
        strict_types=False,
        warnings=(),
        pandas=(schema.metadata or {}).get(b"pandas", b"").decode(),
        dictionaries=found[0] if same else orders_of(columns, lists),
    )


def _of_all(texts: list[str]) -> str:
    """Return the type of a dataframe's column, by what it is in some of its partitions."""
    arrow = reduce(wider, (roomy(arrow_type(text)) for text in texts))
    if pa.types.is_boolean(arrow):
        return "boolean" if "boolean" in texts else "bool"
    return "text" if pa.types.is_null(arrow) else type_text(arrow)
