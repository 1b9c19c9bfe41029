"""A list of results as a table: names of columns, rows, and which values are missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daskrun.errors import WrongResultError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COLUMN = "result"
"""Name of the column that values without a name are in."""
MISSING = ("NoneType", "NAType", "NaTType")
"""Names of the types whose values are missing ones."""
_NEVER_MISSING = frozenset({str, int, bool})


def columns_of(result: Any) -> tuple[list[str], list[Any]]:
    """Return the names of a result's columns, which is no DataFrame, and their values.

    Values that are in an array are left there.
    """
    dimensions, name = getattr(result, "ndim", 0), getattr(result, "name", None)
    if dimensions == 1 and result.dtype != object:
        return [COLUMN if name is None else str(name)], [result]
    if dimensions == 2:
        return [f"{COLUMN}_{number}" for number in range(result.shape[1])], list(result.T)
    names, rows = table_of(list(result), name)
    return names, [list(column) for column in zip(*rows, strict=True)]


def table_of(elements: Sequence[Any], name: object) -> tuple[list[str], Iterator[Sequence[Any]]]:
    """Return the columns of a list of results, and its rows."""
    kinds = {_kind(element) for element in elements}
    if len(kinds) > 1:
        raise WrongResultError("list", f"a list that holds {' and '.join(sorted(kinds))}")
    (kind,) = kinds
    if kind == "dicts":
        keys = list(dict.fromkeys(key for element in elements for key in element))
        return [str(key) for key in keys], ([each.get(key) for key in keys] for each in elements)
    if kind == "rows":
        widths = {len(element) for element in elements}
        if len(widths) > 1:
            counts = " and ".join(map(str, sorted(widths)))
            raise WrongResultError("list", f"a list of rows of {counts} values")
        fields = getattr(elements[0], "_fields", None)
        names = fields or [f"{COLUMN}_{number}" for number in range(widths.pop())]
        return list(names), iter(elements)
    return [COLUMN if name is None else str(name)], ([element] for element in elements)


def _kind(element: Any) -> str:
    if isinstance(element, Mapping):
        return "dicts"
    # a row of an array is an array itself
    if isinstance(element, list | tuple) or getattr(element, "ndim", 0) > 0:
        return "rows"
    return "values"


def is_missing(value: Any) -> bool:
    """Return whether a value is None or not a number, as ``to_csv`` sees it."""
    kind = type(value)
    if kind in _NEVER_MISSING:  # these two first: they are nearly all
        return False
    if kind is float:
        return bool(value != value)
    if kind.__name__ in MISSING:
        return True
    number = hasattr(value, "__float__") and getattr(value, "ndim", 0) == 0
    return number and bool(value != value)
