"""Parts: the files that script processes write finished rows to."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from daskrun.storage.durable import pwrite_all, sync_data, sync_folder

if TYPE_CHECKING:
    from pathlib import Path


class PartWriter:
    r"""Writes the part of one script process.

    The part's name is made here, at the first write, from the process and chance: never from what
    Dask hands around, since Dask may run a task twice. Without rows there is no file.

    Parameters
    ----------
    folder
        The run's parts folder.
    prefix
        Begins the name, such as ``node000-process000-``.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> part = PartWriter(pathlib.Path(tempfile.mkdtemp()), "node000-process000-")
    >>> part.name
    ''
    >>> part.write(b"first\n"), part.write(b"second\n")
    (0, 6)
    >>> part.close()
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder = folder
        self._prefix = prefix
        self._name = ""
        self._descriptor = -1
        self._end = 0
        self._dirty = False
        self._named = False
        self._broken: OSError | None = None

    @property
    def name(self) -> str:
        """File name of the part, ``""`` until something was written."""
        return self._name if self._end else ""

    def write(self, data: bytes) -> int:
        """Append ``data``; give the offset where it begins.

        Raises
        ------
        OSError
            It could not be written whole. What was written of it is cut off, and the next write
            begins at the same offset. After a failed :meth:`sync` every call fails.
        """
        offset = self._end
        if not data:
            return offset
        if self._broken is not None:
            raise self._broken
        if self._descriptor < 0:
            self._create()
        self._dirty = True
        try:
            pwrite_all(self._descriptor, data, offset)
        except OSError:
            # Gives the space back; that it fails is no harm, the next write goes over it.
            with suppress(OSError):
                os.ftruncate(self._descriptor, offset)
            raise
        self._end = offset + len(data)
        return offset

    def sync(self) -> None:
        """Wait until everything written is on the disk, the file's name included."""
        if not self._dirty:
            return
        if self._broken is not None:
            raise self._broken
        try:
            sync_data(self._descriptor)
            if not self._named:
                sync_folder(self._folder)
                self._named = True
        except OSError as error:
            # The kernel reports a lost page once and then calls it clean: a second try would lie.
            self._broken = error
            raise
        self._dirty = False

    def close(self) -> None:
        """Sync and close; may be called again. A part without bytes is removed."""
        if self._descriptor < 0:
            return
        try:
            if self._end:
                self.sync()
            else:
                (self._folder / self._name).unlink(missing_ok=True)
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    def _create(self) -> None:
        if self._name:
            raise ValueError(f"the part {self._name} is closed")
        name = f"{self._prefix}{os.getpid()}-{os.urandom(8).hex()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        self._descriptor = os.open(self._folder / name, flags, 0o666)
        self._name = name
