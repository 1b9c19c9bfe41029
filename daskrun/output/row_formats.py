"""The formats of ``append_row_format``: which there are, and results as CSV or as JSON lines."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from io import StringIO
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID

from daskrun.errors import WrongResultError
from daskrun.output.commit_table import Headers
from daskrun.output.encode import BLOCK, SETTINGS_FILE, TO_CSV, ResultEncoder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from daskrun.output.commit_table import Heads

TEXT, CSV, JSONL, PARQUET = "text", "csv", "jsonl", "parquet"
COLUMN = "result"
"""Name of the column that values without a name are in."""
RFC_4180 = {
    "sep": ",",
    "header": True,
    "index": False,
    "lineterminator": "\r\n",  # with LF alone, Python before 3.13 leaves a CR in a field unquoted
    "quoting": csv.QUOTE_MINIMAL,
    "quotechar": '"',
    "doublequote": True,
}
"""How ``csv`` has ``to_csv`` write."""
_MISSING = ("NoneType", "NAType", "NaTType")
_NEVER_MISSING = frozenset({str, int, bool})


def encoder_of(append_row: Mapping[str, Any]) -> ResultEncoder:
    r"""Return the encoder of a run.

    Parameters
    ----------
    append_row
        ``format``, one of ``append_row_format``, and ``settings`` as
        :func:`daskrun.output.encode.read_settings` gives them.

    Examples
    --------
    >>> encoder_of({"format": "csv", "settings": {}}).encode([{"file": "a.png", "digit": 7}])
    (b'file,digit\r\na.png,7\r\n', 12)
    >>> encoder_of({"format": "jsonl", "settings": {}}).encode([{"file": "a.png"}, [1, None]])
    (b'{"file": "a.png"}\n[1, null]\n', 0)
    """
    if append_row["format"] == CSV:
        return CsvEncoder()
    if append_row["format"] == JSONL:
        return JsonLinesEncoder()
    if append_row["format"] == PARQUET:
        from daskrun.output.parquet_rows import ParquetEncoder  # here: it builds on this module

        return ParquetEncoder()
    return ResultEncoder(append_row["settings"])


def heads_of(row_format: str, spool: str | None) -> Heads:
    """Return what becomes of the heads of mini-batches when the output is put together.

    Parameters
    ----------
    row_format
        One of ``append_row_format``.
    spool
        Folder for what is too much for memory; None: the system's for temporary files.
    """
    if row_format == PARQUET:
        from daskrun.output.footer import Footer

        return Footer(spool)
    return Headers()


def contradictions(name: str, append_row_settings: Mapping[str, Any]) -> list[str]:
    """Return where a settings file beside the script asks for another format than is set.

    Parameters
    ----------
    name
        The value of ``append_row_format``.
    append_row_settings
        As :func:`daskrun.output.encode.read_settings` gives them.
    """
    if name == TEXT:
        return []
    asked = append_row_settings.get(TO_CSV, {})
    same = RFC_4180 if name == CSV else {}
    other = {key: value for key, value in asked.items() if same.get(key) != value}
    if not other:
        return []
    shown = ", ".join(f"{key}={json.dumps(value)}" for key, value in other.items())
    problem = (
        f"append_row_format={name!r} says how rows look, and {SETTINGS_FILE} beside the entry "
        f"script says {shown}. Remove that file, or leave append_row_format out."
    )
    return [problem]


class CsvEncoder(ResultEncoder):
    """Encodes results as CSV of RFC 4180: a header, quotes where they are needed, CRLF.

    A DataFrame has its columns, without the index. Of lists the elements are all dicts (columns are
    their keys; a key that one lacks is an empty field there), all rows (tuples, lists: columns
    ``result_0``, ...; named tuples: their names), or all values (column ``result``, of a Series its
    name). None and NaN are empty fields.
    """

    def __init__(self) -> None:
        super().__init__({TO_CSV: RFC_4180})

    def _encode_elements(self, result: Any) -> tuple[bytes, int]:
        if not len(result):
            return b"", 0
        elements = list(result)
        names, rows = _table_of(elements, getattr(result, "name", None))
        header = self._utf8(_csv_text([names]))
        blocks = [header]
        while block := list(islice(rows, BLOCK)):
            blocks.append(self._utf8(_csv_text(block)))
        return b"".join(blocks), len(header)


class JsonLinesEncoder(ResultEncoder):
    """Encodes each result as one line of JSON.

    A row of a DataFrame, a dict and a named tuple are objects, a tuple and a list arrays, all else
    is what it is. Numbers and arrays of numpy are plain ones, dates and times are ISO 8601, NaN is
    null. What JSON can't hold, an infinite number or bytes, fails the mini-batch.
    """

    def __init__(self) -> None:
        super().__init__({})

    def _encode_elements(self, result: Any) -> tuple[bytes, int]:
        return self._lines(iter(result)), 0

    def _encode_frame(self, frame: Any) -> tuple[bytes, int]:
        names = [str(name) for name in frame.columns]
        if len(set(names)) < len(names):
            raise WrongResultError(
                "DataFrame", f"a DataFrame with columns of one name: {', '.join(sorted(names))}"
            )
        columns = [frame.iloc[:, number].tolist() for number in range(len(names))]
        rows = zip(*columns, strict=True) if columns else iter([()] * len(frame))
        return self._lines(dict(zip(names, row, strict=True)) for row in rows), 0

    def _lines(self, elements: Iterator[Any]) -> bytes:
        blocks = []
        while block := list(islice(elements, BLOCK)):
            text = "\n".join(map(_json, block))
            blocks.append(self._utf8(text) + b"\n")
        return b"".join(blocks)


def columns_of(result: Any) -> tuple[list[str], list[Any]]:
    """Return the names of a result's columns, which is no DataFrame, and their values.

    Values that are in an array are left there.
    """
    dimensions, name = getattr(result, "ndim", 0), getattr(result, "name", None)
    if dimensions == 1 and result.dtype != object:
        return [COLUMN if name is None else str(name)], [result]
    if dimensions == 2:
        return [f"{COLUMN}_{number}" for number in range(result.shape[1])], list(result.T)
    names, rows = _table_of(list(result), name)
    return names, [list(column) for column in zip(*rows, strict=True)]


def _table_of(elements: Sequence[Any], name: object) -> tuple[list[str], Iterator[Sequence[Any]]]:
    """Return the columns of a list of results, and its rows."""
    kinds = {_kind(element) for element in elements}
    if len(kinds) > 1:
        raise WrongResultError("list", f"a list that holds {' and '.join(sorted(kinds))}")
    (kind,) = kinds
    if kind == "dicts":
        keys = list(dict.fromkeys(key for element in elements for key in element))
        return [str(key) for key in keys], ([each.get(key) for key in keys] for each in elements)
    if kind == "rows":
        widths = {len(element) for element in elements}
        if len(widths) > 1:
            counts = " and ".join(map(str, sorted(widths)))
            raise WrongResultError("list", f"a list of rows of {counts} values")
        fields = getattr(elements[0], "_fields", None)
        names = fields or [f"{COLUMN}_{number}" for number in range(widths.pop())]
        return list(names), iter(elements)
    return [COLUMN if name is None else str(name)], ([element] for element in elements)


def _kind(element: Any) -> str:
    if isinstance(element, Mapping):
        return "dicts"
    # a row of an array is an array itself
    if isinstance(element, list | tuple) or getattr(element, "ndim", 0) > 0:
        return "rows"
    return "values"


def _csv_text(rows: Iterable[Sequence[Any]]) -> str:
    text = StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerows([_field(value) for value in row] for row in rows)
    return text.getvalue()


def _field(value: Any) -> Any:
    """Return what a field shows of a value: nothing of a missing one, as ``to_csv`` does."""
    return "" if _is_missing(value) else value


def _is_missing(value: Any) -> bool:
    kind = type(value)
    if kind in _NEVER_MISSING:  # these two first: they are nearly all
        return False
    if kind is float:
        return bool(value != value)
    if kind.__name__ in _MISSING:
        return True
    number = hasattr(value, "__float__") and getattr(value, "ndim", 0) == 0
    return number and bool(value != value)


def _json(value: Any) -> str:
    if hasattr(value, "_asdict"):  # a named tuple
        value = value._asdict()
    try:
        return _ENCODER.encode(value)
    except ValueError:  # NaN somewhere, which is rare: only then is the value gone through
        return _ENCODER.encode(_without_nan(value))


def _plain_leaf(value: Any) -> Any:
    """Return a value that JSON doesn't know as one that it does."""
    if type(value).__name__ in _MISSING:
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
