"""What the scripts of steps need on this machine: looked for before a run begins.

Nodes of a cluster have paths of their own, which only they can tell.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.engine.request import INLINE
from daskrun.script.environments.packages import asked_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daskrun.core.settings import RunSettings


def here_problems(settings: RunSettings, target: object) -> list[str]:
    """Return which interpreter or package of a step isn't on this machine, if it runs here.

    A relative path is one of this process's folder, wherever the step runs.
    """
    if target == INLINE:  # runs in this Python, and nothing is installed
        return []
    found = list(_missing_packages(settings, anywhere=target is not None))
    python = settings.python_executable
    if target is None and python is not None and shutil.which(python) is None:
        found.append(_missing_python(settings, python))
    return found


def _missing_python(settings: RunSettings, python: str) -> str:
    said = f"python_executable={python!r} is"
    otherwise = "leave it out for the Python of this process"
    if settings.environment_name:
        said = f"environment {settings.environment_name!r} has the interpreter {python!r}, which is"
        otherwise = "leave the environment out"
    return (
        f"{said} no program on this machine, where the step runs. Write the path of one that is "
        f"there, {otherwise}, or give the cluster whose nodes have it as compute_target."
    )


def _missing_packages(settings: RunSettings, *, anywhere: bool) -> Iterator[str]:
    for line in settings.requirements:
        path = asked_file(line)
        if not path or Path(path).exists() or (anywhere and Path(path).is_absolute()):
            continue
        yield (
            f"environment {settings.environment_name!r}: pip_packages has {line!r}, and "
            f"{str(Path(path).absolute())!r} is not there. Write the path of a package's folder or "
            "file that is, or a package's name for pip to find it in its index."
        )
