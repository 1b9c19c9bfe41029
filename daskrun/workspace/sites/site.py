"""What a workspace needs of where it is kept, in a folder or behind a URL."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from daskrun.core.json_text import parsed
from daskrun.errors import DaskrunError, WorkspaceError
from daskrun.storage.safe_names import is_part

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from daskrun.core.intervals import Intervals
    from daskrun.storage.private import SecretStore
    from daskrun.storage.records import Records
    from daskrun.storage.urls import StorageOptions
    from daskrun.workspace.run_folders.run_folder import RunFolder


@dataclass(frozen=True, slots=True)
class Config:
    """The contents of a workspace's ``config.json``."""

    name: str
    created: float
    """Seconds since the epoch."""

    @classmethod
    def read(cls, file: str, read: Callable[[], bytes], missing: str) -> Self:
        """Return what a workspace's file holds.

        ``file`` is its place, for messages; ``read`` returns its bytes; ``missing`` is the message
        where there is none. Raises WorkspaceError then, and where it can't be read.
        """
        try:
            value = parsed(read())
            return cls(str(value["name"]), float(value.get("created", 0.0)))
        except FileNotFoundError:
            raise WorkspaceError(missing) from None
        except DaskrunError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WorkspaceError(f"{file} can't be read as a workspace's: {error!r}") from error


def new_config(name: str) -> bytes:
    """Return the ``config.json`` of a workspace that is made now."""
    return json.dumps({"name": name, "created": time.time(), "layout": 1}, indent=1).encode()


class Site(Protocol):
    """The place of a workspace."""

    folder: Path
    """Its folder; behind a URL, this process's copy of it."""
    location: str
    """The folder's path, or its URL."""
    options: StorageOptions
    """What fsspec needs to open the URL; may hold secrets."""
    config: Config
    records: Records
    """Its numbered records."""
    private: SecretStore
    """Where it keeps secrets, if it does."""
    intervals: Intervals
    """How long is waited for what."""

    @property
    def foreign(self) -> str:
        """Why other users may have written its records; ``""`` where they can't have."""
        return ""

    def run_folder(self, run_id: str) -> RunFolder:
        """Return the folder of a run, which need not exist.

        Raises StorageError where that can't be a run's id: a record may tell any text.
        """

    def find_run(self, run_id: str) -> RunFolder | None:
        """Return the folder of a run, None where there is no run of that id."""
        folder = self.run_folder(run_id) if is_part(run_id) else None
        return folder if folder is not None and folder.is_run else None

    def run_ids(self) -> list[str]:
        """Return the ids of all runs, of pipelines and of steps, sorted."""

    def file(self, name: str) -> Path:
        """Return the local path of a file or folder that nobody changes, such as a model's.

        Raises StorageError where it is behind a URL and can't be downloaded.
        """

    def publish(self, name: str) -> None:
        """Upload a new folder in :attr:`folder` to the URL, if the workspace has one."""

    def discard(self, name: str) -> None:
        """Remove a folder, also from the URL."""


def creates_twice(create: Callable[[], object]) -> bool:
    """Return whether one name can be created twice: no two versions could be told apart there."""
    try:
        create()
        create()
    except FileExistsError:
        return False
    return True
