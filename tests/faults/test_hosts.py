"""Runs over several hosts: one cut off and back, one added, a scheduler away, a slow network."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import dask
import pytest
from hosts import PORT, SILENCE, Hosts, far_away, why_not
from running import lines, run_script, wait_until_nothing_is_left

from daskrun.core.events import BundleReturned, NodeLost, NodeReady, Note
from daskrun.core.report import RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from running import Finished

    from daskrun.core.events import Event

WHY_NOT = why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "-"),
    pytest.mark.usefixtures("own_temporary_folder"),
    pytest.mark.timeout(180),
]
ROWS = 300
SCRIPT = """
import time
def run(mini_batch):
    time.sleep(0.05)
    return [open(path).read() for path in mini_batch]
"""


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    made = Hosts(tmp_path)
    yield made
    made.close()
    assert wait_until_nothing_is_left() == []


def once(kind: type, do: Callable[[], Any]) -> Callable[[Event], None]:
    """Give an observer that does something, in a thread, at the first event of a kind."""
    threads: list[threading.Thread] = []

    def act(event: Event) -> None:
        if isinstance(event, kind) and not threads:
            threads.append(threading.Thread(target=do))
            threads[0].start()

    return act


def check(run: Finished) -> None:
    """Account for each row: in = succeeded, none twice, nobody charged for a fault."""
    report = run.report
    assert report.status is RunStatus.COMPLETED, report.message
    assert (report.items, report.items_succeeded, report.retried) == (ROWS, ROWS, 0)
    assert run.output == lines(range(ROWS))


def hosts_of(run: Finished) -> set[str]:
    return {e.where.partition("://")[2].rpartition(":")[0] for e in run.watch.of(NodeReady)}


@pytest.mark.slow
def test_three_hosts_and_one_that_is_added(tmp_path: Path, hosts: Hosts) -> None:
    address = hosts.add().scheduler()
    workers = [hosts.add() for _ in range(3)]
    for host in workers[:2]:
        host.worker(address)
    late = once(BundleReturned, lambda: workers[2].worker(address))
    run = run_script(tmp_path, SCRIPT, files=ROWS, target=address, node_count=None, act=late)
    check(run)
    assert hosts_of(run) == {host.ip for host in workers}
    assert any("listens at" in e.text and "without TLS" in e.text for e in run.watch.of(Note))


@pytest.mark.slow
def test_a_host_is_cut_off_and_comes_back(tmp_path: Path, hosts: Hosts) -> None:
    address = hosts.add().scheduler()
    first, second = hosts.add(), hosts.add()
    for host in (first, second):
        host.worker(address)

    def cut() -> None:
        second.plug(False)
        gone.wait(60)
        second.plug(True)
        second.worker(address)  # as whoever looks after that host would

    begin, gone = once(BundleReturned, cut), threading.Event()

    def act(event: Event) -> None:
        begin(event)
        if isinstance(event, NodeLost):
            gone.set()

    run = run_script(tmp_path, SCRIPT, files=ROWS, target=address, node_count=2, act=act)
    check(run)
    assert len(run.watch.of(NodeLost)) >= 1


@pytest.mark.slow
def test_a_scheduler_is_cut_off_and_its_workers_come_back(tmp_path: Path, hosts: Hosts) -> None:
    scheduler, worker = hosts.add(), hosts.add()
    address = scheduler.scheduler()
    worker.worker(address)

    def cut() -> None:
        scheduler.plug(False)
        worker.processes[0].wait()  # it has given its scheduler up
        scheduler.plug(True)
        worker.worker(address)

    with dask.config.set({"distributed.comm.timeouts.tcp": SILENCE}):
        act = once(BundleReturned, cut)
        run = run_script(tmp_path, SCRIPT, files=ROWS, target=address, node_count=1, act=act)
    check(run)
    assert len({e.where for e in run.watch.of(NodeReady)}) == 2


@pytest.mark.slow
def test_a_network_that_is_slow(tmp_path: Path, hosts: Hosts) -> None:
    scheduler, workers = hosts.add(), [hosts.add(), hosts.add()]
    scheduler.scheduler()
    with far_away(f"{hosts.network}.254", (scheduler.ip, PORT), 0.075) as port:
        address = f"tcp://{hosts.network}.254:{port}"
        for host in workers:
            host.worker(address)
        run = run_script(tmp_path, SCRIPT, files=ROWS, target=address, node_count=2)
    check(run)
    assert hosts_of(run) == {host.ip for host in workers}
