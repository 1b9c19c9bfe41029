"""What the original's files say of an environment, under the names that are used here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.workspace.environments.dependencies import conda_of, read_conda
from daskrun.workspace.environments.kept import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Mapping

CONDA = "conda_dependencies"
SPECIFICATION, FILE = "condaDependencies", "condaDependenciesFile"
PYTHON = {
    "interpreterPath": "interpreter_path",
    "userManagedDependencies": "user_managed_dependencies",
}
"""By what they say of Python what it is called here; packages are a part of their own."""
DOCKER = {
    "enabled": "enabled",
    "baseImage": "base_image",
    "baseDockerfile": "base_dockerfile",
    "arguments": "arguments",
    "gpuSupport": "gpu_support",
    "sharedVolumes": "shared_volumes",
}
"""Likewise of Docker; the rest is of containers alone."""


def as_ours(value: Mapping[str, Any], folder: Path | None = None) -> Mapping[str, Any]:
    """Return what a file says of an environment, as ``Environment.as_record`` has it.

    What is so already is returned as it is. ``folder`` is where a file that is named is.
    """
    python = value.get("python") or {}
    if "environmentVariables" not in value and not {*python} & {SPECIFICATION, FILE, *PYTHON}:
        return value
    ours = {here: python[there] for there, here in PYTHON.items() if python.get(there) is not None}
    if python.get(SPECIFICATION) is not None:
        ours[CONDA] = asdict(conda_of(python[SPECIFICATION], Path.cwd()))
    elif python.get(FILE) and folder is not None:
        ours[CONDA] = asdict(read_conda(folder / python[FILE]))
    docker = value.get("docker") or {}
    return {
        "name": value.get("name"),
        "python": ours,
        "docker": {
            here: docker[there] for there, here in DOCKER.items() if docker.get(there) is not None
        },
        VARIABLES: value.get("environmentVariables") or {},
    }
