"""What an earlier daskrun has kept in a workspace is read by this one."""

import json
from pathlib import Path

import pandas as pd
import pytest

from daskrun import Dataset, Datastore, Environment, ParallelRunConfig, PublishedPipeline, Workspace
from daskrun.pipeline.execution.reuse import explain
from daskrun.pipeline.records.step_spec import StepSpec

KEPT = json.loads(Path(__file__).with_name("kept_by_0_1_0.json").read_text())
"""By path what daskrun 0.1.0 (commit 27799b9) has written to a workspace at ``{root}``."""
RUN = "20260101-081531-748-ede385"


@pytest.fixture
def ws(tmp_path, monkeypatch):
    for name, text in KEPT.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("{root}", str(tmp_path)))
    for number in range(6):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / f"f{number}.txt").write_text(str(number))
    frame = pd.DataFrame({"a": range(50), "b": ["x"] * 50})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    monkeypatch.setenv("BLOB_KEY", "hush")
    return Workspace.from_config(tmp_path)


def test_datasets(ws):
    assert [len(ws.datasets[name].to_pandas_dataframe()) for name in ("table", "pq")] == [50, 47]
    assert len(ws.datasets["files"].to_path()) == 5
    assert ws.datasets["files"].tags == {"a": "b"}


def test_datastores(ws):
    assert Datastore.get(ws, "s3x").storage_options == {
        "key": "k",
        "secret": "s",
        "client_kwargs": {"a": [1]},
    }
    assert Datastore.get(ws, "blob").storage_options["account_key"] == "hush"


def test_compute_targets_and_environments(ws, tmp_path):
    assert ws.compute_targets["cpu"].most_nodes == 1
    assert "tags={'a': 'b'}" in ws.compute_targets["cpu"].notes[0]
    assert ws.compute_targets["far"].dask_target == "tcp://10.0.0.5:8786"
    environment = Environment.get(ws, "e")
    assert environment.requirements == ["numpy", "x"]  # x was named for conda
    assert environment.variables == {"A": "1"}
    assert Environment.load_from_directory(tmp_path / "envdir").docker.enabled


def test_configs_and_published_pipelines(ws, tmp_path):
    config = ParallelRunConfig.load_yaml(ws, tmp_path / "c.yml")
    assert config.mini_batch_size.default_value == 2
    [published] = PublishedPipeline.list(ws)
    first, second = published.pipeline().steps
    assert (first.name, second.name) == ("step-one", "step-two")
    assert first.arguments[1].default_value == "v"
    assert [each.name for each in second.outputs] == ["res"]
    assert set(published.parameters) == {"mb", "p"}


def test_what_resumes_begin_with(ws):
    folder = ws.site.run_folder(f"{RUN}-step-one")
    spec = StepSpec.load(folder, ws)
    assert (spec.step, spec.settings.arguments) == ("step-one", ("--a", "v", "1.5"))
    assert [each.name for each in (*spec.inputs, *spec.side_inputs)] == ["in1", "side"]
    assert repr(spec.inputs[0].dataset) == repr(ws.datasets["files"])
    assert [each.datastore.name for each in spec.outputs] == ["store"]
    assert spec.target == "inline"
    second = StepSpec.load(ws.site.run_folder(f"{RUN}-step-two"), ws)
    assert second.script.whole
    assert [each.name for each in second.registrations] == ["resds"]
    assert second.after == (folder.id,)
    assert explain(folder).message == "It ran, whatever there was: allow_reuse=False."
    assert isinstance(Dataset.get_by_name(ws, "files"), type(spec.inputs[0].dataset))
