"""What ``run()`` returned, as the bytes of ``append_row``."""

from __future__ import annotations

import json
import sys
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any

from daskrun.errors import SettingsError, WrongResultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

SETTINGS_FILE = "parallel_run_step.settings.json"
ACTION = "append_row"
TO_CSV = "pandas.DataFrame.to_csv"
BLOCK = 10_000
"""Elements that are made text at a time: all of them at once would be in memory three times."""
LINE_BREAKS = (
    "run() returned elements whose text has line breaks. They are written as they are: the output "
    "has more lines than rows."
)
NOT_UTF8 = (
    "run() returned text that UTF-8 can't hold, such as a file name that is not text. Characters "
    "that it can't hold are written as their escape, like \\udce9."
)


class ResultEncoder:
    r"""Encodes results, byte for byte as the original does.

    Each element of a list, tuple, Series or ndarray (over its first axis) becomes
    ``str(element) + "\n"``. A DataFrame becomes what ``to_csv`` makes of it with one space between
    fields, no header and no index. Text is UTF-8. It has no lone surrogates (a file name that is
    not text brings one): such a character becomes its escape, ``\udc80``, so that it is not lost
    and the output can still be read by everything that reads UTF-8.

    Parameters
    ----------
    append_row_settings
        What :func:`read_settings` gave.

    Examples
    --------
    >>> ResultEncoder({}).encode(["0.png: 7", 2])
    (b'0.png: 7\n2\n', 0)
    """

    heads_aside = False
    """Whether what is at the front of a mini-batch's bytes is no part of the output."""

    def __init__(self, append_row_settings: dict[str, Any]) -> None:
        self._to_csv = {"sep": " ", "header": False, "index": False, "lineterminator": "\n"}
        self._to_csv |= append_row_settings.get(TO_CSV, {})
        self._odd: dict[str, bool] = {}
        """What was odd about results, and whether that was told."""

    def check(self, result: Any) -> int:
        """Return the number of results in what ``run()`` returned.

        Raises
        ------
        WrongResultError
            It is None, str, dict, a generator or anything else that isn't a list, tuple, DataFrame,
            Series or ndarray.
        """
        if isinstance(result, (list, tuple)) or _is_series_or_array(result) or _is_frame(result):
            return len(result)
        raise WrongResultError(_type_name(result))

    def encode(self, result: Any) -> tuple[bytes, int]:
        """Return its bytes, and how many at their front are the header of a table.

        Raises
        ------
        WrongResultError
            As :meth:`check`.
        """
        if isinstance(result, (list, tuple)) or _is_series_or_array(result):
            return self._encode_elements(result)
        if _is_frame(result):
            return self._encode_frame(result)
        raise WrongResultError(_type_name(result))

    def new_warnings(self) -> list[str]:
        """Return what was odd about results and was not given before."""
        new = [text for text, told in self._odd.items() if not told]
        self._odd.update(dict.fromkeys(new, True))
        return new

    def _encode_elements(self, result: Any) -> tuple[bytes, int]:
        """Encode elements, which are gone through once, and measure their header."""
        count = len(result)
        if count <= BLOCK:
            return self._encode_block(result), 0
        blocks, left = BytesIO(), iter(result)
        for _ in range(0, count, BLOCK):
            blocks.write(self._encode_block(islice(left, BLOCK)))
        return blocks.getvalue(), 0

    def _encode_block(self, elements: Iterable[Any]) -> bytes:
        # What "%s" makes of an object is its str(). For whole numbers and texts it takes half the
        # time of "\n".join(map(str, ...)): 0.5 ms of the 10 that a million bytes of CSV take.
        values = tuple(elements)
        lines = "%s\n" * len(values) % values
        if lines.count("\n") > len(values):
            self._odd.setdefault(LINE_BREAKS, False)
        return self._utf8(lines)

    def _utf8(self, text: str) -> bytes:
        try:
            return text.encode()
        except UnicodeEncodeError:
            self._odd.setdefault(NOT_UTF8, False)
            return text.encode("utf-8", "backslashreplace")

    def _encode_frame(self, frame: Any) -> tuple[bytes, int]:
        """Encode a DataFrame and measure its header, which may be several lines long."""
        text = frame.to_csv(**self._to_csv)
        data = self._utf8(text)
        if self._to_csv["header"] is False:
            return data, 0
        # An empty frame of the same columns gives the header alone, however many lines it has.
        header = frame.iloc[:0].to_csv(**self._to_csv)
        return data, len(self._utf8(header)) if text.startswith(header) else 0


def read_settings(script_folder: Path) -> dict[str, Any]:
    """Read ``parallel_run_step.settings.json`` beside an entry script.

    Returns
    -------
    dict
        What it says under ``append_row``; empty when there is no such file.

    Raises
    ------
    SettingsError
        It isn't JSON, or says what can't be set; all problems at once.
    """
    path = script_folder / SETTINGS_FILE
    try:
        settings = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(str(path), [f"it can't be read as JSON: {error}"]) from error
    problems: list[str] = []
    action = _only(settings, "", ACTION, problems)
    to_csv = _only(action, ACTION, TO_CSV, problems)
    for key, value in to_csv.items():
        if key in _NOT_ALLOWED:
            problems.append(f"{TO_CSV}: {key!r} can't be set: {_NOT_ALLOWED[key]}.")
        elif key not in _ALLOWED:
            problems.append(f"{TO_CSV}: {key!r} is not allowed. Allowed are {', '.join(_ALLOWED)}.")
        elif not _ALLOWED[key][0](value):
            shown = json.dumps(value)
            problems.append(f"{TO_CSV}: {key}={shown} is wrong. Write {_ALLOWED[key][1]}.")
    if problems:
        raise SettingsError(str(path), problems)
    return action


def _only(value: Any, name: str, key: str, problems: list[str]) -> dict[str, Any]:
    """Return ``value[key]``, which must be an object, and note other keys and other types."""
    where = f"{name}: " if name else ""
    if not isinstance(value, dict):
        problems.append(f'{where}{json.dumps(value)} is not an object. Write {{"{key}": {{...}}}}.')
        return {}
    problems += [f"{where}{k!r} is not allowed. Allowed is {key!r}." for k in value if k != key]
    inner = value.get(key, {})
    if not isinstance(inner, dict):
        problems.append(f"{key}: {json.dumps(inner)} is not an object. Write {{...}}.")
        return {}
    return inner


def _loaded(module: str, name: str) -> tuple[Any, ...]:
    """Return a class for isinstance, if its module is loaded.

    Whoever returned a DataFrame has imported pandas: this process need not pay 0.3 s to see that.
    """
    found = getattr(sys.modules.get(module), name, None)
    return () if found is None else (found,)


def _is_frame(result: Any) -> bool:
    return isinstance(result, _loaded("pandas", "DataFrame"))


def _is_series_or_array(result: Any) -> bool:
    if isinstance(result, _loaded("numpy", "ndarray")):
        return bool(result.ndim)  # a 0-d array has no elements
    return isinstance(result, _loaded("pandas", "Series"))


def _type_name(result: Any) -> str:
    """Name a type as the user would write it."""
    kind = type(result)
    shown = kind.__qualname__
    if kind.__module__ != "builtins":
        shown = f"{kind.__module__}.{shown}"
    return f"0-d {shown}" if isinstance(result, _loaded("numpy", "ndarray")) else shown


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_char(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 1


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


_ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "sep": (_is_char, 'one character, such as ","'),
    "na_rep": (_is_text, "a text"),
    "float_format": (_is_text, 'a format, such as "%.6f"'),
    "columns": (_is_texts, "a list of column names"),
    "header": (lambda v: _is_bool(v) or _is_texts(v), "true, false or a list of names"),
    "index": (_is_bool, "true or false"),
    "index_label": (
        lambda v: v is False or _is_text(v) or _is_texts(v),
        "a name or a list of them",
    ),
    "quoting": (lambda v: type(v) is int and 0 <= v <= 3, "0 (minimal), 1 (all), 2, or 3 (none)"),
    "quotechar": (_is_char, "one character"),
    "lineterminator": (lambda v: _is_text(v) and v != "", 'a text, such as "\\r\\n"'),
    "chunksize": (_is_count, "a number of rows"),
    "date_format": (_is_text, 'a format, such as "%Y-%m-%d"'),
    "doublequote": (_is_bool, "true or false"),
    "escapechar": (_is_char, "one character"),
    "decimal": (_is_char, "one character"),
}
"""The keywords of ``DataFrame.to_csv`` that change how a row looks, and no more. Listed here, not
asked of pandas: this is read at submit, where pandas is not imported."""

_PLACE = "append_row_file_name and the output say where rows go, and they are appended as they are"
_NOT_ALLOWED = {
    "path_or_buf": _PLACE,
    "mode": _PLACE,
    "compression": _PLACE,
    "storage_options": _PLACE,
    "encoding": "the output is UTF-8",
    "errors": "the output is UTF-8, and what it can't hold is written as its escape",
}
