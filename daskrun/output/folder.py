"""The folder an output is written to: checked before a run, cleaned after."""

from __future__ import annotations

import os
import shutil
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from daskrun.core.settings import ASIDE
from daskrun.errors import SettingsError, StorageError
from daskrun.output.space import too_little
from daskrun.storage.error_hints import FULL

if TYPE_CHECKING:
    from pathlib import Path

TRIES = 5
"""How often a folder is removed in which a process that is being killed still writes."""


def prepare_output(
    output_folder: Path, run_id: str, file_name: str | None, overwrite: bool
) -> Path:
    """Check, before a run, that its output can be written, and make the folder for its parts.

    Returns ``<output_folder>/_daskrun/<run_id>``, which may exist already: the run is resumed.
    ``file_name`` is None when the script writes its own files.

    Raises
    ------
    SettingsError
        The output file exists, or the folder can't be written or has no room.
    """
    parts = output_folder / ASIDE / run_id
    try:
        if file_name is not None:
            _check_file(output_folder / file_name, overwrite)
        _make(parts)
        probe = parts / f".probe-{os.getpid()}-{os.urandom(4).hex()}"
        with probe.open("xb") as file:
            file.write(b"x")
        probe.unlink()
        problem = too_little(parts)
    except OSError as error:
        _unmake(parts)
        problem = (
            f"output={str(output_folder)!r} can't be written: {error}. "
            "Give a folder in which this user may create files."
        )
        if error.errno in FULL:
            problem += " Or free space there."
        raise SettingsError("output", [problem]) from error
    if problem:
        _unmake(parts)
        remedy = "Free space there, or give a folder on another disk."
        raise SettingsError("output", [f"output={str(output_folder)!r}: {problem}. {remedy}"])
    return parts


def temporary_file(parts: Path, folder: Path) -> Path:
    """Return where, in the output's ``folder``, a run gathers its output until it is published."""
    return folder / f".{parts.parent.name}-{parts.name}.tmp"


def sweep(path: Path) -> None:
    """Remove a run's parts folder as :func:`prepare_output` gave it, and an empty ``_daskrun``.

    The temporary file that a killed driver left beside it goes too.

    Raises
    ------
    StorageError
        It can't be removed; the message says what is left.
    """
    if path.parent.name != ASIDE:
        raise ValueError(f"{path} is not a folder of parts: it isn't in a folder named {ASIDE}")
    for chance in range(TRIES):
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            if not path.exists():
                break
        except OSError as error:
            if chance == TRIES - 1:
                raise StorageError(f"can't remove {path}: {error}") from error
            time.sleep(0.05 * 2**chance)
        else:
            break
    temporary_file(path, path.parent.parent).unlink(missing_ok=True)
    with suppress(OSError):  # not empty: another run's parts are there
        path.parent.rmdir()


def _check_file(target: Path, overwrite: bool) -> None:
    """Refuse a target that is there, unless it is a file that may be replaced."""
    name = f"append_row_file_name={target.name!r}"
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise SettingsError("output", [f"{name}: {target} is a folder. Give another name."])
    if not overwrite:
        raise SettingsError(
            "output",
            [f"{name}: {target} exists already. Pass overwrite=True or give another name."],
        )


def _unmake(parts: Path) -> None:
    """Remove what :func:`_make` has made, unless something is in it."""
    with suppress(OSError):
        parts.rmdir()
        parts.parent.rmdir()


def _make(parts: Path) -> None:
    """Make the folder; a run that ends may remove an empty ``_daskrun`` at the same moment."""
    for _ in range(TRIES):
        with suppress(FileNotFoundError):
            parts.mkdir(parents=True, exist_ok=True)
            return
    parts.mkdir(parents=True, exist_ok=True)
