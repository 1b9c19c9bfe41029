"""Hosts for tests: network namespaces on a bridge, each with its own address, and Dask on them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import sys
import threading
from itertools import count
from typing import TYPE_CHECKING

from clusters import START
from running import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PORT = 8786
NUMBERS = count(1)
"""Of hosts, in their names."""
RESENT = 0.2
"""Seconds after which TCP sends a packet again, at least."""
SILENCE = "11s"
"""After which Dask gives a connection up; the least it takes."""


def why_not() -> str:
    """Tell why there can be no hosts here; nothing where there can."""
    if shutil.which("ip") is None:
        return "there is no iproute2"
    name = f"dk{os.getpid()}x"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode:
        return f"no network namespace can be made: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return ""


class Host:
    """A host: what runs on it, and its cable."""

    def __init__(self, net: Hosts, number: int) -> None:
        unused = next(NUMBERS)  # the kernel takes a cable away some time after its host
        self.name = f"{net.name}n{unused}"
        self.cable = f"{net.name}v{unused}"
        self.ip = f"{net.network}.{number}"
        self._net = net
        self.processes: list[subprocess.Popen[bytes]] = []
        self._log = net.folder / f"{self.name}.log"
        inner = f"{self.cable}i"
        for command in (
            f"ip netns add {self.name}",
            f"ip link add {self.cable} type veth peer name {inner}",
            f"ip link set {inner} netns {self.name}",
            f"ip link set {self.cable} master {net.name}",
            f"ip link set {self.cable} up",
            f"ip -n {self.name} addr add {self.ip}/24 dev {inner}",
            f"ip -n {self.name} link set {inner} up",
            f"ip -n {self.name} link set lo up",
        ):
            subprocess.run(command.split(), check=True, capture_output=True)

    def plug(self, there: bool) -> None:
        """Cut its cable, or mend it."""
        state = "up" if there else "down"
        subprocess.run(["ip", "link", "set", self.cable, state], check=True)

    def run(self, *command: str, until: str) -> None:
        """Start a Dask command, and wait until it has said something for the next time."""
        said = self._log.read_text().count(until) if self._log.exists() else 0
        environment = {
            **os.environ,
            # a host that is cut off is given up after that, not 30 s
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": SILENCE,
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s",
        }
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.name, sys.executable, "-m", *command],
                stdout=log,
                stderr=log,
                cwd=self._net.folder,
                env=environment,
            )
        self.processes.append(process)
        wait_for(lambda: self._log.read_text().count(until) > said, START)

    def scheduler(self, *options: str) -> str:
        """Start a scheduler here; give its address."""
        usual = ("--host", self.ip, "--port", str(PORT), "--no-dashboard")
        self.run("distributed.cli.dask_scheduler", *usual, *options, until="Scheduler at:")
        return f"{'tls' if options else 'tcp'}://{self.ip}:{PORT}"

    def worker(self, address: str, *options: str) -> None:
        """Start a worker here."""
        usual = ("--host", self.ip, "--nthreads", "1", "--no-dashboard", "--memory-limit", "0")
        command = ("distributed.cli.dask_worker", address, *usual, "--no-nanny", *options)
        self.run(*command, until="Registered to")

    def clear(self) -> None:
        """End what runs here."""
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes.clear()

    def end(self) -> None:
        """End what runs here, and the host."""
        self.clear()
        subprocess.run(["ip", "netns", "del", self.name], check=True, capture_output=True)


class Hosts:
    """A bridge, of which this machine is a part too, and hosts on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"dk{os.getpid() % 100000}"
        self.network = f"10.77.{os.getpid() % 250}"
        self._hosts: list[Host] = []
        for command in (
            f"ip link add {self.name} type bridge",
            f"ip addr add {self.network}.254/24 dev {self.name}",
            f"ip link set {self.name} up",
        ):
            subprocess.run(command.split(), check=True, capture_output=True)

    def add(self) -> Host:
        """Add a host."""
        self._hosts.append(Host(self, len(self._hosts) + 1))
        return self._hosts[-1]

    def close(self) -> None:
        """End all of it."""
        for host in self._hosts:
            host.end()
        subprocess.run(["ip", "link", "del", self.name], check=True, capture_output=True)


@contextlib.contextmanager
def far_away(ip: str, target: tuple[str, int], delay: float, loss: float = 0.0) -> Iterator[int]:
    """Forward what comes to a port, late by ``delay`` seconds each way; give the port.

    The share ``loss`` comes ``RESENT`` seconds later, and what follows not before: so TCP shows
    that a packet was lost. It is a random one of a known seed.
    """
    dice = random.Random(7)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        sent: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        arriving = asyncio.create_task(deliver(sent, writer))
        with contextlib.suppress(OSError):
            while data := await reader.read(1460 if loss else 1 << 16):
                late = delay + (RESENT if dice.random() < loss else 0.0)
                sent.put_nowait((loop.time() + late, data))
        sent.put_nowait((loop.time() + delay, b""))
        await arriving

    async def deliver(
        sent: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        """Write what was sent, each when it is due and in order, until it ends."""
        loop = asyncio.get_running_loop()
        while True:
            due, data = await sent.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                break
            writer.write(data)
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(*target)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    async def serve() -> None:
        server = await asyncio.start_server(connect, ip, 0)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        await stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    ports: list[int] = []
    ready, stop, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(START)
    yield ports[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(START)
