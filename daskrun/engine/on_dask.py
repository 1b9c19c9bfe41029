"""Dispatch on Dask: nodes on workers, bundles as partitions of a bag, one worker named for each."""

from __future__ import annotations

import contextlib
import logging
import pickle
import queue
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from daskrun.core.events import (
    BundleLost,
    Event,
    InitFailed,
    NodeLost,
    NodeReady,
    Note,
    ProcessReady,
    StopAsked,
)
from daskrun.core.outcome import ProcessInfo
from daskrun.engine import worker as side
from daskrun.engine.dashboard import LateDashboard
from daskrun.engine.dispatch import returned
from daskrun.engine.nodes import node_config
from daskrun.errors import StorageError
from daskrun.script.wire import loads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from daskrun.core.ledger import Bundle
    from daskrun.engine.request import StepRequest

logger = logging.getLogger(__name__)

REGISTER_LIMIT = 20.0
"""Seconds the plugins' registration is waited for: one stopped worker answers never."""
SUBSCRIBE_LIMIT = 20.0
CONNECT_LIMIT = 30.0
CLOSE_LIMIT = 40.0
SCHEDULER_LOOK, SCHEDULER_LIMIT = 1.0, 10.0
"""Seconds between two looks at the connection, and for which it may be broken."""


class DaskDispatcher:
    """Runs bundles on a Dask cluster: one in this process, or one that is given.

    The local target's nodes are started before anything of Dask is imported: the user's ``init()``
    runs while Dask is loading.
    """

    def __init__(self, request: StepRequest) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._request = request
        self._topic = f"daskrun-{request.run_id}-{uuid.uuid4().hex[:8]}"
        self._local = request.target is None
        self._count = request.settings.node_count
        self._names = [f"node{n:03d}" for n in range(self._count)]
        self._addresses: dict[str, str] = {}
        """Node -> address of its worker."""
        self._unfit: dict[str, str] = {}
        """Address -> why that worker can't take part."""
        self._out: dict[int, tuple[str, Any]] = {}
        """Bundle -> its node and its future."""
        self._lock = threading.Lock()
        self._subscribed = threading.Event()
        self._close_with: list[Callable[[], object]] = []
        self._client: Any = None
        self._dashboard: LateDashboard | None = None
        self._done: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()
        self._made = 0

    # nodes

    def start(self) -> None:
        """Connect, register the plugins, ask for the nodes."""
        if self._local:
            for name in self._names:
                config = node_config(self._request, name, self._count)
                side.EARLY[self._request.run_id, name] = side.EarlyNode(config)
        from cloudpickle import register_pickle_by_value
        from distributed import Client

        from daskrun.engine import plugin

        register_pickle_by_value(plugin)
        self._task = plugin.make_task()
        self._begin_node = plugin.begin_node
        self._client = self._connect(Client)
        self._scheduler, self._seen = self._client.scheduler.addr, time.monotonic()
        self._collector = threading.Thread(
            target=self._collect, name="daskrun-collector", daemon=True
        )
        self._collector.start()
        client, run_id = self._client, self._request.run_id
        self._subscribe()
        watcher = plugin.RunWatcher(run_id, self._topic, client.id)
        self._register(watcher)
        self._register(plugin.EntryScriptPlugin(run_id, self._topic))
        self._ask_for_nodes()

    def _connect(self, client_class: Any) -> Any:
        target = self._request.target
        if isinstance(target, client_class):
            return target
        if self._local:
            from daskrun.engine.local import start_cluster

            target = start_cluster(self._names)
            self._dashboard = LateDashboard(target.scheduler, self._tell_dashboard)
            self._close_with += [self._dashboard.close, target.close]
        try:
            client = client_class(target, set_as_default=False, timeout=CONNECT_LIMIT)
        except OSError as error:
            raise StorageError(
                f"no Dask scheduler answered at {target} within {CONNECT_LIMIT:g} s ({error}). "
                "Is it running, and is the address the one it printed at its start?"
            ) from error
        self._close_with.insert(0, client.close)
        return client

    def _tell_dashboard(self, address: str) -> None:
        self.events.put(Note(f"the Dask dashboard is at {address}", time.monotonic()))

    def _subscribe(self) -> None:
        """Hear the run's events; what a node said before the subscription holds would be lost."""
        client, deadline = self._client, time.monotonic() + SUBSCRIBE_LIMIT
        client.subscribe_topic(self._topic, self._hear)
        while True:
            client.log_event(self._topic, {"kind": "subscribed", "address": "", "value": None})
            if self._subscribed.wait(0.02):
                return
            if time.monotonic() > deadline:
                raise StorageError(
                    f"the Dask scheduler {client.scheduler.addr} did not answer a subscription to "
                    f"its events within {SUBSCRIBE_LIMIT:g} s. Is it overloaded or stopped?"
                )

    def _register(self, plugin: Any) -> None:
        from distributed import SchedulerPlugin

        on_scheduler = isinstance(plugin, SchedulerPlugin)
        client = self._client
        register = (
            client._register_scheduler_plugin if on_scheduler else client._register_worker_plugin
        )
        try:
            client.sync(register, plugin, plugin.name, False, callback_timeout=REGISTER_LIMIT)
        except TimeoutError:
            text = f"not every worker had answered after {REGISTER_LIMIT:g} s; the others are used"
            self.events.put(Note(text, time.monotonic()))

    def _ask_for_nodes(self) -> None:
        """Have nodes begun until there are ``node_count`` or no worker is left without one."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        with self._lock:
            taken = {*self._addresses.values(), *self._unfit}
            free = [a for a in sorted(workers) if a not in taken]
            missing = [n for n in self._names if n not in self._addresses]
            if self._local:
                by_name = {str(workers[a]["name"]): a for a in free}
                chosen = [(name, by_name[name]) for name in missing if name in by_name]
            else:
                chosen = list(zip(missing, free, strict=False))
            self._addresses.update(chosen)
            useless = bool(self._unfit) and not self._addresses and not free
        if useless:
            reason = "no Dask worker can take part: " + "; ".join(sorted(self._unfit.values()))
            self.events.put(StopAsked(reason, canceled=False, now=time.monotonic()))
        run_id, here = self._request.run_id, self._count if self._local else 1
        for name, address in chosen:
            config = node_config(self._request, name, here)
            self._call_on([address], self._begin_node, run_id, self._topic, config)

    def _call_on(self, addresses: list[str], function: Callable[..., None], *args: Any) -> None:
        """Have a function called on workers; nobody waits: a stopped worker answers never."""

        async def call() -> None:
            try:
                await self._client._run(function, *args, workers=addresses)
            except Exception as error:  # noqa: BLE001  (a worker that is gone is learnt of elsewhere)
                logger.info(
                    "run %s: %s on %s: %s", self._request.run_id, function, addresses, error
                )

        self._client.loop.add_callback(call)

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        """Take in what a worker or the scheduler tells (on the client's event loop)."""
        message = event[1]
        kind, address, value = message["kind"], message["address"], message["value"]
        node, now = message.get("node", ""), time.monotonic()
        if kind == "subscribed":
            self._subscribed.set()
        elif kind == "up":
            self.events.put(NodeReady(node, value, now, where=address))
        elif kind == "ready":
            self.events.put(ProcessReady(ProcessInfo(*value[0]), value[1], now))
        elif kind == "init_failed":
            self.events.put(InitFailed(ProcessInfo(*value[0]), value[1], now))
        elif kind == "note":
            self.events.put(Note(f"{node}: {value}", now))
        elif kind in ("down", "lost", "worker_went"):
            self._lose(address, f"worker {address}: {value or 'left the cluster'}", kind)
        elif kind == "missing":
            text = f"worker {address} has no daskrun ({value}): install it there"
            self._lose(address, text, kind)
        elif kind == "unreachable":
            text = f"worker {address} can't reach {value}: it must have that path too"
            self._lose(address, text, kind)
        if kind in ("worker_came", "worker_went", "missing", "unreachable"):
            threading.Thread(target=self._ask_quietly, daemon=True).start()

    def _ask_quietly(self) -> None:
        with contextlib.suppress(Exception):  # the client may be closing
            self._ask_for_nodes()

    def _lose(self, address: str, reason: str, kind: str) -> None:
        """Give back what a node had; ``down`` means that it is starting again."""
        now = time.monotonic()
        with self._lock:
            if kind in ("missing", "unreachable"):
                self._unfit[address] = reason
            nodes = [n for n, a in self._addresses.items() if a == address]
            for node in nodes if kind != "down" else []:
                del self._addresses[node]
            numbers = [b for b, (node, _) in self._out.items() if node in nodes]
            futures = [self._out.pop(number)[1] for number in numbers]
        for future in futures:
            future.cancel(reason=reason)
        for node in nodes:
            self.events.put(NodeLost(node, reason, now))
        if kind in ("missing", "unreachable"):
            self.events.put(Note(reason, now))
        for number in numbers:
            self.events.put(BundleLost(number, reason, now))

    # bundles

    def hand_out(self, bundles: Sequence[tuple[Bundle, bytes]], budget: float) -> None:
        """Submit bundles as the partitions of one bag for each node."""
        by_node: dict[str, list[tuple[Bundle, bytes]]] = {}
        for bundle, payload in bundles:
            by_node.setdefault(bundle.node, []).append((bundle, payload))
        for node, group in by_node.items():
            address = self._addresses.get(node)
            if address is None:
                for bundle, _ in group:
                    lost = BundleLost(bundle.number, f"{node} is gone", time.monotonic())
                    self.events.put(lost)
                continue
            self._submit(node, address, group, budget)

    def _submit(
        self, node: str, address: str, group: list[tuple[Bundle, bytes]], budget: float
    ) -> None:
        from dask.bag import Bag
        from dask.task_spec import DataNode
        from distributed import futures_of

        run_id = self._request.run_id
        # a new name each time: a repeated key gives the old result without running
        name = f"bundle-{self._topic}-{self._made}"
        self._made += 1
        graph: dict[Any, Any] = {}
        for i, (bundle, payload) in enumerate(group):
            message = {"run": run_id, "number": bundle.number, "payload": payload, "budget": budget}
            graph[name, i] = DataNode((name, i), pickle.dumps(message, 5))
        bag = _one_task_each(Bag(graph, name, len(group)).map_partitions(self._task), graph)
        first = group[0][0].number
        persisted = self._client.persist(
            bag,
            workers=[address],
            allow_other_workers=False,
            priority=-first,
            optimize_graph=False,
        )
        futures = {future.key[1]: future for future in futures_of(persisted)}
        with self._lock:
            for i, (bundle, _) in enumerate(group):
                self._out[bundle.number] = (node, futures[i])
        for i, (bundle, _) in enumerate(group):
            number = bundle.number
            futures[i].add_done_callback(lambda future, n=number: self._done.put((n, future)))

    def _collect(self) -> None:
        """Fetch results as they come, in a thread of its own: fetching waits for the event loop."""
        while True:
            try:
                item = self._done.get(timeout=SCHEDULER_LOOK)
            except queue.Empty:
                self._look_for_scheduler()
                continue
            if item is None:
                return
            number, future = item
            with self._lock:
                if self._out.pop(number, None) is None:
                    continue  # its node was lost before
            try:
                [result] = future.result(timeout=60)
                event = returned(loads(result))
            except BaseException as error:  # noqa: BLE001  (also CancelledError: a lost bundle)
                reason = f"{type(error).__name__}: {error}"
                event = BundleLost(number, reason, time.monotonic())
            future.release()
            del future, item
            self.events.put(event)
            if self._dashboard is not None:
                self._dashboard.begin()

    def _look_for_scheduler(self) -> None:
        """End the run when its scheduler is gone: nobody else would ever say so."""
        now = time.monotonic()
        if self._client.status == "running":
            self._seen = now
        elif now > self._seen + SCHEDULER_LIMIT:
            reason = f"the Dask scheduler {self._scheduler} is gone (for {now - self._seen:.0f} s)"
            with self._lock:
                numbers = list(self._out)
                self._out.clear()
                self._addresses.clear()
            self.events.put(StopAsked(reason, canceled=False, now=now))
            for number in numbers:
                self.events.put(BundleLost(number, reason, now))

    def stop(self, grace: float) -> None:
        """Have every node give back what it has in hand."""
        if self._client is None:
            return
        with self._lock:
            addresses = list(self._addresses.values())
        if addresses:
            self._call_on(addresses, side.stop, self._request.run_id, grace)

    # the end

    def close(self) -> None:
        """Unregister the plugins, which ends every node, then leave the cluster."""
        run_id = self._request.run_id
        early = [side.EARLY.pop((run_id, name), None) for name in self._names]
        if self._client is not None:
            client, name = self._client, f"daskrun-{run_id}"
            there = client.status == "running"
            if there:
                self._try(client.unsubscribe_topic, self._topic)
            for kind in ("worker", "scheduler") if there else ():
                remove = getattr(client.scheduler, f"unregister_{kind}_plugin")
                self._try(client.sync, remove, name=name, callback_timeout=CLOSE_LIMIT)
            self._done.put(None)
            self._collector.join(5)
        for waiting in early:
            if waiting is not None:
                self._try(waiting.node.close)
        for close in self._close_with:
            self._try(close)

    def _try(self, close: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        try:
            close(*args, **kwargs)
        except Exception:
            logger.exception("run %s: closing", self._request.run_id)


def _one_task_each(bag: Any, payloads: dict[Any, Any]) -> Any:
    """Put each payload into the task that takes it.

    Dask's own optimization does nearly that, but leaves a second task to rename the first: 13 ms of
    work for a bundle instead of 9.5.
    """
    from dask.bag import Bag

    tasks = {key: task.substitute(payloads) for key, task in dict(bag.dask).items()}
    return Bag({key: tasks[key] for key in bag.__dask_keys__()}, bag.name, bag.npartitions)
