"""A PostgreSQL server of the tests' own: private, on loopback, gone afterwards."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "geheim:/@%1"
"""With what must be quoted in a URL."""


def programs() -> str | None:
    """Give the folder of initdb and postgres; None where they are not installed."""
    found = [shutil.which("initdb"), *sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))[::-1]]
    for path in found:
        if path and (Path(path).parent / "postgres").exists():
            return str(Path(path).parent)
    return None


@contextmanager
def server() -> Iterator[str]:
    """Run a server; gives its SQLAlchemy URL, with the password."""
    folder = programs()
    assert folder is not None
    user = _unprivileged()
    data = tempfile.mkdtemp(prefix="daskrun-pg-")
    try:
        if user is not None:
            os.chown(data, pwd.getpwnam(user).pw_uid, -1)
        secret = Path(data) / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        run = {"user": user, "cwd": data, "stdin": subprocess.DEVNULL}
        made = subprocess.run(
            [f"{folder}/initdb", "-D", f"{data}/db", "-U", "me", "-A", "scram-sha-256",
             "--pwfile", str(secret), "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            capture_output=True, text=True, timeout=60, **run,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with open(f"{data}/log", "wb") as log:
            process = subprocess.Popen(
                [f"{folder}/postgres", "-D", f"{data}/db", "-p", str(port), "-F",
                 "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="],
                stdout=log, stderr=log, **run,
            )  # fmt: skip
        try:
            _wait(port, process, Path(data) / "log")
            quoted = PASSWORD.translate({ord(c): f"%{ord(c):02X}" for c in ":/@%"})
            yield f"postgresql+psycopg://me:{quoted}@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(30)
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _unprivileged() -> str | None:
    """Whom to run it as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            psycopg.connect(
                host="127.0.0.1", port=port, user="me", password=PASSWORD, dbname="postgres"
            ).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text())
