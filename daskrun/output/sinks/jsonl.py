"""The format ``jsonl``: one JSON value a line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID

from daskrun.core.typing import override
from daskrun.errors import WrongResultError
from daskrun.output.sinks.columns import MISSING
from daskrun.output.sinks.sink import BLOCK, EncodedRows, Sink

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class JsonLinesSink(Sink):
    """Writes each result as one line of JSON.

    A row of a DataFrame, a dict and a named tuple are objects, a tuple and a list arrays, all else
    is what it is. Numbers and arrays of numpy are plain ones, dates and times are ISO 8601, NaN is
    null. What JSON can't hold, an infinite number or bytes, fails the mini-batch.
    """

    any_columns = True

    @override
    def encode_elements(self, elements: Sequence[Any]) -> EncodedRows:
        return self._lines(iter(elements))

    @override
    def encode_frame(self, frame: Any) -> EncodedRows:
        names = [str(name) for name in frame.columns]
        if len(set(names)) < len(names):
            raise WrongResultError(
                "DataFrame", f"a DataFrame with columns of one name: {', '.join(sorted(names))}"
            )
        columns = [frame.iloc[:, number].tolist() for number in range(len(names))]
        rows = zip(*columns, strict=True) if columns else iter([()] * len(frame))
        return self._lines(dict(zip(names, row, strict=True)) for row in rows)

    def _lines(self, elements: Iterator[Any]) -> EncodedRows:
        blocks = []
        while block := list(islice(elements, BLOCK)):
            text = "\n".join(map(_json, block))
            blocks.append(self.utf8(text) + b"\n")
        return EncodedRows(b"".join(blocks))


def _json(value: Any) -> str:
    if hasattr(value, "_asdict"):  # a named tuple
        value = value._asdict()
    try:
        return _ENCODER.encode(value)
    except ValueError:  # NaN somewhere, which is rare: only then is the value gone through
        return _ENCODER.encode(_without_nan(value))


def _plain_leaf(value: Any) -> Any:
    """Return a value that JSON doesn't know as one that it does."""
    if type(value).__name__ in MISSING:
        return None
    if hasattr(value, "tolist"):
        times = getattr(value, "dtype", None)  # those of numpy are numbers without their unit
        return (value.astype(str) if getattr(times, "kind", "") in ("m", "M") else value).tolist()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal | PurePath | UUID) or hasattr(value, "total_seconds"):
        return str(value)
    kind = type(value)
    hint = " Write sorted(...)." if isinstance(value, set | frozenset) else ""
    raise WrongResultError(
        kind.__name__,
        f"a value of type {kind.__qualname__}, {_cut(repr(value))}, which JSON can't hold.{hint} "
        "It can hold text, numbers, True, False, None, lists, dicts and dates",
    )


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_plain_leaf)
"""Made once: ``json.dumps`` with these would make one for each line."""


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    if isinstance(value, float):
        if math.isinf(value):
            raise WrongResultError(
                "float", f"the number {value}, which JSON can't hold: write None or a text instead"
            )
        return None if value != value else float(value)
    if isinstance(value, str | int) or value is None:
        return value
    return _without_nan(_plain_leaf(value))


def _cut(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."
