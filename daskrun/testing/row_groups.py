"""The row groups of a Parquet file, according to its footer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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
        """Return where row groups are not those committed: mini-batch, bytes, rows of each."""
        found, at = [self.unreadable] if self.unreadable else [], self.start
        if len(wanted) != len(self.rows):
            count = f"{len(wanted):,} mini-batches have rows"
            return [*found, f"the output has {len(self.rows):,} row groups, and {count}"]
        for (index, nbytes, rows), has, place in zip(wanted, self.rows, self.places, strict=True):
            if has != rows:
                text = f"mini-batch {index} returned {rows} rows, and its row group has {has}"
                found.append(text)
            if place != (at, at + nbytes):
                found.append(
                    f"the row group of mini-batch {index} is said to be at bytes {place[0]:,} to "
                    f"{place[1]:,}, and is at {at:,} to {at + nbytes:,}"
                )
            at += nbytes
        more = len(found) - MOST_SHOWN
        return found[:MOST_SHOWN] + ([f"and {more:,} more like these"] if more > 0 else [])
