"""``Environment``: the original's, recorded; script processes use the Python of their node."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from daskrun.errors import NameNotFoundError, SettingsError, WorkspaceError

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping, Sequence

    from daskrun.workspace.workspace import Workspace

KIND = "environments"

DEFAULT_CPU_IMAGE = "mcr.microsoft.com/azureml/openmpi3.1.2-ubuntu18.04"
"""The original's image for CPU nodes: a name to record, nothing is pulled."""
DEFAULT_GPU_IMAGE = "mcr.microsoft.com/azureml/openmpi3.1.2-cuda10.1-cudnn7-ubuntu18.04"
"""The original's image for GPU nodes: a name to record, nothing is pulled."""


@dataclass(slots=True)
class CondaDependencies:
    """Packages an entry script needs.

    Examples
    --------
    >>> CondaDependencies.create(pip_packages=["pillow"]).pip_packages
    ['pillow']
    """

    pip_packages: list[str] = field(default_factory=list)
    """As ``pip install`` takes them."""
    conda_packages: list[str] = field(default_factory=list)
    """As ``conda install`` takes them."""

    @staticmethod
    def create(
        pip_packages: Sequence[str] | None = None, conda_packages: Sequence[str] | None = None
    ) -> CondaDependencies:
        """Name the packages.

        Raises
        ------
        SettingsError
            They aren't lists of names.
        """
        given = {"pip_packages": pip_packages, "conda_packages": conda_packages}
        problems = [
            f"{name}={value!r} is not a list of names. Write {name}=['pillow']."
            for name, value in given.items()
            if value is not None
            and (isinstance(value, str) or not all(isinstance(each, str) for each in value))
        ]
        if problems:
            raise SettingsError("CondaDependencies", problems)
        return CondaDependencies(list(pip_packages or []), list(conda_packages or []))

    def add_pip_package(self, pip_package: str) -> None:
        """Name one more package for pip."""
        self.pip_packages.append(pip_package)

    def add_conda_package(self, conda_package: str) -> None:
        """Name one more package for conda."""
        self.conda_packages.append(conda_package)


@dataclass(slots=True)
class PythonSection:
    """What an environment says of Python."""

    conda_dependencies: CondaDependencies | None = None
    user_managed_dependencies: bool = False
    """Whether the packages are there already."""


@dataclass(slots=True)
class DockerSection:
    """What an environment says of Docker."""

    enabled: bool = False
    base_image: str | None = None


class Environment:
    """The Python environment of the script processes, by name.

    It is recorded with a run. Script processes use the Python of the node they are on: packages are
    not installed and no image is started, and ``submit`` says so once.

    Examples
    --------
    >>> environment = Environment(name="batch_environment")
    >>> environment.python.conda_dependencies = CondaDependencies.create(pip_packages=["pillow"])
    >>> environment.docker.enabled = True
    >>> environment.unused
    ['python.conda_dependencies', 'docker']

    Registered in a workspace, it is found there by its name:

    >>> import tempfile
    >>> from daskrun.workspace.workspace import Workspace
    >>> ws = Workspace.create("trial", path=tempfile.mkdtemp())
    >>> environment.register(ws)
    Environment(name='batch_environment', version='1')
    >>> Environment.get(ws, "batch_environment").python.conda_dependencies.pip_packages
    ['pillow']
    """

    __slots__ = (
        "docker",
        "name",
        "python",
        "version",
    )
    # A misspelt attribute is an error, not ignored.

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name.strip():
            raise SettingsError(
                "Environment", [f"name={name!r} is not a name. Write name='batch_environment'."]
            )
        self.name = name
        self.version: str | None = None
        """Of a registered one, as the original has it, a text."""
        self.python = PythonSection()
        self.docker = DockerSection()

    def __repr__(self) -> str:
        version = f", version={self.version!r}" if self.version else ""
        return f"Environment(name={self.name!r}{version})"

    def register(self, workspace: Workspace) -> Environment:
        """Keep it in a workspace under its name, and give it with its version.

        Where the newest version of that name says the same, it is given, and nothing is kept.

        Raises
        ------
        SettingsError
            The name can't be a record's.
        """
        value = self._contents()
        newest = workspace.records.latest(KIND, self.name)
        if newest is not None and newest[1]["environment"] == value:
            return _from_record(self.name, *newest)
        record = {"environment": value, "created": time.time()}
        number = workspace.records.create(KIND, self.name, record)
        return _from_record(self.name, number, record)

    @staticmethod
    def get(workspace: Workspace, name: str, version: str | int | None = None) -> Environment:
        """Give a registered environment; without ``version`` the newest.

        Raises
        ------
        NameNotFoundError
            There is none of that name or version.
        """
        records = workspace.records
        newest = records.latest(KIND, name)
        if newest is None:
            raise NameNotFoundError("environment", name, records.names(KIND))
        if version is None:
            return _from_record(name, *newest)
        number = int(version) if str(version).isdecimal() else 0
        try:
            return _from_record(name, number, records.get(KIND, name, number))
        except NameNotFoundError as error:
            asked = f"{name}:{version}"
            raise NameNotFoundError("environment", asked, error.known) from None

    @staticmethod
    def list(workspace: Workspace) -> dict[str, Environment]:
        """Give the newest version of each registered environment by name."""
        records = workspace.records
        found = ((name, records.latest(KIND, name)) for name in records.names(KIND))
        return {name: _from_record(name, *newest) for name, newest in found if newest is not None}

    def clone(self, new_name: str) -> Environment:
        """Give one that says the same, under another name, not registered."""
        return _from_record(new_name, None, {"environment": self._contents()})

    @property
    def unused(self) -> builtins.list[str]:
        """The sections that say something nothing is done with."""
        return [
            *(["python.conda_dependencies"] if self.python.conda_dependencies else []),
            *(["docker"] if self.docker.enabled or self.docker.base_image else []),
        ]

    def as_record(self) -> dict[str, Any]:
        """Give it as JSON, for the run's record."""
        return {"name": self.name, "version": self.version, **self._contents()}

    def _contents(self) -> dict[str, Any]:
        return {"python": asdict(self.python), "docker": asdict(self.docker)}


def _from_record(name: str, number: int | None, record: Mapping[str, Any]) -> Environment:
    """Make an environment from what was kept of it."""
    made = Environment(name)
    made.version = str(number) if number is not None else None
    python = dict(record["environment"]["python"])
    conda = python.pop("conda_dependencies")
    try:
        if conda is not None:
            made.python.conda_dependencies = CondaDependencies(**conda)
        made.python = replace(made.python, **python)
        made.docker = DockerSection(**record["environment"]["docker"])
    except TypeError as error:
        raise WorkspaceError(
            f"environment {name}:{number} was kept by another version of daskrun: {error}. "
            "Use that version, or register it again."
        ) from error
    return made
