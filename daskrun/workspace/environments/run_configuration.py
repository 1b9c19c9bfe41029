"""``RunConfiguration``: environment, variables and target of a script, as the original has them."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import OriginalClass, original_keywords
from daskrun.core.settings import RULES
from daskrun.errors import SettingsError
from daskrun.workspace.environments.dependencies import read_or_refuse
from daskrun.workspace.environments.environment import Environment
from daskrun.workspace.environments.kept import VARIABLES
from daskrun.workspace.environments.original_file import as_ours

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from daskrun.workspace.environments.dependencies import CondaDependencies

SECTIONS = (
    "amlcompute",
    "docker",
    "hdi",
    "history",
    "mpi",
    "paralleltask",
    "pytorch",
    "spark",
    "tensorflow",
)
"""What is said in several values."""
RECORDED = (
    *SECTIONS,
    "auto_prepare_environment",
    "communicator",
    "credential_passthrough",
    "data",
    "data_references",
    "framework",
    "node_count",
    "output_data",
    "priority",
    "source_directory_data_store",
)
"""What is kept with a run, and not used."""
NAME = "run_configuration"
"""Of its environment where none is given."""
LOCAL = ("local", "amlcompute")
"""Targets that are none in particular."""


class Recorded(SimpleNamespace):
    """A section that is kept with the run, and says nothing that is used."""


class DockerConfiguration(Recorded):
    """What is said of containers, which are not used.

    Examples
    --------
    >>> DockerConfiguration(use_docker=True).use_docker
    True
    """

    def __init__(
        self,
        use_docker: bool = False,
        shared_volumes: bool = True,
        arguments: Sequence[str] | None = None,
        shm_size: str | None = None,
    ) -> None:
        super().__init__(
            use_docker=use_docker,
            shared_volumes=shared_volumes,
            arguments=list(arguments or []),
            shm_size=shm_size,
        )


class MpiConfiguration(Recorded):
    """What is said of several processes, of which a step has one."""

    def __init__(self, process_count_per_node: int = 1, node_count: int = 1) -> None:
        super().__init__(process_count_per_node=process_count_per_node, node_count=node_count)


class RunConfiguration(OriginalClass):
    """The environment, variables and target of a :class:`PythonScriptStep`.

    All else that is said of a run is kept with it, and not used; ``submit`` says so once.

    Parameters
    ----------
    script, arguments
        A step has its own.
    framework, communicator
        Kept with the run.
    conda_dependencies
        Of its environment.

    Examples
    --------
    >>> from daskrun import CondaDependencies
    >>> named = CondaDependencies.create(pip_packages=["pillow"])
    >>> configuration = RunConfiguration(conda_dependencies=named)
    >>> configuration.environment.requirements
    ['pillow']
    """

    __slots__ = (
        *RECORDED,
        "arguments",
        "environment",
        "environment_variables",
        "max_run_duration_seconds",
        "script",
        "target",
    )
    # A misspelt attribute is an error, not ignored.

    @original_keywords
    def __init__(
        self,
        script: str | None = None,
        arguments: Sequence[object] | None = None,
        framework: str | None = None,
        communicator: str | None = None,
        conda_dependencies: CondaDependencies | None = None,
    ) -> None:
        self.environment = Environment(NAME)
        if conda_dependencies is not None:
            self.environment.python.conda_dependencies = conda_dependencies
        self.environment_variables: Mapping[str, object] = {}
        """Of one that its environment sets too, this value."""
        self.target: Any = "local"
        """A compute target, or the name of one; ``local``: none in particular."""
        self.max_run_duration_seconds: float | None = None
        """Seconds it may take; None: as the step says."""
        self.script, self.arguments = script, list(arguments or [])
        for name in RECORDED:
            setattr(self, name, Recorded() if name in SECTIONS else None)
        self.docker, self.mpi = DockerConfiguration(), MpiConfiguration()
        self.framework, self.communicator = framework or "Python", communicator
        self.node_count = 1
        for name in ("data", "data_references", "output_data"):
            setattr(self, name, {})

    @staticmethod
    def load(path: str | os.PathLike[str], name: str | None = None) -> RunConfiguration:
        """Return what a file of the original's says.

        Parameters
        ----------
        path
            The file, or a folder with the file ``.azureml/<name>.runconfig``.
        name
            None: ``path`` is the file.

        Raises
        ------
        SettingsError
            It can't be read, or says what can't be.
        """
        file = Path(path) if name is None else Path(path, ".azureml", f"{name}.runconfig")
        value = read_or_refuse("RunConfiguration.load", file, _read)
        made = RunConfiguration(value.pop("script", None), value.pop("arguments", None))
        if (environment := value.pop("environment", None)) is not None:
            known = {"name": NAME, "version": None, **as_ours(environment, file.parent)}
            made.environment = Environment.from_record(known)
        for original, said in value.items():
            here = re.sub(r"(?=[A-Z])", "_", original).lower()
            if said is None or said == "None":
                continue
            if here in SECTIONS and isinstance(said, dict):
                said = Recorded(**said)
            try:
                setattr(made, here, said)
            except AttributeError as error:
                problem = f"path={str(file)!r}: {original} is not known. {error.args[0]}"
                raise SettingsError("RunConfiguration.load", [problem]) from None
        return made

    def __repr__(self) -> str:
        return f"RunConfiguration(environment={self.environment!r}, target={self.target!r})"

    @property
    def said(self) -> dict[str, object]:
        """What it says that is kept with a run, by name, as plain values."""
        usual = RunConfiguration()
        pairs = ((each, getattr(self, each), getattr(usual, each)) for each in RECORDED)
        return {name: _plain(own) for name, own, other in pairs if _plain(own) != _plain(other)}

    def as_record(self) -> dict[str, object]:
        """Return as JSON what a step has of it alone: not its environment and target."""
        return {**self.said, VARIABLES: self.variables()}

    @staticmethod
    def from_record(value: Mapping[str, Any]) -> RunConfiguration:
        """Make one of what :meth:`as_record` gave."""
        made = RunConfiguration()
        for name, said in value.items():
            setattr(made, name, Recorded(**said) if name in SECTIONS else said)
        return made

    @property
    def used_target(self) -> Any:
        """The target that it names; None where that is none in particular."""
        name = self.target if isinstance(self.target, str) else None
        return None if name is not None and name.lower() in LOCAL else self.target

    @property
    def used_environment(self) -> Environment | None:
        """Its environment; None where nothing is said of it."""
        given = self.environment
        blank = isinstance(given, Environment) and given.name == NAME and given.is_blank
        return None if blank else given

    def variables(self) -> dict[str, str]:
        """Return what it sets beside those of its environment.

        Raises
        ------
        SettingsError
            That is not names and texts.
        """
        try:
            return dict(RULES[VARIABLES](self.environment_variables))
        except ValueError as error:
            problem = f"{VARIABLES}={self.environment_variables!r} {error}"
            raise SettingsError("RunConfiguration", [problem]) from None


def _read(file: Path) -> Any:
    from yaml import YAMLError

    from daskrun.storage.yaml_text import read_yaml  # it loads yaml too

    try:
        _, value = read_yaml(file)
    except YAMLError as error:
        raise ValueError(f"is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict) or not isinstance(value.get("environment") or {}, dict):
        raise ValueError("holds no run configuration, such as `target: cpu-cluster`")  # noqa: TRY004
    return value


def _plain(value: Any) -> Any:
    """Return what is said of a run as JSON."""
    if isinstance(value, SimpleNamespace):
        return {name: _plain(each) for name, each in vars(value).items()}
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, bool | int | float | str | None) else repr(value)
