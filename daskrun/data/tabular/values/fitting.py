"""From columns as a parser gives them to those of the schema, and what has to be said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from daskrun.data.tabular.values.convert import Misfit, convert
from daskrun.data.tabular.values.types import arrow_field, arrow_type, datetime_formats, shown_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

_SHOWN = 100
"""Characters of a value that a message shows."""


_STRICT = "and with strict_types=True no dtype is changed to hold it"
"""How a finding ends that only ``strict_types=True`` makes an error."""


class Unfit(Exception):  # noqa: N818  (never seen outside a reader)
    """The quick way won't do: what is the matter is found out column by column."""


class Fitted(NamedTuple):
    """A column that was read, and what changed its dtype; mostly empty."""

    values: pa.ChunkedArray
    change: str


def parsed_as(kind: str) -> pa.DataType:
    """Return the type that a parser shall make of a column, for :func:`finish` to go on from."""
    import pyarrow as pa

    if kind == "int_as_float":
        return pa.int64()  # cast then: read as a float it would be rounded without a word
    return pa.string() if datetime_formats(kind) else arrow_type(kind)


def finish(column: pa.ChunkedArray, kind: str) -> Fitted:
    """Do what a parser could not while it parsed.

    Raises
    ------
    pyarrow.ArrowInvalid, Misfit
        If a value can't be held.
    """
    import pyarrow as pa

    if kind == "int_as_float":
        return Fitted(column.cast(pa.float64()), "")
    if kind in ("int", "bool") and column.null_count:
        values = column.cast(pa.float64()) if kind == "int" else column
        return Fitted(values, "has missing values")
    if datetime_formats(kind):
        return Fitted(*convert(column, kind))
    return Fitted(column, "")


def assembled(
    columns: Iterable[str], types: Mapping[str, str], found: Mapping[str, Fitted], rows: int
) -> pa.Table:
    """Join columns in this order; one that wasn't found is missing throughout."""
    import pyarrow as pa

    arrays, fields = [], []
    for name in columns:
        field = arrow_field(name, types[name])
        if name not in found:
            values = pa.nulls(rows, field.type)
        else:
            values = found[name].values
            if not values.type.equals(field.type):
                field = pa.field(name, values.type)
        arrays.append(values)
        fields.append(field)
    if not arrays:
        return pa.table({"": pa.nulls(rows)}).select([])  # which still knows how many rows it has
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


class Warnings:
    """What a reader did to make data fit, each once."""

    def __init__(self) -> None:
        self._texts: dict[Any, str] = {}

    @property
    def texts(self) -> list[str]:
        """All of them, in the order they came."""
        return list(self._texts.values())

    def add(self, key: object, text: str) -> None:
        """Say something, unless it was said already under this key."""
        self._texts.setdefault(key, text)

    def changed(self, found: Mapping[str, Fitted], types: Mapping[str, str]) -> None:
        """Say which columns have another dtype than in other mini-batches."""
        for name, (_, change) in found.items():
            if change:
                self.add((name, change), _change_text(name, types[name], change))


def _change_text(name: str, kind: str, change: str) -> str:
    fix = f"To have one dtype write set_column_types={{{name!r}: DataType.to_float()}}."
    if kind == "bool":
        return (
            f"column {name!r} {change} that the sample its type is from had not: it is boolean in "
            "the mini-batches where it does, bool in others."
        )
    if kind == "int_as_float":
        return (
            f"column {name!r} {change} where the sample its type is from had whole numbers. {fix}"
        )
    return (
        f"column {name!r} {change} that the sample its type is from had not: it is float64 in the "
        f"mini-batches where it does, int64 in others. {fix}"
    )


def strict_misfit(row: int, value: str, change: str) -> Misfit:
    """Return the finding for a value that changes a dtype where ``strict_types=True``."""
    what = "a missing value" if change.endswith("missing values") else "no whole number"
    return Misfit(row, value, f"is {what}, {_STRICT}")


def misfit_text(where: str, name: str, kind: str, misfit: Misfit) -> str:
    """Return what is wrong with a value and what to do."""
    ways = f"have the column as text: set_column_types={{{name!r}: DataType.to_string()}}"
    if kind != "bool" and misfit.why.endswith(_STRICT):
        ways = f"have float64 everywhere: set_column_types={{{name!r}: DataType.to_float()}}"
    return (
        f"{where}, column {name!r} ({shown_type(kind)}): {cut(misfit.value)!r} {misfit.why}. Mend "
        f"the value, or {ways}."
    )


def cut(text: str) -> str:
    """Shorten a value for a message."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def listed(names: Sequence[str]) -> str:
    """List names for a message, the first five."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(map(repr, names[:5]))}{more}"
