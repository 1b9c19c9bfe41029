"""The Dask dispatcher in moments that no cluster can be brought into, with stand-ins for Dask."""

from __future__ import annotations

import pickle
import socket
import threading
import time
from concurrent.futures import CancelledError
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from distributed.comm import CommClosedError

from daskrun.core.events import Bundle, BundleLost, Event, NodeLost, NodeReady, Note, StopAsked
from daskrun.core.intervals import USUAL
from daskrun.core.report import RunStatus
from daskrun.engine.dask import worker as side
from daskrun.engine.dask.assignment import MOST_FAILURES, WorkerInfo
from daskrun.engine.dask.client import dashboard_of
from daskrun.engine.dask.connection import TopicEvent
from daskrun.engine.dask.dispatcher import MOST_REJOINS, DaskDispatcher
from daskrun.engine.dispatch import Packed, returned
from daskrun.engine.driver import RunControl
from daskrun.engine.nodes import node_spec
from daskrun.script.messages import KNOWN, BundleGone, KeeperLost, SlotsUp
from daskrun.script.wire import decode, encode, packed
from tests.running import (
    make_request,
    run_request,
    run_script,
    wait_for,
    wait_until_nothing_is_left,
)

if TYPE_CHECKING:
    import queue
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("own_temporary_folder")

SCRIPT = "def run(mini_batch):\n    return mini_batch\n"
ADDRESS = "tcp://10.0.0.1:1"
HERE = {"python": "3.11.7", "wire": "1"}


def up_at(address: str) -> dict[str, Any]:
    return {
        "kind": side.OF_NODE,
        "address": address,
        "node": "node000",
        "value": encode(SlotsUp(2)),
    }


class StandInFuture:
    """A future that is out."""

    def __init__(self) -> None:
        self.callbacks: list[Any] = []

    def add_done_callback(self, callback: Any) -> None:
        self.callbacks.append(callback)

    def release(self) -> None:
        pass


@pytest.fixture
def dispatcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DaskDispatcher:
    made = DaskDispatcher(make_request(tmp_path, SCRIPT, target=ADDRESS))
    made._workers.choose({ADDRESS: WorkerInfo("a")})
    made._arrivals.begin(HERE)
    made.canceled = []
    monkeypatch.setattr(made._cluster, "cancel", made.canceled.extend)
    monkeypatch.setattr(made, "_ask_soon", lambda: None)
    return made


def drain(events: queue.SimpleQueue[Event]) -> list[Event]:
    found = []
    while not events.empty():
        found.append(events.get())
    return found


def test_a_worker_lost_while_its_bundles_are_submitted_gives_them_back(dispatcher, monkeypatch):
    future = StandInFuture()

    def submit(address: str, group: Any, budget: float) -> dict[int, Any]:
        dispatcher._lose(address, "it is gone")
        return {7: future}

    monkeypatch.setattr(dispatcher._out, "_submit", submit)
    dispatcher.hand_out([Packed(Bundle(7, "node000", ((0, 1),)), b"")], 1.0)
    kinds = [type(event) for event in drain(dispatcher.events)]
    assert kinds == [NodeLost, BundleLost]
    assert dispatcher.canceled == [future]
    assert not future.callbacks
    assert len(dispatcher._out) == 0


def test_losing_a_worker_ends_the_wait_for_its_result_and_loses_the_bundle_once(dispatcher):
    future = StandInFuture()
    dispatcher._out.add([Bundle(7, "node000", ((0, 1),))], {7: future})
    dispatcher._lose(ADDRESS, "it is gone")
    assert dispatcher.canceled == [future]  # which is what makes a real future's wait end
    dispatcher._take(7, CancelledError())
    lost = [event for event in drain(dispatcher.events) if isinstance(event, BundleLost)]
    assert [event.number for event in lost] == [7]


def test_tasks_that_keep_failing_make_a_worker_unfit(dispatcher):
    for number in range(MOST_FAILURES):
        assert dispatcher._workers.address_of("node000") == ADDRESS
        dispatcher._out.add([Bundle(number, "node000", ((0, 1),))], {number: StandInFuture()})
        dispatcher._take(number, MemoryError("no room"))
    assert "MemoryError: no room" in dispatcher._workers.why_none({ADDRESS: WorkerInfo("a")})
    assert any(isinstance(event, NodeLost) for event in drain(dispatcher.events))


def test_a_cleared_run_registers_again_once_for_each_loss_and_not_for_ever(dispatcher, monkeypatch):
    joined = []
    monkeypatch.setattr(dispatcher, "_join_again", lambda: joined.append(1))
    dispatcher._intervals = replace(USUAL, rejoin_interval=0.0)
    for number in range(MOST_REJOINS + 1):
        dispatcher._workers.choose({ADDRESS: WorkerInfo("a")})
        dispatcher._out.add([Bundle(number, "node000", ((0, 1),))], {number: StandInFuture()})
        cleared = BundleGone(number, "no node of this run", cleared=True)
        dispatcher._take(number, [pickle.dumps(cleared, 5)])
    deadline = time.monotonic() + 5
    while len(joined) < MOST_REJOINS and time.monotonic() < deadline:
        time.sleep(0.01)
    stops = [event for event in drain(dispatcher.events) if isinstance(event, StopAsked)]
    assert len(joined) == MOST_REJOINS
    assert len(stops) == 1
    dispatcher._intervals = replace(USUAL, rejoin_interval=60.0)
    dispatcher._cleared(ADDRESS, "told by another worker")
    assert len(joined) == MOST_REJOINS


@pytest.mark.slow
def test_a_scheduler_that_accepts_and_says_nothing_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        run = run_script(tmp_path, target=address, intervals=replace(USUAL, connect_limit=0.5))
    assert run.report.status is RunStatus.FAILED
    assert f"no Dask scheduler answered at {address}" in run.report.message
    assert run.report.message.endswith("at its start?")


def test_a_run_can_be_canceled_while_it_connects(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        control = RunControl()
        control.cancel("enough")
        begun = time.monotonic()
        request = make_request(tmp_path, SCRIPT, target=address)
        run = run_request(request, control=control)
    assert run.report.status is RunStatus.CANCELED
    assert time.monotonic() - begun < 20  # not the 30 s that connecting may take


def test_a_second_node_of_a_run_on_a_worker_takes_the_place_of_the_first(tmp_path):
    # news that a worker has come may follow the asking of that very worker
    told: list[Any] = []
    worker = SimpleNamespace(
        address="tcp://here",
        loop=SimpleNamespace(add_callback=lambda call, *values: call(*values)),
        log_event=lambda _, event: told.append((decode(event["value"], KNOWN), event["node"])),
    )
    request = make_request(tmp_path, files=3)
    for name in ("node000", "node001"):
        side.begin("run1", "topic", worker, node_spec(request, name, 1))
        wait_for(lambda name=name: (SlotsUp(1), name) in told)
        wait_for(lambda: side._places["run1", "tcp://here"].started.is_set())
    first = len(told)
    entries = [(request.plan.encode(index), 1) for index in range(3)]
    message = {"run": "run1", "number": 7, "payload": pickle.dumps(entries, 5), "budget": 9.0}
    back = returned(decode(side.run_bundle(pickle.dumps(message, 5), "tcp://here"), KNOWN))
    assert [o.status for o in back.outcomes] == [0, 0, 0]
    assert {name for _, name in told[first:]} <= {"node001"}
    assert not any(isinstance(message, KeeperLost) for message, _ in told)
    side.forget("run1", "tcp://here")
    assert wait_until_nothing_is_left() == []


def test_what_a_nanny_set_for_dask_tasks_is_not_passed_on(monkeypatch):
    import dask

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MKL_NUM_THREADS", "4")
    given = {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1}
    with dask.config.set({"distributed.nanny.pre-spawn-environ": given}):
        assert side._set_by_nanny() == ["OMP_NUM_THREADS"]


def test_fewer_workers_than_nodes_asked_for_is_told_once(tmp_path, monkeypatch):
    made = DaskDispatcher(make_request(tmp_path, SCRIPT, target=ADDRESS, node_count=3))
    workers = {ADDRESS: {"name": "w", "host": "10.0.0.1"}}
    made._cluster.client = SimpleNamespace(scheduler_info=lambda n_workers: {"workers": workers})
    monkeypatch.setattr(made, "_ask_soon", lambda: None)
    made._arrivals.begin(HERE)
    made._hear(TopicEvent("worker_here", ADDRESS, HERE))
    begun = []
    monkeypatch.setattr(
        made._cluster, "call_on", lambda addresses, *_, **__: begun.append(addresses)
    )
    made._ask_for_nodes()
    made._ask_for_nodes()
    assert begun == [[ADDRESS]]
    [note] = drain(made.events)
    assert note.text.startswith("1 of the node_count=3 nodes asked for have a Dask worker")


def test_a_worker_that_does_not_answer_keeps_its_node_only_until_another_is_free(
    dispatcher, monkeypatch
):
    dispatcher._could_not_begin(ADDRESS, TimeoutError())
    one = {ADDRESS: WorkerInfo("a")}
    two = {**one, "tcp://10.0.0.2:1": WorkerInfo("b")}
    workers = dispatcher._workers
    assert (workers.choose(one), workers.address_of("node000")) == ([], ADDRESS)
    assert workers.why_none(one) == ""
    assert workers.choose(two) == [("node000", "tcp://10.0.0.2:1")]
    assert workers.neighbours(two, "tcp://10.0.0.2:1") == ["tcp://10.0.0.2:1"]
    late = up_at(ADDRESS)
    drain(dispatcher.events)
    dispatcher._hear(TopicEvent(**late))
    assert drain(dispatcher.events) == []
    dispatcher._lose("tcp://10.0.0.2:1", "it is gone")
    assert workers.choose(one) == []
    workers.renew(ADDRESS)  # another worker at that address
    assert workers.choose(one) == [("node000", ADDRESS)]


def test_a_worker_that_answers_late_has_its_node(dispatcher):
    dispatcher._could_not_begin(ADDRESS, TimeoutError())
    ready = up_at(ADDRESS)
    dispatcher._hear(TopicEvent(**ready))
    assert [type(event) for event in drain(dispatcher.events)] == [Note, NodeReady]
    assert (
        dispatcher._workers.choose({ADDRESS: WorkerInfo("a"), "tcp://10.0.0.2:1": WorkerInfo("b")})
        == []
    )


def test_what_dask_may_log_of_a_node_shows_no_secret(tmp_path):
    spec = node_spec(make_request(tmp_path), "node000", 1)
    process = replace(spec.process, storage_options={"secret": "the-secret-of-it"})
    assert b"secret" not in packed(replace(spec, process=process))


def test_a_worker_that_dies_while_its_node_begins_is_not_unfit(dispatcher):
    dispatcher._could_not_begin(ADDRESS, CommClosedError("in <TCP (closed)>"))
    assert dispatcher._workers.why_none({ADDRESS: WorkerInfo("a")}) == ""
    assert dispatcher._workers.choose({"tcp://10.0.0.2:1": WorkerInfo("b")}) == [
        ("node000", "tcp://10.0.0.2:1")
    ]
    [note] = drain(dispatcher.events)
    told = f"worker {ADDRESS}: its node can't be begun: CommClosedError: in <TCP (closed)>"
    assert note.text == told
    dispatcher._workers.lose_all()
    dispatcher._could_not_begin(ADDRESS, ImportError("no such module"))
    assert "no such module" in dispatcher._workers.why_none({ADDRESS: WorkerInfo("a")})


def fail(*_: object, **__: object) -> None:
    raise LookupError("nobody has thought of this")


@pytest.mark.parametrize(
    "part", ["_connect", "_register", "_ask_for_nodes", "_hear", "_hear_node", "_look", "_take"]
)
def test_a_part_that_fails_beside_the_driver_ends_the_run(tmp_path, monkeypatch, part):
    monkeypatch.setattr(DaskDispatcher, part, fail)
    run = run_script(tmp_path, SCRIPT)
    assert run.report.status is RunStatus.FAILED
    told = "the Dask cluster can't be used: LookupError: nobody has thought of this"
    assert run.report.message.startswith(told)


def test_nodes_are_asked_for_again_where_a_connection_fails_and_the_cluster_is_there(
    dispatcher, monkeypatch
):
    client = SimpleNamespace(status="running")
    asked: list[int] = []

    def ask() -> None:
        dispatcher._asked = False
        asked.append(1)
        if len(asked) == 1:
            raise OSError("timed out")

    monkeypatch.delattr(dispatcher, "_ask_soon")  # the stand-in's
    dispatcher._cluster.client, dispatcher._joined = client, True
    dispatcher._intervals = replace(USUAL, connection_look=0.0)
    dispatcher._ask_for_nodes = ask
    dispatcher._ask_soon()
    wait_for(lambda: len(asked) == 2)
    client.status = "closing"
    dispatcher._ask_for_nodes = fail
    dispatcher._ask()
    assert drain(dispatcher.events) == []


@pytest.mark.parametrize("part", ["unreachable", "start_node", "_set_by_nanny"])
def test_what_fails_while_a_node_begins_is_told_of_its_worker(tmp_path, monkeypatch, part):
    from distributed import LocalCluster

    monkeypatch.setattr(side, part, fail)
    options = {"processes": False, "dashboard_address": "127.0.0.1:0", "protocol": "tcp"}
    with LocalCluster(n_workers=1, threads_per_worker=1, **options) as cluster:
        [address] = cluster.scheduler_info["workers"]
        run = run_script(tmp_path, SCRIPT, target=cluster.scheduler_address)
    assert run.report.status is RunStatus.FAILED
    why = "its node could not be started: LookupError: nobody has thought of this"
    assert f"worker {address}: {why}" in run.report.message


def test_a_worker_whose_node_begins_too_slowly_is_named_and_taken_when_it_is_there(
    tmp_path, monkeypatch
):
    from distributed import LocalCluster

    told = threading.Event()  # as a file system that does not answer
    monkeypatch.setattr(side, "unreachable", lambda _: told.wait(60) and None)

    def act(event: Event) -> None:
        if isinstance(event, Note) and "has not begun" in event.text:
            told.set()

    options = {"processes": False, "dashboard_address": "127.0.0.1:0", "protocol": "tcp"}
    with LocalCluster(n_workers=1, threads_per_worker=1, **options) as cluster:
        [address] = cluster.scheduler_info["workers"]
        page = cluster.dashboard_link
        slow = make_request(
            tmp_path,
            SCRIPT,
            target=cluster.scheduler_address,
            intervals=replace(USUAL, begin_limit=0.3),
        )
        run = run_request(slow, act=act)
    assert run.report.status is RunStatus.COMPLETED
    notes = [event.text for event in run.watch.of(Note)]
    assert f"worker {address} has not begun its node for 0.3 s" in notes
    assert [each.dashboard for each in run.watch.of(Note) if each.dashboard] == [page]


def test_a_scheduler_that_tells_no_dashboard_has_none():
    assert dashboard_of(SimpleNamespace(dashboard_link=None)) == ""
    assert dashboard_of(SimpleNamespace()) == ""  # as one whose dashboard is off
    link = "https://me:SECRET@hub/user/me/proxy/8787/status"
    assert dashboard_of(SimpleNamespace(dashboard_link=link)).startswith("https://***@hub/")
