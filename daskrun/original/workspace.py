"""``Workspace`` with the original's ways to open one, for code that was written for it.

A workspace of daskrun is a folder: subscriptions, resource groups, regions say nothing about it.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import original_keywords
from daskrun.errors import SettingsError, WorkspaceError
from daskrun.workspace import workspace
from daskrun.workspace.sites.folder_site import start_folder

if TYPE_CHECKING:
    import os

try:
    VERSION = version("daskrun")
    """daskrun's own, where the original has its version."""
except PackageNotFoundError:  # on the path, not installed
    VERSION = "unknown"

CONFIGS = ("config.json", ".azureml/config.json", "aml_config/config.json")
"""Where the original looks for the file that names its workspace."""

logger = logging.getLogger("daskrun")
_said: set[str] = set()
"""Arguments that were logged as unused in this process: once is enough."""


class Workspace(workspace.Workspace):
    """A workspace as the original's code opens it: by its name.

    What says where in the cloud it is isn't used, which a warning says once; ``auth`` is only None.
    """

    def __init__(
        self,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        workspace_name: str | None = None,
        auth: object = None,
    ) -> None:
        _say_unused(subscription_id=subscription_id, resource_group=resource_group)
        super().__init__(_folder_of("workspace_name", workspace_name, auth))

    @staticmethod
    def from_config(path: str | os.PathLike[str] | None = None, auth: object = None) -> Workspace:
        """Find the workspace of a folder, or make one there, named as the original's file says.

        ``path`` may also be that file, ``config.json``: of it only ``workspace_name`` is used.
        """
        _refuse_auth(auth)
        path, named = _original_config(path)
        found = workspace.Workspace.find(path)
        if found is None and named is not None:
            found = workspace.Workspace.create(named, path=path)
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
            subscription_id=subscription_id, resource_group=resource_group, location=location
        )
        return _of(workspace.Workspace(_folder_of("name", name, auth)))

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
        _refuse_auth(auth)
        _say_unused(
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
        """Raise if :meth:`from_config` doesn't find this workspace from ``path``.

        There is nothing to write: a workspace is found by its own folder, not by a ``file_name``.
        """
        if file_name is not None:
            problem = (
                f"file_name={file_name!r}: a workspace is found by its folder, not by a file of "
                "any other name. Leave it out."
            )
            raise SettingsError("write_config", [problem])
        if workspace.Workspace.find(path) != self:
            raise WorkspaceError(
                f"path={str(path or '.')!r}: from_config(path) there doesn't find {self.folder}. "
                f"Write Workspace.from_config({str(self.folder.parent)!r}) in its place."
            )

    @property
    def location(self) -> str:
        """The folder it is in, where the original says the region."""
        return str(self.folder)

    resource_group = subscription_id = ""
    """It is in none, and needs none."""


def _of(opened: workspace.Workspace) -> Workspace:
    """Return a workspace with the original's ways."""
    made = object.__new__(Workspace)
    workspace.Workspace.__init__(made, opened.folder)
    return made


def _folder_of(argument: str, name: object, auth: object) -> Path:
    """Return the folder of the workspace here, which must have a name; make it if there is none."""
    _refuse_auth(auth)
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
) -> tuple[str | os.PathLike[str] | None, str | None]:
    """Return the folder that a file of the original names, and the workspace's name in it."""
    file = Path(path).expanduser() if path is not None and "://" not in str(path) else None
    if file is not None and file.is_file():
        name = _name_in(file)
        return (path, None) if name is None else (file.resolve().parent, name)
    start = start_folder(path)
    names = (_name_in(start / each) for each in CONFIGS)
    return path, next((name for name in names if name is not None), None)


def _name_in(file: Path) -> str | None:
    """Return the name in the original's file; None where it is no such file."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found: Any = json.loads(file.read_text(encoding="utf-8"))["workspace_name"]
        return found if isinstance(found, str) and found.strip() else None
    return None


def _refuse_auth(auth: object) -> None:
    if auth is not None:
        problem = f"auth={auth!r}: there is no account to sign in to. Leave it out."
        raise SettingsError("Workspace", [problem])


def _say_unused(**arguments: object) -> None:
    """Log once that arguments which place a workspace in a cloud are not used."""
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items() if value is not None)
    if given and given not in _said:
        _said.add(given)
        logger.warning("Workspace: %s: a workspace is a folder here, this is not used", given)
