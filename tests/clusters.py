"""Dask clusters for tests: a scheduler and workers, each a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forked import fork
from running import alive, wait_for

from daskrun.script.node_folders import base_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from distributed import Client
    from forked import Process

START = 30.0
"""Seconds a process of Dask may take to be there, on a busy machine."""
WITHOUT_DASKRUN = """
import importlib.abc, sys
for name in [name for name in sys.modules if name.partition(".")[0] == "daskrun"]:
    del sys.modules[name]
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "daskrun":
            raise ImportError("no daskrun in this environment")
sys.meta_path.insert(0, Refuse())
"""
METHOD = {"DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD": "fork"}
"""How a nanny starts its worker: what it has imported is not imported again."""


def _be_scheduler(*options: str) -> None:
    from distributed.cli.dask_scheduler import main

    main(options)


def _be_worker(*options: str) -> None:
    from distributed.cli.dask_worker import main

    main(options)


class Cluster:
    """A scheduler and workers, each a process of its own, as a user would start them.

    Parameters
    ----------
    folder
        Where they keep what they say.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logs: dict[int, Path] = {}
        self._started = 0
        self._nannies: list[Process] = []
        self.processes: list[Process] = []
        """The scheduler, then the workers, or their nannies."""
        self.processes.append(self._start_scheduler(0))
        found = wait_for(
            lambda: re.search(r"Scheduler at:\s*(tcp://\S+)", self.log(self.processes[0])), START
        )
        self.address = found.group(1)

    def replace_scheduler(self) -> None:
        """Start another scheduler on the address of the one that was killed."""
        port = int(self.address.rpartition(":")[2])
        self.processes[0] = self._start_scheduler(port)
        wait_for(lambda: "Scheduler at:" in self.log(self.processes[0]), START)

    def _start_scheduler(self, port: int) -> Process:
        options = ("--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        return self._start(_be_scheduler, *options)

    def add_worker(self, *options: str, daskrun: bool = True, nanny: bool = False) -> Process:
        """Start one worker and wait until the scheduler knows it."""
        if not daskrun:
            preload = self._folder / "without_daskrun.py"
            preload.write_text(WITHOUT_DASKRUN)
            options += ("--preload", str(preload))
        worker = self._start_worker(*options, nanny=nanny)
        self._wait_for_registration(worker)
        return worker

    def have_scheduler(self) -> None:
        """Start another scheduler where the one there was has died."""
        if not self.processes[0].is_alive():
            self.replace_scheduler()

    def have_workers(self, count: int, *, nanny: bool = False) -> list[Process]:
        """Have this many workers, and no others; give their processes. Those there are used."""
        known = set(self.worker_pids().values())
        kept = [p for p in self.processes[1:] if known & {p.pid, *_children(p.pid)}]
        kept = [process for process in kept if nanny == (process in self._nannies)]
        for process in self.processes[1:]:
            if process not in kept[:count]:
                self._end(process)
        workers = [self._start_worker(nanny=nanny) for _ in range(count - len(kept))]
        for worker in workers:
            self._wait_for_registration(worker)
        wait_for(lambda: len(self.worker_pids()) == count, START)
        return self.processes[1:]

    def _start_worker(self, *options: str, nanny: bool) -> Process:
        usual = ["--no-dashboard", "--nthreads", "1", "--memory-limit", "0"]
        usual += [] if nanny else ["--no-nanny"]
        worker = self._start(_be_worker, self.address, *usual, *options)
        self.processes.append(worker)
        if nanny:
            self._nannies.append(worker)
        return worker

    def _wait_for_registration(self, worker: Process) -> None:
        wait_for(lambda: "Registered to" in self.log(worker), START)

    @property
    def workers(self) -> list[int]:
        """Process ids of the workers."""
        return [process.pid for process in self.processes[1:]]

    def _start(self, command: Callable[..., object], *options: str) -> Process:
        self._started += 1
        log = self._folder / f"cluster-{self._started}.log"
        variables = {"TMPDIR": str(base_folder().parent), **METHOD}
        process = fork(command, *options, log=log, environment=variables, folder=self._folder)
        self._logs[process.pid] = log
        return process

    def log(self, process: Process) -> str:
        """Give what a process has said."""
        return self._logs[process.pid].read_text()

    @contextlib.contextmanager
    def work_of_others(self) -> Iterator[None]:
        """Have somebody else's tasks run meanwhile; see that each gives what it should."""

        def slow(n: int) -> int:
            time.sleep(0.02)
            return 2 * n

        with self.client() as client:
            futures = client.map(slow, range(20), pure=False, retries=5)
            yield
            assert client.gather(futures) == [2 * n for n in range(20)]

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        """Be somebody else who uses the cluster."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            yield client

    def worker_pids(self) -> dict[str, int]:
        """Address -> process id of every worker; of the worker itself where it has a nanny."""
        with self.client() as client:
            return dict(client.run(os.getpid))

    def give_up_silent(self, address: str) -> None:
        """Have the scheduler find a worker silent for longer than its ``worker-ttl``, and no other.

        A ``worker-ttl`` short enough to wait for would have a busy machine lose the others too.
        """

        def find(dask_scheduler: Any) -> None:
            dask_scheduler.workers[address].last_seen -= dask_scheduler.worker_ttl
            dask_scheduler.loop.add_callback(dask_scheduler.check_worker_ttl)

        with self.client() as client:
            client.run_on_scheduler(find)

    def plugins(self) -> list[str]:
        """Name our plugins that are on the scheduler or any worker, and events that it keeps."""

        def on_worker(dask_worker: Any) -> list[str]:
            return list(dask_worker.plugins)

        def on_scheduler(dask_scheduler: Any) -> list[str]:
            topics = map(str, dask_scheduler._broker._topics)
            return [*dask_scheduler.plugins, *dask_scheduler.worker_plugins, *topics]

        with self.client() as client:
            found = client.run_on_scheduler(on_scheduler)
            for names in client.run(on_worker).values():
                found += names
        return [name for name in found if name.startswith("daskrun")]

    def _end(self, process: Process) -> None:
        """Kill a worker, and first its nanny, which would start it anew."""
        self.processes.remove(process)
        children = _children(process.pid)
        for pid in (process.pid, *children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.join()
        wait_for(lambda: not any(alive(pid) for pid in children))

    def close(self) -> None:
        """Kill every process of it."""
        for process in reversed(self.processes):
            self._end(process)


def _children(pid: int) -> list[int]:
    """Give the processes that a process has started, but no keeper: it must end by itself."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(word) for word in task.read_text().split()]
    return [child for child in found if "daskrun.script.keeper.keeper" not in _command(child)]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
