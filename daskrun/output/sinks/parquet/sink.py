"""``ParquetSink``: the results of a mini-batch as a row group."""

from __future__ import annotations

import contextlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.errors import WrongResultError
from daskrun.output.sinks.columns import columns_of
from daskrun.output.sinks.parquet.footer import Footer, contradiction, united
from daskrun.output.sinks.parquet.row_group import (
    file_of,
    headers_again,
    null_leaves,
    plain,
    row_group_of,
)
from daskrun.output.sinks.sink import EncodedRows, Sink

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from daskrun.output.sinks.sink import CommittedRows, Headers

_HINT = (
    "Give each column values of one type: texts, numbers, dates, lists or dicts of these, and None "
    "where there is none"
)


class ParquetSink(Sink):
    """Writes the results of a mini-batch as one row group.

    Columns are those of ``csv``; the index of a DataFrame is left out, NaN is null. Categories and
    texts of 64-bit length are plain texts: which of these pandas makes depends on the values.
    """

    header_aside = True
    packages = ("pyarrow>=17",)

    @override
    def notes(self, file_name: str) -> list[str]:
        if not file_name.endswith(".txt"):
            return []
        better = f"{file_name.removesuffix('.txt')}.parquet"
        note = f"append_row_file_name={file_name!r}: a Parquet file is written under this name."
        return [f"{note} Write append_row_file_name={better!r} for others to know it as one."]

    @override
    def headers(self, spool: str | None) -> Headers:
        return Footer(spool, self.columns == "union")

    @override
    def join_by_name(self, mini_batches: Iterable[CommittedRows], file: Path) -> None:
        import pyarrow as pa

        first, wanted = -1, pa.schema([])
        for each in mini_batches:
            schema, both = _table_of(each).schema, None
            if first < 0:
                first, wanted = each.mini_batch, schema
            elif self.columns == "union" or sorted(schema.names) == sorted(wanted.names):
                both = united(wanted, schema)
            if first != each.mini_batch and both is None:
                raise contradiction(each.mini_batch, schema, first, wanted)
            wanted = both or wanted
        with contextlib.closing(Footer(str(file.parent))) as footer, file.open("wb") as to:
            to.write(footer.begins)
            for each in mini_batches:
                table = _table_of(each)
                columns = [
                    table[name].cast(kind)
                    if name in table.column_names
                    else pa.nulls(len(table), kind)
                    for name, kind in zip(wanted.names, wanted.types, strict=True)
                ]
                rows, header = self._row_group(pa.table(columns, names=wanted.names))
                footer.take(each.mini_batch, rows[:header], len(rows) - header)
                to.write(rows[header:])
            to.writelines(footer.end())

    @override
    def headers_again(self, file: Path, places: Iterable[int]) -> Iterator[bytes]:
        return headers_again(file, places)

    @override
    def encode_elements(self, elements: Sequence[Any]) -> EncodedRows:
        if not len(elements):
            return EncodedRows(b"")
        import pyarrow as pa

        kind = type(elements).__name__
        names, columns = columns_of(elements)
        names = self._names(names, kind)
        arrays = []
        for name, column in zip(names, columns, strict=True):
            try:
                arrays.append(self._array(pa, column))
            except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
                problem = f"values that are no column of Parquet, {name!r}: {_line(error)}. {_HINT}"
                raise WrongResultError(kind, problem) from error
        return self._row_group(pa.table(arrays, names=names))

    @override
    def encode_frame(self, frame: Any) -> EncodedRows:
        if not len(frame):
            return EncodedRows(b"")
        import pyarrow as pa

        names = self._names([str(name) for name in frame.columns], "DataFrame")
        frame = frame.set_axis(names, axis="columns")
        try:
            try:
                table = pa.Table.from_pandas(frame, preserve_index=False, nthreads=1)
            except UnicodeEncodeError:
                texts = {name: frame[name].map(self._escaped) for name in _texts(frame)}
                table = pa.Table.from_pandas(
                    frame.assign(**texts), preserve_index=False, nthreads=1
                )
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            problem = f"a DataFrame that is no table of Parquet: {_line(error)}. {_HINT}"
            raise WrongResultError("DataFrame", problem) from error
        return self._row_group(table)

    def _names(self, names: Iterable[str], kind: str) -> list[str]:
        escaped = [self._escaped(name) for name in names]
        if len(set(escaped)) < len(escaped):
            shown = ", ".join(sorted(escaped))
            raise WrongResultError(kind, f"a {kind} with columns of one name: {shown}")
        if not escaped:
            raise WrongResultError(kind, f"a {kind} that has rows and no column")
        return escaped

    def _array(self, pa: Any, values: Any) -> Any:
        try:
            return pa.array(values, from_pandas=True)
        except UnicodeEncodeError:
            return pa.array([self._escaped(value) for value in values], from_pandas=True)

    def _escaped(self, value: Any) -> Any:
        """Return a value whose texts UTF-8 can hold."""
        if isinstance(value, str):
            return self.utf8(value).decode()
        if isinstance(value, dict):
            return {self._escaped(key): self._escaped(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._escaped(each) for each in value]
        return value

    def _row_group(self, table: Any) -> EncodedRows:
        import pyarrow as pa

        try:
            table = plain(table)
            return EncodedRows(*row_group_of(file_of(table), null_leaves(table.schema)))
        except pa.ArrowException as error:  # a union, an interval
            problem = f"values that Parquet has no type for: {_line(error)}. {_HINT}"
            raise WrongResultError("table", problem) from error


def _table_of(each: CommittedRows) -> Any:
    """Return the rows of a mini-batch as a table."""
    import pyarrow.parquet as pq

    with contextlib.closing(Footer()) as footer:
        footer.take(each.mini_batch, each.header, len(each.rows))
        whole = b"".join([footer.begins, each.rows, *footer.end()])
    return pq.read_table(BytesIO(whole)).replace_schema_metadata(None)


def _texts(frame: Any) -> Sequence[str]:
    return [name for name, kind in frame.dtypes.items() if str(kind) in ("object", "str", "string")]


def _line(error: BaseException) -> str:
    return " ".join(str(arg) for arg in error.args).replace("\n", " ").rstrip(".")
