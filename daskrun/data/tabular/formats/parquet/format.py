"""Parquet files as a source of rows: their one schema, from the footers."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from daskrun.data.listing import check_files, list_files
from daskrun.data.protocols import PathElement, shown
from daskrun.data.tabular.formats.parquet.row_groups import FooterError, Footers, ParquetSplitter
from daskrun.data.tabular.values.types import DataType, arrow_type, shown_type, type_text
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from daskrun.data.listing import Listing

_SAMPLES = 8
"""Footers looked at for the schema, spread over the files."""
_GROUPS = 64
"""Row groups of a footer whose statistics are looked at, spread over the file."""
FRAME_KEY = b"daskrun.frame"
"""In a dataframe's file: JSON of its columns as a reader has them, and of the list of values of
each category."""


@dataclass(frozen=True, repr=False)
class ParquetSource:
    """Parquet files; made by ``Dataset.Tabular.from_parquet_files`` and for dataframes."""

    elements: tuple[PathElement, ...]
    """What ``path`` listed."""
    folder: str
    """What relative local paths are relative to."""
    include_path: bool = False
    """Whether rows say which file they are from; the loader adds that."""
    set_column_types: Mapping[str, DataType] | None = None
    """Types of columns that shall not be as the files have them."""
    partition_format: str | None = None
    """How columns are read from the path; the loader adds them."""
    strict_types: bool = False
    """Whether an integer column may not become float64 where values are missing."""
    by_group: bool = False
    """Each row group is one mini-batch, and pandas' own dtypes are kept: dataframes."""

    format = "parquet"

    def __repr__(self) -> str:
        one = len(self.elements) == 1
        what = shown(self.elements[0]) if one else f"[{', '.join(map(shown, self.elements[:3]))}"
        if not one:
            more = len(self.elements) - 3
            what += f", … {more} more]" if more > 0 else "]"
        options = ""
        if self.include_path:
            options += ", include_path=True"
        if self.set_column_types:
            options += f", set_column_types={dict(self.set_column_types)!r}"
        if self.partition_format is not None:
            options += f", partition_format={self.partition_format!r}"
        if self.strict_types:
            options += ", strict_types=True"
        return f"Dataset.Tabular.from_parquet_files({what}{options})"

    def check(self) -> None:
        """Check that files are there, and that the first can be read."""
        check_files(self.elements, self.folder)
        self.describe(self.listing())

    def listing(self) -> Listing:
        """Find the files, in order."""
        return list_files(self.elements, self.folder)

    def describe(self, listing: Listing) -> dict[str, Any]:
        """Find the schema, from up to eight footers spread over the files.

        The first file gives the columns, in its order. Where the others looked at have a wider
        type (int64 for int32, float64 for int64), that is the type. Integers and booleans of
        which one of these files says that values are missing are float64 and pandas' ``boolean``
        in every mini-batch; where only a later file has missing integers, those mini-batches are
        float64, with a warning.
        """
        footers = _some_footers(listing)
        reader: dict[str, Any] = {"format": self.format, "strict_types": self.strict_types}
        if self.by_group:
            columns = _frame_columns(footers, reader)
        else:
            schemas = _schemas(footers, Footers(listing).shown(listing.table[0]))
            columns = _columns(schemas, footers)
        reader["columns"] = [list(c) for c in with_types(columns, self.set_column_types)]
        reader["warnings"] = []
        return reader

    def splitter(
        self,
        reader: dict[str, Any],  # noqa: ARG002  (a part of the seam that other formats use)
        listing: Listing,
        mini_batch_size: int,
    ) -> ParquetSplitter:
        """Return what cuts the files."""
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


def _columns(schemas: list[pa.Schema], footers: list[Any]) -> list[tuple[str, str]]:
    import pyarrow.types as kinds

    columns = []
    for field in schemas[0]:
        arrow = field.type
        for other in schemas[1:]:
            if other.get_field_index(field.name) >= 0:
                arrow = _wider(arrow, other.field(field.name).type)
        missing = (kinds.is_integer(arrow) or kinds.is_boolean(arrow)) and any(
            _has_missing(footer, field.name) for footer in footers
        )
        if kinds.is_null(arrow):
            text = "text"  # nothing but missing values: pandas' str holds these, and later text
        elif missing:
            text = "boolean" if kinds.is_boolean(arrow) else "int_as_float"
        else:
            text = type_text(arrow)
        columns.append((field.name, text))
    return columns


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Return the type that holds both, or else the first."""
    import pyarrow as pa

    if one.equals(other):
        return one
    schemas = [pa.schema([("", one)]), pa.schema([("", other)])]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return one


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


def with_types(
    columns: list[tuple[str, str]], types: Mapping[str, DataType] | None
) -> list[tuple[str, str]]:
    """Return columns the types asked for."""
    asked = dict(types or {})
    names = [name for name, _ in columns]
    for name, kind in asked.items():
        if not isinstance(kind, DataType):
            raise DatasetError(
                f"set_column_types={{{name!r}: {kind!r}}} is no type. Write DataType.to_string(), "
                "to_long(), to_float(), to_bool() or to_datetime()."
            )
        if name not in names:
            near = get_close_matches(name, names, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise DatasetError(
                f"set_column_types={{{name!r}: {kind!r}}}: there is no column {name!r}.{hint} "
                f"There are {', '.join(map(repr, names[:20]))}."
            )
    return [(name, _asked(name, text, asked)) for name, text in columns]


def _asked(name: str, text: str, asked: dict[str, DataType]) -> str:
    import pyarrow.types as kinds

    if name not in asked:
        return text
    wanted = asked[name].type
    arrow = arrow_type(text)
    if (kinds.is_nested(arrow) or kinds.is_binary(arrow)) and not arrow.equals(arrow_type(wanted)):
        raise DatasetError(
            f"set_column_types={{{name!r}: {asked[name]!r}}}: the column is {shown_type(text)}, "
            "which has no such form. Leave it out, and change it in run()."
        )
    # That values are missing is known, whichever of the two types was asked for by name.
    known = {("int", "int_as_float"): text, ("bool", "boolean"): text}
    return known.get((wanted, text), wanted)


def _frame_columns(footers: list[Any], reader: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a dataframe's columns as they were in memory; to the reader, what pandas must know.

    A column without one value in the first partition has the type of a later one.
    """
    import pyarrow as pa

    told = [json.loads(footer.metadata[FRAME_KEY]) for footer in footers]
    nothing = type_text(pa.null())
    columns = []
    for name, _ in told[0]["columns"]:
        texts = (dict(other["columns"]).get(name, nothing) for other in (told[0], *told[1:]))
        columns.append((name, next((t for t in texts if t != nothing), "text")))
    schema = footers[0].schema.to_arrow_schema()
    reader["pandas"] = (schema.metadata or {}).get(b"pandas", b"").decode()
    # Partitions of a Dask dataframe whose categories are unknown have lists of their own.
    same = all(other["dictionaries"] == told[0]["dictionaries"] for other in told)
    reader["dictionaries"] = told[0]["dictionaries"] if same else {}
    return columns
