"""A program over tables, written with the original's imports alone, runs by the command."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

SCORE = """
import argparse
import os

import numpy as np
from azureml.core import Model, Run
from azureml_user.parallel_run import EntryScript


def init():
    global bounds, logger, run, arguments
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", dest="model_name")
    arguments, unknown_args = parser.parse_known_args()
    bounds = np.load(Model.get_model_path(arguments.model_name))
    logger = EntryScript().logger
    run = Run.get_context()


def run(mini_batch):
    logger.info(f"{len(mini_batch)} rows")
    Run.get_context().log("rows", len(mini_batch))
    kind = np.searchsorted(bounds, mini_batch["petal_width"].to_numpy())
    return mini_batch.assign(kind=kind)[["flower", "kind"]]
"""

TOTALS = """
def run(mini_batch, context):
    key = context.partition_key_value
    return [f"{key['store']}/{key['brand']}: {len(mini_batch)} weeks, {mini_batch['sold'].sum()}"]
"""

PROGRAM = """
import os
import tempfile

import azureml.core
import pandas as pd
from azureml.core import Dataset, Datastore, Environment, Experiment, Model, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.core.compute_target import ComputeTargetException
from azureml.core.conda_dependencies import CondaDependencies
from azureml.core.runconfig import DEFAULT_CPU_IMAGE
from azureml.data import TabularDataset
from azureml.data.datapath import DataPath
from azureml.data.dataset_consumption_config import DatasetConsumptionConfig
from azureml.data.dataset_factory import DataType
from azureml.data.dataset_type_definitions import PromoteHeadersBehavior
from azureml.exceptions import UserErrorException
from azureml.pipeline.core import Pipeline, PipelineData, PipelineParameter
from azureml.pipeline.steps import ParallelRunConfig, ParallelRunStep
from azureml.widgets import RunDetails

print("SDK version:", azureml.core.VERSION)

ws = Workspace.from_config()
print(ws.name, ws.resource_group, ws.location, ws.subscription_id, sep="\\n")

try:
    compute_target = ComputeTarget(workspace=ws, name="cpu-cluster")
except ComputeTargetException:
    compute_config = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", max_nodes=2)
    compute_target = ComputeTarget.create(ws, "cpu-cluster", compute_config)
compute_target.wait_for_completion(show_output=True)

datastore = ws.get_default_datastore()
datastore.upload_files(["iris/a.csv", "iris/b.csv"], relative_root="iris", target_path="iris",
                       overwrite=True, show_progress=False)
iris = Dataset.Tabular.from_delimited_files(
    path=DataPath(datastore=datastore, path_on_datastore="iris/*.csv"),
    header=PromoteHeadersBehavior.ALL_FILES_HAVE_SAME_HEADERS,
    set_column_types={"flower": DataType.to_string()},
)
iris = iris.register(ws, "iris_data", create_new_version=True)
assert isinstance(Dataset.get_by_name(ws, name="iris_data"), TabularDataset)

model = Model.register(workspace=ws, model_path="bounds.npy", model_name="iris-bounds",
                       tags={"kind": "bounds"})

deps = CondaDependencies.create(pip_packages=["numpy", "pandas", "azureml-core",
                                              "azureml-dataset-runtime[pandas, fuse]"])
environment = Environment(name="tables")
environment.python.conda_dependencies = deps
environment.docker.base_image = DEFAULT_CPU_IMAGE


def make_config(script, error_threshold=0, **settings):
    return ParallelRunConfig(
        source_directory="scripts",
        entry_script=script,
        error_threshold=error_threshold,
        output_action="append_row",
        environment=environment,
        compute_target=compute_target,
        process_count_per_node=PipelineParameter(name="process_count_param", default_value=2),
        run_invocation_timeout=60,
        **settings,
    )


try:
    make_config("score.py", node_count=0)
except UserErrorException as error:
    print("refused:", error)

size = PipelineParameter(name="batch_size_param", default_value="1KB")
config = make_config("score.py", mini_batch_size=size, node_count=2,
                     append_row_file_name="iris_outputs.txt")
param = PipelineParameter(name="iris_param", default_value=iris)
output = PipelineData(name="predictions", datastore=datastore)
step = ParallelRunStep(
    name="score-iris",
    parallel_run_config=config,
    inputs=[DatasetConsumptionConfig("iris", param)],
    output=output,
    arguments=["--model", "iris-bounds"],
    allow_reuse=False,
)
experiment = Experiment(ws, "iris")
pipeline = Pipeline(workspace=ws, steps=[step])
run = experiment.submit(pipeline)
RunDetails(run).show()
run.wait_for_completion(show_output=True)

prediction = run.find_step_run(step.name)[0].get_output_data("predictions")
target_dir = tempfile.mkdtemp()
prediction.download(local_path=target_dir)
result_file = os.path.join(target_dir, prediction.path_on_datastore, config.append_row_file_name)
df = pd.read_csv(result_file, delimiter=" ", header=None)
df.columns = ["Flower", "Kind"]
df.to_csv("predictions.csv", index=False)
print(run.get_steps()[0].get_metrics())

one = experiment.submit(pipeline, pipeline_parameters={"iris_param": iris.take(3),
                                                       "batch_size_param": "1MB",
                                                       "process_count_param": 1})
one.wait_for_completion(show_output=False)
print("taken:", one.get_steps()[0].get_metrics()["rows"])

sales = Dataset.Tabular.from_delimited_files(path="sales.csv")
partitioned = sales.partition_by(partition_keys=["store", "brand"],
                                 target=DataPath(datastore, "partitioned_sales"), name="sales")
print(partitioned.partition_keys, partitioned.get_partition_key_values(["brand"]))
totals = ParallelRunStep(
    name="totals",
    parallel_run_config=make_config("totals.py", -1, partition_keys=["store", "brand"]),
    inputs=[partitioned.as_named_input("sales")],
    output=PipelineData("totals", datastore=datastore),
)
run = Experiment(ws, "sales").submit(Pipeline(workspace=ws, steps=[totals]))
run.wait_for_completion()
data = run.get_steps()[0].get_output_data("totals")
data.download("totals")
print(open(os.path.join("totals", data.path_on_datastore, "parallel_run_step.txt")).read())
"""

FLOWERS = 90
WEEKS = 8


@pytest.fixture
def folder(tmp_path):
    """Lay the program, its scripts and its data into a folder."""
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "config.json").write_text(
        json.dumps({"subscription_id": "1", "resource_group": "g", "workspace_name": "flowers"})
    )
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "score.py").write_text(SCORE)
    (tmp_path / "scripts" / "totals.py").write_text(TOTALS)
    np.save(tmp_path / "bounds.npy", np.array([0.8, 1.7]))
    (tmp_path / "iris").mkdir()
    widths = [round(0.1 + 2.4 * n / FLOWERS, 2) for n in range(FLOWERS)]
    for name, numbers in (("a", range(60)), ("b", range(60, FLOWERS))):
        with (tmp_path / "iris" / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["flower", "petal_length", "petal_width"])
            writer.writerows([f"{n:04d}", "1.5" * 9, widths[n]] for n in numbers)
    with (tmp_path / "sales.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["store", "brand", "week", "sold"])
        for week in range(WEEKS):
            for store in (1, 2):
                writer.writerows([store, brand, week, store * week] for brand in ("dom", "min"))
    return tmp_path, [int(np.searchsorted([0.8, 1.7], width)) for width in widths]


@pytest.mark.slow
def test_a_program_over_tables_runs_with_the_originals_imports(folder):
    path, kinds = folder
    command = [sys.executable, "-m", "daskrun.azureml", "program.py"]
    done = subprocess.run(command, cwd=path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    assert said[0].startswith("SDK version: ")
    assert said[1:5] == ["flowers", "", str(path / ".daskrun"), ""]
    assert "refused: ParallelRunConfig: node_count=0" in done.stdout

    with (path / "predictions.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert rows == [[str(n), str(kind)] for n, kind in enumerate(kinds)]

    (metrics,) = (line for line in said if line.startswith("{'rows': ["))
    parts = [int(text) for text in metrics.strip("{}]").partition("[")[2].split(",")]
    assert sum(parts) == FLOWERS
    assert len(parts) > 2  # of two files, one of them larger than 1 KB
    assert "taken: 3" in said

    assert "['store', 'brand'] [{'brand': 'dom'}, {'brand': 'min'}]" in said
    total = sum(range(WEEKS))
    expected = [f"{s}/{b}: {WEEKS} weeks, {s * total}" for s in (1, 2) for b in ("dom", "min")]
    assert [line for line in said if " weeks, " in line] == expected
