"""The journal: what is committed. Append-only, each record guarded by a checksum."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from daskrun.core.json_text import parsed
from daskrun.errors import StorageError
from daskrun.storage.durable import open_regular, pwrite_all, sync_data, sync_folder
from daskrun.storage.error_hints import explained

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from pathlib import Path

    from daskrun.core.codec import JsonObject
    from daskrun.storage.segments import Segments

# Only ASCII comes out, a lone surrogate as its escape: any text can be written and is read back as
# it was. Records are trees: looking for circles would cost a sixth more.
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class PassedOver(NamedTuple):
    """What is behind a damaged record, and so isn't read."""

    at: int
    """Where the damaged record begins."""
    records: int
    """Whole records behind it; 0: it is the last, torn when its process was killed."""
    nbytes: int
    """From ``at`` to the end of the file."""


class Journal:
    r"""An append-only file of records: ``crc32`` in 8 hex digits, a space, compact JSON, a newline.

    A record counts once :meth:`sync` has returned. A process may be killed at any moment: a record
    that is only partly on the disk fails its checksum and ends what is read. ``append`` and
    ``sync`` may be called from different threads.

    ``path``: a file that doesn't exist yet; :meth:`open` continues one that does. ``continue_at``:
    bytes of an existing file that are whole records, as :meth:`open` finds them. ``segments``: keep
    what is in the file behind a URL too: a record counts once it is in both. Raises StorageError
    where the file exists, or can't be created.
    """

    def __init__(
        self, path: Path, *, continue_at: int | None = None, segments: Segments | None = None
    ) -> None:
        self.path = path
        self._segments = segments
        self._buffer: list[bytes] = []
        self._lock = threading.Lock()
        self._broken = ""
        self._end = continue_at or 0
        self._named = False
        flags = os.O_CREAT | os.O_EXCL if continue_at is None else 0
        try:
            self._descriptor = os.open(path, os.O_WRONLY | flags, 0o664)
            os.ftruncate(self._descriptor, self._end)
        except FileExistsError as error:
            raise StorageError(
                f"the journal {path} exists already. Journal.open(path) continues it."
            ) from error
        except OSError as error:
            raise StorageError(f"can't open the journal {path}: {error}") from error
        if segments is not None and continue_at is not None:
            segments.cut(continue_at)

    @classmethod
    def open(cls, path: Path, segments: Segments | None = None) -> Journal:
        """Continue an existing journal; what follows its last whole record is cut off first."""
        return cls(path, continue_at=Journal.passed_over(path).at, segments=segments)

    @staticmethod
    def passed_over(path: Path) -> PassedOver:
        """Return what of a journal isn't read, and is cut off by :meth:`open`.

        Raises StorageError where the file can't be read.
        """
        end = 0
        try:
            with open_regular(path) as file:
                for end, _ in _whole_lines(file):  # noqa: B007 - only where the last one ends
                    pass
                file.seek(end)
                records = sum(map(_is_whole, file))
                return PassedOver(end, records, file.tell() - end)
        except OSError as error:
            raise StorageError(f"can't read the journal {path}: {error}") from error

    @staticmethod
    def read(path: Path, *kinds: str) -> Iterator[JsonObject]:
        """Yield the records in order, up to the first that is torn or corrupt.

        ``path``: the file. ``kinds``: only records whose first entry is ``kind``, one of these; the
        others are not parsed. Raises StorageError where the file can't be read.
        """
        begin = tuple(b'{"kind":"%b"' % kind.encode() for kind in kinds)
        try:
            with open_regular(path) as file:
                for _, text in _whole_lines(file):
                    if not begin or text.startswith(begin):
                        yield parsed(text)
        except OSError as error:
            raise StorageError(f"can't read the journal {path}: {error}") from error

    def append(self, record: JsonObject) -> None:
        """Take ``record`` (JSON values) to be written at the next :meth:`sync`."""
        self._buffer.append(encoded(record))

    def sync(self) -> None:
        """Put everything appended so far on the disk; nothing happens when there is nothing.

        Raises StorageError where it can't be written: what was appended stays and may be tried
        again. After the disk itself failed, and when the journal is closed, every further call
        fails too.
        """
        with self._lock:
            if not self._buffer:
                return
            if self._broken:
                raise StorageError(self._broken)
            lines = len(self._buffer)  # append may go on meanwhile
            data = b"".join(self._buffer[:lines])
            self._write(data)
            # Nothing in between: a Ctrl-C there would write the same records twice.
            self._end += len(data)
            del self._buffer[:lines]

    def close(self) -> None:
        """Sync and close; may be called again."""
        try:
            self.sync()
        finally:
            with self._lock:
                if self._descriptor >= 0:
                    os.close(self._descriptor)
                    self._descriptor = -1
                self._broken = self._broken or f"can't write the journal {self.path}: it is closed"

    def _write(self, data: bytes) -> None:
        """Write and wait for the disk."""
        try:
            # Not O_APPEND: after a partial write the next try begins where this one did.
            pwrite_all(self._descriptor, data, self._end)
        except OSError as error:
            raise StorageError(explained(f"can't write the journal {self.path}", error)) from error
        try:
            sync_data(self._descriptor)
            if not self._named:
                sync_folder(self.path.parent)
                self._named = True
        except OSError as error:
            # The kernel reports a lost page once and then calls it clean: a second try would lie.
            self._broken = explained(f"can't write the journal {self.path}", error)
            raise StorageError(self._broken) from error
        if self._segments is not None:
            # Where it fails, the next try writes the same bytes here and there.
            self._segments.put(self._end, data)


def encoded(record: JsonObject) -> bytes:
    """Return a record as a journal holds it."""
    text = _encode(record).encode("ascii")
    return b"%08x %b\n" % (crc32(text), text)


def _whole_lines(file: BufferedReader) -> Iterator[tuple[int, bytes]]:
    """Yield where each record ends and its JSON, up to the first that is not whole."""
    end = 0
    for line in file:
        if not _is_whole(line):
            return
        end += len(line)
        yield end, line[9:-1]


def _is_whole(line: bytes) -> bool:
    return line[-1:] == b"\n" and line[:9] == b"%08x " % crc32(line[9:-1])
