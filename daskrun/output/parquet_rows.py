"""Results as row groups of Parquet: the format ``parquet`` of ``append_row_format``."""

from __future__ import annotations

from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING, Any

from daskrun.errors import WrongResultError
from daskrun.output.encode import ResultEncoder
from daskrun.output.row_group import row_group_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class ParquetEncoder(ResultEncoder):
    """Encodes the results of a mini-batch as one row group.

    Columns are those of ``csv``; the index of a DataFrame is left out, NaN is null. Categories and
    texts of 64-bit length are plain texts: which of these pandas makes depends on the values.
    """

    heads_aside = True

    def __init__(self) -> None:
        super().__init__({})

    def _encode_elements(self, result: Any) -> tuple[bytes, int]:
        if not len(result):
            return b"", 0
        import pyarrow as pa

        from daskrun.output.row_formats import columns_of

        names, columns = columns_of(result)
        names = self._names(names, type(result).__name__)
        arrays = []
        for name, column in zip(names, columns, strict=True):
            try:
                arrays.append(self._array(pa, column))
            except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
                problem = f"values that are no column of Parquet, {name!r}: {_line(error)}. {_HINT}"
                raise WrongResultError(type(result).__name__, problem) from error
        return self._row_group(pa.table(arrays, names=names))

    def _encode_frame(self, frame: Any) -> tuple[bytes, int]:
        if not len(frame):
            return b"", 0
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
            return self._utf8(value).decode()
        if isinstance(value, dict):
            return {self._escaped(key): self._escaped(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._escaped(each) for each in value]
        return value

    def _row_group(self, table: Any) -> tuple[bytes, int]:
        import pyarrow as pa

        try:
            table = plain(table)
            return row_group_of(file_of(table), null_leaves(table.schema))
        except pa.ArrowException as error:  # a union, an interval
            problem = f"values that Parquet has no type for: {_line(error)}. {_HINT}"
            raise WrongResultError("table", problem) from error


_HINT = (
    "Give each column values of one type: texts, numbers, dates, lists or dicts of these, and None "
    "where there is none"
)


def file_of(table: Any) -> bytes:
    """Return a whole Parquet file that holds a table as one row group.

    Its pages have checksums. What all nulls is isn't known, so such a column is written in the one
    way that suits each type: without a dictionary.
    """
    import pyarrow.parquet as pq

    nulls = null_leaves(table.schema)
    paths = [path for path, _ in _leaves(table.schema)]
    unknown = {paths[leaf] for leaf in nulls}
    file = BytesIO()
    with pq.ParquetWriter(
        file,
        table.schema,
        version="2.6",
        compression="snappy",
        use_dictionary=[path for path in paths if path not in unknown] if unknown else True,
        write_page_checksum=True,
    ) as writer:
        if len(table):
            writer.write_table(table, row_group_size=len(table))
    return file.getvalue()


def plain(table: Any) -> Any:
    """Return a table whose types don't depend on which values it holds or how pandas keeps them."""
    import pyarrow as pa

    table = table.replace_schema_metadata(None)
    fields = [field.with_type(_plain_type(field.type)) for field in table.schema]
    schema = pa.schema([pa.field(field.name, field.type) for field in fields])
    return table if schema == table.schema else table.cast(schema)


def null_leaves(schema: Any) -> frozenset[int]:
    """Return the numbers of the columns, as Parquet counts them, of which only nulls are known."""
    return frozenset(n for n, (_, unknown) in enumerate(_leaves(schema)) if unknown)


def _plain_type(kind: Any) -> Any:
    import pyarrow as pa

    is_ = pa.types
    if is_.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if is_.is_large_string(kind) or is_.is_string_view(kind):
        return pa.string()
    if is_.is_large_binary(kind) or is_.is_binary_view(kind):
        return pa.binary()
    if is_.is_large_list(kind) or is_.is_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    if is_.is_struct(kind):
        return pa.struct([(each.name, _plain_type(each.type)) for each in kind])
    return kind


def _leaves(schema: Any) -> Iterator[tuple[str, bool]]:
    """Return path and whether it is of nulls only, of each column that Parquet file would have."""
    return chain.from_iterable(_leaves_of(field.name, field.type) for field in schema)


def _leaves_of(path: str, kind: Any) -> Iterator[tuple[str, bool]]:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        for each in kind:
            yield from _leaves_of(f"{path}.{each.name}", each.type)
    elif pa.types.is_map(kind):
        yield from _leaves_of(f"{path}.key_value.key", kind.key_type)
        yield from _leaves_of(f"{path}.key_value.value", kind.item_type)
    elif pa.types.is_nested(kind):  # what is left are lists
        yield from _leaves_of(f"{path}.list.element", kind.value_type)
    else:
        yield path, bool(pa.types.is_null(kind))


def _texts(frame: Any) -> Sequence[str]:
    return [name for name, kind in frame.dtypes.items() if str(kind) in ("object", "str", "string")]


def _line(error: BaseException) -> str:
    return " ".join(str(arg) for arg in error.args).replace("\n", " ").rstrip(".")
