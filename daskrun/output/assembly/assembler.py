"""``Assembler``: makes one output of the committed rows of a run, which part readers read."""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections import OrderedDict
from itertools import takewhile
from operator import itemgetter
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from daskrun.core.typing import override
from daskrun.errors import StorageError
from daskrun.output.sinks.sink import CommittedRows, FirstHeader, LostRowsError
from daskrun.storage.folders import make_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from daskrun.output.sinks.sink import EncodedRows, Headers, Sink
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
                raise LostRowsError(
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
            kind = LostRowsError if isinstance(error, FileNotFoundError) else StorageError
            raise kind(
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
            gone = isinstance(error.__cause__, FileNotFoundError)
            kind = LostRowsError if gone else StorageError
            raise kind(f"committed rows can't be read: {error}") from error

    @override
    def shown(self, part: int) -> str:
        return self._folder.shown(f"{self._path}/{self._names[part]}")

    @override
    def close(self) -> None:
        pass

    def check(self, part: int, etag: str) -> None:
        """Raise LostRowsError where a part is not the object any more that had this ETag."""
        found = self._folder.etag(f"{self._path}/{self._names[part]}")
        if found != etag:
            what = f"the part {self.shown(part)} is not the object any more that was committed"
            raise LostRowsError(f"{what}: its ETag is {found or 'gone'}, was {etag}")

    def range(self, wanted: Slice) -> Range:
        """Return what the store calls bytes of a part."""
        return f"{self._path}/{self._names[wanted.part]}", wanted.start, wanted.stop


# One mini-batch: whether it is known, part, offset, length, length of the header, CRC-32. 29 bytes:
# a million wait in 29 MB.
ENTRY = Struct("<?iqqiI")
SIZE = ENTRY.size
SKIPPED = -1
"""Instead of a part: no rows."""
READ_AT_ONCE = 8 * 2**20
"""Bytes of rows in memory at once, where those of one mini-batch alone aren't more."""
CHUNK = 4096
"""Mini-batches taken at a time: what a failure makes to be copied again."""
SMALL = 16 * 1024
"""Bytes below which rows behind a URL are read and joined with their neighbours; more may be copied
by the store, alone or side by side."""


class Entry(NamedTuple):
    """The range of a mini-batch."""

    known: bool
    part: int
    """Number of the part, or :data:`SKIPPED`."""
    offset: int = 0
    length: int = 0
    header: int = 0
    """How many of the bytes, at their front, are a header."""
    crc: int = 0

    @property
    def stop(self) -> int:
        """Where in the part its bytes end."""
        return self.offset + self.length


class CommitTable:
    """Which bytes of which part are the rows of each mini-batch.

    They come in any order, each once, and go in mini-batch order.
    """

    def __init__(self) -> None:
        self._table = bytearray()
        self._first = 0  # the mini-batch whose entry is first in the table
        self._numbers: dict[str, int] = {}
        self.names: list[str] = []
        """Parts by their numbers."""
        self.etags: list[str] = []
        """Theirs, ``""`` where they have none; such parts are not copied unseen."""
        self.done = 0
        """Mini-batches, from the first on, that are in the output or on their way to it."""
        self._keeps = False
        """Whether nothing may be forgotten: the output may have to be made in another way."""

    def commit(
        self,
        index: int,
        part: str,
        offset: int,
        length: int,
        header: int,
        crc: int,
        etag: str = "",
    ) -> None:
        """Enter which bytes of a part are the rows of a mini-batch; ``header`` of them are one.

        ``crc`` is the CRC-32 of these bytes, without a header that stays aside; they are checked
        against it. A mini-batch that wrote nothing (``part=""`` or ``length=0``) is skipped.
        ``etag`` is the part's as it was put.
        """
        if not part or length <= 0:
            self.skip(index)
            return
        if offset < 0 or not 0 <= header <= length:
            raise ValueError(f"mini-batch {index}: {offset=}, {length=}, {header=} is no range")
        number = self._numbers.get(part)
        if number is None:
            number = self._numbers[part] = len(self.names)
            self.names.append(part)
            self.etags.append(etag)
        ENTRY.pack_into(self._table, self._place(index), True, number, offset, length, header, crc)

    def skip(self, index: int) -> None:
        """Enter that a mini-batch has no rows: it failed, or it wrote nothing."""
        ENTRY.pack_into(self._table, self._place(index), True, SKIPPED, 0, 0, 0, 0)

    def ready(self) -> list[Entry]:
        """Return the entries that are next in order, at most a chunk, none of them pending."""
        start = (self.done - self._first) * SIZE
        if not any(self._table[start : start + 1]):  # most calls: the next one isn't done yet
            return []
        return list(takewhile(_is_known, unpacked(self._table[start : start + CHUNK * SIZE])))

    def take(self, count: int) -> bytes:
        """Count so many entries as done, and return them packed."""
        start = (self.done - self._first) * SIZE
        packed = bytes(self._table[start : start + count * SIZE])
        self.done += count
        return packed

    def forget(self) -> None:
        """Drop the entries that are done, once they are the greater part."""
        gone = self.done - self._first
        if not self._keeps and gone > CHUNK and gone * SIZE * 2 > len(self._table):
            del self._table[: gone * SIZE]
            self._first = self.done

    def _place(self, index: int) -> int:
        """Return where in the table a mini-batch is entered, which must not be there yet."""
        place = (index - self._first) * SIZE
        if place >= len(self._table):
            # An eighth more each time: memory stays near what is used.
            size = place + SIZE * (CHUNK + place // (8 * SIZE))
            self._table.extend(bytes(size - len(self._table)))
        if index < self.done or self._table[place]:
            raise ValueError(f"mini-batch {index} was committed before")
        return place


_is_known = itemgetter(0)


def unpacked(table: bytes | bytearray) -> Iterator[Entry]:
    """Return the entries that are packed in bytes."""
    return map(Entry._make, ENTRY.iter_unpack(table))


def changed(part: object, index: int, entry: Entry, found: int) -> LostRowsError:
    """Return the error that a part does not hold what a mini-batch wrote."""
    return LostRowsError(
        f"the part {part} does not hold the rows that mini-batch {index} wrote: bytes "
        f"{entry.offset} to {entry.stop} have CRC {found:08x}, committed were {entry.crc:08x}. "
        "Something else has written to it, or the disk has changed it."
    )


class Assembler(CommitTable, ABC):
    """Makes one output of committed rows, in mini-batch order, and publishes it.

    One thread at a time. Without ``headers`` the output has the first header.
    """

    def __init__(self, headers: Headers | None = None) -> None:
        super().__init__()
        self._headers = headers or FirstHeader()
        self._keeps = self._headers.by_name

    def adopt(self, other: Assembler) -> None:
        """Take over what another has, which kept all of it."""
        self._table, self._numbers = other._table, other._numbers
        self.names.extend(other.names)
        self.etags.extend(other.etags)
        self._keeps = True

    parts: PartReader
    """Reads what is committed."""

    @property
    def aside(self) -> bool:
        """Whether headers stay aside, and so are not in the CRC."""
        return self._headers.aside

    def lost(self, rows: Iterable[tuple[int, str, int, int, int, int]]) -> list[int]:
        """Read rows that were committed; return the mini-batches whose are not as written.

        ``rows`` are the arguments of :meth:`commit`.
        """
        lost = []
        for index, part, offset, length, header, crc in rows:
            aside = header * self.aside
            whole = self._crc(part, offset + aside, offset + length) == crc
            if whole and aside:
                wanted = Slice(self._numbers[part], offset, offset + aside)
                whole = self.is_whole(self.parts.read([wanted])[0])
            if not whole:
                lost.append(index)
        return lost

    def is_whole(self, header: bytes) -> bool:
        """Return whether a header that stays aside is what was written."""
        return self._headers.is_whole(bytes(header))

    def _crc(self, part: str, start: int, stop: int) -> int | None:
        """Return the CRC-32 of bytes of a part; None where they are not there."""
        found, number = 0, self._numbers[part]
        with contextlib.suppress(LostRowsError):
            for at in range(start, stop, READ_AT_ONCE):
                wanted = Slice(number, at, min(stop, at + READ_AT_ONCE))
                found = crc32(self.parts.read([wanted])[0], found)
            return found
        return None

    @property
    def nbytes(self) -> int:
        """Bytes of the output that no longer need room beside their parts."""
        return 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the output, such as headers that differ from its own."""
        return self._headers.warnings

    @abstractmethod
    def advance(self) -> int:
        """Go on with what is next in order, as far as it is committed; return :attr:`done`.

        Raises StorageError where a part is missing, too short or not what was written, or the
        output can't be written; WrongResultError where a header doesn't go with the others.
        """

    @abstractmethod
    def finish(self) -> None:
        """Write what comes behind the last rows, or raise DaskrunError; may be called again."""

    @property
    @abstractmethod
    def mark(self) -> str:
        """What :meth:`Destination.published` knows the output by; asked after :meth:`finish`."""

    @abstractmethod
    def publish(self, overwrite: bool, total: int) -> None:
        """Publish the output under its name, whole and durable when this returns.

        Raises StorageError where not all of ``total`` mini-batches are committed or skipped, or
        there is an output of that name, or the store failed. :meth:`abandon` is still to be called
        then.
        """

    @abstractmethod
    def abandon(self) -> None:
        """Release everything without publishing; may be called again, and after :meth:`publish`."""


def output_of_one(sink: Sink, encoded: EncodedRows, index: int, folder: Path) -> bytes:
    """Return the output that has the rows of mini-batch ``index`` and no others.

    ``folder`` is made here, for the sink's own use.
    """
    header, rows = encoded.data[: encoded.header], encoded.data[encoded.header :]
    make_folder(folder, exist_ok=False)
    if sink.assembles:
        sink.assemble(
            iter([CommittedRows(index, header, rows)] if encoded.data else []), folder / "output"
        )
        return (folder / "output").read_bytes()
    with contextlib.closing(sink.headers(str(folder))) as headers:
        kept = bool(header) and headers.take(index, header, len(rows))
        return b"".join([headers.begins, header if kept else b"", rows, *headers.end()])
