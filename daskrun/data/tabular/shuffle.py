"""A table shuffled by Dask: written once, so that each combination of values is a mini-batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.data.libraries import dask
from daskrun.data.protocols import shown_url
from daskrun.data.tabular.dask_frames import to_dask
from daskrun.data.tabular.formats.frames import write
from daskrun.data.tabular.formats.frames.arrow import to_table
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from daskrun.data.tabular.collect import Table
    from daskrun.data.tabular.formats.parquet.format import ParquetSource

READ = "64MB"
"""About how much of the source is read at a time."""
ROW = "__daskrun_row__"
"""Column that tells where a row was, while it travels."""
_PARTITION = 2**40
"""More than there are rows in a partition."""


def shuffled(
    dataset: Table,
    keys: Sequence[str],
    folder: str,
    options: Mapping[str, Any],
    scheduler: Any = None,
) -> ParquetSource:
    """Write the rows to Parquet files whose row groups are the combinations of values of the keys.

    Rows of a group are in the order they had. The same data makes the same files, whatever computes
    them: ``scheduler``, None for threads. Raises DatasetError: a key is no column, there are no
    rows, or what has to be read can't be.
    """
    frame = to_dask(dataset, READ)
    names = list(frame.columns)
    if lacking := [key for key in keys if key not in names]:
        raise DatasetError(
            f"partition_by={list(keys)!r}: there is no column {lacking[0]!r}. There are "
            f"{', '.join(map(repr, names))}."
        )
    with write.opened_folder(folder, options) as source:
        try:
            # With it on, Dask turns pandas' str into string[pyarrow]: not what run() gets.
            with dask.config.set({"dataframe.convert-string": False}):
                meta = frame._meta.assign(**{ROW: 0}).astype({ROW: "int64"})
                rows = frame.map_partitions(_numbered, meta=meta)
                # "tasks" is what each scheduler can do; "p2p" needs a client that is the default.
                how: Any = {"npartitions": frame.npartitions, "shuffle_method": "tasks"}
                parts = rows.shuffle(on=list(keys), **how).to_delayed()
                files = [f"part-{n:06d}.parquet" for n in range(len(parts))]
                asked = write.writes(_write_groups, parts, folder, files, tuple(keys), options)
                written = dask.compute(*asked, scheduler=scheduler or "threads")
            if not sum(written):
                raise DatasetError(f"{dataset!r} has no rows: there is nothing to partition.")
            write.check_written(folder, files, options)
        except DatasetError:
            raise
        except Exception as error:  # whatever reading the user's data raises
            raise DatasetError(
                f"partition_by={list(keys)!r}: the rows could not be put together in "
                f"{shown_url(folder)!r}: {type(error).__name__}: {error}"
            ) from error
    return source


def _numbered(frame: pd.DataFrame, partition_info: Any = None) -> pd.DataFrame:
    """Return rows with where each was."""
    first = (partition_info or {}).get("number", 0) * _PARTITION
    return frame.assign(**{ROW: range(first, first + len(frame))})


def _write_groups(
    frame: pd.DataFrame, folder: str, name: str, keys: tuple[str, ...], options: write.Hidden
) -> int:
    """Write a partition, a row group for each combination; runs where it is. Gives the rows."""
    frame = frame.sort_values(ROW)
    groups = frame.groupby(list(keys), sort=False, dropna=False, observed=True).ngroup()
    first = frame[ROW].groupby(groups).transform("min")  # groups in the order they come
    frame = frame.assign(**{ROW: first}).sort_values(ROW, kind="stable")
    sizes = frame[ROW].value_counts(sort=False).sort_index().tolist()
    frame = frame.drop(columns=ROW).reset_index(drop=True)
    table = to_table(frame, f"partition_by, {name}", whole=False)
    write.write_part(table, folder, name, sizes, options.options)
    return int(table.num_rows)
