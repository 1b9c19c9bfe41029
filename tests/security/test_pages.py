"""The pages of the local cluster are for this machine, not for what a web page makes it ask."""

from __future__ import annotations

import http.client
import socket

import pytest

from daskrun.engine.dask.local_cluster import connect_when_asked, start_cluster
from daskrun.engine.dask.page_guard import COOKIE, TOKEN

pytestmark = pytest.mark.usefixtures("quiet")
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture(scope="module")
def quiet():
    from daskrun.engine.dask.local_cluster import end_silence, silence

    silence()
    yield
    end_silence()


@pytest.fixture(scope="module")
def ports():
    """Start a cluster; give the ports of its scheduler's and its worker's pages."""
    cluster = start_cluster(["node000"])
    try:
        connect_when_asked(cluster.scheduler, None)
        [worker] = cluster.workers.values()
        for server in (cluster.scheduler, worker):
            for each in server.http_server._sockets.values():
                assert each.getsockname()[0] == "127.0.0.1"
        yield cluster.scheduler.http_server.port, worker.http_server.port
    finally:
        cluster.close()


@pytest.fixture(scope="module")
def with_token():
    patch = pytest.MonkeyPatch()
    patch.setenv(TOKEN, "pass word")
    cluster = start_cluster([])
    patch.undo()
    try:
        yield cluster.scheduler.http_server.port
    finally:
        cluster.close()


def ask(port, path="/health", host=None, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers={"Host": host or f"127.0.0.1:{port}", **names})
        answer = connection.getresponse()
        if answer.status == 101:
            return answer
        answer.text = answer.read().decode()
        return answer
    finally:
        connection.close()


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("path", ["/health", "/info/main/workers.html", "/sitemap.json"])
def test_only_names_of_this_machine_are_answered(ports, which, path):
    port = ports[which]
    usual = ask(port, path).status
    assert usual != 403
    for host in (
        "localhost",
        f"localhost:{port}",
        "127.0.0.1",
        f"LOCALHOST:{port}",
        f"[::1]:{port}",
    ):
        assert ask(port, path, host).status == usual, host
    for host in (
        "evil.com",
        f"evil.com:{port}",
        "127.0.0.1.evil.com",
        "localhost.evil.com",
        "0.0.0.0",
    ):
        answer = ask(port, path, host)
        assert answer.status == 403, host
        assert TOKEN in answer.text


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_pages_of_other_origins_are_refused(ports, method):
    port = ports[0]
    for origin in (
        "http://evil.com",
        "null",
        "http://[",
        f"http://127.0.0.1:{port + 1}",
        "http://127.0.0.1",
    ):
        assert ask(port, method=method, Origin=origin).status == 403, origin
    assert ask(port, method=method, Origin=f"http://127.0.0.1:{port}").status != 403
    assert ask(port, host="localhost:9", Origin="http://localhost:9").status == 200  # forwarded


@pytest.mark.slow
def test_websockets_are_for_its_own_pages(ports):
    port = ports[0]
    while ask(port, "/status").status == 302:
        pass
    own = f"http://127.0.0.1:{port}"
    for origin, status in (("http://evil.com", 403), ("null", 403), (own, 101)):
        assert ask(port, "/status/ws", **UPGRADE, Origin=origin).status == status, origin
    rebound = ask(port, "/status/ws", host="evil.com", **UPGRADE, Origin="http://evil.com")
    assert rebound.status == 403


def test_with_a_token_whoever_knows_it_is_answered_under_any_name(with_token):
    port, proxy = with_token, "hub.example.org"
    for host in (None, proxy):
        for path in ("/health", "/health?token=wrong", "/health?token="):
            assert ask(port, path, host).status == 403
        entry = ask(port, "/health?token=pass+word&a=b", host)
        assert (entry.status, entry.getheader("Location")) == (302, "health?a=b")
        cookie = entry.getheader("Set-Cookie")
        assert {"HttpOnly", "SameSite=Strict"} < {part.strip() for part in cookie.split(";")}
        assert "Path" not in cookie  # that of the page, behind whatever proxy
        cookie = cookie.partition(";")[0]
        assert ask(port, "/health", host, Cookie=cookie).status == 200
        assert ask(port, "/health", host, Cookie=f"{COOKIE.format(port)}=wrong").status == 403
        assert ask(port, "/health", host, Cookie=cookie, Origin="http://evil.com").status == 403
    assert ask(port, "/health", proxy, Cookie=cookie, Origin=f"https://{proxy}").status == 200


def test_odd_requests_are_answered_or_refused(ports):
    for text in (b"GET / HTTP/1.0\r\n\r\n", b"GET /%00?token=%ff HTTP/1.1\r\nHost: \r\n\r\n"):
        with socket.create_connection(("127.0.0.1", ports[0]), timeout=30) as link:
            link.sendall(text)
            assert link.recv(1000)[:5] in (b"HTTP/", b"")
