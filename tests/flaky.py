"""A proxy on loopback that breaks connections: for stores that fail in ways no status tells."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass
from typing import Any, Self

CHUNK = 4096


@dataclass
class Break:
    """How the next connections end: reset, when so many bytes have passed."""

    sent: int | None = None
    """Bytes from the client; None: any number."""
    received: int | None = None
    """Bytes to the client."""
    times: int = 1
    """Connections that this happens to."""
    marked: bytes = b""
    """Counting begins where the client has sent this."""


class FlakyProxy:
    """Passes connections on to a server, and breaks those that it is told to."""

    def __init__(self, server: str) -> None:
        host, _, port = server.removeprefix("http://").partition(":")
        self._server = host, int(port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._plan: Break | None = None
        self.broken = 0
        """Connections that were reset."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def breaks(self, plan: Break) -> None:
        """Break connections from now on."""
        self._plan = plan

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        passed: dict[str, Any] = {"sent": 0, "received": 0, "seen": False}
        with contextlib.suppress(OSError), client, socket.create_connection(self._server) as server:
            ways = (server, client, client, passed, "received")
            back = threading.Thread(target=self._pump, args=ways, daemon=True)
            back.start()
            self._pump(client, server, client, passed, "sent")
            back.join()

    def _pump(
        self,
        source: socket.socket,
        target: socket.socket,
        client: socket.socket,
        passed: dict[str, Any],
        way: str,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                if way == "sent" and not passed["seen"] and self._begins(data):
                    passed.update(sent=0, received=0, seen=True)
                passed[way] += len(data)
                if passed["seen"] and self._is_due(passed):
                    # with this a close is a reset, and what is on its way is lost
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _begins(self, data: bytes) -> bool:
        return self._plan is not None and self._plan.marked in data

    def _is_due(self, passed: dict[str, Any]) -> bool:
        with self._lock:
            plan = self._plan
            if plan is None or not plan.times:
                return False
            over = [
                limit is not None and passed[way] > limit
                for way, limit in (("sent", plan.sent), ("received", plan.received))
            ]
            if not any(over):
                return False
            plan.times -= 1
            self.broken += 1
            return True
