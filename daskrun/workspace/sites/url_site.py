"""A workspace behind a URL: how it is found, made and known as one."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from daskrun.errors import StorageError, WorkspaceError
from daskrun.storage.private import NoSecrets
from daskrun.storage.record_store import UrlShelf
from daskrun.storage.records import Records
from daskrun.storage.url_folder import open_url_folder
from daskrun.storage.urls import OWN_MEMORY, shown_url
from daskrun.workspace.run_folders.url_run import UrlRun
from daskrun.workspace.run_folders.working_copy import working_copy
from daskrun.workspace.sites.folder_site import CONFIG, FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from daskrun.storage.private import Private
    from daskrun.storage.url_folder import UrlFolder
    from daskrun.workspace.run_folders.run_folder import RunFolder
    from daskrun.workspace.run_folders.working_copy import WorkingCopy


class UrlSite:
    """A workspace behind a URL.

    Parameters
    ----------
    copy
        What this process has of it.
    """

    def __init__(self, copy: WorkingCopy) -> None:
        self.copy = copy
        self.folder = copy.folder
        self.location = copy.url
        self.options = copy.options
        self.config = _read_config(copy)
        self.records = Records(UrlShelf(copy.remote))
        self.private: Private = NoSecrets(copy.remote.shown())

    def run_folder(self, run_id: str) -> RunFolder:
        """Return the folder of a run."""
        return UrlRun(self.copy, run_id)

    def run_ids(self) -> list[str]:
        """Return the ids of all runs that are whole."""
        return self.copy.run_ids()

    def file(self, name: str) -> Path:
        """Bring a file or folder."""
        return self.copy.file(name)

    def publish(self, name: str) -> None:
        """Put a folder."""
        self.copy.publish(name)

    def discard(self, name: str) -> None:
        """Remove a folder, here and there."""
        self.copy.discard(name)


def opened(url: str, options: Mapping[str, Any] | None) -> UrlSite:
    """Open a workspace.

    Raises
    ------
    WorkspaceError
        There is none, or the URL has a password or query in it.
    """
    _check_url(url)
    return UrlSite(working_copy(url, options or {}))


def _check_url(url: str) -> None:
    if not url.partition("://")[2].strip("/"):
        raise WorkspaceError(f"{url!r} names no place. Write one such as 's3://bucket/team'.")
    if url.startswith("file://"):
        raise WorkspaceError(f"{url!r} is a folder. Write its path, {url[len('file://') :]!r}.")
    if url.partition("://")[0] in OWN_MEMORY:
        raise WorkspaceError(
            f"{url!r} is in the memory of this process, where script processes find nothing. Write "
            "the path of a folder, or the URL of a store such as 's3://bucket/team'."
        )
    if shown_url(url) != url or "?" in url:
        raise WorkspaceError(
            f"{shown_url(url)!r} holds what may be a secret, and runs tell where they are kept. "
            "Give it as storage_options, or have it found in the environment."
        )


def refuse_options(path: object, options: object) -> None:
    """Refuse options that nothing would be done with."""
    if options:
        raise WorkspaceError(
            f"path={str(path)!r} is a folder, which takes no storage_options. Leave them out, or "
            "write a URL such as 's3://bucket/team'."
        )


def name_of(url: str) -> str:
    """Return the name of a workspace that nobody has named."""
    return url.rstrip("/").rpartition("/")[2] or "workspace"


def found(url: str, options: Mapping[str, Any] | None) -> str | None:
    """Return the URL of the workspace that is at ``url`` or beside what is there; None for none."""
    _check_url(url)
    url = url.rstrip("/").removesuffix(f"/{CONFIG}")
    for each in (url, f"{url}/{FOLDER}"):
        if _open(each, options).exists(CONFIG):
            return each
    return None


def make(url: str, options: Mapping[str, Any] | None, name: str) -> tuple[bool, str]:
    """Make a workspace beside what is at ``url``; tell whether there was none, and its URL.

    Raises
    ------
    WorkspaceError
        Its store can't create objects exclusively, or no other process can see it.
    """
    _check_url(url)  # as it was typed
    url = f"{url.rstrip('/')}/{FOLDER}"
    remote = _open(url, options)
    if remote.exists(CONFIG):
        return False, url
    _check_exclusive(remote)
    text = json.dumps({"name": name, "created": time.time(), "layout": 1}, indent=1)
    try:
        remote.create(CONFIG, text.encode())
    except FileExistsError:
        return False, url
    return True, url


def _read_config(copy: WorkingCopy) -> dict[str, Any]:
    """Return what a workspace's ``config.json`` says.

    Raises
    ------
    WorkspaceError
        There is no workspace.
    """
    shown = copy.remote.shown()
    try:
        value = json.loads(copy.remote.read_whole(CONFIG))
        return {"name": str(value["name"]), "created": float(value["created"])}
    except FileNotFoundError:
        raise WorkspaceError(
            f"{shown} is not a workspace: it has no {CONFIG}. Write Workspace.from_config(url) to "
            "find or make one."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(
            f"{shown}/{CONFIG} can't be read as a workspace's: {error!r}"
        ) from error


def _open(url: str, options: Mapping[str, Any] | None) -> UrlFolder:
    _check_url(url)
    return open_url_folder(url, options or {})


def _check_exclusive(remote: UrlFolder) -> None:
    """Refuse a store in which two processes can both create the same object."""
    probe = f".exclusive-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        for _ in range(2):
            remote.create(probe, b"x")
    except FileExistsError:
        return
    except (StorageError, FileNotFoundError) as error:  # the second: no bucket
        raise WorkspaceError(f"no workspace can be made at {remote.shown()}: {error}") from error
    finally:
        with suppress(StorageError):  # else it would be told in the place of what went before
            remote.delete([probe])
    raise WorkspaceError(
        f"{remote.shown()} is in a store without exclusive create (a second one of the same object "
        "succeeded), so two processes could take the same version number. Put the workspace into a "
        "folder, or into a store that has it, such as S3: Workspace.create(name, path=...)."
    )
