"""What travels to a Dask cluster: the worker plugin, the scheduler plugin and the task.

This file imports the standard library and ``distributed`` only, and is pickled by value, ``import
daskrun`` being tried where it runs: a worker or scheduler without daskrun must neither fail to
start nor to unpickle. It is then reported as having no daskrun.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import zlib
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import SchedulerPlugin, WorkerPlugin

if TYPE_CHECKING:
    from collections.abc import Callable

    from daskrun.script.node_spec import NodeSpec


class EntryScriptPlugin(WorkerPlugin):
    """Makes a worker ready for a run, and clears the run from it.

    ``setup`` only notes the run: while it is awaited, a joining worker neither computes nor sends
    heartbeats, for anyone. It never raises. The driver asks for the node's start by name.
    """

    def __init__(self, run_id: str, topic: str) -> None:
        self.name = f"daskrun-{run_id}"
        self.run_id = run_id
        self.topic = topic

    def setup(self, worker: Any) -> None:
        """Note the run on this worker."""
        try:
            from daskrun.engine.dask import worker as side
        except ImportError as error:
            report = {"kind": "missing", "address": worker.address, "value": str(error)}
            worker.log_event(self.topic, report)
            return
        side.note(self.run_id, self.topic, worker)

    async def teardown(self, worker: Any) -> None:
        """End the run's node on this worker, off the event loop."""
        try:
            from daskrun.engine.dask import worker as side
        except ImportError:
            return
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, side.forget, self.run_id, worker.address)


class RunWatcher(SchedulerPlugin):
    """Tells the driver of workers that come and go, and clears the run when the driver is gone.

    That takes ``grace`` seconds from when its client has left; see ``Intervals.client_grace``.
    """

    def __init__(self, run_id: str, topic: str, client: str, grace: float) -> None:
        self.name = f"daskrun-{run_id}"
        self.topic = topic
        self.client = client
        self.grace = grace

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """Tell of a new worker."""
        scheduler.log_event(self.topic, {"kind": "worker_came", "address": worker, "value": None})

    def remove_worker(self, scheduler: Any, worker: str, **_: Any) -> None:
        """Tell of a lost worker."""
        scheduler.log_event(self.topic, {"kind": "worker_went", "address": worker, "value": None})

    def remove_client(self, scheduler: Any, client: str) -> None:
        """Clear the run from the workers if its client does not come back."""
        if client == self.client:
            asyncio.get_running_loop().call_later(
                self.grace, lambda: asyncio.ensure_future(self._clear(scheduler))
            )

    async def _clear(self, scheduler: Any) -> None:
        if self.client in scheduler.clients:
            return
        if scheduler.plugins.get(self.name) is not self:
            return  # unregistered by the driver, or the run was resumed: another's nodes by now
        with contextlib.suppress(ValueError):  # the driver had unregistered it itself
            await scheduler.unregister_worker_plugin(None, name=self.name)
        if scheduler.plugins.get(self.name) is self:  # and not of a run that came back meanwhile
            await scheduler.unregister_scheduler_plugin(self.name)


def make_task() -> Callable[[bytes], list[bytes]]:
    """Make the function that a bag's ``map_partitions`` calls.

    A function made inside another can't be pickled by reference, so that it travels by value in
    Dask's graph too.
    """

    def call_entry_script(payload: bytes) -> list[bytes]:
        import distributed

        # the work is in script processes: no thread of the worker is taken
        distributed.secede()
        try:
            from daskrun.engine.dask import worker as side
        except ImportError as error:
            message = pickle.loads(payload)
            return [
                pickle.dumps({"number": message["number"], "reason": f"no daskrun: {error}"}, 5)
            ]
        worker = distributed.get_worker()
        return [side.run_bundle(payload, worker.address, worker.status.name == "running")]

    return call_entry_script


def packed(spec: NodeSpec) -> bytes:
    """Pack what a node is told: Dask logs the arguments of a call that fails, and no secret."""
    return zlib.compress(pickle.dumps(spec, 5), 1)


async def begin_node(run_id: str, topic: str, spec: bytes, dask_worker: Any) -> None:
    """Start a node on a worker, from what :func:`packed` gave; called there by ``client.run``."""
    from daskrun.engine.dask import worker as side

    # A worker that joins may be asked before its setup(). One that has no plugin any more belongs
    # to a run that is over: a node begun there would never be ended.
    for _ in range(100):
        if f"daskrun-{run_id}" in dask_worker.plugins:
            side.begin(run_id, topic, dask_worker, pickle.loads(zlib.decompress(spec)))
            return
        await asyncio.sleep(0.05)
    report = {"kind": "cleared", "address": dask_worker.address, "value": "it has no plugin of it"}
    dask_worker.log_event(topic, report)
