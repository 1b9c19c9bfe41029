"""What sources of several formats check of their arguments, and how they show themselves."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from daskrun.data.protocols import shown
from daskrun.data.tabular.values.types import DataType
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_types(set_column_types: Mapping[str, DataType] | None) -> None:
    """Check that ``set_column_types`` maps names to types.

    Raises
    ------
    DatasetError
        If it is something else.
    """
    if set_column_types is None:
        return
    shown_types = f"set_column_types={set_column_types!r}"
    if not isinstance(set_column_types, Mapping):
        raise DatasetError(
            f"{shown_types} is no dictionary. Write {{'column': DataType.to_string()}}."
        )
    for name, data_type in set_column_types.items():
        if not isinstance(data_type, DataType):
            raise DatasetError(
                f"{shown_types}: {data_type!r} of column {name!r} is no type. Write one such as "
                "DataType.to_string()."
            )


def check_known(set_column_types: Mapping[str, DataType] | None, columns: Sequence[str]) -> None:
    """Check that the columns of ``set_column_types`` are there.

    Raises
    ------
    DatasetError
        If one is not; names those that are spelled alike.
    """
    for name in set_column_types or {}:
        if name not in columns:
            near = get_close_matches(name, columns, 3, 0.6) or columns[:10]
            raise DatasetError(
                f"set_column_types={set_column_types!r}: there is no column {name!r}. There is "
                f"{', '.join(map(repr, near))}."
            )


def call_text(function: str, source: Any, defaults: Mapping[str, Any]) -> str:
    """Return the call that makes a source, with the arguments that aren't its defaults."""
    elements = source.elements
    more = f", … {len(elements) - 3} more" if len(elements) > 3 else ""
    paths = ", ".join(map(shown, elements[:3]))
    path = paths if len(elements) == 1 else f"[{paths}{more}]"
    others = "".join(
        f", {name}={getattr(source, name)!r}"
        for name, default in defaults.items()
        if getattr(source, name) != default
    )
    return f"Dataset.Tabular.{function}({path}{others})"
