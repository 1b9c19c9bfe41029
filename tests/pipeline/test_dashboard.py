"""The page /daskrun beside Dask's own, of a local run and of a scheduler that runs already."""

import json
import urllib.request
from dataclasses import replace

import pytest

from daskrun import ComputeTarget, Pipeline
from daskrun.monitor import dask_pages
from daskrun.monitor.dask_pages import Runs
from daskrun.monitor.snapshot import read_snapshot


def get(address):
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.read().decode()


@pytest.mark.slow
def test_the_dashboard_of_a_local_run_has_the_page(work):
    seen = {}
    (work.path / "score.py").write_text(
        "import pathlib, time\n"
        "def run(mini_batch):\n"
        f"    while not pathlib.Path({str(work.path / 'seen')!r}).exists():\n"
        "        time.sleep(0.02)\n"
        "    return mini_batch\n"
    )
    step = work.make_step("score", compute_target=None)
    run = Pipeline(work.ws, [step]).submit("trial")
    try:
        [step_run] = run.get_steps()
        while (snapshot := read_snapshot(step_run.folder / "logs")) is None or not (
            snapshot.dashboard
        ):
            assert not run.status.ended
        address = snapshot.dashboard.removesuffix("daskrun")
        seen["page"] = get(f"{address}daskrun")
        seen["plots"] = get(f"{address}individual-plots.json")
        seen["metrics"] = get(f"{address}metrics")
        seen["status"] = get(f"{address}status")
    finally:
        (work.path / "seen").touch()
        run.wait_for_completion()
    assert "docs_json" in seen["page"]
    pytest.importorskip("prometheus_client")
    assert f'daskrun_mini_batches{{run="{step_run.id}",step="score"}} 4.0' in seen["metrics"]
    assert f'daskrun_mini_batches_failed_total{{run="{step_run.id}"' in seen["metrics"]
    assert "dask_scheduler_clients" in seen["metrics"]  # Dask's own
    assert 'href="daskrun"' in seen["status"]
    assert "/individual-daskrun-throughput" in json.loads(seen["plots"]).values()


@pytest.mark.slow
def test_a_running_scheduler_gets_the_page(work, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(dask_pages, "INTERVAL", 0.05)
    monkeypatch.setattr(dask_pages, "runs", Runs())
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0",
        protocol="tcp",
    ) as cluster:  # fmt: skip
        target = ComputeTarget.attach(work.ws, "mine", cluster.scheduler_address)
        run = Pipeline(work.ws, [work.make_step("score", compute_target=target)]).submit("trial")
        run.wait_for_completion()
        [step_run] = run.get_steps()
        shown = dask_pages.runs()[step_run.id]
        page = get(f"{cluster.dashboard_link.removesuffix('status')}daskrun")
    kept = read_snapshot(step_run.folder / "logs")
    assert "docs_json" in page
    assert (shown.standing, shown.message) == ("Completed", kept.message)
    assert kept.message == "4 of 4 mini-batches succeeded."
    assert replace(shown.progress, elapsed=0.0) == replace(kept.progress, elapsed=0.0)
    assert kept.progress.succeeded == 4
