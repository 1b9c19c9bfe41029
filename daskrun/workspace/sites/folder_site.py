"""The folder of a workspace: how it is found, made and known as one."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from daskrun.errors import WorkspaceError

FOLDER = ".daskrun"
"""Name of a workspace folder beside the work."""
CONFIG = "config.json"


def local(path: str | os.PathLike[str] | None) -> Path:
    """Return the absolute folder that ``path`` means."""
    return Path.cwd() if path is None else Path(path).expanduser().resolve()


def start_folder(path: str | os.PathLike[str] | None) -> Path:
    """Return the folder that a search begins in."""
    start = local(path)
    if start.is_dir():
        return start
    if start.name == CONFIG and start.is_file():
        return start.parent
    raise WorkspaceError(
        f"path={str(path)!r} is not a folder. Write an existing folder, or leave path out for the "
        "current one."
    )


def make(folder: Path, name: str) -> None:
    """Make a workspace's folder; of two processes that do so at once, the first gives the name."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_exclusive(folder)
        # Whatever version control the work is under, its results are not part of it.
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        text = json.dumps({"name": name, "created": time.time(), "layout": 1}, indent=1)
        # Records have their own way of being whole; this one file is looked for by its path.
        from daskrun.storage.durable import publish_new, write_aside

        temporary = write_aside(folder, text.encode())
        try:
            publish_new(temporary, folder / CONFIG)
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError:
        if not (folder / CONFIG).is_file():
            raise WorkspaceError(
                f"{folder} is a file, so no workspace can be made there."
            ) from None
    except OSError as error:
        raise WorkspaceError(
            f"can't make a workspace in {folder}: {error}. Give a folder in which this user may "
            "create files: Workspace.create(name, path=...)."
        ) from error


def _check_exclusive(folder: Path) -> None:
    """Refuse a file system on which two processes can both create the same file."""
    probe = folder / f".exclusive-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        for _ in range(2):
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        return
    finally:
        with suppress(OSError):
            probe.unlink()
    raise WorkspaceError(
        f"{folder} is on a file system without exclusive create (a second O_EXCL create of one "
        "file succeeded), so two processes could take the same version number. Put the workspace "
        "elsewhere: Workspace.create(name, path=...)."
    )


def read_config(folder: Path) -> dict[str, Any]:
    """Return what a workspace's ``config.json`` says.

    Raises
    ------
    WorkspaceError
        The folder is no workspace.
    """
    file = folder / CONFIG
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        return {**value, "name": str(value["name"])}
    except FileNotFoundError:
        raise WorkspaceError(
            f"{folder} is not a workspace: it has no {CONFIG}. Write Workspace.from_config() to "
            "find or make one."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(f"{file} can't be read as a workspace's: {error!r}") from error
