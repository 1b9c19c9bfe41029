"""Lines that pip is asked for packages by, and files of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.script.environments.packages import local_path, what_is_named
from daskrun.storage.durable import read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_FILES = 100
"""Files that one of requirements may name, and these again."""
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_OPTION = re.compile(r"--?[^\s=]+")
_COMMENT = re.compile(r"(^|\s)#.*$")
_CONTINUED = re.compile(r"(?<![ \t])[ \t]*\\\r?\n[ \t]*")
_NESTED = re.compile(r"(?:-r|--requirement)(?:\s+|=)(\S.*)")


def name_of(line: str) -> str:
    """Return the name of the package that a line for pip asks for, ``""`` where it has none.

    Examples
    --------
    >>> name_of("AzureML_Core[all]==1.2")
    'azureml-core'
    """
    match = _NAME.match(line.strip())
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""


def option_of(line: str) -> str | None:
    """Return the name of the option that a line for pip is; None where it names a package."""
    match = _OPTION.match(line.strip())
    return match[0] if match and match[0] not in ("-e", "--editable") else None


def is_here(name: str) -> bool:
    """Return whether a package is daskrun, or what it stands for."""
    return name in ("daskrun", "azureml") or name.startswith("azureml-")


def read_requirements(file: Path) -> list[str]:
    """Return the lines of a file for pip, and of those it names; comments are left out.

    Raises OSError where it can't be read.
    """
    return list(_of_file(file, set()))


def _of_file(file: Path, seen: set[Path]) -> Iterator[str]:
    """Yield the lines of a file that was not read before."""
    if (own := file.resolve()) not in seen:
        seen.add(own)
        if len(seen) > MOST_FILES:
            raise ValueError(f"names more than {MOST_FILES} files, by way of {str(file)!r}")
        text = _CONTINUED.sub(" ", read_file(file).decode("utf-8-sig"))
        yield from expanded(text.splitlines(), file.parent, seen)


def expanded(lines: Iterable[str], base: Path, seen: set[Path]) -> Iterator[str]:
    """Yield lines for pip with those of the files that are named among them."""
    for raw in lines:
        line = _COMMENT.sub("", raw).strip()
        if nested := _NESTED.fullmatch(line):
            yield from _of_file(base / nested[1], seen)
        elif line:
            yield whole_line(line, base)


def whole_line(line: str, base: Path) -> str:
    """Return a line with the whole path of a local file or folder that it names."""
    path = local_path(line, base)
    if path is None:
        return line
    before, named, after = line.rpartition(what_is_named(line))
    return f"{before}{named if Path(named).is_absolute() else path.resolve()}{after}"


def without(name: str, lines: Iterable[str]) -> list[str]:
    """Return the lines that ask for other packages."""
    return [line for line in lines if name_of(line) != name_of(name)]
