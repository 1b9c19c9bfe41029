"""Train a model for each store and brand, and forecast with them: a pipeline of two steps.

    python examples/many_models/run_many_models.py

It makes the sales (``make_sales.py``) and puts each brand of each store into files of its own. The
first step runs ``train_one.py`` on each history, the second ``forecast_one.py`` on each's coming
weeks with the model of the first; the forecasts are compared with what was sold. The workspace and
the sales are kept beside this file, in ``.daskrun`` and ``data``.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from make_sales import DATA, HERE, make_sales

from daskrun import (
    Dataset,
    DataType,
    Experiment,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    Workspace,
)

if TYPE_CHECKING:
    from daskrun.data.tabular.tabular_dataset import TabularDataset
    from daskrun.pipeline.runs.run import PipelineRun

KEYS = ["store", "brand"]
FORECASTS = "forecasts.csv"


def partitioned(name: str) -> TabularDataset:
    """Give a table of sales as files in a folder for each store and brand."""
    folder = DATA / "partitioned" / name
    if not folder.exists():
        # Dates stay text: what a week means is for the scripts to say.
        types = {"week": DataType.to_string()}
        file = str(DATA / f"{name}.csv")
        table = Dataset.Tabular.from_delimited_files(file, set_column_types=types)
        # Beside its place first: what is stopped on the way is not taken for the whole.
        unfinished = folder.with_name(f".{name}-{os.getpid()}")
        table.partition_by(KEYS, unfinished)
        unfinished.rename(folder)
    return Dataset.Tabular.from_parquet_files(
        str(folder), partition_format="{store}/{brand}/*.parquet"
    )


def build_pipeline(ws: Workspace) -> Pipeline:
    """Put two steps together, of which the second begins when the first has completed."""
    models = PipelineData("models")
    common = {
        "source_directory": HERE,
        "partition_keys": KEYS,  # one run() for each store and brand
        "error_threshold": 0,
        "process_count_per_node": 2,
    }
    train = ParallelRunStep(
        name="train",
        parallel_run_config=ParallelRunConfig(
            entry_script="train_one.py", output_action="summary_only", **common
        ),
        inputs=[partitioned("history").as_named_input("history")],
        output=models,
    )
    forecast = ParallelRunStep(
        name="forecast",
        parallel_run_config=ParallelRunConfig(
            entry_script="forecast_one.py",
            output_action="append_row",
            append_row_file_name=FORECASTS,
            append_row_format="csv",
            **common,
        ),
        inputs=[partitioned("coming").as_named_input("coming")],
        output=PipelineData("forecasts"),
        # All models are on each node before its script processes begin; the script is told where.
        side_inputs=[models],
        arguments=["--models", models],
    )
    return Pipeline(ws, [train, forecast])


def read_forecasts(run: PipelineRun) -> pd.DataFrame:
    """Download the second step's output file and read it as a table."""
    output = run.find_step_run("forecast")[0].get_output_data("forecasts")
    with tempfile.TemporaryDirectory() as folder:
        output.download(folder)
        return pd.read_csv(Path(folder, output.path_on_datastore, FORECASTS))


def main() -> None:
    make_sales()
    ws = Workspace.from_config(HERE)
    run = Experiment(ws, "many_models").submit(build_pipeline(ws))
    run.wait_for_completion(show_output=True)

    models = pd.DataFrame(run.find_step_run("train")[0].get_metrics("models")["models"])
    print(f"\n{len(models)} models, by how well they fit their history")
    print(models.sort_values("error").to_string(index=False))

    forecasts = read_forecasts(run)
    both = forecasts.merge(pd.read_csv(DATA / "sold.csv"), on=[*KEYS, "week"], validate="1:1")
    off = (both["forecast"] / both["sold"] - 1).abs().mean()
    print(f"\n{len(forecasts)} forecasts, off by {off:.1%} on average")
    print(both.head().to_string(index=False))


if __name__ == "__main__":
    main()
