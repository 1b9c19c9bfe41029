"""A disk that is full under what a run notes of itself: states, report, logs."""

import logging
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from running import wait_for

from daskrun import Datastore, Experiment, Pipeline, PipelineData, RunFailedError, Workspace
from daskrun.core.intervals import USUAL
from daskrun.monitor.logs import LogWriter
from daskrun.output import folder as space
from daskrun.pipeline.runs import experiment as experiment_file
from daskrun.storage import durable

FULL = """
import os
import daskrun.storage.durable as durable
from daskrun.monitor.logs import LogWriter

def full(*args):
    raise OSError(28, "No space left on device")

def run(mini_batch, context):
    with open({calls!r}, "a") as file:
        file.write("x")
    if context.minibatch_index == 3 and os.path.exists({flag!r}):
        durable.pwrite_all = LogWriter._write = full
    return [open(path).read() for path in mini_batch]
"""
FILLS = """
import os

def run(mini_batch, context):
    if context.minibatch_index == 0 and os.path.exists({flag!r}):
        with open({filler!r}, "wb", buffering=0) as file:
            for size in (2**20, 4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    pass
    return [open(path).read() for path in mini_batch]
"""
EXPECTED = b"".join(b"x" * n + b"\n" for n in range(10))


def output_of(run):
    [step] = run.get_steps()
    return Path(step.output_folder, "parallel_run_step.txt").read_bytes()


def test_a_run_whose_end_cannot_be_noted_has_the_end_it_has(work, monkeypatch, caplog):
    for place, name in ((durable, "pwrite_all"), (LogWriter, "_write")):
        monkeypatch.setattr(place, name, getattr(place, name))  # the script changes it
    calls, flag = work.path / "calls", work.path / "flag"
    flag.touch()
    (work.path / "score.py").write_text(FULL.format(calls=str(calls), flag=str(flag)))
    with caplog.at_level(logging.WARNING):
        run = work.submit(mini_batch_size=1)
        assert run.wait_for_completion() == "Completed"
    assert output_of(run) == EXPECTED
    [step] = run.get_steps()
    told = [record.getMessage() for record in caplog.records]
    logs, reuse, report, *states = [text for text in told if "No space left on device" in text]
    assert "what is told of the run in its logs is not whole" in logs
    assert "later runs can't use its output again" in reuse
    assert f"run {step.id}: its report can't be kept" in report
    assert [text.partition(": ")[0] for text in states] == [f"run {step.id}", f"run {run.id}"]
    assert all("its state Completed can't be noted" in text for text in states)
    assert [record for record in caplog.records if record.exc_info] == []

    monkeypatch.undo()
    monkeypatch.setattr(experiment_file, "_live", {})
    [other] = Experiment(work.ws, "trial").get_runs()
    # as a process that ended without a word; the thread that drove it may be about to end
    wait_for(lambda: other.get_status() == "Failed")
    assert other.resume().wait_for_completion() == "Completed"
    assert output_of(other) == EXPECTED
    assert len(calls.read_text()) == 10


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk that has a little more than a run needs to begin."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={space.RESERVE + 2**22}", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("target", ["inline", None])
def test_a_workspace_on_a_full_disk_ends_the_run_which_is_resumed(work, small_disk, target):
    made = Workspace.create("small", path=small_disk)
    work.ws = Workspace(made.folder, intervals=replace(USUAL, space_look=0.0))
    flag, filler, elsewhere = work.path / "flag", small_disk / "filler", work.path / "outputs"
    flag.touch()
    elsewhere.mkdir()
    store = Datastore.register_local(work.ws, "elsewhere", elsewhere)
    (work.path / "score.py").write_text(FILLS.format(flag=str(flag), filler=str(filler)))
    output = PipelineData("scores", datastore=store)
    run = Experiment(work.ws, "trial").submit(
        Pipeline(
            work.ws,
            [work.make_step(output=output, mini_batch_size=1, compute_target=target)],
        )
    )
    with pytest.raises(RunFailedError, match=r"a run needs .* at least. Free space there|disk is"):
        run.wait_for_completion()
    assert run.get_status() == "Failed"
    flag.unlink()
    filler.unlink()
    assert run.resume().wait_for_completion() == "Completed"
    assert output_of(run) == EXPECTED
