"""An output that a sink makes of committed rows, in a folder or behind a URL."""

from __future__ import annotations

import contextlib
import os
import shutil
import traceback
import zlib
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daskrun.core.typing import override
from daskrun.errors import DaskrunError, StorageError
from daskrun.output.assembly.assembler import (
    READ_AT_ONCE,
    SKIPPED,
    Assembler,
    Entry,
    FilePartReader,
    ObjectPartReader,
    Slice,
    changed,
)
from daskrun.output.assembly.file_assembler import (
    already_there,
    check_complete,
    file_mark,
    publish_file,
)
from daskrun.output.sinks.sink import CommittedRows
from daskrun.storage.error_hints import explained
from daskrun.storage.folders import make_folder
from daskrun.storage.s3 import piece_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from daskrun.output.sinks.sink import Sink
    from daskrun.storage.url_folder import UrlFolder

ASSEMBLED = "assembled"
"""Folder of its own in which a sink makes its file; what an earlier driver left is removed."""


class SinkAssembler(Assembler):
    """Has a sink make a file of committed rows once all of them are, and publishes it."""

    by_name = False
    """Whether the output is made by :meth:`Sink.join_by_name`."""

    def __init__(self, sink: Sink, folder: Path, name: str, target: str) -> None:
        super().__init__()
        self._sink = sink
        self._shown_sink = f"append_row_format={sink.reference!r}: assemble()"
        self._folder = folder / ASSEMBLED
        self._file = self._folder / name
        self._target = target
        self._finished = False

    @property
    @override
    def aside(self) -> bool:
        return self._sink.header_aside

    @override
    def is_whole(self, header: bytes) -> bool:
        with contextlib.closing(self._sink.headers(None)) as headers:
            return headers.is_whole(bytes(header))

    @override
    def advance(self) -> int:
        return self.done  # the sink takes all rows at once, in finish()

    @override
    def finish(self) -> None:
        if self._finished:
            return
        rows = self._rows()
        try:
            shutil.rmtree(self._folder, ignore_errors=True)
            make_folder(self._folder, exist_ok=False)
            if self.by_name:
                self._sink.join_by_name(_Again(self._again), self._file)
            else:
                self._sink.assemble(rows, self._file)
        except DaskrunError:
            raise
        except Exception as error:
            raise self._failed(error) from error
        if next(rows, None) is not None:
            raise DaskrunError(f"{self._shown_sink} did not take the rows of all mini-batches.")
        if not self._file.is_file():
            raise DaskrunError(f"{self._shown_sink} made no file {self._file.name!r}.")
        self._finished = True

    @override
    def publish(self, overwrite: bool, total: int) -> None:
        self.finish()
        check_complete(self.done, total, self._target)
        self._publish(overwrite)
        self.abandon()

    @override
    def abandon(self) -> None:
        self.parts.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @abstractmethod
    def _publish(self, overwrite: bool) -> None:
        """Publish the file under the output's name."""

    def _failed(self, error: Exception) -> DaskrunError:
        if isinstance(error, OSError) and error.errno is not None:
            return StorageError(explained(f"can't assemble {self._target}", error))
        text = "".join(traceback.format_exception(error))
        return DaskrunError(
            f"{self._shown_sink} failed: {type(error).__name__}: {error}. Mend it and go on with "
            f"run.resume(): no mini-batch is run again.\n{text}"
        )

    def _again(self) -> Iterator[CommittedRows]:
        self.done = 0
        return self._rows()

    def _rows(self) -> Iterator[CommittedRows]:
        while entries := self.ready():
            some: list[tuple[int, Entry]] = []
            size = 0
            for index, entry in enumerate(entries, self.done):
                if entry.part == SKIPPED:
                    continue
                some.append((index, entry))
                size += entry.length
                if size >= READ_AT_ONCE:
                    yield from self._checked(some)
                    some, size = [], 0
            yield from self._checked(some)
            self.take(len(entries))
            self.forget()

    def _checked(self, some: Sequence[tuple[int, Entry]]) -> Iterator[CommittedRows]:
        """Read mini-batches and check them against their CRC."""
        wanted = [Slice(entry.part, entry.offset, entry.stop) for _, entry in some]
        read = self.parts.read(wanted) if wanted else []
        for (index, entry), data in zip(some, read, strict=True):
            header, rows = data[: entry.header], data[entry.header :]
            found = zlib.crc32(rows if self.aside else data)
            if found != entry.crc:
                raise changed(self.parts.shown(entry.part), index, entry, found)
            yield CommittedRows(index, header, rows)


@dataclass
class _Again:
    """What can be gone through as often as is needed."""

    begin: Callable[[], Iterator[CommittedRows]]

    def __iter__(self) -> Iterator[CommittedRows]:
        return self.begin()


class SinkFileAssembler(SinkAssembler):
    """Publishes a file: it is made among the parts, on the output's own disk, and renamed."""

    def __init__(self, sink: Sink, parts: Path, target: Path) -> None:
        super().__init__(sink, parts, target.name, str(target))
        self.parts = FilePartReader(parts, self.names)
        self._path = target

    @property
    @override
    def mark(self) -> str:
        return file_mark(self._file)

    @override
    def _publish(self, overwrite: bool) -> None:
        with self._file.open("rb+") as file:
            publish_file(file.fileno(), self._file, self._path, overwrite)


class SinkObjectAssembler(SinkAssembler):
    """Publishes an object: it is made as a file in ``spool``, on this machine, and uploaded."""

    def __init__(self, sink: Sink, folder: UrlFolder, parts: str, name: str, spool: Path) -> None:
        super().__init__(sink, spool, name, folder.shown(name))
        self.parts = ObjectPartReader(folder, parts, self.names)
        self._publication = folder.publication(name, f"{parts}/upload")

    @property
    @override
    def mark(self) -> str:
        return self._publication.mark

    @override
    def abandon(self) -> None:
        self._publication.abort()
        super().abandon()

    @override
    def _publish(self, overwrite: bool) -> None:
        with self._file.open("rb") as file:
            left, number = os.fstat(file.fileno()).st_size, 0
            while left > 0 or number == 0:
                data = file.read(max(self._publication.smallest, piece_size(number)))
                self._publication.write(number, data)
                left, number = left - len(data), number + 1
        try:
            self._publication.commit(overwrite)
        except FileExistsError as error:
            raise already_there(self._target, "an object") from error
