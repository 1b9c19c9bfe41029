"""A workspace in a folder: how it is searched for, made and used."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.core.typing import override
from daskrun.errors import WorkspaceError
from daskrun.storage.durable import publish_new, read_file, write_aside
from daskrun.storage.folders import make_folder, open_kept, user_path
from daskrun.storage.own_folders import TRUSTED, exchangeable
from daskrun.storage.private import SecretFiles
from daskrun.storage.records import Records
from daskrun.storage.safe_names import inside
from daskrun.workspace.layout import CONFIG, FOLDER, RUNS
from daskrun.workspace.run_folders.run_folder import MANIFEST, RunFolder
from daskrun.workspace.sites.site import Config, Site, creates_twice, new_config

if TYPE_CHECKING:
    from daskrun.core.intervals import Intervals


class FolderSite(Site):
    """A workspace in a folder.

    Raises WorkspaceError where the folder is no workspace.
    """

    def __init__(self, folder: Path, intervals: Intervals) -> None:
        file = folder / CONFIG
        self.intervals = intervals
        self.folder = folder
        self.location = str(folder)
        self.options = {}
        self.config = Config.read(
            str(file),
            lambda: read_file(file),
            f"{folder} is not a workspace: it has no {CONFIG}. Write Workspace.from_config() to "
            "find or make one.",
        )
        self.records = Records(folder)
        self.private = SecretFiles(folder / "private")

    @property
    @override
    def foreign(self) -> str:
        return exchangeable(self.folder)

    @override
    def run_folder(self, run_id: str) -> RunFolder:
        return RunFolder(inside(self.folder / RUNS, run_id))

    @override
    def run_ids(self) -> list[str]:
        return sorted(file.parent.name for file in (self.folder / RUNS).glob(f"*/{MANIFEST}"))

    @override
    def file(self, name: str) -> Path:
        return inside(self.folder, name)

    @override
    def publish(self, name: str) -> None:
        pass

    @override
    def discard(self, name: str) -> None:
        shutil.rmtree(inside(self.folder, name), ignore_errors=True)


def local(path: str | os.PathLike[str] | None) -> Path:
    """Return the absolute folder that ``path`` means; None is the current one."""
    return Path.cwd() if path is None else user_path(path).resolve()


def start_folder(path: str | os.PathLike[str] | None) -> Path:
    """Return the folder that a search begins in.

    Raises WorkspaceError where ``path`` is neither a folder nor a workspace's file.
    """
    start = local(path)
    if start.is_dir():
        return start
    if start.name == CONFIG and start.is_file():
        return start.parent
    raise WorkspaceError(
        f"path={str(path)!r} is not a folder. Write an existing folder, or leave path out for the "
        "current one."
    )


def find(path: str | os.PathLike[str] | None) -> Path | None:
    """Return the nearest workspace in ``path`` or above it; None where there is none.

    Raises WorkspaceError where others could have planted it, unless ``path`` names it itself.
    """
    start = start_folder(path)
    if path is not None and start.name == FOLDER and (start / CONFIG).is_file():
        return start
    places = (start, *(folder / FOLDER for folder in (start, *start.parents)))
    found = (each for each in places if each.name == FOLDER and (each / CONFIG).is_file())
    if nearest := next(found, None):
        check_ours(nearest)
    return nearest


def check_ours(folder: Path) -> None:
    """Refuse a workspace, or a place for one, that other users could plant or exchange.

    What is in a workspace is run, and secrets are put there. Raises WorkspaceError.
    """
    if problem := exchangeable(folder):
        raise WorkspaceError(
            f"{problem}, so others could plant or exchange the workspace {folder}, whose code and "
            "settings are used. Use one in a folder of your own: Workspace.create(name, path=...). "
            f"Or trust whoever may write there: name the folder in the variable {TRUSTED}."
        )


def make(folder: Path, name: str) -> None:
    """Make a workspace's folder; of two processes that do so at once, the first names it.

    Raises WorkspaceError where it can't be made, or not every file is created exclusively there, or
    others could exchange it.
    """
    check_ours(folder)
    try:
        make_folder(folder)
        _check_exclusive(folder)
        # Whatever version control the work is under, its results are not part of it.
        with open_kept(folder / ".gitignore", "w") as file:
            file.write("*\n")
        temporary = write_aside(folder, new_config(name))
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
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        if not creates_twice(lambda: os.close(os.open(probe, flags, 0o664))):
            return
    finally:
        with suppress(OSError):
            probe.unlink()
    raise WorkspaceError(
        f"{folder} is on a file system without exclusive create (a second O_EXCL create of one "
        "file succeeded), so two processes could take the same version number. Put the workspace "
        "elsewhere: Workspace.create(name, path=...)."
    )
