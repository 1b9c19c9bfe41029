"""Where an output goes, a folder or a URL: what a run does there, chosen once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from daskrun.core.settings import ASIDE
from daskrun.errors import SettingsError, StorageError
from daskrun.output.finalize import Finalizer, file_mark
from daskrun.output.folder import prepare_output, sweep
from daskrun.output.row_formats import heads_of
from daskrun.storage.urls import is_url, shown_url, without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daskrun.storage.url_folder import UrlFolder

__all__ = ["Assembler", "OutputPlace", "output_place"]


class Assembler(Protocol):
    """What puts committed rows together, in mini-batch order; see :class:`Finalizer`."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the output."""

    def commit(self, index: int, part: str, offset: int, length: int, head: int, crc: int) -> None:
        """Take in which bytes of a part are the rows of a mini-batch."""

    def skip(self, index: int) -> None:
        """Take in that a mini-batch has no rows."""

    def advance(self) -> int:
        """Go on with what is next in order."""

    def finish(self) -> None:
        """Write what comes behind the last rows."""

    def publish(self, overwrite: bool, total: int) -> None:
        """Let the output appear, whole."""

    def abandon(self) -> None:
        """Give up without publishing."""

    @property
    def mark(self) -> str:
        """What :meth:`OutputPlace.published` knows the output by; asked after :meth:`finish`."""


class OutputPlace(Protocol):
    """The folder of one run's output."""

    parts: str
    """Path or URL of the run's parts."""

    def prepare(self, name: str | None, overwrite: bool) -> None:
        """Check, before a run, that the output can be written.

        Raises
        ------
        SettingsError
            It can't, or there is an output ``name`` that may not be replaced.
        """

    def joining(self, name: str, row_format: str) -> Assembler:
        """Begin to put the output ``name`` together, of rows in an ``append_row_format``."""

    def parts_there(self) -> dict[str, int]:
        """Return name and size of each of the run's parts."""

    def halt(self, name: str) -> None:
        """Keep the output that an earlier driver was about to publish from appearing any more.

        That one may only have been stopped. Asked before :meth:`published`; does what the store
        can do, which S3 can.
        """

    def published(self, name: str, mark: str) -> bool:
        """Return whether what a driver that died had marked so is the output ``name`` already."""

    def sweep(self) -> None:
        """Remove the run's parts, and what else it left beside its output."""


def output_place(location: str | Path, options: Mapping[str, Any], run_id: str) -> OutputPlace:
    """Return the place of a run's output: a folder, or a URL with fsspec's options."""
    if isinstance(location, str) and is_url(location):
        return UrlPlace(location, options, run_id)
    return FolderPlace(Path(location), run_id)


class FolderPlace:
    """A folder that driver and nodes share."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self._folder = folder
        self._run_id = run_id
        self.parts = str(folder / ASIDE / run_id)

    def prepare(self, name: str | None, overwrite: bool) -> None:
        """Make the folder, and see that files can be made in it."""
        prepare_output(self._folder, self._run_id, name, overwrite)

    def joining(self, name: str, row_format: str) -> Assembler:
        """Begin a hidden file beside the output."""
        return Finalizer(Path(self.parts), self._folder / name, heads_of(row_format, self.parts))

    def parts_there(self) -> dict[str, int]:
        """Look at the files in the folder of parts."""
        try:
            with os.scandir(self.parts) as entries:
                return {e.name: e.stat().st_size for e in entries if e.is_file()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StorageError(f"can't list the parts in {self.parts}: {error}") from error

    def halt(self, name: str) -> None:
        """Nothing is left to do: the lock of a driver that was only stopped keeps others out."""

    def published(self, name: str, mark: str) -> bool:
        """Return whether the file of that name is the one that was marked."""
        return file_mark(self._folder / name) == mark

    def sweep(self) -> None:
        """Remove the folder of parts."""
        sweep(Path(self.parts))


class UrlPlace:
    """A folder behind a URL; opened when something is first done there."""

    def __init__(self, url: str, options: Mapping[str, Any], run_id: str) -> None:
        self._url = url.rstrip("/")
        self._options = options
        self._aside = f"{ASIDE}/{run_id}"
        self._opened: UrlFolder | None = None
        self.parts = f"{self._url}/{self._aside}"

    def prepare(self, name: str | None, overwrite: bool) -> None:
        """Put a small object beside the output and delete it."""
        probe = f"{self._aside}/probe-{os.getpid()}-{os.urandom(4).hex()}"
        try:
            folder = self._folder
            if name is not None and not overwrite and folder.exists(name):
                problem = (
                    f"append_row_file_name={name!r}: {folder.shown(name)} exists already. Pass "
                    "overwrite=True or give another name."
                )
                raise SettingsError("output", [problem])
            folder.put(probe, b"x")
            folder.delete([probe])
        except StorageError as error:
            text = without_secrets(str(error), self._options).rstrip(".")
            problem = (
                f"output={shown_url(self._url)!r} can't be written: {text}. Check the URL, the "
                "network, and that the datastore's credentials may list, put and delete objects."
            )
            raise SettingsError("output", [problem]) from error

    def joining(self, name: str, row_format: str) -> Assembler:
        """Begin an object."""
        from daskrun.output.object_finalize import ObjectFinalizer

        return ObjectFinalizer(self._folder, self._aside, name, heads_of(row_format, None))

    def parts_there(self) -> dict[str, int]:
        """List the objects among the parts."""
        return self._folder.sizes(self._aside)

    def halt(self, name: str) -> None:
        """Have the store forget what was begun."""
        self._folder.halt(name, f"{self._aside}/upload")

    def published(self, name: str, mark: str) -> bool:
        """Return whether the object of that name has the mark."""
        return self._folder.published(name, mark)

    def sweep(self) -> None:
        """Delete the run's parts."""
        self._folder.forget(self._aside)

    @property
    def _folder(self) -> UrlFolder:
        if self._opened is None:
            from daskrun.storage.url_folder import open_url_folder

            self._opened = open_url_folder(self._url, self._options)
        return self._opened
