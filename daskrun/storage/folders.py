"""Folders that are kept: made in one place, so that no umask has others write them."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from daskrun.errors import SettingsError

MODE = 0o775
"""Of a folder, less what the umask takes; a copied file has no more of its own."""


HALF = "has half of a character, which no file's name can have. Write whole ones."


def is_writable(path: str | os.PathLike[str]) -> bool:
    """Return whether a path can be one: no character in it is half of one.

    Bytes of a name that are no UTF-8 are whole here: ``os.listdir()`` gives them so.
    """
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def user_path(path: str | os.PathLike[str]) -> Path:
    """Return a path whose ``~`` is a user's folder; that of a user there isn't stays a name.

    Raises SettingsError where no file can have it.

    Examples
    --------
    >>> user_path("~no such user/x")
    PosixPath('~no such user/x')
    """
    if not is_writable(path):
        raise SettingsError("path", [f"path={os.fspath(path)!r} {HALF}"])
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


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; 0 where there is none."""
    if not path.is_dir():
        with suppress(OSError):
            return path.lstat().st_size
        return 0
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += Path(folder, name).lstat().st_size
    return total


def copy_writable(source: Path, target: Path) -> None:
    """Copy a folder, of which others may read only, so that its user may write to the copy."""
    make_folder(target)
    for entry in os.scandir(source):
        place = target / entry.name
        if entry.is_dir():
            copy_writable(Path(entry.path), place)
        else:
            shutil.copyfile(entry.path, place)
            if entry.stat().st_mode & 0o100:
                place.chmod(place.stat().st_mode | 0o100)


def remove_tree(path: Path) -> None:
    """Remove a file, or a folder with all in it, also where nobody may write there."""
    if path.is_dir() and not path.is_symlink():
        for folder, _, _ in os.walk(path):
            with suppress(OSError):
                Path(folder).chmod(0o700)
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
