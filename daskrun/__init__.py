"""Run a model, or any Python, over all your data: an entry script, a dataset, and Dask.

Each name below is loaded when it is first used, so that ``import daskrun`` costs next to nothing
and a script process loads only what its script asks for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daskrun.core.events import Observer
    from daskrun.core.outcome import Status
    from daskrun.core.report import ExitCode
    from daskrun.data.datasets import Dataset
    from daskrun.data.file_dataset import FileDataset
    from daskrun.data.items import DatasetConsumptionConfig
    from daskrun.data.tabular.tabular_dataset import TabularDataset
    from daskrun.data.tabular.values.types import DataType
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
        WrongArgumentsError,
        WrongResultError,
    )
    from daskrun.jobs.job import Job, load_job
    from daskrun.output.sinks.sink import CommittedRows, EncodedRows, Sink
    from daskrun.pipeline.runs.details import RunDetails
    from daskrun.pipeline.runs.experiment import Experiment
    from daskrun.pipeline.runs.metrics import Run
    from daskrun.pipeline.runs.pipeline import Pipeline
    from daskrun.pipeline.runs.published import PublishedPipeline
    from daskrun.pipeline.runs.run import PipelineRun, StepRun
    from daskrun.pipeline.steps.config import ParallelRunConfig
    from daskrun.pipeline.steps.output_config import OutputFileDatasetConfig
    from daskrun.pipeline.steps.outputs import PipelineData
    from daskrun.pipeline.steps.parallel_step import ParallelRunStep
    from daskrun.pipeline.steps.parameter import PipelineParameter
    from daskrun.pipeline.steps.script_step import PythonScriptStep
    from daskrun.script.entry_script import EntryScript
    from daskrun.script.failed import Failed
    from daskrun.workspace.compute.targets import AmlCompute, ComputeTarget
    from daskrun.workspace.datastores.datastore import Datastore
    from daskrun.workspace.datastores.datastore_options import EnvironmentVariable
    from daskrun.workspace.environments.dependencies import CondaDependencies
    from daskrun.workspace.environments.environment import (
        DEFAULT_CPU_IMAGE,
        DEFAULT_GPU_IMAGE,
        Environment,
    )
    from daskrun.workspace.models.model import Model
    from daskrun.workspace.workspace import Workspace

__all__ = [
    "DEFAULT_CPU_IMAGE",
    "DEFAULT_GPU_IMAGE",
    "AmlCompute",
    "CommittedRows",
    "ComputeTarget",
    "ComputeTargetException",
    "CondaDependencies",
    "DaskrunError",
    "DataType",
    "Dataset",
    "DatasetConsumptionConfig",
    "DatasetError",
    "Datastore",
    "EncodedRows",
    "EntryScript",
    "EntryScriptError",
    "Environment",
    "EnvironmentVariable",
    "ExitCode",
    "Experiment",
    "Failed",
    "FileDataset",
    "Job",
    "Model",
    "NameNotFoundError",
    "Observer",
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
    "Sink",
    "Status",
    "StepRun",
    "StorageError",
    "TableError",
    "TabularDataset",
    "WaitTimeoutError",
    "Workspace",
    "WorkspaceError",
    "WrongArgumentsError",
    "WrongResultError",
    "load_job",
]

_HOMES = {
    "core.events": "Observer",
    "core.outcome": "Status",
    "core.report": "ExitCode",
    "data.datasets": "Dataset",
    "data.file_dataset": "FileDataset",
    "data.items": "DatasetConsumptionConfig",
    "data.tabular.tabular_dataset": "TabularDataset",
    "data.tabular.values.types": "DataType",
    "errors": (
        "ComputeTargetException DaskrunError DatasetError EntryScriptError NameNotFoundError "
        "OriginalImportError OriginalNameError PartError ResumeError RunCanceledError "
        "RunFailedError SettingsError StorageError TableError WaitTimeoutError WorkspaceError "
        "WrongArgumentsError WrongResultError"
    ),
    "jobs.job": "Job load_job",
    "output.sinks.sink": "CommittedRows EncodedRows Sink",
    "pipeline.runs.details": "RunDetails",
    "pipeline.runs.experiment": "Experiment",
    "pipeline.runs.metrics": "Run",
    "pipeline.runs.pipeline": "Pipeline",
    "pipeline.runs.published": "PublishedPipeline",
    "pipeline.runs.run": "PipelineRun StepRun",
    "pipeline.steps.config": "ParallelRunConfig",
    "pipeline.steps.output_config": "OutputFileDatasetConfig",
    "pipeline.steps.outputs": "PipelineData",
    "pipeline.steps.parallel_step": "ParallelRunStep",
    "pipeline.steps.parameter": "PipelineParameter",
    "pipeline.steps.script_step": "PythonScriptStep",
    "script.entry_script": "EntryScript",
    "script.failed": "Failed",
    "workspace.compute.targets": "AmlCompute ComputeTarget",
    "workspace.datastores.datastore": "Datastore",
    "workspace.datastores.datastore_options": "EnvironmentVariable",
    "workspace.environments.dependencies": "CondaDependencies",
    "workspace.environments.environment": "DEFAULT_CPU_IMAGE DEFAULT_GPU_IMAGE Environment",
    "workspace.models.model": "Model",
    "workspace.workspace": "Workspace",
}
"""By module what of it is exported."""
_HOME = {name: f"daskrun.{home}" for home, names in _HOMES.items() for name in names.split()}

LINKS = {
    "experiments": "daskrun.pipeline.runs.experiment:Experiment",
    "original_keyword": "daskrun.original.catalogue:keyword",
    "original_member": "daskrun.original.catalogue:member",
    "script_names": "daskrun.original.finder:offer",
}
"""What a lower floor asks of a higher one, ``module:attribute`` by its name there."""


def __getattr__(name: str) -> object:
    """Load an exported name from its file."""
    if name == "__version__":
        from importlib.metadata import version  # seldom asked for, and 20 ms to import

        return version(__name__)
    from daskrun.core.plugins import lazy  # `import daskrun` itself loads nothing

    return lazy(__name__, _HOME)[0](name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
