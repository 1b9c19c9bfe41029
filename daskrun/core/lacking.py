"""Members that classes of the original have and daskrun's have not, and what is said of each.

``original.py`` has them say it. For keywords see ``keywords.py``, for modules and their names
``script/original/missing.py``.
"""

from __future__ import annotations

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
_WRITTEN = (
    "make a dataset of it: Dataset.File.from_files(output.datastore.path(output.path_on_datastore))"
    ", which may be an input."
)
_REST = (
    "a pipeline has no address that requests could start it at. Submit it from Python: "
    "Experiment(ws, name).submit(published)."
)
_TARGET = "nodes are Dask workers, started for a run. See ComputeTarget.create(ws, name, ...)."
_STATUS = "write target.get_status().serialize()."
_INSIDE = (
    "it is for those who submit runs. In a script of a run write "
    "run.experiment.workspace.get_run(run.id) for the run as they have it."
)
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
_DATASETS = "write Dataset.get_by_name(ws, name), or Dataset.get_all(ws)."
_ROWS = (
    "what holds paths of files is a dataset of files: Dataset.File.from_files(path). Rows are "
    "written as files by to_csv_files(target=...)."
)
_CACHE = "there is no data cache. Write as_download() of an input that is to be on its node."
_METADATA = (
    "files are chosen by their paths. Write a glob, Dataset.File.from_files('images/**/*.png'), or "
    "a list of paths."
)
_CHANGED = "nothing notes it of a dataset. Look at the times of the files at its path."
_TABLES = (
    "an output is a folder of files. For their rows write output.read_delimited_files(...), and "
    "this of what that gives."
)
_MODEL = (
    "a version of a model never changes. Register the next one: Model.register(ws, model_path, "
    "name, tags={...}, properties={...})."
)
_TOLD = "see its name, version, tags, properties, description, created_time and path."
_TRAINED = (
    "a model knows neither run nor data. Register it with properties={'run': run.id}, and look at "
    "model.properties."
)
_FRAMEWORK = "a model's files may be of any library. Say which in a tag: tags={'library': ...}."
_EXPERIMENT = "an experiment is only a name of runs. Tag its runs: run.tag(name, value)."
_REMOVED = "old runs are found by ws.clean(runs=True); remove() of that removes their folders."
_NOTHING_OLD = "what it gives is looked up when it is asked for. Leave it out."
_ACCOUNT = "there is no account to sign in with. Leave it out."
_NETWORK = "there is no cloud network. Leave it out."
_CONNECTION = (
    "there is no connection to keep. Name what it leads to as a datastore: "
    "Datastore.register_url(ws, name, url)."
)
_UPDATE = "a workspace has a name and nothing else to change. Leave it out."
_STORY = "see run.get_details()['manifest'] of a step's run, which names its inputs."
_NAMED = "a run is known by its id. Write run.tag(name, value) for a text of your own."
_NEVER_MADE = "a pipeline has no graph: submit runs its steps as they are. Leave it out."
_OWN_STEPS = (
    "it is for those who write a kind of step of their own. Run your code in a PythonScriptStep."
)
_PLACE = "see datastore.url() and datastore.storage_options."
_TYPED = "a dataset has one of two kinds. Write "


def _all(names: str, message: str) -> dict[str, str]:
    """Say the same of several members."""
    return dict.fromkeys(names.split(), message)


LACKING: dict[str, dict[str, str]] = {
    "ComputeTarget": {
        **_all("cluster_location cluster_resource_id description deserialize id location", _TARGET),
        **_all("modified_on provisioning_errors tags", _TARGET),
        **_all("created_on provisioning_state serialize", _STATUS),
        "detach": "write target.delete(), which leaves the cluster itself alone.",
        "get": "write ws.compute_targets[name].",
        "list": "write ws.compute_targets.",
        "status": "write target.get_status().",
    },
    "AmlCompute": {
        **_all("add_identity remove_identity", _ACCOUNT),
        **_all("list_nodes refresh_state supported_vmsizes", _TARGET),
        **_all("scale_settings vm_priority", _STATUS),
        "get_active_runs": "write experiment.get_runs().",
        "update": "create it again under its name: ComputeTarget.create(ws, name, "
        "AmlCompute.provisioning_configuration(vm_size, max_nodes=...)).",
    },
    "ComputeStatus": {
        **_all("allocation_state current_node_count errors node_state_counts", _STATUS),
        **_all("provisioning_state scale_settings target_node_count vm_size", _STATUS),
    },
    "ContextRun": {
        **_all("cancel get_details get_details_with_logs get_status name", _INSIDE),
        **_all("status wait_for_completion", _INSIDE),
    },
    "CondaDependencies": {
        **_all("add_cntk_package add_tensorflow_conda_package", "write add_pip_package(name)."),
        "add_tensorflow_pip_package": "write add_pip_package(name).",
        "as_dict": "see pip_packages, conda_packages and channels, or serialize_to_string().",
        "save": "write save_to_file(base_directory, conda_file_path).",
    },
    "DataType": {"to_stream": _ROWS},
    "Dataset": {
        "auto_read_files": f"{_TYPED}Dataset.Tabular.from_delimited_files(path) or the like.",
        "from_binary_files": f"{_TYPED}Dataset.File.from_files(path).",
        "from_delimited_files": f"{_TYPED}Dataset.Tabular.from_delimited_files(path).",
        "from_excel_files": "read them with pandas.read_excel(), and write "
        "Dataset.Tabular.from_pandas_dataframe(frame).",
        "from_json_files": f"{_TYPED}Dataset.Tabular.from_json_lines_files(path), for files with "
        "one object in each line.",
        "from_pandas_dataframe": f"{_TYPED}Dataset.Tabular.from_pandas_dataframe(frame).",
        "from_parquet_files": f"{_TYPED}Dataset.Tabular.from_parquet_files(path).",
        "from_sql_query": f"{_TYPED}Dataset.Tabular.from_sql_query(query, connection=...).",
        "get": "write Dataset.get_by_name(ws, name, version).",
        "get_by_id": "write Dataset.get_by_name(ws, name, version).",
        "list": "write Dataset.get_all(ws).",
    },
    "DatasetConsumptionConfig": {"as_hdfs": _SPARK},
    "Datastore": {
        **_all("account_key account_name blob_service container_name datastore_type", _PLACE),
        **_all("endpoint is_sas protocol resource_group sas_token subscription_id", _PLACE),
        **_all("register_azure_data_lake register_azure_data_lake_gen2", _URL),
        **_all("register_azure_file_share register_dbfs register_hdfs", _URL),
        **_all("register_azure_my_sql register_azure_postgre_sql", _SQL),
        "as_download": "write Dataset.File.from_files(datastore.path('folder')).as_download().",
        "as_mount": "write Dataset.File.from_files(datastore.path('folder')).as_mount().",
        "as_upload": "name an output: OutputFileDatasetConfig(name, (datastore, 'folder')).",
        "register_azure_sql_database": _SQL,
        "set_as_default": "write ws.set_default_datastore(datastore).",
    },
    "DockerSection": {
        **_all("base_image_registry build_context gpu_support platform shared_volumes", _IMAGE),
    },
    "Environment": {
        **_all("build build_local from_docker_build_context from_docker_image", _IMAGE),
        **_all("from_dockerfile get_image_details inferencing_stack_version", _IMAGE),
        "add_private_pip_wheel": "name the wheel's path, on a disk that all nodes share: "
        "CondaDependencies.create(pip_packages=['/shared/mine-1.0-py3-none-any.whl']).",
        "databricks": "there is no Spark here. Leave it out.",
        "label": "an environment has versions alone. Write Environment.get(ws, name, version).",
        "r": "R is not started. Write the script in Python.",
    },
    "Experiment": {
        **_all("archive archived_time delete reactivate", _REMOVED),
        **_all("remove_tags set_tags tag tags", _EXPERIMENT),
        "add_type_handler": "a script is a step of a pipeline. Write submit(pipeline).",
        "from_directory": "write Experiment(ws, name).",
        "get_docs_url": "write help(Experiment).",
        "refresh": _NOTHING_OLD,
        "start_logging": "a script logs to the run it is in: Run.get_context().log(name, value).",
    },
    "FileDataset": {
        "add_tags": _TAGS,
        "as_cache": _CACHE,
        "as_hdfs": _SPARK,
        "data_changed_time": _CHANGED,
        "file_metadata": _METADATA,
        "filter": _METADATA,
        "get_all": _DATASETS,
        "get_by_id": _DATASETS,
        "get_by_name": _DATASETS,
        "hydrate": _CACHE,
        "remove_tags": _TAGS,
        "update": _TAGS,
    },
    "FileDatasetFactory": {
        "upload_directory": "write datastore.upload(src_dir, target_path), and "
        "Dataset.File.from_files(datastore.path(target_path)) for the dataset.",
    },
    "Model": {
        **_all("Framework model_framework model_framework_version", _FRAMEWORK),
        **_all("add_dataset_references add_properties add_tags remove_tags", _MODEL),
        **_all("update update_tags_properties", _MODEL),
        **_all("created_by datasets experiment_name parent_id run_id", _TRAINED),
        **_all("deploy package profile resource_configuration", _DEPLOY),
        **_all("sample_input_dataset sample_output_dataset", _DEPLOY),
        **_all("deserialize print_configuration serialize", _TOLD),
        **_all("get_sas_urls mime_type unpack url", "see model.path."),
    },
    "OfflineRun": _all(
        "get_properties properties", "this process is in no run. See run.get_tags()."
    ),
    "OutputFileDatasetConfig": {
        "as_download": "that is how a later step gets it: output.as_input().as_download().",
        "drop_columns": _TABLES,
        "keep_columns": _TABLES,
    },
    "Pipeline": {
        "graph": "a pipeline is its steps. See pipeline.steps and pipeline.dependencies.",
        "load_yaml": "a pipeline is written in Python. Publish it, and submit it from there.",
        "service_endpoint": _REST,
    },
    "PipelineData": {
        "create_input_binding": "write output.as_input(name).",
        "get_env_variable_name": "its script is told the path: arguments=[output].",
    },
    "PipelineStep": {
        **_all("create_input_output_bindings create_module_def get_source_directory", _OWN_STEPS),
        **_all("resolve_input_arguments validate_arguments", _OWN_STEPS),
        "create_node": _NEVER_MADE,
    },
    "PortDataReference": {
        **_all("as_download as_input as_mount create_input_binding", _WRITTEN),
    },
    "PublishedPipeline": {
        "archive": "write published.disable().",
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
        "input_datasets": _STORY,
        "name": _NAMED,
        "save": "a pipeline is written in Python. Write run.publish_pipeline(name) to keep it.",
    },
    "PythonSection": {
        "base_conda_environment": "write "
        "Environment.from_existing_conda_environment(name, folder).",
        "conda_dependencies_file": "write Environment.from_conda_specification(name, file_path).",
    },
    "Run": {
        "add_properties": "properties never change. Write run.tag(name, value).",
        "add_type_provider": _OWN_STEPS,
        "child_run": "a run has the steps of its pipeline. See run.get_children().",
        "create_children": "a run has the steps of its pipeline. See run.get_children().",
        "complete": "a run ends by itself when its mini-batches are done.",
        "fail": "a script fails by raising: its mini-batch is tried again, then counts as failed.",
        "description": _NAMED,
        "display_name": _NAMED,
        "download_file": _FILES,
        "download_files": _FILES,
        "flush": "what was logged is on the disk when the call returns. Leave it out.",
        "get": "write ws.get_run(run_id), or Run(experiment, run_id).",
        "get_all_logs": _LOGS,
        "get_children": "it has none below it. Those of a pipeline's run are its steps.",
        "get_detailed_status": "write run.get_details().",
        "get_environment": "see run.get_details()['manifest'].",
        "get_file_names": _FILES,
        "get_portal_url": "there is no portal. Write RunDetails(run).show().",
        "get_secret": _VAULT,
        "get_secrets": _VAULT,
        "get_snapshot_id": _CODE,
        "get_submitted_run": "write Run.get_context().",
        "list": "write experiment.get_runs().",
        "list_by_compute": "write experiment.get_runs().",
        "log_accuracy_table": _CHARTS,
        "log_confusion_matrix": _CHARTS,
        "log_predictions": _CHARTS,
        "log_residuals": _CHARTS,
        "number": "a run is known by its id; ids sort by the time of submission.",
        "output_datasets": _OUTPUT,
        "register_model": "write Model.register(ws, model_path, model_name).",
        "remove_tags": "give it another value: run.tag(name, value).",
        "restore_snapshot": _CODE,
        "set_tags": "write run.tag(name, value) for each.",
        "start_logging": "a script logs to the run it is in: Run.get_context().log(name, value).",
        "submit_child": "a run has the steps of its pipeline. See run.get_children().",
        "take_snapshot": _CODE,
        "type": "write isinstance(run, PipelineRun), or run.get_properties()['kind'].",
        "upload_file": "what a script keeps, it writes to EntryScript().output_dir.",
        "upload_files": "what a script keeps, it writes to EntryScript().output_dir.",
        "upload_folder": "what a script keeps, it writes to EntryScript().output_dir.",
    },
    "RunDetails": {"get_widget_run_data": "write run.get_details()."},
    "StepRun": {
        "get_job_log": _LOGS,
        "get_output": "write step_run.get_output_data(name).",
        "get_outputs": "write step_run.get_output_data(name).",
        "get_stderr_log": _LOGS,
        "get_stdout_log": _LOGS,
        "input_datasets": _STORY,
    },
    "TabularDataset": {
        "add_tags": _TAGS,
        "data_changed_time": _CHANGED,
        "download": _ROWS,
        "get_all": _DATASETS,
        "get_by_id": _DATASETS,
        "get_by_name": _DATASETS,
        "get_profile": _DATA,
        "get_profile_runs": _DATA,
        "mount": _ROWS,
        "remove_tags": _TAGS,
        "submit_profile_run": _DATA,
        "timestamp_columns": "see dataset.times.",
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
        "add_private_endpoint": _NETWORK,
        "delete": f"{_FOLDER} Remove that with all that is in it.",
        "delete_connection": _CONNECTION,
        "delete_private_endpoint_connection": _NETWORK,
        "diagnose_workspace": _NETWORK,
        "discovery_url": _FOLDER,
        "get": "a workspace is found by its folder. Write Workspace.from_config(path).",
        "get_connection": _CONNECTION,
        "get_default_compute_target": "write ws.compute_targets[name].",
        "get_default_keyvault": _VAULT,
        "get_mlflow_tracking_uri": "runs keep what was logged themselves: run.get_metrics().",
        "images": _DEPLOY,
        "linked_services": "there is no linked service. Leave it out.",
        "list": f"{_FOLDER} Each folder of work has its own.",
        "list_connections": _CONNECTION,
        "list_keys": "there is no account to keep keys of. Leave it out.",
        "private_endpoints": _NETWORK,
        "resource_group": _FOLDER,
        "set_connection": _CONNECTION,
        "setup": f"{_FOLDER} Workspace.from_config() makes it.",
        "sku": _FOLDER,
        "subscription_id": _FOLDER,
        "sync_keys": "there is no account to keep keys of. Leave it out.",
        "tags": _UPDATE,
        "update": _UPDATE,
        "update_dependencies": _UPDATE,
        "webservices": _DEPLOY,
        "write_config": "there is nothing to write: Workspace.from_config() finds the folder "
        ".daskrun here or above.",
    },
}
"""By class, what of the original's members it lacks, and what is said of each."""
