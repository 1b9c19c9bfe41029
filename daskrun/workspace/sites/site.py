"""Where a workspace is kept, in a folder or behind a URL: what is done there, chosen once."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Protocol

from daskrun.storage.private import PrivateFiles
from daskrun.storage.records import Records
from daskrun.workspace.run_folders.run_folder import STORY, RunFolder
from daskrun.workspace.sites.folder_site import read_config

if TYPE_CHECKING:
    from pathlib import Path

    from daskrun.storage.private import Private

RUNS = "runs"
PIPELINES = "pipelines"
"""Kind of the records of published pipelines, and the folder of their code."""


class Site(Protocol):
    """The place of a workspace."""

    folder: Path
    """Its folder; of one behind a URL this process's copy of it."""
    location: str
    """The folder's path, or its URL."""
    options: dict[str, Any]
    """What fsspec needs to open the URL; may hold secrets."""
    config: dict[str, Any]
    """``name``, and ``created`` in seconds since the epoch."""
    records: Records
    """What it remembers, as numbered records."""
    private: Private
    """Where it keeps secrets, if it does."""

    def run_folder(self, run_id: str) -> RunFolder:
        """Return the folder of a run, which need not be there."""

    def run_ids(self) -> list[str]:
        """Return the ids of all runs, of pipelines and of steps, sorted."""

    def file(self, name: str) -> Path:
        """Return the path of a file or folder of it that nobody changes, such as a model's."""

    def publish(self, name: str) -> None:
        """Have a new folder in :attr:`folder` where others find it."""

    def discard(self, name: str) -> None:
        """Remove a folder of it."""


class FolderSite:
    """A workspace in a folder.

    Raises
    ------
    WorkspaceError
        The folder is no workspace.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.location = str(folder)
        self.options: dict[str, Any] = {}
        self.config = read_config(folder)
        self.records = Records(folder)
        self.private: Private = PrivateFiles(folder / "private")

    def run_folder(self, run_id: str) -> RunFolder:
        """Return the folder of a run."""
        return RunFolder(self.folder / RUNS / run_id)

    def run_ids(self) -> list[str]:
        """Return the ids of all runs that are whole."""
        return sorted(file.parent.name for file in (self.folder / RUNS).glob(f"*/{STORY}"))

    def file(self, name: str) -> Path:
        """Return the path of a file or folder."""
        return self.folder / name

    def publish(self, name: str) -> None:
        """Nothing is left to do."""

    def discard(self, name: str) -> None:
        """Remove a folder."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
