"""Dask's own dashboard for the local target, there as soon as somebody looks at it.

Importing bokeh takes a second or two of a core that script processes could use, so nobody pays for
it who does not look: the scheduler's HTTP server listens on loopback anyway, and the first request
has the dashboard connected to it.
"""

from __future__ import annotations

import asyncio
from typing import Any


def connect_when_asked(scheduler: Any) -> str:
    """Have a scheduler that was started without its dashboard connect it at the first request.

    Called in any thread; the event loop does the rest.

    Returns
    -------
    str
        The dashboard's address.
    """
    scheduler.loop.add_callback(_add_door, scheduler)
    return f"http://127.0.0.1:{scheduler.http_server.port}/status"


def _add_door(scheduler: Any) -> None:
    from tornado import web

    opening = asyncio.Lock()

    class Door(web.RequestHandler):
        async def get(self) -> None:
            async with opening:
                if not rooms.open:
                    try:
                        await asyncio.get_running_loop().run_in_executor(None, _import_dashboard)
                    except ImportError as error:
                        self.set_status(501)
                        self.finish(f"There is no Dask dashboard: {error}. pip install bokeh")
                        return
                    _connect(scheduler)
                    rooms.open = True
            self.redirect(self.request.uri or "/status")

    class Rooms(web.Application):
        """Takes every page until the dashboard is there, and none after."""

        open = False

        def find_handler(self, request: Any, **options: Any) -> Any:
            return None if self.open else super().find_handler(request, **options)

    rooms = Rooms([(r".*", Door)])
    scheduler.http_application.add_application(rooms)


def _import_dashboard() -> None:
    import distributed.dashboard.scheduler  # noqa: F401


def _connect(scheduler: Any) -> None:
    from distributed.dashboard.scheduler import connect

    connect(scheduler.http_application, scheduler.http_server, scheduler, prefix="")
