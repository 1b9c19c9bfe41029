"""Values that don't fit their column, what was changed so that they do, and how both are told."""

from __future__ import annotations

from difflib import get_close_matches
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pyarrow as pa

_SHOWN = 100
"""Characters of a value that a message shows."""


class Reason(Enum):
    """Why a value can't be held."""

    OTHER_TYPE = "it is no value of the column's type"
    INEXACT = "the column's type would round it"
    MISSING = "it is missing, and strict_types=True"
    DECIMAL = "it is no whole number, and strict_types=True"

    @property
    def strict(self) -> bool:
        """Whether only ``strict_types=True`` makes it an error."""
        return self in (Reason.MISSING, Reason.DECIMAL)


class CoercionError(ValueError):
    """A value that its column's type can't hold; a reader makes a ``TableError`` of it.

    Parameters
    ----------
    row
        Position of the value in the column that was converted, from 0.
    """

    def __init__(self, row: int, value: object, reason: Reason, why: str) -> None:
        super().__init__(row, value, reason, why)
        self.row, self.value, self.reason, self.why = row, value, reason, why


class Change(Enum):
    """Why a column has another dtype in a mini-batch than in others; in words."""

    MISSING = "has missing values"
    DECIMAL = "has decimal values"

    def error(self, row: int, value: object) -> CoercionError:
        """Return the error that it is for a value where ``strict_types=True``."""
        missing = self is Change.MISSING
        what = "a missing value" if missing else "no whole number"
        why = f"is {what}, and with strict_types=True no dtype is changed to hold it"
        return CoercionError(row, value, Reason.MISSING if missing else Reason.DECIMAL, why)


class Fitted(NamedTuple):
    """A column that has its type."""

    values: pa.ChunkedArray
    """Of the type's Arrow type; float64 where a column of whole numbers met others."""
    change: Change | None = None
    """Why its pandas dtype isn't the usual one."""


class Warnings:
    """What a reader did to make data fit, each once."""

    def __init__(self) -> None:
        self._texts: dict[Any, str] = {}

    @property
    def texts(self) -> list[str]:
        """All of them, in the order they came."""
        return list(self._texts.values())

    def add(self, key: object, text: str) -> None:
        """Add a warning, unless there is one under this key."""
        self._texts.setdefault(key, text)

    def changed(self, found: Mapping[str, Fitted], types: Mapping[str, str]) -> None:
        """Warn of columns that have another dtype than in other mini-batches."""
        for name, (_, change) in found.items():
            if change:
                self.add((name, change), _change_text(name, types[name], change))

    def widened(self, name: str) -> None:
        """Warn of a column of whole numbers that became float64."""
        self.add(
            (name, float),
            f"column {name!r} holds whole numbers; where values are missing or decimal it is "
            f"float64. Write set_column_types={{{name!r}: DataType.to_float()}} to have float64 in "
            "every mini-batch, or strict_types=True to have such mini-batches fail.",
        )


def _change_text(name: str, kind: str, change: Change) -> str:
    fix = f"To have one dtype write set_column_types={{{name!r}: DataType.to_float()}}."
    start = f"column {name!r} {change.value}"
    if kind == "int_as_float":
        return f"{start} where the sample its type is from had whole numbers. {fix}"
    start += " that the sample its type is from had not: it is"
    if kind == "bool":
        return f"{start} boolean in the mini-batches where it does, bool in others."
    return f"{start} float64 in the mini-batches where it does, int64 in others. {fix}"


def cut(text: str) -> str:
    """Shorten a value for a message."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def listed(names: Sequence[str]) -> str:
    """List names for a message, the first five."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(map(repr, names[:5]))}{more}"


def alike(name: str, there: Collection[str]) -> str:
    """Return which columns are spelled alike, or which there are, for one that isn't there."""
    near = get_close_matches(name, there, 3, 0.6)
    if near:
        return f"Did you mean {', '.join(map(repr, near))}?"
    more = f" and {len(there) - 10} more" if len(there) > 10 else ""
    return f"There are {', '.join(map(repr, list(there)[:10]))}{more}."
