"""Dask's own dashboard for the local target, connected by the first request for it.

Importing bokeh takes one to two seconds of a core that script processes could use. The scheduler's
HTTP server listens on loopback anyway.
"""

from __future__ import annotations

import asyncio
from typing import Any


def connect_when_asked(scheduler: Any) -> str:
    """Return the address at which a scheduler connects its dashboard; for any thread."""
    scheduler.loop.add_callback(_add_gate, scheduler)
    return f"http://127.0.0.1:{scheduler.http_server.port}/status"


def _add_gate(scheduler: Any) -> None:
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
