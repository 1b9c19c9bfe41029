"""A workspace behind a URL: how it is searched for, made and used."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from daskrun.core.typing import override
from daskrun.errors import StorageError, WorkspaceError
from daskrun.storage.mirror import Mirror, bring_whole
from daskrun.storage.private import NoSecrets
from daskrun.storage.record_store import UrlRecordStore
from daskrun.storage.records import Records
from daskrun.storage.safe_names import inside
from daskrun.storage.stores import open_url_folder
from daskrun.storage.urls import OWN_MEMORY, shown_url
from daskrun.workspace.layout import CONFIG, FOLDER
from daskrun.workspace.run_folders.url_run_folder import UrlRunFolder
from daskrun.workspace.run_folders.working_copy import working_copy
from daskrun.workspace.sites.site import Config, Site, creates_twice, new_config

if TYPE_CHECKING:
    from pathlib import Path

    from daskrun.core.intervals import Intervals
    from daskrun.storage.url_folder import UrlFolder
    from daskrun.storage.urls import StorageOptions
    from daskrun.workspace.run_folders.run_folder import RunFolder


class UrlSite(Site):
    """A workspace behind a URL.

    Raises WorkspaceError where there is none, or the URL has a password or query in it.
    """

    def __init__(self, url: str, options: StorageOptions, intervals: Intervals) -> None:
        _check_url(url)
        self.intervals = intervals
        self.copy = copy = working_copy(url, options, intervals)
        """What this process has downloaded of it, and is about to upload."""
        self.folder = copy.folder
        self.location = copy.url
        self.options = copy.options
        shown = copy.remote.shown()
        self.config = Config.read(
            f"{shown}/{CONFIG}",
            lambda: copy.remote.read_whole(CONFIG),
            f"{shown} is not a workspace: it has no {CONFIG}. Write Workspace.from_config(url) to "
            "find or make one.",
        )
        self.records = Records(UrlRecordStore(copy.remote))
        self.private = NoSecrets(shown)

    @property
    @override
    def foreign(self) -> str:
        return f"{self.copy.remote.shown()!r} may be written by other users"

    @override
    def run_folder(self, run_id: str) -> RunFolder:
        return UrlRunFolder(self.copy, run_id)

    @override
    def run_ids(self) -> list[str]:
        return self.copy.run_ids()

    @override
    def file(self, name: str) -> Path:
        target, (folder, _, last) = inside(self.folder, name), name.rpartition("/")
        bring_whole(self.copy.below(folder), last, target)
        return target

    @override
    def publish(self, name: str) -> None:
        Mirror(self.folder / name, self.copy.below(name), code="").put()

    @override
    def discard(self, name: str) -> None:
        target = inside(self.folder, name)
        with suppress(StorageError):
            remote = self.copy.below(name)
            remote.delete(remote.names())
        shutil.rmtree(target, ignore_errors=True)


def find(url: str, options: StorageOptions) -> str | None:
    """Return the URL of the workspace that is at ``url`` or beside what is there; None for none."""
    _check_url(url)
    url = url.rstrip("/").removesuffix(f"/{CONFIG}")
    for each in (url, f"{url}/{FOLDER}"):
        if open_url_folder(each, options).exists(CONFIG):
            return each
    return None


def make(url: str, options: StorageOptions, name: str) -> tuple[bool, str]:
    """Make a workspace beside what is at ``url``; return whether there was none, and its URL.

    Raises WorkspaceError where its store can't create objects exclusively, or no other process can
    see it.
    """
    _check_url(url)  # as it was typed
    url = f"{url.rstrip('/')}/{FOLDER}"
    remote = open_url_folder(url, options)
    if remote.exists(CONFIG):
        return False, url
    _check_exclusive(remote)
    try:
        remote.create(CONFIG, new_config(name))
    except FileExistsError:
        return False, url
    return True, url


def _check_url(url: str) -> None:
    shown = shown_url(url)
    if not url.partition("://")[2].strip("/"):
        raise WorkspaceError(f"{shown!r} names no place. Write one such as 's3://bucket/team'.")
    if url.startswith("file://"):
        raise WorkspaceError(f"{shown!r} is a folder. Write its path, {shown[len('file://') :]!r}.")
    if url.partition("://")[0] in OWN_MEMORY:
        raise WorkspaceError(
            f"{shown!r} is in the memory of this process, where script processes find nothing. "
            "Write the path of a folder, or the URL of a store such as 's3://bucket/team'."
        )
    if shown != url or "?" in url:
        raise WorkspaceError(
            f"{shown!r} holds what may be a secret, and runs tell where they are kept. "
            "Give it as storage_options, or have it found in the environment."
        )


def _check_exclusive(remote: UrlFolder) -> None:
    """Refuse a store in which two processes can both create the same object."""
    probe = f".exclusive-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        if not creates_twice(lambda: remote.create(probe, b"x")):
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
