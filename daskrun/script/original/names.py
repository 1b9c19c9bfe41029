"""Which names there are in which module of the original, and what they are in daskrun."""

from __future__ import annotations

ROOTS = ("azureml", "azureml_user")
"""What the modules' full names begin with."""

SHARED = ("azureml", "azureml.contrib")
"""Packages that others, such as ``azureml-opendatasets``, may put modules into."""

_SAME = {
    "azureml": "",
    "azureml.contrib": "",
    "azureml.contrib.pipeline": "",
    "azureml.contrib.pipeline.steps": "ParallelRunConfig ParallelRunStep",
    "azureml.core": "ComputeTarget Dataset Datastore Environment Experiment Model Run",
    "azureml.core.compute": "AmlCompute ComputeTarget",
    "azureml.core.compute.amlcompute": "AmlCompute",
    "azureml.core.compute.compute": "ComputeTarget",
    "azureml.core.compute_target": "ComputeTargetException",
    "azureml.core.conda_dependencies": "CondaDependencies",
    "azureml.core.dataset": "Dataset",
    "azureml.core.datastore": "Datastore",
    "azureml.core.environment": "CondaDependencies Environment",
    "azureml.core.experiment": "Experiment",
    "azureml.core.model": "Model",
    "azureml.core.run": "Run",
    "azureml.core.runconfig": "CondaDependencies DEFAULT_CPU_IMAGE DEFAULT_GPU_IMAGE",
    "azureml.core.workspace": "",
    "azureml.data": "DataType FileDataset OutputFileDatasetConfig TabularDataset",
    "azureml.data.abstract_dataset": "",
    "azureml.data.abstract_datastore": "",
    "azureml.data.constants": "",
    "azureml.data.datapath": "",
    "azureml.data.dataset_consumption_config": "DatasetConsumptionConfig",
    "azureml.data.dataset_error_handling": "",
    "azureml.data.dataset_factory": "DataType",
    "azureml.data.dataset_type_definitions": "",
    "azureml.data.file_dataset": "FileDataset",
    "azureml.data.output_dataset_config": "OutputFileDatasetConfig",
    "azureml.data.tabular_dataset": "TabularDataset",
    "azureml.exceptions": "ComputeTargetException",
    "azureml.pipeline": "",
    "azureml.pipeline.core": (
        "Pipeline PipelineData PipelineParameter PipelineRun PublishedPipeline StepRun"
    ),
    "azureml.pipeline.core.builder": "PipelineData",
    "azureml.pipeline.core.graph": "PipelineParameter PublishedPipeline",
    "azureml.pipeline.core.pipeline": "Pipeline",
    "azureml.pipeline.core.run": "PipelineRun StepRun",
    "azureml.pipeline.steps": "ParallelRunConfig ParallelRunStep PythonScriptStep",
    "azureml.pipeline.steps.parallel_run_config": "ParallelRunConfig",
    "azureml.pipeline.steps.parallel_run_step": "ParallelRunStep",
    "azureml.pipeline.steps.python_script_step": "PythonScriptStep",
    "azureml.train": "",
    "azureml.widgets": "RunDetails",
    "azureml_user": "",
    "azureml_user.parallel_run": "EntryScript",
}
"""By module, the names that ``daskrun`` has too."""

_COMPUTE = "daskrun.workspace.compute.targets"
_PROVISIONING = "daskrun.workspace.compute.provisioning"
_OTHERS = {
    "azureml.core": {
        "VERSION": "daskrun.workspace.original:VERSION",
        "Workspace": "daskrun.workspace.original:Workspace",
    },
    "azureml.core.compute.amlcompute": {
        "AmlComputeProvisioningConfiguration": f"{_PROVISIONING}:ProvisioningConfiguration",
        "AmlComputeStatus": f"{_COMPUTE}:ComputeStatus",
    },
    "azureml.core.environment": {
        "DockerSection": "daskrun.workspace.environments.sections:DockerSection",
        "PythonSection": "daskrun.workspace.environments.sections:PythonSection",
        "SparkSection": "daskrun.workspace.environments.sections:SparkSection",
    },
    "azureml.core.workspace": {"Workspace": "daskrun.workspace.original:Workspace"},
    "azureml.data.abstract_dataset": {
        "AbstractDataset": "daskrun.data.registration:Registered",
    },
    "azureml.data.abstract_datastore": {"AbstractDatastore": "daskrun:Datastore"},
    "azureml.data.constants": {
        "WORKSPACE_BLOB_DATASTORE": "daskrun.workspace.layout:DEFAULT_DATASTORE",
    },
    "azureml.data.datapath": {"DataPath": "daskrun.data.original:DataPath"},
    "azureml.data.dataset_error_handling": {
        "DatasetExecutionError": "daskrun:DatasetError",
        "DatasetValidationError": "daskrun:DatasetError",
    },
    "azureml.data.dataset_factory": {
        "FileDatasetFactory": "daskrun.data.file_dataset:FileDatasetFactory",
        "TabularDatasetFactory": "daskrun.data.tabular.factory:TabularDatasetFactory",
    },
    "azureml.data.dataset_type_definitions": {
        "PromoteHeadersBehavior": "daskrun.data.original:PromoteHeadersBehavior",
    },
    "azureml.exceptions": {
        "ActivityFailedException": "daskrun:RunFailedError",
        "AzureMLException": "daskrun:DaskrunError",
        "ExperimentExecutionException": "daskrun:RunFailedError",
        "ModelNotFoundException": "daskrun:NameNotFoundError",
        "ModelPathNotFoundException": "daskrun:SettingsError",
        "RunEnvironmentException": "daskrun:EntryScriptError",
        "UserErrorException": "daskrun:DaskrunError",
        "WorkspaceException": "daskrun:WorkspaceError",
    },
    "azureml.pipeline.core": {
        "PipelineStep": "daskrun.pipeline.steps.base:PipelineStep",
        "PortDataReference": "daskrun.pipeline.steps.outputs:PortDataReference",
    },
    "azureml.pipeline.core.builder": {"PipelineStep": "daskrun.pipeline.steps.base:PipelineStep"},
    "azureml.pipeline.core.run": {
        "PortDataReference": "daskrun.pipeline.steps.outputs:PortDataReference",
    },
}
"""By module, names that stand for something else, ``module:name``."""

NAMES: dict[str, dict[str, str]] = {
    module: {name: f"daskrun:{name}" for name in names.split()} | _OTHERS.get(module, {})
    for module, names in _SAME.items()
}
"""By module, each name and where it comes from, ``module:name``."""
