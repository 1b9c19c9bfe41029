"""What classes of the original have and daskrun's have not: asked for, it says what there is."""

from __future__ import annotations

from typing import Never

from daskrun.errors import OriginalNameError

_DEPLOY = (
    "nothing is deployed here. Run the model in a ParallelRunStep, or load it from model.path."
)
_DATA = "data is neither profiled nor watched. Look at dataset.to_pandas_dataframe().describe()."
_SPARK = "there is no Spark here. Write dataset.to_dask_dataframe()."
_TAGS = (
    "a dataset never changes. Register it again: dataset.register(ws, name, tags={...}, "
    "create_new_version=True)."
)
_URL = "write Datastore.register_url(ws, name, url) with any URL that fsspec knows."
_SQL = "write Dataset.Tabular.from_sql_query(query, connection=...) with the database's URL."
_FILES = (
    "a run's files are in its folder. Look into run.folder, and download what a step wrote: "
    "run.find_step_run(name)[0].get_output_data(name).download(folder)."
)
_IMAGE = (
    "scripts run in Python environments, not in containers. Write "
    "Environment.from_pip_requirements(name, file_path)."
)
_REST = (
    "a pipeline has no address that requests could start it at. Submit it from Python: "
    "Experiment(ws, name).submit(published)."
)
_TARGET = "nodes are Dask workers, started for a run. See ComputeTarget.create(ws, name, ...)."
_FOLDER = "a workspace is a folder, or a URL. Look at ws.location."
_VAULT = (
    "there is no key vault. Keep the secret in an environment variable, and write "
    "EnvironmentVariable('ITS_NAME') where a datastore takes one."
)
_LOGS = "logs are files in run.folder / 'logs'. run.get_details_with_logs() gives their texts."
_CODE = "the code of a step's run is in its folder: step_run.folder / 'snapshot'."
_CHARTS = (
    "log what it shows: run.log_table(name, {'column': values}), or run.log_image(name, path)."
)
_OUTPUT = "write run.find_step_run(name)[0].get_output_data(output_name)."

LACKING: dict[str, dict[str, str]] = {
    "ComputeTarget": {
        "deserialize": _TARGET,
        "list": "write ws.compute_targets.",
        "provisioning_state": "write target.get_status().serialize().",
        "serialize": "write target.get_status().serialize().",
    },
    "AmlCompute": dict.fromkeys(("list_nodes", "refresh_state", "supported_vmsizes"), _TARGET),
    "Dataset": {"get_by_id": "write Dataset.get_by_name(ws, name, version)."},
    "Datastore": {
        "as_download": "write Dataset.File.from_files(datastore.path('folder')).as_download().",
        "as_mount": "write Dataset.File.from_files(datastore.path('folder')).as_mount().",
        "as_upload": "name an output: OutputFileDatasetConfig(name, (datastore, 'folder')).",
        "register_azure_data_lake": _URL,
        "register_azure_data_lake_gen2": _URL,
        "register_azure_file_share": _URL,
        "register_azure_my_sql": _SQL,
        "register_azure_postgre_sql": _SQL,
        "register_azure_sql_database": _SQL,
        "register_dbfs": _URL,
        "register_hdfs": _URL,
        "set_as_default": "write ws.set_default_datastore(datastore).",
    },
    "Environment": dict.fromkeys(
        (
            "build",
            "build_local",
            "from_docker_build_context",
            "from_docker_image",
            "from_dockerfile",
            "get_image_details",
        ),
        _IMAGE,
    ),
    "Experiment": {
        "start_logging": "a script logs to the run it is in: Run.get_context().log(name, value).",
    },
    "FileDataset": {
        "add_tags": _TAGS,
        "as_hdfs": _SPARK,
        "remove_tags": _TAGS,
        "update": _TAGS,
    },
    "FileDatasetFactory": {
        "upload_directory": "write datastore.upload(src_dir, target_path), and "
        "Dataset.File.from_files(datastore.path(target_path)) for the dataset.",
    },
    "Model": {
        "deploy": _DEPLOY,
        "package": _DEPLOY,
        "profile": _DEPLOY,
        "get_sas_urls": "see model.path.",
    },
    "Pipeline": {
        "graph": "a pipeline is its steps. See pipeline.steps and pipeline.dependencies.",
        "load_yaml": "a pipeline is written in Python. Publish it, and submit it from there.",
        "service_endpoint": _REST,
    },
    "PublishedPipeline": {
        "endpoint": _REST,
        "get_all": "write PublishedPipeline.list(ws).",
        "get_graph": "its steps are published.pipeline().steps.",
        "get_step": "its steps are published.pipeline().steps.",
        "get_steps": "its steps are published.pipeline().steps.",
        "graph_id": "its steps are published.pipeline().steps.",
        "save": "it never changes. Publish it again: published.pipeline().publish(name).",
        "service_endpoint": _REST,
        "total_run_steps": "write len(published.pipeline().steps).",
    },
    "PipelineRun": {
        "get_graph": "a pipeline is its steps. See run.get_steps().",
        "get_pipeline_output": _OUTPUT,
        "get_pipeline_runs": "write experiment.get_runs().",
        "save": "a pipeline is written in Python. Write run.publish_pipeline(name) to keep it.",
    },
    "Run": {
        "add_properties": "properties never change. Write run.tag(name, value).",
        "child_run": "a run has the steps of its pipeline. See run.get_children().",
        "create_children": "a run has the steps of its pipeline. See run.get_children().",
        "complete": "a run ends by itself when its mini-batches are done.",
        "fail": "a script fails by raising: its mini-batch is tried again, then counts as failed.",
        "download_file": _FILES,
        "download_files": _FILES,
        "flush": "what was logged is on the disk when the call returns. Leave it out.",
        "get": "write ws.get_run(run_id), or Run(experiment, run_id).",
        "get_all_logs": _LOGS,
        "get_detailed_status": "write run.get_details().",
        "get_environment": "see run.get_details()['story'].",
        "get_file_names": _FILES,
        "get_portal_url": "there is no portal. Write RunDetails(run).show().",
        "get_secret": _VAULT,
        "get_secrets": _VAULT,
        "get_snapshot_id": _CODE,
        "get_submitted_run": "write Run.get_context().",
        "list": "write experiment.get_runs().",
        "log_accuracy_table": _CHARTS,
        "log_confusion_matrix": _CHARTS,
        "log_predictions": _CHARTS,
        "log_residuals": _CHARTS,
        "register_model": "write Model.register(ws, model_path, model_name).",
        "remove_tags": "give it another value: run.tag(name, value).",
        "restore_snapshot": _CODE,
        "set_tags": "write run.tag(name, value) for each.",
        "start_logging": "a script logs to the run it is in: Run.get_context().log(name, value).",
        "submit_child": "a run has the steps of its pipeline. See run.get_children().",
        "take_snapshot": _CODE,
        "upload_file": "what a script keeps, it writes to EntryScript().output_dir.",
        "upload_folder": "what a script keeps, it writes to EntryScript().output_dir.",
    },
    "StepRun": {
        "get_job_log": _LOGS,
        "get_output": "write step_run.get_output_data(name).",
        "get_outputs": "write step_run.get_output_data(name).",
        "get_stderr_log": _LOGS,
        "get_stdout_log": _LOGS,
    },
    "TabularDataset": {
        "add_tags": _TAGS,
        "get_profile": _DATA,
        "get_profile_runs": _DATA,
        "remove_tags": _TAGS,
        "submit_profile_run": _DATA,
        "to_spark_dataframe": _SPARK,
        "update": _TAGS,
    },
    "TabularDatasetFactory": {
        "register_dask_dataframe": "write Dataset.Tabular.from_dask_dataframe(frame), and "
        "to_parquet_files(target=(datastore, 'folder')) of it to keep it.",
        "register_pandas_dataframe": "write Dataset.Tabular.from_pandas_dataframe(frame), and "
        "to_parquet_files(target=(datastore, 'folder')) of it to keep it.",
        "register_spark_dataframe": "there is no Spark here. Write Parquet files with it, and "
        "Dataset.Tabular.from_parquet_files(path).",
    },
    "Workspace": {
        "delete": f"{_FOLDER} Remove that with all that is in it.",
        "get_default_compute_target": "write ws.compute_targets[name].",
        "get_default_keyvault": _VAULT,
        "get_mlflow_tracking_uri": "runs keep what was logged themselves: run.get_metrics().",
        "images": _DEPLOY,
        "linked_services": "there is no linked service. Leave it out.",
        "list": f"{_FOLDER} Each folder of work has its own.",
        "private_endpoints": "there is no cloud network. Leave it out.",
        "setup": f"{_FOLDER} Workspace.from_config() makes it.",
        "sync_keys": "there is no account to keep keys of. Leave it out.",
        "webservices": _DEPLOY,
    },
}
"""By class, what of the original's members it lacks, and what is said of each."""


class Lacking:
    """Stands in a class for a member that it lacks.

    Parameters
    ----------
    name
        Of class and member.
    sentence
        What there is instead.
    """

    def __init__(self, name: str, sentence: str) -> None:
        self._message = f"daskrun has no {name}: {sentence}"

    def __get__(self, instance: object, owner: type | None = None) -> Never:
        """Say what there is instead, whether the class is asked or an object of it.

        Raises
        ------
        OriginalNameError
            Always: an AttributeError, so that ``hasattr`` says no.
        """
        raise OriginalNameError(self._message)


class OriginalClass:
    """Base of the classes that have their name from the original.

    Examples
    --------
    >>> class Model(OriginalClass):
    ...     "As the original's, but for some of its members."
    >>> Model.get_sas_urls
    Traceback (most recent call last):
    ...
    daskrun.errors.OriginalNameError: daskrun has no Model.get_sas_urls: see model.path.
    >>> hasattr(Model(), "get_sas_urls")
    False
    """

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        there = {name for base in cls.__mro__ for name in vars(base)}
        for name, sentence in LACKING.get(cls.__name__, {}).items():
            if name not in there:
                setattr(cls, name, Lacking(f"{cls.__name__}.{name}", sentence))

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not _lacks(type(self), name)]


def _lacks(kind: type, name: str) -> bool:
    """Whether what a class has of a name says only that there is none."""
    return any(isinstance(vars(base).get(name), Lacking) for base in kind.__mro__)
