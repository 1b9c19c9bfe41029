"""Values that don't fit their column, what was changed so that they do, and how both are told."""

from __future__ import annotations

from difflib import get_close_matches
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from daskrun.core.warned import FIRST_MET
from daskrun.data.tabular.values.types import asking

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import pyarrow as pa

_SHOWN = 100
"""Characters of a value that a message shows."""


class Reason(Enum):
    """Why a value can't be held."""

    OTHER_TYPE = "it is no value of the column's type"
    TEXT = "it is text, and only set_column_types has it read as what is written"
    INEXACT = "the column's type would change it"
    DECIMAL = "it is a number, and no whole one as the column's type says"
    STRICT = "it would be widened, and strict_types=True"


class CoercionError(ValueError):
    """A value that its column's type can't hold; a reader makes a ``TableError`` of it.

    ``row``: position of the value in the column that was converted, from 0. ``path``: where in a
    nested value it is, such as ``.a[3].id``.
    """

    def __init__(self, row: int, value: object, reason: Reason, why: str, path: str = "") -> None:
        super().__init__(row, value, reason, why, path)
        self.row, self.value, self.reason, self.why, self.path = row, value, reason, why, path

    def inside(self, row: int, step: str) -> CoercionError:
        """Return the same error of the value that this one is a part of."""
        return CoercionError(row, self.value, self.reason, self.why, f"{step}{self.path}")


class Change(Enum):
    """How a column is widened in a mini-batch to hold all of its values; in words."""

    MISSING = "has missing values"
    DECIMAL = "has decimal values"
    TEXT = "has values that are no text"
    CATEGORIES = "has values that are none of its ordered categories"

    def error(self, row: int, value: object) -> CoercionError:
        """Return the error that it is for a value where ``strict_types=True``."""
        what = {
            Change.MISSING: "a missing value",
            Change.DECIMAL: "no whole number",
            Change.TEXT: "no text",
            Change.CATEGORIES: "none of the ordered categories of the sample",
        }[self]
        why = f"is {what}, and with strict_types=True no column is widened to hold it"
        return CoercionError(row, value, Reason.STRICT, why)


class Fitted(NamedTuple):
    """A column that has its type."""

    values: pa.ChunkedArray
    """Of the type's Arrow type; float64 where a column of whole numbers met others."""
    change: Change | None = None
    """How it was widened."""
    row: int = 0
    """The first value that it was widened for."""


class Warnings:
    """What a reader did to make data fit, each once."""

    def __init__(self, of_frame: bool = False) -> None:
        self._texts: dict[Any, str] = {}
        self._of_frame = of_frame

    @property
    def texts(self) -> list[str]:
        """All of them, in the order they came."""
        return list(self._texts.values())

    def add(self, key: object, text: str) -> None:
        """Add a warning, unless there is one under this key."""
        self._texts.setdefault(key, text)

    def widened(self, name: str, type_text: str, change: Change, where: Callable[[], str]) -> None:
        """Warn of a column that was widened in a mini-batch, at ``where`` first."""
        if (name, change) not in self._texts:
            calls = {call: asking(name, call, self._of_frame) for call in ("to_float", "to_string")}
            how = (_HOW.get((change, type_text)) or _HOW[change]).format(**calls)
            text = f"column {name!r} {change.value}{how}{FIRST_MET}{where()}."
            self.add((name, change), text)


_HAD, _DO = " where the sample its type is from had ", "in the mini-batches that do it "
_FLOAT, _TEXT = "To have one dtype write {to_float}.", "write {to_string}."
_HOW: dict[Change | tuple[Change, str], str] = {
    Change.MISSING: f"{_HAD}none: {_DO}is float64, in others whole numbers. " + _FLOAT,
    (Change.MISSING, "bool"): f"{_HAD}none: {_DO}is boolean, in others bool.",
    Change.DECIMAL: f"{_HAD}whole numbers: {_DO}is float64. " + _FLOAT,
    (Change.DECIMAL, "int_as_float"): f"{_HAD}whole numbers. " + _FLOAT,
    Change.TEXT: f"{_HAD}text alone: they are written as text. To say that this is meant " + _TEXT,
    Change.CATEGORIES: f" in the files that its type is from: {_DO}has more of them. To have text "
    + _TEXT,
}
"""What is told of a column that was widened, of all types or one; for :meth:`str.format`."""


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
