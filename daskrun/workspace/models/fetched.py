"""Models that are behind a URL, fetched once for all processes of a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.core.notices import say_once
from daskrun.errors import StorageError
from daskrun.script.node_folders import ELSEWHERE
from daskrun.storage.content_cache import NotKeptError, cache_in, open_cache
from daskrun.storage.mirror import bring_whole
from daskrun.storage.stores import open_url_folder
from daskrun.storage.urls import store_of
from daskrun.workspace.models.model_files import digest_of_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from daskrun.storage.cache_entries import Entry

OWN = "models"
"""In a folder of the run's, what can't be kept for later ones."""
_used: dict[str, Entry] = {}
"""By key, and until this process ends."""


def fetched(url: str, digest: str, options: Mapping[str, Any], limit: int, own: Path) -> Path:
    """Return the path of a model's file or folder on this machine, which nobody may write.

    Parameters
    ----------
    url
        Of one version, which never changes.
    digest
        What :func:`.digest_of_files` gave for it; ``""`` for one of which that isn't known.
    options
        What fsspec needs to open it.
    limit
        Bytes that the machine keeps for later processes.
    own
        A folder that goes with this process, for what it doesn't keep.

    Raises StorageError where it can't be fetched, or is not what was registered.
    """
    place, _, name = url.rpartition("/")
    key = f"model {name} {digest or f'{url} {store_of(options)}'}"
    if key not in _used:
        remote = open_url_folder(place, options)

        def size() -> int:
            return sum(remote.sizes(name).values())

        def fetch(folder: Path) -> None:
            bring_whole(remote, name, folder / name)
            if digest and digest_of_files(folder / name) != digest:
                raise StorageError(
                    f"{remote.shown(name)} is not what was registered: others have written there. "
                    "Register the model again."
                )

        try:
            if not limit:
                raise NotKeptError
            _used[key] = open_cache(limit, say_once).get(key, size, fetch, aside=own / ELSEWHERE)
        except NotKeptError as error:
            if limit:
                say_once(f"{remote.shown(name)} is not kept for later runs: {error}")
            try:
                _used[key] = cache_in(own / OWN).get(key, size, fetch)
            except NotKeptError as last:
                raise StorageError(f"{remote.shown(name)} can't be brought: {last}") from last
    return _used[key].path / name
