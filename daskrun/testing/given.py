"""The mini-batch that a script run alone is given: a list, a dataframe, or one of a dataset."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daskrun.core.minibatch import Descriptor
from daskrun.data.items import DatasetConsumptionConfig, Items
from daskrun.data.loading import MiniBatchPaths
from daskrun.data.tabular.tabular_dataset import TabularDataset
from daskrun.engine.request import INLINE
from daskrun.errors import DatasetError, SettingsError
from daskrun.pipeline.steps.inputs import kind_problems, make_plan, stored, with_size
from daskrun.script.fetching.inline import MiniBatchFiles
from daskrun.script.process.execute import Loader, MiniBatchContext, context_of
from daskrun.script.process.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from daskrun.core.settings import RunSettings


NAME = "input_0"
"""Of an input that was given none, as in a run."""
SUBJECT = "run_script"


@dataclass(frozen=True)
class Given:
    """A mini-batch that can be loaded."""

    load: Callable[[], tuple[Any, MiniBatchContext]]
    """Gives what ``run()`` gets, and its context."""
    warnings: Callable[[], list[str]]
    """Gives what its readers have to be warned of."""
    input_datasets: Mapping[str, Any]
    """What ``Run.get_context().input_datasets`` holds because of it."""


def given(
    mini_batch: object,
    index: int,
    settings: RunSettings,
    size: object,
    told: Mapping[str, Any],
    folder: Path,
) -> Given:
    """Return what ``run()`` is to get; arguments are as those of ``run_script``.

    ``size`` is ``mini_batch_size`` as it was written, ``told`` the fields of the context that the
    user gave, ``folder`` a temporary one.
    """
    problems = []
    if type(index) is not int or index < 0:
        problems.append(f"index={index!r} is not a number from 0. Write index=0.")
    dataset, name = _dataset(mini_batch)
    if dataset is not None:
        problems += kind_problems([dataset], size)
        problems += [
            f"{field}={value!r}: mini_batch is a dataset, and it says that itself. Leave it out."
            for field, value in told.items()
            if value is not None
        ]
    else:
        keys = settings.partition_keys and list(settings.partition_keys)
        cut = {"mini_batch_size": size, "partition_keys": keys}
        problems += _problems_of_data(mini_batch, cut)
    if problems:
        raise SettingsError(SUBJECT, problems)
    if dataset is not None:
        return _from_dataset(dataset, name, index, settings, folder)
    # Now: relative paths are meant in the caller's folder, which the script will not be in.
    loaded = _as_in_a_run(mini_batch, index), MiniBatchContext(index, NAME, **told)
    return Given(lambda: loaded, list, {})


def _dataset(mini_batch: object) -> tuple[Items | None, str]:
    if isinstance(mini_batch, DatasetConsumptionConfig):
        return mini_batch.resolve({}), mini_batch.name or NAME
    return (mini_batch if isinstance(mini_batch, Items) else None), NAME


def _is_frame(mini_batch: object) -> bool:
    pandas = sys.modules.get("pandas")  # loaded by whoever has made a dataframe
    return pandas is not None and isinstance(mini_batch, pandas.DataFrame)


def _problems_of_data(mini_batch: object, cut: Mapping[str, object]) -> list[str]:
    example = (
        "Give a list of paths, such as ['images/0.png'], a pandas.DataFrame, or a dataset and the "
        "index of one of its mini-batches."
    )
    if not _is_frame(mini_batch):
        if not isinstance(mini_batch, list | tuple):
            return [f"mini_batch={mini_batch!r} is of type {type(mini_batch).__name__}. {example}"]
        for number, path in enumerate(mini_batch):
            if not isinstance(path, str | os.PathLike):
                kind = type(path).__name__
                return [f"mini_batch[{number}]={path!r} is of type {kind}. {example}"]
    return [
        f"{name}={value!r} says how a dataset is cut, and mini_batch is none. Leave it out."
        for name, value in cut.items()
        if value is not None
    ]


def _as_in_a_run(mini_batch: Any, index: int) -> Any:
    """Return absolute paths, or a dataframe of its own with index 0..n-1."""
    if _is_frame(mini_batch):
        return mini_batch.reset_index(drop=True)
    return MiniBatchPaths(map(os.path.abspath, mini_batch), index)


def _from_dataset(
    dataset: Items, name: str, index: int, settings: RunSettings, folder: Path
) -> Given:
    """Cut the dataset as a run does, as far as it takes to know its mini-batch."""
    settings = with_size(settings, dataset.kind)
    asked = [(name, dataset)]
    plan = make_plan(stored(asked, f"{folder}/inputs", settings, INLINE, {}) or asked, settings)
    if not plan.complete:  # lists of files do without
        from daskrun.data.tabular.loading.local_fetch import complete_here

        complete_here(plan, index + 1)
    if index >= plan.known:
        last = f"{plan.known} mini-batches, 0 to {plan.known - 1}"
        there = "one mini-batch, 0" if plan.known == 1 else last
        raise DatasetError(f"index={index}: the dataset has {there}.")
    found = plan[index]
    load = found.load.plain()
    sources = plan.inputs
    tables = Tables(sources, str(folder / "cache"))
    loader = Loader(sources, tables, MiniBatchFiles(folder).fetched)
    descriptor = Descriptor(index, found.input, load, found.items, found.nbytes)

    def loaded() -> tuple[Any, MiniBatchContext]:
        mini_batch = loader.load(0, descriptor)
        return mini_batch, context_of(index, sources[found.input], load)

    def warnings() -> list[str]:
        return [*plan.inputs[found.input].warnings, *tables.new_warnings()]

    root = dataset if isinstance(dataset, TabularDataset) else sources[found.input].root
    return Given(loaded, warnings, {name: root})
