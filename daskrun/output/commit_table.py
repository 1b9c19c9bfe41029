"""What is committed, in mini-batch order, and the heads: the same wherever the output is."""

from __future__ import annotations

from bisect import insort
from struct import Struct
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

# One mini-batch: whether it is known, part, offset, length, length of the header, CRC-32. 29 bytes:
# a million wait in 29 MB.
ENTRY = Struct("<?iqqiI")
Entry = tuple[bool, int, int, int, int, int]
SIZE = ENTRY.size
SKIPPED = -1
"""Instead of a part: no rows."""
CHUNK = 4096
"""Mini-batches taken at a time: what a failure makes to be copied again."""
SMALL = 16 * 1024
"""Bytes below which rows are read, held against their CRC and joined with their neighbours; more
may be copied unseen."""
MOST_WARNINGS = 10


class Committed:
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

    def commit(self, index: int, part: str, offset: int, length: int, head: int, crc: int) -> None:
        """Enter the range of a mini-batch; one that wrote nothing is skipped."""
        if not part or length <= 0:
            self.skip(index)
            return
        if offset < 0 or not 0 <= head <= length:
            raise ValueError(f"mini-batch {index}: {offset=}, {length=}, {head=} is no range")
        number = self._numbers.get(part)
        if number is None:
            number = self._numbers[part] = len(self.names)
            self.names.append(part)
        ENTRY.pack_into(self._table, self._place(index), True, number, offset, length, head, crc)

    def skip(self, index: int) -> None:
        """Enter that a mini-batch has no rows."""
        ENTRY.pack_into(self._table, self._place(index), True, SKIPPED, 0, 0, 0, 0)

    def ready(self) -> list[Entry]:
        """Return the entries that are next in order, at most a chunk, none of them pending."""
        start = (self.done - self._first) * SIZE
        if not any(self._table[start : start + 1]):  # most calls: the next one isn't done yet
            return []
        found = list(ENTRY.iter_unpack(self._table[start : start + CHUNK * SIZE]))
        for n, entry in enumerate(found):
            if not entry[0]:
                del found[n:]
                break
        return found

    def take(self, count: int) -> bytes:
        """Count so many entries as done, and give them packed."""
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


class Heads(Protocol):
    """What becomes of the heads: the bytes at the front of a mini-batch's that are no rows."""

    @property
    def aside(self) -> bool:
        """Whether heads are no part of the output: then the CRC of a mini-batch is without them."""

    @property
    def begins(self) -> bytes:
        """What the output begins with."""

    def take(self, index: int, head: bytes, nbytes: int) -> bool:
        """Take in the head of a mini-batch and the length of what follows; True: it is kept."""

    def mark(self) -> Any:
        """Return what :meth:`rewind` goes back to."""

    def rewind(self, mark: Any) -> None:
        """Forget what was taken since a mark."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the output."""

    def end(self) -> Iterator[bytes]:
        """Return what the output ends with; asked once all heads are taken."""

    def close(self) -> None:
        """Release what is open; may be called again."""


class Headers:
    """The header of the output: the first there is, held against each other one."""

    aside = False
    begins = b""

    def __init__(self) -> None:
        self.first: bytes | None = None
        self._differing: list[tuple[int, str]] = []  # of the first mini-batches that differ
        self._count = 0

    def take(self, index: int, header: bytes, nbytes: int) -> bool:  # noqa: ARG002  (of the seam)
        """Take in a mini-batch's header; True when it is the first, which the output gets."""
        if self.first is None:
            self.first = header
            return True
        if header != self.first:
            self._count += 1
            if len(self._differing) < MOST_WARNINGS or index < self._differing[-1][0]:
                text = (
                    f"mini-batch {index} has the header {_shown(header)}, "
                    f"the output has {_shown(self.first)}: its columns may be mixed up"
                )
                insort(self._differing, (index, text))
                del self._differing[MOST_WARNINGS:]
        return False

    def mark(self) -> tuple[bytes | None, int, int]:
        """Return what :meth:`rewind` goes back to."""
        return self.first, len(self._differing), self._count

    def rewind(self, mark: tuple[bytes | None, int, int]) -> None:
        """Forget what was taken since a mark."""
        self.first, kept, self._count = mark
        del self._differing[kept:]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Which headers differ from the output's own."""
        shown = tuple(text for _, text in self._differing)
        more = self._count - len(shown)
        if not more:
            return shown
        return (*shown, f"{more} more mini-batches have a header that differs")

    def end(self) -> Iterator[bytes]:
        """Return nothing: rows are the last."""
        return iter(())

    def close(self) -> None:
        """Do nothing: nothing is open."""


def changed(part: str, index: int, entry: Entry, found: int) -> str:
    """Say that a part does not hold what a mini-batch wrote."""
    _, _, offset, length, _, crc = entry
    return (
        f"the part {part} does not hold the rows that mini-batch {index} wrote: bytes {offset} to "
        f"{offset + length} have CRC {found:08x}, committed were {crc:08x}. Something else has "
        "written to it, or the disk has changed it; submit the run again."
    )


def _shown(header: bytes) -> str:
    """Show a header in a warning, not all of a long one."""
    text = header.decode("utf-8", "replace").rstrip("\r\n")
    return repr(text if len(text) <= 200 else text[:200] + "…")
