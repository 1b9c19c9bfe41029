"""Say of which species each of some flowers is: a table, a scikit-learn model, one output file.

    python examples/iris/run_iris.py

It makes the flowers and trains the model (``prepare.py``) where they are not there yet, runs
``score_iris.py`` over the table in two processes, compares the result with the true species, and
submits the same pipeline again with other numbers. The workspace, the flowers and the model are
kept beside this file, in ``.daskrun``, ``data`` and ``models``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from prepare import DATA, HERE, MODEL, prepare

from daskrun import (
    Dataset,
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
    from daskrun.pipeline.runs.run import PipelineRun

STEP = "score-iris"
OUTPUT = "scores"
RESULT_FILE = "species.csv"


def build_pipeline(ws: Workspace) -> Pipeline:
    """Put the table, the entry script and the numbers together."""
    flowers = Dataset.Tabular.from_delimited_files(str(DATA / "flowers"))
    config = ParallelRunConfig(
        source_directory=HERE,
        entry_script="score_iris.py",
        # About so many bytes of a file: some fifty flowers. Real tables want megabytes.
        mini_batch_size=PipelineParameter("batch_size_param", "1KB"),
        error_threshold=0,
        output_action="append_row",
        append_row_file_name=RESULT_FILE,
        append_row_format="csv",
        process_count_per_node=PipelineParameter("process_count_param", 2),
    )
    step = ParallelRunStep(
        name=STEP,
        parallel_run_config=config,
        inputs=[flowers.as_named_input("flowers")],
        output=PipelineData(OUTPUT),
        arguments=["--least", PipelineParameter("least_param", 0.0)],
    )
    return Pipeline(ws, [step])


def read_result(run: PipelineRun) -> pd.DataFrame:
    """Download the step's output file and read it as a table."""
    output = run.find_step_run(STEP)[0].get_output_data(OUTPUT)
    with tempfile.TemporaryDirectory() as folder:
        output.download(folder)
        return pd.read_csv(Path(folder, output.path_on_datastore, RESULT_FILE))


def main() -> None:
    prepare()
    ws = Workspace.from_config(HERE)
    Model.register(ws, MODEL, "iris", description="Species by four measures, by prepare.py")
    pipeline = build_pipeline(ws)
    experiment = Experiment(ws, "iris")

    run = experiment.submit(pipeline)
    run.wait_for_completion(show_output=True)
    result = read_result(run)
    print(f"\n{len(result)} flowers\n{result.head()}")
    truth = pd.read_csv(DATA / "species.csv")
    both = result.merge(truth, on="flower", suffixes=("", "_true"), validate="one_to_one")
    print(f"Accuracy: {(both['species'] == both['species_true']).mean():.2%}\n")

    # The same pipeline again: larger mini-batches, and what the model doubts is not said
    run = experiment.submit(pipeline, {"batch_size_param": "1MB", "least_param": 0.9})
    run.wait_for_completion(show_output=True)
    print(f"\nUnsure: {(read_result(run)['species'] == 'unsure').sum()} flowers\n")
    RunDetails(run).show()


if __name__ == "__main__":
    main()
