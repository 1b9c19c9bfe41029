"""A workspace on S3 with a script, files and a model, and runs by other processes and machines."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from running import wait_until_nothing_is_left
from s3 import KEY, SECRET
from s3fs import S3FileSystem

from daskrun import (
    Dataset,
    DatasetConsumptionConfig,
    Experiment,
    Model,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    Workspace,
)
from daskrun.core.intervals import USUAL
from daskrun.engine.history import KILL_AT
from daskrun.script.node_folders import base_folder, clear_leftovers
from daskrun.storage import lease
from daskrun.workspace.run_folders import working_copy

INTERVALS = replace(USUAL, upload_interval=0.5, log_interval=0.2, closing_retry=0.2)
SCRIPT = """
import os, pathlib, time
from daskrun import Model, Run

def init():
    global weight
    weight = pathlib.Path(Model.get_model_path("weights")).read_text()

def run(mini_batch):
    rows = []
    for path in mini_batch:
        name = os.path.basename(path)
        with open(CALLS, "a") as file:
            file.write(name + "\\n")
        while os.path.exists(GATE):
            time.sleep(0.02)
        Run.get_context().log("files", 1)
        Run.get_context().parent.log("seen", name)
        print("seen", name)
        rows.append(f"{name}: {weight}")
    return rows
"""
MAIN = """
import json, sys
from daskrun import *

ws = Workspace(sys.argv[1])
config = ParallelRunConfig(
    entry_script="score.py", source_directory="code", error_threshold=-1, mini_batch_size=1,
    output_action="append_row", compute_target=sys.argv[2] or None, process_count_per_node=1)
files = Dataset.File.from_files("files").as_named_input("files")
step = ParallelRunStep("score", config, [files], PipelineData("scores"), allow_reuse=False)
run = Experiment(ws, "trial").submit(Pipeline(ws, [step]))
print(run.id, flush=True)
run.wait_for_completion()
"""
CALLS_A_TOOL = """
import pathlib, subprocess

def run(mini_batch):
    tool = pathlib.Path(__file__).with_name("tool.sh")
    return subprocess.run([tool], check=True, capture_output=True, text=True).stdout.split()
"""
NAMES = [f"{number}.txt" for number in range(10)]
EXPECTED = "".join(f"{name}: heavy\n" for name in NAMES)


@pytest.fixture
def work(bucket, tmp_path, own_temporary_folder, monkeypatch):
    """Give a workspace on S3 that every process finds the key of, files, and a script."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": bucket.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()  # one of another test's may have found no key
    (tmp_path / "files").mkdir()
    for name in NAMES:
        (tmp_path / "files" / name).write_text(name)
    (tmp_path / "code").mkdir()
    paths = f"CALLS, GATE = {str(tmp_path / 'calls')!r}, {str(tmp_path / 'gate')!r}\n"
    (tmp_path / "code/score.py").write_text(paths + SCRIPT)
    (tmp_path / "weights.txt").write_text("heavy")
    made = Workspace.create("team", path=f"{bucket.url}/team")
    working_copy.remove_copies()
    ws = Workspace(made.location, intervals=INTERVALS)
    Model.register(ws, tmp_path / "weights.txt", "weights")

    def make_step(name="score", inputs=None, output="scores", **settings):
        values = {
            "entry_script": "score.py",
            "source_directory": "code",
            "error_threshold": -1,
            "output_action": "append_row",
            "mini_batch_size": 1,
            "process_count_per_node": 1,
            "compute_target": "inline",
        }
        reuse = settings.pop("allow_reuse", False)
        config = ParallelRunConfig(**{**values, **settings})
        files = DatasetConsumptionConfig("files", Dataset.File.from_files("files"))
        output = PipelineData(output) if isinstance(output, str) else output
        return ParallelRunStep(name, config, inputs or [files], output, allow_reuse=reuse)

    def submit(step=None, **settings):
        pipeline = Pipeline(ws, [step or make_step(**settings)])
        return Experiment(ws, "trial").submit(pipeline)

    yield SimpleNamespace(ws=ws, path=tmp_path, make_step=make_step, submit=submit, bucket=bucket)
    working_copy.remove_copies()  # the process goes on with other tests
    clear_leftovers(base_folder())  # as the next run here does
    assert wait_until_nothing_is_left() == []


def output_of(run):
    (step,) = run.get_steps()
    reference = step.get_output_data("scores")
    store = reference.datastore
    path = Path(os.environ["TMPDIR"]).parent / f"result-{time.monotonic_ns()}"
    store.download(path, reference.path_on_datastore, show_progress=False)
    (file,) = path.rglob("parallel_run_step.txt")
    return file.read_text()


def calls(work):
    return (work.path / "calls").read_text().split()


def other(work, code, *, elsewhere=False, check=True):
    """Run code in another process, with ``ws``; ``elsewhere``: as if on another machine."""
    start = f"from daskrun import *\nws = Workspace({work.ws.location!r})\n"
    if elsewhere:
        start = (
            "from daskrun import *\n"
            "from daskrun.core.intervals import Intervals\n"
            "from daskrun.storage import lease\n"
            "lease._machine = lambda: 'another'\n"
            "intervals = Intervals(lease_lifetime=1.0, lease_look=0.1)\n"
            f"ws = Workspace({work.ws.location!r}, intervals=intervals)\n"
        )
    command = [sys.executable, "-c", start + code]
    done = subprocess.run(command, capture_output=True, timeout=90, check=False, text=True)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


def from_elsewhere(work, monkeypatch):
    """Have what is done from now on done on another machine; return its workspace."""
    monkeypatch.setattr(lease, "_machine", lambda: "another")
    intervals = replace(INTERVALS, lease_lifetime=0.5, lease_look=0.1)
    return Workspace(work.ws.location, intervals=intervals)


def driver(work, target="inline", **variables):
    """Start a process that submits a run and waits for it."""
    (work.path / "main.py").write_text(MAIN)
    command = [sys.executable, "main.py", work.ws.location, target]
    environment = {**os.environ, **variables}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def killed(work, kill_at, target="inline"):
    process = driver(work, target, **{KILL_AT: kill_at})
    run_id = process.communicate(timeout=60)[0].splitlines()[0]
    assert process.returncode == -signal.SIGKILL
    return run_id
