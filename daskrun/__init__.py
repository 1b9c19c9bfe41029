"""Run a model, or any Python, over all your data: an entry script, a dataset, and Dask.

Each name below is loaded when it is first used, so that ``import daskrun`` costs next to nothing
and a script process loads only what its script asks for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daskrun.data.consumption import DatasetConsumptionConfig
    from daskrun.data.dataset import Dataset, FileDataset
    from daskrun.data.tabular.dataset import TabularDataset
    from daskrun.data.tabular.types import DataType
    from daskrun.errors import (
        ComputeTargetException,
        DaskrunError,
        DatasetError,
        EntryScriptError,
        NameNotFoundError,
        OriginalImportError,
        OriginalNameError,
        PartError,
        ResumeError,
        RunCanceledError,
        RunFailedError,
        SettingsError,
        StorageError,
        TableError,
        WaitTimeoutError,
        WorkspaceError,
        WrongResultError,
    )
    from daskrun.pipeline.config import ParallelRunConfig
    from daskrun.pipeline.data import PipelineData
    from daskrun.pipeline.details import RunDetails
    from daskrun.pipeline.experiment import Experiment
    from daskrun.pipeline.metrics import Run
    from daskrun.pipeline.output_config import OutputFileDatasetConfig
    from daskrun.pipeline.parameter import PipelineParameter
    from daskrun.pipeline.pipeline import Pipeline
    from daskrun.pipeline.published import PublishedPipeline
    from daskrun.pipeline.run import PipelineRun, StepRun
    from daskrun.pipeline.script_step import PythonScriptStep
    from daskrun.pipeline.step import ParallelRunStep
    from daskrun.script.entry_script import EntryScript
    from daskrun.workspace.compute import AmlCompute, ComputeTarget
    from daskrun.workspace.datastore import Datastore
    from daskrun.workspace.dependencies import CondaDependencies
    from daskrun.workspace.environment import DEFAULT_CPU_IMAGE, DEFAULT_GPU_IMAGE, Environment
    from daskrun.workspace.model import Model
    from daskrun.workspace.options import EnvironmentVariable
    from daskrun.workspace.workspace import Workspace

__all__ = [
    "DEFAULT_CPU_IMAGE",
    "DEFAULT_GPU_IMAGE",
    "AmlCompute",
    "ComputeTarget",
    "ComputeTargetException",
    "CondaDependencies",
    "DaskrunError",
    "DataType",
    "Dataset",
    "DatasetConsumptionConfig",
    "DatasetError",
    "Datastore",
    "EntryScript",
    "EntryScriptError",
    "Environment",
    "EnvironmentVariable",
    "Experiment",
    "FileDataset",
    "Model",
    "NameNotFoundError",
    "OriginalImportError",
    "OriginalNameError",
    "OutputFileDatasetConfig",
    "ParallelRunConfig",
    "ParallelRunStep",
    "PartError",
    "Pipeline",
    "PipelineData",
    "PipelineParameter",
    "PipelineRun",
    "PublishedPipeline",
    "PythonScriptStep",
    "ResumeError",
    "Run",
    "RunCanceledError",
    "RunDetails",
    "RunFailedError",
    "SettingsError",
    "StepRun",
    "StorageError",
    "TableError",
    "TabularDataset",
    "WaitTimeoutError",
    "Workspace",
    "WorkspaceError",
    "WrongResultError",
]

_HOMES = {
    "data.consumption": ("DatasetConsumptionConfig",),
    "data.dataset": ("Dataset", "FileDataset"),
    "data.tabular.dataset": ("TabularDataset",),
    "data.tabular.types": ("DataType",),
    "errors": (
        "ComputeTargetException",
        "DaskrunError",
        "DatasetError",
        "EntryScriptError",
        "NameNotFoundError",
        "OriginalImportError",
        "OriginalNameError",
        "PartError",
        "ResumeError",
        "RunCanceledError",
        "RunFailedError",
        "SettingsError",
        "StorageError",
        "TableError",
        "WaitTimeoutError",
        "WorkspaceError",
        "WrongResultError",
    ),
    "pipeline.config": ("ParallelRunConfig",),
    "pipeline.data": ("PipelineData",),
    "pipeline.details": ("RunDetails",),
    "pipeline.experiment": ("Experiment",),
    "pipeline.metrics": ("Run",),
    "pipeline.output_config": ("OutputFileDatasetConfig",),
    "pipeline.parameter": ("PipelineParameter",),
    "pipeline.pipeline": ("Pipeline",),
    "pipeline.published": ("PublishedPipeline",),
    "pipeline.run": ("PipelineRun", "StepRun"),
    "pipeline.script_step": ("PythonScriptStep",),
    "pipeline.step": ("ParallelRunStep",),
    "script.entry_script": ("EntryScript",),
    "workspace.compute": ("AmlCompute", "ComputeTarget"),
    "workspace.datastore": ("Datastore",),
    "workspace.dependencies": ("CondaDependencies",),
    "workspace.environment": ("DEFAULT_CPU_IMAGE", "DEFAULT_GPU_IMAGE", "Environment"),
    "workspace.model": ("Model",),
    "workspace.options": ("EnvironmentVariable",),
    "workspace.workspace": ("Workspace",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load an exported name from its file."""
    if name == "__version__":
        from importlib.metadata import version  # seldom asked for, and 20 ms to import

        return version(__name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # the next use finds it without coming here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
