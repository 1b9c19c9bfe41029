"""Reads committed bytes of parts: files of a folder, or objects behind a URL."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from daskrun.core.typing import override
from daskrun.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from daskrun.storage.publication import Range
    from daskrun.storage.url_folder import UrlFolder

MOST_OPEN = 64
"""Parts kept open; a process may have only 256 files on macOS."""


class Slice(NamedTuple):
    """Bytes of a part."""

    part: int
    start: int
    stop: int


class PartReader(ABC):
    """The parts of a run, by their numbers in a commit table."""

    @abstractmethod
    def read(self, wanted: Sequence[Slice]) -> list[bytes]:
        """Return bytes of parts."""

    @abstractmethod
    def shown(self, part: int) -> str:
        """Return what messages call a part."""

    @abstractmethod
    def close(self) -> None:
        """Release what is open; may be called again."""


class FilePartReader(PartReader):
    """Parts in a folder, opened when they are first read; ``names`` by number may grow."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder = folder
        self._names = names
        self._open: OrderedDict[int, int] = OrderedDict()

    @override
    def read(self, wanted: Sequence[Slice]) -> list[bytes]:
        return [self.read_one(*each) for each in wanted]

    @override
    def shown(self, part: int) -> str:
        return str(self._folder / self._names[part])

    @override
    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def read_one(self, part: int, start: int, stop: int) -> bytes:
        """Return bytes of one part."""
        source = self.descriptor(part)
        data = os.pread(source, stop - start, start)
        while start + len(data) < stop:
            more = os.pread(source, stop - start - len(data), start + len(data))
            if not more:
                raise StorageError(
                    f"the part {self.shown(part)} is too short: rows from byte {start} to {stop} "
                    f"are committed, it ends at {os.fstat(source).st_size}"
                )
            data += more
        return data

    def descriptor(self, part: int) -> int:
        """Return an open part; the one not used for longest is closed when there are many."""
        source = self._open.get(part)
        if source is not None:
            self._open.move_to_end(part)
            return source
        path = self._folder / self._names[part]
        try:
            source = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise StorageError(
                f"the part {path}, which holds committed rows, can't be read: {error}"
            ) from error
        self._open[part] = source
        if len(self._open) > MOST_OPEN:
            os.close(self._open.popitem(last=False)[1])
        return source


class ObjectPartReader(PartReader):
    """Parts behind a URL, at a path in the output's folder; ``names`` by number may grow."""

    def __init__(self, folder: UrlFolder, path: str, names: Sequence[str]) -> None:
        self._folder = folder
        self._path = path
        self._names = names

    @override
    def read(self, wanted: Sequence[Slice]) -> list[bytes]:
        try:
            return self._folder.read([self.range(each) for each in wanted])
        except StorageError as error:
            raise StorageError(f"committed rows can't be read: {error}") from error

    @override
    def shown(self, part: int) -> str:
        return self._folder.shown(f"{self._path}/{self._names[part]}")

    @override
    def close(self) -> None:
        pass

    def range(self, wanted: Slice) -> Range:
        """Return what the store calls bytes of a part."""
        return f"{self._path}/{self._names[wanted.part]}", wanted.start, wanted.stop
