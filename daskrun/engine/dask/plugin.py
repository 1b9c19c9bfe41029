"""What a Dask cluster gets before anything is known of it: the two plugins of a run.

They travel as this file's text (:mod:`daskrun.engine.dask.source`), which each receiver compiles:
bytecode of another Python ends the process that executes it. So this file imports the standard
library and ``distributed`` only, and ``import daskrun`` is tried where it runs: a worker or
scheduler without daskrun must neither fail to start nor to unpickle.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import SchedulerPlugin, WorkerPlugin

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGES = ("daskrun", "dask", "distributed", "pandas", "pyarrow")
SIDE = "daskrun.engine.dask.worker"
RETIRE = "retire_workers"
OWN = "worker-close-gracefully"
"""How the mark of a worker's own wish to leave begins, as at the end of its lifetime."""
DRAIN_LEAST = 0.5
"""Seconds a worker that is to leave waits at least: bundles may be on their way to it."""
DRAIN_LOOK = 0.05
"""Seconds between two looks whether it has handed everything back."""
FETCH_LIMIT = 5.0
"""Seconds in which the driver fetches what is done; Dask brings the rest to other workers."""
CLEAR_LIMIT = 30.0
"""Seconds in which workers have to answer that a killed driver's run is over."""
STAYS_AFTER = 5.0
"""Seconds after which one that is still there is not about to be closed by its cluster."""


def installed(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of packages in this process: 10 ms, the first time."""
    found = {"python": platform.python_version()}
    for name in packages:
        with contextlib.suppress(Exception):  # not there, or its metadata is broken
            found[name] = version(name)
    return found


class EntryScriptPlugin(WorkerPlugin):
    """Makes a worker known to a run, and clears the run from it.

    ``setup`` only says what is installed and notes the run: while it is awaited, a joining worker
    neither computes nor sends heartbeats, for anyone. It never raises. The driver decides what the
    worker is fit for, and asks for the node's start by name.
    """

    def __init__(self, run_id: str, topic: str, packages: Sequence[str]) -> None:
        self.name = f"daskrun-{run_id}"
        self.run_id = run_id
        self.topic = topic
        self.packages = packages

    def setup(self, worker: Any) -> None:
        """Note the run on this worker, and tell the driver what is installed here."""
        found = installed(self.packages)
        try:
            from daskrun.engine.dask import worker as side

            side.note(self.run_id, self.topic, worker)
            found["wire"] = side.WIRE
            found["gpus"] = ",".join(side.gpus())
        except Exception as error:  # noqa: BLE001  (none, a broken one, one of another Python)
            found["trouble"] = f"{type(error).__name__}: {error}"
        report = {"kind": "worker_here", "address": worker.address, "value": found}
        worker.log_event(self.topic, report)

    async def teardown(self, worker: Any) -> None:
        """End the run's node on this worker, off the event loop."""
        side = sys.modules.get(SIDE)
        if side is not None:
            loop = asyncio.get_running_loop()
            said = await loop.run_in_executor(None, side.forget, self.run_id, worker.address)
            if said:  # on a way of its own, that this call's answer may overtake
                await asyncio.sleep(0.1)


class RunWatcher(SchedulerPlugin):
    """Tells the driver of workers that come and go, and clears the run when the driver is gone.

    That takes ``grace`` seconds from when its client has left; see ``Intervals.client_grace``. A
    worker that is retired gets ``patience`` seconds to end the mini-batches that it has in hand.
    """

    def __init__(
        self,
        run_id: str,
        topic: str,
        packages: Sequence[str],
        client: str,
        grace: float,
        patience: float,
    ) -> None:
        self.name = f"daskrun-{run_id}"
        self.topic = topic
        self.packages = packages
        self.client = client
        self.grace = grace
        self.patience = patience

    async def start(self, scheduler: Any) -> None:
        """Tell what is installed where the scheduler is; heed workers that are to leave."""
        self._tell(scheduler, "scheduler_here", "", installed(self.packages))
        _watchers_of(scheduler).append(self)
        self._check(scheduler)

    def _check(self, scheduler: Any) -> None:
        """Leave the scheduler as it was once this is no plugin of it: nothing tells of that."""
        loop, watchers = asyncio.get_running_loop(), _watchers_of(scheduler)

        def check() -> None:
            if scheduler.plugins.get(self.name) is self:
                loop.call_later(1.0, check)
                return
            watchers.remove(self)
            if not any(each.topic == self.topic for each in watchers):  # it has not come back
                self._forget_events(scheduler)
            if not watchers and hasattr(scheduler.handlers[RETIRE], "before"):
                scheduler.handlers[RETIRE] = scheduler.handlers[RETIRE].before

        loop.call_later(1.0, check)

    def _forget_events(self, scheduler: Any) -> None:
        """Have the scheduler keep nothing of what was told: it would for as long as it lives."""
        with contextlib.suppress(Exception):  # inside of Dask
            topics = scheduler._broker._topics
            if not topics[self.topic].subscribers & scheduler.clients.keys():
                del topics[self.topic]

    async def drain(self, scheduler: Any, addresses: Sequence[str]) -> None:
        """Tell that workers are to leave, and wait until they have nothing of the run."""
        for address in addresses:
            self._tell(scheduler, "leaves", address)
        await asyncio.sleep(DRAIN_LEAST)
        await self._wait_while(scheduler, addresses, "processing", self.patience)
        await self._wait_while(scheduler, addresses, "has_what", FETCH_LIMIT)

    async def _wait_while(
        self, scheduler: Any, addresses: Sequence[str], what: str, limit: float
    ) -> None:
        """Wait while workers have something of the run, at most while the driver is there."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit
        while (
            any(self._has_some(scheduler.workers.get(address), what) for address in addresses)
            and scheduler.plugins.get(self.name) is self
            and self.client in scheduler.clients
            and loop.time() < deadline
        ):
            await asyncio.sleep(DRAIN_LOOK)

    def stay(self, scheduler: Any, addresses: Sequence[str]) -> None:
        """Tell which of these workers are still there, and take tasks."""
        if scheduler.plugins.get(self.name) is not self:
            return
        for address in addresses:
            worker = scheduler.workers.get(address)
            if worker is not None and worker.status.name == "running":
                self._tell(scheduler, "stays", address)

    def _has_some(self, worker: Any, what: str) -> bool:
        return any(self.topic in str(task.key) for task in tuple(getattr(worker, what, ())))

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """Tell of a new worker."""
        self._tell(scheduler, "worker_came", worker)

    def remove_worker(self, scheduler: Any, worker: str, **_: Any) -> None:
        """Tell of a lost worker."""
        self._tell(scheduler, "worker_went", worker)

    def _tell(self, scheduler: Any, kind: str, worker: str, value: object = None) -> None:
        scheduler.log_event(self.topic, {"kind": kind, "address": worker, "value": value})

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
        # the driver had unregistered it itself; or a worker is stopped, or dies meanwhile
        with contextlib.suppress(Exception):
            answers = scheduler.unregister_worker_plugin(None, name=self.name)
            await asyncio.wait_for(answers, CLEAR_LIMIT)
        if scheduler.plugins.get(self.name) is self:  # and not of a run that came back meanwhile
            await scheduler.unregister_scheduler_plugin(self.name)


def _watchers_of(scheduler: Any) -> list[RunWatcher]:
    """Return the runs that are told before workers are retired.

    Dask removes a worker at once, whatever it is at: its scheduler waits for tasks' results, not
    for tasks. All ways to retire one (a cluster that scales down or adapts, a client, a worker at
    the end of its lifetime) come by this operation of the scheduler.
    """
    before = scheduler.handlers[RETIRE]
    if hasattr(before, "watchers"):
        return before.watchers  # type: ignore[no-any-return]

    async def retire_workers(**message: Any) -> Any:
        leaving = _leaving(scheduler, message)
        # a cluster that is closed is closed: nobody is left who could go on
        waits = len(leaving) < len(scheduler.workers)
        waits = waits or str(message.get("stimulus_id")).startswith(OWN)
        told = list(watchers) if waits else []
        draining = (each.drain(scheduler, leaving) for each in told)
        await asyncio.gather(*draining, return_exceptions=True)  # others have workers to retire
        answer = await before(**message)
        for each in told:
            asyncio.get_running_loop().call_later(STAYS_AFTER, each.stay, scheduler, leaving)
        return answer

    watchers: list[RunWatcher] = []
    retire_workers.watchers, retire_workers.before = watchers, before  # type: ignore[attr-defined]
    scheduler.handlers[RETIRE] = retire_workers
    return watchers


def _leaving(scheduler: Any, message: Any) -> list[str]:
    """Return the addresses of workers that are retired, which ``message`` then names."""
    if message.get("workers") is None and message.get("names") is None:
        common = ("close_workers", "remove", "stimulus_id", "workers", "names")
        how = {name: message.pop(name) for name in [*message] if name not in common}
        message["workers"] = scheduler.workers_to_close(**how)
    # a cluster that is scaled down gives names as ``workers``, and closes these by itself
    named = {*map(str, message.get("workers") or ()), *map(str, message.get("names") or ())}
    return [a for a, each in scheduler.workers.items() if a in named or str(each.name) in named]
