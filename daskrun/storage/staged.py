"""Objects of a store that knows nothing special: an object is written aside, then moved."""

from __future__ import annotations

import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.storage.publication import Publication
from daskrun.storage.url_folder import READS, UrlFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.storage.publication import Range

_FLAT = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "memory"})
"""Stores that need no folder before there is a file in it."""


class StagedFolder(UrlFolder):
    """A folder in any store that fsspec knows."""

    @override
    def publication(self, name: str, note: str = "") -> Publication:
        return Staged(self, name)

    @override
    def published(self, name: str, mark: str) -> bool:
        # Its driver may have been killed while it was moved to its name: then it is at both.
        aside = self.sizes()
        if name not in aside or aside.get(mark, aside[name]) != aside[name]:
            return False
        self.delete([mark] if mark in aside else [])
        return True

    @override
    def halt(self, name: str, note: str) -> None:
        pass  # here it can't be

    @override
    def forget_begun(self, name: str, note: str) -> None:
        aside = re.compile(rf"{re.escape(name)}\.[0-9a-f]{{16}}\.tmp", re.ASCII)
        self.delete([found for found in self.names() if aside.fullmatch(found)])

    def make_room(self, name: str) -> None:
        """Make the folder of a name, where the store has such things."""
        if not is_flat(self.system):
            self.system.makedirs(self.path(name).rpartition("/")[0], exist_ok=True)

    @override
    def etag(self, name: str) -> str:
        return ""

    @override
    def _put(self, name: str, data: bytes) -> str:
        self.make_room(name)
        self.system.pipe_file(self.path(name), data)
        return ""

    @override
    def _create(self, name: str, data: bytes, mark: str) -> None:
        self.make_room(name)
        self.system.pipe_file(self.path(name), data, mode="create")

    @override
    def _read(self, ranges: Sequence[Range]) -> list[Any]:
        def one(source: Range) -> Any:
            try:
                return self._one(*source)
            except Exception as error:  # noqa: BLE001  (given, and tried again by the caller)
                return error

        if len(ranges) == 1:
            return [one(ranges[0])]
        with ThreadPoolExecutor(min(READS, len(ranges)), "daskrun-read") as pool:
            return list(pool.map(one, ranges))

    @override
    def _exists(self, name: str) -> bool:
        self.system.invalidate_cache()
        return bool(self.system.exists(self.path(name)))

    @override
    def _delete(self, names: Sequence[str]) -> None:
        for name in names:
            try:
                self.system.rm_file(self.path(name))
            except FileNotFoundError:
                continue


def is_flat(system: Any) -> bool:
    """Return whether a file system of fsspec has no folders that must be made."""
    protocol = system.protocol
    return not _FLAT.isdisjoint({protocol} if isinstance(protocol, str) else set(protocol))


class Staged(Publication):
    """A publication where a store has no multipart upload: written aside, then moved."""

    ordered = True
    copies = False
    smallest = 1
    etag = ""

    def __init__(self, folder: StagedFolder, name: str) -> None:
        self._folder = folder
        self._name = name
        self._aside = self.mark = f"{name}.{secrets.token_hex(8)}.tmp"
        self._file: Any = None

    @override
    def write(self, number: int, data: bytes) -> None:
        folder = self._folder

        def write() -> None:
            if self._file is None:
                folder.make_room(self._aside)
                self._file = folder.system.open(folder.path(self._aside), "wb")
            self._file.write(data)

        # once: a stream that failed on the way can't be taken up again
        folder.try_once(f"write piece {number} of {folder.shown(self._name)}", write)

    @override
    def copy(self, number: int, source: Range) -> None:
        raise NotImplementedError

    @override
    def commit(self, overwrite: bool) -> None:
        folder, name = self._folder, self._name
        if self._file is None:
            self.write(0, b"")
        folder.try_once(f"write {folder.shown(name)}", self._file.close)
        there = folder.exists(name)
        if there and not overwrite:
            raise FileExistsError(folder.shown(name))

        def move() -> None:
            if there:
                folder.system.rm_file(folder.path(name))
            folder.system.mv(folder.path(self._aside), folder.path(name))

        folder.try_once(f"publish {folder.shown(name)}", move)
        folder.system.invalidate_cache()
        self._file = None

    @override
    def abort(self) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        with suppress(Exception):  # it is thrown away
            file.close()
        self._folder.delete([self._aside])
