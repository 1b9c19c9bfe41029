"""A driver that is killed when 90 % is done: what does going on cost, beside what is left?"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.ground import make_files
from benchmarks.rounds import ROOT, asked_items, middle, show, show_spread

if TYPE_CHECKING:
    from daskrun.pipeline.runs.run import StepRun

MINI_BATCHES = 10_000
EACH = 0.02
"""Seconds a mini-batch takes."""
PROCESSES = 2
DONE = 0.9
"""The part of the mini-batches that the journal has when the driver is killed."""
MOST = 12.0
"""Percent of a whole run's time."""
LOOK = 0.1
SCRIPT = f"""
import time
from pathlib import Path


def run(mini_batch):
    began = time.time()
    time.sleep({EACH})
    return [f"{{Path(mini_batch[0]).stem}} {{began}}"]
"""


def main(rounds: int) -> bool:
    """Measure and print; True when the target is met."""
    count = asked_items(MINI_BATCHES)
    print(
        f"resume: {count:,} mini-batches of {EACH * 1000:g} ms, {PROCESSES} processes; "
        f"the driver gets SIGKILL at {DONE:.0%}"
    )
    found = [measure() for _ in range(rounds)]
    print(f"  {'the whole run, undisturbed':<58}{middle(found, 'whole'):>12.1f} s")
    print(f"  {'its start-up, which is in neither':<58}{middle(found, 'start_up'):>12.1f} s")
    print(f"  {'from the resume to the output':<58}{middle(found, 'resumed'):>12.1f} s")
    print(f"  {'mini-batches that the journal had, %':<58}{middle(found, 'done'):>12.2f} %")
    met = show("resuming, of the whole run's time", middle(found, "percent"), "%", MOST, 2)
    show_spread("percent", found, "percent")
    return met


def measure() -> dict[str, Any]:
    """Measure a whole run, and one that is killed and resumed; each driver is a process."""
    with tempfile.TemporaryDirectory(prefix="resume-") as folder:
        place = Path(folder)
        make_files(place / "data", asked_items(MINI_BATCHES))
        began = time.time()
        _ended(_start(place, "whole"))
        step = _step(place, "whole")
        output = _checked_output(step)
        first = min(float(line.split()[1]) for line in output.read_text().splitlines())
        start_up, whole = first - began, output.stat().st_ctime - first

        driver = _start(place, "killed")
        done = _kill_when_done(place, driver)
        began = time.time()
        _ended(_start(place, "killed"))
        output = _checked_output(_step(place, "killed"))
        resumed = output.stat().st_ctime - began - start_up
    return {
        "whole": whole,
        "start_up": start_up,
        "resumed": resumed,
        "done": 100 * done / asked_items(MINI_BATCHES),
        "percent": 100 * resumed / whole,
    }


def _start(place: Path, name: str) -> subprocess.Popen[bytes]:
    """Start a driver: of a new run, or of one that has lost its own."""
    return subprocess.Popen([sys.executable, "-m", "benchmarks.resume", str(place), name], cwd=ROOT)


def _ended(driver: subprocess.Popen[bytes]) -> None:
    code = driver.wait(timeout=60 + 3 * asked_items(MINI_BATCHES) * EACH / PROCESSES)
    assert code == 0, f"the driver ended with {code}"


def _kill_when_done(place: Path, driver: subprocess.Popen[bytes]) -> int:
    """Kill the driver when enough is done; give how many mini-batches its journal has."""
    try:
        while _done(place) < DONE * asked_items(MINI_BATCHES):
            time.sleep(LOOK)
            assert driver.poll() is None, "the run ended before it was killed"
    finally:
        driver.kill()
        driver.wait()
    return _done(place)


def _done(place: Path) -> int:
    from daskrun.storage.journal import Journal

    folders = (place / "killed" / ".daskrun" / "runs").glob("*-score")
    journals = [path / "journal" for path in folders if (path / "journal").exists()]
    entries = [entry for path in journals for entry in Journal.read(path, "bundle")]
    return sum(len(entry["outcomes"]) for entry in entries)


def _checked_output(step: StepRun) -> Path:
    """Give the output, whose rows are all there once, each in its place."""
    from daskrun.testing import account

    found = account(step)
    found.check()
    assert found.exact, found
    assert found.succeeded == asked_items(MINI_BATCHES), found
    assert step.output_folder is not None
    return Path(step.output_folder) / "parallel_run_step.txt"


def _step(place: Path, name: str) -> StepRun:
    from daskrun import Experiment, Workspace

    [run] = Experiment(Workspace.create(name, place / name), name).get_runs()
    [step] = run.get_steps()
    return step


def drive(place: Path, name: str) -> None:
    """Be the driver's process: submit, or resume the run that there is."""
    from daskrun import (
        Dataset,
        Experiment,
        ParallelRunConfig,
        ParallelRunStep,
        Pipeline,
        PipelineData,
        Workspace,
    )

    workspace = Workspace.create(name, place / name)
    experiment = Experiment(workspace, name)
    known = list(experiment.get_runs())
    if known:
        known[0].resume().wait_for_completion()
        return
    script = place / name / "score.py"
    script.write_text(SCRIPT)
    config = ParallelRunConfig(
        entry_script=str(script),
        mini_batch_size=1,
        error_threshold=0,
        output_action="append_row",
        process_count_per_node=PROCESSES,
    )
    data = Dataset.File.from_files(str(place / "data")).as_named_input("items")
    step = ParallelRunStep(
        "score", config, inputs=[data], output=PipelineData("rows"), allow_reuse=False
    )
    experiment.submit(Pipeline(workspace, [step])).wait_for_completion()


if __name__ == "__main__":
    drive(Path(sys.argv[1]), sys.argv[2])
