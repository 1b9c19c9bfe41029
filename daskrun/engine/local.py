"""The local target's Dask cluster: scheduler and workers in this process, quiet and on loopback."""

from __future__ import annotations

import logging
from typing import Any

QUIET = {
    # what a Dask worker does all the time costs 7 % of a core as shipped; a run's own accounting
    # needs none of it
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.admin.tick.interval": "2s",
    "distributed.admin.tick.limit": "1h",
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.admin.system-monitor.disk": False,
    "distributed.admin.system-monitor.host-cpu": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.idle-timeout": None,
    "distributed.scheduler.no-workers-timeout": None,
}


def start_cluster(names: list[str]) -> Any:
    """Start a scheduler and one worker for each of ``names``, with one thread each.

    Threads, not processes: real worker processes need a ``__main__`` guard in the user's script.
    The memory limit is off, since the user's own data would count against it.
    """
    import dask
    from distributed import SpecCluster, Worker
    from distributed.scheduler import Scheduler

    with dask.config.set(QUIET):
        return SpecCluster(
            scheduler={
                "cls": Scheduler,
                "options": {
                    "protocol": "inproc",
                    "dashboard": False,
                    "dashboard_address": "127.0.0.1:0",
                },
            },
            workers={
                name: {
                    "cls": Worker,
                    "options": {
                        "nthreads": 1,
                        "memory_limit": 0,
                        "protocol": "inproc",
                        "dashboard": False,
                        "dashboard_address": "127.0.0.1:0",
                        "name": name,
                    },
                }
                for name in names
            },
            # a worker whose heartbeat is under way while it is closed logs that as an error
            silence_logs=logging.CRITICAL,
            name="daskrun-local",
        )
