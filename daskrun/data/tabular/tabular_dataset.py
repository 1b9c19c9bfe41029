"""Tables as users make them: lazy, immutable, the same through every way of looking at them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, Self

from daskrun.core.absent_names import original_keywords
from daskrun.core.typing import override
from daskrun.data.items import Items
from daskrun.data.protocols import OnePath, shown_url
from daskrun.data.registration import registry_of
from daskrun.data.selection import as_names
from daskrun.data.tabular.conditions.expression import Column, Condition, as_condition
from daskrun.data.tabular.conditions.timestamps import Times, as_delta, as_time
from daskrun.data.tabular.formats.contract import FrameSource, Source
from daskrun.data.tabular.planning.resolve import Step, TableInput, format_of, resolve, with_window
from daskrun.errors import DaskrunError, DatasetError
from daskrun.shown.html import table_html

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta
    from pathlib import Path

    import pandas as pd

    from daskrun.data.file_dataset import FileDataset
    from daskrun.data.listing import Listing
    from daskrun.data.partition_format import PartitionFormat

_SIZE = 1024 * 1024
"""Bytes of a mini-batch where a Dask dataframe must be written only to learn of its rows."""


FIRST_ROWS, FIRST_COLUMNS = 5, 30
"""What of a dataset a notebook shows."""


@dataclass(frozen=True, eq=False, repr=False)
class TabularDataset(Items):
    """Rows of files, of a query or of a dataframe, looked up anew each time they are asked for.

    Made by ``Dataset.Tabular.from_*``. Immutable; each method gives a new dataset. The steps are
    applied in order, and see rows in the order of the source.
    """

    kind: ClassVar = "tabular"
    unit = "rows"
    how_partitioned = (
        "Give partition_format='{name}/*.csv' where it is made, or make partitions with "
        "partition_by([...], target)."
    )

    source: Source | FrameSource
    """Where the rows are."""
    steps: tuple[Step, ...] = ()
    """As :mod:`daskrun.data.tabular.conditions.row_steps` says."""
    written: tuple[str, ...] = ()
    """The calls that made the steps, for ``repr``."""
    times: Times = field(default_factory=Times)
    """Columns that tell the time."""

    def __repr__(self) -> str:
        return f"{self.source!r}{''.join(self.written)}"

    def _repr_html_(self) -> str:
        try:
            rows = self.take(FIRST_ROWS).to_pandas_dataframe()
        except DaskrunError as error:  # a notebook shows what there is
            return table_html(repr(self), [("can't be read", error)])
        columns = [(name, rows[name].dtype) for name in rows.columns]
        # Missing values and long texts as pandas shows them; it escapes what is in them.
        return f"{table_html(repr(self), columns)}{rows.to_html(max_cols=FIRST_COLUMNS)}"

    def __getitem__(self, name: str) -> Column:
        """Return a column to make conditions with: ``dataset['age'] > 3``."""
        if not isinstance(name, str):
            raise DatasetError(
                f"dataset[{name!r}]: give the name of one column, such as dataset['age'], for a "
                "condition. Columns are chosen with keep_columns([...])."
            )
        return Column(name)

    def __iter__(self) -> Any:
        raise DatasetError(
            f"{self!r} is not a list. Look at its rows with to_pandas_dataframe(), or at those of "
            "each mini-batch with to_dask_dataframe()."
        )

    def filter(self, expression: Condition | Column) -> TabularDataset:
        """Keep the rows that a condition is true of.

        Parameters
        ----------
        expression
            Made of the columns of a dataset: ``(dataset['a'] > 3) & dataset['b'].isin(['x'])``.
            Conditions on columns of the path (``partition_format``) leave whole files out.

        Examples
        --------
        >>> from daskrun.data import Dataset
        >>> people = Dataset.Tabular.from_delimited_files("people.csv", validate=False)
        >>> people.filter((people["age"] >= 18) & ~people["name"].is_null())
        Dataset.Tabular.from_delimited_files('people.csv').filter((dataset['age'] >= 18) & \
~dataset['name'].is_null())
        """
        condition = as_condition(expression, "filter()")
        return self._and(("filter", condition.plain), f".filter({condition!r})")

    def keep_columns(self, columns: str | Sequence[str], validate: bool = False) -> TabularDataset:
        """Keep these columns, in this order; the others are not read.

        Parameters
        ----------
        columns
            A name or a list of names.
        validate
            Check now that they are there. False: when the dataset is used.
        """
        names = as_names("columns", columns)
        kept = self._and(("keep", names), f".keep_columns({list(names)!r})")
        return replace(kept, times=self.times.among(names))._validated(validate)

    def drop_columns(self, columns: str | Sequence[str]) -> TabularDataset:
        """Leave these columns out; they are not read."""
        names = as_names("columns", columns)
        dropped = self._and(("drop", names), f".drop_columns({list(names)!r})")
        return replace(dropped, times=self.times.without(names))

    @original_keywords
    def with_timestamp_columns(
        self,
        timestamp: str | None = None,
        partition_timestamp: str | None = None,
        validate: bool = False,
    ) -> TabularDataset:
        """Return which columns tell the time, for ``time_before``, ``time_after`` and the others.

        Parameters
        ----------
        timestamp
            Column with each row's time.
        partition_timestamp
            Date column of ``partition_format``: files of other times are not read. Given alone,
            files are kept whole.
        validate
            Check now that the columns are there. False: when the dataset is used.
        """
        times = Times.of(timestamp, partition_timestamp, self._form)
        made = replace(self, times=times, written=(*self.written, str(times)))
        if validate:
            made.time_after(datetime(2000, 1, 1), validate=True)  # noqa: DTZ001  (any time would do)
        return made

    def time_before(
        self, end_time: datetime, include_boundary: bool = True, validate: bool = False
    ) -> TabularDataset:
        """Keep the rows up to a time; one with a zone is compared in UTC with columns without."""
        end = as_time("end_time", end_time)
        return self._between(None, end, include_boundary, "time_before")._validated(validate)

    def time_after(
        self, start_time: datetime, include_boundary: bool = True, validate: bool = False
    ) -> TabularDataset:
        """Keep the rows from a time on; one with a zone is compared in UTC, as above."""
        start = as_time("start_time", start_time)
        return self._between(start, None, include_boundary, "time_after")._validated(validate)

    def time_between(
        self,
        start_time: datetime,
        end_time: datetime,
        include_boundary: bool = True,
        validate: bool = False,
    ) -> TabularDataset:
        """Keep the rows between two times, both of which are kept with ``include_boundary``."""
        start, end = as_time("start_time", start_time), as_time("end_time", end_time)
        return self._between(start, end, include_boundary, "time_between")._validated(validate)

    def time_recent(
        self, time_delta: timedelta, include_boundary: bool = True, validate: bool = False
    ) -> TabularDataset:
        """Keep the rows of the last ``time_delta`` before now, which is the time of this call.

        A column without a time zone is taken to be in UTC.
        """
        start = datetime.now(UTC) - as_delta(time_delta)
        return self._between(start, None, include_boundary, "time_recent")._validated(validate)

    @original_keywords
    def partition_by(
        self,
        partition_keys: Sequence[str],
        target: OnePath,
        name: str | None = None,
        *,
        mini_batch_size: int | str = "64MB",
    ) -> TabularDataset:
        """Write the rows as Parquet files, a folder for each combination of values of the keys.

        Parameters
        ----------
        partition_keys
            Columns; their values become the names of folders, and the columns come back from
            these as text, or as dates.
        target
            An empty or new folder, ``(datastore, 'relative')`` or URL.
        name
            Under which the dataset is registered, as a new version, in the workspace of the
            datastore that ``target`` is in. None: it isn't.
        mini_batch_size
            About how much of the source is read at a time.

        Returns
        -------
        TabularDataset
            Of these files, with the ``partition_format``.
        """
        from daskrun.data.tabular.write import partition_by

        keys = as_names("partition_keys", partition_keys)
        registry = None if name is None else registry_of(name, target)
        made = TabularDataset(partition_by(self, keys, target, mini_batch_size))
        if registry is None or name is None:
            return made
        return made.register(registry, name, create_new_version=True)

    @original_keywords
    def to_pandas_dataframe(self) -> pd.DataFrame:
        """Read all rows into memory, with index 0..n-1.

        Raises
        ------
        TableError
            Something can't be read as the schema says; file, line, column and value are named.
        """
        from daskrun.data.tabular.collect import to_pandas

        return to_pandas(self)

    @original_keywords
    def to_dask_dataframe(self, mini_batch_size: int | str = "1MB") -> Any:
        """Return a Dask dataframe: partition ``i`` is mini-batch ``i`` of a run with that size.

        Where the files must be looked at to be cut, that is done now. The whole graph is made at
        once, one node per partition: a run over very much data does not use it.

        Parameters
        ----------
        mini_batch_size
            About how many bytes of a file a partition holds.
        """
        from daskrun.data.tabular.dask_frames import to_dask

        return to_dask(self, mini_batch_size)

    def to_csv_files(
        self,
        separator: str = ",",
        *,
        target: OnePath | None = None,
        mini_batch_size: int | str = "64MB",
    ) -> FileDataset:
        """Write the rows as CSV files with a header, one for each mini-batch, by Dask.

        Parameters
        ----------
        separator
            One character.
        target
            An empty or new folder, ``(datastore, 'relative')`` or URL. None: a folder on this
            machine that is removed when Python ends.
        mini_batch_size
            About how many bytes of the source's files become one file.
        """
        from daskrun.data.tabular.write import to_csv_files

        return to_csv_files(self, separator, target, mini_batch_size)

    def to_parquet_files(
        self, *, target: OnePath | None = None, mini_batch_size: int | str = "64MB"
    ) -> FileDataset:
        """Write the rows as Parquet files, one for each mini-batch, by Dask.

        Parameters
        ----------
        target, mini_batch_size
            See :meth:`to_csv_files`.
        """
        from daskrun.data.tabular.write import WriteParquet, one_file_each

        return one_file_each(self, WriteParquet, target, mini_batch_size)

    def resolve(self) -> TableInput:
        """Find out all that can be known before rows are read: files, schema, what to read.

        Raises
        ------
        DatasetError
            Nothing can be read, or a step does not fit the schema.
        """
        source = self.readable(_SIZE).source
        assert isinstance(source, Source), "a dataframe is made readable"
        return resolve(source, (*source.steps, *self.steps))

    @override
    def fingerprint(self) -> str:
        table = self.resolve()
        spec = json.dumps(table.spec.plain(), sort_keys=True, default=str)
        text = f"{shown_url(table.listing.root)}\0{spec}"
        digest = blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16)
        table.listing.table.update(digest)
        return digest.hexdigest()

    @property
    @override
    def in_memory(self) -> bool:
        return isinstance(self.source, FrameSource)

    @property
    def is_lazy(self) -> bool:
        """Whether it is a dataframe whose rows are not known before it is :meth:`stored`."""
        return not isinstance(self.source, Source)

    def stored(
        self,
        folder: str | Path,
        mini_batch_size: int,
        scheduler: Any = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> TabularDataset:
        """Return the same dataset with its dataframe written to Parquet files in a folder or URL.

        ``scheduler`` computes a Dask dataframe that is not persisted; None: what Dask chooses.
        """
        source = self.source
        assert isinstance(source, FrameSource), "only a dataframe is written"
        if self.is_lazy and scheduler is not None:
            source = source.computed_by(scheduler)
        return replace(self, source=source.write(str(folder), mini_batch_size, storage_options))

    def readable(self, mini_batch_size: int) -> TabularDataset:
        """Return the same dataset, a dataframe in a form that can be read and cut to this size."""
        if not isinstance(self.source, FrameSource):
            return self
        return replace(self, source=self.source.as_source(mini_batch_size))

    @property
    @override
    def _form(self) -> PartitionFormat | None:
        return format_of(self.source) if isinstance(self.source, Source) else None

    @override
    def listing(self) -> Listing:
        return self.resolve().listing

    def _with(self, steps: tuple[Step, ...], text: str) -> Self:
        return replace(self, steps=steps, written=(*self.written, text))

    def _and(self, step: Step, text: str) -> Self:
        return self._with((*self.steps, step), text)

    @override
    def _window(self, start: int, count: int | None, text: str) -> Self:
        return self._with(with_window(self.steps, start, count), text)

    @override
    def _share(self, low: float, high: float, seed: int, text: str) -> Self:
        return self._and(("sample", float(low), float(high), seed), text)

    def _between(
        self, start: datetime | None, end: datetime | None, include_boundary: bool, call: str
    ) -> TabularDataset:
        condition = self.times.condition(start, end, include_boundary, call)
        times = [repr(each) for each in (start, end) if each is not None]
        text = ", ".join([*times, *([] if include_boundary else ["include_boundary=False"])])
        return self._and(("filter", condition.plain), f".{call}({text})")

    def _validated(self, validate: bool) -> TabularDataset:
        if validate:
            self.resolve()
        return self
