"""``CondaDependencies``: the packages an environment names, and the files they are read from."""

from __future__ import annotations

import os
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from daskrun.core.absent_names import OriginalClass, original_keywords
from daskrun.errors import SettingsError, StorageError
from daskrun.shown.url_secrets import shown_text
from daskrun.storage.durable import write_whole
from daskrun.storage.folders import make_folder
from daskrun.workspace.environments.conda import as_pip
from daskrun.workspace.environments.pip_lines import (
    expanded,
    is_here,
    name_of,
    option_of,
    read_requirements,
    whole_line,
    without,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Read = TypeVar("Read")
STANDS_FOR = {"azureml-dataset-runtime": ("pandas", "pyarrow")}
"""Packages that scripts import and the original's brought with them."""


@original_keywords
@dataclass(slots=True)
class CondaDependencies(OriginalClass):
    """Packages an entry script needs.

    Those for pip are installed, and of those for conda what pip has too, in the version that is
    named, unless pip is asked for it itself; the rest, and channels, are recorded.

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
    """As ``conda install`` takes them: names that pip has otherwise are translated."""
    channels: list[str] = field(default_factory=list)
    """Where conda looks for packages."""
    conda_dependencies_file_path: InitVar[str | os.PathLike[str] | None] = None
    """A conda specification that names them, in the place of all of that."""

    def __post_init__(self, conda_dependencies_file_path: str | os.PathLike[str] | None) -> None:
        if (file := conda_dependencies_file_path) is not None:
            read = read_or_refuse("CondaDependencies", file, read_conda)
            self.pip_packages, self.conda_packages = read.pip_packages, read.conda_packages
            self.channels = read.channels

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
        self.pip_packages = without(pip_package, self.pip_packages)

    def add_conda_package(self, conda_package: str) -> None:
        """Name one more package for conda."""
        self.conda_packages.append(conda_package)

    def remove_conda_package(self, conda_package: str) -> None:
        """Leave out a package for conda, whatever version of it was asked for."""
        self.conda_packages = without(conda_package, self.conda_packages)

    def add_channel(self, channel: str) -> None:
        """Name one more channel for conda."""
        self.channels.append(channel)

    def remove_channel(self, channel: str) -> None:
        """Leave out a channel for conda."""
        self.channels = [each for each in self.channels if each != channel]

    def set_python_version(self, python_version: str) -> None:
        """Have conda asked for a version of Python."""
        self.remove_conda_package("python")
        self.conda_packages.append(f"python={python_version}")

    def get_python_version(self) -> str | None:
        """Return the version of Python that conda is asked for, None where that isn't said."""
        lines = [line for line in self.conda_packages if name_of(line) == "python"]
        version = lines[-1].strip()[len("python") :].lstrip("= ") if lines else ""
        return version or None

    def set_pip_requirements(self, pip_requirements: Sequence[str]) -> None:
        """Have pip asked for these lines, packages and options, in the place of all others.

        Raises
        ------
        SettingsError
            They aren't a list of lines.
        """
        if not _are_texts(pip_requirements):
            problem = f"pip_requirements={pip_requirements!r} is not a list of lines."
            raise SettingsError("set_pip_requirements", [f"{problem} Write ['pillow==11.0']."])
        self.pip_packages = list(pip_requirements)

    def set_pip_option(self, pip_option: str) -> None:
        """Give pip one more option, such as ``--extra-index-url URL``."""
        if pip_option not in self.pip_packages:
            self.pip_packages.insert(0, pip_option)

    def remove_pip_option(self, pip_option: str) -> None:
        """Leave out an option of pip, whatever its value."""
        own = option_of(pip_option)
        self.pip_packages = [line for line in self.pip_packages if option_of(line) != own]

    def set_pip_index_url(self, index_url: str) -> None:
        """Have pip look for packages there, instead of where it has been set up to."""
        self.remove_pip_option("--index-url")
        self.set_pip_option(f"--index-url {index_url}")

    @property
    def pip_options(self) -> list[str]:
        """The lines for pip that name an option, not a package."""
        return [line for line in self.pip_packages if option_of(line) is not None]

    @property
    def conda_channels(self) -> list[str]:
        """The channels."""
        return list(self.channels)

    def serialize_to_string(self) -> str:
        """Return it as conda specification, as :meth:`Environment.from_conda_specification` reads.

        Examples
        --------
        >>> named = CondaDependencies.create(["pillow"], ["cudatoolkit"], python_version="3.11")
        >>> print(named.serialize_to_string(), end="")
        dependencies:
        - cudatoolkit
        - python=3.11
        - pip:
          - pillow
        """
        import yaml

        channels = {"channels": list(self.channels)} if self.channels else {}
        pip = [{"pip": list(self.pip_packages)}] if self.pip_packages else []
        value = {**channels, "dependencies": [*self.conda_packages, *pip]}
        return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))

    def save_to_file(
        self,
        base_directory: str | os.PathLike[str],
        conda_file_path: str | os.PathLike[str] = "conda_dependencies.yml",
    ) -> str:
        """Write :meth:`serialize_to_string` to a file in a folder, and give its path there.

        Raises
        ------
        StorageError
            It can't be written.
        """
        file = Path(base_directory, conda_file_path)
        try:
            make_folder(file.parent)
            write_whole(file, self.serialize_to_string().encode())
        except OSError as error:
            raise StorageError(f"{str(file)!r} can't be written: {error}") from error
        return os.fspath(conda_file_path)

    def save(self, path: str | os.PathLike[str] | None = None) -> str:
        """Write it to a file, ``conda_dependencies.yml`` if nothing is said, and give its path."""
        return self.save_to_file("", "conda_dependencies.yml" if path is None else path)

    @property
    def for_pip(self) -> list[str]:
        """What pip is asked for: without what daskrun is, local files by their whole path.

        Examples
        --------
        >>> CondaDependencies.create(["tabulate"], ["scikit-learn=1.5", "poppler"]).for_pip
        ['tabulate', 'scikit-learn==1.5.*']
        """
        found: list[str] = []
        for line in map(str.strip, self.pip_packages):
            name = name_of(line)
            found += STANDS_FOR.get(name, ()) if is_here(name) else [whole_line(line, Path.cwd())]
        known = set(map(name_of, found))
        for line in filter(None, map(as_pip, self.conda_packages)):
            if not is_here(name_of(line)) and name_of(line) not in known:
                found.append(line)
        return list(dict.fromkeys(found))

    @property
    def not_for_pip(self) -> list[str]:
        """What is named for conda and is not installed: pip has no such package, but for itself."""
        named = [line for line in self.conda_packages if as_pip(line) is None]
        return [line for line in named if name_of(line) != "pip"]

    @property
    def left_out(self) -> list[str]:
        """Names of packages that are not installed: daskrun stands for them."""
        named = [*self.pip_packages, *filter(None, map(as_pip, self.conda_packages))]
        names = map(name_of, named)
        return [name for name in dict.fromkeys(names) if is_here(name)]

    def problems(self) -> list[str]:
        """Return what of it pip could not be asked for."""
        if not _are_texts(self.pip_packages):
            text = f"pip_packages={self.pip_packages!r} is not a list of names."
            return [f"{text} Write pip_packages=['pillow']."]
        found = []
        for line in self.pip_packages:
            if not line.strip() or not line.isprintable():
                found.append(f"pip_packages has {line!r}, which names no package.")
            elif (shown := shown_text(line)) != line:
                found.append(
                    f"pip_packages has {shown!r} with a name or password in it, which the run's "
                    "record would show. Write ${NAME} in their place: pip takes it from the "
                    "environment variable NAME of the node."
                )
        return found


del CondaDependencies.conda_dependencies_file_path  # type: ignore[attr-defined]  # an argument only


def read_conda(file: Path) -> CondaDependencies:
    """Return what a conda specification asks for.

    Raises OSError where it can't be read; ValueError where it is no such file; with the reason.
    """
    import yaml

    from daskrun.storage.yaml_text import read_yaml  # it loads yaml too

    try:
        _, value = read_yaml(file)
    except yaml.YAMLError as error:
        raise ValueError(f"is not YAML: {error}") from error
    except ValueError as error:
        raise ValueError(f"can't be read as YAML: {error}") from error
    return conda_of(value, file.parent)


def conda_of(value: Any, folder: Path) -> CondaDependencies:
    """Return what a conda specification, as YAML or JSON has it, asks for.

    Raises ValueError where it is none. Files that it names are relative to ``folder``.
    """
    listed = value.get("dependencies", []) if isinstance(value, dict) else None
    if not isinstance(listed, list):
        raise ValueError("has no list 'dependencies'")  # noqa: TRY004  (of the file's contents)
    pip = [line for each in listed if isinstance(each, dict) for line in each.get("pip") or ()]
    conda = [each for each in listed if not isinstance(each, dict)]
    channels = value.get("channels") or []
    if not all(map(_are_texts, (pip, conda, channels))):
        raise ValueError("has something else than names in its lists")
    return CondaDependencies(list(expanded(pip, folder, set())), conda, channels)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)


def read_or_refuse(
    subject: str, file_path: str | os.PathLike[str], read: Callable[[Path], Read]
) -> Read:
    """Read a file of packages.

    Raises SettingsError where it can't be read, or is no such file.
    """
    try:
        return read(Path(file_path))
    except OSError as error:
        problem = f"can't be read: {error.strerror or error}. Write the path of a file"
    except ValueError as error:
        problem = str(error)
    raise SettingsError(subject, [f"file_path={str(file_path)!r} {problem}."])


def read_either(subject: str, conda: Any, pip: Any) -> CondaDependencies:
    """Return what a conda specification, or a file for pip, names; nothing where neither is given.

    Raises SettingsError as :func:`read_or_refuse` does, and where both are given.
    """
    if conda is not None and pip is not None:
        problem = "conda_specification and pip_requirements both name packages. Give one of them."
        raise SettingsError(subject, [problem])
    if conda is not None:
        return read_or_refuse(subject, conda, read_conda)
    lines = read_or_refuse(subject, pip, read_requirements) if pip is not None else []
    return CondaDependencies(lines)
