"""Dataframes as sources of rows: pandas' looked at in memory, both written once for a run."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.data.libraries import dask, dd, pd
from daskrun.data.listing import Listing
from daskrun.data.paths import PathTable
from daskrun.data.protocols import shown_url
from daskrun.data.tabular.formats.contract import Cut, FrameSource, Source, Splitter
from daskrun.data.tabular.formats.frames import arrow, write
from daskrun.data.tabular.formats.frames.reader import FrameSpec
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from daskrun.data.tabular.formats.parquet.format import ParquetSource

_NAME = "frame.parquet"
"""What a pandas frame's one file is called, also before it is written: samples are drawn by it."""


class HeldTable:
    """An Arrow table that is not copied when what holds it is."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __deepcopy__(self, memo: dict[int, Any]) -> HeldTable:
        return self

    def __repr__(self) -> str:
        return f"<{self.table.num_rows} rows>"


@dataclass(frozen=True, eq=False, repr=False)
class PandasSource(Source, FrameSource):
    """A pandas DataFrame; made by ``Dataset.Tabular.from_pandas_dataframe``.

    Before a run its rows are read from memory; :meth:`write` makes the files of a run.
    """

    frame: pd.DataFrame
    """A copy, so that the dataset stays what it was when the frame is changed."""

    def __post_init__(self) -> None:
        if not isinstance(self.frame, pd.DataFrame):
            raise DatasetError(
                f"frame= is of type {type(self.frame).__name__}. Give a pandas.DataFrame; for a "
                "Dask dataframe use from_dask_dataframe(), for a Series write series.to_frame()."
            )
        # pandas 3 copies on write, so that this costs nothing until the user's own is changed
        copy = self.frame.copy(deep=int(pd.__version__.partition(".")[0]) < 3)
        object.__setattr__(self, "frame", copy)

    def __repr__(self) -> str:
        rows, columns = self.frame.shape
        return (
            f"Dataset.Tabular.from_pandas_dataframe(<DataFrame of {columns} columns, {rows} rows>)"
        )

    @cached_property
    def table(self) -> pa.Table:
        """The frame in Arrow, made once; DatasetError as :meth:`check`."""
        return arrow.to_table(self.frame, "from_pandas_dataframe()")

    @override
    def check(self) -> None:
        self.table  # noqa: B018  (made for its errors)

    @override
    def listing(self) -> Listing:
        row = (_NAME, int(self.table.nbytes), arrow.content(self.table))
        return Listing("", PathTable([row]), False, {"table": HeldTable(self.table)})

    @override
    def describe(self, listing: Listing) -> FrameSpec:
        return FrameSpec(
            columns=tuple(arrow.columns_of(self.table)), strict_types=False, warnings=()
        )

    @override
    def splitter(self, spec: FrameSpec, listing: Listing, mini_batch_size: int) -> FrameSplitter:
        return FrameSplitter(self.table, mini_batch_size)

    @override
    def as_source(self, mini_batch_size: int) -> PandasSource:
        return self

    @override
    def write(
        self, folder: str, mini_batch_size: int, storage_options: Mapping[str, Any] | None = None
    ) -> ParquetSource:
        options = dict(storage_options or {})
        with write.opened_folder(folder, options) as source:
            write.write_part(self.table, folder, _NAME, mini_batch_size, options)
            write.check_written(folder, [_NAME], options)
        return source


@dataclass(frozen=True, eq=False, repr=False)
class DaskSource(FrameSource):
    """A Dask dataframe; made by ``Dataset.Tabular.from_dask_dataframe``.

    It has no rows that could be looked at before they are computed: :meth:`as_source` and
    :meth:`write` have its partitions written, each by the worker that has it.
    """

    frame: Any
    """``dask.dataframe.DataFrame``."""
    scheduler: Any = None
    """What computes it, unless it is persisted on a cluster: a name that Dask knows or a client.
    None: the current client, else Dask's own threads."""
    _looked_at: dict[int, ParquetSource] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.frame, dd.DataFrame):
            raise DatasetError(
                f"frame= is of type {type(self.frame).__name__}. Give a dask.dataframe.DataFrame; "
                "for one of pandas use from_pandas_dataframe()."
            )

    def __repr__(self) -> str:
        return (
            "Dataset.Tabular.from_dask_dataframe("
            f"<{len(self.frame.columns)} columns, {self.frame.npartitions} partitions>)"
        )

    @override
    def check(self) -> None:
        arrow.check_names(self.frame.columns, "from_dask_dataframe()")

    @override
    def computed_by(self, scheduler: Any) -> DaskSource:
        return DaskSource(self.frame, scheduler)

    @override
    def as_source(self, mini_batch_size: int) -> ParquetSource:
        """Write it to a temporary folder, kept until this process ends, and give that.

        The folder is on this machine: workers elsewhere can't reach it, and an error says so.
        """
        if mini_batch_size not in self._looked_at:
            folder = tempfile.mkdtemp(prefix="daskrun-frame-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            self._looked_at[mini_batch_size] = self.write(folder, mini_batch_size)
        return self._looked_at[mini_batch_size]

    @override
    def write(
        self, folder: str, mini_batch_size: int, storage_options: Mapping[str, Any] | None = None
    ) -> ParquetSource:
        """Have each partition written to a Parquet file whose row groups are its mini-batches.

        No row passes through this process unless it is what computes the dataframe.
        """
        self.check()
        options = dict(storage_options or {})
        with write.opened_folder(folder, options) as source:
            self._compute(folder, mini_batch_size, options)
        return source

    def _compute(self, folder: str, mini_batch_size: int, options: Mapping[str, Any]) -> None:
        try:
            parts = self.frame.to_delayed()
            width = max(5, len(str(len(parts) - 1)))
            names = [f"part-{n:0{width}d}.parquet" for n in range(len(parts))]
            asked = write.writes(write.write_frame, parts, folder, names, mini_batch_size, options)
            scheduler = write.holder(self.frame) or self.scheduler
            dask.compute(*asked, **({} if scheduler is None else {"scheduler": scheduler}))
        except DatasetError:
            raise
        except Exception as error:  # whatever computing the user's dataframe raises
            raise DatasetError(
                f"from_dask_dataframe(): the dataframe could not be computed and written to "
                f"{shown_url(folder)!r}: {type(error).__name__}: {error}. Try dataframe.compute() "
                "on its own."
            ) from error
        write.check_written(folder, names, options)


class FrameSplitter(Splitter):
    """Cuts a table in memory into equal numbers of rows."""

    def __init__(self, table: pa.Table, mini_batch_size: int) -> None:
        self._rows = table.num_rows
        self._bytes = int(table.nbytes)
        self._step = arrow.rows_per_group(table, mini_batch_size)

    @override
    def begin(self, name: str, size: int) -> list[Cut]:
        cuts = []
        for low in range(0, self._rows, self._step):
            high = min(low + self._step, self._rows)
            cuts.append(Cut(low, high, high - low, self._bytes * (high - low) // self._rows))
        return cuts
