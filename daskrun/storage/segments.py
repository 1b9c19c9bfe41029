"""A journal behind a URL: its bytes in objects, each named by where it begins."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from daskrun.core.logs import get_logger
from daskrun.errors import StorageError
from daskrun.storage.durable import sync_data
from daskrun.storage.error_hints import explained

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

    from daskrun.storage.url_folder import UrlFolder

logger = get_logger(__name__)
NAME = re.compile(r"[0-9]{15}", re.ASCII)
LARGE = 8 * 2**20
"""Bytes from which on a segment is left as it is."""
FOLDER = "journal"


class Segments:
    r"""Keeps what is appended to a file here as objects there, each put before it counts.

    A segment's name is the place of its first byte, and it is created exclusively: a driver whose
    run has been taken over (:meth:`take_over`) meets the other's segment, and can't commit any
    more. What is put is never changed, but for small segments that are joined: the first of them is
    replaced by all, then the others go. A reader passes over what it has, and lists again where one
    is gone, so it may come in between. ``folder``: of the run; segments are in ``journal/`` there.
    ``many``: segments that are joined to one: a journal of hours is read in a few requests.
    """

    def __init__(self, folder: UrlFolder, many: int = 64) -> None:
        self._folder = folder
        self._many = many
        self._small: list[tuple[int, bytes]] = []
        """Those since the last large one, which this object has put."""

    def put(self, start: int, data: bytes) -> None:
        """Put the bytes that begin at ``start``, where the segment before ends.

        Raises StorageError where the store fails, or another driver goes on with the run.
        """
        try:
            self._folder.create(_name(start), data)
        except FileExistsError as error:
            mine = self._read(start)
            if not mine or not data.startswith(mine):
                raise StorageError(
                    f"the journal {self._folder.shown(FOLDER)} is written by another process, "
                    "which has taken the run over. This one ends; nothing is lost."
                ) from error
            # A try before this one that was not heard; more may have come since.
            self._small.append((start, mine))
            if rest := data[len(mine) :]:
                self.put(start + len(mine), rest)
            return
        self._small.append((start, data))
        if len(self._small) >= self._many:
            self._join()

    def cut(self, end: int) -> None:
        """Remove what is behind a byte: a journal is continued from its last whole record."""
        sizes = self._sizes()
        later = [start for start in sizes if start >= end]
        self._folder.delete([_name(start) for start in sorted(later, reverse=True)])
        for start, size in sizes.items():
            if start < end < start + size:
                self._folder.put(_name(start), self._folder.read_whole(_name(start))[: end - start])

    def bring(self, path: Path) -> bool:
        """Write a file of all segments, on the disk when this returns; False where there is none.

        Raises StorageError where one is missing in between, or the store fails.
        """
        if not self._sizes():
            return False
        aside = path.with_name(f".{os.getpid()}-{os.urandom(8).hex()}.tmp")
        try:
            with aside.open("wb") as file:
                while self._read_on(file):
                    pass
                file.flush()
                sync_data(file.fileno())
            aside.replace(path)
        except BaseException as error:
            aside.unlink(missing_ok=True)
            if isinstance(error, OSError) and not isinstance(error, StorageError):
                raise StorageError(explained(f"can't write the journal {path}", error)) from error
            raise
        return True

    def take_over(self, path: Path, record: bytes) -> None:
        """Do as :meth:`bring`, and put a record behind all so that no other process can go on.

        Who has written the journal until now, and may only have been stopped, meets the record
        where its own next one would begin; one that has begun nothing meets it as the first.
        """
        while True:
            end = path.stat().st_size if self.bring(path) else 0
            try:
                self._folder.create(_name(end), record)
            except FileExistsError:  # it has put one more meanwhile
                continue
            with path.open("ab" if end else "wb") as file:
                file.write(record)
            return

    def _read_on(self, file: IO[bytes]) -> bool:
        """Append what comes next; tell whether to do it again: a segment was joined meanwhile."""
        for start, size in self._sizes().items():
            at = file.tell()
            if start + size <= at:
                continue
            if start > at:
                raise StorageError(
                    f"the journal {self._folder.shown(FOLDER)} lacks bytes {at:,} to {start:,}"
                )
            try:
                file.write(self._folder.read_whole(_name(start))[at - start :])
            except FileNotFoundError:
                return True
        return False

    def _join(self) -> None:
        """Make one segment of the small ones; where the store refuses, the next put tries again."""
        start, data = self._small[0][0], b"".join(each for _, each in self._small)
        joined = self._small[1:]
        try:
            self._folder.put(_name(start), data)
            self._small = [(start, data)] if len(data) < LARGE else []
            # One that stays is passed over.
            self._folder.delete([_name(each) for each, _ in joined])
        except StorageError as error:
            logger.info("small segments of a journal could not be joined: %s", error)

    def _read(self, start: int) -> bytes:
        try:
            return self._folder.read_whole(_name(start))
        except FileNotFoundError:
            return b""

    def _sizes(self) -> dict[int, int]:
        """Return where each segment begins, in order, and its bytes."""
        found = self._folder.sizes(FOLDER)
        return {int(name): size for name, size in found.items() if NAME.fullmatch(name)}


def _name(start: int) -> str:
    return f"{FOLDER}/{start:015}"
