"""Say which digit each of many images shows: the tutorial, from workspace to result table.

    python examples/mnist/run_mnist.py
    python examples/mnist/run_mnist.py --mnist-dir <folder with MNIST's idx files>

It makes the images (``make_digits.py``) and trains a model (``train_model.py``) where they are not
there yet, runs ``digit_identification.py`` over the images in two processes, compares the result
with the true labels, and submits the same pipeline again with one image. The workspace, the images
and the model are kept beside this file, in ``.daskrun``, ``data`` and ``models``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from make_digits import HERE, make_digits
from train_model import make_model

from daskrun import (
    AmlCompute,
    ComputeTarget,
    CondaDependencies,
    Dataset,
    DatasetConsumptionConfig,
    Datastore,
    Environment,
    Experiment,
    Model,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    PipelineParameter,
    RunDetails,
    Workspace,
)

if TYPE_CHECKING:
    import pandas as pd

    from daskrun.pipeline.runs.run import PipelineRun

STEP = "predict-digits-mnist"
OUTPUT = "inferences"
RESULT_FILE = "mnist_outputs.txt"


def get_compute(ws: Workspace) -> ComputeTarget:
    """Give the workspace's compute target, created on the first run."""
    name = os.environ.get("AML_COMPUTE_CLUSTER_NAME", "cpucluster")
    if name in ws.compute_targets:
        print(f"found compute target. just use it. {name}")
        return ws.compute_targets[name]
    print("creating a new compute target...")
    provisioning = AmlCompute.provisioning_configuration(
        vm_size=os.environ.get("AML_COMPUTE_CLUSTER_SKU", "STANDARD_D2_V2"),
        min_nodes=os.environ.get("AML_COMPUTE_CLUSTER_MIN_NODES", 0),
        max_nodes=os.environ.get("AML_COMPUTE_CLUSTER_MAX_NODES", 4),
    )
    target = ComputeTarget.create(ws, name, provisioning)
    target.wait_for_completion(show_output=True, min_node_count=None, timeout_in_minutes=20)
    print(target.get_status().serialize())
    return target


def get_environment() -> Environment:
    """Say what the entry script needs."""
    environment = Environment(name="batch_environment")
    environment.python.conda_dependencies = CondaDependencies.create(
        pip_packages=["tensorflow", "pillow"]
    )
    return environment


def build_pipeline(ws: Workspace, digits: Datastore) -> Pipeline:
    """Put the images, the entry script and the numbers together."""
    images = Dataset.File.from_files(path=digits.path("mnist/"), validate=False)
    parameter = PipelineParameter(name="mnist_param", default_value=images)
    config = ParallelRunConfig(
        source_directory=str(HERE),
        entry_script="digit_identification.py",
        mini_batch_size=PipelineParameter(name="batch_size_param", default_value="5"),
        error_threshold=10,
        output_action="append_row",
        append_row_file_name=RESULT_FILE,
        environment=get_environment(),
        compute_target=get_compute(ws),
        process_count_per_node=PipelineParameter(name="process_count_param", default_value=2),
        # One node of two processes: the tutorial's two nodes would want four cores.
        node_count=1,
    )
    step = ParallelRunStep(
        name=STEP,
        parallel_run_config=config,
        inputs=[DatasetConsumptionConfig("minist_param_config", parameter).as_mount()],
        output=PipelineData(name=OUTPUT, datastore=ws.get_default_datastore()),
        allow_reuse=True,
    )
    return Pipeline(workspace=ws, steps=[step])


def read_result(run: PipelineRun) -> pd.DataFrame:
    """Download the step's output file and read it as a table."""
    import pandas as pd  # here, because the run itself does without it

    output = run.find_step_run(STEP)[0].get_output_data(OUTPUT)
    with tempfile.TemporaryDirectory() as folder:
        output.download(local_path=folder)
        file = Path(folder, output.path_on_datastore, RESULT_FILE)
        table = pd.read_csv(file, delimiter=":", header=None)
    table.columns = ["Filename", "Prediction"]
    return table


def accuracy(result: pd.DataFrame, labels: Path) -> float:
    """Give the share of predictions that are the true label."""
    import pandas as pd

    both = result.merge(pd.read_csv(labels), on="Filename", validate="one_to_one")
    return float((both["Prediction"] == both["Label"]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the MNIST example.")
    parser.add_argument("--mnist-dir", type=Path, help="folder with MNIST's idx files")
    folder = make_digits(parser.parse_args().mnist_dir)
    model_path = make_model(folder)

    ws = Workspace.from_config(path=HERE)
    digits = Datastore.register_local(ws, "mnist_datastore", folder, overwrite=True)
    Model.register(
        workspace=ws,
        model_path=model_path,
        model_name="mnist",
        tags={"trained": folder.name},
        description="Digits, trained by train_model.py",
    )
    pipeline = build_pipeline(ws, digits)
    experiment = Experiment(ws, "digit_identification")

    run = experiment.submit(pipeline)
    RunDetails(run).show()
    run.wait_for_completion(show_output=True)
    result = read_result(run)
    print(f"\nPrediction has {len(result)} rows")
    print(result.head(10))
    print(f"Accuracy: {accuracy(result, folder / 'labels.csv'):.2%}\n")

    # The same pipeline again, with other data and numbers
    one_image = Dataset.File.from_files(path=digits.path("mnist/0.png"), validate=False)
    values = {"mnist_param": one_image, "batch_size_param": "1", "process_count_param": 1}
    run = experiment.submit(pipeline, pipeline_parameters=values)
    run.wait_for_completion(show_output=True)
    print(f"\nThe one image:\n{read_result(run).to_string(index=False)}")


if __name__ == "__main__":
    main()
