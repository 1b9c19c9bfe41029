"""A folder or URL that files are written to, from any process."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.data.local_files import local_path
from daskrun.data.paths import written_aside
from daskrun.data.protocols import DataPath, as_elements, shown, shown_url
from daskrun.data.remote_files import RemoteFolder, is_url
from daskrun.errors import DatasetError
from daskrun.storage.retry import harmless
from daskrun.storage.urls import secrets_of, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

from daskrun.data.protocols import OnePath, StorageOptions


class Target:
    """Where files go; each appears there whole, or not at all.

    It travels to Dask's workers and holds the secrets of a URL; its ``repr`` does not show them.
    """

    def __init__(self, target: OnePath) -> None:
        if isinstance(target, list):
            raise DatasetError(f"target={target!r} is a list. Give one folder or URL.")
        element = as_elements(target)[0]
        options: StorageOptions = {}
        where = element
        if isinstance(element, DataPath):
            where, options = (
                element.place.url(element.relative),
                dict(element.place.storage_options),
            )
        assert isinstance(where, str)
        self.shown = shown(element)
        self.remote = is_url(where)
        self._where = where if self.remote else local_path(where, str(Path.cwd())).rstrip("/")
        self._options = options

    def __repr__(self) -> str:
        return f"<Target {self.shown}>"

    def check_empty(self) -> None:
        """Check that nothing is there yet, that what is written could be mixed up with."""
        try:
            there = self._first()
        except Exception as error:  # noqa: BLE001  (each of fsspec's file systems has its own)
            secret = secrets_of(self._where, self._options)
            text = without_secrets(f"{type(error).__name__}: {error}", secret).rstrip(".")
            raise DatasetError(f"target={self.shown} can't be used: {text}.") from harmless(
                error, secret
            )
        if there is not None:
            raise DatasetError(
                f"target={self.shown} is not empty: {shown_url(there)!r} is there. Give a new "
                "folder, or remove what is in this one."
            )

    @contextmanager
    def writing(self, name: str) -> Iterator[str]:
        """Yield a local path to write to; when it is left without an error, the file is there."""
        if self.remote:
            with tempfile.TemporaryDirectory(prefix="daskrun-write-") as folder:
                path = f"{folder}/file"
                yield path
                self._put(path, name)
            return
        final = Path(self._where) / name
        final.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(final) as aside:
            yield aside

    def _put(self, path: str, name: str) -> None:
        folder = RemoteFolder(self._where, self._options)
        remote = folder.path(name)
        folder.system.makedirs(folder.system._parent(remote), exist_ok=True)
        folder.system.put_file(path, remote)

    def _first(self) -> str | None:
        """Return the name of something that is there."""
        if not self.remote:
            try:
                with os.scandir(self._where) as entries:
                    return next((entry.name for entry in entries), None)
            except FileNotFoundError:
                return None
        folder = RemoteFolder(self._where, self._options)
        folder.system.invalidate_cache()
        if not folder.system.exists(folder.base):
            return None
        return next(iter(folder.find()), None)
