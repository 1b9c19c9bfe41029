"""A published output that is reopened: what failed is tried again, and gets into it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from daskrun.engine.journal_records import ReopenedRecord
from daskrun.output.reopening import Rows, taken_apart

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from daskrun.engine.past import Past
    from daskrun.output.destination import Destination
    from daskrun.output.sinks.sink import Sink

AT_ONCE = 5000
"""Mini-batches in a record."""


def reopened(
    place: Destination, name: str, sink: Sink, past: Past, spool: Path
) -> Iterator[ReopenedRecord]:
    """Make a part of the output ``name``, and yield the records that say what is in it.

    The output stays until the one that is made anew takes its place. Raises StorageError where it
    isn't what the run had published.
    """
    committed: dict[int, Rows] = {}
    for each in past.committed():
        outcome = each.outcome
        range_of = outcome.offset, outcome.length, outcome.head, outcome.crc
        committed[outcome.index] = Rows(outcome.index, *range_of)
    part = f"reopened-{os.getpid()}-{os.urandom(8).hex()}"
    spooled = spool / part
    try:
        output = place.output_here(name, spooled.with_suffix(".output"))
        file, rows = taken_apart(
            output, sink, [committed[index] for index in sorted(committed)], spooled
        )
        place.add_part(part, file)
    finally:
        spooled.unlink(missing_ok=True)
        spooled.with_suffix(".output").unlink(missing_ok=True)
    for start in range(0, len(rows), AT_ONCE):
        yield ReopenedRecord(part, rows[start : start + AT_ONCE])
    yield ReopenedRecord(part, (), last=True)
