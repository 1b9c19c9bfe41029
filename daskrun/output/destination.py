"""Where an output goes, a folder or a URL: what a run does there, chosen once."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.settings import ASIDE
from daskrun.core.typing import override
from daskrun.errors import SettingsError, StorageError
from daskrun.output.assembly.file_assembler import FileAssembler, file_mark
from daskrun.output.folder import prepare_output, sweep
from daskrun.storage.durable import sync_folder
from daskrun.storage.error_hints import explained
from daskrun.storage.folders import make_folder
from daskrun.storage.urls import is_url, secrets_of, shown_url, without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daskrun.output.assembly.assembler import Assembler
    from daskrun.output.assembly.sink_assembler import SinkAssembler
    from daskrun.output.sinks.sink import Sink
    from daskrun.storage.url_folder import UrlFolder


COPIED_AT_ONCE = 32 * 2**20
"""Bytes of an object in memory while it is brought here."""


class Destination(ABC):
    """The folder of one run's output."""

    parts: str
    """Path or URL of the run's parts."""

    @abstractmethod
    def prepare(self, name: str | None, overwrite: bool) -> None:
        """Raise SettingsError, before a run, where the output can't be written or replaced."""

    @abstractmethod
    def assembler(
        self, name: str, sink: Sink, spool: Path, before: Assembler | None = None
    ) -> Assembler:
        """Begin to put the output ``name`` together, with a folder of this machine to work in.

        ``before`` could not go on, as columns are to be put together by name.
        """

    @abstractmethod
    def parts_there(self) -> dict[str, int]:
        """Return name and size of each of the run's parts."""

    @abstractmethod
    def halt(self, name: str) -> None:
        """Keep the output that an earlier driver was about to publish from appearing any more.

        That one may only have been stopped. Asked before :meth:`published`; does what the store
        can do, which S3 can.
        """

    @abstractmethod
    def published(self, name: str, mark: str) -> bool:
        """Return whether what a driver that died had marked so is the output ``name`` already."""

    @abstractmethod
    def output_here(self, name: str, copy: Path) -> Path:
        """Return a local file that is the output ``name``; ``copy``, where one is needed.

        StorageError: it is gone.
        """

    @abstractmethod
    def add_part(self, name: str, file: Path) -> None:
        """Make a part of a local file, durably; the file stays, and neither is changed any more."""

    @abstractmethod
    def sweep(self) -> None:
        """Remove the run's parts, and what else it left beside its output."""


def destination_of(location: str | Path, options: Mapping[str, Any], run_id: str) -> Destination:
    """Return the place of a run's output: a folder, or a URL with fsspec's options."""
    if isinstance(location, str) and is_url(location):
        return UrlDestination(location, options, run_id)
    return FolderDestination(Path(location), run_id)


def _after(before: Assembler | None, made: SinkAssembler) -> Assembler:
    """Return an assembler that goes on with what another had."""
    if before is not None:
        made.by_name = True
        made.adopt(before)
    return made


class FolderDestination(Destination):
    """A folder that driver and nodes share."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self._folder = folder
        self._run_id = run_id
        self.parts = str(folder / ASIDE / run_id)

    @override
    def prepare(self, name: str | None, overwrite: bool) -> None:
        prepare_output(self._folder, self._run_id, name, overwrite)

    @override
    def assembler(
        self, name: str, sink: Sink, spool: Path, before: Assembler | None = None
    ) -> Assembler:
        target = self._folder / name
        if sink.assembles or before is not None:
            from daskrun.output.assembly.sink_assembler import SinkFileAssembler

            return _after(before, SinkFileAssembler(sink, Path(self.parts), target))
        return FileAssembler(Path(self.parts), target, sink.headers(self.parts))

    @override
    def parts_there(self) -> dict[str, int]:
        try:
            with os.scandir(self.parts) as entries:
                return {e.name: e.stat().st_size for e in entries if e.is_file()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StorageError(f"can't list the parts in {self.parts}: {error}") from error

    @override
    def halt(self, name: str) -> None:
        """Nothing is left to do: the lock of a driver that was only stopped keeps others out."""

    @override
    def published(self, name: str, mark: str) -> bool:
        return file_mark(self._folder / name) == mark

    @override
    def output_here(self, name: str, copy: Path) -> Path:
        if not (self._folder / name).is_file():
            raise StorageError(f"{self._folder / name} is gone, so nothing can get into it.")
        return self._folder / name

    @override
    def add_part(self, name: str, file: Path) -> None:
        part = Path(self.parts, name)
        make_folder(part.parent)
        try:
            try:
                part.hardlink_to(file)
            except OSError:  # on another file system, or one without links
                shutil.copyfile(file, part)
            with part.open("rb") as written:
                os.fsync(written.fileno())
            sync_folder(part.parent)
        except OSError as error:
            raise StorageError(explained(f"can't write {part}", error)) from error

    @override
    def sweep(self) -> None:
        sweep(Path(self.parts))


class UrlDestination(Destination):
    """A folder behind a URL; opened when something is first done there."""

    def __init__(self, url: str, options: Mapping[str, Any], run_id: str) -> None:
        self._url = url.rstrip("/")
        self._options = options
        self._aside = f"{ASIDE}/{run_id}"
        self.parts = f"{self._url}/{self._aside}"

    @override
    def prepare(self, name: str | None, overwrite: bool) -> None:
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
            text = without_secrets(str(error), secrets_of(self._url, self._options)).rstrip(".")
            problem = (
                f"output={shown_url(self._url)!r} can't be written: {text}. Check the URL, the "
                "network, and that the datastore's credentials may list, put and delete objects."
            )
            raise SettingsError("output", [problem]) from error

    @override
    def assembler(
        self, name: str, sink: Sink, spool: Path, before: Assembler | None = None
    ) -> Assembler:
        if sink.assembles or before is not None:
            from daskrun.output.assembly.sink_assembler import SinkObjectAssembler

            made = SinkObjectAssembler(sink, self._folder, self._aside, name, spool)
            return _after(before, made)
        from daskrun.output.assembly.object_assembler import ObjectAssembler

        return ObjectAssembler(self._folder, self._aside, name, sink.headers(None))

    @override
    def parts_there(self) -> dict[str, int]:
        return self._folder.sizes(self._aside)

    @override
    def halt(self, name: str) -> None:
        self._folder.halt(name, f"{self._aside}/upload")

    @override
    def published(self, name: str, mark: str) -> bool:
        return self._folder.published(name, mark)

    @override
    def output_here(self, name: str, copy: Path) -> Path:
        size = self._folder.sizes().get(name)
        if size is None:
            raise StorageError(f"{self._folder.shown(name)} is gone, so nothing can get into it.")
        with copy.open("wb") as file:
            for start in range(0, size, COPIED_AT_ONCE):
                stop = min(size, start + COPIED_AT_ONCE)
                file.writelines(self._folder.read([(name, start, stop)]))
        return copy

    @override
    def add_part(self, name: str, file: Path) -> None:
        with file.open("rb") as opened:
            self._folder.put_file(f"{self._aside}/{name}", opened, file.stat().st_size)

    @override
    def sweep(self) -> None:
        self._folder.forget(self._aside)

    @cached_property
    def _folder(self) -> UrlFolder:
        from daskrun.storage.stores import open_url_folder

        return open_url_folder(self._url, self._options)
