"""Runs over several hosts: one cut off and back, one added, a scheduler away, a slow network."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import pytest
from distributed import Client, Security
from hosts import PORT, SILENCE, Hosts, far_away, why_not
from running import (
    alive,
    lines,
    make_request,
    run_request,
    run_script,
    wait_for,
    wait_until_nothing_is_left,
)
from s3 import KEY, SECRET

from daskrun import (
    ComputeTarget,
    Experiment,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    Workspace,
)
from daskrun.core.events import BundleReturned, NodeLost, NodeReady, Note
from daskrun.core.report import RunStatus
from daskrun.data import Dataset
from daskrun.data.file_plan import FilePlan
from daskrun.engine.request import GivenCluster
from daskrun.testing import account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hosts import Host
    from running import Finished
    from s3 import Bucket

    from daskrun.core.events import Event

WHY_NOT = why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "-"),
    pytest.mark.usefixtures("own_temporary_folder"),
    pytest.mark.timeout(180),
]
ROWS = 300
CUT = 60.0
"""Seconds that a scheduler is cut off for."""
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


def certificates(folder: Path) -> dict[str, str]:
    """Write files that a cluster and its clients can use for TLS; give their paths."""
    temporary, files = Security.temporary(), {}
    for name in ("tls_ca_file", "tls_client_cert", "tls_client_key"):
        files[name] = str(folder / name)
        Path(files[name]).write_text(getattr(temporary, name))
    return files


def tls_options(files: dict[str, str]) -> tuple[str, ...]:
    """Give the options of a scheduler and of workers that use them."""
    ca, cert, key = files.values()
    return ("--protocol", "tls", "--tls-ca-file", ca, "--tls-cert", cert, "--tls-key", key)


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
        began = time.monotonic()
        scheduler.plug(False)
        worker.processes[0].wait()  # it has given its scheduler up
        time.sleep(max(0.0, began + CUT - time.monotonic()))
        scheduler.plug(True)
        worker.worker(address)

    with dask.config.set({"distributed.comm.timeouts.tcp": SILENCE}):
        act = once(BundleReturned, cut)
        run = run_script(tmp_path, SCRIPT, files=ROWS, target=address, node_count=1, act=act)
    check(run)
    assert len({e.where for e in run.watch.of(NodeReady)}) == 2
    assert run.report.seconds > CUT


@pytest.mark.slow
def test_a_network_that_is_slow_and_loses_packets(tmp_path: Path, hosts: Hosts) -> None:
    scheduler, workers = hosts.add(), [hosts.add(), hosts.add()]
    scheduler.scheduler()
    with far_away(f"{hosts.network}.254", (scheduler.ip, PORT), 0.075, 0.03) as port:
        address = f"tcp://{hosts.network}.254:{port}"
        for host in workers:
            host.worker(address)
        run = run_script(tmp_path, SCRIPT, files=ROWS, target=address, node_count=2)
    check(run)
    assert hosts_of(run) == {host.ip for host in workers}


@pytest.mark.slow
def test_over_tls_with_the_data_in_a_store_elsewhere(
    tmp_path: Path, hosts: Hosts, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = certificates(tmp_path)
    options = tls_options(files)
    scheduler, workers = hosts.add(), [hosts.add(), hosts.add()]
    for n in range(ROWS):
        bucket.put(f"in/{n:03d}", b"%d" % n)
    store = bucket.endpoint.rpartition(":")[2]
    with far_away(f"{hosts.network}.254", ("127.0.0.1", int(store)), 0.0) as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{hosts.network}.254:{port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        address = scheduler.scheduler(*options)
        for host in workers:
            host.worker(address, *options)
        data = Dataset.File.from_files(f"{bucket.url}/in/")
        plan = FilePlan([("files", data)], 1)
        target = GivenCluster(address, security=Security(**files))
        request = make_request(tmp_path, SCRIPT, plan=plan, target=target, node_count=2)
        run = run_request(replace(request, output_url=f"{bucket.url}/out"))
    assert run.report.status is RunStatus.COMPLETED, run.report.message
    assert bucket.get("out/parallel_run_step.txt") == lines(range(ROWS))
    assert hosts_of(run) == {host.ip for host in workers}
    assert {e.where.partition(":")[0] for e in run.watch.of(NodeReady)} == {"tls"}


@pytest.mark.slow
def test_a_driver_on_its_cluster_is_killed_and_cut_off(
    tmp_path: Path, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = certificates(tmp_path)
    options = tls_options(files)
    scheduler, workers = hosts.add(), [hosts.add() for _ in range(3)]
    address = scheduler.scheduler(*options)
    for host in workers:
        host.worker(address, *options)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "score.py").write_text(SCRIPT)
    (tmp_path / "data").mkdir()
    for n in range(ROWS):
        (tmp_path / "data" / f"{n:06d}.txt").write_text(str(n))
    ws = Workspace.create("trial")
    target = ComputeTarget.attach(ws, "hosts", address=address, security=Security(**files))
    config = ParallelRunConfig(
        entry_script="score.py",
        error_threshold=-1,
        output_action="append_row",
        mini_batch_size=1,
        compute_target=target,
        process_count_per_node=1,
    )
    data = Dataset.File.from_files("data").as_named_input("data")
    step = ParallelRunStep("score", config, [data], PipelineData("rows"), allow_reuse=False)
    run = Experiment(ws, "trial").submit(Pipeline(ws, [step]), detached=True)
    (step_run,) = run.get_steps()

    def next_driver(count: int) -> Any:
        return wait_for(lambda: run._kept.handover().drivers[count:], 90)[0]

    def got_to(done: int) -> bool:
        progress = step_run.progress
        return progress is not None and progress.succeeded > done

    first = next_driver(0)
    wait_for(lambda: got_to(10), 60)
    os.kill(first.pid, signal.SIGKILL)
    second = next_driver(1)
    wait_for(lambda: got_to(40), 60)
    (host,) = (each for each in workers if each.ip in second.worker)
    host.plug(False)  # its worker gives the scheduler up, and its driver ends with it
    third = next_driver(2)
    assert third.worker != second.worker
    assert run.wait_for_completion(timeout_seconds=120) == "Completed"
    account(run).check()
    output = Path(step_run.output_folder, "parallel_run_step.txt").read_text().split()
    assert output == [str(n) for n in range(ROWS)]
    assert {each.pid for each in (first, second, third) if alive(each.pid)} <= {third.pid}


class Pool:
    """A cluster object whose workers are hosts, as many as it is asked for."""

    asynchronous, security = False, None

    def __init__(self, address: str, hosts: list[Host]) -> None:
        self.scheduler_address = address
        self.scheduler_info: dict[str, dict[str, object]] = {"workers": {}}
        self.asked: list[int] = []
        self._hosts = hosts

    def scale(self, n: int) -> None:
        self.asked.append(n)
        for host in self._hosts[:n]:
            if not host.processes:
                host.worker(self.scheduler_address)
        for host in self._hosts[n:]:
            host.clear()

    def adapt(self, minimum: int, maximum: int) -> None:
        assert maximum == 3
        self.scale(minimum)


@pytest.mark.slow
def test_from_no_host_to_three_and_back(tmp_path: Path, hosts: Hosts) -> None:
    address = hosts.add().scheduler()
    pool = Pool(address, [hosts.add() for _ in range(3)])
    with Client(address, set_as_default=False) as client:
        client.cluster = pool
        target = GivenCluster(client, bounds=(0, 3))
        run = run_script(tmp_path, SCRIPT, files=ROWS, target=target, node_count=3)
    check(run)
    assert len(hosts_of(run)) == 3
    assert (max(pool.asked), pool.asked[-1]) == (3, 0)
    assert not any(host.processes for host in pool._hosts)
