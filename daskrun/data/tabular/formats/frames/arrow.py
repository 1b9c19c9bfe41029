"""A pandas frame as an Arrow table that becomes the same frame again, whole or in parts."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, time
from typing import Any

from daskrun.data.libraries import pa, pd
from daskrun.data.tabular.formats.frames.objects import mixed
from daskrun.data.tabular.values.coercion import CoercionError
from daskrun.data.tabular.values.hold import hold
from daskrun.data.tabular.values.kinds import Kind, kind_of
from daskrun.data.tabular.values.types import arrow_field, type_text
from daskrun.errors import DatasetError

MOST_ROWS = 64 * 2**20
"""Rows of a row group, at most: pyarrow writes no larger one."""


def check_names(names: Iterable[object], call: str) -> None:
    """Check that columns have names, each its own."""
    names = list(names)
    for name in names:
        if not isinstance(name, str):
            raise DatasetError(
                f"{call}: the column name {name!r} is no text. Write "
                "dataframe.rename(columns=str), or for several levels "
                "dataframe.set_axis(['a', 'b', …], axis='columns')."
            )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DatasetError(
            f"{call}: there are several columns of the name {twice[0]!r}. Give each its own name: "
            "dataframe.set_axis(['a', 'b', …], axis='columns')."
        )


def to_table(frame: pd.DataFrame, call: str, whole: bool = True) -> pa.Table:
    """Make the table, with pandas' metadata and without the index.

    Columns of Python objects that hold whole numbers with some missing become float64, truth values
    with some missing pandas' ``boolean``: of one dtype in every part of the frame. ``whole``:
    False: it is a part, and other parts say of what type a column is that has no value here. Raises
    DatasetError if a column has no name of its own, or values that have no common type.
    """
    check_names(frame.columns, call)
    _check_objects(frame, call)
    plain = _with_moments(frame, call)
    try:
        table = pa.Table.from_pandas(plain, preserve_index=False, nthreads=1)
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError, OverflowError):
        raise DatasetError(_wrong_column(frame, call)) from None
    table = _with_zones(table, plain)
    for field in table.schema:
        if pa.types.is_dictionary(field.type) and kind_of(field.type) in (Kind.OTHER, Kind.STRUCT):
            raise DatasetError(
                f"{call}: column {field.name!r} has categories that are {field.type.value_type}, "
                f"which Parquet can't hold. Write dataframe.astype({{{field.name!r}: 'str'}})."
            )
    for position, name in enumerate(table.column_names):
        column = table.column(position)
        if whole and pa.types.is_null(column.type):
            field = pa.field(name, pa.string())
            table = table.set_column(position, field, column.cast(pa.string()))
        if frame[name].dtype == object and column.null_count:
            if pa.types.is_integer(column.type):
                column = _as_floats(name, column, call)
                table = table.set_column(position, pa.field(name, pa.float64()), column)
            elif pa.types.is_boolean(column.type):
                table = table.set_column(position, arrow_field(name, "boolean"), column)
    return table


def _as_floats(name: str, column: pa.ChunkedArray, call: str) -> pa.ChunkedArray:
    try:
        return hold(column, pa.float64())
    except CoercionError as error:
        raise DatasetError(
            f"{call}: column {name!r} has missing values beside {error.value}, which float64, that "
            f"they need, can't hold. Write dataframe.astype({{{name!r}: 'Int64'}})."
        ) from None


def _with_zones(table: pa.Table, frame: pd.DataFrame) -> pa.Table:
    """Return the zones of categories, which pyarrow leaves out (17 does, 26 doesn't)."""
    for position, field in enumerate(table.schema):
        dtype: Any = frame.dtypes.iloc[position]
        zone = getattr(getattr(dtype, "categories", None), "tz", None)
        if zone is None or field.type.value_type.tz is not None:
            continue
        times = pa.timestamp(field.type.value_type.unit, str(zone))
        chunks = [
            pa.DictionaryArray.from_arrays(
                c.indices, c.dictionary.cast(times), ordered=dtype.ordered
            )
            for c in table.column(position).chunks
        ]
        table = table.set_column(position, field.name, pa.chunked_array(chunks))
    return table


def _check_objects(frame: pd.DataFrame, call: str) -> None:
    for name, dtype in frame.dtypes.items():
        categories = getattr(dtype, "categories", None)
        values = frame[name] if categories is None else categories
        if values.dtype != "object":
            continue
        if told := mixed(values.dropna(), moments=categories is None):
            raise DatasetError(
                f"{call}: column {name!r} holds values of different types {told}. Give it one: "
                f"dataframe.astype({{{name!r}: 'str'}})."
            )


def _with_moments(frame: pd.DataFrame, call: str) -> pd.DataFrame:
    """Return objects that are dates and times alike as times: Arrow would cut them without a word.

    Raises DatasetError: some times have a zone and some have none, or are times of day with a zone.
    """
    for name in frame.columns[frame.dtypes == "object"]:
        present = frame[name].dropna()
        if present.empty or not isinstance(present.iloc[0], date | time):
            continue
        kinds = {(isinstance(v, datetime), getattr(v, "tzinfo", None) is not None) for v in present}
        if kinds == {(True, False), (False, False)} and not any(
            isinstance(value, time) for value in present
        ):
            moments = present.map(lambda v: v if isinstance(v, datetime) else pd.Timestamp(v))
            frame = frame.assign(**{name: moments.reindex(frame.index).astype(object)})
        elif len(kinds) > 1 or (False, True) in kinds:
            raise DatasetError(
                f"{call}: column {name!r} holds dates and times of which only some have a time or "
                "a zone, or times of day with a zone. Give all the same: "
                f"dataframe.astype({{{name!r}: 'str'}}), or pandas.to_datetime(column, utc=True)."
            )
    return frame


def _wrong_column(frame: pd.DataFrame, call: str) -> str:
    for name in frame.columns:
        try:
            pa.Table.from_pandas(frame[[name]], preserve_index=False, nthreads=1)
        except (pa.ArrowException, TypeError, ValueError, NotImplementedError, OverflowError) as e:
            column = frame[name]
            if column.dtype != object:
                return (
                    f"{call}: column {name!r} is of dtype {column.dtype}, which Parquet can't "
                    f"hold. Write dataframe.astype({{{name!r}: …}}) with another dtype."
                )
            kinds = list(dict.fromkeys(type(v).__name__ for v in column if v is not None))
            if len(kinds) > 1:
                return (
                    f"{call}: column {name!r} holds values of different types "
                    f"({', '.join(kinds[:4])}). Give it one: dataframe.astype({{{name!r}: 'str'}})."
                )
            return (
                f"{call}: column {name!r} holds values of type {kinds[0] if kinds else 'None'}, "
                f"which a table can't: {' '.join(str(e).split())}. Drop or convert the column."
            )
    return f"{call}: the dataframe can't be a table. Try dataframe.to_parquet() on its own."


def columns_of(table: pa.Table) -> list[tuple[str, str]]:
    """Return the columns as a reader has them."""
    columns = []
    for column in table.schema:
        boolean = arrow_field(column.name, "boolean")
        told = column.equals(boolean, check_metadata=True)
        columns.append((column.name, "boolean" if told else type_text(column.type)))
    return columns


def rows_per_group(table: pa.Table, mini_batch_size: int) -> int:
    """Return how many rows have about ``mini_batch_size`` bytes in Arrow, at least 1."""
    if not table.num_rows or not table.nbytes:
        return MOST_ROWS
    rows = mini_batch_size * table.num_rows // int(table.nbytes)
    return int(min(MOST_ROWS, max(1, rows)))


def content(table: pa.Table) -> int:
    """Digest all of a table to 63 bits; the same values, names and dtypes give the same."""
    digest = hashlib.blake2b(digest_size=8)
    whole = table.combine_chunks()
    with pa.ipc.new_stream(pa.PythonFile(_Sink(digest), "w"), whole.schema) as stream:
        stream.write_table(whole)
    return int.from_bytes(digest.digest(), "little") >> 1


class _Sink:
    """A file that is only digested."""

    closed = False

    def __init__(self, digest: Any) -> None:
        self._digest = digest

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._digest.update(view)
        return view.nbytes

    def flush(self) -> None:
        """Nothing is held back."""
