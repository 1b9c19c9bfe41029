"""Copying a dataset's files to a local folder."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.data.paths import local_copies, written_aside
from daskrun.data.remote_files import RemoteFolder, join_url
from daskrun.errors import DatasetError
from daskrun.storage.folders import user_path
from daskrun.storage.retry import harmless
from daskrun.storage.urls import secrets_of, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from daskrun.data.listing import Listing

THREADS = 8
"""Remote files on their way at a time: enough to hide round trips of tens of milliseconds."""


def download(listing: Listing, target: str | os.PathLike[str], overwrite: bool) -> list[str]:
    """Copy all files of a listing; see :meth:`daskrun.data.file_dataset.FileDataset.download`."""
    copies = local_copies(str(user_path(target).absolute()), listing.table)
    if not overwrite:
        present = next((path for path in copies.values() if os.path.lexists(path)), None)
        if present is not None:
            raise DatasetError(
                f"target_path={os.fspath(target)!r}: {present!r} exists. Give another folder, or "
                "overwrite=True to replace files."
            )
    fetch = _source(listing)

    def one(copy: tuple[str, str]) -> None:
        name, path = copy
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with written_aside(Path(path)) as aside:
                fetch(name, aside)
        except Exception as error:  # noqa: BLE001  (each of fsspec's file systems has its own)
            source = join_url(listing.root, name) if listing.remote else f"{listing.root}/{name}"
            secret = secrets_of(source, listing.storage_options) if listing.remote else {}
            text = f"{source!r} can't be copied to {path!r}: {_text(error)}"
            raise DatasetError(
                f"target_path={os.fspath(target)!r}: {without_secrets(text, secret)}"
            ) from harmless(error, secret)

    with ThreadPoolExecutor(THREADS, "daskrun-download") as pool:
        try:
            for _ in pool.map(one, copies.items()):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [copies[name] for name in listing.table]


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _source(listing: Listing) -> Callable[[str, str], object]:
    if listing.remote:
        return RemoteFolder(listing.root, listing.storage_options).fetch
    base = listing.root.rstrip("/")
    return lambda name, path: shutil.copyfile(f"{base}/{name}", path)
