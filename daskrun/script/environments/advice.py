"""What to do where pip could not install what was asked for."""

from __future__ import annotations

import platform
import re
from typing import TYPE_CHECKING

from daskrun.script.environments.packages import LEAST_PYTHON

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NOT_FOUND = re.compile(r"No matching distribution found for ([^\s;(]+)")
_NOT_BUILT = re.compile(
    r"[Ff]ailed to build installable wheels [^(]*\(([\w., -]+)\)"
    r"|Failed (?:to build|building wheel for) '?([\w.-]+)'?"
    r"|(?:generating package metadata|attempting to build wheel)[^╰]*╰─> (?:from )?([\w.-]+)"
)
_NAME = re.compile(r"[\w.-]+")


def as_told(said: str, needs: Iterable[str]) -> str:
    """Return what pip said, with what daskrun added named as that: no user requested it.

    Examples
    --------
    >>> as_told("The user requested pandas>=2.2", ["pandas>=2.2"])
    'daskrun itself needs pandas>=2.2'
    """
    for line in needs:
        said = re.sub(
            rf"The user requested {re.escape(line)}(?![\w.])", f"daskrun itself needs {line}", said
        )
    return said


def advice(said: str, requirements: Sequence[str], needs: Sequence[str]) -> str:
    """Return what to write instead of what pip could not install; ``""`` where nothing is known.

    ``said``: by pip. ``requirements``: lines for pip that were asked for. ``needs``: lines that
    daskrun added.

    Examples
    --------
    >>> text = "ERROR: No matching distribution found for tensorflow==1.15.2"
    >>> "Nothing of tensorflow==1.15.2 is there for Python" in advice(text, [], [])
    True
    """
    missing = list(dict.fromkeys(_NOT_FOUND.findall(said)))
    broken = [
        each for found in _NOT_BUILT.findall(said) for each in re.split(r"[, ]+", "".join(found))
    ]
    wanted = {_normal(each) for each in broken if each}
    broken = [line for line in requirements if "=" in line and _normal(_name(line)) in wanted]
    python = platform.python_version_tuple()
    here, least = ".".join(python[:2]), ".".join(map(str, LEAST_PYTHON))
    found = []
    if missing:
        found.append(f"Nothing of {', '.join(missing)} is there for Python {here}.")
    if broken:
        found.append(f"{', '.join(broken)} can't be built for Python {here}.")
    if missing or broken:
        found.append(
            "Write no version, or one that is; or python_executable='/path/of/python' of a Python, "
            f"{least} or later, that has it. What was named for conda and is no Python package is "
            "to be on the nodes: leave it out."
        )
    elif "ResolutionImpossible" in said or "conflicting dependencies" in said:
        own = f" daskrun itself needs {', '.join(needs)}." if needs else ""
        found.append(f"What is asked for excludes each other.{own} Write no version, or another.")
    return " ".join(found)


def _name(line: str) -> str:
    match = _NAME.match(line.strip())
    return match[0] if match else ""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
