"""Values, files and arguments as the original's programs have them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from daskrun import (
    Dataset,
    Environment,
    Experiment,
    Model,
    NameNotFoundError,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    SettingsError,
    Workspace,
)
from daskrun.core import notices

GIVEN = {"entry_script": "score.py", "error_threshold": 0, "output_action": "append_row"}
BLOCK = {
    "name": "batch_env",
    "version": None,
    "environmentVariables": {"A": "b"},
    "python": {
        "userManagedDependencies": False,
        "interpreterPath": "python",
        "baseCondaEnvironment": None,
        "condaDependencies": {
            "name": "project_environment",
            "channels": ["conda-forge"],
            "dependencies": ["python=3.11", {"pip": ["pytest", "azureml-defaults"]}],
        },
    },
    "docker": {"enabled": True, "baseImage": "an/image", "sharedVolumes": True, "gpuSupport": None},
    "spark": {"repositories": [], "packages": [], "precachePackages": True},
    "databricks": {},
    "inferencingStackVersion": None,
}


@pytest.fixture
def ws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notices.forget()
    return Workspace.create("trial")


def load(ws, text, **values):
    Path("config.yml").write_text(text if text else yaml.safe_dump(values))
    return ParallelRunConfig.load_yaml(workspace=ws, path="config.yml")


def test_a_file_of_the_original_is_read(ws):
    config = load(
        ws,
        "",
        parallel_run_config={
            **GIVEN,
            "input_format": "file",
            "mini_batch_size": "1",
            "compute_target_name": "cpu-cluster",
            "environment": BLOCK,
            "profiling_module": None,
        },
    )
    assert (config.compute_target, config.mini_batch_size) == ("cpu-cluster", "1")
    environment = config.environment
    assert environment.requirements == ["pytest"]
    assert environment.python.conda_dependencies.channels == ["conda-forge"]
    assert (environment.docker.enabled, environment.docker.base_image) == (True, "an/image")
    assert environment.variables == {"A": "b"}
    environment.environment_variables = {}
    config.save_to_yaml("again.yml")
    again = ParallelRunConfig.load_yaml(ws, "again.yml")
    assert again.environment.as_record() == environment.as_record()
    assert load(ws, "", **GIVEN).entry_script == "score.py"


def test_an_environment_is_found_by_its_name_or_folder(ws):
    Environment("mine").register(ws)
    assert load(ws, "", **GIVEN, environment_name="mine").environment.version == "1"
    Path("envs", "batch").mkdir(parents=True)
    named = {**BLOCK, "python": {"condaDependenciesFile": "conda_dependencies.yml"}}
    Path("envs", "batch", "azureml_environment.json").write_text(json.dumps(named))
    Path("envs", "batch", "conda_dependencies.yml").write_text("dependencies: [{pip: [tabulate]}]")
    found = load(ws, "", **GIVEN, environment_dir_path="envs/batch").environment
    assert (found.name, found.requirements) == ("batch_env", ["tabulate"])
    assert Environment.load_from_directory("envs/batch").as_record() == found.as_record()


def test_wrong_files_are_told_by_their_lines(ws):
    text = """
entry_script: score.py
error_threshold: 0
output_action: append_row
input_format: parquet
compute_target: a
compute_target_name: b
"""
    with pytest.raises(SettingsError) as error:
        load(ws, text)
    assert list(error.value.problems) == [
        "line 5: input_format='parquet': the inputs' kind is seen from these. Leave it out.",
        "line 7: compute_target_name='b': compute_target says the same. Leave one of them out.",
    ]
    with pytest.raises(SettingsError, match=r"azureml_environment\.json' can't be read"):
        load(ws, "", **GIVEN, environment_dir_path="gone")


def test_environments_that_name_an_image(ws, caplog):
    Path("requirements.txt").write_text("tabulate\n")
    made = Environment.from_docker_image(
        "image", "an/image", container_registry=None, pip_requirements="requirements.txt"
    )
    assert (made.docker.base_image, made.requirements) == ("an/image", ["tabulate"])
    assert Environment.from_dockerfile("file", "Dockerfile").docker.base_dockerfile == "Dockerfile"
    with pytest.raises(SettingsError, match="both name packages"):
        Environment.from_dockerfile("x", "Dockerfile", "conda.yml", "requirements.txt")
    for _ in range(2):
        curated = Environment.get(ws, name="AzureML-sklearn-0.24-ubuntu18.04-py37-cpu")
    assert curated.requirements == []
    assert len([each for each in caplog.records if "Python of each node" in each.message]) == 1
    with pytest.raises(NameNotFoundError):
        Environment.get(ws, "mine")


def test_a_model_of_a_workspace_that_is_named(ws, tmp_path, monkeypatch):
    Path("m.bin").write_bytes(b"1")
    Model.register(ws, "m.bin", "m")
    (tmp_path / "elsewhere").mkdir()
    path = Model.get_model_path("m", 1, ws)
    assert path == Model.get_model_path("m", _workspace=ws) == Model.get_model_path("m")


def test_values_in_the_originals_words(ws):
    Path("steps").mkdir()
    Path("steps", "score.py").write_text("def run(mini_batch):\n    return mini_batch\n")
    config = ParallelRunConfig(
        entry_script="steps.score",
        source_directory="",
        error_threshold=0,
        output_action="Append_Row",
        environment_variables={"FLAG": True},
    )
    settings = config.resolve({})
    assert (settings.output_action, settings.source_directory) == ("append_row", ".")
    assert settings.environment_variables == {"FLAG": "True"}


SCRIPT = """
import argparse, os
parser = argparse.ArgumentParser()
parser.add_argument("--output", "-o")
parser.add_argument("--mini_batch_size", type=int)
parser.add_argument("--error_threshold", default="mine")
def init():
    global given
    given = parser.parse_args()
def run(mini_batch):
    return [f"{os.path.basename(given.output)} {given.mini_batch_size} {given.error_threshold}"]
"""


@pytest.mark.parametrize(
    ("given", "arguments", "expected"),
    [
        ({}, [], "scores 1 0"),
        ({}, ["--error_threshold", "own"], "scores 1 own"),
        ({"argv_compat": False}, ["--output", "x"], "x None mine"),
    ],
)
def test_a_script_is_given_the_originals_options_that_it_looks_for(ws, given, arguments, expected):
    Path("steps").mkdir()
    Path("steps", "score.py").write_text(SCRIPT)
    config = ParallelRunConfig(
        **{**GIVEN, "entry_script": "steps.score"},
        source_directory=".",
        mini_batch_size=1,
        compute_target="inline",
        **given,
    )
    files = Dataset.File.from_files("steps/score.py")
    step = ParallelRunStep("score", config, [files], PipelineData("scores"), arguments=arguments)
    run = Experiment(ws, "score").submit(Pipeline(ws, [step]), regenerate_outputs=True)
    run.wait_for_completion()
    folder = Path(run.get_steps()[0].output_folder)
    assert (folder / "parallel_run_step.txt").read_text() == f"{expected}\n"
