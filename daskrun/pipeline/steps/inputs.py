"""The data of a step run: which kind it is, what a mini-batch of it is, and the plan of all."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from daskrun.core.codec import record
from daskrun.core.rules import SIZE
from daskrun.core.typing import override
from daskrun.data.file_dataset import FileDataset
from daskrun.data.file_plan import FilePlan
from daskrun.data.items import Items
from daskrun.data.mltable_files import MLTableFiles
from daskrun.data.tabular.tabular_dataset import TabularDataset
from daskrun.engine.request import INLINE
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from daskrun.core.minibatch import Plan
    from daskrun.core.settings import RunSettings


@record
@dataclass(frozen=True)
class Input:
    """A dataset that a step uses."""

    name: str
    """What the script knows it by."""
    dataset: Items
    """Parameters resolved; a dataframe as the files it was stored in."""
    is_shuffled: bool = field(default=False, kw_only=True)
    """Whether these are of a table that was shuffled for ``partition_by``."""


FILES = 10
"""Files of a mini-batch where nothing is said."""
BYTES = 1 << 20
"""Bytes of a table's mini-batch where nothing is said."""
CLOSE_LIMIT = 5.0
"""Seconds that giving back a connection may take."""
SMALL = 1024
"""Bytes below which a bare number is likely to be meant as a number of something else."""


def kind_problems(datasets: Iterable[Items], size: object) -> list[str]:
    """Return what is wrong with the kinds of a step's inputs, and a size that doesn't suit them."""
    datasets = tuple(datasets)
    kinds = {dataset.kind for dataset in datasets}
    if len(kinds) > 1:
        problem = "inputs has file datasets and tabular ones, and one run() can't take both. Make "
        return [f"{problem}two steps, or give all inputs as one kind."]
    in_bytes = isinstance(size, str) and SIZE.fullmatch(size) and not size.isdecimal()
    if kinds == {"files"} and in_bytes:  # what is no size at all is said elsewhere
        problem = f"mini_batch_size={size!r} is a size in bytes, and the inputs are files. Give a "
        problem += "number of files, such as mini_batch_size=10"
        listed = any(isinstance(each, MLTableFiles) for each in datasets)
        return [f"{problem}{', or mode: direct to have the rows in them' if listed else ''}."]
    return []


def size_notes(settings: RunSettings, kind: str, given: object) -> list[str]:
    """Return a note where a number of files seems to be meant for a table, whose size is in bytes.

    ``given`` is ``mini_batch_size`` as it was written.
    """
    number = not isinstance(given, str) or given.strip().isdecimal()
    size = settings.mini_batch_size
    if kind == "files" or not number or size is None or size >= SMALL:
        return []
    note = (
        f"mini_batch_size={given!r} means {size} bytes of a table, one row or a few. Write a size, "
    )
    return [f"{note}such as mini_batch_size='1MB', unless that is what you want."]


def with_size(settings: RunSettings, kind: str) -> RunSettings:
    """Return settings whose ``mini_batch_size`` is a number: what was given, or the kind's own."""
    if settings.mini_batch_size is not None:
        return settings
    return replace(settings, mini_batch_size=FILES if kind == "files" else BYTES)


def make_plan(
    inputs: Sequence[tuple[str, Items]], settings: RunSettings, shuffled: bool = False
) -> Plan:
    """Make the plan of a run, whose inputs are of one kind; ``settings`` are of :func:`with_size`.

    ``shuffled``: tables are already as ``partition_by`` has them.

    DatasetError is raised where an input holds nothing, can't be read, or is not partitioned so.
    """
    size, keys = settings.mini_batch_size, settings.partition_keys
    assert size is not None
    files = [(name, each) for name, each in inputs if isinstance(each, FileDataset)]
    if files and settings.partition_by is not None:
        raise DatasetError(
            f"partition_by={list(settings.partition_by)!r} is of columns of tables, and the inputs "
            "are files. Write partition_keys=... for columns of their paths (partition_format)."
        )
    if files:
        return FilePlan(files, size, partition_keys=keys)
    # Here: runs over files have no use for it.
    from daskrun.data.tabular.planning.table_plan import TablePlan

    tables = [(name, each) for name, each in inputs if isinstance(each, TabularDataset)]
    resolved = [(name, each.resolve()) for name, each in tables]
    return TablePlan(resolved, size, keys, settings.partition_by if shuffled else None)


def risks_of(plan: Plan, kind: str) -> list[str]:
    """Return what a look at more rows of tables says of the types of their columns."""
    if kind != "tabular":
        return []
    from daskrun.data.tabular.planning.table_plan import TablePlan

    return plan.risks() if isinstance(plan, TablePlan) else []


class ScriptPlan(FilePlan):
    """The plan of a script that is run once: over itself.

    It is the same wherever the run's folder lies, and whenever it was brought there.
    """

    @override
    def fingerprint(self) -> str:
        (table,) = self.tables
        return blake2b(f"script:{[*table]}".encode(), digest_size=16).hexdigest()


def wait_for_rows(inputs: Sequence[tuple[str, Items]]) -> bool:
    """Return whether a plan can be made only of what :func:`stored` gives."""
    return any(isinstance(each, TabularDataset) and each.is_lazy for _, each in inputs)


def stored(
    inputs: Sequence[tuple[str, Items]],
    folder: str,
    settings: RunSettings,
    target: object,
    options: Mapping[str, object],
) -> list[tuple[str, Items]] | None:
    """Write dataframes among the inputs to Parquet files; return None when there is none.

    ``folder`` is one of the run's own that its workers can read, or its URL. Dask dataframes are
    computed on the nodes of ``target`` unless Dask was told of another place, such as a default
    client.
    """
    size = settings.mini_batch_size
    assert size is not None
    tables = [each for _, each in inputs if isinstance(each, TabularDataset)]
    if not any(table.in_memory for table in tables):
        return None
    written: list[tuple[str, Items]] = []
    with scheduler_of(target if wait_for_rows(inputs) else None) as scheduler:
        for number, (name, dataset) in enumerate(inputs):
            if isinstance(dataset, TabularDataset) and dataset.in_memory:
                dataset = dataset.stored(f"{folder}/{number}", size, scheduler, options)
            written.append((name, dataset))
    return written


@contextmanager
def scheduler_of(target: object) -> Iterator[Any]:
    """Yield a client of the run's cluster; None where there is none, or Dask has a choice made."""
    if target is None or target == INLINE:
        yield None
        return
    from dask.base import get_scheduler

    from daskrun.engine.dask.connection import Connection

    chosen: Any = get_scheduler  # without types
    if chosen() is not None:
        yield None
        return
    connection = Connection("", "", CLOSE_LIMIT)
    try:
        connection.connect(target)
        yield connection.client
    finally:
        connection.close(quick=True)
