"""Cluster objects are asked for workers while there is work, and are as before when it is over."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from distributed import Client, LocalCluster
from running import lines, make_request, run_request, run_script, wait_for

from daskrun.core.events import BundleLost, BundleReturned, NodeLost, NodeReady, Note
from daskrun.core.report import RunStatus
from daskrun.core.sizing import WORTH, BundleSizer
from daskrun.engine.dask import plugin
from daskrun.engine.dask import scaling as scaling_module
from daskrun.engine.dask.scaling import Scaling, cluster_to_scale
from daskrun.engine.request import GivenCluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from daskrun.core.events import Event

pytestmark = pytest.mark.usefixtures("own_temporary_folder")

SLOW = """
import time
def run(mini_batch):
    time.sleep(0.1)
    return [open(path).read() for path in mini_batch]
"""


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    options = {"processes": False, "dashboard_address": "127.0.0.1:0", "threads_per_worker": 1}
    with LocalCluster(n_workers=0, protocol="tcp", **options) as made:
        yield made


def nodes_of(run: Any) -> set[str]:
    return {event.node for event in run.watch.of(NodeReady)}


@pytest.mark.slow
def test_one_that_adapts_from_none_gets_workers_and_its_bounds_back(
    tmp_path: Path, cluster: LocalCluster
) -> None:
    adaptive = cluster.adapt(minimum=0, maximum=2, interval="100ms", wait_count=2)
    run = run_script(tmp_path, SLOW, files=60, target=cluster, node_count=2)
    assert run.report.status is RunStatus.COMPLETED, run.report.message
    assert run.output == lines(range(60))
    assert nodes_of(run) == {"node000", "node001"}
    assert (cluster._adaptive, adaptive.minimum, adaptive.maximum) == (adaptive, 0, 2)
    wait_for(lambda: not cluster.scheduler_info["workers"])


@pytest.mark.slow
def test_one_that_does_not_adapt_is_scaled_for_the_time_of_the_run(
    tmp_path: Path, cluster: LocalCluster
) -> None:
    cluster.scale(1)
    wait_for(lambda: len(cluster.scheduler_info["workers"]) == 1)
    run = run_script(tmp_path, SLOW, files=60, target=cluster, node_count=2)
    assert run.output == lines(range(60))
    assert nodes_of(run) == {"node000", "node001"}
    assert len(cluster.plan) == 1


@pytest.mark.slow
def test_what_a_worker_has_in_hand_ends_before_it_is_scaled_down(
    tmp_path: Path, cluster: LocalCluster
) -> None:
    cluster.scale(2)
    wait_for(lambda: len(cluster.scheduler_info["workers"]) == 2)
    fewer = iter([partial(cluster.scale, 1)])

    def act(event: Event) -> None:
        if isinstance(event, BundleReturned) and (scale := next(fewer, None)) is not None:
            scale()

    run = run_script(tmp_path, SLOW, files=60, target=cluster, node_count=None, act=act)
    assert run.output == lines(range(60))
    assert run.watch.of(BundleLost) == []
    assert len(run.watch.of(NodeLost)) == 1


@pytest.mark.slow
def test_a_clients_cluster_is_scaled_too_and_by_what_the_user_has_said_of_it(
    tmp_path: Path, cluster: LocalCluster
) -> None:
    with Client(cluster, set_as_default=False) as client:
        target = GivenCluster(client, bounds=(1, 2))
        run = run_script(tmp_path, SLOW, files=60, target=target, node_count=None)
        assert run.output == lines(range(60))
        assert nodes_of(run) == {"node000", "node001"}
        told = "node_count was not given"
        assert any(told in note.text for note in run.watch.of(Note))
        assert (cluster._adaptive.minimum, cluster._adaptive.maximum) == (1, 2)


def test_no_more_workers_are_asked_for_than_there_is_work(
    tmp_path: Path, cluster: LocalCluster
) -> None:
    most = []

    def act(_: object) -> None:
        most.append(len(cluster.plan))

    request = make_request(tmp_path, SLOW, files=2, target=cluster, node_count=50)
    run = run_request(request, act=act)
    assert run.output == lines(range(2))
    assert max(most) == 2


class Remote:
    """A cluster as dask-kubernetes and dask-gateway have them: all that they say are workers."""

    def __init__(self, workers: int, **answers: Exception) -> None:
        self.scheduler_info = {"workers": dict.fromkeys(range(workers))}
        self.calls: list[tuple[str, Any]] = []
        self.called = threading.Event()
        self._answers = answers

    def scale(self, n: int) -> None:
        self._call("scale", n)

    def adapt(self, minimum: int, maximum: int) -> None:
        self._call("adapt", (minimum, maximum))

    def _call(self, name: str, value: Any) -> None:
        if name in self._answers:
            raise self._answers[name]
        self.calls.append((name, value))
        if name == "scale":
            self.scheduler_info["workers"] = dict.fromkeys(range(value))


def needed(*scalings: tuple[Scaling, int]) -> None:
    for scaling, count in scalings:
        scaling.need(count, 1, count)
        wait_for(lambda scaling=scaling, count=count: settled(scaling, count))


def settled(scaling: Scaling, count: int) -> bool:
    threads = [each.name for each in threading.enumerate()]
    return scaling._of.needs[scaling] == count and "daskrun-scale" not in threads


@pytest.mark.parametrize(
    ("bounds", "calls"),
    [
        (None, [("scale", 3), ("scale", 5), ("scale", 1)]),
        ((0, 4), [("adapt", (3, 4)), ("adapt", (4, 4)), ("adapt", (2, 4)), ("adapt", (0, 4))]),
    ],
)
def test_what_runs_need_adds_up_and_the_last_gives_it_back(
    bounds: tuple[int, int] | None, calls: list[tuple[str, Any]]
) -> None:
    cluster, told = Remote(1), []
    first, second = (Scaling(cluster, bounds, told.append) for _ in range(2))
    needed((first, 3), (second, 2))
    first.end()
    second.end()
    assert cluster.calls == calls
    assert told == []


def test_a_cluster_that_its_user_scales_meanwhile_stays_so() -> None:
    cluster = Remote(1)
    scaling = Scaling(cluster, None, print)
    needed((scaling, 3))
    cluster.scale(7)
    scaling.end()
    assert cluster.calls[-1] == ("scale", 7)


def test_a_cluster_that_refuses_is_told_with_its_words() -> None:
    told: list[str] = []
    scaling = Scaling(Remote(0, scale=PermissionError("quota")), None, told.append)
    scaling.need(3, 1, 3)
    wait_for(lambda: told)
    assert told == ["the cluster can't be asked for 3 workers: PermissionError: quota"]
    scaling.end()


def test_a_cluster_that_never_answers_is_not_waited_for_at_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(scaling_module, "ANSWER_LIMIT", 0.1)
    cluster, answers = Remote(0), threading.Event()
    monkeypatch.setattr(cluster, "scale", lambda n: answers.wait(60))
    scaling = Scaling(cluster, None, print)
    scaling.need(3, 1, 3)
    scaling.end()
    answers.set()
    assert "giving workers back: no answer within 0.1 s" in caplog.text


def test_what_an_asynchronous_cluster_refuses_is_told() -> None:
    class Asynchronous(Remote):
        asynchronous = True

        async def scale(self, n: int) -> None:  # type: ignore[override]
            raise PermissionError(f"no {n}")

    told: list[str] = []
    cluster, loop = Asynchronous(0), asyncio.new_event_loop()
    cluster.loop = SimpleNamespace(asyncio_loop=loop)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    scaling = Scaling(cluster, None, told.append)
    scaling.need(3, 1, 3)
    wait_for(lambda: told)
    scaling.end()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    assert told == ["the cluster can't be asked for 3 workers: PermissionError: no 3"]


def test_which_targets_can_be_scaled() -> None:
    remote = Remote(1)
    assert cluster_to_scale(remote) is remote
    assert cluster_to_scale("tcp://10.0.0.5:1") is None
    remote._supports_scaling = False
    assert cluster_to_scale(remote) is None


def test_how_many_slots_the_work_can_fill() -> None:
    sizer = BundleSizer()
    assert sizer.slots(remaining=7, busy=1) == 8  # each may be long
    sizer.observe(count=10, seconds=WORTH)
    assert sizer.slots(remaining=7, busy=1) == 2
    assert sizer.slots(remaining=100, busy=3) == 13
    assert sizer.slots(remaining=0, busy=2) == 2


@pytest.mark.parametrize(
    ("message", "leaving"),
    [
        ({"workers": ["tcp://b"], "names": None}, ["tcp://b"]),
        ({"workers": [0, "gone"]}, ["tcp://a"]),  # as a cluster that is scaled down says it
        ({"names": ["1"], "close_workers": True}, ["tcp://b"]),
        ({"n": 1, "close_workers": True}, ["tcp://a"]),
        ({"workers": []}, []),
    ],
)
def test_which_workers_are_to_leave(message: dict[str, Any], leaving: list[str]) -> None:
    workers = {a: SimpleNamespace(address=a, name=n) for n, a in enumerate(("tcp://a", "tcp://b"))}
    scheduler = SimpleNamespace(workers=workers, workers_to_close=lambda n: [*workers][:n])
    assert plugin._leaving(scheduler, message) == leaving
    assert "n" not in message  # what Dask is asked for is what was waited for


def test_a_killed_drivers_run_is_cleared_whatever_its_workers_answer() -> None:
    class Scheduler:
        def __init__(self) -> None:
            self.clients: dict[str, object] = {}
            self.plugins = {"daskrun-run1": watcher}

        async def unregister_worker_plugin(self, *_: object, **__: object) -> None:
            raise OSError("a worker has died meanwhile")

        async def unregister_scheduler_plugin(self, name: str) -> None:
            del self.plugins[name]

    watcher = plugin.RunWatcher("run1", "topic", (), "client", 2.0, 60.0)
    scheduler = Scheduler()
    asyncio.run(watcher._clear(scheduler))
    assert scheduler.plugins == {}


def test_a_run_that_can_not_be_drained_keeps_no_worker_from_being_retired() -> None:
    retired = []

    async def retire(**message: object) -> None:
        retired.append(message["workers"])

    class Broken(plugin.RunWatcher):
        async def drain(self, *_: object) -> None:
            raise LookupError

        def stay(self, *_: object) -> None:
            pass

    workers = {a: SimpleNamespace(address=a, name=a) for a in ("tcp://a", "tcp://b")}
    scheduler = SimpleNamespace(handlers={plugin.RETIRE: retire}, workers=workers)
    plugin._watchers_of(scheduler).append(Broken("run1", "topic", (), "client", 2.0, 60.0))
    asyncio.run(scheduler.handlers[plugin.RETIRE](workers=["tcp://a"], names=None))
    assert retired == [["tcp://a"]]
