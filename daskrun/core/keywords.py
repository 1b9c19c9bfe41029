"""Keywords that calls of the original take and daskrun's don't, and what is said of each.

``original.py`` has them say it. For members of classes see ``lacking.py``.
"""

from __future__ import annotations

from typing import NamedTuple


class Keyword(NamedTuple):
    """A keyword that only the original has."""

    message: str
    """What to write instead, or why it means nothing here."""
    so: tuple[object, ...] = (None,)
    """Values that say what is the case here anyway: with these it is accepted."""

    def is_so(self, value: object) -> bool:
        """Return whether a value says what is the case."""
        return any(value is each or (type(value), value) == (type(each), each) for each in self.so)


def _unless(*values: object, message: str) -> Keyword:
    """Say something of a keyword unless it has one of these values, or None."""
    return Keyword(message, (None, *values))


def _each(message: str, *names: str) -> dict[str, Keyword]:
    """Say the same of several keywords."""
    return {name: Keyword(message) for name in names}


_NO_ACCOUNT = "there is no account to sign in to. Leave it out."
_NO_CLOUD = "a workspace is a folder, or a URL, and in no cloud. Leave it out."
_NODES = "nodes are Dask workers on this machine. Leave it out."
_CALLED_PATH = Keyword("it is called path here. Write path='/the/folder'.")
_CALLED_NAME = Keyword("it is called name here. Write as_input('its_name').")
_FRAMEWORK = "a model's files may be of any library. Write tags={'library': ...}, or leave it out."
_NEVER_DEPLOYED = "nothing is deployed here. Leave it out."
_STEPS_OWN = "a run has the steps of its pipeline. Choose among those of run.get_children()."
_WRONG_VALUES = (
    "what can't be read as the schema says is an error that names it. Write "
    "set_column_types={'column': DataType.to_string()} where the dataset is made."
)
_SUBMIT = {
    "credential_passthrough": _unless(False, message=_NO_ACCOUNT),
    "parent_run_id": Keyword(
        "a pipeline's run is a part of no other. Leave it out, or tag it: run.tag(name, value)."
    ),
}

KEYWORDS: dict[str, dict[str, Keyword]] = {
    "AmlCompute.provisioning_configuration": {
        **_each(
            _NODES,
            "admin_user_password",
            "admin_user_ssh_key",
            "admin_username",
            "enable_node_public_ip",
            "identity_id",
            "identity_type",
            "location",
            "subnet_name",
            "vnet_name",
            "vnet_resourcegroup_name",
        ),
        "remote_login_port_public_access": _unless("NotSpecified", "Disabled", message=_NODES),
    },
    "ComputeTarget.attach": _each(
        "a target is a Dask cluster. Write address='tcp://scheduler:8786', or cluster=...",
        "attach_configuration",
    ),
    "ComputeTarget.wait_for_completion": {
        "is_delete_operation": _unless(
            False, message="delete() is done when it returns. Leave it out."
        )
    },
    "CondaDependencies": _each(
        "write Environment.from_conda_specification(name, file_path), and "
        "environment.python.conda_dependencies of that.",
        "conda_dependencies_file_path",
    ),
    "DataPath": _each("a path has no name. Leave it out.", "name"),
    "DataType.to_datetime": _each(
        "it is called format here. Write to_datetime('%Y-%m-%d').", "formats"
    ),
    "DatasetConsumptionConfig.as_download": {"path_on_compute": _CALLED_PATH},
    "DatasetConsumptionConfig.as_mount": {"path_on_compute": _CALLED_PATH},
    "Datastore.register_azure_blob_container": {
        "blob_cache_timeout": Keyword("a datastore keeps no copies of files. Leave it out."),
        "create_if_not_exists": _unless(
            False, message="nothing is made in the cloud. Make the container, and leave it out."
        ),
        "endpoint": _unless(
            "core.windows.net",
            message="write Datastore.register_url(ws, name, 'abfs://container', "
            "{'account_name': ..., 'account_host': ...}).",
        ),
        "grant_workspace_access": _unless(False, message=_NO_ACCOUNT),
        "protocol": _unless("https", message="it is always https. Leave it out."),
        "resource_group": Keyword(_NO_CLOUD),
        "skip_validation": _unless(
            True, message="it is first looked at when it is used. Leave it out."
        ),
        "subscription_id": Keyword(_NO_CLOUD),
    },
    "Environment.from_pip_requirements": _each(
        "packages are installed with the pip of the node's Python. Leave it out.", "pip_version"
    ),
    "Environment.get": _each(
        "an environment has versions alone. Write version='1', or leave it out for the newest.",
        "label",
    ),
    "Experiment.get_runs": {
        "include_children": _unless(
            False, message="write run.get_children() of each run for those of its steps."
        ),
        "type": Keyword("all are runs of pipelines. Leave it out."),
    },
    "Experiment.list": {
        "tags": Keyword("an experiment has no tags; its runs have. Leave it out."),
        "view_type": _unless(
            "ActiveOnly", "All", message="no experiment is archived. Leave it out."
        ),
    },
    "Experiment.submit": {
        "config": Keyword("it is called pipeline here. Write submit(pipeline)."),
        **_SUBMIT,
    },
    "FileDataset.as_download": {"path_on_compute": _CALLED_PATH},
    "FileDataset.as_mount": {"path_on_compute": _CALLED_PATH},
    "FileDataset.download": {
        "ignore_not_found": _unless(
            False, message="a file that is gone is an error. Make the dataset anew."
        )
    },
    "FileDatasetFactory.from_files": {
        "is_file": _unless(
            True, False, message="what is a file is seen from the path. Leave it out."
        )
    },
    "Model": {
        "expand": _unless(True, message="all is always there. Leave it out."),
        "model_framework": Keyword(_FRAMEWORK),
        "properties": Keyword("write Model.list(ws, name, properties={...}, latest=True)[0]."),
        "run_id": Keyword(
            "write Model.list(ws, name, properties={'run': run_id}), where they were registered so."
        ),
    },
    "Model.download": _each("write exist_ok=True.", "exists_ok"),
    "Model.list": {
        "dataset_id": Keyword("a model knows no dataset. Write tags={'dataset': ...}."),
        "expand": _unless(True, message="all is always there. Leave it out."),
        "model_framework": Keyword(_FRAMEWORK),
        "page_count": _unless(255, message="all are given at once. Leave it out."),
        "run_id": Keyword("write properties={'run': run_id}, where they were registered so."),
    },
    "Model.register": {
        **_each("a model knows no dataset. Write tags={'dataset': dataset.id}.", "datasets"),
        **_each(
            "all of a folder is registered. Put what is wanted into one, and leave it out.",
            "child_paths",
        ),
        **_each(_FRAMEWORK, "model_framework", "model_framework_version"),
        **_each(
            _NEVER_DEPLOYED,
            "resource_configuration",
            "sample_input_dataset",
            "sample_output_dataset",
        ),
    },
    "OutputFileDatasetConfig": {
        "partition_format": Keyword("write output.read_delimited_files(partition_format=...)."),
        "source": Keyword(
            "the script writes into a folder that it is told. Write arguments=[output] of its step."
        ),
    },
    "OutputFileDatasetConfig.as_upload": {
        "source_globs": Keyword(
            "all of the folder is the output. Have the script write there what is wanted only."
        )
    },
    "ParallelRunConfig": {
        "input_format": Keyword("the inputs' kind says it: files or rows. Leave it out."),
    },
    "ParallelRunStep": {
        "add_parallel_run_step_dependencies": _unless(
            True, False, message="what a node needs is there. Leave it out."
        ),
        "models": Keyword(
            "all registered models are there for the script: Model.get_model_path(name). Leave it "
            "out."
        ),
        "properties": Keyword("write submit(pipeline, tags={...})."),
        "tags": Keyword("write submit(pipeline, tags={...})."),
    },
    "Pipeline": {
        "default_datastore": Keyword(
            "say it of each output: PipelineData(name, datastore), or of all: "
            "ws.set_default_datastore(datastore)."
        ),
        "default_source_directory": Keyword(
            "say it of each step: source_directory=... of ParallelRunConfig or PythonScriptStep."
        ),
        "description": Keyword(
            "write pipeline.publish(name, description), or submit(pipeline, tags={...}) of a run."
        ),
        "resolve_closure": _unless(
            True, message="steps that others depend on are always taken in. Leave it out."
        ),
    },
    "Pipeline.submit": _SUBMIT,
    "PipelineData": {
        "data_type": Keyword(
            "an output is a folder of files. Write output.read_delimited_files(...) for their rows."
        ),
        "is_directory": _unless(
            True, message="an output is always a folder. Write a file into it."
        ),
        "output_mode": _unless(
            "mount",
            "upload",
            message="files for a URL are put there at the end of the step, others are written "
            "where they belong. Leave it out.",
        ),
        "output_name": Keyword("an output has one name. Write PipelineData(name)."),
        "output_overwrite": _unless(
            True, False, message="each run has a folder of its own. Leave it out."
        ),
        "output_path_on_compute": Keyword(
            "the script is told where to write. Write arguments=[output] of its step."
        ),
        "pipeline_output_name": Keyword(
            "write run.find_step_run(step)[0].get_output_data(name) for an output of a run."
        ),
        "training_output": Keyword(
            "no service trains models. Write them into the output in a PythonScriptStep."
        ),
    },
    "PipelineData.as_download": {
        "input_name": Keyword("write output.as_input('its_name').as_download()."),
        "overwrite": _unless(True, False, message="each node has a new copy. Leave it out."),
        "path_on_compute": _CALLED_PATH,
    },
    "PipelineData.as_mount": {
        "input_name": Keyword("write output.as_input('its_name').as_mount()."),
    },
    "PublishedPipeline.submit": _SUBMIT,
    "PythonScriptStep": {
        "hash_paths": Keyword(
            "all files of source_directory are looked at for reuse. Leave it out; what is not to "
            "be looked at is named in .amlignore."
        ),
        "runconfig": Keyword("write environment=... and compute_target=..., which say the same."),
        "runconfig_pipeline_params": Keyword(
            "write a PipelineParameter in the place of timeout or run_max_try, or in arguments."
        ),
        "version": Keyword(
            "the code itself is looked at for reuse. Leave it out, or write "
            "submit(pipeline, regenerate_outputs=True) once."
        ),
    },
    "Run": {"outputs": Keyword("write step_run.get_output_data(name) for an output of a step.")},
    "Run.get_children": {
        "properties": Keyword(_STEPS_OWN),
        "recursive": _unless(
            True, False, message="the steps have no runs below them. Leave it out."
        ),
        "status": Keyword(_STEPS_OWN),
        "tags": Keyword(_STEPS_OWN),
        "type": Keyword(_STEPS_OWN),
    },
    "Run.get_metrics": {
        "populate": _unless(
            False, message="an image is given as the path of its file. Leave it out."
        ),
        "run_type": Keyword(_STEPS_OWN),
    },
    "Run.log": {
        "step": Keyword("write log_row(name, step=1, value=0.1) for a table with a column for it.")
    },
    "Run.wait_for_completion": {
        "wait_post_processing": _unless(
            True, False, message="a run has ended when all is done. Leave it out."
        )
    },
    "RunDetails": {"run_instance": Keyword("it is called run here. Write RunDetails(run).")},
    "RunDetails.show": _each("it is shown as text. Leave it out.", "render_lib", "widget_settings"),
    "StepOutput.as_input": {"input_name": _CALLED_NAME},
    "TabularDataset.partition_by": {
        "partition_as_file_dataset": _unless(
            False, message="write Dataset.File.from_files(target, partition_format=...) of it."
        ),
        "show_progress": _unless(True, False, message="none is shown. Leave it out."),
    },
    "TabularDataset.to_dask_dataframe": {
        **_each(_WRONG_VALUES, "dtypes", "out_of_range_datetime"),
        "on_error": _unless("fail", message=_WRONG_VALUES),
        "sample_size": Keyword("the dataset itself finds the columns' types. Leave it out."),
    },
    "TabularDataset.to_pandas_dataframe": {
        "on_error": _unless("fail", message=_WRONG_VALUES),
        "out_of_range_datetime": Keyword(_WRONG_VALUES),
    },
    "TabularDataset.with_timestamp_columns": {
        "coarse_grain_timestamp": Keyword("write partition_timestamp='column'."),
        "fine_grain_timestamp": Keyword("write timestamp='column'."),
    },
    "Workspace": {
        **_each(
            f"{_NO_CLOUD} Write Workspace.from_config(path).",
            "resource_group",
            "subscription_id",
            "workspace_name",
        ),
        "auth": Keyword(_NO_ACCOUNT),
    },
    "Workspace.create": {
        **_each(
            _NO_CLOUD,
            "adb_workspace",
            "app_insights",
            "cmk_keyvault",
            "container_registry",
            "create_resource_group",
            "default_cpu_compute_target",
            "default_gpu_compute_target",
            "key_vault",
            "location",
            "primary_user_assigned_identity",
            "private_endpoint_auto_approval",
            "private_endpoint_config",
            "resource_cmk_uri",
            "resource_group",
            "sku",
            "storage_account",
            "subscription_id",
            "user_assigned_identity_for_cmk_encryption",
        ),
        "auth": Keyword(_NO_ACCOUNT),
        "friendly_name": Keyword("a workspace has one name. Write it as name='...'."),
        "hbi_workspace": _unless(False, message=_NO_CLOUD),
        "show_output": _unless(True, False, message="it is made at once. Leave it out."),
        "system_datastores_auth_mode": _unless("accessKey", message=_NO_ACCOUNT),
        "tags": Keyword("a workspace has no tags; runs, models and datasets have. Leave it out."),
    },
    "Workspace.from_config": {"auth": Keyword(_NO_ACCOUNT)},
    "Workspace.get": {
        "cloud": _unless("AzureCloud", message=_NO_CLOUD),
        "id": Keyword(_NO_CLOUD),
    },
}
"""By call, ``Class`` or ``Class.method``, what is said of a keyword that it doesn't have.

All are accepted where they are None, as the original has it for what isn't said.
"""
