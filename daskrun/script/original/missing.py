"""What the original has and daskrun has not: what to use instead, or that there is nothing to do.

Each sentence is for the names below it. A name is a module's, which then stands for all that is in
it, or one of a module's names. For members of classes see ``core/lacking.py``.
"""

from __future__ import annotations

_MESSAGES = {
    "there is no account to sign in to. Leave it out, and auth=... too.": (
        "azureml.core.authentication",
        "azureml.exceptions.AuthenticationException",
    ),
    "nothing is deployed here, as no service answers requests. Run the model over many inputs at "
    "once in a ParallelRunStep, or load it in a server of your own: Model(ws, name).download().": (
        "azureml.core.Image",
        "azureml.core.Webservice",
        "azureml.core.image",
        "azureml.core.model.InferenceConfig",
        "azureml.core.model.ModelPackage",
        "azureml.core.profile",
        "azureml.core.resource_configuration",
        "azureml.core.webservice",
        "azureml.accel",
        "azureml.exceptions.ImageException",
        "azureml.exceptions.WebserviceException",
        "azureml.monitoring",
    ),
    "there is no key vault. Keep the secret in an environment variable, and write "
    "EnvironmentVariable('ITS_NAME') (from daskrun) where a datastore takes one.": (
        "azureml.core.Keyvault",
        "azureml.core.keyvault",
    ),
    "there is no cloud network or linked service. Leave it out.": (
        "azureml.core.LinkedService",
        "azureml.core.PrivateEndPoint",
        "azureml.core.PrivateEndPointConfig",
        "azureml.core.SynapseWorkspaceLinkedServiceConfiguration",
        "azureml.core.linked_service",
        "azureml.core.private_endpoint",
        "azureml.exceptions.LinkedServiceException",
    ),
    "a compute target is this machine or a Dask cluster. Write "
    "AmlCompute.provisioning_configuration(...) for workers on this machine, or "
    "ComputeTarget.attach(ws, name, address='tcp://scheduler:8786').": (
        "azureml.contrib.core",
        "azureml.core.compute.AdlaCompute",
        "azureml.core.compute.AksCompute",
        "azureml.core.compute.BatchCompute",
        "azureml.core.compute.ComputeInstance",
        "azureml.core.compute.DataFactoryCompute",
        "azureml.core.compute.DatabricksCompute",
        "azureml.core.compute.DsvmCompute",
        "azureml.core.compute.HDInsightCompute",
        "azureml.core.compute.KubernetesCompute",
        "azureml.core.compute.KustoCompute",
        "azureml.core.compute.RemoteCompute",
        "azureml.core.compute.SynapseCompute",
    ),
    "a script is submitted as a step of a pipeline. Write "
    "Experiment(ws, name).submit(Pipeline(ws, [PythonScriptStep(...)])).": (
        "azureml.core.ScriptRun",
        "azureml.core.ScriptRunConfig",
        "azureml.core.script_run",
        "azureml.core.script_run_config",
        "azureml.pipeline.steps.CommandStep",
        "azureml.pipeline.steps.EstimatorStep",
        "azureml.pipeline.steps.MpiStep",
        "azureml.train.estimator",
        "azureml.train.dnn",
        "azureml.train.sklearn",
    ),
    "what it says is said in other places: environment=... of ParallelRunConfig and "
    "PythonScriptStep for packages and Python, compute_target=... and node_count=... for where "
    "it runs.": (
        "azureml.core.RunConfiguration",
        "azureml.core.runconfig.AmlComputeConfiguration",
        "azureml.core.runconfig.DockerConfiguration",
        "azureml.core.runconfig.EnvironmentDefinition",
        "azureml.core.runconfig.MpiConfiguration",
        "azureml.core.runconfig.ParallelTaskConfiguration",
        "azureml.core.runconfig.PyTorchConfiguration",
        "azureml.core.runconfig.RunConfiguration",
        "azureml.core.runconfig.TensorflowConfiguration",
        "azureml.exceptions.RunConfigurationException",
    ),
    "scripts run in Python environments, not in containers, and neither Spark nor R is started. "
    "Leave it out, or name what is needed in CondaDependencies.create(pip_packages=[...]).": (
        "azureml.core.ContainerRegistry",
        "azureml.core.container_registry",
        "azureml.core.databricks",
        "azureml.core.environment.DockerBuildContext",
        "azureml.core.environment.DockerImagePlatform",
        "azureml.core.environment.RCranPackage",
        "azureml.core.environment.RGitHubPackage",
        "azureml.core.environment.RSection",
        "azureml.core.environment.SparkPackage",
        "azureml.core.runconfig.SparkConfiguration",
        "azureml.pipeline.steps.RScriptStep",
        "azureml.pipeline.steps.SynapseSparkStep",
    ),
    "there are datasets instead: Dataset.File.from_files(datastore.path('folder')), and as_mount() "
    "or as_download() of what that gives.": (
        "azureml.data.data_reference",
        "azureml.data.datapath.DataPathComputeBinding",
        "azureml.pipeline.core.PipelineDataset",
        "azureml.pipeline.core.pipeline_output_dataset",
        "azureml.pipeline.core.PipelineOutputAbstractDataset",
        "azureml.pipeline.core.PipelineOutputFileDataset",
        "azureml.pipeline.core.PipelineOutputTabularDataset",
    ),
    "a datastore is a Datastore, whatever it is made of. Look at its is_local, or its url().": (
        "azureml.data.azure_data_lake_datastore",
        "azureml.data.azure_my_sql_datastore",
        "azureml.data.azure_postgre_sql_datastore",
        "azureml.data.azure_sql_database_datastore",
        "azureml.data.azure_storage_datastore",
        "azureml.data.dbfs_datastore",
        "azureml.data.hdfs_datastore",
    ),
    "an output is a folder of files. Write OutputFileDatasetConfig(...), or PipelineData(...).": (
        "azureml.data.HDFSOutputDatasetConfig",
        "azureml.data.LinkFileOutputDatasetConfig",
        "azureml.data.LinkTabularOutputDatasetConfig",
        "azureml.data.OutputTabularDatasetConfig",
        "azureml.data.output_dataset_config.HDFSOutputDatasetConfig",
        "azureml.data.output_dataset_config.LinkFileOutputDatasetConfig",
        "azureml.data.output_dataset_config.LinkTabularOutputDatasetConfig",
        "azureml.data.output_dataset_config.OutputDatasetConfig",
        "azureml.data.output_dataset_config.OutputTabularDatasetConfig",
    ),
    "data is neither profiled nor watched. Look at dataset.to_pandas_dataframe().describe().": (
        "azureml.data.dataset_profile",
        "azureml.data.dataset_profile_run",
        "azureml.data.dataset_snapshot",
        "azureml.data.dataset_type_definitions.HistogramCompareMethod",
        "azureml.datadrift",
    ),
    "the encoding is a text here, such as encoding='utf8'.": (
        "azureml.data.dataset_type_definitions.FileEncoding",
    ),
    "a pipeline has no address that requests could start it at. Publish it, and submit it from "
    "Python: Experiment(ws, name).submit(published).": (
        "azureml.pipeline.core.PipelineEndpoint",
        "azureml.pipeline.core.pipeline_endpoint",
    ),
    "nothing runs by itself at a time. Have cron or the like start a script that submits the "
    "pipeline.": (
        "azureml.pipeline.core.Schedule",
        "azureml.pipeline.core.ScheduleRecurrence",
        "azureml.pipeline.core.schedule",
    ),
    "steps run when those that they use or wait for have run. Write second.run_after(first), and "
    "Pipeline(ws, steps=[first, second]).": (
        "azureml.pipeline.core.StepSequence",
        "azureml.pipeline.core.builder.StepSequence",
    ),
    "a pipeline is kept as its steps are written. Write steps, and Pipeline(ws, steps=[...]).": (
        "azureml.pipeline.core.Graph",
        "azureml.pipeline.core.InputPortBinding",
        "azureml.pipeline.core.InputPortDef",
        "azureml.pipeline.core.Module",
        "azureml.pipeline.core.ModuleVersion",
        "azureml.pipeline.core.OutputPortBinding",
        "azureml.pipeline.core.OutputPortDef",
        "azureml.pipeline.core.PipelineDraft",
        "azureml.pipeline.core.graph.InputPortBinding",
        "azureml.pipeline.core.graph.OutputPortBinding",
        "azureml.pipeline.core.module",
        "azureml.pipeline.core.module_step_base",
        "azureml.pipeline.core.pipeline_draft",
        "azureml.pipeline.steps.ModuleStep",
    ),
    "models are not searched or trained by a service. Train with your own library in a "
    "PythonScriptStep, or many models at once in a ParallelRunStep with partition_keys.": (
        "azureml.automl",
        "azureml.contrib.automl",
        "azureml.contrib.train",
        "azureml.pipeline.core.TrainingOutput",
        "azureml.pipeline.steps.AutoMLStep",
        "azureml.pipeline.steps.AutoMLStepRun",
        "azureml.pipeline.steps.HyperDriveStep",
        "azureml.pipeline.steps.HyperDriveStepRun",
        "azureml.exceptions.TrainingException",
        "azureml.train.automl",
        "azureml.train.hyperdrive",
    ),
    "it moves work to another service of the cloud. Copy data with datastore.upload() and "
    "download(), and run code in a PythonScriptStep or a ParallelRunStep.": (
        "azureml.pipeline.steps.AdlaStep",
        "azureml.pipeline.steps.AzureBatchStep",
        "azureml.pipeline.steps.DataTransferStep",
        "azureml.pipeline.steps.DatabricksStep",
        "azureml.pipeline.steps.KustoStep",
    ),
    "it is a package of its own, which works beside daskrun: pip install azureml-opendatasets.": (
        "azureml.opendatasets",
    ),
    "there is nothing of it here. Use the libraries it is built on themselves.": (
        "azureml.contrib.dataset",
        "azureml.contrib.fairness",
        "azureml.contrib.interpret",
        "azureml.contrib.notebook",
        "azureml.contrib.services",
        "azureml.dataprep",
        "azureml.explain",
        "azureml.interpret",
        "azureml.mlflow",
        "azureml.responsibleai",
        "azureml.telemetry",
        "azureml.tensorboard",
    ),
}

MISSING = {name: message for message, names in _MESSAGES.items() for name in names}
"""By full name of a module, or of a name in one, what is said of it."""


def message_of(name: str) -> str | None:
    """Return what there is instead of something of the original; None where it isn't known."""
    while name:
        if name in MISSING:
            return MISSING[name]
        name = name.rpartition(".")[0]
    return None
