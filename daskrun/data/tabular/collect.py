"""A dataset's mini-batches made in this process: planned, brought, loaded, one after the other."""

from __future__ import annotations

import tempfile
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from daskrun.core.rules import parse_size
from daskrun.core.warned import subject
from daskrun.data.libraries import pa, pd
from daskrun.data.tabular.formats.node_cache import NodeCache
from daskrun.data.tabular.loading.load import TableLoader
from daskrun.data.tabular.loading.local_fetch import BroughtHere, complete_here
from daskrun.data.tabular.planning.table_plan import TablePlan, no_size
from daskrun.data.tabular.values.frame import exact_floats, ordered_union, to_frame
from daskrun.shown.printable import safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daskrun.core.minibatch import PlanInput
    from daskrun.data.tabular.planning.resolve import TableInput

_SIZE = 64 * 1024 * 1024
"""Bytes of a file read at a time where all rows are wanted: what is in memory beside the result."""


class Table(Protocol):
    """A tabular dataset, as far as what reads all of it knows it."""

    def readable(self, mini_batch_size: int) -> Table:
        """Return the same dataset, a dataframe in a form that can be cut to this size."""

    def resolve(self) -> TableInput:
        """Find out all that can be known before rows are read."""


def plan_of(dataset: Table, mini_batch_size: int | str) -> TablePlan:
    """Plan all mini-batches of one dataset, looking at the files where that is needed.

    Raises DatasetError: the size is none, or the dataset can't be read.
    """
    size = 0
    with suppress(ValueError):
        size = parse_size(mini_batch_size)
    if size < 1:
        raise no_size(mini_batch_size)
    plan = TablePlan([("input_0", dataset.readable(size).resolve())], size)
    complete_here(plan)
    return plan


class PieceLoader:
    """Loads mini-batches of one input in this process; not for several threads at a time."""

    def __init__(self, source: PlanInput, folder: str) -> None:
        self._source = source
        cache = NodeCache(f"{folder}/cache")
        self._here = BroughtHere(Path(folder) / "brought", cache)
        self._loader = TableLoader(source, cache)
        self._told: set[str] = set()

    def frame(self, load: tuple[Any, ...]) -> pd.DataFrame:
        """Load a mini-batch, from its plain load."""
        _, pieces, slices, _ = load
        try:
            return self._loader.load(pieces, self._here.bring(self._source, load), slices)
        finally:
            self._here.clear()
            self._warn()

    def close(self) -> None:
        """Let go of what is held open."""
        self._loader.close()

    def _warn(self) -> None:
        for text in self._loader.warnings:
            if subject(text) not in self._told:
                self._told.add(subject(text))
                warnings.warn(safe(text), stacklevel=2)


@contextmanager
def loader_of(plan: TablePlan) -> Iterator[PieceLoader]:
    """Yield what loads the mini-batches of a plan over one input; what it keeps is removed."""
    with tempfile.TemporaryDirectory(prefix="daskrun-table-") as folder:
        loader = PieceLoader(plan.inputs[0], folder)
        try:
            yield loader
        finally:
            loader.close()


def warn_of(plan: TablePlan) -> None:
    """Tell once what was found when the schema was inferred, such as ambiguous dates."""
    for source in plan.inputs:
        for text in source.warnings:
            warnings.warn(safe(text), stacklevel=3)


def to_pandas(dataset: Table) -> pd.DataFrame:
    """Read all rows; see ``TabularDataset.to_pandas_dataframe``."""
    plan = plan_of(dataset, _SIZE)
    warn_of(plan)
    frames = frames_of(plan)
    return _joined([frame for frame in frames if len(frame)] or frames[:1] or [empty(plan)])


def frames_of(plan: TablePlan) -> list[pd.DataFrame]:
    """Load all mini-batches of a plan over one input."""
    with loader_of(plan) as loader:
        return [loader.frame(plan[index].load.plain()) for index in range(plan.known)]


def empty(plan: TablePlan) -> pd.DataFrame:
    """Return a mini-batch of a plan over one input, without its rows: columns and dtypes."""
    return TableLoader(plan.inputs[0], NodeCache("")).meta()  # reads, so keeps, nothing


def schema(plan: TablePlan) -> pa.Schema:
    """Return the Arrow types of the mini-batches of a plan over one input."""
    return TableLoader(plan.inputs[0], NodeCache("")).schema()


def _joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    if len(frames) == 1:
        return frames[0]
    frames = _as_text([*frames])
    _check_exact(frames)
    for name, dtype in frames[0].dtypes.items():
        if str(dtype) != "category" or all(frame[name].dtype == dtype for frame in frames):
            continue
        # Categories are those of the rows read together: joined as they are, they'd be text.
        whole: Any
        if dtype.ordered:
            whole = ordered_union(str(name), (frame[name].cat.categories for frame in frames))
        else:
            whole = pd.api.types.union_categoricals([frame[name] for frame in frames]).categories
        frames = [f.assign(**{str(name): f[name].cat.set_categories(whole)}) for f in frames]
    return pd.concat(frames, ignore_index=True)


def _as_text(frames: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Have columns as text that are so in some mini-batches (``on_type_conflict="text"``)."""
    text = to_frame(pa.table({"": [""]})).dtypes.iloc[0]
    dtypes = [list(frame.dtypes) for frame in frames]
    for at, name in enumerate(map(str, frames[0].columns)):
        kinds = {each[at] for each in dtypes}
        if len(kinds) == 1 or text not in kinds:
            continue
        for number, frame in enumerate(frames):
            if dtypes[number][at] != text:
                plain = pa.array(frame.iloc[:, at], from_pandas=True).cast(pa.string())
                frames[number] = frame.assign(**to_frame(pa.table({name: plain})))
    return frames


def _check_exact(frames: list[pd.DataFrame]) -> None:
    """Fail where whole numbers would be rounded since other mini-batches have float64."""
    dtypes = [list(frame.dtypes) for frame in frames]
    for at, name in enumerate(frames[0].columns):
        kinds = {each[at].kind for each in dtypes}
        if "f" in kinds and kinds & {"i", "u"}:
            for frame, each in zip(frames, dtypes, strict=True):
                if each[at].kind in "iu":
                    exact_floats(str(name), pa.chunked_array([pa.array(frame.iloc[:, at])]))
