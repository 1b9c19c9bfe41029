"""JSON lines read one by one: slower than pyarrow.json, and able to say what is wrong with which.

Also what a sample of them says of the columns.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from daskrun.data.tabular.values.coercion import CoercionError, Reason
from daskrun.data.tabular.values.infer import Inferred, infer, infer_dates
from daskrun.data.tabular.values.types import type_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa


JsonObject: TypeAlias = "dict[str, Any]"
"""What a line holds."""


class Line(NamedTuple):
    """A line that isn't blank."""

    offset: int
    """In the data it is from."""
    data: bytes


class WrittenFloat(float):
    """A number that still knows how it was written."""

    written: str

    def __new__(cls, written: str) -> WrittenFloat:
        """Make it from its text."""
        made = super().__new__(cls, written)
        made.written = written
        return made


def lines_of(data: bytes) -> Iterator[Line]:
    """Yield the lines that aren't blank, as pyarrow.json takes them."""
    offset = 0
    for line in data.splitlines(keepends=True):
        if not line.isspace():
            yield Line(offset, line)
        offset += len(line)


def count_lines(data: bytes) -> int:
    """Count the lines that aren't blank."""
    return sum(1 for _ in lines_of(data))


def parse_line(line: bytes) -> JsonObject:
    """Parse one JSON object.

    Raises
    ------
    ValueError
        If the line is anything else; says what is wrong.
    """
    text = line.decode()
    if text.startswith("\ufeff"):
        text = text[1:]
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_float=WrittenFloat)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it is JSON, but no object in braces")  # noqa: TRY004  (of data)
    return found


def _once(pairs: list[tuple[str, Any]]) -> JsonObject:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} comes twice in one object")
    return found


def as_text(value: Any) -> str | None:
    """Return a value as text: what is no text yet as JSON, numbers as they were written."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, WrittenFloat):
        return value.written
    return json.dumps(value, ensure_ascii=False)


def text_column(values: Iterable[Any]) -> pa.ChunkedArray:
    """Return values as a column of text.

    Raises
    ------
    CoercionError
        If one has half of a surrogate pair, which no text can hold.
    """
    import pyarrow as pa

    texts = [as_text(value) for value in values]
    try:
        return pa.chunked_array([pa.array(texts, pa.string())])
    except UnicodeEncodeError:
        for row, text in enumerate(texts):
            if text is not None and any("\ud800" <= c <= "\udfff" for c in text):
                why = "has half of a surrogate pair, which is no character"
                raise CoercionError(row, ascii(text), Reason.OTHER_TYPE, why) from None
        raise


def typed_column(values: Sequence[Any], arrow: pa.DataType) -> pa.ChunkedArray:
    """Return nested values as a column of an Arrow type.

    Raises
    ------
    CoercionError
        The first that is of another type.
    """
    import pyarrow as pa

    parts = []
    for row, value in enumerate(values):
        try:
            part = pa.array([value], arrow)
        except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError):
            raise _other_type(row, value, arrow) from None
        if not _same(value, part[0].as_py()):  # pyarrow makes 1 of 1.5 without a word
            raise _other_type(row, value, arrow)
        parts.append(part)
    return pa.chunked_array([pa.concat_arrays(parts)] if parts else [], arrow)


def _other_type(row: int, value: Any, arrow: pa.DataType) -> CoercionError:
    why = f"can't be held as {arrow}"
    return CoercionError(row, as_text(value) or "null", Reason.OTHER_TYPE, why)


def _same(value: Any, held: Any) -> bool:
    """Return whether no value was changed; keys that the type lacks are told elsewhere."""
    if isinstance(value, dict) and isinstance(held, dict):
        return all(_same(value.get(key), inner) for key, inner in held.items())
    if isinstance(value, list) and isinstance(held, list):
        return len(value) == len(held) and all(map(_same, value, held))
    if isinstance(value, bool) or isinstance(held, bool):
        return value is held
    return bool(value == held) or value != value


def unknown_keys(value: Any, arrow: pa.DataType, path: str) -> Iterator[str]:
    """Yield the keys inside a nested value that its type doesn't have, such as ``a.b``."""
    import pyarrow as pa

    if isinstance(value, dict) and pa.types.is_struct(arrow):
        for key, inner in value.items():
            position = arrow.get_field_index(key)
            if position < 0:
                yield f"{path}.{key}"
            else:
                yield from unknown_keys(inner, arrow.field(position).type, f"{path}.{key}")
    elif isinstance(value, list) and pa.types.is_list(arrow):
        for inner in value:
            yield from unknown_keys(inner, arrow.value_type, path)


def infer_values(name: str, values: Sequence[Any]) -> Inferred:
    """Infer the type of a column from a sample of its values; None where a line lacks the key."""
    present = [value for value in values if value is not None]
    kinds = {type(value) for value in present}
    if not present or (len(kinds) == 1 and kinds <= {str}):
        return _texts(name, values)
    if kinds == {bool}:
        return Inferred("bool" if len(present) == len(values) else "boolean")
    if kinds <= {int, float, WrittenFloat}:
        # Text in between, and '' where there is none, as infer() knows them from CSV.
        return infer(name, text_column("" if value is None else value for value in values))
    if kinds <= {dict} or kinds <= {list}:
        return _nested(name, present)
    return Inferred(
        "text",
        f"column {name!r} has values of different kinds in the sample, so it is read as text: what "
        "is no text yet, as JSON.",
    )


def _texts(name: str, values: Sequence[Any]) -> Inferred:
    """Tell dates from other texts; a number in quotes is text in JSON."""
    first = next((value for value in values if value), None)
    if first is None:
        return Inferred("text")
    try:
        return infer_dates(name, text_column(values), first)
    except CoercionError:
        return Inferred("text")


def _nested(name: str, present: Sequence[Any]) -> Inferred:
    import pyarrow as pa
    from pyarrow import json as arrow_json

    data = "\n".join(json.dumps({"v": value}) for value in present).encode()
    try:
        table = arrow_json.read_json(
            pa.BufferReader(data),
            arrow_json.ReadOptions(use_threads=False, block_size=len(data) + 1),
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return Inferred(
            "text",
            f"column {name!r} has values of different kinds inside in the sample, so it is read as "
            "JSON text.",
        )
    return Inferred(type_text(_steady(table.schema.field("v").type)))


def _steady(arrow: pa.DataType) -> pa.DataType:
    """Have nested texts as text, also where those of the sample look like dates or are missing."""
    import pyarrow as pa

    if pa.types.is_struct(arrow):
        fields = [arrow.field(n) for n in range(arrow.num_fields)]
        return pa.struct([pa.field(f.name, _steady(f.type)) for f in fields])
    if pa.types.is_list(arrow):
        return pa.list_(_steady(arrow.value_type))
    if pa.types.is_timestamp(arrow) or pa.types.is_null(arrow):
        return pa.string()
    return arrow
