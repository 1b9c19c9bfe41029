"""What formats whose rows are in files have in common, and what all check of their arguments."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, ClassVar

from daskrun.core.rules import size
from daskrun.core.typing import override
from daskrun.data.listing import Listing, check_files, list_files
from daskrun.data.patterns import ALL, NO_DATA
from daskrun.data.protocols import PathElement, shown_elements
from daskrun.data.tabular.formats.contract import Source
from daskrun.data.tabular.values.coercion import alike
from daskrun.data.tabular.values.types import DataType
from daskrun.errors import DatasetError


def check_unpacked(value: object) -> None:
    """Check that ``max_unpacked`` is a size, or None."""
    try:
        if value is not None:
            size()(value)
    except ValueError as error:
        raise DatasetError(
            f"max_unpacked={value!r} {error}. Write max_unpacked='20GB', or None for 100 times the "
            "size of the compressed file, and 4 GB at least."
        ) from None


@dataclass(frozen=True, eq=False, repr=False)
class FileSource(Source):
    """Files of a format; what a method of ``Dataset.Tabular`` was given.

    Raises DatasetError if an argument can't be what it is.
    """

    made_by: ClassVar[str]
    """That method."""

    elements: tuple[PathElement, ...]
    """What ``path`` listed."""
    folder: str
    """What relative local paths are relative to."""
    include_path: bool = False
    set_column_types: Mapping[str, DataType] | None = None
    partition_format: str | None = None
    strict_types: bool = False
    """True: a value that changes a column's dtype in its mini-batch fails it."""
    include_hidden: bool = False
    """True: files and folders whose names begin with ``_`` or ``.`` are data, too."""

    def __post_init__(self) -> None:
        check_types(self.set_column_types)

    @override
    def __repr__(self) -> str:
        return call_text(self.made_by, shown_elements(self.elements), self)

    @override
    def listing(self) -> Listing:
        return _filled(list_files(self.elements, self.folder, self._hidden))

    def first_files(self) -> Listing:
        """Find a few files, and check that each element of ``path`` means some."""
        return _filled(check_files(self.elements, self.folder, self._hidden))

    @property
    def _hidden(self) -> str:
        return ALL if self.include_hidden else NO_DATA


def _filled(found: Listing) -> Listing:
    """Leave out files of 0 bytes, unless there are no others."""
    empty = found.table.sizes.count(0)
    if not empty or empty == len(found.table):  # all: describe() says that there is no schema
        return found
    first = next(name for name, size, _ in found.table.rows() if size == 0)
    more = f" and {empty - 1:,} more are" if empty > 1 else " is"
    note = f"{first!r}{more} left out: files of 0 bytes have no rows."
    table = found.table.chosen([size != 0 for size in found.table.sizes])
    return replace(found, table=table, notes=(note,))


def call_text(method: str, first: str, source: Any, **shown: str) -> str:
    """Return the call that makes a source, with the arguments that aren't their defaults.

    ``shown`` stands for fields that may hold a password.
    """
    told = [first]
    for each in fields(source):
        value = shown.get(each.name, getattr(source, each.name) if each.repr else each.default)
        if each.default is not MISSING and value != each.default:
            told.append(f"{each.name}={value!r}")
    return f"Dataset.Tabular.{method}({', '.join(told)})"


def check_types(types: Mapping[str, DataType] | None) -> None:
    """Check that ``set_column_types`` maps names to types."""
    if types is None:
        return
    if not isinstance(types, Mapping) or not all(isinstance(name, str) for name in types):
        raise DatasetError(
            f"set_column_types={types!r} is not a dict of names and types. Write "
            "set_column_types={'id': DataType.to_string()}."
        )
    for name, kind in types.items():
        if not isinstance(kind, DataType):
            raise DatasetError(
                f"set_column_types={{{name!r}: {kind!r}}}: that is no type. Write "
                "DataType.to_string(), to_long(), to_float(), to_bool() or to_datetime()."
            )


def check_known(types: Mapping[str, DataType] | None, columns: Collection[str]) -> None:
    """Check that the columns of ``set_column_types`` are there."""
    for name, kind in (types or {}).items():
        if name not in columns:
            given = f"set_column_types={{{name!r}: {kind!r}}}"
            raise DatasetError(f"{given}: there is no column {name!r}. {alike(name, columns)}")
