"""What is told of a script's error beside itself: what it printed, what to write instead."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.script import context
from daskrun.script.process.gpu_errors import is_out_of_gpu_memory, remedy

if TYPE_CHECKING:
    from daskrun.script.process_spec import ScriptFile

PRIVATE = ". The working directory of a script process is a private, empty one"
LACKING = (
    ". Install its package where the script runs, or name it in the environment of the config, "
    "such as Environment.from_pip_requirements('scoring', 'requirements.txt'); a module of your "
    "own goes beside the script, or into source_directory."
)
KEPT = (
    ". This machine keeps the file for all runs, so nobody may write it. Give the side input "
    "as_download(), which is a copy, or copy the file to the working directory."
)
MODEL_DIR = "AZUREML_MODEL_DIR"
OF_DEPLOYMENTS = (
    f". {MODEL_DIR} is set for the scoring script of a batch deployment. In a step write "
    "Model.get_model_path(name), or environment_variables={'AZUREML_MODEL_DIR': folder} in the "
    "config."
)
SAID = 2048
"""Bytes of stderr that are shown of a script that ends by ``SystemExit``."""
LAST_WORDS = 200
"""Characters of their last line."""


def hints_of(error: BaseException, script: ScriptFile) -> tuple[str, str]:
    """Return what to add to the message of an error, and to its text."""
    if isinstance(error, SystemExit) and isinstance(error.code, int) and (said := _said()):
        last = said.splitlines()[-1][:LAST_WORDS]
        return f". The last that was printed: {last}", f"\nend of its stderr:\n{said}\n"
    if is_out_of_gpu_memory(error):
        return remedy(), f"{remedy()[2:]}\n"
    if isinstance(error, FileNotFoundError):
        hint = _of_working_dir(error.filename, script)
        return hint, hint and f"{hint[2:]}\n"
    if isinstance(error, PermissionError) and _is_kept(error.filename):
        return KEPT, f"{KEPT[2:]}\n"
    if isinstance(error, KeyError) and error.args == (MODEL_DIR,):
        return OF_DEPLOYMENTS, f"{OF_DEPLOYMENTS[2:]}\n"
    if type(error) is ModuleNotFoundError and error.name:
        hint = LACKING if _is_foreign(error.name) else ""
        return hint, hint and f"{hint[2:]}\n"
    return "", ""


def _is_kept(name: object) -> bool:
    """Return whether a file is one that the machine keeps for later runs."""
    if not isinstance(name, str):
        return False
    kept = "/content/entries/"  # see ContentCache
    return kept in os.path.realpath(name)


def _is_foreign(module: str) -> bool:
    """Return whether none of a module is there: neither of Python, nor as a package's part."""
    top = module.partition(".")[0]
    return top not in sys.stdlib_module_names and top not in sys.modules


def _said() -> str:
    """Return the end of this process's stderr where that is a file; argparse prints there."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        sys.stderr.flush()
        with Path("/proc/self/fd/2").open("rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                file.seek(max(_BEGAN, file.seek(0, os.SEEK_END) - SAID))
                return file.read().decode("utf-8", "replace").strip()
    return ""


def _size() -> int:
    with contextlib.suppress(OSError):
        return os.fstat(2).st_size
    return 0


_BEGAN = _size()
"""Where this process's own begins in its stderr, which processes before it have written to."""


def _of_working_dir(name: object, script: ScriptFile) -> str:
    """Return what to write for a relative path that isn't in a private working directory."""
    where = context.current()
    if not isinstance(name, str) or where is None or not where.working_dir:
        return ""
    with contextlib.suppress(OSError, ValueError):
        private = Path(where.working_dir).resolve() == Path.cwd()
        if private and not Path(name).is_absolute():
            beside = f"write Path(__file__).parent / {name!r}."
            if (Path(script.path).parent / name).exists():
                return f"{PRIVATE}; the file is beside the entry script: {beside}"
            return (
                f"{PRIVATE}. Give an absolute path, or put the file beside the script and {beside}"
            )
    return ""
