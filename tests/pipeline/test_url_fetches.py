"""What nodes of runs behind a URL fetch: once for a machine, whatever the run."""

import pytest
from clusters import Cluster
from url_work import EXPECTED, output_of
from url_work import work as base  # noqa: F401  (a fixture)

from daskrun import ComputeTarget, Model
from daskrun.engine.dask.copied_node import CODE
from daskrun.errors import StorageError
from daskrun.workspace.models import fetched


@pytest.fixture
def work(base):
    fetched._used.clear()
    return base


@pytest.fixture
def cluster(work, forks):
    found = Cluster(work.path)
    found.have_workers(2)
    yield found
    found.close()


def fetches(work, end):
    return [each.path for each in work.bucket.asked("GET") if each.path.endswith(end)]


@pytest.mark.slow
def test_code_and_models_are_fetched_once_for_all_nodes_and_runs(work, cluster):
    target = ComputeTarget.attach(work.ws, "cluster", address=cluster.address)
    for _ in range(2):
        run = work.submit(compute_target=target, node_count=2, process_count_per_node=2)
        assert run.wait_for_completion() == "Completed"
        assert output_of(run) == EXPECTED
    assert len(fetches(work, "weights.txt")) == 1
    assert len(fetches(work, f"{CODE}/score.py")) == 1
    script = work.path / "code/score.py"
    script.write_text(f"{script.read_text()}\n")
    run = work.submit(compute_target=target, node_count=2)
    assert run.wait_for_completion() == "Completed"
    assert len(fetches(work, f"{CODE}/score.py")) == 2


@pytest.mark.slow
def test_code_that_is_not_what_was_submitted_is_not_run(work, cluster, monkeypatch):
    from daskrun.engine import nodes

    monkeypatch.setattr(nodes, "_code_digest", lambda _: "0" * 64)
    target = ComputeTarget.attach(work.ws, "cluster", address=cluster.address)
    run = work.submit(compute_target=target, node_count=2)
    assert run.wait_for_completion(raise_on_error=False) == "Failed"
    [step] = run.get_steps()
    assert "is not the code that was submitted" in str(step.get_details()["error"])


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["20GB", 1, 0])
def test_processes_of_a_node_share_a_model_that_is_not_kept(work, limit):
    run = work.submit(compute_target=None, process_count_per_node=3, node_cache_limit=limit)
    assert run.wait_for_completion() == "Completed"
    assert output_of(run) == EXPECTED
    assert len(fetches(work, "weights.txt")) == 1


def test_a_model_is_what_was_registered(work, tmp_path):
    model = Model(work.ws, "weights")
    work.bucket.put(f"team/.daskrun/{model._place}", b"light")
    with pytest.raises(StorageError, match=r"weights.txt is not what was registered: others have"):
        _ = model.path
    work.bucket.put(f"team/.daskrun/{model._place}", b"heavy")
    assert model.path.read_text() == "heavy"
    assert model.path.stat().st_mode & 0o222 == 0
