"""A step's tables shuffled before it begins, where ``partition_by`` asks for that."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.core.settings import ASIDE
from daskrun.data.dataset_codec import with_places
from daskrun.data.tabular.tabular_dataset import TabularDataset
from daskrun.pipeline.records.run_output import KeptPlace
from daskrun.pipeline.steps.inputs import scheduler_of

if TYPE_CHECKING:
    from daskrun.data.items import Items
    from daskrun.pipeline.records.step_spec import StepSpec
    from daskrun.pipeline.steps.inputs import Input
    from daskrun.workspace.run_folders.run_folder import RunFolder
    from daskrun.workspace.workspace import Workspace

SHUFFLED = "inputs/shuffled"
"""Folder, beside that of dataframes: it goes with them."""


def shuffled(spec: StepSpec, run: RunFolder, target: object, workspace: Workspace) -> StepSpec:
    """Return the spec of a run that hasn't begun, its tables as files of a row group a mini-batch.

    They lie beside the output; where that is no folder, in the run's own, which may be behind a
    URL. What is kept of the step names them, for a resume.
    """
    # Here: pandas and Dask take a second, and few steps ask.
    from daskrun.data.tabular.shuffle import shuffled as written

    keys = spec.settings.partition_by
    assert keys is not None
    output = spec.output.folder if spec.output is not None else None
    base = run.url or str(run.path) if output is None else str(output / ASIDE / run.id)
    options = dict(workspace.site.options) if base == run.url else {}
    if base != run.url:  # what a driver that was killed left
        with suppress(OSError):
            shutil.rmtree(Path(base, SHUFFLED))
    made: list[Input] = []
    with scheduler_of(target) as scheduler:
        for number, each in enumerate(spec.inputs):
            assert isinstance(each.dataset, TabularDataset)
            folder = f"{base}/{SHUFFLED}/{number}"
            source = written(each.dataset, keys, folder, options, scheduler)
            dataset: Items = TabularDataset(source)
            if base == run.url:
                place = KeptPlace(workspace, run.id, f"{SHUFFLED}/{number}")
                dataset = with_places(dataset, lambda _, place=place: place)  # type: ignore[misc]
            made.append(replace(each, dataset=dataset, is_shuffled=True))
    spec = replace(spec, inputs=tuple(made))
    spec.keep(run, workspace)
    return spec
