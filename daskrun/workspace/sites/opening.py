"""Opening, finding and making a workspace, in a folder or behind a URL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.errors import WorkspaceError
from daskrun.storage.urls import is_url
from daskrun.workspace.layout import CONFIG, FOLDER
from daskrun.workspace.sites import folder_site, url_site
from daskrun.workspace.sites.folder_site import FolderSite
from daskrun.workspace.sites.url_site import UrlSite

if TYPE_CHECKING:
    import os

    from daskrun.core.intervals import Intervals
    from daskrun.storage.urls import StorageOptions
    from daskrun.workspace.sites.site import Site


def open_site(
    where: str | os.PathLike[str], options: StorageOptions | None, intervals: Intervals
) -> Site:
    """Open the workspace in a folder, or at a URL.

    Raises WorkspaceError where there is none.
    """
    if _is_url(where, options):
        return UrlSite(str(where), options or {}, intervals)
    return FolderSite(Path(where).resolve(), intervals)


def find_site(path: str | os.PathLike[str] | None, options: StorageOptions | None) -> str | None:
    """Return the folder or URL of the workspace that is found from ``path``; None for none."""
    if _is_url(path, options):
        return url_site.find(str(path), options or {})
    found = folder_site.find(path)
    return None if found is None else str(found)


def make_site(
    path: str | os.PathLike[str] | None, options: StorageOptions | None, name: str
) -> tuple[bool, str]:
    """Make a workspace beside ``path``; return whether there was none, and its folder or URL.

    Raises WorkspaceError where it can't be made.
    """
    if _is_url(path, options):
        return url_site.make(str(path), options or {}, name)
    folder = folder_site.local(path) / FOLDER
    is_new = not (folder / CONFIG).is_file()
    if is_new:
        folder_site.make(folder, name)
    folder_site.check_ours(folder)  # what is there may be another's
    return is_new, str(folder)


def default_name(path: str | os.PathLike[str] | None) -> tuple[str, str | os.PathLike[str]]:
    """Return the name of a workspace that nobody has named, and the folder or URL beside it."""
    if isinstance(path, str) and is_url(path):
        return path.rstrip("/").rpartition("/")[2] or "workspace", path
    start = folder_site.start_folder(path)
    return start.name or "workspace", start


def _is_url(path: object, options: object) -> bool:
    """Return whether it is a URL; of a folder options are refused, which would have no effect."""
    url = isinstance(path, str) and is_url(path)
    if options and not url:
        raise WorkspaceError(
            f"path={str(path)!r} is a folder, which takes no storage_options. Leave them out, or "
            "write a URL such as 's3://bucket/team'."
        )
    return url
