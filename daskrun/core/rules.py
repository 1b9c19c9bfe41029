"""What values a setting may have: each rule takes a value, or the text of one.

A rule returns the value to use, or raises ValueError with what is wrong: the rest of a sentence
that began with the value, without a full stop.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

SIZE = re.compile(r"(\d+)(?:([kmg])b)?", re.ASCII | re.IGNORECASE)
FORBIDDEN_IN_FILE_NAMES = '~"#%&*:<>?/\\{|}'
"""What the original refuses in ``append_row_file_name``."""
ASIDE = "_daskrun"
"""Folder beside an output that holds a folder of parts for each run that is not finished."""
LONGEST_TIME = 259_200
"""Seconds, three days: the original's bound for ``run_invocation_timeout``."""
LARGEST_INT = 2**31 - 1
"""The original's ``int.max``."""

Rule = Callable[[Any], Any]


def parse_size(text: int | str) -> int:
    """Return number that ``10``, ``"10"``, ``"10KB"``, ``"10mb"`` or ``"1GB"`` means, 1024-based.

    Examples
    --------
    >>> parse_size("1KB")
    1024
    >>> parse_size(10)
    10
    """
    match = None if isinstance(text, bool) else SIZE.fullmatch(str(text))
    if match is None:
        raise ValueError("is not a size")
    power = " kmg".index(match[2].lower()) if match[2] else 0
    return int(match[1]) << (10 * power)


def size(wrong: str = "is out of range: it must be 1 or more", least: int = 1) -> Rule:
    """Return a rule of sizes; ``wrong`` is the message for one that is less than the least."""

    def rule(value: Any) -> int:
        number = parse_size(value)
        if number < least:
            raise ValueError(wrong)
        return number

    return rule


def whole(least: int) -> Rule:
    """Return a rule of whole numbers."""

    def rule(value: Any) -> int:
        number = _number_of(value, int)
        if number is None:
            raise ValueError("is not a whole number")
        if not least <= number <= LARGEST_INT:
            raise ValueError(f"is out of range: it must be {least} or more")
        return int(number)

    return rule


def seconds(*, zero: bool = False, most: float = LONGEST_TIME) -> Rule:
    """Return a rule of times."""

    def rule(value: Any) -> float:
        number = _number_of(value, float)
        if number is None:
            raise ValueError("is not a number of seconds")
        if not (number > 0 or (zero and number == 0)) or number > most:
            least = "at least 0" if zero else "more than 0"
            raise ValueError(f"must be {least} and at most {most:g} seconds")
        return number

    return rule


def percent(value: Any) -> float:
    """Return a number from 0 to 100."""
    number = _number_of(value, float)
    if number is None or not 0 <= number <= 100:
        raise ValueError("is not a percentage, from 0 to 100")
    return number


def _number_of(value: Any, kind: type[int] | type[float]) -> float | None:
    """Return a number, or the one a text means; None for anything else, True and NaN included."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = kind(value)
        except ValueError:
            return None
    # numpy's numbers have __index__ or __float__ and are not subclasses of int
    if kind is int:
        return value.__index__() if hasattr(value, "__index__") else None
    if not hasattr(value, "__float__") or not math.isfinite(float(value)):
        return None
    return float(value)


def flag(value: Any) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise ValueError("is not True or False")  # noqa: TRY004  (one kind of error for all rules)
    return value


def one_of(*choices: str) -> Rule:
    """Return a rule of what is one of these, in capitals or small letters."""
    by_small = {each.lower(): each for each in choices}

    def rule(value: Any) -> str:
        if not isinstance(value, str) or value.lower() not in by_small:
            raise ValueError("is not one of its values")
        return by_small[value.lower()]

    return rule


def name(value: Any) -> str:
    """Return a text that isn't blank."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("is not a name")
    return value


def path(value: Any) -> str:
    """Return a path."""
    text = value.__fspath__() if hasattr(value, "__fspath__") else value
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise ValueError("is not a path")
    return text


def folder(value: Any) -> str:
    """Return the path of a folder; ``""`` is the current one, as in the original."""
    return "." if value == "" else path(value)


def interpreter(value: Any) -> str:
    """Return a path, or the name of a program that the nodes find by themselves."""
    text = path(value)
    if "/" in text and not text.startswith("/"):
        raise ValueError("is relative, and nodes have folders of their own")
    return text


def file_name(value: Any) -> str:
    """Return the name of an output file."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("is not a file name")
    refused = set(FORBIDDEN_IN_FILE_NAMES)
    bad = sorted({char for char in value if char in refused or not char.isprintable()})
    if bad:
        others = f"control characters and {' '.join(FORBIDDEN_IN_FILE_NAMES)}"
        raise ValueError(f"has {' '.join(map(ascii, bad))}. Leave out {others}")
    if value in (".", "..", ASIDE) or len(value.encode()) > 200:
        taken = f"'.', '..' and '{ASIDE}' are taken, and 200 bytes are the most"
        raise ValueError(f"can't be the output's name: {taken}")
    return value


def columns(value: Any) -> tuple[str, ...]:
    """Return names of columns."""
    items = listed(value, "is not a list of names")
    if not items:
        raise ValueError("is not a list of names")
    for key in items:
        if not isinstance(key, str) or not key:
            raise ValueError(f"has {key!r}, which is not a column's name")
    if len(set(items)) < len(items):
        raise ValueError("names a column twice")
    return tuple(items)


def pip_lines(value: Any) -> tuple[str, ...]:
    """Return lines for pip."""
    lines = listed(value)
    for line in lines:
        if not isinstance(line, str) or not line.strip() or not line.isprintable():
            raise ValueError(f"has {line!r}, which is no line for pip")
    return tuple(lines)


def listed(value: Any, wrong: str = "is not a list") -> Collection[Any]:
    """Return a list or tuple; ``wrong`` is the message for anything else."""
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise ValueError(wrong)  # noqa: TRY004
    return value


def variables(value: Any) -> dict[str, str]:
    """Return environment variables by name, all as text; none for None."""
    for name, text in table(value if value is not None else {}).items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise ValueError(f"has {name!r}, which is not a variable's name")
        if not isinstance(text, str | int | float) or "\0" in str(text):
            raise ValueError(f"has a value that is not text for {name!r}")
    return {name: str(text) for name, text in (value or {}).items()}


def table(value: Any) -> dict[str, Any]:
    """Return a dict."""
    if not isinstance(value, Mapping):
        raise ValueError("is not a dict")  # noqa: TRY004
    return dict(value)


def locality(value: Any) -> dict[str, tuple[str, ...]] | str:
    """Return paths by address or host, or what names a function of a module that gives hosts."""
    if callable(value):
        module, name = value.__module__, getattr(value, "__qualname__", "")
        if module == "__main__" or not name.isidentifier():
            raise ValueError("is not a function of a module, which other processes could import")
        return f"{module}:{name}"
    if isinstance(value, str):
        module, _, name = value.partition(":")
        if not (name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
            raise ValueError("names no function of a module")
        return value
    found = {}
    for host, paths in table(value).items():
        if not isinstance(host, str) or not host.strip():
            raise ValueError(f"has {host!r}, which is no address or host")
        listed(paths, f"has {paths!r} for {host!r}, which is no list of paths")
        if wrong := [each for each in paths if not isinstance(each, str) or not each]:
            raise ValueError(f"has {wrong[0]!r} for {host!r}, which is no path")
        found[host] = tuple(paths)
    return found
