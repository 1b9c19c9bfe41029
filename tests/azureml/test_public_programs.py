"""Calls that public programs for the original make, each as it stands in one."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from daskrun import (
    AmlCompute,
    ComputeTarget,
    CondaDependencies,
    Dataset,
    EntryScript,
    Environment,
    Model,
    NameNotFoundError,
    OriginalNameError,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    PythonScriptStep,
    RunFailedError,
    SettingsError,
    Workspace,
)
from daskrun.core import notices
from daskrun.original import catalogue
from daskrun.original.finder import put_first, take_out
from daskrun.workspace.environments.run_configuration import RunConfiguration

CONDA = "name: c\nchannels: [conda-forge]\ndependencies:\n- python=3.11\n- pip:\n  - packaging\n"
RUNCONFIG = """
script: train.py
arguments: [--n, 3]
target: cpu-cluster
framework: Python
communicator: None
maxRunDurationSeconds: 60
nodeCount: 1
environment:
  name: train-env
  environmentVariables: {EXAMPLE: '1'}
  python: {userManagedDependencies: true, interpreterPath: python}
  docker: {enabled: true, baseImage: an/image}
history: {outputCollection: true}
"""


@pytest.fixture
def ws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("conda.yml").write_text(CONDA)
    Path("a.py").write_text("print('ran')")
    notices.forget()
    return Workspace.create("trial")


@pytest.fixture
def names():
    put_first()
    yield
    take_out()


def test_an_output_may_have_another_name(ws):
    output = PipelineData("scores", ws.get_default_datastore(), "results")
    assert output.name == "results"
    assert PipelineData("scores", output_name="scores").name == "scores"
    with pytest.raises(SettingsError, match=r"name='a b' is not an output's"):
        PipelineData("scores", output_name="a b")


def test_steps_may_be_one_and_in_lists(ws):
    one, two = PythonScriptStep("a.py", name="one"), PythonScriptStep("a.py", name="two")
    assert Pipeline(ws, one).steps == [one]
    assert Pipeline(ws, [[one], [[two]]]).steps == [one, two]
    with pytest.raises(SettingsError, match=r"steps\[1\]='b' is not a step"):
        Pipeline(ws, [[one, "b"]])


def test_a_run_configuration_is_read_from_its_file(ws):
    Path("runconfig.yml").write_text(RUNCONFIG)
    Path(".azureml").mkdir()
    Path(".azureml", "night.runconfig").write_text(RUNCONFIG)
    for read in (RunConfiguration.load("runconfig.yml"), RunConfiguration.load(".", "night")):
        assert (read.script, read.arguments, read.target) == ("train.py", ["--n", 3], "cpu-cluster")
        assert read.max_run_duration_seconds == 60
        assert read.environment.variables == {"EXAMPLE": "1"}
        assert read.environment.docker.base_image == "an/image"
        assert read.said == {"history": {"outputCollection": True}}
    for text, said in (
        ("a: [", "is no YAML"),
        ("- a", "holds no run configuration"),
        ("targett: x", r"targett is not known\. .* Write target\."),
    ):
        Path("runconfig.yml").write_text(text)
        with pytest.raises(SettingsError, match=said):
            RunConfiguration.load("runconfig.yml")


def test_packages_come_from_a_file_and_variables_from_a_keyword(ws):
    read = CondaDependencies(conda_dependencies_file_path="conda.yml")
    assert (read.pip_packages, read.channels) == (["packaging"], ["conda-forge"])
    with pytest.raises(SettingsError, match=r"file_path='none\.yml' can't be read"):
        CondaDependencies(conda_dependencies_file_path="none.yml")
    assert Environment("e", environment_variables={"A": "1"}).variables == {"A": "1"}


def test_a_target_tells_its_size(ws):
    plan = AmlCompute.provisioning_configuration(vm_size="STANDARD_NC6", max_nodes=1)
    target = ComputeTarget.create(ws, "nc6", plan)
    assert target.serialize()["properties"]["properties"]["vmSize"] == "STANDARD_NC6"
    assert target.provisioning_state == "Succeeded"


def test_a_config_may_name_the_version_of_its_environment(ws):
    Environment("mine").register(ws)
    text = "entry_script: a.py\nerror_threshold: 0\noutput_action: append_row\n"
    Path("c.yml").write_text(f"{text}environment_name: mine\nenvironment_version: 1\n")
    assert ParallelRunConfig.load_yaml(ws, "c.yml").environment.version == "1"
    Path("c.yml").write_text(f"{text}environment_name: other\nenvironment_version: 1\n")
    with pytest.raises(SettingsError, match=r"'other'\. There are 'mine'\. Write the name of a"):
        ParallelRunConfig.load_yaml(ws, "c.yml")


def test_a_script_of_another_language_is_refused_before_the_run(ws):
    Path("forecast.R").write_text("init <- function() {}\n")
    config = ParallelRunConfig(
        entry_script="forecast.R", error_threshold=0, output_action="append_row"
    )
    step = ParallelRunStep(
        "forecast", config, [Dataset.File.from_files("a.py")], PipelineData("out")
    )
    (problem,) = Pipeline(ws, [step]).validate()
    assert "entry_script='forecast.R' is not Python: invalid syntax" in problem


def test_modules_are_found_by_dots_and_private_ones_when_used(ws, names):
    import azureml
    from azureml.core.environment import DEFAULT_CPU_IMAGE, DEFAULT_GPU_IMAGE  # noqa: F401
    from azureml.data.azure_storage_datastore import AzureBlobDatastore
    from azureml.pipeline.core._restclients.aeva.models.error_response import (
        ErrorResponseException,
    )
    from azureml.telemetry import set_diagnostics_collection

    assert isinstance(ws.get_default_datastore(), AzureBlobDatastore)
    assert azureml.pipeline.core.pipeline_draft.PipelineDraft.__name__ == "PipelineDraft"
    assert azureml.data.azure_data_lake_datastore.AzureDataLakeGen2Datastore
    from azureml.core._vendor.other import Other

    with suppress(ErrorResponseException):
        Environment.get(ws, "none")
    with pytest.raises(NameNotFoundError), suppress(Other):
        Environment.get(ws, "none")
    for use in (
        lambda: azureml._restclient.snapshots_client.SNAPSHOT_MAX_SIZE_BYTES,
        lambda: set_diagnostics_collection(False),
    ):
        with pytest.raises(OriginalNameError, match="daskrun has no azureml"):
            use()


def test_files_that_a_step_writes_are_made_of_its_output(names):
    from azureml.pipeline.core import PipelineOutputFileDataset

    assert PipelineOutputFileDataset(PipelineData("pages")).as_input("in").name == "in"


def test_an_endpoint_is_a_name_for_published_pipelines(ws, names):
    from azureml.core import Experiment
    from azureml.pipeline.core import PipelineEndpoint

    pipeline = Pipeline(ws, [PythonScriptStep("a.py", name="one", compute_target="inline")])
    first = pipeline.publish("first")
    with pytest.raises(NameNotFoundError, match="no pipeline endpoint has the name 'night'"):
        PipelineEndpoint.get(workspace=ws, name="night")
    PipelineEndpoint.publish(workspace=ws, name="night", pipeline=first, description="d")
    with pytest.raises(SettingsError, match=r"name='night' is taken\. Write PipelineEndpoint\.get"):
        PipelineEndpoint.publish(ws, "night", first)
    night = PipelineEndpoint.get(ws, "night")
    night.add(pipeline)
    night.add_default(pipeline.publish("third"))
    assert (night.list_versions(), night.get_default_version()) == (["0", "1", "2"], "2")
    assert night.get_pipeline().name == "third"
    night.set_default(first)
    again = PipelineEndpoint.get(workspace=ws, name="night")
    assert again.get_pipeline() == first
    assert [each.name for each in PipelineEndpoint.list(ws)] == ["night"]
    run = Experiment(ws, "x").submit(again, pipeline_version="2")
    run.wait_for_completion()
    with pytest.raises(NameNotFoundError, match="no version of the endpoint has the name '7'"):
        again.submit("x", pipeline_version="7")
    again.disable()
    with pytest.raises(SettingsError, match="is disabled"):
        again.submit("x")


def test_versions_may_be_texts_as_arguments_of_scripts_are(ws):
    model = Model.register(ws, "a.py", "m")
    Dataset.File.from_files("a.py").register(ws, "d")
    assert Model(ws, name="m", version="1").version == model.version == 1
    assert Model.get_model_path("m", "1", ws) == str(model.path)
    assert Dataset.get_by_name(ws, "d", version="1").version == 1
    for call in (
        lambda: Model(ws, "m", version="newest"),
        lambda: Dataset.get_by_name(ws, "d", version="v1"),
        lambda: Model(ws, "m", version=True),
    ):
        with pytest.raises(SettingsError, match="is not a version"):
            call()


def test_the_entry_script_class_has_its_older_name_too(names, tmp_path, monkeypatch):
    import entry_script

    assert entry_script.EntryScript is EntryScript
    take_out()
    (tmp_path / "entry_script.py").write_text("mine = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    put_first()
    import entry_script as own

    assert own.mine == 1
    monkeypatch.delitem(sys.modules, "entry_script")


def test_errors_have_a_message():
    assert SettingsError("a", ["b=1 is wrong."]).message == "a: b=1 is wrong."


def test_daskrun_s_own_workers_are_silent_for_a_root_logger_too(caplog):
    from daskrun.engine.dask.local_cluster import end_silence, silence

    caplog.set_level(logging.INFO)
    logger = logging.getLogger("distributed")
    for wanted in (["after"], ["critical", "after"]):
        silence()
        logger.error("during")
        if len(wanted) > 1:
            logger.critical("critical")
        end_silence()
        logger.error("after")
        if logger.propagate:
            assert [each.message for each in caplog.records] == wanted
        caplog.clear()


def test_nothing_that_a_run_asks_for_reads_the_catalogue(ws, monkeypatch):
    """It takes 40 ms, and is for names that are missing."""
    monkeypatch.setattr(catalogue, "catalogue", lambda: pytest.fail("it was read"))
    Path("s.py").write_text("def run(mini_batch):\n    return mini_batch")
    config = ParallelRunConfig(
        entry_script="s.py",
        error_threshold=0,
        output_action="append_row",
        compute_target="inline",
    )
    files = Dataset.File.from_files("a.py").as_named_input("files")
    step = ParallelRunStep("score", config, [files], PipelineData("out"))
    run = Pipeline(ws, [step]).submit("x")
    run.wait_for_completion()
    assert not hasattr(files, "no_such")


def test_steps_without_a_folder_have_that_of_their_pipeline(ws):
    Path("src").mkdir()
    Path("src", "b.py").write_text("import sys; open(sys.argv[2], 'w').write('ran')")
    step = PythonScriptStep("b.py", compute_target="inline", arguments=["--to", f"{Path.cwd()}/x"])
    own = PythonScriptStep("a.py", source_directory=".", compute_target="inline")
    run = Pipeline(ws, [step, own], default_source_directory="src").submit("x")
    run.wait_for_completion()
    assert Path("x").read_text() == "ran"
    with pytest.raises(SettingsError, match="none"):
        Pipeline(ws, [PythonScriptStep("c.py")], default_source_directory="none").submit("x")


def test_a_step_s_thread_that_ends_in_any_way_ends_its_run(ws, monkeypatch):
    def end(*_):
        raise SystemExit("of a plugin")

    monkeypatch.setattr("daskrun.pipeline.execution.drive.decide", end)
    run = Pipeline(ws, [PythonScriptStep("a.py", compute_target="inline")]).submit("x")
    with pytest.raises(RunFailedError, match="SystemExit: of a plugin"):
        run.wait_for_completion()
