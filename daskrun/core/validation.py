"""What settings may be: every rule in one place, all problems of a set of values said at once."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from daskrun.core.settings import ASIDE, NodePath, RunSettings
from daskrun.errors import SettingsError

SIZE = re.compile(r"(\d+)(?:([kmg])b)?", re.ASCII | re.IGNORECASE)
STEP_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?", re.ASCII)
FORBIDDEN_IN_FILE_NAMES = '~"#%&*:<>?/\\{|}'
"""What the original refuses in ``append_row_file_name``."""
LONGEST_TIME = 259_200
"""Seconds, three days: the original's bound for ``run_invocation_timeout``."""
LARGEST_INT = 2**31 - 1
"""The original's ``int.max``."""
OUTPUT_ACTIONS = ("append_row", "summary_only")
LOGGING_LEVELS = ("WARNING", "INFO", "DEBUG")

Rule = Callable[[Any], Any]
"""Gives the value to use, or raises ValueError with ``is wrong because … . Write …``."""


def parse_size(text: int | str) -> int:
    """Return number that ``10``, ``"10"``, ``"10KB"``, ``"10mb"`` or ``"1GB"`` means, 1024-based.

    Raises
    ------
    ValueError
        It isn't such a number; the message is the rest of a sentence that began with the value.

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


def resolve_settings(values: Mapping[str, Any], subject: str = "ParallelRunConfig") -> RunSettings:
    """Check the values of settings against every rule and give them as one immutable object.

    Parameters
    ----------
    values
        Settings by name; what is not there has its default. Numbers may be given as text, as they
        are where they come from a command line or a pipeline parameter.
    subject
        What the values are of, for the error.

    Raises
    ------
    SettingsError
        With one problem for each value that is wrong.

    Examples
    --------
    >>> resolve_settings({"entry_script": "score.py", "mini_batch_size": "5"}).mini_batch_size
    5
    """
    problems = [_unknown(name) for name in values if name not in RULES]
    if "entry_script" not in values:
        problems.append("entry_script is missing. Write the path of the file that has run().")
    good: dict[str, Any] = {}
    for name, value in values.items():
        if name in RULES:
            try:
                good[name] = RULES[name](value)
            except ValueError as error:
                problems.append(f"{name}={_shown(value)} {error}")
    if problems:
        raise SettingsError(subject, problems)
    return RunSettings(**good)


def step_name_problem(name: object) -> str | None:
    """Return what is wrong with the name of a step, None if nothing is."""
    if isinstance(name, str) and 3 <= len(name) <= 32 and STEP_NAME.fullmatch(name):
        return None
    return (
        f"name={_shown(name)} is not a step's. Write 3 to 32 small letters, digits and '-', "
        "a letter first and no '-' at the end, such as name='predict-digits'."
    )


def same_name_problems(argument: str, names: Sequence[str]) -> list[str]:
    """Return which names of a list stand in it more than once."""
    return [
        f"{argument}: {count} have the name {name!r}. Give each its own name."
        for name, count in sorted(Counter(names).items())
        if count > 1
    ]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def close_to(name: object, known: Collection[str]) -> str:
    """Return which name may be meant, or which there are."""
    import difflib  # only where something is misspelt

    near = difflib.get_close_matches(str(name), known, n=1)
    return f"Write {near[0]}." if near else f"There are {', '.join(sorted(known))}."


def _unknown(name: object) -> str:
    return f"{name} is not a setting. {close_to(name, RULES)}"


def _integer(least: int, example: str, most: int = LARGEST_INT) -> Rule:
    def rule(value: Any) -> int:
        number = _number_of(value, int)
        if number is None:
            raise ValueError(f"is not a whole number. Write {example}.")
        if not least <= number <= most:
            bound = f"{least} or more" if most == LARGEST_INT else f"{least} to {most}"
            raise ValueError(f"is out of range: it must be {bound}. Write {example}.")
        return int(number)

    return rule


def _seconds(example: str, *, zero: bool = False, most: float = LONGEST_TIME) -> Rule:
    def rule(value: Any) -> float:
        number = _number_of(value, float)
        if number is None:
            raise ValueError(f"is not a number of seconds. Write {example}.")
        if not (number > 0 or (zero and number == 0)) or number > most:
            least = "at least 0" if zero else "more than 0"
            raise ValueError(f"must be {least} and at most {most:g} seconds. Write {example}.")
        return number

    return rule


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


def _optional(rule: Rule) -> Rule:
    def with_none(value: Any) -> Any:
        return None if value is None else rule(value)

    return with_none


def _choice(name: str, choices: tuple[str, ...], *, any_case: bool = False) -> Rule:
    def rule(value: Any) -> str:
        text = value.upper() if any_case and isinstance(value, str) else value
        if not isinstance(text, str) or text not in choices:
            written = " or ".join(f"{name}={choice!r}" for choice in choices)
            raise ValueError(f"is not one of its values. Write {written}.")
        return text

    return rule


def _text(example: str) -> Rule:
    def rule(value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"is not a name. Write {example}.")
        return value

    return rule


def _path(example: str) -> Rule:
    def rule(value: Any) -> str:
        text = value.__fspath__() if hasattr(value, "__fspath__") else value
        if not isinstance(text, str) or not text.strip() or "\0" in text:
            raise ValueError(f"is not a path. Write {example}.")
        return text

    return rule


def _interpreter(value: Any) -> str:
    """Take a path, or the name of a program that the nodes find by themselves."""
    example = "python_executable='/opt/env/bin/python', or None for the node's own"
    text: str = _path(example)(value)
    if "/" in text and not text.startswith("/"):
        raise ValueError(f"is relative, and nodes have folders of their own. Write {example}.")
    return text


def _file_name(value: Any) -> str:
    example = "append_row_file_name='results.txt'"
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"is not a file name. Write {example}.")
    bad = sorted(
        {char for char in value if char in FORBIDDEN_IN_FILE_NAMES or not char.isprintable()}
    )
    if bad:
        raise ValueError(
            f"has {' '.join(map(ascii, bad))}. Leave out control characters and "
            f"{' '.join(FORBIDDEN_IN_FILE_NAMES)}, such as {example}."
        )
    if value in (".", "..", ASIDE) or len(value.encode()) > 200:
        raise ValueError(
            f"can't be the output's name: '.', '..' and '{ASIDE}' are taken, and 200 bytes are the "
            f"most. Write {example}."
        )
    return value


def _mini_batch_size(value: Any) -> int:
    """Take a number of files or of bytes: which of them it is, the step's inputs say."""
    written = "Give a number of files for a file dataset (mini_batch_size=10)"
    written += " or bytes for a tabular one (mini_batch_size='10MB')."
    try:
        number = parse_size(value)
    except ValueError as error:
        raise ValueError(f"{error}. {written}") from None
    if number < 1:
        raise ValueError(f"is out of range: it must be 1 or more. {written}")
    return number


def _keys(value: Any) -> tuple[str, ...]:
    example = "partition_keys=['Department']"
    if isinstance(value, str) or not isinstance(value, list | tuple) or not value:
        raise ValueError(f"is not a list of names. Write {example}.")
    for key in value:
        if not isinstance(key, str) or not key:
            raise ValueError(f"has {key!r}, which is not a column's name. Write {example}.")
    if len(set(value)) < len(value):
        raise ValueError(f"names a column twice. Write {example}.")
    return tuple(value)


def _memory(value: Any) -> int:
    example = "process_memory_limit='2GB'"
    try:
        number = parse_size(value)
    except ValueError as error:
        raise ValueError(f"{error}. Write {example}.") from None
    if number < 1:
        raise ValueError(f"leaves no memory at all. Write {example}, or None for no limit.")
    return number


def _percent(value: Any) -> float:
    number = _number_of(value, float)
    if number is None or not 0 <= number <= 100:
        raise ValueError("is not a percentage. Write 0 to 100, such as allowed_failed_percent=5.")
    return number


def _flag(name: str) -> Rule:
    def rule(value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"is not True or False. Write {name}=True or {name}=False.")  # noqa: TRY004 - one kind of error for all rules
        return value

    return rule


def _variables(value: Any) -> dict[str, str]:
    example = "environment_variables={'OMP_NUM_THREADS': '1'}"
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"is not a dict. Write {example}.")  # noqa: TRY004
    for name, text in value.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise ValueError(f"has {name!r}, which is not a variable's name. Write {example}.")
        if isinstance(text, bool) or not isinstance(text, str | int | float) or "\0" in str(text):
            raise ValueError(f"has a value that is not text for {name!r}. Write {example}.")
    return {name: str(text) for name, text in value.items()}


def _arguments(value: Any) -> tuple[str | NodePath, ...]:
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise ValueError("is not a list. Write arguments=['--model', 'mnist'].")  # noqa: TRY004
    return tuple(item if isinstance(item, NodePath) else str(item) for item in value)


def _lines(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise ValueError("is not a list. Write requirements=['pillow>=10'].")  # noqa: TRY004
    for line in value:
        if not isinstance(line, str) or not line.strip() or not line.isprintable():
            raise ValueError(f"has {line!r}, which is no line for pip. Write 'pillow>=10'.")
    return tuple(value)


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError('is not a dict. Write {"pandas.DataFrame.to_csv": {"sep": ","}}.')  # noqa: TRY004
    return dict(value)


RULES: dict[str, Rule] = {
    "entry_script": _path("entry_script='score.py'"),
    "source_directory": _optional(_path("source_directory='src', or leave it out")),
    "output_action": _choice("output_action", OUTPUT_ACTIONS),
    "append_row_file_name": _file_name,
    "append_row_format": _text("append_row_format='csv'"),
    "mini_batch_size": _optional(_mini_batch_size),
    "partition_keys": _optional(_keys),
    "error_threshold": _integer(-1, "error_threshold=10, or -1 to ignore failed items"),
    "allowed_failed_count": _optional(
        _integer(-1, "allowed_failed_count=10, or -1 to ignore them")
    ),
    "allowed_failed_percent": _optional(_percent),
    "node_count": _integer(1, "node_count=1"),
    "process_count_per_node": _optional(
        _integer(1, "process_count_per_node=2, or None for one process per core")
    ),
    "run_invocation_timeout": _seconds("run_invocation_timeout=60"),
    "run_max_try": _integer(1, "run_max_try=3"),
    "logging_level": _choice("logging_level", LOGGING_LEVELS, any_case=True),
    "environment_variables": _variables,
    "environment_name": str,
    "requirements": _lines,
    "python_executable": _optional(_interpreter),
    "environment_timeout": _seconds("environment_timeout=1800"),
    "init_timeout": _seconds("init_timeout=600"),
    "load_timeout": _seconds("load_timeout=600"),
    "shutdown_timeout": _seconds("shutdown_timeout=30"),
    "no_worker_timeout": _seconds("no_worker_timeout=300"),
    "progress_update_timeout": _optional(
        _seconds("progress_update_timeout=270, or None for 3 × (run_invocation_timeout + 30)")
    ),
    "process_memory_limit": _optional(_memory),
    "retry_delay": _seconds("retry_delay=0.1", zero=True, most=10),
    "resource_monitor_interval": _seconds("resource_monitor_interval=30, or 0", zero=True),
    "threads_per_process": _optional(
        _integer(1, "threads_per_process=1, or None for cores ÷ processes")
    ),
    "argv_compat": _flag("argv_compat"),
    "overwrite": _flag("overwrite"),
    "arguments": _arguments,
    "append_row_settings": _table,
}
"""A rule for each field of :class:`RunSettings`, by its name."""

assert RULES.keys() == {field.name for field in fields(RunSettings)}, "a setting without a rule"
