"""From submit to the first ``run()`` in a fresh interpreter, and what importing costs."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.ground import make_files
from benchmarks.rounds import middle, one_round, show, show_spread

FIRST_RUN = 2.0
"""Seconds."""
IMPORT = 0.25
HEAVY = ("bokeh", "pandas", "pydantic", "rich")
"""What must not be imported before the first outcome: each costs tenths of a second."""
SCRIPT = """
import time
def run(mini_batch):
    return [repr(time.time())] * len(mini_batch)
"""


def main(rounds: int) -> bool:
    """Measure and print; True when every target is met."""
    print("startup: a fresh interpreter, ten files, two processes, a script without init()")
    found = [one_round("startup") for _ in range(rounds)]
    met = show("import daskrun", middle(found, "import"), "s", IMPORT, 3)
    met &= show("import daskrun and every name it has", middle(found, "names"), "s", IMPORT, 3)
    met &= show("submit to the first run()", middle(found, "first_run"), "s", FIRST_RUN, 2)
    show_spread("submit() itself, ms", found, "submit", 1000)
    show_spread("submit to the first run(), ms", found, "first_run", 1000)
    show_spread("submit to the end, ms", found, "end", 1000)
    heavy = sorted({name for one in found for name in one["heavy"]})
    print(f"  loaded at the first outcome, of {', '.join(HEAVY)}: {', '.join(heavy) or 'none'}")
    return met and not heavy


def measure() -> dict[str, Any]:
    """Measure once, in this interpreter, which has imported nothing of daskrun yet."""
    begin = time.perf_counter()
    import daskrun

    imported = time.perf_counter() - begin
    for name in daskrun.__all__:
        getattr(daskrun, name)
    names = time.perf_counter() - begin
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_files(folder / "data", 10)
        (folder / "score.py").write_text(SCRIPT)
        workspace = daskrun.Workspace.create("startup", folder)
        data = daskrun.Dataset.File.from_files(str(folder / "data")).as_named_input("files")
        config = daskrun.ParallelRunConfig(
            entry_script=str(folder / "score.py"),
            mini_batch_size=1,
            error_threshold=0,
            output_action="append_row",
            process_count_per_node=2,
        )
        output = daskrun.PipelineData("times")
        step = daskrun.ParallelRunStep(
            "startup", config, inputs=[data], output=output, allow_reuse=False
        )
        pipeline = daskrun.Pipeline(workspace, [step])
        submitted = time.time()
        run = daskrun.Experiment(workspace, "startup").submit(pipeline)
        returned = time.time()
        [step_run] = run.find_step_run("startup")
        while not (step_run.progress and step_run.progress.succeeded) and not step_run.status.ended:
            time.sleep(0.001)
        heavy = [name for name in HEAVY if name in sys.modules]
        run.wait_for_completion()
        ended = time.time()
        step_run.get_output_data("times").download(str(folder / "result"))
        [rows] = (folder / "result").rglob("parallel_run_step.txt")
        first_run = min(map(float, rows.read_text().split()))
    return {
        "import": imported,
        "names": names,
        "submit": returned - submitted,
        "first_run": first_run - submitted,
        "end": ended - submitted,
        "heavy": heavy,
    }


if __name__ == "__main__":
    print(json.dumps(measure()))
