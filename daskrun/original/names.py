"""Which names there are in which module of the original, v1 and v2, and what they are here."""

from __future__ import annotations

ROOTS = ("azure", "azureml", "azureml_user", "entry_script", "mltable")
"""What the modules' full names begin with."""

SHARED = (
    *("azure", "azure.ai", "azure.core", "azure.core.exceptions", "azure.identity"),
    *("azureml", "azureml.contrib"),
    *("entry_script", "mltable"),
)
"""Packages that others, such as ``azureml-opendatasets``, may put modules into, and a name that a
script of the user's may have too: what is installed goes first."""

OTHERS = "azure"
"""A package most of whose modules the original has nothing to do with."""

_TABLE = """
azure
azure.ai
azure.ai.ml MLClient=jobs.client Input=jobs.v2 Output=jobs.v2 command=jobs.v2
    load_component=jobs.v2 load_job=jobs.v2
azure.ai.ml.constants AssetTypes=jobs.v2 InputOutputModes=jobs.v2
azure.ai.ml.dsl pipeline=jobs.v2
azure.ai.ml.entities AmlCompute=jobs.v2:Entity BatchRetrySettings=jobs.v2:Entity
    BuildContext=jobs.v2:Entity Data=jobs.v2:Entity Environment=jobs.v2:Entity
    JobResourceConfiguration=jobs.v2:Entity Model=jobs.v2:Entity
    ResourceConfiguration=jobs.v2:Entity RetrySettings=jobs.v2:Entity
azure.ai.ml.parallel RunFunction=jobs.v2 parallel_run_function=jobs.v2
azure.core
azure.core.exceptions ClientAuthenticationError=errors:StorageError
    HttpResponseError=errors:DaskrunError ResourceExistsError=errors:SettingsError
    ResourceNotFoundError=errors:NameNotFoundError
azure.identity AzureCliCredential=jobs.client:Credential
    ChainedTokenCredential=jobs.client:Credential ClientSecretCredential=jobs.client:Credential
    DefaultAzureCredential=jobs.client:Credential EnvironmentCredential=jobs.client:Credential
    InteractiveBrowserCredential=jobs.client:Credential
    ManagedIdentityCredential=jobs.client:Credential
azureml
azureml.contrib
azureml.contrib.pipeline
azureml.contrib.pipeline.steps ParallelRunConfig ParallelRunStep
azureml.core ComputeTarget Dataset Datastore Environment Model Run
    Experiment=original.script_run ScriptRunConfig=original.script_run
    RunConfiguration=workspace.environments.run_configuration
    VERSION=original.workspace Workspace=original.workspace
azureml.core.authentication AbstractAuthentication=original.absent
    ArcTokenAuthentication=original.absent AzureCliAuthentication=original.absent
    InteractiveLoginAuthentication=original.absent MsiAuthentication=original.absent
    ServicePrincipalAuthentication=original.absent TokenAuthentication=original.absent
azureml.core.compute AmlCompute ComputeTarget
azureml.core.compute.amlcompute AmlCompute
    AmlComputeProvisioningConfiguration=workspace.compute.provisioning:ProvisioningConfiguration
    AmlComputeStatus=workspace.compute.targets:ComputeStatus
azureml.core.compute.compute ComputeTarget
azureml.core.compute_target ComputeTargetException
azureml.core.conda_dependencies CondaDependencies
azureml.core.dataset Dataset
azureml.core.datastore Datastore
azureml.core.environment CondaDependencies DEFAULT_CPU_IMAGE DEFAULT_GPU_IMAGE Environment
    DockerSection=workspace.environments.sections PythonSection=workspace.environments.sections
    SparkSection=workspace.environments.sections
azureml.core.experiment Experiment=original.script_run
azureml.core.model Model
azureml.core.run Run _OfflineRun=pipeline.runs.metrics:OfflineRun
azureml.core.runconfig CondaDependencies DEFAULT_CPU_IMAGE DEFAULT_GPU_IMAGE Environment
    DockerConfiguration=workspace.environments.run_configuration
    EnvironmentDefinition=:Environment
    MpiConfiguration=workspace.environments.run_configuration
    RunConfiguration=workspace.environments.run_configuration
azureml.core.script_run_config ScriptRunConfig=original.script_run
azureml.core.workspace Workspace=original.workspace
azureml.data DataType FileDataset OutputFileDatasetConfig TabularDataset
    OutputTabularDatasetConfig=pipeline.steps.written:WrittenTable
azureml.data.abstract_dataset AbstractDataset=data.registration:Registered
azureml.data.abstract_datastore AbstractDatastore=:Datastore
azureml.data.azure_data_lake_datastore AzureDataLakeDatastore=:Datastore
    AzureDataLakeGen2Datastore=:Datastore
azureml.data.azure_storage_datastore AzureBlobDatastore=:Datastore AzureFileDatastore=:Datastore
azureml.data.constants WORKSPACE_BLOB_DATASTORE=workspace.layout:DEFAULT_DATASTORE
azureml.data.data_reference DataReference=original.data
azureml.data.datapath DataPath=original.data
    DataPathComputeBinding=pipeline.steps.parameter
azureml.data.dataset_consumption_config DatasetConsumptionConfig
azureml.data.dataset_error_handling DatasetExecutionError=:DatasetError
    DatasetValidationError=:DatasetError
azureml.data.dataset_factory DataType FileDatasetFactory=data.datasets
    TabularDatasetFactory=data.tabular.factory
azureml.data.dataset_type_definitions PromoteHeadersBehavior=original.data
azureml.data.file_dataset FileDataset
azureml.data.output_dataset_config OutputFileDatasetConfig
    OutputDatasetConfig=pipeline.steps.outputs:StepOutput
    OutputTabularDatasetConfig=pipeline.steps.written:WrittenTable
azureml.data.tabular_dataset TabularDataset
azureml.exceptions ComputeTargetException ActivityFailedException=:RunFailedError
    AzureMLException=:DaskrunError ExperimentExecutionException=:RunFailedError
    ModelNotFoundException=:NameNotFoundError ModelPathNotFoundException=:SettingsError
    RunEnvironmentException=:EntryScriptError UserErrorException=:DaskrunError
    WebserviceException=:NameNotFoundError WorkspaceException=:WorkspaceError
azureml.pipeline
azureml.pipeline.core Pipeline PipelineData PipelineParameter PipelineRun PublishedPipeline
    StepRun PipelineStep=pipeline.steps.base PortDataReference=pipeline.steps.outputs
    PipelineOutputFileDataset=original.data
    PipelineOutputTabularDataset=pipeline.steps.written:WrittenTable
    PipelineEndpoint=original.endpoint StepSequence=original.script_run
azureml.pipeline.core.builder PipelineData PipelineStep=pipeline.steps.base
    StepSequence=original.script_run
azureml.pipeline.core.graph PipelineParameter PublishedPipeline
azureml.pipeline.core.pipeline Pipeline
azureml.pipeline.core.pipeline_endpoint PipelineEndpoint=original.endpoint
azureml.pipeline.core._restclients
azureml.pipeline.core._restclients.aeva
azureml.pipeline.core._restclients.aeva.models
azureml.pipeline.core._restclients.aeva.models.error_response
    ErrorResponseException=:NameNotFoundError
azureml.pipeline.core.pipeline_output_dataset
    PipelineOutputAbstractDataset=pipeline.steps.written:Written
    PipelineOutputFileDataset=original.data
    PipelineOutputTabularDataset=pipeline.steps.written:WrittenTable
azureml.pipeline.core.run PipelineRun StepRun PortDataReference=pipeline.steps.outputs
azureml.pipeline.steps ParallelRunConfig ParallelRunStep PythonScriptStep
azureml.pipeline.steps.parallel_run_config ParallelRunConfig
azureml.pipeline.steps.parallel_run_step ParallelRunStep
azureml.pipeline.steps.python_script_step PythonScriptStep
azureml.train
azureml.widgets RunDetails
azureml_user
azureml_user.parallel_run EntryScript
entry_script EntryScript
mltable load=jobs.client:load_table
"""
"""By module its names, a line that is indented going on with the one before. A name is that of
``daskrun``, but where its module in daskrun follows, and its name there if that is another."""


def _reference(word: str) -> tuple[str, str]:
    """Return a name and where it comes from, ``module:name``."""
    name, _, place = word.partition("=")
    home, _, origin = place.partition(":")
    return name, f"{f'daskrun.{home}' if home else 'daskrun'}:{origin or name}"


NAMES: dict[str, dict[str, str]] = {
    module: dict(map(_reference, words))
    for module, *words in map(str.split, _TABLE.replace("\n    ", " ").strip().splitlines())
}
"""By module, each name and where it comes from, ``module:name``."""
