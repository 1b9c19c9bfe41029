"""Runs that end in the middle of bringing side inputs: nothing is left, the next fetches them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from running import wait_for, wait_until_nothing_is_left
from s3 import KEY, SECRET

from daskrun import Experiment, Workspace
from daskrun.script.node_folders import base_folder, clear_leftovers

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_temporary_folder")]
MAIN = """
from daskrun import *

ws = Workspace.create("trial")
cloud = Datastore.register_s3(
    ws, "cloud", {store!r}, endpoint_url={endpoint!r}, key={key!r}, secret={secret!r},
    overwrite=True)
side = Dataset.File.from_files(cloud.path("lookup/")).as_named_input("lookup")
config = ParallelRunConfig(
    entry_script="score.py", error_threshold=0, output_action="append_row",
    compute_target={target!r}, process_count_per_node=1, mini_batch_size=1)
step = ParallelRunStep(
    "score", config, [Dataset.File.from_files("files")], PipelineData("rows"),
    side_inputs=[side], arguments=[side], allow_reuse=False)
run = Experiment(ws, "trial").submit(Pipeline(ws, [step]))
print(run.id, flush=True)
print(run.wait_for_completion(raise_on_error=False), flush=True)
"""
SCORE = """
import os, sys

def run(mini_batch):
    return [" ".join(sorted(os.listdir(sys.argv[1])))]
"""


@pytest.fixture
def start(tmp_path, monkeypatch, bucket):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DASKRUN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "files").mkdir()
    (tmp_path / "files/1.txt").write_text("1")
    (tmp_path / "score.py").write_text(SCORE)
    for name in "ab":
        bucket.put(f"store/lookup/{name}.bin", name.encode())
    started = []

    def begin(target):
        values = {"endpoint": bucket.endpoint, "key": KEY, "secret": SECRET, "target": target}
        code = MAIN.format(store=f"{bucket.name}/store", **values)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen([sys.executable, "-c", code], text=True, **pipes))
        return started[-1]

    yield begin
    for each in started:
        each.kill()
        each.communicate()


def cancel(process, run_id):
    Experiment(Workspace.create("trial"), "trial").get_run(run_id).cancel("enough")


def send(number):
    return lambda process, _: os.kill(process.pid, number)


@pytest.mark.parametrize("target", [None, "inline"])
@pytest.mark.parametrize(
    "end",
    [cancel, send(signal.SIGINT), send(signal.SIGTERM), send(signal.SIGKILL)],
    ids=["cancel", "ctrl-c", "term", "kill"],
)
def test_a_run_that_ends_while_it_fetches_leaves_nothing(start, bucket, tmp_path, target, end):
    bucket.fail("GET", "b.bin", count=1000, seconds=100)
    process, making = start(target), tmp_path / "cache/content/making"
    run_id = process.stdout.readline().strip()
    wait_for(lambda: making.exists() and any(making.glob("*/a.bin")))
    end(process, run_id)
    out, err = process.communicate(timeout=60)
    if target == "inline":  # nobody is left who could remove its folder: the next node does
        clear_leftovers(base_folder())
    assert wait_until_nothing_is_left() == [], out + err
    assert [*making.iterdir()] == []
    bucket.heal()
    out, err = start(target).communicate(timeout=60)
    assert out.split()[-1] == "Completed", out + err
    [file] = Path().rglob("parallel_run_step.txt")
    assert file.read_text().split() == ["a.bin", "b.bin"]
    for each in ("making", "trash"):
        assert [*(making.parent / each).iterdir()] == []
    assert [each for each in (making.parent / "keys").iterdir() if not each.is_symlink()] == []
