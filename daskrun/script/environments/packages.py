"""Which packages script processes need, and which of them a Python lacks."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.data.tabular.formats.registry import spec_class
from daskrun.storage.urls import is_url, package_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from importlib.metadata import Distribution

    from packaging.requirements import Requirement

    from daskrun.core.minibatch import PlanInput

LEAST_PYTHON = (3, 11)
FOR_TABLES = ("numpy>=2.0", "pandas>=2.2", "pyarrow>=17")
FOR_URLS = "fsspec>=2024.6"
"""As ``pyproject.toml`` has them, with the reasons. Files need the standard library only."""
_VALUE = re.compile(r"^(?P<option>-\w|--[\w-]+)(?:\s+|=)(?P<value>\S.*)$")
_ASKS = frozenset({"-c", "--constraint", "-e", "--editable", "-r", "--requirement"})
"""Options that ask for packages, or for versions of them."""
_PER_PACKAGE = re.compile(r"\s--?[a-z]")
"""Where the options of one package begin, such as ``--hash``."""
_EXTRAS = re.compile(r"\[[\w,.\s-]*\]$")
_MADE_BY_BUILDS = frozenset({"build", "__pycache__"})


def needs(
    inputs: Iterable[PlanInput], places: Iterable[str], packages: Sequence[str] = ()
) -> list[str]:
    """Return what daskrun itself imports in the script processes of a run, as lines for pip.

    Parameters
    ----------
    inputs
        The run's.
    places
        Paths and URLs of its other data: outputs, side inputs.
    packages
        What encodes its rows needs, as lines for pip.

    Examples
    --------
    >>> needs([], ["s3://bucket/scores"], ["pyarrow>=17"])
    ['pyarrow>=17', 'fsspec>=2024.6', 's3fs']
    """
    tables = [each.table for each in inputs if each.table is not None and each.kind == "tabular"]
    found = [*FOR_TABLES] if tables else []
    for table in tables:
        found += spec_class(table["reader"]["format"]).packages
    found += packages
    for place in filter(is_url, places):
        found += _for_url(place)
    return list(dict.fromkeys(found))


def _for_url(url: str) -> list[str]:
    """Name fsspec and the package that has the file system of a URL."""
    package = package_of(url.partition("://")[0])
    return [FOR_URLS, package] if package else [FOR_URLS]


def lacking(lines: Iterable[str]) -> list[str]:
    """Return those lines for pip that the Python of this process does not satisfy.

    What is only named by a path or a URL counts as lacking: which version of it is installed can't
    be told. Options that say where packages are found ask for nothing.

    Examples
    --------
    >>> lacking(["packaging", "packaging<1", "nowhere-to-be-found", "--no-index"])
    ['packaging<1', 'nowhere-to-be-found']
    """
    return [line for line in lines if not _satisfied(line)]


def _satisfied(line: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    if line.startswith("-"):
        option = _VALUE.match(line)
        return option is None or option["option"] not in _ASKS
    line = _PER_PACKAGE.split(line)[0]
    try:
        return _installed(Requirement(line))
    except (InvalidRequirement, RecursionError):  # the latter of a marker of a thousand brackets
        return False


def _installed(requirement: Requirement, extra: str = "") -> bool:
    """Return whether a requirement is met, with what its extras ask for."""
    from importlib import metadata

    if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
        return True
    if requirement.url:
        return False
    try:
        found = metadata.distribution(requirement.name)
    except metadata.PackageNotFoundError:
        return False
    if not requirement.specifier.contains(found.version, prereleases=True):
        return False
    return all(_installed(each, name) for name in requirement.extras for each in _optional(found))


def _optional(found: Distribution) -> Iterator[Requirement]:
    """Yield what a package asks for on conditions, extras among them."""
    from packaging.requirements import Requirement

    for each in map(Requirement, found.requires or ()):
        if each.marker is not None and not each.marker.evaluate({"extra": ""}):
            yield each


def contents(lines: Sequence[str]) -> str:
    """Return a digest of the lines and of the local files and folders that they name."""
    digest = hashlib.sha256()
    for line in sorted(lines):
        digest.update(f"{line}\n".encode())
        path = local_path(line)
        for file in _files(path) if path is not None else ():
            digest.update(f"{os.path.relpath(file, path)}\n".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def local_path(line: str, base: Path | None = None) -> Path | None:
    """Return the file or folder that a line for pip names, None if that is not there."""
    named = what_is_named(line)
    path = (base or Path.cwd()) / named
    return path if named and path.exists() else None


def what_is_named(line: str) -> str:
    """Return what may be a path in a line for pip; ``""`` where there is only a package's name.

    Examples
    --------
    >>> [what_is_named(line) for line in ("./tiny-1.whl[all]", "-e ../tiny", "tiny")]
    ['./tiny-1.whl', '../tiny', '']
    """
    option = _VALUE.match(line)
    named = option["value"] if option else line.partition(" @ ")[2] or line
    named = _EXTRAS.sub("", named.strip()).removeprefix("file://")
    is_path = named == "." or "/" in named or named.endswith((".whl", ".gz", ".zip"))
    return named if option or is_path else ""


def asked_file(line: str) -> str:
    """Return the path of the local file or folder that a line has pip install or read.

    Returns
    -------
    str
        As it is written, there or not; ``""`` where the line has none, or one that pip makes of a
        variable.

    Examples
    --------
    >>> [asked_file(line) for line in ("./tiny ; python_version > '3'", "-e ../tiny[all]")]
    ['./tiny', '../tiny']
    >>> [asked_file(line) for line in ("tiny", "tiny @ https://host/tiny-1.zip", "-f ./wheels")]
    ['', '', '']
    """
    option = _VALUE.match(line)
    if line.startswith("-") and (option is None or option["option"] not in _ASKS):
        return ""
    named = what_is_named(_PER_PACKAGE.split(line.partition(";")[0])[0].strip())
    return "" if is_url(named) or "${" in named else named


def _files(path: Path) -> Iterator[Path]:
    """Yield a file, or the files of a folder that a package is built from, in order."""
    if not path.is_dir():
        yield path
        return
    for each in sorted(path.iterdir()):
        made = each.name in _MADE_BY_BUILDS or each.suffix == ".egg-info"
        if not made and not each.name.startswith("."):
            yield from _files(each)
