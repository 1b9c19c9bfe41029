"""What killed processes have left that no run can use: node folders, records half made."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from daskrun.errors import StorageError
from daskrun.script import leftovers
from daskrun.workspace.run_folder import STORY, RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HALF_MADE = re.compile(r"\.(\d+-[0-9a-f]{16}\.tmp|(deleted|exclusive)-\d+-[0-9a-f]+)", re.ASCII)
"""Names of what is being written, deleted or tried out in a workspace."""
STALE = 3600.0
"""Seconds after which nobody is at it any more: it takes milliseconds."""


@dataclass(frozen=True)
class Thing:
    """A file or folder that is of no use to anybody."""

    what: str
    run: str
    path: Path
    last: float
    """When something was last done there, in seconds since the epoch."""
    free: Callable[[], None]


def node_folders() -> list[Thing]:
    """Give the folders on this machine of nodes that were killed together with their keepers."""
    found = []
    for folder in leftovers.left(leftovers.base_folder()):
        with suppress(FileNotFoundError):
            run = folder.name.rsplit("-", 2)[0]
            found.append(
                Thing("node folder", run, folder, folder.stat().st_mtime, partial(_clear, folder))
            )
    return found


def half_made(workspace: Path, now: float) -> list[Thing]:
    """Give what was begun in a workspace and neither finished nor taken back."""
    found = []
    for path in _places(workspace):
        with suppress(FileNotFoundError):
            last = path.lstat().st_mtime
            if now - last > STALE:
                found.append(Thing("half-made record", "", path, last, partial(_remove, path)))
    for path in sorted((workspace / "runs").glob("*/")):
        with suppress(FileNotFoundError):
            last = path.stat().st_mtime
            if now - last > STALE and _is_no_run(path):
                free = partial(_remove_run, path)
                found.append(Thing("half-made run", path.name, path, last, free))
    return found


def _places(workspace: Path) -> Iterator[Path]:
    # Not below: runs hold the user's code and logs, the default datastore data.
    patterns = [".*", "*/.*", "*/*/.*", "runs/*/states/.*"]
    for pattern in patterns:
        for path in sorted(workspace.glob(pattern)):
            if (
                HALF_MADE.fullmatch(path.name)
                and path.relative_to(workspace).parts[0] != "datastore"
            ):
                yield path


def _is_no_run(path: Path) -> bool:
    return not (path / STORY).exists() and not RunFolder(path).is_driven()


def _clear(folder: Path) -> None:
    leftovers.clear_left(folder)
    if folder.exists():
        raise StorageError("it can't be removed whole")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_run(path: Path) -> None:
    with RunFolder(path).drive():
        if (path / STORY).exists():
            raise StorageError("it has become a run meanwhile")
        shutil.rmtree(path)
