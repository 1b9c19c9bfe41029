"""Count the words of many files, with a SQLite database as the output.

python examples/sinks/run_sqlite.py
"""

from __future__ import annotations

import email
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from sqlite_sink import SqliteSink

from daskrun import (
    Dataset,
    Experiment,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    Workspace,
)

HERE = Path(__file__).parent
FILES = Path(email.__file__).parent / "*.py"
"""What there is in every Python."""


def build_pipeline(ws: Workspace) -> Pipeline:
    """Put the files, the entry script and the sink together."""
    config = ParallelRunConfig(
        source_directory=HERE,  # the sink is there too: script processes import it
        entry_script="count_words.py",
        mini_batch_size="3",
        error_threshold=0,
        output_action="append_row",
        append_row_format=SqliteSink(table="counts"),
        append_row_file_name="counts.db",
        process_count_per_node=2,
    )
    step = ParallelRunStep(
        name="count-words",
        parallel_run_config=config,
        inputs=[Dataset.File.from_files(str(FILES)).as_named_input("files")],
        output=PipelineData("counts"),
    )
    return Pipeline(ws, [step])


def main() -> None:
    """Run it, and query the output."""
    ws = Workspace.from_config(HERE)
    run = Experiment(ws, "words").submit(build_pipeline(ws))
    run.wait_for_completion()
    output = run.find_step_run("count-words")[0].get_output_data("counts")
    with tempfile.TemporaryDirectory() as folder:
        output.download(folder)
        database = Path(folder, output.path_on_datastore, "counts.db")
        with closing(sqlite3.connect(database)) as connection:
            asked = "SELECT count(*), sum(words) FROM counts"
            files, words = connection.execute(asked).fetchone()
    print(f"{files} files, {words} words")


if __name__ == "__main__":
    main()
