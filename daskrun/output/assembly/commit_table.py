"""Which bytes of which part are committed, in mini-batch order."""

from __future__ import annotations

from itertools import takewhile
from operator import itemgetter
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from daskrun.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

# One mini-batch: whether it is known, part, offset, length, length of the header, CRC-32. 29 bytes:
# a million wait in 29 MB.
ENTRY = Struct("<?iqqiI")
SIZE = ENTRY.size
SKIPPED = -1
"""Instead of a part: no rows."""
CHUNK = 4096
"""Mini-batches taken at a time: what a failure makes to be copied again."""
SMALL = 16 * 1024
"""Bytes below which rows are read, checked against their CRC and joined with their neighbours; more
may be copied unseen."""


class Entry(NamedTuple):
    """Which bytes of which part are the rows of a mini-batch."""

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
        self.done = 0
        """Mini-batches, from the first on, that were taken."""

    def commit(
        self, index: int, part: str, offset: int, length: int, header: int, crc: int
    ) -> None:
        """Enter the range of a mini-batch; one that wrote nothing is skipped."""
        if not part or length <= 0:
            self.skip(index)
            return
        if offset < 0 or not 0 <= header <= length:
            raise ValueError(f"mini-batch {index}: {offset=}, {length=}, {header=} is no range")
        number = self._numbers.get(part)
        if number is None:
            number = self._numbers[part] = len(self.names)
            self.names.append(part)
        ENTRY.pack_into(self._table, self._place(index), True, number, offset, length, header, crc)

    def skip(self, index: int) -> None:
        """Enter that a mini-batch has no rows."""
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
        if gone > CHUNK and gone * SIZE * 2 > len(self._table):
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


def changed(part: object, index: int, entry: Entry, found: int) -> StorageError:
    """Return the error that a part does not hold what a mini-batch wrote."""
    return StorageError(
        f"the part {part} does not hold the rows that mini-batch {index} wrote: bytes "
        f"{entry.offset} to {entry.stop} have CRC {found:08x}, committed were {entry.crc:08x}. "
        "Something else has written to it, or the disk has changed it; submit the run again."
    )
