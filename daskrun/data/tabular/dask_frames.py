"""A Dask dataframe whose partitions are the mini-batches of a run, and tables written by Dask."""

from __future__ import annotations

import atexit
import pickle
import shutil
import sys
import tempfile
import threading
from dataclasses import replace
from hashlib import blake2b
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from daskrun.data.libraries import dask, dd
from daskrun.data.tabular.collect import PieceLoader, Table, empty, frames_of, plan_of, warn_of
from daskrun.data.tabular.loading.table_spec import TableSpec
from daskrun.data.tabular.values.coercion import listed
from daskrun.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from daskrun.core.minibatch import PlanInput
    from daskrun.data.tabular.planning.table_plan import TablePlan

_KEPT = 8
"""Datasets whose open files and readers a thread keeps."""

_here = threading.local()
_folder_lock = threading.Lock()
_folders: dict[str, str] = {}


@atexit.register
def _forget() -> None:
    """Close what the main thread holds while Python can still do so."""
    _here.__dict__.clear()


def to_dask(dataset: Table, mini_batch_size: int | str) -> Any:
    """Make the dataframe; see ``TabularDataset.to_dask_dataframe``."""
    plan = plan_of(dataset, mini_batch_size)
    warn_of(plan)
    meta = empty(plan)
    # With it on, Dask turns pandas' str into string[pyarrow]: not what run() gets.
    with dask.config.set({"dataframe.convert-string": False}):
        if not plan.known:
            return dd.from_pandas(meta, npartitions=1)
        # Categories are those of the rows read together: Dask must not take any for all there are.
        cleared = dd.utils.clear_known_categories(meta)
        if held_here(plan):
            return dd.from_map(_itself, frames_of(plan), meta=cleared, label="daskrun-table")
        read = ReadMiniBatch(plan)
        kinds = meta.dtypes.items()
        read.orders = {str(name): kind for name, kind in kinds if getattr(kind, "ordered", False)}
        return dd.from_map(read, loads(plan), meta=cleared, label="daskrun-table")


def loads(plan: TablePlan) -> list[bytes]:
    """Encode what each mini-batch loads: bytes, which Dask neither traverses nor takes for keys."""
    return [pickle.dumps(plan[index].load.plain(), 5) for index in range(plan.known)]


def held_here(plan: TablePlan) -> bool:
    """Return whether the rows are in this process: each task would carry them to its worker."""
    return _spec(plan.inputs[0]).reader.in_memory


def _spec(source: PlanInput) -> TableSpec:
    assert source.table is not None, "the plan is of a table"
    return TableSpec.of(source.table)


def _itself(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


class ReadMiniBatch:
    """Loads a mini-batch in whatever process Dask calls it.

    It holds the secrets of a remote input: they are in no ``repr`` and no key.
    """

    orders: Mapping[str, Any] = MappingProxyType({})
    """Dtypes of ordered categories, which Dask joins only where they are the same."""

    def __init__(self, plan: TablePlan) -> None:
        self.token = plan.fingerprint()
        self._source = plan.inputs[0]
        # A new password is the same data, and yet not for a loader that has the old one.
        secret = repr(self._source.storage_options).encode("utf-8", "surrogateescape")
        self._secret = blake2b(secret, digest_size=16).digest()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.token}>"

    def __dask_tokenize__(self) -> tuple[str, str]:
        return type(self).__name__, self.token

    def __call__(self, load: bytes, columns: list[str] | None = None) -> pd.DataFrame:
        """Load one; ``columns``: only these, which Dask asks for where no others are needed."""
        loader = self.loader(columns)
        try:
            return self._checked(loader.frame(pickle.loads(load)))
        finally:
            if not _spec(self._source).reader.of_files:
                loader.close()  # by the next time the database may be another

    def _checked(self, frame: pd.DataFrame) -> pd.DataFrame:
        for name in self.orders.keys() & set(frame.columns):
            found: Any = frame[name].dtype
            if found != self.orders[name]:
                raise TableError(
                    f"column {name!r}: a mini-batch has the ordered categories "
                    f"{listed([*found.categories])}, where the files that its type is from have "
                    f"{listed([*self.orders[name].categories])}, and Dask joins only the same. "
                    f"Have text: set_column_types={{{name!r}: DataType.to_string()}}.",
                    len(frame),
                    lasting=True,
                )
        return frame

    def loader(self, columns: list[str] | None = None) -> PieceLoader:
        """Return this thread's loader, which keeps files open from one mini-batch to the next."""
        kept: dict[Any, tuple[PieceLoader, str]] = _here.__dict__.setdefault("loaders", {})
        key = self.token, self._secret, None if columns is None else tuple(columns)
        if key not in kept:
            while len(kept) >= _KEPT:
                _, folder = kept.pop(next(iter(kept)))
                shutil.rmtree(folder, ignore_errors=True)
            source = self._source
            if columns is not None:
                source = replace(source, table=_spec(source).narrowed(columns).plain())
            folder = tempfile.mkdtemp(dir=_folder())
            kept[key] = PieceLoader(source, folder), folder
        return kept[key][0]


def _folder() -> str:
    """Return the folder for what this process brings: a Dask worker's own, else one for the day."""
    base = _worker_folder()
    with _folder_lock:
        if base not in _folders:
            made = tempfile.mkdtemp(prefix="daskrun-dask-", dir=base or None)
            atexit.register(shutil.rmtree, made, ignore_errors=True)
            _folders[base] = made
        return _folders[base]


def _worker_folder() -> str:
    if "distributed" in sys.modules:
        from distributed import get_worker

        try:
            return str(get_worker().local_directory)  # cleared when the worker ends, or died
        except ValueError:  # this is no worker
            pass
    return ""
