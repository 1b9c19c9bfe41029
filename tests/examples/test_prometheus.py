"""The example of an observer: through an entry point, as README.md says, and by the contract."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest
from walked import EXAMPLES

from daskrun import (
    Dataset,
    Experiment,
    Observer,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    Workspace,
)
from daskrun.core import plugins
from daskrun.testing.contracts.observers import ObserverContract

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = EXAMPLES / "observers"
README = (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(plugins, "_groups", {})


class TestPrometheusFile(ObserverContract):
    def make_observer(self, folder: Path) -> Observer:
        from prometheus import PrometheusFile

        return PrometheusFile(str(folder))


def metrics(file: Path) -> dict[str, float]:
    found = re.findall(
        r'^daskrun_(\w+)\{experiment="trial",step="divide"\} (\S+)$', file.read_text(), re.M
    )
    return {name: float(value) for name, value in found}


def test_every_run_writes_its_file_where_the_class_is_registered(tmp_path, monkeypatch):
    [registered] = re.findall(r"^\[project\.(entry-points\..+)\]\n(.+)$", README, re.M)
    info = tmp_path / "site" / "watching-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: watching\nVersion: 1.0\n")
    group = registered[0].removeprefix("entry-points.").strip('"')
    (info / "entry_points.txt").write_text(f"[{group}]\n{registered[1].replace(chr(34), '')}\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("DASKRUN_PROMETHEUS_FOLDER", str(tmp_path))
    run = submit(tmp_path)
    assert run.wait_for_completion() == "Completed"
    found = metrics(tmp_path / "trial-divide.prom")
    assert (found["mini_batches"], found["mini_batches_succeeded"], found["completed"]) == (5, 4, 1)
    assert (found["mini_batches_failed"], found["attempts_failed_total"]) == (1, 2)
    assert "prometheus" in sys.modules


def test_a_run_that_is_given_one_writes_its_file(tmp_path):
    from prometheus import PrometheusFile

    assert "experiment.submit(pipeline, observers=[PrometheusFile(" in README
    (tmp_path / "shown").mkdir()
    run = submit(tmp_path, observers=[PrometheusFile(str(tmp_path / "shown"))])
    assert run.wait_for_completion() == "Completed"
    assert metrics(tmp_path / "shown" / "trial-divide.prom")["mini_batches_succeeded"] == 4


def submit(tmp_path: Path, **given: object):
    (tmp_path / "in").mkdir()
    for n in range(5):
        (tmp_path / "in" / f"{n}.txt").write_text(str(n))
    (tmp_path / "score.py").write_text(
        "def run(mini_batch):\n    return [1 / (int(open(p).read()) - 3) for p in mini_batch]\n"
    )
    workspace = Workspace.create("ws", path=tmp_path)
    config = ParallelRunConfig(
        entry_script="score.py",
        source_directory=str(tmp_path),
        mini_batch_size="1",
        error_threshold=-1,
        output_action="append_row",
        node_count=1,
        run_max_try=2,
        retry_delay=0.0,
        compute_target="inline",
    )
    inputs = [Dataset.File.from_files(str(tmp_path / "in"))]
    step = ParallelRunStep(
        name="divide", parallel_run_config=config, inputs=inputs, output=PipelineData("rows")
    )
    pipeline = Pipeline(workspace=workspace, steps=[step])
    return Experiment(workspace, "trial").submit(pipeline, **given)
