"""The runs' temporary folders on a node, and clearing up after a keeper that was killed."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
from typing import TYPE_CHECKING

from daskrun.script import reaper
from daskrun.storage.folders import remove_tree
from daskrun.storage.own_folders import make_own, temporary_folder

if TYPE_CHECKING:
    from collections.abc import Set
    from pathlib import Path

ELSEWHERE = "elsewhere"
"""In a node folder: links to folders that are to go with it."""
INLINE = "inline"
"""The node of an inline run, in this process."""


def base_folder() -> Path:
    """Return the folder on this node for the temporary folders of this user's runs."""
    return temporary_folder()


def claim(folder: Path) -> int:
    """Make a node folder and hold its lock; the descriptor, and so the lock, goes to the keeper.

    It is made under a hidden name and locked before it shows: nobody takes it for a leftover.
    """
    hidden = folder.with_name(f".{folder.name}")
    make_own(hidden)
    fd = os.open(hidden / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    hidden.rename(folder)
    return fd


def remove(folder: Path) -> None:
    """Remove a node folder, and what its processes have begun to fetch elsewhere."""
    with contextlib.suppress(OSError):
        for link in (folder / ELSEWHERE).iterdir():
            place = link.readlink()
            if place.name == link.name:  # of ours, see ContentCache.get
                remove_tree(place)
    remove_tree(folder)


def clear_inline(run_ids: Set[str]) -> None:
    """Remove what inline runs of this process have, which ends before it can do so itself."""
    for run_id in run_ids:
        for folder in base_folder().glob(f"{glob.escape(run_id)}-{INLINE}-*"):
            remove(folder)


def left(base: Path) -> list[Path]:
    """Return the folders of nodes whose keeper is dead."""
    with contextlib.suppress(OSError):
        return [f for f in sorted(base.iterdir()) if not f.name.startswith(".") and _is_left(f)]
    return []


def clear_left(folder: Path) -> None:
    """Clear a node folder if it is one still whose keeper is dead."""
    if _is_left(folder):
        clear(folder)


def clear_leftovers(base: Path) -> list[str]:
    """Remove what runs left whose keeper is dead, processes and folders; return their names."""
    found = left(base)
    for folder in found:
        clear(folder)
    return [folder.name for folder in found]


def clear(folder: Path) -> None:
    """End every process of a node folder and remove it."""
    reaper.kill_all(lambda: reaper.marked(reaper.MARK, str(folder)))
    remove(folder)


def _is_left(folder: Path) -> bool:
    try:
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False  # being made or being removed this moment
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(fd)
