"""``Home``: a workspace as datastores, models, environments and compute targets know it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from daskrun.core.intervals import USUAL
from daskrun.data.registration import KIND as DATASETS
from daskrun.errors import StorageError
from daskrun.shown.html import table_html
from daskrun.storage.urls import shown_url
from daskrun.workspace.layout import DATASTORES, DEFAULT_DATASTORE, ENVIRONMENTS, PIPELINES, RUNS
from daskrun.workspace.sites.opening import open_site

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from daskrun.core.intervals import Intervals
    from daskrun.storage.private import SecretStore
    from daskrun.storage.urls import StorageOptions


class Home:
    """An open workspace without the classes of what is registered in it.

    :class:`~daskrun.Workspace` adds these; they import this class alone.

    Parameters
    ----------
    folder
        The workspace's folder, or its URL.
    storage_options
        What fsspec needs to open the URL.
    intervals
        How long is waited for what.

    Raises WorkspaceError where there is no workspace.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        storage_options: StorageOptions | None = None,
        intervals: Intervals = USUAL,
    ) -> None:
        self.site = open_site(folder, storage_options, intervals)
        """Where it is kept."""
        self.folder = self.site.folder
        """The workspace's own folder; behind a URL, this process's copy of it."""
        self.name = self.site.config.name
        """The name it was created with."""
        self.records = self.site.records
        """Its numbered records."""

    def __repr__(self) -> str:
        return f"Workspace(name={self.name!r}, folder={shown_url(self.location)!r})"

    def _repr_html_(self) -> str:
        return table_html("Workspace", [("name", self.name), ("folder", self.location)])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Home) and other.location == self.location

    def __hash__(self) -> int:
        return hash(self.location)

    @property
    def location(self) -> str:
        """Its folder's path, or its URL."""
        return self.site.location

    @property
    def runs_folder(self) -> Path:
        """The folder of all run folders; behind a URL, of those that are copied here."""
        return self.folder / RUNS

    @property
    def private(self) -> SecretStore:
        """Where secrets are kept that only this user may read; behind a URL none are."""
        return self.site.private

    @property
    def default_datastore_name(self) -> str:
        """The name of the default datastore."""
        chosen = self.records.latest("settings", "default_datastore")
        return str(chosen[1]["name"]) if chosen else DEFAULT_DATASTORE

    def sweep_private(self) -> None:
        """Remove what killed processes left in the private folder and no record names."""
        with suppress(StorageError):  # of a record that can't be read it isn't known what it needs
            self.private.sweep(self._needed_secrets)

    def _needed_secrets(self) -> set[str]:
        records = self.records
        newest = (records.latest(DATASTORES, name) for name in records.names(DATASTORES))
        needed = {str(each[1]["private"]) for each in newest if each and "private" in each[1]}
        for kind in (DATASETS, ENVIRONMENTS, PIPELINES):
            needed.update(records.values_of(kind, records.names(kind), "private"))
        return needed
