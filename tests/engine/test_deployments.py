"""Clusters as Dask's deployment packages make them: over SSH, by a queue of jobs, by a service."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from running import lines, run_script, wait_for, wait_until_nothing_is_left

from daskrun import AmlCompute, ComputeTarget, Workspace
from daskrun.core.events import NodeReady
from daskrun.core.report import RunStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.usefixtures("own_temporary_folder"), pytest.mark.slow]

SLOW = """
import time
def run(mini_batch):
    time.sleep(0.1)
    return [open(path).read() for path in mini_batch]
"""
SBATCH = """#!/bin/bash
job=$(mktemp "$QUEUE/job.XXXX"); cp "$1" "$job"  # it is removed when this returns
setsid bash "$job" >"$job.log" 2>&1 </dev/null &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/bash
kill -- "-$1" 2>/dev/null || true
"""


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be a queue of jobs with Slurm's commands, of which each job starts at once."""
    folder = tmp_path / "queue"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("QUEUE", str(folder))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def check(run: Any, nodes: int, files: int = 60) -> None:
    assert run.report.status is RunStatus.COMPLETED, run.report.message
    assert run.output == lines(range(files))
    assert len({event.node for event in run.watch.of(NodeReady)}) == nodes


@pytest.mark.parametrize("how", ["scaled", "adapts"])
def test_a_queue_of_jobs_is_asked_for_workers(tmp_path: Path, queue: Path, how: str) -> None:
    jobqueue = pytest.importorskip("dask_jobqueue")
    with jobqueue.SLURMCluster(
        cores=1,
        processes=1,
        memory="1GB",
        interface="lo",
        shebang="#!/bin/bash",
        scheduler_options={"dashboard_address": "127.0.0.1:0"},
    ) as cluster:
        if how == "adapts":
            cluster.adapt(minimum=0, maximum=1, interval="200ms")
        run = run_script(tmp_path, SLOW, files=60, target=cluster, node_count=1)
        check(run, 1)
        wait_for(lambda: not cluster.scheduler_info["workers"], 30)
    assert len(list(queue.glob("job.*.log"))) == 1
    assert wait_until_nothing_is_left() == []


@contextlib.contextmanager
def ssh_server(folder: Path) -> Iterator[int]:
    """Serve SSH on loopback, where every user may run commands as this one; give the port."""
    asyncssh = pytest.importorskip("asyncssh")

    class AnyUser(asyncssh.SSHServer):  # type: ignore[misc]
        def begin_auth(self, _: str) -> bool:
            return False

    async def pass_on(source: asyncio.StreamReader | None, to: Any) -> None:
        assert source is not None
        with contextlib.suppress(OSError):  # nobody listens any more
            while data := await source.read(1 << 16):
                to.write(data.decode(errors="replace"))

    async def run_command(process: Any) -> None:
        commands.append(asyncio.current_task())
        child = await asyncio.create_subprocess_shell(
            process.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        children.append(child)
        # All of it before the exit: what comes behind would end the connection.
        await asyncio.gather(
            pass_on(child.stdout, process.stdout), pass_on(child.stderr, process.stderr)
        )
        process.exit(await child.wait())

    async def serve() -> None:
        key = asyncssh.generate_private_key("ssh-ed25519")
        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=AnyUser,
            server_host_keys=[key],
            process_factory=run_command,
        )
        ports.append(server.get_port())
        ready.set()
        await stop.wait()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # what the shell has started, too
            await child.wait()
        await asyncio.gather(*commands, return_exceptions=True)
        server.close()

    ports: list[int] = []
    children: list[Any] = []
    commands: list[Any] = []
    ready, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(30)
    yield ports[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(30)
    loop.close()


def test_hosts_that_are_reached_over_ssh(tmp_path: Path) -> None:
    from distributed import SSHCluster

    with (
        ssh_server(tmp_path) as port,
        SSHCluster(
            ["127.0.0.1"] * 3,
            connect_options={"port": port, "known_hosts": None, "username": "anybody"},
            worker_options={"nthreads": 1, "dashboard": False},
            scheduler_options={"dashboard": False, "host": "127.0.0.1"},
            remote_python=sys.executable,
        ) as cluster,
    ):
        wait_for(lambda: len(cluster.scheduler_info["workers"]) == 2, 60)
        check(run_script(tmp_path, SLOW, files=60, target=cluster, node_count=None), 2)


class GatewayCluster:
    """Like dask-gateway's: no class of Dask's, an address of its own kind, scaled by a service."""

    def __init__(self, cluster: Any) -> None:
        self.scheduler_address = "gateway://hub.example/a1b2"
        self.security = cluster.security
        self.scheduler_info = cluster.scheduler_info
        self.asynchronous = False
        self.calls: list[Any] = []
        self._cluster = cluster

    def scale(self, n: int, **_: object) -> None:
        self.calls.append(n)
        self._cluster.scale(n)

    def adapt(
        self,
        minimum: int | None = None,
        maximum: int | None = None,
        active: bool = True,
        **_: object,
    ) -> None:
        self.calls.append((minimum, maximum, active))
        self._cluster.scale(minimum)


class KubeCluster(GatewayCluster):
    """Like dask-kubernetes' operator: its controller adapts, and nothing here knows to what."""

    def __init__(self, cluster: Any) -> None:
        super().__init__(cluster)
        self.scheduler_address = cluster.scheduler_address

    def adapt(self, minimum: int | None = None, maximum: int | None = None) -> None:  # type: ignore[override]
        super().adapt(minimum, maximum)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [GatewayCluster, KubeCluster])
def test_a_cluster_of_a_service_is_scaled_within_the_bounds_that_are_given(
    tmp_path: Path, kind: type[GatewayCluster]
) -> None:
    from distributed import Client, LocalCluster

    ws = Workspace.create("trial", path=tmp_path / "ws")
    options = {"processes": False, "dashboard_address": "127.0.0.1:0", "threads_per_worker": 1}
    with LocalCluster(n_workers=0, protocol="tcp", **options) as real:
        cluster = kind(real)
        bounds = AmlCompute.provisioning_configuration(min_nodes=0, max_nodes=2)
        with Client(real, set_as_default=False) as client:
            client.cluster = cluster  # as its get_client() gives
            target = ComputeTarget.attach(
                ws, "service", client=client, provisioning_configuration=bounds
            )
            scale = target.get_status().serialize()["scaleSettings"]
            assert scale == {"minNodeCount": 0, "maxNodeCount": 2}
            run = run_script(tmp_path, SLOW, files=60, target=target.dask_target, node_count=2)
        check(run, 2)
    least = [call[0] for call in cluster.calls]
    assert (max(least), least[-1]) == (2, 0)
    assert all(call[1] == 2 for call in cluster.calls)
    attached = ComputeTarget.attach(ws, "object", cluster=cluster)
    assert attached.for_this_process is (kind is GatewayCluster)
