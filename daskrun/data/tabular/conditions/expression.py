"""Conditions on a table's columns: ``dataset['age'] > 3``, built lazily, evaluated per mini-batch.

A condition travels as builtins (:attr:`Condition.plain`):

- ``("compare", op, left, right)``, an operand being ``("column", name)`` or ``("value", kind, v)``
- ``("isin", name, [operand, ...])``, ``("missing", name)``, ``("text", how, name, text)``
- ``("not", a)``, ``("and", a, b)``, ``("or", a, b)``
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date, datetime
from functools import reduce
from typing import Any, NoReturn

from daskrun.errors import DatasetError

Plain = tuple[Any, ...]


class _Joined:
    """What is joined with ``&``, ``|`` and ``~``, and has no truth of its own."""

    __slots__ = ()

    def __and__(self, other: object) -> Condition:
        return Condition(("and", as_condition(self, "&").plain, as_condition(other, "&").plain))

    def __or__(self, other: object) -> Condition:
        return Condition(("or", as_condition(self, "|").plain, as_condition(other, "|").plain))

    def __rand__(self, other: object) -> Condition:
        return as_condition(other, "&") & self

    def __ror__(self, other: object) -> Condition:
        return as_condition(other, "|") | self

    def __invert__(self) -> Condition:
        return Condition(("not", as_condition(self, "~").plain))

    def __bool__(self) -> NoReturn:
        raise DatasetError(
            f"{self!r} is true for some rows and false for others. Write & for 'and', | for 'or' "
            "and ~ for 'not', each comparison in parentheses: (dataset['a'] > 1) & (dataset['a'] < "
            "5)."
        )


class Condition(_Joined):
    """What is true or false of each row; join with ``&``, ``|`` and ``~``.

    A comparison with a missing value is false, ``!=`` included; ``~`` turns it into true.
    ``plain``: as the file's docstring says.

    Examples
    --------
    >>> (Column("age") > 3) & ~Column("name").isin(["a", "b"])
    (dataset['age'] > 3) & ~dataset['name'].isin(['a', 'b'])
    """

    __slots__ = ("plain",)

    def __init__(self, plain: Plain) -> None:
        self.plain = plain

    def __repr__(self) -> str:
        return written(self.plain)


class Column(_Joined):
    """A column of a tabular dataset, for conditions; ``dataset['age']``.

    A column of booleans is a condition itself. ``name``: of the column.

    Examples
    --------
    >>> Column("age") >= 18
    dataset['age'] >= 18
    """

    __slots__ = ("name",)
    __hash__ = None  # type: ignore[assignment]  # == makes a condition

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"dataset[{self.name!r}]"

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return self._compare("==", other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return self._compare("!=", other)

    def __lt__(self, other: object) -> Condition:
        return self._compare("<", other)

    def __le__(self, other: object) -> Condition:
        return self._compare("<=", other)

    def __gt__(self, other: object) -> Condition:
        return self._compare(">", other)

    def __ge__(self, other: object) -> Condition:
        return self._compare(">=", other)

    def isin(self, values: Iterable[object]) -> Condition:
        """Return whether the value is one of these."""
        if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
            raise DatasetError(
                f"{self!r}.isin({values!r}): give a list of values, such as isin([1, 2])."
            )
        operands = tuple(_operand(each, self) for each in values)
        if any(operand[0] == "column" for operand in operands):
            raise DatasetError(f"{self!r}.isin({values!r}) holds a column. Give values.")
        return Condition(("isin", self.name, operands))

    def between(self, low: object, high: object) -> Condition:
        """Return whether the value is at least ``low`` and at most ``high``."""
        return (self >= low) & (self <= high)

    def is_null(self) -> Condition:
        """Return whether the value is missing."""
        return Condition(("missing", self.name))

    def not_null(self) -> Condition:
        """Return whether the value is there."""
        return ~self.is_null()

    def starts_with(self, text: str) -> Condition:
        """Return whether a text begins with ``text``."""
        return self._text("starts_with", text)

    def ends_with(self, text: str) -> Condition:
        """Return whether a text ends with ``text``."""
        return self._text("ends_with", text)

    def contains(self, text: str) -> Condition:
        """Return whether a text holds ``text``, as it is written."""
        return self._text("contains", text)

    def _compare(self, op: str, other: object) -> Condition:
        return Condition(("compare", op, ("column", self.name), _operand(other, self)))

    def _text(self, how: str, text: str) -> Condition:
        if not isinstance(text, str):
            raise DatasetError(f"{self!r}.{how}({text!r}): give a text.")
        return Condition(("text", how, self.name, text))


def as_condition(value: object, where: str) -> Condition:
    """Take a condition, or a column of booleans.

    Raises DatasetError: it is neither: mostly a comparison that lacks its parentheses.
    """
    if isinstance(value, Condition):
        return value
    if isinstance(value, Column):
        return value == True  # noqa: E712  (makes a condition)
    fix = "Put each comparison in parentheses:"
    if where == "filter()":
        fix = "Make them of the dataset's columns, each comparison in parentheses:"
    raise DatasetError(
        f"{value!r} is of type {type(value).__name__}, and {where} takes conditions. {fix} "
        "(dataset['a'] > 1) & (dataset['b'] == 'x')."
    )


def uses(plain: Plain) -> set[str]:
    """Return the names of the columns that a condition looks at."""
    kind = plain[0]
    if kind == "compare":
        return {operand[1] for operand in plain[2:] if operand[0] == "column"}
    if kind in ("isin", "missing"):
        return {plain[1]}
    if kind == "text":
        return {plain[2]}
    return set().union(*(uses(part) for part in plain[1:]))


def all_of(plain: Plain) -> list[Plain]:
    """Return the conditions that must all be true for this one to be."""
    return [*all_of(plain[1]), *all_of(plain[2])] if plain[0] == "and" else [plain]


def joined(conditions: list[Plain]) -> Plain:
    """Return the condition that all of these are true; there is at least one."""
    return reduce(lambda one, other: ("and", one, other), conditions)


def written(plain: Plain) -> str:
    """Write a condition as the user would."""
    kind = plain[0]
    if kind == "compare":
        return f"{_shown(plain[2])} {plain[1]} {_shown(plain[3])}"
    if kind == "isin":
        return f"dataset[{plain[1]!r}].isin([{', '.join(map(_shown, plain[2]))}])"
    if kind == "missing":
        return f"dataset[{plain[1]!r}].is_null()"
    if kind == "text":
        return f"dataset[{plain[2]!r}].{plain[1]}({plain[3]!r})"
    if kind == "not":
        return f"~{_enclosed(plain[1])}"
    sign = "&" if kind == "and" else "|"
    return f"{_enclosed(plain[1])} {sign} {_enclosed(plain[2])}"


def _enclosed(plain: Plain) -> str:
    text = written(plain)
    return f"({text})" if plain[0] in ("compare", "and", "or") else text


def _shown(operand: Plain) -> str:
    if operand[0] == "column":
        return f"dataset[{operand[1]!r}]"
    kind, value = operand[1:]
    return f"{kind}({value!r})" if kind in ("datetime", "date") else repr(value)


def _operand(value: object, column: Column) -> Plain:
    """Turn what a column is compared with into builtins."""
    if isinstance(value, Column):
        return ("column", value.name)
    if hasattr(value, "dtype") and hasattr(value, "item"):  # a number or date of numpy
        value = _of_numpy(value)
    if isinstance(value, datetime):
        missing = value != value  # pandas.NaT is a datetime
        if not missing:
            return ("value", "datetime", value.isoformat())
    elif isinstance(value, date):
        return ("value", "date", value.isoformat())
    elif isinstance(value, (bool, int, str)):
        plain = bool(value) if isinstance(value, bool) else value
        return ("value", type(plain).__name__, plain)
    elif isinstance(value, float) and not math.isnan(value):
        return ("value", "float", float(value))
    elif value is not None and not isinstance(value, float):
        raise DatasetError(
            f"{column!r} can't be compared with {value!r} of type {type(value).__name__}. Give a "
            "number, a text, a bool, a date, a datetime or another column of the dataset."
        )
    raise DatasetError(
        f"{column!r} is compared with {value!r}: nothing equals a missing value. Write "
        f"{column!r}.is_null() or {column!r}.not_null()."
    )


def _of_numpy(value: Any) -> object:
    if value.dtype.kind == "M":  # item() of nanoseconds is an int
        value = value.astype("datetime64[us]")
    return value.item() if value.ndim == 0 else value
