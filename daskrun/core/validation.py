"""Checks of settings and names: one error names all problems of a set of values."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from daskrun.core.settings import RULES, RunSettings
from daskrun.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

STEP_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?", re.ASCII)


def resolve_settings(values: Mapping[str, Any], subject: str = "ParallelRunConfig") -> RunSettings:
    """Check the values of settings against every rule and return them as one immutable object.

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
    unknown = [name for name in values if name not in RULES]
    problems = [f"{name} is not a setting. {close_to(name, RULES)}" for name in unknown]
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
