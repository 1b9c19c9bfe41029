"""Drivers on their cluster: the client is killed, the driver, its worker; moves, cancels."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from clusters import Cluster
from distributed import Future
from running import alive, wait_for, wait_until_nothing_is_left

from daskrun import (
    ComputeTarget,
    ComputeTargetException,
    Dataset,
    Experiment,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    Workspace,
)
from daskrun.core.intervals import USUAL
from daskrun.pipeline.execution.driver_process import MOST_STUCK, PROGRAM
from daskrun.script.node_folders import base_folder
from daskrun.testing import account

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
FILES = 100
BEGIN = 60.0
"""Seconds in which a driver begins on a busy machine."""
SCRIPT = """
import os, time

def run(mini_batch):
    while os.path.exists(GATE):
        time.sleep(0.02)
    time.sleep(0.05)
    with open(CALLS, "a") as file:
        file.writelines(os.path.basename(path) + "\\n" for path in mini_batch)
    return [open(path).read() for path in mini_batch]
"""
CLIENT = """
import os, signal, sys
from daskrun import *

ws = Workspace(sys.argv[1])
config = ParallelRunConfig(
    entry_script="score.py", error_threshold=-1, mini_batch_size=1, output_action="append_row",
    compute_target=ws.compute_targets["cluster"], process_count_per_node=1)
files = Dataset.File.from_files("files").as_named_input("files")
step = ParallelRunStep("score", config, [files], PipelineData("scores"), allow_reuse=False)
run = Experiment(ws, "trial").submit(Pipeline(ws, [step]), detached=True)
print(run.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr("tempfile.tempdir", str(folder))
        made = Cluster(folder)
        yield made
        assert wait_until_nothing_is_left() == []
        made.close()


@pytest.fixture
def work(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    for number in range(FILES):
        (tmp_path / "files" / f"{number:03d}.txt").write_text(str(number))
    gate, calls = tmp_path / "gate", tmp_path / "calls"
    (tmp_path / "score.py").write_text(f"GATE, CALLS = {str(gate)!r}, {str(calls)!r}\n{SCRIPT}")
    ws = Workspace.create("trial")
    target = ComputeTarget.attach(ws, "cluster", address=cluster.address)

    def submit(**settings: Any) -> Any:
        values = {
            "entry_script": "score.py",
            "error_threshold": -1,
            "output_action": "append_row",
            "mini_batch_size": 1,
            "process_count_per_node": 1,
            "compute_target": target,
            "node_count": None,
        }
        config = ParallelRunConfig(**{**values, **settings})
        files = Dataset.File.from_files("files").as_named_input("files")
        step = ParallelRunStep("score", config, [files], PipelineData("scores"), allow_reuse=False)
        pipeline = Pipeline(made.ws, [step])
        return Experiment(made.ws, "trial").submit(pipeline, detached=True)

    made = SimpleNamespace(ws=ws, path=tmp_path, gate=gate, calls=calls, submit=submit)
    return made


def done(work: SimpleNamespace) -> int:
    return len(work.calls.read_text().split()) if work.calls.exists() else 0


def driver_after(run: Any, before: int) -> Any:
    """Wait until the run has had more drivers; return the last."""
    return wait_for(lambda: drivers(run)[before:], BEGIN)[-1]


def drivers(run: Any) -> list[Any]:
    found = run._kept.handover()
    return list(found.drivers) if found else []


def check(run: Any, work: SimpleNamespace) -> None:
    """Account for each row; nothing of the run's drivers and nodes is left."""
    assert run.wait_for_completion(timeout_seconds=120) == "Completed"
    (step,) = run.get_steps()
    output = Path(step.output_folder, "parallel_run_step.txt").read_text()
    assert output == "".join(f"{number}\n" for number in range(FILES))
    account(run).check()
    wait_for(lambda: not any(alive(each.pid) for each in drivers(run)))


def test_the_client_is_killed_right_after_submit(work: SimpleNamespace, cluster: Cluster) -> None:
    cluster.have_workers(2)
    (work.path / "client.py").write_text(CLIENT)
    client = subprocess.run(
        [sys.executable, "client.py", work.ws.location], stdout=subprocess.PIPE, text=True
    )
    assert client.returncode == -signal.SIGKILL
    run = work.ws.get_run(client.stdout.strip())
    assert run.get_status() in ("NotStarted", "Running", "Completed")
    check(run, work)
    assert len(drivers(run)) == 1


def test_the_driver_is_killed_twice(work: SimpleNamespace, cluster: Cluster) -> None:
    cluster.have_workers(2)
    with cluster.work_of_others():
        run = work.submit()
        seen = set()
        for count in range(2):
            driver = driver_after(run, count)
            before = done(work)
            wait_for(lambda before=before: done(work) > before + 4, BEGIN)
            os.kill(driver.pid, signal.SIGKILL)
            driver_after(run, count + 1)
            seen.add(run.get_status())
        check(run, work)
    assert seen == {"Running"}
    assert len(drivers(run)) == 3
    assert wait_for(lambda: cluster.plugins() == [])


def test_the_worker_that_hosts_it_is_killed(work: SimpleNamespace, cluster: Cluster) -> None:
    cluster.have_workers(2)
    run = work.submit()
    first = driver_after(run, 0)
    wait_for(lambda: done(work) > 4, BEGIN)
    os.kill(cluster.worker_pids()[first.worker], signal.SIGKILL)
    second = driver_after(run, 1)
    assert second.worker != first.worker
    assert not alive(first.pid)
    check(run, work)


def test_all_workers_go_and_others_come(work: SimpleNamespace, cluster: Cluster) -> None:
    cluster.have_workers(2)
    run = work.submit()
    driver_after(run, 0)
    wait_for(lambda: done(work) > 4, BEGIN)
    cluster.have_workers(0)
    assert run.get_status() == "Running"
    cluster.have_workers(2)
    check(run, work)
    assert len(drivers(run)) == 2


def test_the_worker_that_hosts_it_is_retired(work: SimpleNamespace, cluster: Cluster) -> None:
    cluster.have_workers(2)
    run = work.submit()
    first = driver_after(run, 0)
    wait_for(lambda: done(work) > 4, BEGIN)
    with cluster.client() as client:
        client.retire_workers([first.worker])
    second = driver_after(run, 1)
    assert second.worker != first.worker
    check(run, work)


def test_one_worker_hosts_the_driver_and_works(work: SimpleNamespace, cluster: Cluster) -> None:
    cluster.have_workers(1)
    run = work.submit()
    driver_after(run, 0)
    check(run, work)
    with cluster.client() as client:  # its one thread is free, and the task is gone
        assert client.submit(lambda: 7, pure=False).result(timeout=20) == 7
    assert driver_tasks(cluster) == []


def test_no_cluster_scales_its_worker_away(work: SimpleNamespace, cluster: Cluster) -> None:
    cluster.have_workers(2)
    work.gate.touch()
    run = work.submit(node_count=1)
    first = driver_after(run, 0)
    with cluster.client() as client:
        close = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.workers_to_close(n=2))
    assert first.worker not in close
    work.gate.unlink()
    check(run, work)


def test_another_process_cancels(work: SimpleNamespace, cluster: Cluster) -> None:
    cluster.have_workers(2)
    work.gate.touch()
    run = work.submit()
    driver_after(run, 0)
    run.cancel("enough")
    assert run.wait_for_completion(raise_on_error=False, timeout_seconds=60) == "Canceled"
    assert "enough" in run.message
    work.gate.unlink()
    assert run.resume().wait_for_completion() == "Completed"
    account(run).check()


def test_a_cancel_outlives_the_driver_that_was_asked(
    work: SimpleNamespace, cluster: Cluster
) -> None:
    cluster.have_workers(1)
    work.gate.touch()
    run = work.submit()
    driver = driver_after(run, 0)
    os.kill(driver.pid, signal.SIGSTOP)  # it can't hear
    run.cancel("enough")
    os.kill(driver.pid, signal.SIGKILL)
    assert run.wait_for_completion(raise_on_error=False, timeout_seconds=60) == "Canceled"
    assert "enough" in run.message
    assert len(drivers(run)) == 2
    work.gate.unlink()


def test_its_dask_task_is_canceled(work: SimpleNamespace, cluster: Cluster) -> None:
    cluster.have_workers(1)
    work.gate.touch()
    run = work.submit()
    driver_after(run, 0)
    with cluster.client() as client:
        client.cancel([Future(f"daskrun-driver-{run.id}", client)], force=True)
        assert run.wait_for_completion(raise_on_error=False, timeout_seconds=60) == "Canceled"
    assert "its Dask task was canceled" in run.message
    work.gate.unlink()


def test_a_signal_for_its_worker_ends_no_run(work: SimpleNamespace, cluster: Cluster) -> None:
    """As a batch system does that takes a node away: all processes of it hear SIGTERM."""
    cluster.have_workers(2)
    run = work.submit()
    driver = driver_after(run, 0)
    wait_for(lambda: done(work) > 4, BEGIN)
    os.kill(driver.pid, signal.SIGTERM)
    driver_after(run, 1)
    check(run, work)


def test_workers_that_can_not_drive_it(work: SimpleNamespace, cluster: Cluster) -> None:
    cluster.have_workers(0)
    cluster.add_worker(daskrun=False)
    with pytest.raises(ComputeTargetException, match=r"can drive the run: tcp.*no daskrun"):
        work.submit()
    assert list(work.ws.get_runs()) == []
    cluster.have_workers(0)


def test_a_run_waits_for_a_worker(
    work: SimpleNamespace, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.have_workers(0)
    run = work.submit()
    assert f"run {run.id}: its cluster has no worker yet" in caplog.text
    assert run.get_status() == "NotStarted"
    time.sleep(1)
    assert run.get_status() == "NotStarted"
    cluster.have_workers(1)
    check(run, work)


def test_a_run_that_waits_for_a_worker_is_canceled(work: SimpleNamespace, cluster: Cluster) -> None:
    cluster.have_workers(0)
    run = work.submit()
    run.cancel("enough")
    (step,) = run.get_steps()
    assert (run.get_status(), step.get_status()) == ("Canceled", "Canceled")
    assert "enough" in run.message
    cluster.have_workers(1)
    wait_for(lambda: driver_tasks(cluster) == [], BEGIN)
    assert drivers(run) == []
    assert run.resume().wait_for_completion() == "Completed"
    account(run).check()


@pytest.mark.parametrize("comes_back", [True, False])
def test_an_input_is_away_as_a_driver_begins(
    work: SimpleNamespace, cluster: Cluster, comes_back: bool
) -> None:
    cluster.have_workers(0)
    run = work.submit()
    away = (work.path / "files").rename(work.path / "away")
    cluster.have_workers(1)
    if comes_back:
        driver_after(run, 1)
        away.rename(work.path / "files")
        check(run, work)
        return
    assert run.wait_for_completion(raise_on_error=False, timeout_seconds=90) == "Failed"
    told = [each.message for each in (run, *run.get_steps())]
    assert all("its data can't be read as at submit" in each for each in told)
    assert len(drivers(run)) == MOST_STUCK


def driver_tasks(cluster: Cluster) -> list[str]:
    with cluster.client() as client:
        keys = client.run_on_scheduler(lambda dask_scheduler: [*dask_scheduler.tasks])
    return [key for key in keys if "daskrun-driver" in str(key)]


def test_the_scheduler_is_silent_for_a_while(work: SimpleNamespace, cluster: Cluster) -> None:
    cluster.have_workers(2)
    run = work.submit()
    driver_after(run, 0)
    wait_for(lambda: done(work) > 4, BEGIN)
    os.kill(cluster.processes[0].pid, signal.SIGSTOP)
    time.sleep(12)
    os.kill(cluster.processes[0].pid, signal.SIGCONT)
    check(run, work)


def test_no_two_drive_where_a_worker_is_given_up_whose_driver_lives(
    work: SimpleNamespace, cluster: Cluster
) -> None:
    cluster.have_workers(2)
    work.gate.touch()
    run = work.submit()
    first = driver_after(run, 0)
    pids = cluster.worker_pids()
    os.kill(pids[first.worker], signal.SIGSTOP)
    try:
        cluster.give_up_silent(first.worker)
        wait_for(lambda: len(driver_processes()) == 2, BEGIN)
        work.gate.unlink()
        check(run, work)
        assert drivers(run) == [first]
        wait_for(lambda: driver_processes() == [], BEGIN)
    finally:
        os.kill(pids[first.worker], signal.SIGKILL)


def driver_processes() -> list[int]:
    """Find the processes of this module's cluster that drive runs, or wait for their turn."""
    found, own = [], f"TMPDIR={base_folder().parent}"
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ours = (
                PROGRAM in (path / "cmdline").read_text() and own in (path / "environ").read_text()
            )
            if ours and alive(int(path.name)):
                found.append(int(path.name))
    return found


def test_the_cluster_is_gone(work: SimpleNamespace, cluster: Cluster) -> None:
    cluster.have_workers(2)
    work.gate.touch()
    work.ws = Workspace(work.ws.location, intervals=replace(USUAL, lease_lifetime=5.0))
    run = work.submit(no_worker_timeout=5, scheduler_timeout=5)
    driver_after(run, 0)
    cluster.processes[0].kill()
    cluster.processes[0].join()
    assert run.wait_for_completion(raise_on_error=False, timeout_seconds=90) == "Failed"
    wait_for(lambda: driver_processes() == [])
    work.gate.unlink()
    cluster.have_scheduler()
    cluster.have_workers(1)
    assert run.resume().wait_for_completion() == "Completed"
    account(run).check()
