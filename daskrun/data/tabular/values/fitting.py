"""From columns as a parser gives them to those of the schema, and what has to be said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daskrun.data.tabular.values.coercion import Change, CoercionError, Fitted, cut
from daskrun.data.tabular.values.convert import convert
from daskrun.data.tabular.values.types import arrow_field, arrow_type, datetime_formats, shown_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa


def parsed_as(kind: str) -> pa.DataType:
    """Return the type that a parser shall make of a column, for :func:`finish` to go on from."""
    import pyarrow as pa

    if kind == "int_as_float":
        return pa.int64()  # cast then: read as a float it would be rounded without a word
    return pa.string() if datetime_formats(kind) else arrow_type(kind)


def finish(column: pa.ChunkedArray, kind: str) -> Fitted:
    """Do what a parser could not while it parsed."""
    import pyarrow as pa

    if kind == "int_as_float":
        return Fitted(column.cast(pa.float64()))
    if kind in ("int", "bool") and column.null_count:
        values = column.cast(pa.float64()) if kind == "int" else column
        return Fitted(values, Change.MISSING)
    if datetime_formats(kind):
        return convert(column, kind)
    return Fitted(column)


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


def coercion_text(where: str, name: str, kind: str, error: CoercionError) -> str:
    """Return what is wrong with a value and what to do."""
    ways = f"have the column as text: set_column_types={{{name!r}: DataType.to_string()}}"
    if kind != "bool" and error.reason.strict:
        ways = f"have float64 everywhere: set_column_types={{{name!r}: DataType.to_float()}}"
    return (
        f"{where}, column {name!r} ({shown_type(kind)}): {cut(str(error.value))!r} {error.why}. "
        f"Mend the value, or {ways}."
    )
