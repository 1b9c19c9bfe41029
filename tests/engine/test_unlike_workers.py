"""Workers unlike the driver: left out and named, alive, and their other tasks unharmed."""

from __future__ import annotations

import operator
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
from clusters import Cluster
from running import lines, run_script, wait_for, wait_until_nothing_is_left

from daskrun.core.events import Note
from daskrun.core.report import RunStatus
from daskrun.engine.dask import versions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("forks", "own_temporary_folder")

OWN = platform.python_version()
DASKRUN = version("daskrun")
MINOR = OWN.rpartition(".")[0]
OTHER_PYTHON = "DASKRUN_TEST_OTHER_PYTHON"
"""A variable: an interpreter of another minor version that has this one's dask and distributed."""
CLAIMS_ANOTHER = """
import os, platform, signal
import cloudpickle.cloudpickle as by_value
platform.python_version = lambda: "3.99.1"
def crash(*_, **__):  # as another version's bytecode does when it is executed
    os.kill(os.getpid(), signal.SIGSEGV)
by_value._make_function = by_value._make_skeleton_class = crash
"""
WIRE_OF_ANOTHER = """
import daskrun.engine.dask.worker as side
side.WIRE = "0-of-another"
"""
CANT_READ = """
import pickle
import distributed.protocol.pickle as pickling
def refuse(data, **options):
    if isinstance(data, bytes) and b"EntryScriptPlugin" in data:
        raise ValueError("no such text is read here")
    return pickle.loads(data, **options)
pickling.loads = refuse
"""


@pytest.fixture
def cluster(tmp_path: Path, own_temporary_folder: Path) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    cluster = Cluster(folder)
    yield cluster
    cluster.close()
    assert wait_until_nothing_is_left() == []


def preload(tmp_path: Path, text: str) -> tuple[str, str]:
    path = tmp_path / "preload.py"
    path.write_text(text)
    return "--preload", str(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (CLAIMS_ANOTHER, f"runs Python 3.99.1, and the driver {OWN}: start it with Python {MINOR}"),
        (WIRE_OF_ANOTHER, f"has daskrun {DASKRUN}, which talks another way (wire version 0-of-a"),
        (CANT_READ, "can't take the run's plugin: ValueError('no such text is read here')"),
    ],
    ids=["another Python", "another daskrun", "can't read it"],
)
def test_one_that_can_take_no_part_is_named_and_unharmed(
    tmp_path: Path, cluster: Cluster, text: str, told: str
) -> None:
    unlike = cluster.add_worker(*preload(tmp_path, text))
    with cluster.client() as client:
        [address] = client.scheduler_info(n_workers=-1)["workers"]
        others = client.submit(time.sleep, 0.5, workers=[address], retries=0)
        alone = run_script(tmp_path / "alone", target=cluster.address)
        cluster.add_worker()
        run = run_script(tmp_path, target=cluster.address, node_count=2)
        others.result(timeout=30)
        assert client.submit(operator.neg, 2, workers=[address]).result(timeout=30) == -2
    assert unlike.is_alive()
    assert alone.report.status is RunStatus.FAILED
    assert f"no Dask worker can take part: worker {address} {told}" in alone.report.message
    assert run.report.status is RunStatus.COMPLETED
    assert run.output == lines(range(10))
    assert any(f"worker {address} {told}" in note.text for note in run.watch.of(Note))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Mismatched versions")  # Dask says so too
@pytest.mark.skipif(OTHER_PYTHON not in os.environ, reason=f"{OTHER_PYTHON} names no interpreter")
def test_a_scheduler_and_a_worker_of_another_python(tmp_path: Path) -> None:
    other = os.environ[OTHER_PYTHON]
    shown = subprocess.run([other, "--version"], capture_output=True, text=True, check=True)
    if shown.stdout.split()[-1].rpartition(".")[0] == MINOR:
        pytest.skip(f"{other} is the same Python")
    command = (other, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard")
    log = tmp_path / "log"
    ended: list[subprocess.Popen[bytes]] = []
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONPATH"}

    def start(*command: str) -> subprocess.Popen[bytes]:
        with log.open("ab") as file:
            streams = {"stdout": file, "stderr": file, "cwd": tmp_path}
            process = subprocess.Popen(command, env=environment, **streams)
        ended.append(process)
        return process

    try:
        start(*command, "--host", "127.0.0.1")
        wait_for(lambda: "Scheduler at:" in log.read_text(), 60)
        address = next(w for w in log.read_text().split() if w.startswith("tcp://"))
        options = ("--no-dashboard", "--nthreads", "1", "--no-nanny")
        unlike = start(other, "-m", "distributed.cli.dask_worker", address, *options)
        wait_for(lambda: "Registered to" in log.read_text(), 60)
        alone = run_script(tmp_path / "alone", target=address)
        assert "runs Python" in alone.report.message
        start(sys.executable, "-m", "distributed.cli.dask_worker", address, *options)
        wait_for(lambda: log.read_text().count("Registered to") == 2, 60)
        run = run_script(tmp_path, files=200, target=address, node_count=2)
        assert run.report.status is RunStatus.COMPLETED
        assert run.output == lines(range(200))
        assert unlike.poll() is None
    finally:
        for process in reversed(ended):
            process.kill()
            process.wait()
    assert wait_until_nothing_is_left() == []


def test_what_differs_is_one_message_that_names_few_workers() -> None:
    here = {"dask": "2026.8.0", "pandas": "3.1.1"}
    found = {f"tcp://w{n}": {**here, "pandas": "2.3.3"} for n in range(7)}
    found["the scheduler"] = {"dask": "2025.1.0"}
    assert versions.differences(found, here) == (
        "versions differ, and results may: pandas 2.3.3 on tcp://w0, tcp://w1, tcp://w2, tcp://w3, "
        "tcp://w4 and 2 more (3.1.1 here); dask 2025.1.0 on the scheduler (2026.8.0 here)"
    )
    assert versions.differences({"tcp://w": here}, here) == ""
