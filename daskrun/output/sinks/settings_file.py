"""``parallel_run_step.settings.json``, the original's file that says how rows look."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from daskrun.core.json_text import parsed
from daskrun.errors import SettingsError
from daskrun.storage.durable import read_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SETTINGS_FILE = "parallel_run_step.settings.json"
ACTION = "append_row"
TO_CSV = "pandas.DataFrame.to_csv"


def read_settings(script_folder: Path) -> dict[str, object]:
    """Return what the settings file beside an entry script says under ``append_row``.

    Empty where there is no such file; SettingsError names all problems at once.
    """
    path = script_folder / SETTINGS_FILE
    try:
        settings = parsed(read_file(path).decode("utf-8-sig"))
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


def _only(value: Any, name: str, key: str, problems: list[str]) -> dict[str, object]:
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


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_char(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 1


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


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
    "chunksize": (lambda v: type(v) is int and v >= 1, "a number of rows"),
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
