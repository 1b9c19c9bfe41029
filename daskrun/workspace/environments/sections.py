"""The sections of an ``Environment``: what it says of Python, Docker and Spark."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from daskrun.core.absent_names import OriginalClass
from daskrun.core.codec import record
from daskrun.workspace.environments.dependencies import CondaDependencies

CONTAINERS = "scripts run in Python environments, not in containers. Leave it out."
OWN_PYTHON = "python"
"""``interpreter_path`` as the original has it where nothing is said."""


@record
@dataclass(slots=True)
class PythonSection(OriginalClass, absent="base_conda_environment conda_dependencies_file"):
    """What an environment says of Python."""

    conda_dependencies: CondaDependencies | None = field(default_factory=CondaDependencies)
    user_managed_dependencies: bool = False
    """Whether the packages are there already: nothing is installed."""
    interpreter_path: str = OWN_PYTHON
    """With ``user_managed_dependencies`` what script processes run in; ``python``: the node's own.
    """


@record
@dataclass(slots=True)
class DockerSection(
    OriginalClass, unused={"base_image_registry build_context platform": CONTAINERS}
):
    """What an environment says of Docker."""

    enabled: bool = False
    base_image: str | None = None
    base_dockerfile: str | None = None
    arguments: list[str] = field(default_factory=list)
    gpu_support: bool | None = None
    shared_volumes: bool = True


@record
@dataclass(slots=True)
class SparkSection:
    """What an environment says of Spark."""

    repositories: list[str] = field(default_factory=list)
    packages: list[Any] = field(default_factory=list)
    precache_packages: bool = True
