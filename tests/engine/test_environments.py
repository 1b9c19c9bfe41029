"""Runs whose script processes have a Python of their own, on the local target and a cluster."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from clusters import Cluster
from forked import fork
from running import (
    SLACK,
    Watch,
    alive,
    drive_alone,
    make_request,
    run_request,
    wait_for,
    wait_until_nothing_is_left,
)
from wheels import lend_wheels, make_slow_source, make_wheel

from daskrun import (
    CondaDependencies,
    Dataset,
    Environment,
    Experiment,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    RunFailedError,
    Workspace,
)
from daskrun.core.events import NodeLost, NodePreparing, NodeReady, Note
from daskrun.core.ledger import Ledger
from daskrun.core.report import RunStatus
from daskrun.core.settings import RunSettings
from daskrun.engine.driver import RunControl
from daskrun.engine.observers import Audience
from daskrun.script.environments import build

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TINY = "import tiny\n\ndef run(mini_batch):\n    return [tiny.VERSION for _ in mini_batch]\n"


@pytest.fixture(autouse=True)
def environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "environments"
    monkeypatch.setenv(build.FOLDER, str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return folder


@pytest.fixture
def cluster(own_temporary_folder: Path, environments: Path, tmp_path: Path) -> Iterator[Cluster]:
    found = Cluster(tmp_path)
    yield found
    found.close()
    assert wait_until_nothing_is_left() == []


def batch(tmp_path: Path, **settings: Any) -> Any:
    settings.setdefault("environment_name", "batch")
    return make_request(tmp_path, TINY, **settings)


def built(environments: Path) -> list[str]:
    return [path.name for path in environments.iterdir() if path.is_dir()]


@pytest.mark.slow
def test_the_nodes_of_a_run_share_what_is_built(
    own_temporary_folder: Path, tmp_path: Path, environments: Path
) -> None:
    requirements = (str(make_wheel(tmp_path)),)
    finished = run_request(batch(tmp_path, node_count=2, requirements=requirements))
    assert finished.report.status is RunStatus.COMPLETED, finished.report.message
    assert finished.output == b"1.0\n" * 10
    assert {event.node for event in finished.watch.of(NodePreparing)} == {"node000", "node001"}
    notes = [event.text for event in finished.watch.of(Note) if "'batch'" in event.text]
    assert sorted("done" in text for text in notes) == [False, True], notes
    assert len(built(environments)) == 1


@pytest.mark.slow
def test_workers_of_a_cluster_build_it(
    tmp_path: Path, cluster: Cluster, environments: Path
) -> None:
    cluster.add_worker()
    requirements = (str(make_wheel(tmp_path)),)
    finished = run_request(batch(tmp_path, target=cluster.address, requirements=requirements))
    assert finished.output == b"1.0\n" * 10
    assert len(built(environments)) == 1
    again = batch(
        tmp_path, target=cluster.address, requirements=requirements, run_id="run2", overwrite=True
    )
    finished = run_request(again)
    assert not any("building" in event.text for event in finished.watch.of(NodePreparing))
    assert any("is there already" in event.text for event in finished.watch.of(Note))


@pytest.mark.slow
def test_a_worker_that_dies_while_it_builds_leaves_no_process(
    tmp_path: Path, cluster: Cluster
) -> None:
    first = cluster.add_worker()
    started = tmp_path / "started"
    source = make_slow_source(tmp_path / "sluggish", 60, started)
    killed: list[int] = []

    def act(event: object) -> None:
        if isinstance(event, NodePreparing) and not killed:
            wait_for(lambda: started.exists() and started.read_text().strip(), 60)
            killed.append(int(started.read_text().split()[0]))
            os.kill(first.pid, 9)

    request = batch(
        tmp_path, target=cluster.address, requirements=(str(source),), no_worker_timeout=2
    )
    finished = run_request(request, act=act)
    assert "no Dask worker had a node of this run" in finished.report.message
    assert not alive(killed[0])


@pytest.mark.slow
def test_the_wait_for_a_build_is_no_wait_for_a_worker(
    own_temporary_folder: Path, tmp_path: Path, environments: Path
) -> None:
    source = make_slow_source(tmp_path / "sluggish", 60, tmp_path / "started")
    limits = {"no_worker_timeout": 3, "environment_timeout": 5, "init_timeout": 1}
    finished = run_request(batch(tmp_path, requirements=(str(source),), **limits))
    assert finished.report.status is RunStatus.FAILED
    assert "longer than environment_timeout=5 s" in finished.report.message
    assert built(environments) == []


@pytest.mark.slow
def test_a_run_is_canceled_while_it_builds(
    own_temporary_folder: Path, tmp_path: Path, environments: Path
) -> None:
    started = tmp_path / "started"
    source = make_slow_source(tmp_path / "sluggish", 60, started)
    control, canceled = RunControl(), []

    def act(event: object) -> None:
        if isinstance(event, NodePreparing) and started.exists() and not canceled:
            canceled.append(time.monotonic())
            control.cancel("enough")

    finished = run_request(batch(tmp_path, requirements=(str(source),)), act=act, control=control)
    assert time.monotonic() - canceled[0] < SLACK
    assert finished.report.status is RunStatus.CANCELED
    assert not alive(int(started.read_text().split()[0]))
    assert built(environments) == []


def test_a_driver_that_is_killed_while_a_node_builds_leaves_no_process(
    own_temporary_folder: Path, tmp_path: Path, environments: Path
) -> None:
    started = tmp_path / "started"
    source = make_slow_source(tmp_path / "sluggish", 60, started)
    request = batch(tmp_path, requirements=(str(source),))
    driver = fork(drive_alone, request, log=tmp_path / "driver.log", environment={})
    wait_for(lambda: started.exists() and started.read_text().strip(), 60)
    os.kill(driver.pid, signal.SIGKILL)
    driver.join(SLACK)
    assert wait_until_nothing_is_left() == []
    assert not alive(int(started.read_text().split()[0]))
    assert built(environments) == []


def test_who_watches_is_shown_what_a_node_is_at() -> None:
    shown: list[str] = []
    watch = Watch()
    watch.progress = lambda progress: shown.append(progress.preparing)  # type: ignore[method-assign]
    audience = Audience([watch], "run1")
    ledger = Ledger(RunSettings(entry_script="x.py"))
    for event in (
        NodePreparing("node000", "building", 0.0),
        NodePreparing("node001", "waiting", 0.0),
        NodeReady("node000", 2, 1.0),
        NodeLost("node001", "killed", 2.0),
    ):
        audience.notify(event)
        audience.show(ledger, in_any_case=True)
    assert shown == ["building", "building", "waiting", ""]


# with pipelines


def submit(tmp_path: Path, environment: Environment, **settings: Any) -> Any:
    (tmp_path / "files").mkdir(exist_ok=True)
    for number in range(3):
        (tmp_path / "files" / f"{number}.txt").write_text("x")
    script = tmp_path / "score.py"
    if not script.exists():
        script.write_text(TINY)
    config = ParallelRunConfig(
        entry_script=script,
        error_threshold=0,
        output_action="append_row",
        environment=environment,
        process_count_per_node=1,
        **settings,
    )
    files = Dataset.File.from_files(str(tmp_path / "files")).as_named_input("files")
    step = ParallelRunStep("score-files", config, [files], PipelineData("scores"))
    ws = Workspace.create("trial", path=tmp_path, exist_ok=True)
    return Experiment(ws, "trial").submit(Pipeline(ws, [step]))


@pytest.mark.slow
def test_a_build_that_fails_ends_the_run_which_goes_on_once_it_can_be_built(tmp_path: Path) -> None:
    environment = Environment("batch")
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    wheel.write_bytes(b"broken")
    environment.python.conda_dependencies = CondaDependencies.create(pip_packages=[str(wheel)])
    run = submit(tmp_path, environment)
    with pytest.raises(RunFailedError) as caught:
        run.wait_for_completion()
    assert "environment 'batch' could not be built on node000: pip ended with" in str(caught.value)
    assert "tiny-1.0-py3-none-any.whl" in str(caught.value)
    make_wheel(tmp_path)
    run.resume()
    run.wait_for_completion()
    [step] = run.get_steps()
    happened = (step.folder / "logs" / "sys" / "happenings.txt").read_text()
    assert "node000: building environment 'batch', " in happened


@pytest.mark.slow
def test_tables_have_what_they_need_in_an_environment_with_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent = tmp_path / "lent"
    lent.mkdir()
    lend_wheels(lent, "numpy", "pandas", "pyarrow")
    monkeypatch.setenv("PIP_FIND_LINKS", str(lent))
    (tmp_path / "score.py").write_text(
        "import sys, tiny\n\ndef run(frame):\n"
        "    return [f'{n} {tiny.VERSION} {sys.prefix}' for n in frame['n']]\n"
    )
    (tmp_path / "n.csv").write_text("n\n1\n2\n")
    environment = Environment("batch")
    environment.python.conda_dependencies = CondaDependencies.create(
        pip_packages=[str(make_wheel(tmp_path))]
    )
    config = ParallelRunConfig(
        entry_script=tmp_path / "score.py",
        error_threshold=0,
        output_action="append_row",
        environment=environment,
        process_count_per_node=1,
    )
    rows = Dataset.Tabular.from_delimited_files(str(tmp_path / "n.csv")).as_named_input("rows")
    ws = Workspace.create("trial", path=tmp_path)
    step = ParallelRunStep("score-rows", config, [rows], PipelineData("scores"))
    run = Experiment(ws, "trial").submit(Pipeline(ws, [step]))
    run.wait_for_completion()
    output = run.get_steps()[0].get_output_data("scores")
    output.download(tmp_path / "down")
    [text] = (tmp_path / "down").rglob("parallel_run_step.txt")
    assert [line[:6] for line in text.read_text().splitlines()] == ["1 1.0 ", "2 1.0 "]
    assert str(tmp_path / "environments") in text.read_text()
