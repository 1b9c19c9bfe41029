"""``CondaDependencies``: the packages an environment names, and the files they are read from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from daskrun.errors import SettingsError
from daskrun.script.packages import local_path, what_is_named

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence

Read = TypeVar("Read")
STANDS_FOR = {"azureml-dataset-runtime": ("pandas", "pyarrow")}
"""Packages that scripts import and the original's brought with them."""
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_COMMENT = re.compile(r"(^|\s)#.*$")
_CONTINUED = re.compile(r"[ \t]*\\\r?\n[ \t]*")
_NESTED = re.compile(r"(?:-r|--requirement)(?:\s+|=)(\S.*)")
_CREDENTIALS = re.compile(r"https?://(?!\$\{)[^/@\s]+@")


@dataclass(slots=True)
class CondaDependencies:
    """Packages an entry script needs.

    Those for pip are installed; those for conda, and channels, are recorded.

    Examples
    --------
    >>> dependencies = CondaDependencies.create(pip_packages=["pillow"])
    >>> dependencies.add_pip_package("scikit-learn>=1.5")
    >>> dependencies.pip_packages
    ['pillow', 'scikit-learn>=1.5']
    """

    pip_packages: list[str] = field(default_factory=list)
    """As ``pip install -r`` takes lines."""
    conda_packages: list[str] = field(default_factory=list)
    """As ``conda install`` takes them."""
    channels: list[str] = field(default_factory=list)
    """Where conda looks for packages."""

    @staticmethod
    def create(
        pip_packages: Sequence[str] | None = None,
        conda_packages: Sequence[str] | None = None,
        python_version: str | None = None,
        *,
        pip_indexurl: str | None = None,
        pin_sdk_version: bool = True,  # noqa: ARG004
    ) -> CondaDependencies:
        """Name the packages.

        Parameters
        ----------
        pip_packages, conda_packages
            Lists of names, with versions if these matter.
        python_version
            Recorded as one of conda's packages.
        pip_indexurl
            Where pip looks for packages, instead of where it has been set up to.
        pin_sdk_version
            Means nothing: packages of the SDK are left out.

        Raises
        ------
        SettingsError
            They aren't lists of names.
        """
        given = {"pip_packages": pip_packages, "conda_packages": conda_packages}
        problems = [
            f"{name}={value!r} is not a list of names. Write {name}=['pillow']."
            for name, value in given.items()
            if value is not None and not _are_texts(value)
        ]
        if problems:
            raise SettingsError("CondaDependencies", problems)
        options = [] if pip_indexurl is None else [f"--index-url {pip_indexurl}"]
        made = CondaDependencies([*options, *(pip_packages or [])], list(conda_packages or []))
        if python_version is not None:
            made.set_python_version(python_version)
        return made

    def add_pip_package(self, pip_package: str) -> None:
        """Name one more package for pip."""
        self.pip_packages.append(pip_package)

    def remove_pip_package(self, pip_package: str) -> None:
        """Leave out a package for pip, whatever version of it was asked for."""
        self.pip_packages = _without(pip_package, self.pip_packages)

    def add_conda_package(self, conda_package: str) -> None:
        """Name one more package for conda."""
        self.conda_packages.append(conda_package)

    def remove_conda_package(self, conda_package: str) -> None:
        """Leave out a package for conda, whatever version of it was asked for."""
        self.conda_packages = _without(conda_package, self.conda_packages)

    def add_channel(self, channel: str) -> None:
        """Name one more channel for conda."""
        self.channels.append(channel)

    def set_python_version(self, python_version: str) -> None:
        """Have conda asked for a version of Python."""
        self.remove_conda_package("python")
        self.conda_packages.append(f"python={python_version}")

    @property
    def for_pip(self) -> list[str]:
        """What pip is asked for: without what daskrun is, local files by their whole path."""
        found: list[str] = []
        for line in map(str.strip, self.pip_packages):
            name = name_of(line)
            found += STANDS_FOR.get(name, ()) if is_here(name) else [_whole(line, Path.cwd())]
        return list(dict.fromkeys(found))

    @property
    def left_out(self) -> list[str]:
        """Names of packages that are not installed: daskrun stands for them."""
        names = map(name_of, self.pip_packages)
        return [name for name in dict.fromkeys(names) if is_here(name)]

    def problems(self) -> list[str]:
        """Say what of it pip could not be asked for."""
        if not _are_texts(self.pip_packages):
            text = f"pip_packages={self.pip_packages!r} is not a list of names."
            return [f"{text} Write pip_packages=['pillow']."]
        found = []
        for line in self.pip_packages:
            if not line.strip() or not line.isprintable():
                found.append(f"pip_packages has {line!r}, which names no package.")
            elif _CREDENTIALS.search(line):
                shown = _CREDENTIALS.sub("https://***@", line)
                found.append(
                    f"pip_packages has {shown!r} with a name or password in it, which the run's "
                    "record would show. Write ${NAME} in their place: pip takes it from the "
                    "environment variable NAME of the node."
                )
        return found


def name_of(line: str) -> str:
    """Give the name of the package that a line for pip asks for, ``""`` where it has none.

    Examples
    --------
    >>> name_of("AzureML_Core[all]==1.2")
    'azureml-core'
    """
    match = _NAME.match(line.strip())
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""


def is_here(name: str) -> bool:
    """Whether a package is daskrun, or what it stands for."""
    return name in ("daskrun", "azureml") or name.startswith("azureml-")


def read_requirements(file: Path) -> list[str]:
    """Give the lines of a file for pip, and of those it names; comments are left out.

    Raises
    ------
    OSError
        It can't be read.
    """
    return list(_of_file(file, frozenset()))


def _of_file(file: Path, seen: frozenset[Path]) -> Iterator[str]:
    if file.resolve() not in seen:
        text = _CONTINUED.sub(" ", file.read_text(encoding="utf-8-sig"))
        yield from _expanded(text.splitlines(), file.parent, seen | {file.resolve()})


def _expanded(lines: Iterable[str], base: Path, seen: frozenset[Path]) -> Iterator[str]:
    """Give lines for pip with those of the files that are named among them."""
    for raw in lines:
        line = _COMMENT.sub("", raw).strip()
        if nested := _NESTED.fullmatch(line):
            yield from _of_file(base / nested[1], seen)
        elif line:
            yield _whole(line, base)


def read_conda(file: Path) -> CondaDependencies:
    """Give what a conda specification asks for.

    Raises
    ------
    OSError
        It can't be read.
    ValueError
        It is no such file; with the reason.
    """
    import yaml

    try:
        value = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except yaml.YAMLError as error:
        raise ValueError(f"is not YAML: {error}") from error
    listed = value.get("dependencies", []) if isinstance(value, dict) else None
    if not isinstance(listed, list):
        raise ValueError("has no list 'dependencies'")  # noqa: TRY004  (of the file's contents)
    pip = [line for each in listed if isinstance(each, dict) for line in each.get("pip") or ()]
    conda = [each for each in listed if not isinstance(each, dict)]
    channels = value.get("channels") or []
    if not all(map(_are_texts, (pip, conda, channels))):
        raise ValueError("has something else than names in its lists")
    return CondaDependencies(list(_expanded(pip, file.parent, frozenset())), conda, channels)


def _whole(line: str, base: Path) -> str:
    """Give a line with the whole path of a local file or folder that it names."""
    path = local_path(line, base)
    if path is None:
        return line
    before, named, after = line.rpartition(what_is_named(line))
    return f"{before}{named if Path(named).is_absolute() else path.resolve()}{after}"


def _without(name: str, lines: Iterable[str]) -> list[str]:
    return [line for line in lines if name_of(line) != name_of(name)]


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)


def read_or_refuse(
    subject: str, file_path: str | os.PathLike[str], read: Callable[[Path], Read]
) -> Read:
    """Read a file of packages.

    Raises
    ------
    SettingsError
        It can't be read, or is no such file.
    """
    try:
        return read(Path(file_path))
    except OSError as error:
        problem = f"can't be read: {error.strerror or error}. Write the path of a file"
    except ValueError as error:
        problem = str(error)
    raise SettingsError(subject, [f"file_path={str(file_path)!r} {problem}."])
