"""``Environment``: the Python that script processes run in, by name."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import original_keywords
from daskrun.core.codec import from_record
from daskrun.core.json_text import parsed
from daskrun.core.notices import say_once
from daskrun.core.settings import RULES, without_values
from daskrun.core.told import told_arguments
from daskrun.errors import NameNotFoundError, SettingsError, WorkspaceError
from daskrun.storage.durable import read_file, write_whole
from daskrun.storage.folders import make_folder
from daskrun.storage.records import each_readable
from daskrun.workspace.environments.dependencies import (
    CondaDependencies,
    read_conda,
    read_either,
    read_or_refuse,
)
from daskrun.workspace.environments.kept import VARIABLES, keep, may_be_secret, whole
from daskrun.workspace.environments.original_file import as_ours
from daskrun.workspace.environments.pip_lines import read_requirements
from daskrun.workspace.environments.sections import (
    CONTAINERS,
    OWN_PYTHON,
    DockerSection,
    PythonSection,
    SparkSection,
)
from daskrun.workspace.environments.told import Told
from daskrun.workspace.layout import ENVIRONMENTS

if TYPE_CHECKING:
    import builtins
    import os
    from collections.abc import Mapping

    from daskrun.core.codec import JsonObject
    from daskrun.workspace.home import Home

CURATED = "azureml-"
"""How the names of those begin that the original has by itself."""
FILE = "azureml_environment.json"
"""The original's name for an environment in a folder."""

DEFAULT_CPU_IMAGE = "mcr.microsoft.com/azureml/openmpi3.1.2-ubuntu18.04"
"""The original's image for CPU nodes: a name to record, nothing is pulled."""
DEFAULT_GPU_IMAGE = "mcr.microsoft.com/azureml/openmpi3.1.2-cuda10.1-cudnn7-ubuntu18.04"
"""The original's image for GPU nodes: a name to record, nothing is pulled."""


class Environment(Told, absent="databricks r", unused={"inferencing_stack_version": CONTAINERS}):
    """The Python environment of the script processes, by name.

    Where a node's own Python has every package that is named for pip, in a version that will do,
    script processes run in it. Else a virtual environment with them is built on that node, once:
    it is kept in ``~/.cache/daskrun/environments`` (or where ``XDG_CACHE_HOME`` or
    ``DASKRUN_ENVIRONMENTS`` say there), and used again for the same packages. Those called
    ``azureml-*`` are left out, since daskrun stands for them. What is said of conda, Docker and
    Spark is recorded and not used, and ``submit`` says so once.

    Examples
    --------
    >>> environment = Environment(name="batch_environment")
    >>> environment.python.conda_dependencies = CondaDependencies.create(
    ...     pip_packages=["pillow", "azureml-core"], conda_packages=["cudatoolkit"])
    >>> environment.requirements
    ['pillow']
    >>> environment.environment_variables = {"OMP_NUM_THREADS": "1"}
    >>> environment.docker.enabled = True
    >>> environment.unused
    ['python.conda_dependencies.conda_packages', 'docker']

    One that is there, with what the script and daskrun need:

    >>> Environment.from_existing_conda_environment("mine", "/opt/conda/envs/mine").interpreter
    '/opt/conda/envs/mine/bin/python'

    Registered in a workspace, it is found there by its name:

    >>> import tempfile
    >>> from daskrun.workspace.workspace import Workspace
    >>> ws = Workspace.create("trial", path=tempfile.mkdtemp())
    >>> environment.register(ws)
    Environment(name='batch_environment', version='1')
    >>> Environment.get(ws, "batch_environment").requirements
    ['pillow']
    """

    __slots__ = ("docker", "environment_variables", "name", "python", "spark", "version")
    # A misspelt attribute is an error, not ignored.

    def __init__(
        self, name: str, *, environment_variables: Mapping[str, str] | None = None
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise SettingsError(
                "Environment", [f"name={name!r} is not a name. Write name='batch_environment'."]
            )
        self.name = name
        self.version: str | None = None
        """Of a registered one, as the original has it, a text."""
        self.environment_variables: Mapping[str, str] = environment_variables or {}
        """Set in script processes before the script is imported; those of a step go before them."""
        self.python = PythonSection()
        self.docker = DockerSection()
        self.spark = SparkSection()

    def __repr__(self) -> str:
        version = f", version={self.version!r}" if self.version else ""
        return f"Environment(name={self.name!r}{version})"

    @staticmethod
    @original_keywords
    def from_pip_requirements(name: str, file_path: str | os.PathLike[str]) -> Environment:
        """Name the packages in a file such as ``requirements.txt``, and in those it names.

        Raises SettingsError where it can't be read.
        """
        subject = "Environment.from_pip_requirements"
        lines = read_or_refuse(subject, file_path, read_requirements)
        return _made(name, conda_dependencies=CondaDependencies(lines))

    @staticmethod
    @original_keywords
    def from_docker_image(
        name: str,
        image: str,
        *,
        conda_specification: str | os.PathLike[str] | None = None,
        pip_requirements: str | os.PathLike[str] | None = None,
    ) -> Environment:
        """Record the image, and name the packages of a file, if one is given.

        Raises SettingsError where that can't be read, or two are given.
        """
        files = conda_specification, pip_requirements
        made = _made(name, conda_dependencies=read_either("Environment.from_docker_image", *files))
        made.docker.base_image = image
        return made

    @staticmethod
    def from_dockerfile(
        name: str,
        dockerfile: str | os.PathLike[str],
        conda_specification: str | os.PathLike[str] | None = None,
        pip_requirements: str | os.PathLike[str] | None = None,
    ) -> Environment:
        """Record the Dockerfile, and name the packages of a file; see :meth:`from_docker_image`."""
        files = conda_specification, pip_requirements
        made = _made(name, conda_dependencies=read_either("Environment.from_dockerfile", *files))
        made.docker.base_dockerfile = str(dockerfile)
        return made

    @staticmethod
    def from_conda_specification(name: str, file_path: str | os.PathLike[str]) -> Environment:
        """Name the packages in a file such as ``environment.yml``; its ``pip`` part is installed.

        Raises
        ------
        SettingsError
            It can't be read, or is no such file.
        """
        subject = "Environment.from_conda_specification"
        return _made(name, conda_dependencies=read_or_refuse(subject, file_path, read_conda))

    @staticmethod
    def from_existing_conda_environment(
        name: str, conda_environment_name: str | os.PathLike[str]
    ) -> Environment:
        """Use an environment that is there, on every node, made by conda or otherwise.

        Parameters
        ----------
        conda_environment_name
            Its folder: ``bin/python`` is in it.

        Raises
        ------
        SettingsError
            That is no path, or there is no such folder.
        """
        folder = Path(conda_environment_name)
        if not folder.is_absolute() and not (folder / "bin" / "python").exists():
            problem = f"conda_environment_name={str(folder)!r} has no bin/python in it here."
            advice = "Write the path of an environment's folder, as `conda env list` shows it."
            raise SettingsError(
                "Environment.from_existing_conda_environment", [f"{problem} {advice}"]
            )
        python = str(folder.absolute() / "bin" / "python")
        return _made(name, user_managed_dependencies=True, interpreter_path=python)

    @staticmethod
    def load_from_directory(path: str | os.PathLike[str]) -> Environment:
        """Return what :meth:`save_to_directory`, here or of the original, wrote.

        Raises
        ------
        SettingsError
            There is none in that folder.
        WorkspaceError
            Another version of daskrun wrote it.
        """
        subject = "Environment.load_from_directory"
        value = read_or_refuse(subject, Path(path, FILE), _read)
        return _from_record(value["name"], None, as_ours(value, Path(path)))

    def save_to_directory(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write it to a file in a folder, which is made where it is not there.

        Where it holds what may be secret, such as ``environment_variables``, only this user may
        read the file. Raises SettingsError where there is one in that folder.
        """
        file = Path(path, FILE)
        if file.exists() and not overwrite:
            problem = f"path={str(path)!r} has {FILE} already. Pass overwrite=True, or another."
            raise SettingsError("Environment.save_to_directory", [problem])
        make_folder(file.parent)
        value = self.as_record()
        mode = 0o600 if may_be_secret(value) else 0o666
        write_whole(file, json.dumps(value, indent=2).encode(), mode=mode)

    def register(self, workspace: Home) -> Environment:
        """Keep it in a workspace under its name, and give it with its version.

        Where the newest version of that name says the same, it is given, and nothing is kept.

        Raises
        ------
        SettingsError
            The name can't be a record's.
        """
        value = self._contents()
        newest = workspace.records.latest(ENVIRONMENTS, self.name)
        if newest is not None and whole(workspace, newest[1]) == value:
            return _from_record(self.name, newest[0], value)
        return _from_record(self.name, keep(workspace, self.name, value), value)

    @staticmethod
    @original_keywords
    def get(workspace: Home, name: str, version: str | int | None = None) -> Environment:
        """Return a registered environment; without ``version`` the newest.

        One that the original has by itself, ``AzureML-...``, and nobody has registered, is the
        Python of each node, which a warning says once.

        Raises
        ------
        NameNotFoundError
            There is none of that name or version.
        """
        records = workspace.records
        newest = records.latest(ENVIRONMENTS, name)
        if newest is None and name.lower().startswith(CURATED):
            say_once(
                f"environment {name!r} is the Python of each node, with what is installed there"
            )
            return Environment(name)
        if newest is None:
            raise NameNotFoundError("environment", name, records.names(ENVIRONMENTS))
        number, record = newest
        if version is not None:
            number = int(version) if str(version).isdecimal() else 0
            try:
                record = records.get(ENVIRONMENTS, name, number)
            except NameNotFoundError as error:
                asked = f"{name}:{version}"
                raise NameNotFoundError("environment", asked, error.known) from None
        return _from_record(name, number, whole(workspace, record))

    @staticmethod
    def list(workspace: Home) -> dict[str, Environment]:
        """Return the newest version of each registered environment by name."""
        names = workspace.records.names(ENVIRONMENTS)
        return dict(each_readable(names, lambda name: Environment.get(workspace, name)))

    def clone(self, new_name: str) -> Environment:
        """Return one that says the same, under another name, not registered."""
        return _from_record(new_name, None, self._contents())

    @property
    def requirements(self) -> builtins.list[str]:
        """What pip is asked for where a node's own Python lacks it; without what daskrun is."""
        named = self.python.conda_dependencies
        return [] if named is None or self.python.user_managed_dependencies else named.for_pip

    @property
    def interpreter(self) -> str | None:
        """The interpreter that is named; None: one that has ``requirements``."""
        python = self.python
        named = python.user_managed_dependencies and python.interpreter_path != OWN_PYTHON
        return python.interpreter_path if named else None

    @property
    def variables(self) -> dict[str, str]:
        """What is set in script processes.

        Raises
        ------
        SettingsError
            ``environment_variables`` is not names and texts.
        """
        try:
            return dict(RULES[VARIABLES](self.environment_variables))
        except ValueError as error:
            shown = without_values(VARIABLES, self.environment_variables)
            problem = f"{VARIABLES}={shown!r} {error}"
            raise SettingsError(f"environment {self.name!r}", [problem]) from None

    @property
    def is_blank(self) -> bool:
        """Whether it says nothing."""
        return self._contents() == Environment(self.name)._contents()

    @staticmethod
    def from_record(value: Mapping[str, Any]) -> Environment:
        """Make the environment that :meth:`as_record` gave."""
        return _from_record(value["name"], value["version"], value)

    def as_record(self) -> JsonObject:
        """Return it as JSON, with the values of its variables, which may be secret."""
        return {"name": self.name, "version": self.version, **self._contents()}

    def as_told(self) -> JsonObject:
        """Return it as JSON, for the run's record: of what may be secret the names only."""
        record = self.as_record()
        record["docker"]["arguments"] = told_arguments(self.docker.arguments)
        return {**record, VARIABLES: sorted(record[VARIABLES])} if VARIABLES in record else record

    def _contents(self) -> JsonObject:
        """Return what it says; what is left out says nothing, so that older records are same."""
        variables, spark = self.variables, self.spark
        python = asdict(self.python)
        if self.python.conda_dependencies == CondaDependencies():
            python["conda_dependencies"] = None
        return {
            "python": python,
            "docker": asdict(self.docker),
            **({VARIABLES: variables} if variables else {}),
            **({"spark": asdict(spark)} if spark != SparkSection() else {}),
        }


def _read(file: Path) -> JsonObject:
    value = parsed(read_file(file))
    if not isinstance(value, dict) or "name" not in value:
        raise ValueError("holds no environment")
    return value


def _made(name: str, **python: Any) -> Environment:
    made = Environment(name)
    made.python = replace(made.python, **python)
    return made


def _from_record(name: str, number: int | str | None, value: Mapping[str, Any]) -> Environment:
    """Make an environment of what was kept of it."""
    made = Environment(name)
    made.version = str(number) if number is not None else None
    made.environment_variables = value.get(VARIABLES, {})
    try:
        kept = {name: each for name, each in value["python"].items() if each is not None}
        made.python = from_record(PythonSection, kept)
        made.docker = from_record(DockerSection, value["docker"])
        made.spark = from_record(SparkSection, value.get("spark", {}))
    except TypeError as error:
        raise WorkspaceError(
            f"environment {name}:{number} was kept by another version of daskrun: {error}. "
            "Use that version, or register it again."
        ) from error
    return made
