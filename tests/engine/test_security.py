"""Clusters with certificates: runs on them, and what is said where certificates are wrong."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from distributed import LocalCluster, Security
from running import END, SLACK, lines, run_script

from daskrun.core.report import RunStatus
from daskrun.engine.dask.client import exposed
from daskrun.engine.request import GivenCluster
from daskrun.errors import SettingsError
from daskrun.workspace.compute import targets as compute
from daskrun.workspace.compute.targets import ComputeTarget
from daskrun.workspace.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("own_temporary_folder")

FILES = ("tls_ca_file", "tls_client_cert", "tls_client_key")


def written(security: Security, folder: Path) -> dict[str, str]:
    folder.mkdir()
    for name in FILES:
        (folder / name).write_text(getattr(security, name))
    return {name: str(folder / name) for name in FILES}


@pytest.fixture(scope="module")
def temporary() -> Security:
    return Security.temporary()


@pytest.fixture(scope="module")
def cluster(temporary: Security) -> Iterator[LocalCluster]:
    options = {"protocol": "tls://", "security": temporary, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=1, processes=False, host="127.0.0.1", **options) as made:
        yield made


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace.create("trial", path=tmp_path / "ws")


def test_certificates_in_files_serve_other_processes_too(
    tmp_path: Path, ws: Workspace, cluster: LocalCluster, temporary: Security, monkeypatch
) -> None:
    files = written(temporary, tmp_path / "pem")
    address = cluster.scheduler_address
    made = ComputeTarget.attach(ws, "secure", address=address, security=files)
    monkeypatch.setattr(compute, "_attached", {})  # as in another process
    found = ws.compute_targets["secure"]
    assert isinstance(found.dask_target, GivenCluster)
    assert "security" not in repr(found.dask_target)
    found.wait_for_completion(min_node_count=1, timeout_in_minutes=0.5)
    run = run_script(tmp_path, target=made.dask_target)
    assert run.report.status is RunStatus.COMPLETED, run.report.message
    assert run.output == lines(range(10))


@pytest.mark.parametrize("given", ["security", "cluster"])
def test_keys_that_are_in_no_file_are_not_kept(
    tmp_path: Path,
    ws: Workspace,
    cluster: LocalCluster,
    temporary: Security,
    given: str,
) -> None:
    by = {
        "security": {"address": cluster.scheduler_address, "security": temporary},
        "cluster": {"cluster": cluster},
    }[given]
    target = ComputeTarget.attach(ws, "secure", **by)
    assert target.for_this_process
    kept = b"".join(path.read_bytes() for path in (tmp_path / "ws").rglob("*.json"))
    assert b"PRIVATE KEY" not in kept
    run = run_script(tmp_path, target=target.dask_target)
    assert run.output == lines(range(10))
    logged = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"PRIVATE KEY" not in logged


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"security": {"tls_ca_fil": "a"}}, "is no Security: Unknown parameters"),
        ({"security": "tls"}, "security= is of type str"),
        ({"security": {"tls_ca_file": "no.pem"}}, "tls_ca_file='no.pem', and there is no such"),
        ({"security": dict.fromkeys(FILES, __file__)}, "has certificates that can't be used"),
        ({"security": {"tls_ca_file": __file__}}, "security= lacks tls_ca_file or tls_client_c"),
        ({"address": "tcp://a:1", "security": {}}, "'tcp://a:1' is not encrypted, and security="),
        ({"address": None, "cluster": True, "security": {}}, "security= goes with address="),
    ],
)
def test_security_that_is_none(
    ws: Workspace, cluster: LocalCluster, change: dict[str, object], message: str
) -> None:
    given = {"address": "tls://127.0.0.1:1", **change}
    if "cluster" in given:
        given["cluster"] = cluster
    with pytest.raises(SettingsError, match=message):
        ComputeTarget.attach(ws, "secure", **given)


DRIVER = """
import sys
sys.path[:0] = sys.argv[1:2]
from pathlib import Path
from running import make_request
from daskrun.engine.driver import RunControl, execute
print(execute(make_request(Path(sys.argv[2]), target=sys.argv[3]), [], RunControl()).message)
"""


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        ("tls", "is encrypted, and no certificates are given. Write ComputeTarget.attach(ws, name"),
        ("tcp", "a scheduler with certificates has an address that begins with tls://"),
    ],
)
def test_an_address_without_certificates_is_told_at_once_and_the_process_ends(
    tmp_path: Path, cluster: LocalCluster, scheme: str, message: str
) -> None:
    address = cluster.scheduler_address.replace("tls", scheme)
    began = time.monotonic()
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", DRIVER, tests, str(tmp_path / "driven"), address]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert message in ended.stdout
    assert "Traceback" not in ended.stderr
    assert time.monotonic() - began < END + SLACK  # not the 60 s that Dask's client waits


def test_others_certificates_are_told(tmp_path: Path, cluster: LocalCluster) -> None:
    other = GivenCluster(cluster.scheduler_address, Security.temporary())
    run = run_script(tmp_path, target=other)
    assert run.report.status is RunStatus.FAILED
    assert "could not be connected to: FatalCommClosedError: TLS" in run.report.message


def test_a_scheduler_that_others_reach_without_tls_is_warned_of() -> None:
    wide = ["tcp://10.0.0.5:8786", "tcp://[fe80::1]:8786", "ws://host:1", "tcp://0.0.0.0:1"]
    near = ["tcp://127.0.0.2:1", "tcp://[::1]:1", "tcp://localhost:1", "tls://10.0.0.5:1"]
    assert [bool(exposed(address)) for address in (*wide, *near)] == [True] * 4 + [False] * 4
