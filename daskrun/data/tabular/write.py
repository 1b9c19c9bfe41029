"""Tables written to files by Dask, one for each mini-batch, and given back as datasets."""

from __future__ import annotations

import atexit
import csv
import os
import pickle
import re
import shutil
import tempfile
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.data.file_dataset import FileDataset
from daskrun.data.libraries import dask, pa, pd, pq
from daskrun.data.local_files import local_path
from daskrun.data.paths import written_aside
from daskrun.data.protocols import DataPath, OnePath, StorageOptions, as_elements, shown, shown_url
from daskrun.data.remote_files import RemoteFolder, is_url
from daskrun.data.tabular.collect import Table, empty, plan_of, schema, warn_of
from daskrun.data.tabular.dask_frames import ReadMiniBatch, held_here, loads
from daskrun.data.tabular.formats.parquet.format import ParquetSource
from daskrun.errors import DatasetError, TableError
from daskrun.storage.retry import harmless
from daskrun.storage.urls import secrets_of, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from daskrun.data.tabular.planning.table_plan import TablePlan

_MOST_NAME = 255
"""Bytes in the name of a folder: what Linux's file systems can hold."""


def to_csv_files(
    dataset: Table, separator: str, target: OnePath | None, mini_batch_size: int | str
) -> FileDataset:
    """Write CSV files; see ``TabularDataset.to_csv_files``."""
    if not isinstance(separator, str) or len(separator) != 1:
        raise DatasetError(f"separator={separator!r} is not one character. Write ',' or '\\t'.")
    return one_file_each(dataset, WriteCsv, target, mini_batch_size, separator)


def partition_by(
    dataset: Table, keys: tuple[str, ...], target: OnePath, mini_batch_size: int | str
) -> ParquetSource:
    """Write Parquet files into a folder for each combination; see ``TabularDataset``."""
    for key in keys:
        if re.search(r"[{}:/*]", key):
            raise DatasetError(
                f"partition_keys: the name {key!r} has one of {{}}:/* in it, which mean something "
                "else in a partition_format. Give the column another name."
            )
    there = Target(target)
    there.check_empty()
    plan = plan_of(dataset, mini_batch_size)
    warn_of(plan)
    types = schema(plan)
    _check_keys(keys, types.names)
    kinds = {key: types.field(key).type for key in keys}
    written = _write(plan, WritePartitions(plan, there, kinds))
    if not sum(written):
        raise DatasetError(f"{dataset!r} has no rows: there is nothing to partition.")
    form = "/".join([*(_format_of(key, kinds[key]) for key in keys), "*.parquet"])
    source = ParquetSource(as_elements(target), str(Path.cwd()), partition_format=form)
    source.check()
    return source


def one_file_each(
    dataset: Table,
    writer: Callable[..., WriteMiniBatch],
    target: OnePath | None,
    mini_batch_size: int | str,
    *options: Any,
) -> FileDataset:
    """Write a file for each mini-batch, into ``target`` or a folder that goes with this process."""
    if target is None:
        target = tempfile.mkdtemp(prefix="daskrun-files-")
        atexit.register(shutil.rmtree, target, ignore_errors=True)
    there = Target(target)
    there.check_empty()
    plan = plan_of(dataset, mini_batch_size)
    warn_of(plan)
    write = writer(plan, there, *options)
    if plan.known:
        _write(plan, write)
    else:  # a dataset without rows has columns all the same
        write.write(empty(plan), 0)
    return FileDataset(as_elements(target), str(Path.cwd()))


def _write(plan: TablePlan, writer: WriteMiniBatch) -> list[int]:
    """Have Dask write all mini-batches: on the cluster of the current client, else in threads."""
    one = dask.delayed(writer)
    chosen = {"scheduler": "threads"} if held_here(plan) else {}
    return list(dask.compute(*(one(load, n) for n, load in enumerate(loads(plan))), **chosen))


class WriteMiniBatch(ReadMiniBatch):
    """Writes a mini-batch; Dask may call it again, the file is then the same."""

    def __init__(self, plan: TablePlan, target: Target) -> None:
        super().__init__(plan)
        self._target = target
        self._schema = schema(plan)
        self._width = max(5, len(str(plan.known)))

    def __call__(self, load: bytes, number: int) -> int:  # type: ignore[override]
        """Load and write mini-batch ``number``; gives how many files were written."""
        return self.write(self.loader().frame(pickle.loads(load)), number)

    def write(self, frame: pd.DataFrame, number: int) -> int:
        """Write the rows of mini-batch ``number``."""
        raise NotImplementedError

    def _name(self, number: int, suffix: str) -> str:
        # As many digits as needed for code-point order to be that of the mini-batches.
        return f"part-{number:0{self._width}d}.{suffix}"


class WriteCsv(WriteMiniBatch):
    """Writes CSV with a header."""

    def __init__(self, plan: TablePlan, target: Target, separator: str) -> None:
        super().__init__(plan, target)
        self._separator = separator

    @override
    def write(self, frame: pd.DataFrame, number: int) -> int:
        with self._target.writing(self._name(number, "csv")) as path:
            # csv quotes the line ends that it writes, LF, and no other: CR would begin a row.
            how: Any = csv.QUOTE_NONNUMERIC if _has_cr(frame) else csv.QUOTE_MINIMAL
            frame.to_csv(path, sep=self._separator, index=False, encoding="utf-8", quoting=how)
        return 1


def _has_cr(frame: pd.DataFrame) -> bool:
    """Return whether a name or a value has a carriage return in it."""
    texts = [frame[name] for name, dtype in frame.dtypes.items() if dtype.kind == "O"]
    return any("\r" in name for name in frame.columns) or any(
        bool(text.astype("str").str.contains("\r", regex=False, na=False).any()) for text in texts
    )


class WriteParquet(WriteMiniBatch):
    """Writes Parquet with the dataset's one schema."""

    @override
    def write(self, frame: pd.DataFrame, number: int) -> int:
        self._write_table(_as_table(frame, self._schema), self._name(number, "parquet"))
        return 1

    def _write_table(self, table: pa.Table, name: str) -> None:
        with self._target.writing(name) as path:
            pq.write_table(table, path)


class WritePartitions(WriteParquet):
    """Writes a file for each combination of values of the keys that a mini-batch holds."""

    def __init__(self, plan: TablePlan, target: Target, kinds: dict[str, pa.DataType]) -> None:
        super().__init__(plan, target)
        self._kinds = kinds

    @override
    def write(self, frame: pd.DataFrame, number: int) -> int:
        schema = pa.schema([field for field in self._schema if field.name not in self._kinds])
        files = 0
        for folder, rows in self._folders(frame):
            table = _as_table(rows.drop(columns=list(self._kinds)), schema)
            self._write_table(table, f"{folder}/{self._name(number, 'parquet')}")
            files += 1
        return files

    def _folders(self, frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
        keys = list(self._kinds)
        for values, rows in frame.groupby(keys, sort=False, dropna=False, observed=True):
            pairs = zip(keys, values, strict=True)
            yield "/".join(_folder_name(k, v, self._kinds[k]) for k, v in pairs), rows


def _as_table(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Return rows the dataset's types; a column that does not fit keeps its own."""
    try:
        return pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    except pa.ArrowInvalid:  # such as decimals in a column that was thought to hold integers
        return pa.Table.from_pandas(frame, preserve_index=False)


def _check_keys(keys: Sequence[str], names: Sequence[str]) -> None:
    for key in keys:
        if key not in names:
            raise DatasetError(
                f"partition_keys={list(keys)!r}: there is no column {key!r}. There are "
                f"{', '.join(map(repr, names))}."
            )
    if set(keys) == set(names):
        raise DatasetError(
            f"partition_keys={list(keys)!r} are all columns there are: no column would be left in "
            "the files. Leave one out."
        )


def _format_of(key: str, kind: pa.DataType) -> str:
    """Write a key for the ``partition_format`` that reads the folders."""
    if pa.types.is_timestamp(kind):
        return f"{{{key}:yyyy-MM-dd-HH-mm-ss}}"
    return f"{{{key}:yyyy-MM-dd}}" if pa.types.is_date(kind) else f"{{{key}}}"


def _folder_name(key: str, value: Any, kind: pa.DataType) -> str:
    """Write a value as the name of a folder from which it can be read again."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        raise TableError(
            f"partition_keys: the column {key!r} has a missing value, which no folder can be "
            f"named by. Leave these rows out: dataset.filter(dataset[{key!r}].not_null())."
        )
    if pa.types.is_timestamp(kind):
        time = value.tz_convert(UTC) if value.tzinfo else value
        if time.microsecond or time.nanosecond:
            raise TableError(
                f"partition_keys: the column {key!r} has the time {value}, and a folder's name "
                "tells whole seconds. Partition by another column."
            )
        return str(time.strftime("%Y-%m-%d-%H-%M-%S"))
    # Where integers met missing values they are float64: 5.0 belongs with 5.
    text = str(int(value)) if pa.types.is_integer(kind) and value == int(value) else str(value)
    if not text or text.startswith(".") or "/" in text or "\0" in text or _long(text):
        raise TableError(
            f"partition_keys: the column {key!r} has the value {text[:80]!r}, which can't be the "
            "name of a folder that is read again. Partition by another column."
        )
    return text


def _long(text: str) -> bool:
    return len(text.encode("utf-8", "surrogateescape")) > _MOST_NAME


class Target:
    """Where files go; each appears there whole, or not at all.

    It travels to Dask's workers and holds the secrets of a URL; its ``repr`` does not show them.
    """

    def __init__(self, target: OnePath) -> None:
        if isinstance(target, list):
            raise DatasetError(f"target={target!r} is a list. Give one folder or URL.")
        element = as_elements(target)[0]
        options: StorageOptions = {}
        where = element
        if isinstance(element, DataPath):
            where = element.place.url(element.relative)
            options = dict(element.place.storage_options)
        assert isinstance(where, str)
        self.shown = shown(element)
        self.remote = is_url(where)
        self._where = where if self.remote else local_path(where, str(Path.cwd())).rstrip("/")
        self._options = options

    def __repr__(self) -> str:
        return f"<Target {self.shown}>"

    def check_empty(self) -> None:
        """Check that nothing is there yet, that what is written could be mixed up with."""
        try:
            there = self._first()
        except Exception as error:  # noqa: BLE001  (each of fsspec's file systems has its own)
            secret = secrets_of(self._where, self._options)
            text = without_secrets(f"{type(error).__name__}: {error}", secret).rstrip(".")
            raise DatasetError(f"target={self.shown} can't be used: {text}.") from harmless(
                error, secret
            )
        if there is not None:
            raise DatasetError(
                f"target={self.shown} is not empty: {shown_url(there)!r} is there. Give a new "
                "folder, or remove what is in this one."
            )

    @contextmanager
    def writing(self, name: str) -> Iterator[str]:
        """Yield a local path to write to; when it is left without an error, the file is there."""
        if self.remote:
            with tempfile.TemporaryDirectory(prefix="daskrun-write-") as folder:
                path = f"{folder}/file"
                yield path
                self._put(path, name)
            return
        final = Path(self._where) / name
        final.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(final) as aside:
            yield aside

    def _put(self, path: str, name: str) -> None:
        folder = RemoteFolder(self._where, self._options)
        remote = folder.path(name)
        folder.system.makedirs(folder.system._parent(remote), exist_ok=True)
        folder.system.put_file(path, remote)

    def _first(self) -> str | None:
        if not self.remote:
            try:
                with os.scandir(self._where) as entries:
                    return next((entry.name for entry in entries), None)
            except FileNotFoundError:
                return None
        folder = RemoteFolder(self._where, self._options)
        folder.system.invalidate_cache()
        if not folder.system.exists(folder.base):
            return None
        return next(iter(folder.find()), None)
