"""A program for the original that uses each name that daskrun accepts: run by a test."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import azureml.core
import azureml.exceptions
from azureml import pipeline as whole_package
from azureml.core import (
    Dataset,
    Datastore,
    Environment,
    Experiment,
    Keyvault,  # noqa: F401  (nobody uses it)
    Model,
    RunConfiguration,
    ScriptRunConfig,
    Workspace,
)
from azureml.core.authentication import (
    AzureCliAuthentication,
    InteractiveLoginAuthentication,
    MsiAuthentication,
    ServicePrincipalAuthentication,
)
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.core.conda_dependencies import CondaDependencies
from azureml.core.runconfig import DockerConfiguration, MpiConfiguration
from azureml.core.webservice import AciWebservice  # noqa: F401
from azureml.data import OutputFileDatasetConfig
from azureml.data.data_reference import DataReference
from azureml.data.dataset_consumption_config import DatasetConsumptionConfig
from azureml.data.output_dataset_config import OutputDatasetConfig
from azureml.exceptions import WebserviceException
from azureml.pipeline.core import Pipeline, PipelineData, StepSequence
from azureml.pipeline.steps import ParallelRunConfig, ParallelRunStep, PythonScriptStep
from azureml.train.automl import AutoMLConfig  # noqa: F401
from packaging.version import Version

assert Version(azureml.core.VERSION) > Version("1.40")
assert whole_package.core.Pipeline is Pipeline
for account in (
    InteractiveLoginAuthentication(tenant_id="t"),
    ServicePrincipalAuthentication("t", "i", "secret"),
    MsiAuthentication(),
    AzureCliAuthentication(),
):
    ws = Workspace.from_config(path=".azureml/config.json", auth=account)
store = ws.get_default_datastore()

# -- data, a model that a notebook trained
Path("data").mkdir()
for number in range(4):
    Path("data", f"{number}.txt").write_text(str(number))
store.upload("data", target_path="data", show_progress=False)
files = Dataset.File.from_files(store.path("data")).register(ws, "numbers")
run = Experiment(ws, "names").start_logging(snapshot_directory=None)
run.log("loss", 0.5)
run.set_tags({"of": "the notebook"})
Path("model.txt").write_text("7")
run.upload_file("outputs/model.txt", "model.txt")
with run.child_run(name="fold") as child:
    child.log("loss", 0.4)
model = run.register_model("seven", "outputs/model.txt", model_framework="Custom")
run.complete()
assert run.get_status() == "Completed"
assert "outputs/model.txt" in run.get_file_names()
run.download_file("outputs/model.txt", "back.txt")
run.download_files(prefix="outputs", output_directory="back")
assert Model.get_model_path("seven", 1, ws) == Model.get_model_path("seven", _workspace=ws)

# -- environments and run configurations
curated = Environment.get(ws, "AzureML-Minimal")
assert Environment.from_docker_image("image", "an/image").docker.base_image == "an/image"
packages = CondaDependencies.create(conda_packages=["packaging", "cudatoolkit"], pip_packages=[])
configuration = RunConfiguration(conda_dependencies=packages)
configuration.docker = DockerConfiguration(use_docker=True)
configuration.mpi = MpiConfiguration()
configuration.environment_variables = {"IS_ON": True}

# -- a script before: outputs and inputs in the arguments alone
table = OutputFileDatasetConfig("table", (store, "table/{run-id}")).read_delimited_files()
table = table.register_on_complete("table")
assert isinstance(OutputFileDatasetConfig(), OutputDatasetConfig)
pages = PipelineData("pages", store, output_mode="upload", is_directory=True)
reference = DataReference(store, data_reference_name="all", path_on_datastore="data")
direct = DatasetConsumptionConfig("direct", files, mode="direct")
train = PythonScriptStep(
    name="Train Model",
    script_name="train.py",
    source_directory="",
    arguments=["--table", table, "--pages", pages, "--all", reference, "--direct", direct],
    inputs=[reference],
    outputs=[pages],
    runconfig=configuration,
    hash_paths=["."],
    allow_reuse=False,
)

# -- mini-batches after
Path("config.yml").write_text(
    "parallel_run_config:\n  entry_script: steps.score\n  source_directory: .\n"
    "  input_format: file\n  mini_batch_size: '1'\n  error_threshold: 0\n"
    "  output_action: APPEND_ROW\n  process_count_per_node: 2\n"
    "  environment_name: AzureML-Minimal\n"
)
config = ParallelRunConfig.load_yaml(ws, "config.yml")
config.environment_variables = {"IS_ON": True}
config.save_to_yaml("again.yml")
target = ComputeTarget.create(
    ws, "cpu", AmlCompute.provisioning_configuration(vm_size="D2", max_nodes=1, vnet_name="net")
)
config.compute_target = target
extra = OutputFileDatasetConfig("extra")
score = ParallelRunStep(
    name="score",
    parallel_run_config=config,
    inputs=[files.as_named_input("numbers")],
    output=PipelineData("scores").as_dataset(),
    arguments=["--extra", extra, "--table", table.as_input("rows"), "--pages", pages.as_input()],
)
steps = StepSequence([train, score])
whole = Pipeline(ws, steps=steps, description="all names", default_datastore=store)
published = whole.publish("all names")
assert "submit" in published.endpoint
pipeline_run = Experiment(ws, "names").submit(config=published, credential_passthrough=True)
pipeline_run.wait_for_completion()
assert pipeline_run.get_portal_url()
(scored,) = pipeline_run.find_step_run("score")
(trained,) = pipeline_run.find_step_run("Train Model")
assert "outputs/kept.txt" in trained.get_file_names()
assert [each.get_metrics() for each in trained.get_children()] == [{"n": 1}]
scores = scored.get_output_data("scores")
scores.download("results")
lines = Path("results", scores.path_on_datastore, "parallel_run_step.txt").read_text().splitlines()
assert lines == [f"{number} 7 True 2 scores 1 [0, 2]" for number in range(4)], lines
assert len(Dataset.get_by_name(ws, "table").to_pandas_dataframe()) == 2

# -- a script by itself
source = ScriptRunConfig(".", "alone.py", environment=curated, compute_target="local")
alone = Experiment(ws, "names").submit(source)
alone.wait_for_completion()
assert alone.get_metrics() == {"workspace": ws.name}
with suppress(azureml.exceptions.UserErrorException):
    Datastore.get(ws, "gone")
with suppress(WebserviceException):
    Model(ws, "gone")
print("all names", os.getcwd())
