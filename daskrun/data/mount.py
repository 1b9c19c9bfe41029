"""A file dataset as a folder: ``FileDataset.mount()``."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from daskrun.data.file_transfer import download
from daskrun.data.paths import local_copies
from daskrun.errors import DatasetError
from daskrun.storage.folders import user_path

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from daskrun.data.listing import Listing


class MountContext:
    """A folder with the files of a dataset, from :meth:`start` to :meth:`stop`.

    Local files are links there, remote ones are copied when it starts; paths below the dataset's
    root are kept. Nothing is mounted in the operating system's sense, and what is written into the
    folder isn't part of the dataset.

    Examples
    --------
    >>> import os, tempfile, pathlib
    >>> from daskrun.data import Dataset
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.txt").write_text("a")
    >>> with Dataset.File.from_files(str(folder)).mount() as mounted:
    ...     sorted(os.listdir(mounted.mount_point))
    ['a.txt']
    """

    def __init__(
        self, listing: Callable[[], Listing], mount_point: str | os.PathLike[str] | None
    ) -> None:
        self._list_files = listing
        self._made: Path | None = None
        self._asked = user_path(mount_point) if mount_point is not None else None
        if self._asked is not None and self._asked.exists() and not _is_empty(self._asked):
            raise DatasetError(
                f"mount_point={str(mount_point)!r} is there and not empty. Give a folder of its "
                "own, or none for a temporary one."
            )

    @property
    def mount_point(self) -> str:
        """The folder.

        Raises DatasetError where it hasn't been started.
        """
        if self._made is None:
            raise DatasetError("nothing is mounted: write `with dataset.mount() as mounted:`.")
        return str(self._made)

    def start(self) -> None:
        """Make the folder; nothing happens when it is there.

        Raises DatasetError where the dataset has no file, or one can't be read; OSError where the
        folder can't be made.
        """
        if self._made is not None:
            return
        listing = self._list_files()
        folder = self._asked or Path(tempfile.mkdtemp(prefix="daskrun-mount-"))
        try:
            if listing.remote:
                download(listing, folder, overwrite=False)
            else:
                copies = local_copies(str(folder), listing.table)
                for source, place in zip(listing.paths(list(copies)), copies.values(), strict=True):
                    Path(place).parent.mkdir(parents=True, exist_ok=True)
                    Path(place).symlink_to(source)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._made = folder

    def stop(self) -> None:
        """Remove the folder; the dataset's own files stay."""
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)
            self._made = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())
