"""Writing a dataframe's Parquet files, here or on the workers that have its partitions."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from daskrun.data.libraries import dask, pq
from daskrun.data.paths import written_aside
from daskrun.data.protocols import DataPath, StorageOptions, shown_url
from daskrun.data.remote_files import RemoteFolder, is_url, join_url
from daskrun.data.tabular.formats.frames.arrow import columns_of, rows_per_group, to_table
from daskrun.data.tabular.formats.parquet.categories import FRAME_KEY, category_values
from daskrun.data.tabular.formats.parquet.format import ParquetSource
from daskrun.errors import DatasetError
from daskrun.shown.url_secrets import shown_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class _Folder:
    """The URL that a frame was written to, as datasets know places."""

    root: str
    storage_options: Mapping[str, Any] = field(repr=False)

    def url(self, relative: str) -> str:
        """Return the URL of a path in it."""
        return join_url(self.root, relative) if relative else self.root


@contextmanager
def opened_folder(folder: str, options: Mapping[str, Any]) -> Iterator[ParquetSource]:
    """Make a folder for a frame's files, and yield the source that they will be.

    Raises DatasetError if it can't be made, or isn't empty. After an error it is removed.
    """
    try:
        found = _names(folder, options)
        if not is_url(folder):
            Path(folder).mkdir(parents=True, exist_ok=True)
    except Exception as error:  # each of fsspec's file systems has errors of its own
        raise DatasetError(
            f"a dataframe can't be written to {shown_url(folder)!r}: "
            f"{shown_text(f'{type(error).__name__}: {error}')}. Give a folder that this user can "
            "write."
        ) from error
    if found:
        raise DatasetError(
            f"a dataframe can't be written to {shown_url(folder)!r}: {found[0]!r} is there "
            "already. Give an empty folder or a new one."
        )
    element = DataPath(_Folder(folder, dict(options))) if is_url(folder) else folder
    try:
        yield ParquetSource((element,), str(Path.cwd()), by_group=True)
    except BaseException:
        _clear(folder, options)
        raise


def _names(folder: str, options: Mapping[str, Any]) -> list[str]:
    if not is_url(folder):
        path = Path(folder)
        return sorted(entry.name for entry in path.iterdir()) if path.exists() else []
    try:
        return sorted(RemoteFolder(folder, options).find(1))
    except FileNotFoundError:
        return []


def _clear(folder: str, options: Mapping[str, Any]) -> None:
    """Remove a folder that was opened here and what was written there, as far as that goes.

    Tasks that can't be stopped may still be writing: it is renamed before it is removed, and from
    then on they find no folder.
    """
    with suppress(Exception):  # what ended the writing is what is told
        if is_url(folder):
            remote = RemoteFolder(folder, options)
            for name in _names(folder, options):
                remote.system.rm_file(remote.path(name))
            return
        away = Path(f"{folder}.{uuid4().hex[:12]}")
        Path(folder).rename(away)
        shutil.rmtree(away, ignore_errors=True)


def check_written(folder: str, names: Sequence[str], options: Mapping[str, Any]) -> None:
    """Check that all files are here: workers may have another folder under this name."""
    missing = sorted(set(names) - set(_names(folder, options)))
    if missing:
        raise DatasetError(
            f"the workers wrote {len(missing)} of the dataframe's files where this process does "
            f"not see them, such as {missing[0]!r} in {shown_url(folder)!r}: that folder is "
            "another one there. Give a folder that all share, or a URL."
        )


def holder(frame: Any) -> Any:
    """Return the client on whose cluster a Dask dataframe is persisted, None for none.

    No other scheduler can compute it, whichever is the current one.
    """
    if "distributed" not in sys.modules:
        return None
    from distributed.client import futures_of

    look: Any = futures_of  # without types
    held = look(frame)
    return held[0].client if held else None


def writes(
    write: Callable[..., int],
    partitions: Sequence[Any],
    folder: str,
    names: Sequence[str],
    sizes: Any,
    options: Mapping[str, Any],
) -> list[Any]:
    """Return what writes each partition of a Dask dataframe to its file when it is computed."""
    one = dask.delayed(write, pure=False)
    told = dask.delayed(Hidden(dict(options)), traverse=False)
    pairs = zip(partitions, names, strict=True)
    return [one(partition, folder, name, sizes, told) for partition, name in pairs]


class Hidden:
    """Storage options that don't show in a graph."""

    def __init__(self, options: StorageOptions) -> None:
        self.options = options

    def __repr__(self) -> str:
        return "<storage options>"


def write_frame(
    frame: pd.DataFrame, folder: str, name: str, mini_batch_size: int, options: Hidden
) -> int:
    """Write a partition; runs where it is. Gives the number of rows."""
    table = to_table(frame, f"from_dask_dataframe(), partition of {name}", whole=False)
    write_part(table, folder, name, mini_batch_size, options.options)
    return int(table.num_rows)


def write_part(
    table: pa.Table,
    folder: str,
    name: str,
    mini_batch_size: int | Sequence[int],
    options: Mapping[str, Any],
) -> None:
    """Write a file, whole or not at all: it may be written again while it is read.

    Its row groups are of ``mini_batch_size`` bytes, or of as many rows as it lists. Raises
    DatasetError: the folder, which :func:`opened_folder` has made, is not seen here.
    """
    if not is_url(folder):
        # Not made here: that would bring back the folder of a submit that has failed meanwhile.
        if not Path(folder).is_dir():
            raise DatasetError(
                f"a dataframe can't be written to {folder!r} on {socket.gethostname()}: that "
                "folder is not there. Give a folder that all workers share, or a URL."
            )
        with written_aside(Path(folder) / name) as aside:
            _write(table, aside, mini_batch_size)
        return
    with tempfile.TemporaryDirectory(prefix="daskrun-frame-") as local:
        _write(table, f"{local}/{name}", mini_batch_size)
        remote = RemoteFolder(folder, options)
        remote.system.makedirs(remote.base, exist_ok=True)  # nothing, for an object store
        remote.system.put_file(f"{local}/{name}", remote.path(name))


def _write(table: pa.Table, path: str, mini_batch_size: int | Sequence[int]) -> None:
    told = {"columns": columns_of(table), "dictionaries": category_values(table)}
    metadata = {**(table.schema.metadata or {}), FRAME_KEY: json.dumps(told).encode()}
    table = table.replace_schema_metadata(metadata)
    if isinstance(mini_batch_size, int):
        rows = rows_per_group(table, mini_batch_size)
        pq.write_table(table, path, row_group_size=rows)
    else:
        with pq.ParquetWriter(path, table.schema) as writer:
            start = 0
            for rows in mini_batch_size:
                writer.write_table(table.slice(start, rows), row_group_size=rows)
                start += rows
    with open(path, "rb") as file:  # noqa: PTH123  (the descriptor is what is wanted)
        os.fsync(file.fileno())
