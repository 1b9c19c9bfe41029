"""JSON lines read one by one: slower than pyarrow.json, but it says what is wrong where."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from daskrun.core.json_text import MOST_DIGITS
from daskrun.data.libraries import pa
from daskrun.data.tabular.values.coercion import CoercionError, Reason
from daskrun.data.tabular.values.hold import cannot_hold, is_no
from daskrun.data.tabular.values.infer import is_float
from daskrun.data.tabular.values.kinds import Kind, kind_of
from daskrun.data.tabular.values.written import WrittenFloat, has_surrogate

JsonObject: TypeAlias = "dict[str, Any]"
"""What a line holds."""


class Line(NamedTuple):
    """A line that isn't blank."""

    offset: int
    """In the data it is from."""
    data: bytes


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

    Raises ValueError if the line is anything else; says what is wrong.
    """
    text = line.decode()
    if text.startswith("\ufeff"):
        text = text[1:]
    try:
        found = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        if "digits" not in str(error):
            raise
        raise ValueError(f"it has a number of more than {MOST_DIGITS:,} digits") from None
    if not isinstance(found, dict):
        raise ValueError("it is JSON, but no object in braces")  # noqa: TRY004  (of data)
    return found


def _once(pairs: list[tuple[str, Any]]) -> JsonObject:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise ValueError(f"the key {twice!r} comes twice in one object")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_float=WrittenFloat)
"""Made once: ``json.loads`` would make one for each line."""


def typed_column(values: Sequence[Any], arrow: pa.DataType) -> pa.ChunkedArray:
    """Return nested values as a column of an Arrow type, by the law of types.

    Raises CoercionError: the first that can't be held.
    """
    for row, value in enumerate(values):
        if (fault := _fault(value, arrow, "")) is not None:
            raise CoercionError(row, fault.value, Reason.OTHER_TYPE, fault.why, fault.path)
    try:
        return pa.chunked_array([pa.array(values, arrow)], arrow)
    except (pa.ArrowInvalid, OverflowError):  # whole numbers beyond 64 bits that are exact floats
        plain = [_with_floats(value, arrow) for value in values]
        return pa.chunked_array([pa.array(plain, arrow)], arrow)


def _with_floats(value: Any, arrow: pa.DataType) -> Any:
    if isinstance(value, dict):
        return {f.name: _with_floats(value.get(f.name), f.type) for f in arrow}
    if isinstance(value, list):
        return [_with_floats(each, arrow.value_type) for each in value]
    return float(value) if type(value) is int and kind_of(arrow) is Kind.FLOAT else value


class _Fault(NamedTuple):
    path: str
    value: Any
    why: str


def _fault(value: Any, arrow: pa.DataType, path: str) -> _Fault | None:
    """Find what in a value a type can't hold; keys that the type lacks are told elsewhere."""
    if value is None:
        return None
    kind = kind_of(arrow)
    if kind is Kind.STRUCT and isinstance(value, dict):
        if value and not arrow.num_fields:
            return _Fault(path, value, "has keys, where the sample had empty objects alone")
        inner = ((f".{f.name}", value.get(f.name), f.type) for f in arrow)
    elif kind is Kind.LIST and isinstance(value, list):
        inner = ((f"[{n}]", each, arrow.value_type) for n, each in enumerate(value))
    else:
        if _holds(value, kind):
            return None
        whole = type(value) is int
        beyond = kind in (Kind.WHOLE, Kind.FLOAT) and (
            whole or (isinstance(value, WrittenFloat) and math.isinf(value))
        )
        shown = value.written if beyond and not whole else value
        return _Fault(path, shown, cannot_hold(arrow, whole) if beyond else is_no(arrow))
    faults = (_fault(each, kind_, f"{path}{step}") for step, each, kind_ in inner)
    return next((fault for fault in faults if fault is not None), None)


def _holds(value: Any, kind: Kind) -> bool:
    if isinstance(value, str):
        return kind is Kind.TEXT and not has_surrogate(value)
    if isinstance(value, bool):
        return kind is Kind.BOOL
    if not isinstance(value, int | float):
        return False
    if kind is Kind.WHOLE:
        return -(2**63) <= value < 2**63 and value == int(value)
    beyond = isinstance(value, WrittenFloat) and math.isinf(value)  # 1e400
    return kind is Kind.FLOAT and is_float(value) and not beyond


def unknown_keys(value: Any, arrow: pa.DataType, path: str) -> Iterator[str]:
    """Yield the keys inside a nested value that its type doesn't have, such as ``a.b``."""
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
