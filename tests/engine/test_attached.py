"""On a cluster of real processes that is given by its address: runs, losses, and what is left."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from clusters import Cluster
from running import (
    END,
    SLACK,
    Finished,
    Watch,
    alive,
    lines,
    make_request,
    marked_processes,
    run_request,
    run_script,
    wait_for,
    wait_until_nothing_is_left,
)

from daskrun.core.events import BundleReturned, NodeLost, NodeReady, Note, RunEnded
from daskrun.core.intervals import USUAL
from daskrun.core.report import RunStatus
from daskrun.engine.driver import RunControl, execute
from daskrun.script.node_folders import base_folder
from daskrun.storage.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daskrun.core.events import Event

pytestmark = pytest.mark.usefixtures("forks", "own_temporary_folder")

HERE = str(Path(__file__).parents[1])


@pytest.fixture
def cluster(tmp_path: Path, own_temporary_folder: Path) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    cluster = Cluster(folder)
    yield cluster
    cluster.close()
    assert wait_until_nothing_is_left() == []


SLOW = """
import time
def run(mini_batch):
    time.sleep(0.05)
    return [open(path).read() for path in mini_batch]
"""


@pytest.mark.slow
def test_two_runs_one_after_the_other_leave_the_cluster_clean(
    tmp_path: Path, cluster: Cluster
) -> None:
    cluster.add_worker()
    cluster.add_worker()
    for run_id in ("first", "second"):
        run = run_script(
            tmp_path,
            files=300,
            size=7,
            target=cluster.address,
            node_count=2,
            run_id=run_id,
            append_row_file_name=f"{run_id}.txt",
        )
        assert run.report.status is RunStatus.COMPLETED
        assert run.output == lines(range(300))
        assert {event.node for event in run.watch.of(NodeReady)} <= {"node000", "node001"}
    assert wait_for(lambda: cluster.plugins() == [])


@pytest.mark.slow
def test_all_workers_are_used_where_no_count_is_given_and_late_ones_too(
    tmp_path: Path, cluster: Cluster
) -> None:
    cluster.add_worker()
    cluster.add_worker()
    late: list[threading.Thread] = []

    def act(event: Event) -> None:
        if isinstance(event, BundleReturned) and not late:
            late.append(threading.Thread(target=cluster.add_worker))
            late[0].start()
        if isinstance(event, NodeReady):
            ready.add(event.node)
        if len(ready) == 3:
            (tmp_path / "go").touch()

    ready: set[str] = set()
    waits = SLOW.replace(
        "0.05", f"0 if __import__('os').path.exists({str(tmp_path / 'go')!r}) else .1"
    )
    run = run_script(tmp_path, waits, files=300, target=cluster.address, node_count=None, act=act)
    late[0].join()
    assert run.output == lines(range(300))
    assert ready == {"node000", "node001", "node002"}
    told = "all 2 Dask workers are used, and those that come later: node_count was not given"
    assert told in [note.text for note in run.watch.of(Note)]


def test_a_client_that_is_given_stays_open(tmp_path: Path, cluster: Cluster) -> None:
    from distributed import Client

    cluster.add_worker()
    with Client(cluster.address, set_as_default=False) as client:
        run = run_script(tmp_path, target=client)
        assert run.output == lines(range(10))
        assert client.submit(sum, [1, 2]).result(timeout=SLACK) == 3


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_costs_nothing(tmp_path: Path, cluster: Cluster) -> None:
    victim, other = cluster.add_worker(), cluster.add_worker()
    seen = set()

    def act(event: Event) -> None:
        if isinstance(event, BundleReturned) and event.process is not None:
            seen.add(event.process.node)
            if len(seen) == 2 and victim.is_alive():
                victim.kill()
                victim.join()

    run = run_script(tmp_path, SLOW, files=80, target=cluster.address, node_count=2, act=act)
    assert not victim.is_alive()
    assert other.is_alive()
    assert run.report.status is RunStatus.COMPLETED
    assert run.output == lines(range(80))
    assert (run.report.succeeded, run.report.retried, run.report.attempts) == (80, 0, 80)
    assert len(run.watch.of(NodeLost)) == 1
    assert wait_for(lambda: cluster.plugins() == [])


@pytest.mark.slow
def test_a_worker_that_comes_later_takes_the_place_of_the_lost_one(
    tmp_path: Path, cluster: Cluster
) -> None:
    victim = cluster.add_worker()

    def replace(event: Event) -> None:
        if isinstance(event, BundleReturned) and victim.is_alive():
            victim.kill()
            victim.join()
            threading.Thread(target=cluster.add_worker).start()

    run = run_script(tmp_path, SLOW, files=30, target=cluster.address, act=replace)
    assert run.report.status is RunStatus.COMPLETED
    assert run.output == lines(range(30))
    assert (run.report.retried, len(run.watch.of(NodeLost))) == (0, 1)


@pytest.mark.slow
def test_the_last_worker_lost_ends_the_run_after_its_limit(
    tmp_path: Path, cluster: Cluster
) -> None:
    victim = cluster.add_worker()

    def act(event: Event) -> None:
        if isinstance(event, BundleReturned):
            victim.kill()

    run = run_script(
        tmp_path, SLOW, files=50, target=cluster.address, act=act, no_worker_timeout=1.0
    )
    assert run.report.status is RunStatus.FAILED
    assert "no_worker_timeout=1" in run.report.message
    assert "left the cluster" in run.report.message
    assert run.report.unfinished > 0


@pytest.mark.slow
def test_a_scheduler_that_dies_ends_the_run_with_a_report(tmp_path: Path, cluster: Cluster) -> None:
    cluster.add_worker()

    died = []

    def act(event: Event) -> None:
        if isinstance(event, BundleReturned) and not died:
            cluster.processes[0].kill()
            died.append(event.now)

    options = {"target": cluster.address, "scheduler_timeout": 1.0}
    run = run_script(tmp_path, SLOW, files=200, act=act, **options)
    assert run.report.status is RunStatus.FAILED
    assert f"the Dask scheduler {cluster.address} is gone" in run.report.message
    [end] = run.watch.of(RunEnded)
    assert end.now - died[0] < 1.0 + USUAL.connection_look + SLACK


@pytest.mark.parametrize("others", [0, 1])
def test_a_worker_without_daskrun_is_named_and_another_used(
    tmp_path: Path, cluster: Cluster, others: int
) -> None:
    cluster.add_worker(daskrun=False)
    for _ in range(others):
        cluster.add_worker()
    run = run_script(tmp_path, target=cluster.address, no_worker_timeout=2.0, node_count=1 + others)
    said = " ".join(e.reason for e in run.watch.of(NodeLost)) + str(run.watch.events)
    assert "has no daskrun" in said
    assert "no daskrun in this environment" in said
    if others:
        assert run.report.status is RunStatus.COMPLETED
        assert run.output == lines(range(10))
    else:
        assert run.report.status is RunStatus.FAILED
        assert "no daskrun" in run.report.message


def test_a_canceled_run_leaves_the_cluster_clean(tmp_path: Path, cluster: Cluster) -> None:
    cluster.add_worker()
    control = RunControl()

    def act(event: Event) -> None:
        if isinstance(event, BundleReturned):
            control.cancel("enough")

    request = make_request(tmp_path, SLOW, files=500, target=cluster.address)
    run = run_request(request, act=act, control=control)
    assert run.report.status is RunStatus.CANCELED
    assert wait_for(lambda: cluster.plugins() == [])


DRIVER = """
import sys
sys.path[:0] = sys.argv[1:2]
from pathlib import Path
from running import make_request
from daskrun.engine.driver import RunControl, execute
code = '''
import ctypes, subprocess
def run(m):
    child = subprocess.Popen(["sleep", "300"], start_new_session=True)
    print(child.pid, flush=True)
    ctypes.PyDLL(None).sleep(300)
'''
target = None if sys.argv[3] == "local" else sys.argv[3]
execute(make_request(Path(sys.argv[2]), code, target=target), [], RunControl())
"""


def kill_a_driver(tmp_path: Path, target: str) -> None:
    """SIGKILL a driver whose script hangs; see that all of the run is gone soon."""
    folder = tmp_path / "driven"
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, HERE, str(folder), target])
    stdout = folder / "run1/logs/user/stdout"

    def grandchildren() -> list[int]:
        return [int(word) for path in stdout.rglob("*.txt") for word in path.read_text().split()]

    found = wait_for(grandchildren, 30)
    ours = marked_processes(base_folder())
    assert set(found) < set(ours)
    driver.kill()
    driver.wait()
    killed = time.monotonic()
    assert wait_until_nothing_is_left(limit=END + SLACK) == []
    print(f"all was gone {time.monotonic() - killed:.2f} s after the driver")
    assert not [pid for pid in (*ours, *found) if alive(pid)]


@pytest.mark.slow
def test_a_driver_killed_on_an_attached_cluster_is_cleared_away(
    tmp_path: Path, cluster: Cluster
) -> None:
    worker = cluster.add_worker()
    with cluster.work_of_others():
        kill_a_driver(tmp_path, cluster.address)
    assert wait_for(lambda: cluster.plugins() == [])
    assert worker.is_alive()
    run = run_script(tmp_path, target=cluster.address)  # the cluster is as good as before
    assert run.output == lines(range(10))


def test_a_driver_killed_on_the_local_target_is_cleared_away(tmp_path: Path) -> None:
    kill_a_driver(tmp_path, "local")


DRIVE = """
import pickle, sys
from daskrun.engine.driver import RunControl, execute
execute(pickle.load(open(sys.argv[1], "rb")), [], RunControl())
"""


@pytest.mark.slow
def test_what_is_left_of_a_killed_driver_does_not_end_the_nodes_of_the_one_that_goes_on(
    tmp_path: Path, cluster: Cluster
) -> None:
    cluster.add_worker()
    request = make_request(tmp_path, SLOW, files=120, target=cluster.address)
    told = tmp_path / "request"
    told.write_bytes(pickle.dumps(request))
    driver = subprocess.Popen([sys.executable, "-c", DRIVE, str(told)])
    journal = request.run_folder / "journal"
    wait_for(lambda: journal.exists() and list(Journal.read(journal, "bundle")), 30)
    driver.kill()
    driver.wait()

    watch = Watch()
    began = time.monotonic()
    report = execute(replace(request, resumed=True), [watch], RunControl())
    assert time.monotonic() - began > USUAL.client_grace  # else what was left would not have struck
    assert report.status is RunStatus.COMPLETED
    assert watch.of(NodeLost) == []
    assert len(watch.of(NodeReady)) == 1
    assert Finished(request, report, watch).output == lines(range(120))
