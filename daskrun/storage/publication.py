"""An object in the making: nothing of it is seen until it is there whole."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from daskrun.storage.url_folder import Range, UrlFolder


class Publication(Protocol):
    """An object in the making: readers see nothing of it until :meth:`commit`, then all."""

    ordered: bool
    """Whether pieces must be written in their order, one at a time; else any thread may write any
    piece at any time."""
    copies: bool
    """Whether :meth:`copy` can be asked."""
    smallest: int
    """Bytes that a piece must have, the last one excepted."""
    mark: str
    """What :meth:`UrlFolder.published` knows the object by."""

    def write(self, number: int, data: bytes) -> None:
        """Write piece ``number`` (0, 1, 2, …)."""

    def copy(self, number: int, source: Range) -> None:
        """Have the store itself make piece ``number`` of a range of an object in the folder."""

    def commit(self, overwrite: bool) -> None:
        """Let the object appear, whole.

        Raises
        ------
        FileExistsError
            There is one of that name, and ``overwrite`` is False.
        """

    def abort(self) -> None:
        """Leave no trace; may be called again, and after anything."""


class Staged:
    """A publication where a store has no multipart upload: written aside, then moved."""

    ordered = True
    copies = False
    smallest = 1

    def __init__(self, folder: UrlFolder, name: str) -> None:
        self._folder = folder
        self._name = name
        self._aside = self.mark = f"{name}.{random.getrandbits(64):016x}.tmp"
        self._file: Any = None

    def write(self, number: int, data: bytes) -> None:
        """Write the next piece."""
        folder = self._folder

        def write() -> None:
            if self._file is None:
                folder.make_room(self._aside)
                self._file = folder.system.open(folder.path(self._aside), "wb")
            self._file.write(data)

        # once: a stream that failed on the way can't be taken up again
        folder.try_once(f"write piece {number} of {folder.shown(self._name)}", write)

    def copy(self, number: int, source: Range) -> None:
        """Never asked: ``copies`` is False."""
        raise NotImplementedError

    def commit(self, overwrite: bool) -> None:
        """Close what was written aside and move it to its name."""
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

    def abort(self) -> None:
        """Remove what was written aside."""
        if self._file is None:
            return
        file, self._file = self._file, None
        with suppress(Exception):  # it is thrown away
            file.close()
        self._folder.delete([self._aside])
