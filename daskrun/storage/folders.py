"""Folders that are kept: made in one place, so that no umask has others write them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any

MODE = 0o775
"""Of a folder, less what the umask takes; a copied file has no more of its own."""


def user_path(path: str | os.PathLike[str]) -> Path:
    """Return a path whose ``~`` is a user's folder; that of a user there isn't stays a name.

    Examples
    --------
    >>> user_path("~no such user/x")
    PosixPath('~no such user/x')
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111  (that of Path raises RuntimeError)


def make_folder(folder: Path | str, *, exist_ok: bool = True, parents: bool = True) -> None:
    """Make a folder, with ``parents`` those above it, too; others than user and group can't write.

    Raises
    ------
    OSError
        It can't be made; FileExistsError where a file is there, and without ``exist_ok`` a folder.
    """
    folder = Path(folder)
    try:
        folder.mkdir(MODE, exist_ok=exist_ok)
    except FileNotFoundError:
        if not parents or folder.parent == folder:
            raise
        make_folder(folder.parent)
        folder.mkdir(MODE, exist_ok=exist_ok)


def open_kept(file: Path | str, mode: str, **how: Any) -> IO[Any]:
    """Open a file to write, as :func:`open` does: one that is new only user and group may write."""
    return open(file, mode, opener=_opened, **how)


def _opened(file: str, flags: int) -> int:
    return os.open(file, flags | os.O_NONBLOCK, 0o664)  # a pipe that others put there is an error
