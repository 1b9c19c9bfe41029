"""The local target's Dask cluster: scheduler and workers in this process, on loopback."""

from __future__ import annotations

import asyncio
import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.engine.dask.page_guard import guarded
from daskrun.storage.own_folders import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from daskrun.engine.request import Pages

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

_starting = threading.Lock()
"""Dask's configuration is the process's: of two that change it, one would put back the other's."""
_changing = threading.Lock()
_silenced: list[Callable[[], None]] = []
"""What is to be called for handlers and loggers to be as they were."""
_wanted = 0
"""How many clusters want that."""


def silence() -> None:
    """Make Dask log only what is critical, until :func:`end_silence` was called as often.

    A worker that is closed during a heartbeat logs that as an error. A cluster that silences Dask
    by itself ends that also for the clusters of other steps.
    """
    import distributed  # noqa: F401  (it adds the handlers when it is first imported)

    global _wanted
    with _changing:
        _wanted += 1
        if _wanted == 1:
            for logger in map(logging.getLogger, ("distributed", "bokeh")):
                for handler in logger.handlers:
                    if isinstance(handler, logging.StreamHandler):
                        _silenced.append(partial(handler.setLevel, handler.level))
                        handler.setLevel(logging.CRITICAL)
                if logger.propagate:  # to the root's, which logging.basicConfig() made
                    logger.propagate = False
                    logger.addHandler(only_critical := _OnlyCritical(logging.CRITICAL))
                    _silenced.append(partial(setattr, logger, "propagate", True))
                    _silenced.append(partial(logger.removeHandler, only_critical))


class _OnlyCritical(logging.Handler):
    """Passes on to the root's handlers what is critical."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger().handle(record)


def end_silence() -> None:
    """Let Dask log as before, where no other cluster wants it silent."""
    global _wanted
    with _changing:
        _wanted -= 1
        while not _wanted and _silenced:
            _silenced.pop()()


def start_cluster(names: list[str]) -> Any:
    """Start a scheduler and one worker for each of ``names``, with one thread each.

    Threads, not processes: real worker processes need a ``__main__`` guard in the user's script.
    The memory limit is off, since the user's own data would count against it.
    """
    import dask
    from distributed import SpecCluster, Worker
    from distributed.scheduler import Scheduler

    shared = {
        "protocol": "inproc",
        "dashboard": False,
        "dashboard_address": "127.0.0.1:0",
        # Dask imports from it; what it makes by itself any user of this machine can make first
        "local_directory": str(temporary_folder("dask")),
    }
    own = {**shared, "nthreads": 1, "memory_limit": 0}
    worker = guarded(Worker)
    workers = {name: {"cls": worker, "options": {**own, "name": name}} for name in names}
    scheduler = {"cls": guarded(Scheduler), "options": shared}
    with _starting, dask.config.set(QUIET):
        return SpecCluster(scheduler=scheduler, workers=workers, name="daskrun-local")


def connect_when_asked(scheduler: Any, pages: Pages | None) -> str:
    """Return the address at which a scheduler connects its dashboard; for any thread.

    That of the run's page, from which Dask's own are a click away.
    """
    scheduler.loop.add_callback(_add_gate, scheduler, pages)
    return f"http://127.0.0.1:{scheduler.http_server.port}/{'daskrun' if pages else 'status'}"


def _add_gate(scheduler: Any, of_run: Pages | None) -> None:
    from tornado import web

    opening = asyncio.Lock()

    class Gate(web.RequestHandler):
        async def get(self) -> None:
            async with opening:
                if not pages.open:
                    try:
                        await asyncio.get_running_loop().run_in_executor(None, _import_dashboard)
                    except ImportError as error:
                        self.set_status(501)
                        self.finish(f"There is no Dask dashboard: {error}. pip install bokeh")
                        return
                    _connect(scheduler)
                    if of_run is not None:
                        of_run.add_here(scheduler)
                    pages.open = True
            self.redirect(self.request.uri or "/status")

    class Pages(web.Application):
        """Takes every page until the dashboard is there, and none after."""

        open = False

        def find_handler(self, request: Any, **options: Any) -> Any:
            return None if self.open else super().find_handler(request, **options)

    pages = Pages([(r".*", Gate)])
    scheduler.http_application.add_application(pages)


def _import_dashboard() -> None:
    import distributed.dashboard.scheduler  # noqa: F401


def _connect(scheduler: Any) -> None:
    from distributed.dashboard.scheduler import connect

    connect(scheduler.http_application, scheduler.http_server, scheduler, prefix="")
