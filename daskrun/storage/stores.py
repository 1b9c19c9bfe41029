"""Which kind of folder a URL is: the one place that knows all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daskrun.storage.url_folder import UrlFolder
    from daskrun.storage.urls import StorageOptions


def open_url_folder(url: str, options: StorageOptions) -> UrlFolder:
    """Open a folder behind a URL; one on S3 can do more.

    Raises StorageError where no file system is known for it, or a package is missing.
    """
    if url.startswith(("s3://", "s3a://")):
        from daskrun.storage.s3 import S3Folder

        return S3Folder(url, options)
    from daskrun.storage.staged import StagedFolder

    return StagedFolder(url, options)
