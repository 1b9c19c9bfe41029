"""``Environment``: the original's, recorded; script processes use the Python of their node."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from daskrun.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """

    __slots__ = ("docker", "name", "python")  # a misspelt attribute is an error, not ignored

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name.strip():
            raise SettingsError(
                "Environment", [f"name={name!r} is not a name. Write name='batch_environment'."]
            )
        self.name = name
        self.python = PythonSection()
        self.docker = DockerSection()

    def __repr__(self) -> str:
        return f"Environment(name={self.name!r})"

    @property
    def unused(self) -> list[str]:
        """The sections that say something nothing is done with."""
        return [
            *(["python.conda_dependencies"] if self.python.conda_dependencies else []),
            *(["docker"] if self.docker.enabled or self.docker.base_image else []),
        ]

    def as_record(self) -> dict[str, Any]:
        """Give it as JSON, for the run's record."""
        return {
            "name": self.name,
            "python": asdict(self.python),
            "docker": asdict(self.docker),
        }
