"""Who is shown the pages of the local target's Dask cluster.

They are on loopback, where a web page of any site can still ask for them: under a name of its own
that leads to this machine (DNS rebinding), or by opening a websocket, which Dask lets everybody do.
"""

from __future__ import annotations

import hmac
import os
import secrets
from typing import Any
from urllib.parse import urlencode, urlsplit

TOKEN = "DASKRUN_DASHBOARD_TOKEN"
"""Environment variable: whoever knows it is shown the pages, under any name; no one else is."""
COOKIE = "daskrun-dashboard-{}"
"""With the port: to browsers all of a host's are one place."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


def guarded(server: type[Any]) -> type[Any]:
    """Return a class of Dask's servers whose pages are shown as :func:`guard` says."""

    class Guarded(server):  # type: ignore[misc]
        def start_http_server(self, *args: Any, **options: Any) -> None:
            super().start_http_server(*args, **options)
            # before the event loop hears of a request
            guard(self.http_application, self.http_server.port)

    Guarded.__name__ = server.__name__
    return Guarded


def guard(application: Any, port: int) -> None:
    """Have an application show its pages under the names of this machine, or for the token.

    Requests of pages of other origins are refused in any case.
    """
    from tornado import web

    find, token = application.find_handler, os.environ.get(TOKEN, "")
    name, known = COOKIE.format(port), secrets.token_hex()

    class Refusal(web.RequestHandler):
        def prepare(self) -> None:
            self.set_status(403)
            self.finish(
                f"Host {self.request.host!r}, Origin {self.request.headers.get('Origin')!r}: these "
                "pages are shown under http://127.0.0.1 and http://localhost only, and not to "
                f"pages of other sites. Under another name they need the token that {TOKEN} was "
                "set to before the run: add ?token=… to the address."
            )

    class Entry(web.RequestHandler):
        """Takes the token out of the address, relative to what a proxy has before it."""

        def get(self) -> None:
            self.set_cookie(name, known, path="", httponly=True, samesite="Strict")
            rest = urlencode([(k, v) for k, v in _query(self.request) if k != "token"])
            self.redirect(f"{self.request.path.rpartition('/')[2] or '.'}{rest and '?'}{rest}")

    def instead(request: Any) -> type[web.RequestHandler] | None:
        if not _same_origin(request):
            return Refusal
        if not token:
            return None if request.host_name.lower() in LOOPBACK else Refusal
        if request.method == "GET" and any(
            key == "token" and _is(given, token) for key, given in _query(request)
        ):
            return Entry
        cookie = request.cookies.get(name)
        return None if cookie is not None and _is(cookie.value, known) else Refusal

    def find_handler(request: Any, **options: Any) -> Any:
        handler = instead(request)
        if handler is None:
            return find(request, **options)
        return application.get_handler_delegate(request, handler)

    application.find_handler = find_handler


def _same_origin(request: Any) -> bool:
    """Return whether a request is not known to come from a page of another origin."""
    origin = request.headers.get("Origin")
    try:
        return origin is None or urlsplit(origin).netloc.lower() == request.host.lower()
    except ValueError:
        return False


def _is(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _query(request: Any) -> list[tuple[str, str]]:
    values = request.query_arguments.items()
    return [(key, each.decode("utf-8", "replace")) for key, all_ in values for each in all_]
