"""A scheduler that is stopped, workers that Dask has paused: nothing breaks, no wait is endless."""

from __future__ import annotations

import os
import signal
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from clusters import Cluster
from running import (
    SHORT,
    Watch,
    lines,
    make_request,
    run_request,
    wait_for,
    wait_until_nothing_is_left,
)

from daskrun.core.events import BundleReturned, NodeLost, NodeReady, Note, RunEnded
from daskrun.core.report import RunStatus
from daskrun.engine.dask.health_check import HealthCheck
from daskrun.engine.driver import RunControl, execute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from daskrun.core.events import Event
    from daskrun.core.intervals import Intervals

ROWS = 20
SCRIPT = """
import os, time
calls = 0
def run(mini_batch):
    global calls
    calls += 1
    while calls > 1 and not os.path.exists({go!r}):
        time.sleep(0.005)
    return [open(path).read() for path in mini_batch]
"""
"""A process ends one mini-batch, and the others once it is told to go on."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "tmp").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder / "tmp"))
        patch.setenv("TMPDIR", str(folder / "tmp"))
        cluster = Cluster(folder)
        yield cluster
        cluster.close()
        assert wait_until_nothing_is_left() == []


@pytest.fixture
def cluster(shared: Cluster) -> Iterator[Cluster]:
    yield shared
    assert wait_until_nothing_is_left() == []


def first_bundle(do: Callable[[], object]) -> Callable[[Event], None]:
    """Give an observer that does something when the first bundle is back."""
    done: list[Event] = []

    def act(event: Event) -> None:
        if isinstance(event, BundleReturned) and not done:
            done.append(event)
            do()

    return act


def enter(cluster: Cluster, address: str, status: str) -> None:
    """Have a worker paused, or running again, as its memory would."""

    def later(dask_worker: Any) -> None:
        from distributed.core import Status

        def change() -> None:
            dask_worker.status = Status[status]

        dask_worker.io_loop.add_callback(change)

    def known() -> bool:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        return bool(workers[address]["status"] == status)

    with cluster.client() as client:
        client.run(later, workers=[address])
        wait_for(known)  # the scheduler, which a run asks, hears of it a little later


def request_for(tmp_path: Path, cluster: Cluster, **settings: Any) -> Any:
    code = SCRIPT.format(go=str(tmp_path / "go"))
    return make_request(
        tmp_path, code, files=ROWS, target=cluster.address, intervals=SHORT, **settings
    )


@pytest.mark.slow
def test_a_scheduler_that_is_stopped_ends_the_run_which_is_resumed(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.have_workers(1)
    scheduler = cluster.processes[0].pid
    pulses = []

    def feel(patience: float, intervals: Intervals) -> HealthCheck:
        pulses.append(HealthCheck(patience, intervals))
        return pulses[-1]

    def fall_silent() -> None:
        os.kill(scheduler, signal.SIGSTOP)
        # not before: a busy machine may take longer until there is a node, or for an answer
        pulses[0]._patience = 0.5

    monkeypatch.setattr("daskrun.engine.dask.dispatcher.HealthCheck", feel)
    stop = first_bundle(fall_silent)

    def act(event: Event) -> None:
        stop(event)
        if isinstance(event, RunEnded):  # what it then clears up is seen to
            os.kill(scheduler, signal.SIGCONT)

    request = request_for(tmp_path, cluster)
    try:
        run = run_request(request, act=act)
    finally:
        os.kill(scheduler, signal.SIGCONT)
    assert run.report.status is RunStatus.FAILED
    told = f"the Dask scheduler {cluster.address} has not answered for"
    assert run.report.message.startswith(told)
    assert any(event.text.startswith(told) for event in run.watch.of(Note))
    assert (run.report.retried, run.report.failed) == (0, 0)

    (tmp_path / "go").touch()
    watch = Watch()
    report = execute(replace(request, resumed=True), [watch], RunControl())
    assert (report.status, report.succeeded) == (RunStatus.COMPLETED, ROWS)
    assert not {o.index for o in watch.attempts} & {o.index for o in run.attempts}
    assert replace(run, report=report).output == lines(range(ROWS))


@pytest.mark.slow
def test_the_node_of_a_paused_worker_goes_to_another(tmp_path: Path, cluster: Cluster) -> None:
    cluster.have_workers(2)
    first, other = sorted(cluster.worker_pids())
    pause = first_bundle(lambda: enter(cluster, first, "paused"))

    def act(event: Event) -> None:
        pause(event)
        if isinstance(event, NodeLost):
            (tmp_path / "go").touch()

    try:
        run = run_request(request_for(tmp_path, cluster), act=act)
    finally:
        enter(cluster, first, "running")
    assert run.report.status is RunStatus.COMPLETED
    assert run.output == lines(range(ROWS))
    assert (run.report.retried, run.report.attempts) == (0, ROWS)
    assert [event.where for event in run.watch.of(NodeReady)] == [first, other]
    [lost] = run.watch.of(NodeLost)
    assert f"worker {first} is given no tasks by Dask: it is paused" in lost.reason


@pytest.mark.slow
def test_a_worker_that_is_paused_for_a_while_is_used_again(
    tmp_path: Path, cluster: Cluster
) -> None:
    cluster.have_workers(1)
    [only] = cluster.worker_pids()
    pause = first_bundle(lambda: enter(cluster, only, "paused"))

    def act(event: Event) -> None:
        pause(event)
        if isinstance(event, NodeLost):
            (tmp_path / "go").touch()
            enter(cluster, only, "running")

    run = run_request(request_for(tmp_path, cluster), act=act)
    assert run.report.status is RunStatus.COMPLETED
    assert run.output == lines(range(ROWS))
    assert [event.where for event in run.watch.of(NodeReady)] == [only, only]


def test_a_run_whose_workers_are_all_paused_ends(tmp_path: Path, cluster: Cluster) -> None:
    cluster.have_workers(1)
    [only] = cluster.worker_pids()
    enter(cluster, only, "paused")
    try:
        run = run_request(request_for(tmp_path, cluster, no_worker_timeout=1))
    finally:
        enter(cluster, only, "running")
    assert run.report.status is RunStatus.FAILED
    assert "no_worker_timeout=1" in run.report.message
    assert f"worker {only} is given no tasks by Dask: it is paused" in run.report.message
    assert run.watch.of(NodeReady) == []
