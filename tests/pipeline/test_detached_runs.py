"""Runs whose driver is a process of its own: what can't be, drivers on this machine, waiting."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from running import alive, wait_for

from daskrun import (
    ComputeTargetException,
    Experiment,
    Pipeline,
    SettingsError,
)
from daskrun.core.events import Observer
from daskrun.engine.dask.driver_host import start_process
from daskrun.engine.request import GivenCluster
from daskrun.pipeline.execution import detached
from daskrun.pipeline.execution.detached import place_of
from daskrun.pipeline.execution.driver_process import MOST_STUCK, PROGRAM, Asked, drive, why_unable
from daskrun.pipeline.records import step_spec
from daskrun.pipeline.runs import experiment
from daskrun.testing import account
from daskrun.workspace.run_folders import handover
from daskrun.workspace.run_folders.handover import DriverBegan, Handover

GATED = """
import os, time
def run(mini_batch):
    while os.path.exists({gate!r}):
        time.sleep(0.02)
    return [os.path.basename(path) for path in mini_batch]
"""
ADDRESS = "tcp://127.0.0.1:1"


def submit(work, *, observers=None, detached=True, inputs=None, **settings):
    pipeline = Pipeline(work.ws, [work.make_step(inputs=inputs, **settings)])
    return Experiment(work.ws, "trial").submit(pipeline, observers=observers, detached=detached)


def gated(work):
    """Submit a run that waits for a file to go; return it with its driver."""
    (work.path / "gate").touch()
    (work.path / "score.py").write_text(GATED.format(gate=str(work.path / "gate")))
    run = submit(work, compute_target=None, process_count_per_node=1)
    driver = driver_of(run)
    wait_for(lambda: run.get_steps()[0].get_status() == "Running", 60)
    return run, driver


def undriven(work):
    """Submit such a run, and kill its driver."""
    run, driver = gated(work)
    os.kill(driver.pid, signal.SIGKILL)
    wait_for(lambda: not run._kept.is_driven())
    return run


def driver_of(run):
    return wait_for(lambda: run._kept.handover().drivers, 60)[-1]


def go_on(run):
    """Have a process drive a run, as the worker of a cluster would."""
    return _start(run).wait(60)


def _start(run):
    process = start_process(PROGRAM)
    with process.stdin as pipe:
        pipe.write(json.dumps(Asked(run.id, run.workspace.location).told).encode() + b"\n")
    return process


def folder_of(run):
    return run._kept.path


# what is refused


@pytest.mark.parametrize("detached", [None, 1, "yes"])
def test_detached_is_true_or_false(work, detached):
    with pytest.raises(SettingsError, match=r"detached=.*: write True or False"):
        submit(work, detached=detached)


def test_observers_are_of_this_process(work):
    with pytest.raises(SettingsError, match=r"entry points of the group 'daskrun.observers'"):
        submit(work, compute_target=None, observers=[Observer])


def test_inline_is_this_process(work):
    with pytest.raises(SettingsError, match=r"compute_target='inline' is this process. Leave"):
        submit(work)
    assert list(work.ws.get_runs()) == []


class _Cluster:
    scheduler_address = ADDRESS

    def __init__(self, scheduler=None, **given):
        self.scheduler = scheduler
        vars(self).update(given)

    def __repr__(self):
        return "Cluster()"


@pytest.mark.parametrize(
    "cluster",
    [
        _Cluster(),
        _Cluster(shutdown_on_close=True),
        _Cluster(SimpleNamespace(workers={}), shutdown_on_close=False),  # a LocalCluster's is here
    ],
)
def test_a_cluster_that_ends_with_this_process(cluster):
    for given in (cluster, GivenCluster(cluster), _client(cluster)):
        with pytest.raises(
            SettingsError, match=r"'score' with detached=True: Cluster\(\) ends with"
        ):
            place_of({"score": given})


def _client(cluster):
    return SimpleNamespace(cluster=cluster, scheduler=SimpleNamespace(address=ADDRESS))


def test_where_a_run_can_be_driven():
    assert place_of({"a": None, "b": None}) is None
    assert place_of({"a": ADDRESS, "b": ADDRESS}) == GivenCluster(ADDRESS)
    assert place_of({"a": GivenCluster(ADDRESS, "certificates")}).security == "certificates"
    assert place_of({"a": _client(None)}) == GivenCluster(ADDRESS)
    assert place_of({"a": _Cluster(shutdown_on_close=False)}) == GivenCluster(ADDRESS)


def test_an_address_that_only_this_process_has():
    with pytest.raises(SettingsError, match=r"connect to inproc://1/1:2. Attach one that runs"):
        place_of({"a": "inproc://1/1:2"})
    with pytest.raises(SettingsError, match="connect to gateway://x"):
        place_of({"a": "gateway://x"})


def test_steps_on_different_clusters():
    problem = r"'a' on this machine, 'b' on tcp://127.0.0.1:1\)"
    with pytest.raises(SettingsError, match=problem):
        place_of({"a": None, "b": ADDRESS})


def test_what_only_this_process_may_know(work, monkeypatch):
    """As an input with a password in its URL, of a workspace that others may read."""
    monkeypatch.setattr(step_spec, "has_secret", lambda _: True)
    monkeypatch.setattr(type(work.ws.private), "keeps", False)
    with pytest.raises(SettingsError, match=r"detached=True: an input's URL holds a password"):
        submit(work, compute_target=None)
    assert list(work.ws.get_runs()) == []


# on this machine


@pytest.mark.slow
def test_a_driver_on_this_machine_outlives_the_program(work):
    code = (
        "import sys\nfrom daskrun import *\n"
        "ws = Workspace(sys.argv[1])\n"
        "config = ParallelRunConfig(entry_script='score.py', error_threshold=-1,"
        " output_action='append_row', mini_batch_size=3)\n"
        "files = Dataset.File.from_files('files').as_named_input('files')\n"
        "step = ParallelRunStep('score', config, [files], PipelineData('scores'))\n"
        "run = Experiment(ws, 'trial').submit(Pipeline(ws, [step]), detached=True)\n"
        "print(run.id)\n"
    )
    command = [sys.executable, "-c", code, work.ws.location]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    assert ended.stderr == ""
    run = work.ws.get_run(ended.stdout.strip())
    assert run.wait_for_completion() == "Completed"
    account(run).check()
    assert (
        work.ws.get_run(run.id).get_details()["daskrun"]["manifest"]["host"] == os.uname().nodename
    )
    wait_for(lambda: not alive(driver_of(run).pid))


@pytest.mark.slow
def test_a_driver_on_this_machine_is_killed(work):
    run, driver = gated(work)
    assert run.get_status() == "Running"
    os.kill(driver.pid, signal.SIGKILL)
    wait_for(lambda: run.get_status() == "Failed")
    assert "the process that drove the run is gone" in run.message
    (work.path / "gate").unlink()
    assert run.resume().wait_for_completion() == "Completed"
    account(run).check()


@pytest.mark.slow
def test_drivers_that_get_no_further_are_few(work):
    run = undriven(work)
    kept = run._kept.handover()
    handover.write(folder_of(run), replace(kept, drivers=kept.drivers * (MOST_STUCK - 1)))
    os.kill(_begin(run, MOST_STUCK).pid, signal.SIGKILL)
    wait_for(lambda: not run._kept.is_driven())
    assert go_on(run) == 0
    assert run.get_status() == "Failed"
    assert f"{MOST_STUCK} processes that drove the run have ended" in run.message
    assert "logs/driver.txt" in run.message
    (work.path / "gate").unlink()


def _begin(run, count):
    """Have one more process drive a run, and return what it notes of itself."""
    process = _start(run)
    wait_for(lambda: run._kept.handover().drivers[-1].pid == process.pid, 60)
    assert len(run._kept.handover().drivers) == count
    return process


@pytest.mark.slow
def test_a_driver_that_begins_when_the_run_has_ended_does_nothing(work):
    run = submit(work, compute_target=None)
    assert run.wait_for_completion() == "Completed"
    states = len(run._kept.states())
    assert go_on(run) == 0
    assert len(run._kept.states()) == states


@pytest.mark.slow
def test_what_ends_a_driver_before_it_begins_is_the_runs_end(work):
    run = undriven(work)
    for file in (work.path / "files").iterdir():
        file.unlink()
    assert go_on(run) == 0
    assert run.get_status() == "Failed"
    for each in (run, *run.get_steps()):
        assert each.get_status() == "Failed"
        assert "can't go on: its data can't be read as at submit" in each.message


@pytest.mark.slow
def test_a_run_that_was_resumed_elsewhere_is_no_other_drivers(work):
    run = undriven(work)
    run.resume()
    assert run._kept.handover() is None
    run.cancel()
    run.wait_for_completion(raise_on_error=False)
    run._kept.add_state("Running")  # as if this process had been killed instead
    wait_for(lambda: not run._kept.is_driven())
    states = len(run._kept.states())
    assert go_on(run) == 0
    assert len(run._kept.states()) == states
    (work.path / "gate").unlink()


def test_options_that_can_not_be_sent_are_named():
    options = {"lock": threading.Lock(), "secret": "hidden"}
    with pytest.raises(SettingsError, match="storage_options of the workspace can't be") as caught:
        Asked("run", "s3://bucket/team", options).told  # noqa: B018
    assert "hidden" not in str(caught.value)


def test_what_is_told_is_read_again():
    asked = Asked("run", "s3://bucket/team", {"token": ("a", b"b")})
    assert Asked.of(json.loads(json.dumps(asked.told))) == asked
    assert Asked.of({**asked.told, "worker": "tcp://w:1"}) == replace(asked, worker="tcp://w:1")


# what others see of it


@pytest.mark.slow
def test_a_run_without_a_driver_is_waited_for_so_long(work):
    run = undriven(work)
    kept = run._kept.handover()
    (step,) = run.get_steps()
    handover.write(folder_of(run), replace(kept, at=ADDRESS, limit=1000))
    assert (run.get_status(), step.get_status()) == ("Running", "Running")
    assert [each for each in work.ws.clean(0) if each.run.startswith(run.id)] == []
    run._kept.beat()
    handover.write(folder_of(run), replace(kept, at=ADDRESS, limit=0.01))
    time.sleep(0.1)
    assert (run.get_status(), step.get_status()) == ("Failed", "Failed")
    assert f"nothing has driven the run for 0.01 s: the cluster of {ADDRESS} is gone" in run.message
    (work.path / "gate").unlink()


@pytest.mark.slow
def test_a_run_between_two_drivers_is_canceled(work):
    run = between_drivers(work)
    run.get_steps()[0].cancel("enough")
    for each in (run, *run.get_steps()):
        assert each.get_status() == "Canceled"
        assert each.message.startswith("enough (in process")
    states = len(run._kept.states())
    assert go_on(run) == 0
    assert len(run._kept.states()) == states
    assert run.resume().wait_for_completion() == "Completed"
    account(run).check()


def between_drivers(work):
    """Submit a run whose first driver is killed; another could come on its cluster."""
    run = undriven(work)
    (work.path / "gate").unlink()
    handover.write(folder_of(run), replace(run._kept.handover(), at=ADDRESS, limit=1000))
    return run


@pytest.mark.slow
def test_a_run_that_was_removed_has_no_drivers(work, capfd):
    run = between_drivers(work)
    with run._kept.drive():
        waits = _start(run)
        time.sleep(3)  # it waits for its turn by then
        run._kept.remove()
    assert (waits.wait(60), go_on(run)) == (0, 0)
    first, second = capfd.readouterr().err.splitlines()[-2:]
    assert f"run {run.id} was removed" in first
    assert f"has no run {run.id}" in second


@pytest.mark.slow
@pytest.mark.parametrize("removed", [True, False])
def test_submit_is_interrupted_when_the_driver_was_started(work, monkeypatch, removed):
    started = start_process(PROGRAM)
    with monkeypatch.context() as patch:
        patch.setattr(detached, "start_process", lambda _: started)
        patch.setattr(Experiment, "get_run", Mock(side_effect=KeyboardInterrupt))
        if not removed:
            patch.setattr(experiment, "undo", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            submit(work, compute_target=None)
    assert started.wait(60) == 0
    assert [run.get_status() for run in work.ws.get_runs()] == ([] if removed else ["Canceled"])


def test_a_sign_of_a_driver_counts(tmp_path):
    told = Handover(ADDRESS, 10.0, 5.0)
    assert told.last == 10.0
    later = told.with_driver("tcp://w:1", 3)
    assert later.last > 10.0
    assert (later.waits, told.waits) == (True, True)
    assert Handover("", 10.0, 5.0).waits
    assert not Handover("", 10.0, 5.0).with_driver("", 0).waits
    handover.write(tmp_path, later)
    assert handover.read(tmp_path) == later
    assert handover.read(tmp_path / "none") is None


def test_drivers_are_stuck_that_get_no_further():
    began = [DriverBegan("host", n, float(n), done) for n, done in enumerate([0, 4, 4, 4])]
    kept = Handover(ADDRESS, 0.0, 1.0, tuple(began))
    assert kept.stuck(3, 4)
    assert not kept.stuck(3, 5)
    assert not kept.stuck(4, 4)
    assert not kept.stuck(5, 4)


def test_why_a_process_could_not_drive_a_run(work, tmp_path):
    run = work.submit()
    run.wait_for_completion()
    wait_for(lambda: not run._kept.is_driven())  # its end is told before
    no = why_unable(Asked("20261130-101010-100-aaaaaa", work.ws.location))
    assert "has no run 20261130-101010-100-aaaaaa" in no
    assert "Put the workspace into a folder that all workers have" in no
    assert "is not a workspace" in why_unable(Asked(run.id, str(tmp_path / "elsewhere")))
    # who submits a run holds it meanwhile
    assert "don't hold between that host and this one" in why_unable(
        Asked(run.id, work.ws.location)
    )
    with run._kept.drive():
        assert why_unable(Asked(run.id, work.ws.location)) == ""


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"python": "3.99.1"}, "and who has submitted the run 3.99.1: start it with Python 3.99"),
        ({"wire": "0-other"}, "who has submitted the run 0-other"),
    ],
)
def test_a_process_unlike_who_submitted_drives_no_run(work, other, told):
    run = work.submit()
    run.wait_for_completion()
    asked = Asked(run.id, work.ws.location)
    unlike = replace(asked, like={**asked.like, **other})
    assert told in why_unable(unlike)
    with pytest.raises(ComputeTargetException, match="has submitted the run"):
        drive(unlike)
