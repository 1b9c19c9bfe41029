"""What there is to tell of an environment: what of it can't be had, and what is not used."""

from __future__ import annotations

import sys
from abc import abstractmethod
from typing import TYPE_CHECKING

from daskrun.core.absent_names import OriginalClass
from daskrun.errors import SettingsError
from daskrun.script.environments.packages import lacking
from daskrun.workspace.environments.dependencies import CondaDependencies
from daskrun.workspace.environments.pip_lines import name_of
from daskrun.workspace.environments.sections import (
    OWN_PYTHON,
    DockerSection,
    PythonSection,
    SparkSection,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


class Told(OriginalClass):
    """The part of an ``Environment`` that looks at what it says."""

    __slots__ = ()
    name: str
    python: PythonSection
    docker: DockerSection
    spark: SparkSection

    @property
    @abstractmethod
    def variables(self) -> Mapping[str, str]:
        """What is set in script processes."""

    @property
    @abstractmethod
    def requirements(self) -> list[str]:
        """What pip is asked for."""

    @property
    @abstractmethod
    def interpreter(self) -> str | None:
        """The interpreter that is named."""

    @property
    def unused(self) -> list[str]:
        """The sections that say something nothing is done with."""
        python, docker, spark = self.python, self.docker, self.spark
        conda = python.conda_dependencies or CondaDependencies()
        managed = python.user_managed_dependencies
        said = {
            "python.conda_dependencies.pip_packages": managed and conda.pip_packages,
            "python.conda_dependencies.conda_packages": (
                conda.conda_packages if managed else conda.not_for_pip
            ),
            "python.interpreter_path": not managed and python.interpreter_path != OWN_PYTHON,
            "docker": docker != DockerSection(),
            "spark": spark != SparkSection(),
        }
        return [name for name, value in said.items() if value]

    def problems(self) -> list[str]:
        """Return what of it can't be had, in words that begin with its name."""
        found = []
        if self.python.conda_dependencies is not None:
            found += self.python.conda_dependencies.problems()
        path = self.python.interpreter_path
        if not isinstance(path, str) or not path.strip():
            found.append(f"interpreter_path={path!r} is not a path. Write '/opt/env/bin/python'.")
        try:
            self.variables  # noqa: B018 - raises
        except SettingsError as error:
            found += error.problems
        return [f"environment {self.name!r}: {text}" for text in found]

    def notes(self, *, inline: bool) -> list[str]:
        """Return what of it is not used.

        Parameters
        ----------
        inline
            Whether the script runs in this process, and so in its Python.
        """
        found = []
        named = self.python.conda_dependencies
        lines = []
        if named is not None and not self.python.user_managed_dependencies:
            lines = named.not_for_pip
        unused = [each for each in self.unused if not (lines and each.endswith("conda_packages"))]
        if unused:
            found.append(f"{', '.join(unused)} recorded and not used")
        pythons = [line for line in lines if name_of(line) == "python"]
        if packages := [line for line in lines if line not in pythons]:
            found.append(
                f"{', '.join(packages)} of conda not installed, as pip has no such packages: they "
                "are to be on the nodes"
            )
        if pythons and not pythons[0].endswith(f"={sys.version_info[0]}.{sys.version_info[1]}"):
            found.append(f"{pythons[0]} not used: the script runs in the Python of its node")
        if named is not None and named.left_out and not self.python.user_managed_dependencies:
            found.append(f"{', '.join(named.left_out)} not installed, since daskrun stands for it")
        if inline and self.interpreter is not None:
            found.append(f"{self.interpreter} not used: run() runs in this process")
        elif inline and (missing := lacking(self.requirements)):
            found.append(
                f"nothing is installed for compute_target='inline': run() runs in this process, "
                f"whose Python lacks {', '.join(missing)}"
            )
        return [f"environment {self.name!r}: {text}." for text in found]
