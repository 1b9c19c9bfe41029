"""The files of models in a workspace: copied in whole or not at all, copied out, and swept."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.errors import SettingsError, StorageError
from daskrun.storage.durable import abandoned, sync_data, sync_folder
from daskrun.storage.folders import MODE, make_folder
from daskrun.storage.pseudo_files import is_made_up
from daskrun.storage.trees import file_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


def copy_in(source: Path, folder: Path, leave_out: Path) -> tuple[Path, str]:
    """Copy a model into a folder of its own below ``folder``; give its path there and its digest.

    All of it is on the disk when this returns. ``folder`` is that of all versions of the model;
    ``leave_out``, such as a workspace inside it, which would hold the copy itself, is no part of
    it. Raises StorageError where it can't be copied; nothing is left of it.
    """
    unique = f"{time.time_ns():x}-{os.urandom(4).hex()}"
    aside = folder / f".{unique}.partial"
    try:
        make_folder(aside, exist_ok=False)
        _copy(source, aside / source.name, leave_out)
        # Of the copy: the source may be written to meanwhile.
        digest = digest_of_files(aside / source.name)
        for made, _, _ in os.walk(aside):
            sync_folder(Path(made))
        aside.rename(folder / unique)
        for above in (folder, folder.parent):
            sync_folder(above)
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(error, OSError):
            raise StorageError(f"can't copy {source} to {folder}: {error}") from error
        raise
    return folder / unique / source.name, digest


def digest_of_files(path: Path) -> str:
    """Digest what a script can see of a model that it has the path of: names and contents.

    A file's own name counts, since libraries go by its ending; a folder's doesn't, since it may be
    a temporary one.
    """
    if path.is_file():
        parts = [f"file {path.name}", file_digest(path)]
    else:
        parts = ["folder"]
        for each in sorted(path.rglob("*")):
            name = str(each.relative_to(path))
            parts += [name, file_digest(each) if each.is_file() else "folder"]
    text = "\0".join(parts)  # no name has that in it
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def copy_out(source: Path, target: Path, exist_ok: bool) -> None:
    """Copy a model's file or folder to ``target``, whole or not at all.

    Raises SettingsError where ``target`` is there, and ``exist_ok`` isn't True; StorageError where
    it can't be copied.
    """
    if target.exists() and not exist_ok:
        problem = f"target_dir={str(target.parent)!r} holds {target.name!r} already. Pass "
        raise SettingsError("download", [f"{problem}exist_ok=True to replace it."])
    aside = target.parent / f".{target.name}.{os.urandom(4).hex()}.partial"
    try:
        make_folder(target.parent)
        _copy(source, aside, None)
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        aside.replace(target)
    except OSError as error:
        raise StorageError(f"can't copy {source} to {target}: {error}") from error
    finally:
        _remove(aside)


def sweep(folder: Path, known: Callable[[], Collection[str]]) -> None:
    """Remove copies of a model that were never finished or registered, see :func:`abandoned`."""
    for path in abandoned(folder, known):
        shutil.rmtree(path, ignore_errors=True)


def _copy(source: Path, target: Path, leave_out: Path | None) -> None:
    if not source.is_dir():
        _copy_file(str(source), str(target))
        return

    def ignored(folder: str, names: list[str]) -> list[str]:
        _check(folder, stat.S_ISDIR)
        return [name for name in names if Path(folder, name) == leave_out]

    shutil.copytree(source, target, ignore=ignored, copy_function=_copy_file)
    for folder in (target, *(each for each in target.rglob("*") if each.is_dir())):
        folder.chmod(folder.stat().st_mode & MODE)


def _check(path: str, is_kind: Callable[[int], bool]) -> None:
    """Refuse devices, and what is in ``/proc``: a model with links to it may be a stranger's."""
    found = Path(path).stat()
    if is_made_up(found) or not is_kind(found.st_mode):
        raise StorageError(f"{path} is a device, or leads to what the system makes up")


def _copy_file(source: str, target: str) -> Any:
    _check(source, stat.S_ISREG)
    shutil.copy2(source, target)
    Path(target).chmod(Path(target).stat().st_mode & MODE)
    # Opened for reading: a file that nobody may write is copied with its mode.
    descriptor = os.open(target, os.O_RDONLY)
    try:
        sync_data(descriptor)
    finally:
        os.close(descriptor)
    return target


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
