"""Large tables, made fast: one block of rows that comes again and again."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

FLOATS = [f"x{n}" for n in range(10)]
TEXTS = ["name", "city"]
_ROWS = 100_000
"""Rows of the block: 10 MB of text, which no cache near a core holds."""
_LEAST_ROW = 75
"""Bytes a row takes at least in a Parquet file: 80 are numbers, some of which come again."""
GROUP = 0.97 * (1 << 20)
"""Bytes of a row group: just below a mini-batch of ``'1MB'``, so that each is a mini-batch."""


def make_csv(path: Path, size: int, *, quoted: bool = False) -> None:
    """Write a delimited file of ``size`` bytes or a little more; ``quoted``: its texts are."""
    from pyarrow import csv

    buffer = io.BytesIO()
    style = "needed" if quoted else "none"  # pyarrow: every text needs them, for all it knows
    csv.write_csv(_block(), buffer, csv.WriteOptions(include_header=False, quoting_style=style))
    block = buffer.getvalue()
    with path.open("wb") as file:
        file.write(",".join([*FLOATS, *TEXTS]).encode() + b"\n")
        for _ in range(size // len(block)):
            file.write(block)
        rest = size % len(block)
        file.write(block[: block.find(b"\n", rest) + 1] if rest else b"")


def make_parquet(path: Path, size: int, group: float = GROUP) -> None:
    """Write a Parquet file of about ``size`` bytes whose row groups take about ``group`` each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # No row comes twice in a row group: its dictionaries would make a small thing of it.
    block = _block(max(_ROWS, int(group / _LEAST_ROW)))
    rows = int(group / _row_bytes(block, int(group / 100)))
    twice = pa.concat_tables([block, block])
    at = 0
    with pq.ParquetWriter(path, block.schema) as writer:
        for _ in range(max(1, round(size / group))):
            writer.write_table(twice.slice(at, rows), row_group_size=rows)
            at = (at + rows) % len(block)


def _row_bytes(block: Any, rows: int) -> float:
    """Measure what a row takes in a row group of about this many rows."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(block.slice(0, rows), buffer, row_group_size=rows)
    group = pq.ParquetFile(buffer).metadata.row_group(0)
    size: int = sum(group.column(n).total_compressed_size for n in range(group.num_columns))
    return size / rows


def _block(rows: int = _ROWS) -> Any:
    """Give 10 columns of numbers with six decimals, and 2 of short texts."""
    import pyarrow as pa

    draw = np.random.default_rng(7)
    columns: dict[str, Any] = {name: draw.normal(size=rows).round(6) for name in FLOATS}
    names = draw.integers(0, 10**6, rows)
    columns["name"] = pa.array([f"customer {number}" for number in names.tolist()])
    cities = pa.array(["Bern", "Graz", "Kiel", "Lyon", "Oslo", "Porto", "Turku", "Utrecht"])
    columns["city"] = cities.take(pa.array(draw.integers(0, len(cities), rows)))
    return pa.table(columns)
