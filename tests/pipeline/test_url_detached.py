"""A driver on its cluster, and its run behind a URL: killed, and what of its key is to be seen."""

import os
import signal
from pathlib import Path

import pytest
from clusters import Cluster
from running import wait_for
from s3 import KEY, SECRET
from url_work import EXPECTED, INTERVALS, output_of, work  # noqa: F401

from daskrun import ComputeTarget, Experiment, Pipeline, Workspace
from daskrun.testing import account


@pytest.fixture
def cluster(work, forks):
    made = Cluster(work.path)
    made.have_workers(2)
    yield made
    made.close()


@pytest.mark.slow
def test_a_driver_gets_the_key_and_is_followed(work, cluster, monkeypatch):
    (work.path / "gate").touch()
    options = {
        "key": KEY,
        "secret": SECRET,
        "client_kwargs": {"endpoint_url": work.bucket.endpoint},
    }
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    ws = Workspace(work.ws.location, options, intervals=INTERVALS)
    ComputeTarget.attach(ws, "there", address=cluster.address)
    step = work.make_step(compute_target="there", node_count=None)
    run = Experiment(ws, "trial").submit(Pipeline(ws, [step]), detached=True)
    driver = wait_for(lambda: run._kept.handover().drivers, 60)[-1]
    command = Path(f"/proc/{driver.pid}/cmdline").read_text()
    wait_for(lambda: (work.path / "calls").exists(), 60)
    os.kill(driver.pid, signal.SIGKILL)
    (work.path / "gate").unlink()
    assert run.wait_for_completion(timeout_seconds=120) == "Completed"
    assert len(run._kept.handover().drivers) == 2
    account(run).check()
    assert "driver_process" in command
    said = [cluster.log(each) for each in cluster.processes]
    with cluster.client() as client:
        said.append(str(client.get_events()))
    kept = [path.read_bytes() for path in run.folder.rglob("*") if path.is_file()]
    assert not [text for text in (command, *said) if SECRET in text]
    assert not [data for data in kept if SECRET.encode() in data]
    for name, value in {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", work.bucket.endpoint)
    assert output_of(work.ws.get_run(run.id)) == EXPECTED
