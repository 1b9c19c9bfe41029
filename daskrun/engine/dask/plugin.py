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

    That takes ``grace`` seconds from when its client has left; see ``Intervals.client_grace``.
    """

    def __init__(
        self, run_id: str, topic: str, packages: Sequence[str], client: str, grace: float
    ) -> None:
        self.name = f"daskrun-{run_id}"
        self.topic = topic
        self.packages = packages
        self.client = client
        self.grace = grace

    async def start(self, scheduler: Any) -> None:
        """Tell what is installed where the scheduler is."""
        self._tell(scheduler, "scheduler_here", "", installed(self.packages))

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
        with contextlib.suppress(ValueError):  # the driver had unregistered it itself
            await scheduler.unregister_worker_plugin(None, name=self.name)
        if scheduler.plugins.get(self.name) is self:  # and not of a run that came back meanwhile
            await scheduler.unregister_scheduler_plugin(self.name)
