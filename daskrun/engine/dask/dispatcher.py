"""Dispatch on Dask: nodes on workers, bundles as partitions of a bag, one worker named for each."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

from daskrun.core.events import BundleLost, NodeLost, NodePreparing
from daskrun.core.logs import get_logger
from daskrun.core.typing import override
from daskrun.engine.dask import worker as side
from daskrun.engine.dask.arrivals import Arrivals
from daskrun.engine.dask.assignment import MOST_FAILURES, Assignment, NodeLossLimit, WorkerInfo
from daskrun.engine.dask.client import dashboard_of, exposed
from daskrun.engine.dask.connection import Abandoned, Connection
from daskrun.engine.dask.guarded import Guarded
from daskrun.engine.dask.health_check import NO_TASKS, HealthCheck
from daskrun.engine.dask.lookout import Lookout
from daskrun.engine.dask.outstanding import Outstanding, by_node
from daskrun.engine.dask.reach import told
from daskrun.engine.dask.scaling import Scaling, scaling_of
from daskrun.engine.dask.worker_messages import OF_LIVING, answer, event_told
from daskrun.engine.dispatch import Dispatcher, Packed
from daskrun.engine.nodes import node_spec
from daskrun.script import messages
from daskrun.script.keeper.gpus import gpus, shares
from daskrun.script.wire import decode, packed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.core.events import Bundle
    from daskrun.engine.dask.connection import TopicEvent
    from daskrun.engine.request import StepRequest

logger = get_logger(__name__)

ARRIVAL_LIMIT = 2.0
"""Seconds in which workers that have the plugin are heard of."""
MOST_REJOINS = 5
"""Times the run may register with the cluster again after the connection was lost for a while."""


class DaskDispatcher(Dispatcher):
    """Runs bundles on a Dask cluster: one in this process, or one that is given.

    The local target's nodes are started before anything of Dask is imported: the user's ``init()``
    runs while Dask is loading.
    """

    closes_beside = True

    def __init__(self, request: StepRequest) -> None:
        super().__init__()
        self._request = request
        self._topic = f"daskrun-{request.run_id}-{uuid.uuid4().hex[:8]}"
        self._local = request.target is None
        count = request.settings.node_count
        self._intervals = intervals = request.intervals
        limit = request.settings.shutdown_timeout + intervals.close_margin
        patience = request.settings.scheduler_timeout
        self._cluster = Connection(request.run_id, self._topic, limit, intervals, patience)
        self._health = HealthCheck(patience, intervals)
        self._workers = Assignment(count or 1 if self._local else count, local=self._local)
        self._lookout = Lookout(
            self._cluster, self._health, self._workers, patience, local=self._local
        )
        self._out = Outstanding(request.run_id, self._cluster, intervals.fetch_limit)
        self._losses = NodeLossLimit(intervals.most_losses)
        self._arrivals = Arrivals()
        self._asking = threading.Lock()
        self._joined = False
        """Whether the workers that were there have been heard of."""
        self._asked = False
        """Whether somebody is about to ask for nodes."""
        self._scaling: Scaling | None = None
        self._slots_of_node = request.settings.process_count_per_node or 1
        """As far as is known."""
        self._rejoins = 0
        self._rejoined = float("-inf")
        self._stopped = False
        self._has_run = False
        self._beside = Guarded(request.run_id, self._stop_run)

    @override
    def start(self) -> None:
        # The local nodes at once; connecting may take long.
        names = self._workers.names if self._local else ()
        for name, own in shares(dict.fromkeys(names, gpus())).items():
            side.begin_early(node_spec(self._request, name, len(names), own))
        self._beside.start(self._connect, "daskrun-connect", joined=True)
        self._beside.start(self._collect, "daskrun-collector", joined=True)

    def _connect(self) -> None:
        if self._local:
            dashboard = self._cluster.connect_here(self._workers.names, self._request.pages)
        else:
            self._cluster.connect(self._request.target)
            dashboard = dashboard_of(self._cluster.client)
            if warning := exposed(self._cluster.address):
                self._note(warning)
            self._scaling = scaling_of(self._request.target, self._note)
            if self._scaling is not None:
                self._cluster.keep(self._scaling.end)
            if (pages := self._request.pages) is not None:
                self._cluster.keep(pages.show_there(self._cluster), last=True)
        if dashboard:
            self._note(f"the Dask dashboard is at {dashboard}", dashboard)
        self._out.connected(self._request.step_name, self._topic)
        self._register()
        self._ask_for_nodes()

    @override
    def want(self, slots: int | None) -> None:
        if self._scaling is None or self._stopped:
            return
        self._scaling.need(slots, self._slots_of_node, self._request.settings.node_count)

    def _register(self) -> None:
        from daskrun.engine.dask.plugin import PACKAGES, installed  # which imports distributed

        self._joined = False
        here = installed(() if self._local else PACKAGES)  # what is in this process can't differ
        self._arrivals.begin({**here, "wire": side.WIRE})
        self._cluster.subscribe(self._beside.call(self._hear))
        settings = self._request.settings
        longest = settings.load_timeout + settings.run_invocation_timeout
        registered = self._cluster.register(longest)
        for address, why in registered.failed.items():
            words = f"worker {address} can't take the run's plugin: {why}"
            self._lose(address, words, unfit=True)
        self._arrivals.wait_for(registered.done, ARRIVAL_LIMIT)
        if not registered.whole:
            known = self._cluster.client.scheduler_info(n_workers=-1)["workers"]
            self._note(self._arrivals.silence(known, self._intervals.register_limit))
        self._joined = True

    def _ask_for_nodes(self) -> None:
        """Start nodes until there are ``node_count`` or no worker is left without one."""
        with self._asking:  # who asks later may not act on what was known before
            self._asked = False
            known = self._cluster.client.scheduler_info(n_workers=-1)["workers"]
            workers = {address: WorkerInfo.read(told) for address, told in known.items()}
            chosen = self._workers.choose(workers, self._arrivals.there)
            why = self._workers.why_none(workers)
            different = self._arrivals.new_differences()
        if different:
            self._note(different)
        if short := self._workers.new_shortage():
            self._note(short)
        # a cluster may get another worker within no_worker_timeout; where not one could even
        # begin, another of the same kind would be no better
        if why and (self._local or not self._has_run):
            self._stop_run(f"no Dask worker can take part: {why}")
        for name, address in chosen:
            near = self._arrivals.gpus(self._workers.neighbours(workers, address))
            spec = node_spec(self._request, name, max(1, len(near)), near.get(address))
            arguments = (self._request.run_id, self._topic, packed(spec))
            self._cluster.call_on(
                [address],
                side.begin_node,
                *arguments,
                limit=self._intervals.begin_limit,
                failed=self._beside.call(partial(self._could_not_begin, address)),
            )

    def _could_not_begin(self, address: str, error: Exception) -> None:
        words = f"worker {address}: its node can't be begun: {type(error).__name__}: {error}"
        if not isinstance(error, OSError):
            self._lose(address, words, unfit=True)
            return
        if isinstance(error, TimeoutError):
            limit = self._intervals.begin_limit
            words = f"worker {address} has not begun its node for {limit:g} s"
        self._workers.silent(address)  # it may have died, which another event tells
        self._note(words)
        self._ask_soon()

    def _hear(self, event: TopicEvent) -> None:
        """Act on what a worker or the scheduler tells (on the client's event loop)."""
        kind, address, value, node = event
        if kind == side.OF_NODE:
            self._hear_node(node, address, value)
        elif kind in ("worker_went", "worker_came"):  # who comes to an address is a new worker
            self._arrivals.went(address)
            self._lose(address, f"worker {address} left the cluster")
            self._workers.renew(address)
        elif kind == "leaves":
            self._leave(address, "is to leave: it ends what is in hand, and hands back the rest")
            self._cluster.call_on([address], side.recall, self._request.run_id)
        elif kind == "stays":
            self._lose(address, f"worker {address} stays in the cluster after all")
        elif kind == "cleared":
            self._cleared(address, f"worker {address}: {value}")
        elif why := self._arrivals.came(address, value):
            self._lose(address, f"worker {address} {why}", unfit=True)
        elif address:
            self._ask_soon()

    def _leave(self, address: str, how: str) -> None:
        """Give a worker that leaves nothing more."""
        for node in self._workers.leave(address):
            text = f"worker {address} {how}"
            self.events.put(NodePreparing(node, text, time.monotonic()))
            self._note(f"{node}: {text}")

    def _hear_node(self, node: str, address: str, encoded: bytes) -> None:
        message: messages.Told = decode(encoded, messages.KNOWN)
        if isinstance(message, OF_LIVING):
            if self._workers.address_of(node) != address:
                return  # a worker that was given up still speaks, and another has its node
            self._has_run = True
            if self._workers.spoke(address):
                return  # it is to leave
        if isinstance(message, messages.SlotsUp):
            self._slots_of_node = max(1, message.slots)
        if (event := event_told(node, address, message, time.monotonic())) is not None:
            self.events.put(event)
        elif isinstance(message, messages.BundleResult):  # fetched, it would come too late
            self._leave(address, "ends: it hands back what it has not finished")
            self._take(message.number, [encoded])
        elif isinstance(message, messages.Unprepared):  # another node would have no more luck
            self._stop_run(message.reason)
        elif isinstance(message, messages.Unreachable):
            self._lose(address, f"worker {address} {told(message)}", unfit=True)
        elif isinstance(message, messages.KeeperLost):
            reason, again = f"worker {address}: {message.reason}", message.again
            self._lose(address, reason, unfit=not again, starts_again=again)

    def _ask_soon(self) -> None:
        if self._asked or not self._joined:
            return  # who is about to ask will know of this too
        self._asked = True
        self._beside.start(self._ask, "daskrun-ask")

    def _ask(self) -> None:
        try:
            self._ask_for_nodes()
        except Exception as error:
            if not self._cluster.there:
                return  # who looks at the connection says why, or it is being closed
            if not isinstance(error, OSError):
                raise
            logger.info("run %s: asking for nodes: %s", self._request.run_id, error)
            time.sleep(self._intervals.connection_look)
            self._ask_soon()  # it was that one connection, of several

    def _lose(
        self, address: str, reason: str, *, unfit: bool = False, starts_again: bool = False
    ) -> None:
        """Give back what a node had, and ask for another unless it starts again by itself."""
        nodes = self._workers.lose(address, reason if unfit else "", keep=starts_again)
        self._count_losses(self._give_back(nodes, reason), reason)
        if unfit:
            self._note(reason)
        if not starts_again:
            self._ask_soon()

    def _count_losses(self, bundles: Sequence[Bundle], reason: str) -> None:
        if why := self._losses.lost(bundles, reason):
            self._stop_run(why)

    def _give_back(self, nodes: Sequence[str], reason: str) -> list[Bundle]:
        """Report nodes as lost, and all bundles that are out on them; return these."""
        now = time.monotonic()
        bundles = self._out.take_of(nodes)
        for node in nodes:
            self.events.put(NodeLost(node, reason, now))
        self._put_lost(bundles, reason)
        return bundles

    def _put_lost(self, bundles: Sequence[Bundle], reason: str) -> None:
        for bundle in bundles:
            self.events.put(BundleLost(bundle.number, reason, time.monotonic()))

    def _cleared(self, address: str, reason: str) -> None:
        """Handle that the cluster has cleared the run, though the connection held."""
        self._lose(address, reason)
        if time.monotonic() > self._rejoined + self._intervals.rejoin_interval:
            self._rejoin(reason)  # else it is the same loss, told by another worker

    def _rejoin(self, reason: str) -> None:
        """Register again, which ends every node that the cluster still has of the run."""
        self._give_back(self._workers.lose_all(), reason)
        self._rejoined = time.monotonic()
        self._rejoins += 1
        if self._rejoins > MOST_REJOINS:
            self._stop_run(f"the cluster lost the run {self._rejoins} times; last: {reason}")
            return
        self._beside.start(self._join_again, "daskrun-rejoin")

    def _join_again(self) -> None:
        connection = self._cluster.client.scheduler_comm
        try:
            self._register()
            self._ask_for_nodes()
        except Exception as error:  # noqa: BLE001  (told to the run)
            same = self._cluster.client.scheduler_comm is connection  # else it broke again
            if same and not isinstance(error, Abandoned):
                self._stop_run(f"the run can't register again: {type(error).__name__}: {error}")

    @override
    def hand_out(self, bundles: Sequence[Packed], budget: float) -> None:
        for node, group in by_node(bundles).items():
            address = self._workers.address_of(node)
            same = partial(self._workers.has, node, address)
            if address is None or not self._out.hand_out(address, group, budget, same):
                self._put_lost([each.bundle for each in group], f"{node} is gone")

    def _collect(self) -> None:
        """Handle results as they are fetched, in a thread of its own; watch the connection."""
        while True:
            item = None
            with contextlib.suppress(queue.Empty):
                item = self._out.fetched.get(timeout=self._intervals.connection_look)
                if item is None:
                    return
            self._look()
            if item is not None:
                self._take(*item)

    def _take(self, number: int, found: Any) -> None:
        """Handle a bundle's result; until then it is out, and losing its node gives it back."""
        event, result, failed = answer(number, found)
        bundle = self._out.take(number)
        address = self._workers.address_of(bundle.node) if bundle is not None else None
        if bundle is None:
            return  # its node was lost meanwhile, and the bundle given back, or told of it before
        self.events.put(event)
        if isinstance(event, BundleLost):
            self._count_losses([bundle], event.reason)
        if address is None or (result is None and not failed):
            return
        if result is None:
            if self._workers.failed(address):
                words = f"{MOST_FAILURES} Dask tasks in a row failed there, the last with {failed}"
                self._lose(address, f"worker {address}: {words}", unfit=True)
            return
        self._workers.worked(address)
        if isinstance(result, messages.BundleGone) and result.cleared:
            self._cleared(address, result.reason)

    def _look(self) -> None:
        """Act on what is to be seen of the connection, the scheduler and paused workers."""
        if self._cluster.client is None:
            return
        seen = self._lookout.look(time.monotonic())
        if seen.note:
            self._note(seen.note)
        if seen.end:
            self._stop_run(seen.end)
        if seen.lost:
            self._give_back(self._workers.lose_all(), seen.lost)
        if seen.rejoin and not self._stopped:
            self._rejoin(seen.rejoin)
        for address in seen.idle:
            self._lose(address, f"worker {address} {NO_TASKS}")
        if seen.ask:
            self._ask_soon()

    @property
    @override
    def obstacle(self) -> str:
        return self._workers.obstacle

    @property
    @override
    def unreachable(self) -> bool:
        return self._lookout.unreachable

    @override
    def stop(self, grace: float) -> None:
        self._stopped = True
        addresses = self._workers.addresses
        if addresses and self._cluster.client is not None:
            self._cluster.call_on(addresses, side.stop, self._request.run_id, grace)

    # the end

    @override
    def close(self) -> None:
        early = side.take_early(self._request.run_id)
        self._cluster.close(quick=self._stopped, silent=self._health.silent)
        if self._local:
            self._cluster.leave()
        self._out.fetched.put(None)
        self._beside.join()
        for node in early:
            node.close()

    @override
    def leave(self) -> None:
        self._cluster.leave()
