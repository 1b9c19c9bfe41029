"""Whether an output is what was committed: each mini-batch's rows in their place, and no others."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

MOST_WRONG = 50
"""Mini-batches out of place before the comparison ends: each is looked for among all others."""


class Rows(NamedTuple):
    """What a mini-batch has written, according to the journal."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nothing here uses
    length: int
    head: int
    """How many of the bytes, at the front, are a table's header; the output has it once."""
    crc: int
    """Of all of them, header included."""


@dataclass
class Difference:
    """How an output differs from what was committed."""

    lost: list[int] = field(default_factory=list)
    """Mini-batches whose rows are not where they should be."""
    doubled: list[int] = field(default_factory=list)
    """Mini-batches whose rows are there once more."""
    strange: int = 0
    """Bytes at the end that no mini-batch has written."""

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.strange)


def compare(
    output: Path, committed: Sequence[Rows], start: int = 0, stop: int | None = None
) -> Difference:
    """Compare an output with the rows that were committed, in the order of their mini-batches.

    What has a header of another length than the output's own is only looked at for its length. Rows
    are at bytes ``start`` to ``stop`` of the output; None: to its end.
    """
    size = output.stat().st_size if stop is None else stop
    if size <= start:
        return Difference(lost=[rows.index for rows in committed if rows.length])
    with output.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _Comparison(data, start, size, committed).result()


class _Comparison:
    """One walk through the bytes of an output."""

    def __init__(self, data: mmap.mmap, start: int, size: int, committed: Sequence[Rows]) -> None:
        self._data, self._start, self._size = data, start, size
        headed = [rows for rows in committed if rows.head]
        above = [rows for rows in headed if rows.length > rows.head]
        self._head = next((rows.head for rows in (*above, *headed)), 0)
        self._head_crc = crc32(data[: self._head])
        self._rows = [rows for rows in committed if rows.length > rows.head]

    def result(self) -> Difference:
        """Walk from the first to the last and return the differences."""
        found, rows = Difference(), self._rows
        place, n = self._start + self._head, 0
        while n < len(rows):
            if self._is_at(place, rows[n]):
                place, n = self._behind(place, rows[n]), n + 1
            elif len(found.lost) + len(found.doubled) >= MOST_WRONG:
                found.lost += [each.index for each in rows[n:]]
                return found
            elif (again := self._first_at(place, rows[:n])) is not None:
                found.doubled.append(again.index)
                place = self._behind(place, again)
            else:
                here = self._first_at(place, rows[n + 1 :])
                found.lost.append(rows[n].index)
                if here is None:  # other bytes are in its place
                    place = self._behind(place, rows[n])
                n += 1
        while place < self._size and (again := self._first_at(place, rows)) is not None:
            found.doubled.append(again.index)
            place = self._behind(place, again)
        found.strange = max(0, self._size - place)
        return found

    def _is_at(self, place: int, rows: Rows) -> bool:
        end = self._behind(place, rows)
        if end > self._size:
            return False
        if rows.head not in (0, self._head):
            return True
        with memoryview(self._data) as view, view[place:end] as piece:
            return crc32(piece, self._head_crc if rows.head else 0) == rows.crc

    def _first_at(self, place: int, candidates: Iterable[Rows]) -> Rows | None:
        return next((rows for rows in candidates if self._is_at(place, rows)), None)

    def _behind(self, place: int, rows: Rows) -> int:
        return place + rows.length - rows.head


MAGIC = 4
"""Bytes that a Parquet file begins and ends with."""
MOST_SHOWN = 3
"""Row groups that are named."""


class RowGroups(NamedTuple):
    """The row groups of a file, as pyarrow reads them."""

    start: int
    """Where the first may begin."""
    stop: int
    """Where the footer begins."""
    rows: tuple[int, ...]
    """Of each row group."""
    places: tuple[tuple[int, int], ...]
    """First byte of each, and one past its last."""
    unreadable: str
    """Error of the first row group that can't be read; ``""`` where all can be."""

    @classmethod
    def read(cls, path: Path) -> RowGroups:
        """Read the footer, and all rows with it; OSError or ValueError where it has none."""
        import pyarrow.parquet as pq

        places, rows, unreadable = [], [], ""
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for number in range(file.num_row_groups):
                group = file.metadata.row_group(number)
                chunks = [group.column(n) for n in range(group.num_columns)]
                begins = [each.dictionary_page_offset or each.data_page_offset for each in chunks]
                last = begins[-1] + chunks[-1].total_compressed_size
                places.append((begins[0], last))
                rows.append(group.num_rows)
                try:
                    file.read_row_group(number)
                except (OSError, ValueError) as error:
                    unreadable = unreadable or f"row group {number} can't be read: {error}"
        with path.open("rb") as raw:
            size = raw.seek(-2 * MAGIC, 2) + 2 * MAGIC
            footer = int.from_bytes(raw.read(MAGIC), "little")
        return cls(MAGIC, size - 2 * MAGIC - footer, tuple(rows), tuple(places), unreadable)

    def problems(self, wanted: Sequence[tuple[int, int, int]]) -> list[str]:
        """Return where row groups are not those committed: mini-batch, bytes, rows of each.

        Rows are -1 where it isn't known how many there must be.
        """
        found, at = [self.unreadable] if self.unreadable else [], self.start
        if len(wanted) != len(self.rows):
            count = f"{len(wanted):,} mini-batches have rows"
            return [*found, f"the output has {len(self.rows):,} row groups, and {count}"]
        for (index, nbytes, rows), has, place in zip(wanted, self.rows, self.places, strict=True):
            if rows not in (has, -1):
                found.append(
                    f"mini-batch {index} returned {rows} rows, and its row group has {has}"
                )
            if place != (at, at + nbytes):
                found.append(
                    f"the row group of mini-batch {index} is said to be at bytes {place[0]:,} to "
                    f"{place[1]:,}, and is at {at:,} to {at + nbytes:,}"
                )
            at += nbytes
        more = len(found) - MOST_SHOWN
        return found[:MOST_SHOWN] + ([f"and {more:,} more like these"] if more > 0 else [])
