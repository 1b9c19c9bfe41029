"""A mini-batch of a table without daskrun: the bytes, pyarrow, pandas, the model, the rows."""

from __future__ import annotations

import os
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from benchmarks.table_data import FLOATS, TEXTS

if TYPE_CHECKING:
    from collections.abc import Callable

SCRIPT = """
import numpy as np
WEIGHTS = np.arange(1, 11) / 10
def run(mini_batch):
    return (mini_batch.iloc[:, :10].to_numpy() @ WEIGHTS > 0).astype(int).tolist()
"""
"""A result for each row, as ``append_row`` wants it: a row without one counts as failed. It is a 0
or a 1, which takes little time to write, the same in all contestants: it would hide what else
daskrun costs."""

Range = tuple[int, int]
"""First byte or row of a mini-batch, and one past its last."""


class Work:
    """Does mini-batches of one file, as a careful user would write it down by hand.

    Parameters
    ----------
    path
        A ``.csv`` or ``.parquet`` file of :mod:`benchmarks.table_data`.
    """

    def __init__(self, path: str) -> None:
        names: dict[str, Any] = {}
        exec(SCRIPT, names)
        self._run = names["run"]
        self._load = _csv_loader(path) if path.endswith(".csv") else _parquet_loader(path)

    def __call__(self, bounds: Range) -> bytes:
        """Give the rows of a mini-batch as they are written."""
        return ("\n".join(map(str, self._run(self._load(*bounds)))) + "\n").encode()


def _csv_loader(path: str) -> Callable[[int, int], Any]:
    import pyarrow as pa
    from pyarrow import csv

    descriptor = os.open(path, os.O_RDONLY)
    columns = [*FLOATS, *TEXTS]
    types = dict.fromkeys(FLOATS, pa.float64()) | dict.fromkeys(TEXTS, pa.string())
    convert = csv.ConvertOptions(column_types=types)

    def load(start: int, stop: int) -> Any:
        data = os.pread(descriptor, stop - start, start)
        # A block that holds all: pyarrow's own of 1 MiB would cut off a few lines of most ranges.
        read = csv.ReadOptions(
            use_threads=False,
            column_names=columns,
            block_size=len(data) + 1,
            skip_rows=0 if start else 1,
        )
        table = csv.read_csv(pa.BufferReader(data), read, convert_options=convert)
        return table.to_pandas(use_threads=False)

    return load


def _parquet_loader(path: str) -> Callable[[int, int], Any]:
    """Read whole row groups, or go through a large one: its parts must be asked for in order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path, pre_buffer=False)
    starts = group_starts(path)
    batches: Any = None

    def load(start: int, stop: int) -> Any:
        nonlocal batches
        if start in starts and stop in starts:
            table = file.read_row_group(starts[start], use_threads=False)
        else:
            if start in starts:
                # The parts differ by a row: the last one gets what is left.
                batches = file.iter_batches(stop - start + 1, [starts[start]], use_threads=False)
            table = pa.Table.from_batches([next(batches)])
        return table.to_pandas(use_threads=False)

    return load


def group_starts(path: str) -> dict[int, int]:
    """Give the first row of each row group and its number; last the file's end."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path)
    rows = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    return {row: number for number, row in enumerate(accumulate(rows, initial=0))}
