"""What jobs that are made in Python, or written, find by the names that it is registered under."""

from __future__ import annotations

from pathlib import Path

import pytest

from daskrun import Dataset, Environment, Model, NameNotFoundError, Workspace
from daskrun.jobs import load_job
from daskrun.jobs.client import MLClient, load_table
from daskrun.jobs.v2 import command

JOB = """
type: command
command: python run.py
code: .
environment: {}
resources: {{instance_count: 1}}
"""


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace in the current folder, with something of each kind registered in it."""
    monkeypatch.chdir(tmp_path)
    made = Workspace.create("ws")
    Path("run.py").write_text("")
    Path("images").mkdir()
    Path("images", "a.png").write_text("a")
    Dataset.File.from_files("images").register(made, "images")
    Model.register(made, "images", "mnist")
    Environment("packages").register(made)
    return made


def test_a_client_finds_what_is_registered(ws: Workspace) -> None:
    client = MLClient.from_config()
    assert client.workspace == ws
    assert client.data.get("images").path == "azureml:images:1"
    assert client.models.get("mnist", version="1", label=None).id == "azureml:mnist:1"
    assert client.environments.get("packages", label="latest").version == "1"
    assert client.compute.get("cpu").name == "cpu"
    for assets in (client.data, client.models, client.environments):
        with pytest.raises(NameNotFoundError, match="nothing"):
            assets.get("nothing")
    said = client.compute.get("cpu")
    assert client.compute.begin_create_or_update(said).result() is said
    assert client.create_or_update(said) is client.compute.create_or_update(said) is said


@pytest.mark.parametrize(
    ("named", "found", "note"),
    [
        ("azureml:packages@latest", "packages", ""),
        ("azureml:packages:1", "packages", ""),
        ("packages", "packages", ""),
        ("file:packages.yml", "job-environment", ""),
        ("azureml:other:2", None, "'other' isn't registered here"),
        ("azureml://registries/azureml/environments/sk-1.5/labels/latest", None, "'sk-1.5' isn't"),
    ],
)
def test_an_environment_is_found_by_its_name(
    ws: Workspace, named: str, found: str | None, note: str
) -> None:
    Path("packages.yml").write_text("conda_file: {dependencies: [{pip: [pandas]}]}\n")
    Path("job.yml").write_text(JOB.format(named))
    job = load_job("job.yml")
    (step,) = job.pipeline(ws).steps
    environment = step._config.environment
    assert (None if environment is None else environment.name) == found
    assert note in "".join(job.notes)
    assert bool(job.notes) == bool(note)


def test_a_step_is_told_its_nodes(ws: Workspace) -> None:
    step = command(command="python run.py", code=".", shm_size="2g")
    step.set_resources(instance_count=1, instance_type=None)
    assert step.said["resources"] == {"shm_size": "2g", "instance_count": 1}
    job = step.as_job()
    job.check(ws)
    assert job.notes == ["shm_size: kept with the run, and not used"]


def test_a_table_is_loaded_by_its_file(ws: Workspace) -> None:
    Path("MLTable").write_text("paths:\n- file: ./a.csv\ntransformations:\n- read_delimited: {}\n")
    Path("a.csv").write_text("x\n1\n2\n")
    assert load_table(".").to_pandas_dataframe()["x"].tolist() == [1, 2]
