"""``Workspace`` with the original's ways to open one, for code that was written for it.

A workspace of daskrun is a folder: subscriptions, resource groups, regions say nothing about it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from daskrun.core.absent_names import original_keywords
from daskrun.core.json_text import parsed
from daskrun.core.notices import say_once
from daskrun.errors import StorageError, WorkspaceError
from daskrun.storage.durable import read_file, write_whole
from daskrun.storage.folders import make_folder, user_path
from daskrun.workspace import workspace
from daskrun.workspace.sites.folder_site import start_folder

if TYPE_CHECKING:
    import os
    from pathlib import Path

LAST = "1.60.0"
"""The last of the original, which programs compare with one that they need."""
try:
    VERSION = f"{LAST}+daskrun.{version('daskrun')}"
    """That, and daskrun's own."""
except PackageNotFoundError:  # on the path, not installed
    VERSION = f"{LAST}+daskrun"

CONFIGS = ("config.json", ".azureml/config.json", "aml_config/config.json")
"""Where the original looks for the file that names its workspace."""
NAME, LOCATION = "workspace_name", "daskrun_location"
"""What is read of that file; the second only where :meth:`Workspace.write_config` wrote it."""


class Workspace(workspace.Workspace):
    """A workspace as the original's code opens it: by its name.

    What says where in the cloud it is, and who signs in, isn't used, which a warning says once.
    """

    def __init__(
        self,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        workspace_name: str | None = None,
        auth: object = None,
    ) -> None:
        _say_unused(auth, subscription_id=subscription_id, resource_group=resource_group)
        super().__init__(_folder_of("workspace_name", workspace_name))

    @staticmethod
    def from_config(path: str | os.PathLike[str] | None = None, auth: object = None) -> Workspace:
        """Find the workspace of a folder, or make one there, named as the original's file says.

        ``path`` may also be that file, ``config.json``: of it only ``workspace_name`` is used. One
        that is not there is left out, which a warning says once.
        """
        _say_unused(auth)
        if path is not None and "://" not in str(path) and not user_path(path).exists():
            say_once(f"Workspace: path={str(path)!r} is not there, the workspace here is used")
            path = None
        path, named = _original_config(path)
        if LOCATION in named:
            return _of(workspace.Workspace(named[LOCATION]))
        found = workspace.Workspace.find(path)
        if found is None and NAME in named:
            found = workspace.Workspace.create(named[NAME], path=path)
        return _of(found or workspace.Workspace.from_config(path))

    @staticmethod
    @original_keywords
    def get(
        name: str,
        auth: object = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        location: str | None = None,
    ) -> Workspace:
        """Return the workspace of the current folder, which must have this name, or make it."""
        _say_unused(
            auth, subscription_id=subscription_id, resource_group=resource_group, location=location
        )
        return _of(workspace.Workspace(_folder_of("name", name)))

    @staticmethod
    @original_keywords
    def create(  # type: ignore[override]
        name: str,
        auth: object = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        location: str | None = None,
        create_resource_group: bool = True,
        sku: str | None = None,
        exist_ok: bool = False,
        path: str | os.PathLike[str] | None = None,
    ) -> Workspace:
        """Create a workspace in the folder ``<path>/.daskrun``; see daskrun's own."""
        _say_unused(
            auth,
            subscription_id=subscription_id,
            resource_group=resource_group,
            location=location,
            create_resource_group=None if create_resource_group is True else create_resource_group,
            sku=sku,
        )
        return _of(workspace.Workspace.create(name, path=path, exist_ok=exist_ok))

    def write_config(
        self, path: str | os.PathLike[str] | None = None, file_name: str | None = None
    ) -> None:
        """Write ``<path>/.azureml/config.json``, by which :meth:`from_config` finds this workspace.

        ``file_name`` is another name for the file. Raises StorageError where it can't be written.
        """
        file = user_path(path or ".") / ".azureml" / (file_name or "config.json")
        told = {"workspace_name": self.name, LOCATION: super().location}
        try:
            make_folder(file.parent)
            write_whole(file, json.dumps(told, indent=4).encode())
        except OSError as error:
            raise StorageError(f"{str(file)!r} can't be written: {error}") from error

    @property
    def location(self) -> str:
        """The folder it is in, where the original says the region."""
        return str(self.folder)

    resource_group = subscription_id = ""
    """It is in none, and needs none."""


def _of(opened: workspace.Workspace) -> Workspace:
    """Return a workspace with the original's ways."""
    made = object.__new__(Workspace)
    vars(made).update(vars(opened))
    return made


def _folder_of(argument: str, name: object) -> Path:
    """Return the folder of the workspace here, which must have a name; make it if there is none."""
    found = workspace.Workspace.find()
    if found is None and isinstance(name, str):
        found = workspace.Workspace.create(name)
    if found is None or found.name != name:
        there = f"the one here, in {found.folder}, is {found.name!r}" if found else "there is none"
        raise WorkspaceError(
            f"{argument}={name!r}: {there}. Write Workspace.from_config() for the workspace of "
            "this folder, whatever its name, or work in another folder."
        )
    return found.folder


def _original_config(
    path: str | os.PathLike[str] | None,
) -> tuple[str | os.PathLike[str] | None, dict[str, str]]:
    """Return the folder of a file of the original, and what that says of the workspace."""
    file = user_path(path) if path is not None and "://" not in str(path) else None
    if file is not None and file.is_file():
        told = _told_by(file)
        return (file.resolve().parent if told else path), told
    start = start_folder(path)
    return path, next(filter(None, (_told_by(start / each) for each in CONFIGS)), {})


def _told_by(file: Path) -> dict[str, str]:
    """Return name and location of a workspace in the original's file; none where it is none."""
    with suppress(OSError, ValueError, TypeError, AttributeError):
        found = parsed(read_file(file)).items()
        told = {key: text for key, text in found if isinstance(text, str) and text.strip()}
        return {key: told[key] for key in (NAME, LOCATION) if NAME in told and key in told}
    return {}


def _say_unused(auth: object = None, **arguments: object) -> None:
    """Log once that arguments which place a workspace in a cloud, or sign in, are not used."""
    if auth is not None:
        say_once("Workspace: auth is not used: there is no account to sign in to")
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items() if value is not None)
    if given:
        say_once(f"Workspace: {given}: a workspace is a folder here, this is not used")
