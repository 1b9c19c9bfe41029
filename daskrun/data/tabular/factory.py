"""Where tabular datasets are made: ``Dataset.Tabular``.

Each format is imported by the method that needs it: a script process makes no datasets.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import OriginalClass
from daskrun.data.partition_format import PartitionFormat
from daskrun.data.protocols import AnyPath, DataPath, OnePath, PathElement, Place, as_elements
from daskrun.data.tabular.tabular_dataset import TabularDataset

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from daskrun.data.tabular.formats.contract import Source
    from daskrun.data.tabular.values.types import DataType


class TabularDatasetFactory(OriginalClass):
    """Makes tabular datasets; ``Dataset.Tabular``.

    ``path`` is everywhere a folder, a file, a glob with ``*`` and ``**``, a URL of any file system
    fsspec knows, ``(datastore, 'relative')`` or ``datastore.path('relative')``, or a list of
    these. A list has its own order, a folder or glob that of the relative paths.
    """

    @staticmethod
    def from_delimited_files(
        path: AnyPath,
        validate: bool = True,
        include_path: bool = False,
        infer_column_types: bool = True,
        set_column_types: Mapping[str, DataType] | None = None,
        separator: str = ",",
        header: bool | str = True,
        partition_format: str | None = None,
        support_multi_line: bool | None = None,
        empty_as_string: bool = False,
        encoding: str = "utf8",
        *,
        strict_types: bool = False,
        on_type_conflict: str = "fail",
        quoting: str = "double",
        skip_initial_space: bool = False,
        comment: str | None = None,
        skip_rows: int = 0,
        decimal: str = ".",
        thousands: str | None = None,
        null_values: Sequence[str] = (),
        sniff: bool = False,
        count_rows: bool = False,
        include_hidden: bool = False,
        max_unpacked: int | str | None = None,
    ) -> TabularDataset:
        """Make a dataset of CSV, TSV and the like.

        Parameters
        ----------
        path
            See :class:`TabularDatasetFactory`. Files that are gzip, zstd, bzip2, xz or a zip of
            one file are decompressed, whatever their names: their first bytes tell.
        validate
            Check now that files are there and their first rows can be read. False: when used.
        include_path
            Add a first column ``Path``: ``/`` and the path below the dataset's root.
        infer_column_types
            Find each column's type from the heads of the first files and samples of others. False:
            text.
        set_column_types
            Types of some columns, such as ``{'id': DataType.to_string()}``; the rest is inferred.
        separator
            Any one character.
        header
            True or ``'ALL_FILES_HAVE_SAME_HEADERS'``; False or ``'NO_HEADERS'``;
            ``'ONLY_FIRST_FILE_HAS_HEADERS'``; ``'COMBINE_ALL_FILES_HEADERS'``: the columns of
            all files, missing where a file has none of that name.
        partition_format
            How the end of each path is read: ``'{Department}/{Date:yyyy/MM/dd}/*.csv'`` adds the
            columns ``Department``, a text, and ``Date``.
        support_multi_line
            True: fields in quotes may hold line breaks. False: they don't, so that no file has to
            be looked at to be cut; one that does is an error. None: files larger than
            ``mini_batch_size`` are looked at once.
        empty_as_string
            Empty fields of text columns are empty texts. False: missing values.
        encoding
            ``utf8``, ``utf8bom``, ``latin1``, ``ascii``, ``utf16``, ``utf32``, ``windows1252``.
        strict_types
            A value that would widen its column in its mini-batch is an error: a missing or decimal
            one in whole numbers (``float64``), a missing one in truth values, one that is no text
            in text. False: one warning.
        on_type_conflict
            What becomes of values that don't fit an inferred type: ``'fail'``: their mini-batch
            fails. ``'null'``: they are missing. ``'text'``: columns are text of which any of 64
            places holds such a value, else the mini-batches that meet one. The last two with one
            warning for a column.
        quoting
            ``'double'``: a quote in a quoted field is written twice. ``'backslash'``: a backslash
            takes from the next character what it means, as Spark and MySQL write it.
        skip_initial_space
            Blanks before a field are none of it, and a quote may come behind them.
        comment
            Lines that begin with this text are no records, such as ``'#'``.
        skip_rows
            Lines at the start of each file, before the header, that are none of the table.
        decimal, thousands
            The characters in numbers, such as ``','`` and ``'.'``.
        null_values
            Texts that are missing values in all columns, beside those that always are in numbers.
        sniff
            Look at the first 64 KiB of the first file for the separator, quoting, header and
            encoding that aren't given, and warn of what was found; the dataset has it from then on.
        count_rows
            Count the rows of all files first, so that each mini-batch knows its
            ``global_row_index_lower_bound``.
        include_hidden
            Files and folders whose names begin with ``_`` or ``.`` are data, too. False: they are
            left out where they aren't named, as what other engines leave beside tables
            (``_SUCCESS``). Files of 0 bytes are left out in any case, with a warning.
        max_unpacked
            Bytes that a compressed file may hold, or a text such as ``'20GB'``: one that holds more
            is an error, since a small file may stand for terabytes. None: 100 times its own size,
            and 4 GB at least.

        Raises
        ------
        DatasetError
            If an argument is wrong, or, with ``validate``, nothing can be read.

        Examples
        --------
        >>> from daskrun.data import Dataset
        >>> Dataset.Tabular.from_delimited_files("*.csv", validate=False).take(10)
        Dataset.Tabular.from_delimited_files('*.csv').take(10)
        """
        from daskrun.data.tabular.formats.delimited.format import DelimitedSource
        from daskrun.data.tabular.formats.delimited.sniff import sniffed

        source = DelimitedSource(
            *_files(path, include_path, set_column_types, partition_format),
            infer_column_types=infer_column_types,
            separator=separator,
            header=header,
            support_multi_line=support_multi_line,
            empty_as_string=empty_as_string,
            encoding=encoding,
            strict_types=strict_types,
            on_type_conflict=on_type_conflict,
            quoting=quoting,
            skip_initial_space=skip_initial_space,
            comment=comment,
            skip_rows=skip_rows,
            decimal=decimal,
            thousands=thousands,
            null_values=null_values if isinstance(null_values, str) else tuple(null_values),
            count_rows=count_rows,
            include_hidden=include_hidden,
            max_unpacked=max_unpacked,
        )
        return _made(sniffed(source) if sniff else source, validate)

    @staticmethod
    def from_json_lines_files(
        path: AnyPath,
        validate: bool = True,
        include_path: bool = False,
        set_column_types: Mapping[str, DataType] | None = None,
        partition_format: str | None = None,
        invalid_lines: str = "error",
        encoding: str = "utf8",
        *,
        strict_types: bool = False,
        on_type_conflict: str = "fail",
        include_hidden: bool = False,
        max_unpacked: int | str | None = None,
    ) -> TabularDataset:
        """Make a dataset of files with one JSON object in each line.

        Parameters
        ----------
        path, validate, include_path, set_column_types, partition_format, encoding
            See :meth:`from_delimited_files`.
        invalid_lines
            ``'error'``: a line that is no JSON object fails its mini-batch. ``'drop'``: it is left
            out, with a warning that says how many were.
        strict_types, on_type_conflict, include_hidden, max_unpacked
            See :meth:`from_delimited_files`.

        Examples
        --------
        >>> from daskrun.data import Dataset
        >>> events = Dataset.Tabular.from_json_lines_files("events/*.jsonl", validate=False)
        >>> events.keep_columns(["user"])
        Dataset.Tabular.from_json_lines_files('events/*.jsonl').keep_columns(['user'])
        """
        from daskrun.data.tabular.formats.json_lines.format import JsonLinesSource

        source = JsonLinesSource(
            *_files(path, include_path, set_column_types, partition_format),
            invalid_lines=invalid_lines,
            encoding=encoding,
            strict_types=strict_types,
            on_type_conflict=on_type_conflict,
            include_hidden=include_hidden,
            max_unpacked=max_unpacked,
        )
        return _made(source, validate)

    @staticmethod
    def from_parquet_files(
        path: AnyPath,
        validate: bool = True,
        include_path: bool = False,
        set_column_types: Mapping[str, DataType] | None = None,
        partition_format: str | None = None,
        *,
        strict_types: bool = False,
        include_hidden: bool = False,
    ) -> TabularDataset:
        """Make a dataset of Parquet files; row groups are joined or cut to ``mini_batch_size``.

        Parameters
        ----------
        path, validate, include_path, set_column_types, partition_format
            See :meth:`from_delimited_files`.
        strict_types, include_hidden
            See :meth:`from_delimited_files`.

        Examples
        --------
        >>> from daskrun.data import Dataset
        >>> Dataset.Tabular.from_parquet_files("rides", validate=False, include_path=True)
        Dataset.Tabular.from_parquet_files('rides', include_path=True)
        """
        from daskrun.data.tabular.formats.parquet.format import ParquetSource

        source = ParquetSource(
            *_files(path, include_path, set_column_types, partition_format),
            strict_types=strict_types,
            include_hidden=include_hidden,
        )
        return _made(source, validate)

    @staticmethod
    def from_mltable(
        path: OnePath, validate: bool = True, datastores: Mapping[str, Place] | None = None
    ) -> TabularDataset:
        """Make a dataset of the table that a file named ``MLTable`` defines.

        Parameters
        ----------
        path
            The folder that the file is in, or the file.
        validate
            See :meth:`from_delimited_files`.
        datastores
            By name those that paths such as ``azureml://datastores/NAME/paths/PATH`` mean.

        Examples
        --------
        >>> from daskrun.data import Dataset
        >>> Dataset.Tabular.from_mltable("orders", validate=False).take(5)
        Dataset.Tabular.from_mltable('orders').take(5)
        """
        from daskrun.data.tabular.formats.mltable.format import MLTableSource

        known = ((name, DataPath(place, "")) for name, place in (datastores or {}).items())
        return _made(MLTableSource(as_elements(path), str(Path.cwd()), tuple(known)), validate)

    @staticmethod
    def from_sql_query(
        query: str | DataPath | tuple[Place, str],
        validate: bool = True,
        set_column_types: Mapping[str, DataType] | None = None,
        query_timeout: float = 30,
        *,
        connection: Any = None,
        index_column: str | None = None,
        strict_types: bool = False,
    ) -> TabularDataset:
        """Make a dataset of what a query gives, cut by ranges of a column's values.

        Parameters
        ----------
        query
            A ``SELECT``, with ``connection``; or ``(datastore, 'SELECT ...')`` for a datastore
            that has a connection.
        validate
            Check now that the database answers the query. False: when used.
        set_column_types
            See :meth:`from_delimited_files`.
        query_timeout
            Seconds for each query that reads a mini-batch or looks for cuts.
        connection
            A SQLAlchemy URL, or an engine whose URL is used. Its password is never shown.
        index_column
            Column whose values order and cut the rows; best one with an index. None: all columns
            that can be ordered.
        strict_types
            See :meth:`from_delimited_files`.

        Examples
        --------
        >>> from daskrun.data import Dataset
        >>> Dataset.Tabular.from_sql_query(
        ...     "SELECT * FROM rides", validate=False, connection="sqlite:///rides.db"
        ... ).take(5)
        Dataset.Tabular.from_sql_query('SELECT * FROM rides', \
connection='sqlite:///rides.db').take(5)
        """
        from daskrun.data.tabular.formats.sql.format import SqlSource

        source = SqlSource(
            query,
            set_column_types=_copied(set_column_types),
            query_timeout=query_timeout,
            connection=connection,
            index_column=index_column,
            strict_types=strict_types,
        )
        return _made(source, validate)

    @staticmethod
    def from_pandas_dataframe(frame: pd.DataFrame) -> TabularDataset:
        """Make a dataset of a pandas DataFrame; a run writes it once, beside its output.

        Parameters
        ----------
        frame
            Its index is left out: write ``frame.reset_index()`` to keep it. It must not be
            changed as long as the dataset is used.

        Examples
        --------
        >>> import pandas as pd
        >>> from daskrun.data import Dataset
        >>> dataset = Dataset.Tabular.from_pandas_dataframe(pd.DataFrame({"a": [1, 2, 3]}))
        >>> dataset.skip(1).to_pandas_dataframe()
           a
        0  2
        1  3
        """
        from daskrun.data.tabular.formats.frames.format import PandasSource

        return _made(PandasSource(frame), True)

    @staticmethod
    def from_dask_dataframe(frame: Any) -> TabularDataset:
        """Make a dataset of a Dask dataframe; a run has its workers write it, beside its output.

        Parameters
        ----------
        frame
            Its index is left out.
        """
        from daskrun.data.tabular.formats.frames.format import DaskSource

        source = DaskSource(frame)
        source.check()
        return TabularDataset(source)


def _made(source: Source, validate: bool) -> TabularDataset:
    if validate:
        source.check()
    return TabularDataset(source)


def _copied(types: Mapping[str, DataType] | None) -> Mapping[str, DataType] | None:
    return dict(types) if isinstance(types, dict) else types


def _files(
    path: AnyPath,
    include_path: bool,
    types: Mapping[str, DataType] | None,
    partition_format: str | None,
) -> tuple[tuple[PathElement, ...], str, bool, Mapping[str, DataType] | None, str | None]:
    """Return what sources of files begin with."""
    if partition_format is not None:
        PartitionFormat(partition_format)  # a wrong one is said now
    return as_elements(path), str(Path.cwd()), include_path, _copied(types), partition_format
