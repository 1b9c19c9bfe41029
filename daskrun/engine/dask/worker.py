"""The worker's side of a run: the nodes in this process, by run and worker address.

With the local target this process is also the driver's, and the nodes were started before Dask was
imported: they wait in ``EARLY`` for their worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from daskrun.core import minibatch, outcome
from daskrun.engine.dask.copied_node import CopiedNode, start_node
from daskrun.engine.dask.reach import unreachable
from daskrun.script import context, messages, node_spec, process_spec
from daskrun.script.keeper.gpus import gpus as gpus  # asked by the plugin
from daskrun.script.messages import BundleGone, BundleResult, KeeperLost, RunBundle
from daskrun.script.node import Node
from daskrun.script.wire import VERSION, decode_trusted, encode, shape, unpacked

if TYPE_CHECKING:
    from daskrun.engine.dispatch import Packed
    from daskrun.script.messages import Told
    from daskrun.script.node import Tell
    from daskrun.script.node_spec import NodeSpec

WIRE = f"{VERSION}-{shape(minibatch, outcome, context, messages, node_spec, process_spec):08x}"
"""Of the driver and of a worker that takes part; what they tell each other is pickled by class."""
OF_NODE = "node"
"""Kind of an event that holds what a node has told."""
START_LIMIT = 60.0
"""Seconds a bundle waits for its node's keeper to be started."""
START_LOOK = 0.1
"""Seconds between two looks whether that has been."""


class EarlyNode:
    """A node that was started before it was known which worker it belongs to."""

    def __init__(self, spec: NodeSpec) -> None:
        self._lock = threading.Lock()
        self._held: list[Told] = []
        self._sink: Tell | None = None
        self.node = Node(spec, self._tell)

    def _tell(self, message: Told) -> None:
        with self._lock:
            if self._sink is None:
                self._held.append(message)
                return
        self._sink(message)

    def attach(self, sink: Tell) -> None:
        """Pass on what was said so far, and from now on."""
        with self._lock:
            held, self._held = self._held, []
            for message in held:
                sink(message)
            self._sink = sink


def begin_early(spec: NodeSpec) -> None:
    """Start a node of the local target before its worker is there."""
    EARLY[spec.run_id, spec.node] = EarlyNode(spec)


def take_early(run_id: str) -> list[Node]:
    """Return the run's nodes that no worker has taken, which none gets any more."""
    return [EARLY.pop(key).node for key in list(EARLY) if key[0] == run_id]


@dataclass
class _Place:
    """A run on one worker."""

    worker: Any
    topic: str
    node: Node | CopiedNode | None = None
    name: str = ""
    started: threading.Event = field(default_factory=threading.Event)
    gone: bool = False
    """Whether its node is to end, or has."""
    replaced: bool = False
    last_words: bool = False
    """Whether it has said something since."""

    def tell(self, message: Told) -> None:
        """Send a message to the driver, from any thread; what is replaced says nothing more."""
        stays = isinstance(message, BundleResult) and self.worker.status.name == "running"
        if self.replaced or stays:  # of a worker that stays the result is fetched
            return
        self.last_words = self.gone
        told = {"kind": OF_NODE, "address": self.worker.address, "node": self.name}
        event = {**told, "value": encode(message)}  # bytes: the scheduler has no class of ours
        self.worker.loop.add_callback(self._send, event)

    def _send(self, event: object) -> None:
        with contextlib.suppress(OSError):  # the worker may be leaving
            self.worker.log_event(self.topic, event)


_places: dict[tuple[str, str], _Place] = {}
EARLY: dict[tuple[str, str], EarlyNode] = {}
"""(run, node name) -> node, for the local target."""


async def begin_node(run_id: str, topic: str, spec: bytes, dask_worker: Any) -> None:
    """Start a node on a worker, packed; called by ``client.run``.

    It returns when that has come to an end: a file system that does not answer may block it.
    """
    # A worker that has no plugin any more belongs to a run that is over: a node begun there would
    # never be ended.
    if f"daskrun-{run_id}" in dask_worker.plugins:
        begun = begin(run_id, topic, dask_worker, unpacked(spec))
        while begun.is_alive():
            await asyncio.sleep(START_LOOK)
        return
    report = {"kind": "cleared", "address": dask_worker.address, "value": "it has no plugin of it"}
    dask_worker.log_event(topic, report)


def note(run_id: str, topic: str, worker: Any) -> None:
    """Remember that a run may start a node on this worker."""
    _places.setdefault((run_id, worker.address), _Place(worker, topic))


def begin(run_id: str, topic: str, worker: Any, spec: NodeSpec) -> threading.Thread:
    """Start the run's node on a worker, in a thread: an event loop may not wait that long.

    Where it has one, the driver has given that up: it may hear that a worker came to the cluster
    after it has asked that very worker.
    """
    note(run_id, topic, worker)
    place = _places[run_id, worker.address]
    before = None
    if place.name:
        before = place
        before.gone = before.replaced = True
        place = _places[run_id, worker.address] = _Place(worker, topic)
    place.name = spec.node
    arguments = (run_id, place, spec, before)
    thread = threading.Thread(target=_start, args=arguments, name="daskrun-start", daemon=True)
    thread.start()
    return thread


def _start(run_id: str, place: _Place, spec: NodeSpec, before: _Place | None) -> None:
    try:
        _start_node(run_id, place, spec, before)
    except Exception as error:  # noqa: BLE001  (told to the driver: nothing else hears it here)
        reason = f"its node could not be started: {type(error).__name__}: {error}"
        place.tell(KeeperLost(reason, again=False))


def _start_node(run_id: str, place: _Place, spec: NodeSpec, before: _Place | None) -> None:
    if before is not None and before.node is not None:
        before.node.close()
    early = EARLY.pop((run_id, spec.node), None)
    # what is in the driver's own process has been reached there
    if early is None and (away := unreachable(spec)) is not None:
        place.tell(away)
        return
    spec = replace(spec, unset=tuple(_set_by_nanny()))
    node = early.node if early is not None else start_node(spec, place.tell)
    if early is not None:
        early.attach(place.tell)
    place.node = node
    place.started.set()
    if place.gone:
        node.close()


def _set_by_nanny() -> list[str]:
    """Return the variables that a nanny gave this worker (``OMP_NUM_THREADS=1`` and the like).

    They are meant for Dask's tasks. Script processes get thread limits of their own.
    """
    import dask.config

    given = dask.config.get("distributed.nanny.pre-spawn-environ", {})
    return [name for name, value in given.items() if os.environ.get(name) == str(value)]


def forget(run_id: str, address: str) -> bool:
    """End the run's node on a worker; return whether it has said something of its end."""
    place = _places.pop((run_id, address), None)
    if place is None:
        return False
    place.gone = True
    if place.node is not None:
        place.node.close()
    place.started.set()
    return place.last_words


def stop(run_id: str, grace: float) -> None:
    """Take back what every node of a run in this process has in hand."""
    for (run, _), place in list(_places.items()):
        if run == run_id and place.node is not None:
            place.node.stop(grace)


def recall(run_id: str, dask_worker: Any) -> None:
    """Have the run's node on a worker hand back all but what is in hand; it takes nothing more."""
    place = _places.get((run_id, dask_worker.address))
    if place is not None and place.node is not None:
        place.node.recall()


def packed_bundle(run_id: str, packed: Packed, budget: float) -> bytes:
    """Pack a bundle as its Dask task gets it."""
    number, payload = packed.bundle.number, packed.payload
    return encode({"run": run_id, "number": number, "payload": payload, "budget": budget})


def call_entry_script(payload: bytes) -> list[bytes]:
    """Run a bundle in a Dask task of its own on this worker: the one partition of a bag."""
    import distributed

    distributed.secede()  # the work is in script processes: no thread of the worker is taken
    worker = distributed.get_worker()
    return [run_bundle(payload, worker.address, worker.status.name == "running")]


def run_bundle(payload: bytes, address: str, stays: bool = True) -> bytes:
    """Run a bundle on this worker's node and return what became of it, encoded.

    ``stays`` is False where the worker is leaving, which ends its node: the cluster has not cleared
    the run then.
    """
    message = decode_trusted(payload)
    place = _places.get((message["run"], address))
    if place is None or not place.started.wait(START_LIMIT) or place.node is None:
        reason = f"worker {address} has no node of this run (any more)"
        return encode(BundleGone(message["number"], reason, cleared=stays))
    bundle = RunBundle(message["number"], message["payload"], message["budget"])
    return encode(place.node.run_bundle(bundle))
