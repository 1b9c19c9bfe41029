"""Reads committed bytes of the parts in a folder."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import TYPE_CHECKING

from daskrun.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOST_OPEN = 64
"""Parts kept open; a process may have only 256 files on macOS."""


class PartReader:
    """The parts of a run in a folder, opened when they are first read.

    Parameters
    ----------
    folder
        Where they are.
    names
        Their names by number; may grow.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder = folder
        self._names = names
        self._open: OrderedDict[int, int] = OrderedDict()

    def path(self, part: int) -> Path:
        """Return where a part is."""
        return self._folder / self._names[part]

    def read(self, part: int, offset: int, size: int) -> bytes:
        """Return bytes of a part.

        Raises
        ------
        StorageError
            It has fewer, or can't be opened.
        """
        source = self.descriptor(part)
        data = os.pread(source, size, offset)
        while len(data) < size:
            more = os.pread(source, size - len(data), offset + len(data))
            if not more:
                raise StorageError(
                    f"the part {self.path(part)} is too short: rows from byte {offset} to "
                    f"{offset + size} are committed, it ends at {os.fstat(source).st_size}"
                )
            data += more
        return data

    def descriptor(self, part: int) -> int:
        """Return an open part; the one not used for longest is closed when there are many."""
        source = self._open.get(part)
        if source is not None:
            self._open.move_to_end(part)
            return source
        path = self.path(part)
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

    def close(self) -> None:
        """Close all parts; may be called again."""
        while self._open:
            os.close(self._open.popitem()[1])
