"""The task that keeps a run's driver alive, on a worker of this process."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from distributed import (
    Client,
    Future,
    LocalCluster,
    Security,
    fire_and_forget,
    get_worker,
)
from running import wait_for

from daskrun.core.intervals import USUAL
from daskrun.engine.dask import driver_host
from daskrun.engine.dask.driver_host import _Host, _security, _why_unable
from daskrun.engine.dask.driver_task import DriverTask
from daskrun.script.wire import packed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from distributed import Scheduler

ENDS = "import json, sys; json.loads(sys.stdin.readline()); sys.exit({code})"


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    options = {"processes": False, "protocol": "tcp", "dashboard_address": "127.0.0.1:0"}
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, **options) as cluster,
        Client(cluster, set_as_default=False) as made,
    ):
        yield made


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have the process be one of these programs after the other, the last again and again."""
    programs: list[str] = []

    def start(_: str, stdout: int | None = None) -> subprocess.Popen[bytes]:
        code = programs[0] if len(programs) == 1 else programs.pop(0)
        command = ["python3", "-c", code]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stdout)

    monkeypatch.setattr(driver_host, "start_process", start)
    monkeypatch.setattr(driver_host, "PAUSE", 0.01)
    return programs


@pytest.mark.slow
def test_one_that_says_it_has_ended_is_not_started_again(
    client: Client, program: list[str], tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    began = f"open({str(seen)!r}, 'a').write('x');"
    program += [began + ENDS.format(code=1), began + ENDS.format(code=0)]
    with DriverTask("run1", client.scheduler.address, USUAL) as task:
        task.start(packed(("program", {})), [])
    wait_for(lambda: seen.exists() and seen.read_text() == "xx")
    wait_for(lambda: tasks(client) == [])
    assert seen.read_text() == "xx"


@pytest.mark.slow
def test_a_start_that_is_interrupted_leaves_no_task(
    client: Client, program: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heard = tmp_path / "heard"
    wait = "import sys; sys.stdin.readline();"
    program.append(f"{wait} open({str(heard)!r}, 'w').write(sys.stdin.readline())")

    def interrupted(future: Future) -> None:
        fire_and_forget(future)
        wait_for(lambda: tasks(client) != [])
        time.sleep(1)  # the process has begun
        raise KeyboardInterrupt

    monkeypatch.setattr("distributed.fire_and_forget", interrupted)
    with (
        pytest.raises(KeyboardInterrupt),
        DriverTask("run3", client.scheduler.address, USUAL) as task,
    ):
        task.start(packed(("program", {})), [])
    wait_for(lambda: heard.exists() and heard.read_text() == '"cancel"\n')
    assert tasks(client) == []


@pytest.mark.slow
def test_one_that_ends_at_once_again_and_again_fails_the_task(
    client: Client, program: list[str]
) -> None:
    program.append(ENDS.format(code=3))
    future = client.submit(_watch, pure=False)
    with pytest.raises(RuntimeError, match=r"5 driver processes in a row .* exit code 3"):
        future.result(timeout=30)


def _watch() -> None:
    worker = get_worker()
    _Host(worker, str(worker.get_current_task()), "program", {}).watch()


@pytest.mark.slow
def test_workers_are_asked_until_one_can(
    client: Client, monkeypatch: pytest.MonkeyPatch, program: list[str]
) -> None:
    (able,) = client.scheduler_info()["workers"]
    program.append("import sys; sys.stdin.readline(); print('\"\"')")
    with DriverTask("run2", client.scheduler.address, USUAL) as task:
        known = {f"tcp://127.0.0.1:{port}": {} for port in range(1, 13)}
        told = {"workers": {**known, able: {}}}
        monkeypatch.setattr(task._connection.client, "scheduler_info", lambda **_: told)
        assert task.able(packed(("program", {}))) == [able]


def test_deaths_of_workers_are_counted_anew(client: Client) -> None:
    def suspect(dask_scheduler: Scheduler) -> None:
        dask_scheduler.tasks["waits"].suspicious = 3

    def suspected(dask_scheduler: Scheduler) -> int:
        return int(dask_scheduler.tasks["waits"].suspicious)

    def forgive() -> None:
        _Host(get_worker(), "waits", "program", {})._ask_to_forgive()

    future = client.submit(int, 1, key="waits")
    future.result(timeout=20)
    client.run_on_scheduler(suspect)
    assert client.run_on_scheduler(suspected) == 3
    client.submit(forgive, pure=False).result(timeout=20)
    assert client.run_on_scheduler(suspected) == 0


def test_what_a_process_says_of_itself(program: list[str]) -> None:
    data = packed(("program", {"run": "run1"}))
    reads = "import json, sys; told = json.loads(sys.stdin.readline());"
    program.append(reads + "print(json.dumps(told['run'] if told['only_looks'] else ''))")
    assert _why_unable(data) == "run1"
    program[:] = ["import sys; sys.exit(7)"]
    assert _why_unable(data) == "its process ended with exit code 7: the worker's log says why"


def test_a_driver_connects_with_the_workers_certificates() -> None:
    assert _security(Security()) == {}
    given = {"tls_ca_file": "ca", "tls_worker_cert": "cert", "tls_worker_key": "key"}
    found = _security(Security(**given, require_encryption=True))
    assert found == {"tls_ca_file": "ca", "tls_client_cert": "cert", "tls_client_key": "key"}
    assert Security(**found).tls_client_key == "key"


def tasks(client: Client) -> list[str]:
    def found(dask_scheduler: Scheduler) -> list[str]:
        return [key for key in map(str, dask_scheduler.tasks) if "driver" in key]

    return client.run_on_scheduler(found)
