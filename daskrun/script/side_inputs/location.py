"""Where on a node a side input is found: where it is anyway, or at a path of the user's choice."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.errors import DatasetError
from daskrun.script.node_folders import base_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daskrun.script.node_spec import SideInputSpec

    Described = Mapping[str, SideInputSpec]
    """As :func:`daskrun.pipeline.steps.side_inputs.described` gives it."""

FOLDER = "side"
"""In the node's folder, a folder for each side input that is not used where it is."""


def in_place(described: Described) -> dict[str, str]:
    """Return the paths of those side inputs that scripts can have where they are."""
    return {name: with_file(side.root, side) for name, side in described.items() if side.there}


def with_file(folder: str, side: SideInputSpec) -> str:
    """Return the path of a side input in its folder: the one file that it is, or all of that."""
    return f"{folder.rstrip('/')}/{side.file}" if side.file else folder


def is_absolute(side: SideInputSpec) -> bool:
    """Return whether a side input shall be at a path outside the node's folder."""
    return side.path is not None and Path(side.path).is_absolute()


def link_at(place: Path, home: Path, run_id: str) -> None:
    """Make a path of the user's choice, which must be free, lead to a folder.

    Raises DatasetError where something is there.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        found = place.readlink()
        # Another node of this run on this machine has the same; one that was killed left it.
        ours = found.is_relative_to(base_folder())
        free = ours and (not found.exists() or f"/{run_id}-" in str(found))
    else:
        free = not place.exists() or (place.is_dir() and not any(place.iterdir()))
    if not free:
        raise DatasetError(
            f"path={str(place)!r}: on the node there is something already. Give a path that is "
            "free there, or as_mount() without one, and take the path from the arguments."
        )
    if place.is_dir() and not place.is_symlink():
        place.rmdir()
    _point(place, home)


def take_away(described: Described, folder: Path, run_id: str) -> None:
    """Remove what :func:`link_at` has made for a node, whose folder is gone.

    Another node of the run on this machine may need it still: then it has that one's files.
    """
    for name, side in described.items():
        if side.path is None or not is_absolute(side):
            continue
        place, home = Path(side.path), folder / FOLDER / name
        with contextlib.suppress(OSError):
            if place.readlink() == home:
                others = base_folder().glob(f"{run_id}-*/{FOLDER}/{name}")
                other = next((each for each in others if each != home), None)
                if other is None:
                    place.unlink()
                else:
                    _point(place, other)


def _point(place: Path, home: Path) -> None:
    """Make a link, or have one lead elsewhere, at once."""
    aside = place.with_name(f".{place.name}.{os.getpid()}")
    aside.symlink_to(home)
    aside.replace(place)
