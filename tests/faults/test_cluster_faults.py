"""Faults of workers, schedulers, keepers and drivers on an attached cluster of real processes.

Whatever dies, each row is there once, no mini-batch is charged for it, nothing of the run is left,
and other people's work on the cluster goes on.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import queue
import re
import signal
import tempfile
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from clusters import Cluster
from running import (
    SLACK,
    Watch,
    alive,
    keepers,
    lines,
    make_request,
    run_request,
    wait_for,
    wait_until_nothing_is_left,
)

from daskrun.core.events import BundleLost, BundleReturned, NodeLost, NodePreparing, NodeReady, Note
from daskrun.core.intervals import USUAL
from daskrun.core.report import RunStatus
from daskrun.data import Dataset
from daskrun.data.tabular.planning.table_plan import TablePlan
from daskrun.engine.dask.connection import Connection
from daskrun.engine.driver import RunControl, execute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from running import Finished

    from daskrun.core.events import Event

ROWS = 30
LOOKS_OFTEN = replace(USUAL, connection_look=0.1)
SCRIPT = """
import os, time
calls = 0
def run(mini_batch):
    global calls
    calls += 1
    while calls > 1 and not os.path.exists({go!r}):
        time.sleep(0.005)
    if isinstance(mini_batch, list):
        return [open(path).read() for path in mini_batch]
    return [str(n) for n in mini_batch.n]
"""
"""A process ends one mini-batch, and those after it once it is told to go on: a fault comes while
each process has something in hand, and nobody waits for long."""
EACH_KIND = list(itertools.product(["files", "table"], ["append_row", "summary_only"]))


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
def cluster(shared: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    # SCRIPT never gives back a bundle of two before it is told to go on, which waits for bundles:
    # a node that starts when another has returned one would get such a bundle.
    monkeypatch.setattr("daskrun.core.sizing.GROWTH", 1)
    shared.have_scheduler()
    yield shared
    assert wait_until_nothing_is_left() == []
    if shared.processes[0].is_alive():
        # where the run could not unregister them itself, its watcher does
        assert wait_for(lambda: shared.plugins() == [])


def run_rows(
    tmp_path: Path, data: str, act: Callable[[Event], None], code: str = SCRIPT, **options: Any
) -> Finished:
    """Run SCRIPT over ROWS rows, each one item of a mini-batch of its own."""
    plan = None
    if data == "table":
        frame = pd.DataFrame({"n": range(100, 100 + ROWS)})  # each line has the same length
        frame.to_csv(tmp_path / "rows.csv", index=False)
        table = Dataset.Tabular.from_delimited_files(str(tmp_path / "rows.csv"))
        plan = TablePlan([("rows", table.resolve())], 4)
    code = code.format(go=str(tmp_path / "go"))
    options.setdefault("intervals", LOOKS_OFTEN)
    request = make_request(tmp_path, code, files=ROWS, plan=plan, **options)
    return run_request(request, act=act)


def go_on(tmp_path: Path) -> None:
    """Let what SCRIPT has in hand end."""
    (tmp_path / "go").touch()


def go_on_after(tmp_path: Path, act: Callable[[Event], None]) -> Callable[[Event], None]:
    """Do what ``act`` does, and let SCRIPT go on once a node is lost."""

    def then(event: Event) -> None:
        act(event)
        if isinstance(event, NodeLost):
            go_on(tmp_path)

    return then


def check_all_rows(run: Finished, data: str = "files") -> None:
    """See that each row was made once, and that nobody was charged for anything."""
    report = run.report
    assert report.status is RunStatus.COMPLETED, report.message
    counts = (report.items, report.items_succeeded, report.failed)
    assert counts == (ROWS, ROWS, 0), report.errors
    check_nothing_was_charged(run)
    first = 100 if data == "table" else 0
    appends = run.request.settings.appends
    assert run.output == (lines(range(first, first + ROWS)) if appends else None)


def check_nothing_was_charged(run: Finished) -> None:
    written = [outcome for entry in run.journal for outcome in entry.get("outcomes", ())]
    assert [o[1:3] for o in written if list(o[1:3]) != [1, 0]] == []  # attempt 1, status 0
    assert (run.report.retried, run.report.attempts) == (0, run.report.succeeded)


class Once:
    """Does something once ``count`` nodes have returned something, in the middle of the run."""

    def __init__(self, count: int, do: Callable[[], object]) -> None:
        self._count, self._do = count, do
        self._seen: set[str] = set()
        self.done = False

    def __call__(self, event: Event) -> None:
        if isinstance(event, BundleReturned) and event.process is not None:
            self._seen.add(event.process.node)
            if len(self._seen) >= self._count and not self.done:
                self.done = True
                self._do()


@pytest.mark.slow
@pytest.mark.parametrize(("data", "action"), EACH_KIND)
def test_a_worker_that_is_killed(tmp_path: Path, cluster: Cluster, data: str, action: str) -> None:
    victim, other = cluster.have_workers(2)
    act = Once(2, victim.kill)
    with cluster.work_of_others():
        run = run_rows(
            tmp_path,
            data,
            go_on_after(tmp_path, act),
            target=cluster.address,
            node_count=2,
            output_action=action,
        )
    check_all_rows(run, data)
    assert act.done
    victim.join(SLACK)
    assert victim.exitcode == -signal.SIGKILL
    assert other.is_alive()
    assert len(run.watch.of(NodeLost)) == 1


@pytest.mark.slow
def test_a_worker_that_is_killed_and_started_again_by_its_nanny(
    tmp_path: Path, cluster: Cluster
) -> None:
    cluster.have_workers(1, nanny=True)
    [pid] = cluster.worker_pids().values()
    act = go_on_after(tmp_path, Once(1, lambda: os.kill(pid, signal.SIGKILL)))
    with cluster.work_of_others():
        run = run_rows(tmp_path, "files", act, target=cluster.address)
    check_all_rows(run)
    assert len(run.watch.of(NodeReady)) == 2
    assert list(cluster.worker_pids().values()) != [pid]


@pytest.mark.slow
def test_all_workers_gone_at_once_and_back(tmp_path: Path, cluster: Cluster) -> None:
    cluster.have_workers(2, nanny=True)

    def kill() -> None:
        for pid in cluster.worker_pids().values():
            os.kill(pid, signal.SIGKILL)

    act = go_on_after(tmp_path, Once(2, kill))
    run = run_rows(tmp_path, "files", act, target=cluster.address, node_count=2)
    check_all_rows(run)
    # a third where a new node was given the worker that was killed second
    assert {"node000", "node001"} <= {event.node for event in run.watch.of(NodeLost)}


@pytest.mark.slow
def test_a_restart_of_the_cluster_by_somebody_else(tmp_path: Path, cluster: Cluster) -> None:
    cluster.have_workers(2, nanny=True)
    restarts = []

    def restart() -> None:
        with cluster.client() as client:
            client.restart()
            restarts.append(1)
        go_on(tmp_path)

    thread = threading.Thread(target=restart)
    act = Once(2, thread.start)
    # as many at a time as make three failures in a row on each worker
    options = {"process_count_per_node": 2, "node_count": 2}
    run = run_rows(tmp_path, "files", act, target=cluster.address, **options)
    thread.join()
    check_all_rows(run)
    assert restarts == [1]
    reasons = {event.reason for event in run.watch.of(NodeLost)}
    assert all(reason.endswith("left the cluster") for reason in reasons), reasons


KILLS_ITS_WORKER = """
import os, signal, time
def run(mini_batch):
    [text] = [open(path).read() for path in mini_batch]
    if text == "5":
        with open("/proc/%d/stat" % os.getppid()) as file:  # the keeper's parent is the worker
            os.kill(int(file.read().rpartition(")")[2].split()[1]), signal.SIGKILL)
        time.sleep(60)
    return [text]
"""


def test_a_script_that_kills_its_worker_ends_the_run_and_not_never(
    tmp_path: Path, cluster: Cluster
) -> None:
    intervals = replace(LOOKS_OFTEN, most_losses=2)
    cluster.have_workers(1, nanny=True)
    run = run_rows(
        tmp_path,
        "files",
        lambda _: None,
        KILLS_ITS_WORKER,
        target=cluster.address,
        intervals=intervals,
    )
    assert run.report.status is RunStatus.FAILED
    named = run.report.message.partition("out on 2 nodes that were lost")[0]
    assert "5" in named
    # whichever is heard first: that the worker went, or that what it had is gone
    assert re.search("left the cluster|no worker has the result", run.report.message)
    check_nothing_was_charged(run)
    assert run.report.unfinished


@pytest.mark.slow
@pytest.mark.parametrize("how", ["retire_workers", "lifetime"])
def test_a_busy_worker_that_is_retired(tmp_path: Path, cluster: Cluster, how: str) -> None:
    cluster.have_workers(2)
    threads = []

    def retire() -> None:
        with cluster.client() as client:
            address = sorted(client.scheduler_info(n_workers=-1)["workers"])[0]
            if how == "retire_workers":
                client.retire_workers([address], close_workers=True)
            else:  # what a worker started with --lifetime does at its end
                client.run(close_gracefully(), workers=[address])

    def begin() -> None:
        threads.append(threading.Thread(target=retire))
        threads[0].start()

    once = Once(2, begin)

    def act(event: Event) -> None:
        once(event)
        if isinstance(event, NodePreparing) and "is to leave" in event.text:
            go_on(tmp_path)  # what it has in hand ends before it goes

    with cluster.work_of_others():
        run = run_rows(tmp_path, "files", act, target=cluster.address, node_count=2)
    threads[0].join()
    check_all_rows(run)
    assert run.watch.of(BundleLost) == []
    assert len(cluster.worker_pids()) == 1
    assert len(run.watch.of(NodeLost)) <= 1  # it may be what ends last
    with cluster.client() as client:
        wait_for(lambda: client.run_on_scheduler(retires_as_ever))


@pytest.mark.slow
def test_a_run_whose_plugin_somebody_else_unregisters_goes_on(
    tmp_path: Path, cluster: Cluster
) -> None:
    cluster.have_workers(2)
    with cluster.client() as client:
        clear = Once(2, lambda: client.unregister_worker_plugin("daskrun-run1"))

        def act(event: Event) -> None:
            clear(event)
            if clear.done:
                go_on(tmp_path)

        run = run_rows(tmp_path, "files", act, target=cluster.address, node_count=2)
    check_all_rows(run)
    assert len(run.watch.of(NodeReady)) > 2


COUNTS = """
import os, time
calls = 0
def run(mini_batch):
    global calls
    calls += 1
    with open({go!r} + "-calls", "a") as file:
        file.write("x")
    while calls == 4 and not os.path.exists({go!r}):
        time.sleep(0.005)
    return [open(path).read() for path in mini_batch]
"""


@pytest.mark.slow
def test_what_a_worker_has_finished_when_it_is_told_to_end_is_not_done_again(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daskrun.core.sizing.BundleSizer.size", lambda *_, **__: 5)
    first, _ = cluster.have_workers(2, nanny=True)  # without one, Dask cuts its connection first
    calls = tmp_path / "go-calls"

    def end() -> None:
        # each process has three of its five mini-batches, and the fourth in hand
        wait_for(lambda: calls.exists() and calls.stat().st_size == 8)
        os.kill(first.pid, signal.SIGTERM)

    threading.Thread(target=end).start()
    act = go_on_after(tmp_path, lambda _: None)
    run = run_rows(tmp_path, "files", act, COUNTS, target=cluster.address, node_count=2)
    check_all_rows(run)
    assert calls.stat().st_size == ROWS + 1
    assert run.watch.of(BundleLost) == []
    assert len(run.watch.of(NodeLost)) == 1


def retires_as_ever(dask_scheduler: Any) -> bool:
    return dask_scheduler.handlers["retire_workers"] == dask_scheduler.retire_workers


def close_gracefully() -> Callable[..., None]:
    def later(dask_worker: Any) -> None:
        dask_worker.io_loop.call_later(0, dask_worker.close_gracefully, reason="lifetime")

    return later


@pytest.mark.slow
def test_a_worker_that_is_stopped_and_wakes_up_when_it_was_given_up(
    tmp_path: Path, cluster: Cluster
) -> None:
    cluster.have_workers(3)
    addresses = sorted(cluster.worker_pids().items())
    victim = addresses[0][1]
    ready = []

    def fall_silent() -> None:
        os.kill(victim, signal.SIGSTOP)
        cluster.give_up_silent(addresses[0][0])

    stop = Once(2, fall_silent)

    def act(event: Event) -> None:
        stop(event)
        if isinstance(event, NodeLost):
            os.kill(victim, signal.SIGCONT)
        if isinstance(event, NodeReady):
            ready.append(event.where)
            if len(ready) == 3:  # nothing goes on until the third worker has the node
                go_on(tmp_path)

    try:
        run = run_rows(tmp_path, "files", act, target=cluster.address, node_count=2)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGCONT)
    check_all_rows(run)
    assert stop.done
    where = [(event.node, event.where) for event in run.watch.of(NodeReady)]
    # its node is another's now: it was not asked for again, nor was it heard
    assert [w for node, w in where if node == "node000"] == [addresses[0][0], addresses[2][0]]
    wait_for(lambda: not alive(victim))


@pytest.mark.slow
def test_a_worker_that_is_stopped_before_it_has_begun_its_node(
    tmp_path: Path, cluster: Cluster
) -> None:
    intervals = replace(LOOKS_OFTEN, begin_limit=1.0, register_limit=0.3, close_margin=0.3)
    cluster.have_workers(2)
    (stopped, victim), (other, _) = sorted(cluster.worker_pids().items())
    os.kill(victim, signal.SIGSTOP)
    go_on(tmp_path)
    try:
        run = run_rows(
            tmp_path,
            "files",
            lambda _: None,
            target=cluster.address,
            shutdown_timeout=0.3,
            intervals=intervals,
        )
    finally:
        os.kill(victim, signal.SIGCONT)
    check_all_rows(run)
    assert [event.where for event in run.watch.of(NodeReady)] == [other]
    told = "not every Dask worker has answered within 0.3 s; the others are used. Silent: "
    assert f"{told}{stopped}" in [event.text for event in run.watch.of(Note)]


def test_the_result_of_a_stopped_worker_holds_up_no_other(cluster: Cluster) -> None:
    cluster.have_workers(2)
    pids = cluster.worker_pids()
    stopped, other = sorted(pids)
    connection = Connection("run", "topic", 1.0)
    connection.connect(cluster.address)
    told: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    try:
        client = connection.client
        submit = functools.partial(client.submit, str.upper, pure=False)
        futures = [submit("x", workers=[worker]) for worker in (stopped, other) * 3]
        wait_for(lambda: all(future.status == "finished" for future in futures))
        os.kill(pids[stopped], signal.SIGSTOP)
        for future, where in zip(futures, (stopped, other) * 3, strict=True):
            connection.fetch(future, 1.0, lambda found, where=where: told.put((where, found)))
        found = [told.get(timeout=30) for _ in futures]
    finally:
        os.kill(pids[stopped], signal.SIGCONT)
        connection.close(quick=True)
        connection.leave()
    assert found[:3] == [(other, "X")] * 3
    assert [(where, type(error)) for where, error in found[3:]] == [(stopped, TimeoutError)] * 3


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_keeper_that_is_killed_or_stopped(
    tmp_path: Path, cluster: Cluster, number: signal.Signals
) -> None:
    workers = cluster.have_workers(1)

    def patient(seconds: float) -> Callable[[], None]:
        def set_limit() -> None:
            import daskrun.script.node

            daskrun.script.node.BEAT_LIMIT = seconds

        return set_limit

    with cluster.client() as client, cluster.work_of_others():
        client.run(patient(1.0))
        once = Once(1, lambda: os.kill(keepers()[0], number))

        def act(event: Event) -> None:
            once(event)
            if isinstance(event, NodeLost):
                client.run(patient(60.0))
                go_on(tmp_path)

        run = run_rows(tmp_path, "files", act, target=cluster.address)
    check_all_rows(run)
    assert workers[0].is_alive()
    assert [event.reason for event in run.watch.of(NodeLost)]
    assert {event.node for event in run.watch.of(NodeReady)} == {"node000"}


@pytest.mark.slow
@pytest.mark.parametrize(("data", "action"), EACH_KIND)
def test_a_scheduler_that_is_killed_and_the_run_resumed(
    tmp_path: Path, cluster: Cluster, data: str, action: str
) -> None:
    cluster.have_workers(1)
    act = Once(1, cluster.processes[0].kill)
    run = run_rows(
        tmp_path, data, act, target=cluster.address, output_action=action, scheduler_timeout=0.3
    )
    assert run.report.status is RunStatus.FAILED
    assert f"the Dask scheduler {cluster.address} is gone" in run.report.message
    check_nothing_was_charged(run)
    assert 0 < run.report.succeeded < ROWS
    assert run.output is None
    wait_for(lambda: not cluster.processes[1].is_alive())  # a worker ends with its scheduler

    cluster.have_scheduler()
    cluster.have_workers(1)
    go_on(tmp_path)
    watch = Watch()
    resumed = execute(replace(run.request, resumed=True), [watch], RunControl())
    assert wait_until_nothing_is_left() == []
    check_all_rows(replace(run, report=resumed), data)
    again = {outcome.index for outcome in watch.attempts}
    assert len(watch.attempts) == len(again) == ROWS - run.report.succeeded
    assert not again & {outcome.index for outcome in run.attempts}


@pytest.mark.slow
def test_another_scheduler_at_the_same_address_has_the_run_go_on(
    tmp_path: Path, cluster: Cluster
) -> None:
    cluster.have_workers(2)
    threads = []

    def replace() -> None:
        cluster.replace_scheduler()
        cluster.have_workers(2)

    def kill() -> None:
        cluster.processes[0].kill()
        cluster.processes[0].join()
        threads.append(threading.Thread(target=replace))
        threads[0].start()

    act = go_on_after(tmp_path, Once(2, kill))
    run = run_rows(tmp_path, "files", act, target=cluster.address, node_count=2)
    threads[0].join()
    check_all_rows(run)
    assert len(run.watch.of(NodeReady)) >= 3


@pytest.mark.slow
def test_a_scheduler_is_waited_for_longer_than_its_client_and_no_worker_timeout_would(
    tmp_path: Path, cluster: Cluster
) -> None:
    cluster.have_workers(1)
    before = set(cluster.worker_pids())
    threads = []

    def replace_late() -> None:
        cluster.processes[0].kill()
        cluster.processes[0].join()
        time.sleep(3)
        cluster.replace_scheduler()
        cluster.have_workers(1)

    def kill() -> None:
        threads.append(threading.Thread(target=replace_late))
        threads[0].start()

    run = run_rows(
        tmp_path,
        "files",
        go_on_after(tmp_path, Once(1, kill)),
        target=cluster.address,
        no_worker_timeout=2.0,
        intervals=replace(LOOKS_OFTEN, connect_limit=2.0),
    )
    threads[0].join()
    check_all_rows(run)
    places = {event.where for event in run.watch.of(NodeReady)}
    assert len(places) == 2  # the worker that came back has another address
    assert len(places & before) == 1
    told = f"the connection to the Dask scheduler {cluster.address} is broken; it is waited for"
    [note] = [e.text for e in run.watch.of(Note) if e.text.startswith(told)]
    assert note.endswith("(scheduler_timeout=300)")


@pytest.mark.slow
def test_a_connection_that_breaks_for_a_moment(tmp_path: Path, cluster: Cluster) -> None:
    cluster.have_workers(2)
    with cluster.work_of_others(), cluster.client() as client:

        def break_it() -> None:
            client.loop.add_callback(client.scheduler_comm.abort)

        act = go_on_after(tmp_path, Once(2, break_it))
        run = run_rows(tmp_path, "files", act, target=client, node_count=2)
        check_all_rows(run)
        assert client.submit(sum, [1, 2]).result(timeout=SLACK) == 3
    assert any("broken" in event.reason for event in run.watch.of(NodeLost))


@pytest.mark.slow
def test_a_client_that_its_owner_closes_ends_the_run(tmp_path: Path, cluster: Cluster) -> None:
    cluster.have_workers(1)
    with cluster.client() as client:
        act = Once(1, lambda: client.loop.add_callback(client._close))
        run = run_rows(tmp_path, "files", act, target=client)
    assert run.report.status is RunStatus.FAILED
    assert "the Dask client given as the run's target is closed" in run.report.message
    check_nothing_was_charged(run)
    assert 0 < run.report.succeeded < ROWS
