"""Steps as the original's programs make them: run configurations, names, outputs in arguments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daskrun import (
    CondaDependencies,
    Dataset,
    DatasetConsumptionConfig,
    Environment,
    Experiment,
    OutputFileDatasetConfig,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    PublishedPipeline,
    PythonScriptStep,
    SettingsError,
    Workspace,
)
from daskrun.core import notices
from daskrun.errors import DatasetError
from daskrun.original.data import DataReference, PipelineOutputFileDataset
from daskrun.workspace.environments.run_configuration import (
    DockerConfiguration,
    MpiConfiguration,
    RunConfiguration,
)

WRITE = """
import os, sys
folder = sys.argv[sys.argv.index("--out") + 1]
open(os.path.join(folder, "rows.csv"), "w").write("n,word\\n1,one\\n2,two\\n")
print(os.environ.get("A"), os.environ.get("B"), sys.argv[1:])
"""
READ = """
import os, sys
def run(mini_batch):
    open(os.path.join(sys.argv[2], f"{len(mini_batch)}.txt"), "w").write(sys.argv[4])
    lookup = sorted(os.listdir(sys.argv[4]))
    return [f"{each} {lookup}" for each in mini_batch["word"]]
"""


@pytest.fixture
def ws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("write.py").write_text(WRITE)
    Path("read.py").write_text(READ)
    Path("lookup").mkdir()
    Path("lookup", "a.txt").write_text("a")
    notices.forget()
    return Workspace.create("trial")


def submit(ws, *steps):
    run = Experiment(ws, "steps").submit(Pipeline(ws, steps=[*steps]))
    run.wait_for_completion()
    return run


def manifest(step_run):
    return json.loads((step_run.folder / "run.json").read_text())


def printed(step_run):
    return "".join(step_run.get_details_with_logs()["logFiles"].values())


def inline(**given):
    return PythonScriptStep("write.py", compute_target="inline", **given)


def test_a_run_configuration_gives_what_the_step_does_not_say(ws, caplog, capfd):
    configuration = RunConfiguration(framework="PyTorch", conda_dependencies=CondaDependencies())
    configuration.environment.python.conda_dependencies.add_pip_package("pytest")
    configuration.environment.environment_variables = {"A": "environment", "B": True}
    configuration.environment_variables = {"A": "configuration"}
    configuration.environment.docker.enabled = True
    configuration.docker = DockerConfiguration(use_docker=True, shm_size="2g")
    configuration.mpi = MpiConfiguration(4)
    configuration.target = "inline"
    configuration.max_run_duration_seconds = 60
    out = OutputFileDatasetConfig("out")
    step = PythonScriptStep("write.py", runconfig=configuration, arguments=["--out", out])
    assert (step.timeout, step._config.compute_target) == (60, "inline")
    assert step._config.environment is configuration.environment
    (step_run,) = submit(ws, step).get_steps()
    assert "configuration True" in capfd.readouterr().out
    assert manifest(step_run)["runconfig"] == {
        "docker": {"use_docker": True, "shared_volumes": True, "arguments": [], "shm_size": "2g"},
        "mpi": {"process_count_per_node": 4, "node_count": 1},
        "framework": "PyTorch",
    }
    assert any("docker, mpi, framework recorded and not" in each.message for each in caplog.records)
    kept = PublishedPipeline.get(ws, Pipeline(ws, [step]).publish("again").id).pipeline().steps[0]
    assert kept.runconfig.as_record() == configuration.as_record()
    assert kept._config.environment.requirements == ["pytest"]


def test_what_the_step_says_goes_before(ws):
    configuration = RunConfiguration()
    configuration.target = "local"
    own = Environment("own")
    step = PythonScriptStep("write.py", runconfig=configuration, environment=own, timeout=5)
    assert (step._config.environment, step._config.compute_target, step.timeout) == (own, None, 5)
    assert PythonScriptStep("write.py", runconfig=configuration)._config.environment is None
    with pytest.raises(AttributeError):
        configuration.enviroment = own
    with pytest.raises(SettingsError, match=r"runconfig='x' is of type str\. Write runconfig=RunC"):
        PythonScriptStep("write.py", runconfig="x")


def test_a_name_of_any_text_is_found_again(ws):
    out = PipelineData("out")
    step = inline(name="Train Model!", arguments=["--out", out], outputs=[out])
    run = submit(ws, step)
    (found,) = run.find_step_run("Train Model!")
    assert found.id == f"{run.id}-train-model"
    assert ws.get_run(found.id).name == "Train Model!"
    other = PythonScriptStep("write.py", name="train model")
    with pytest.raises(SettingsError, match=r"steps: 2 have the name 'train-model'"):
        Pipeline(ws, [step, other])


@pytest.mark.slow
def test_outputs_and_inputs_stand_in_arguments_alone(ws):
    """Of both kinds of steps; a table that is registered when it is written."""
    destination = (ws.get_default_datastore(), "rows/{run-id}")
    rows = OutputFileDatasetConfig(destination=destination).read_delimited_files()
    rows = rows.register_on_complete(name="rows", tags={"of": "test"})
    lookup = Dataset.File.from_files("lookup").as_named_input("lookup").as_mount()
    first = inline(name="first", arguments=["--out", rows, lookup, "--n", 3])
    assert len(first.outputs) == 1
    assert [name for name, _ in first.named_inputs] == ["lookup"]
    more, results = OutputFileDatasetConfig("more"), PipelineData("results").as_dataset()
    config = ParallelRunConfig(
        entry_script="read.py",
        error_threshold=0,
        output_action="append_row",
        process_count_per_node=1,
    )
    second = ParallelRunStep(
        "second",
        config,
        inputs=[rows.as_input("rows")],
        output=results,
        arguments=["--more", more, "--lookup", lookup],
    )
    run = submit(ws, first, second)
    read = run.find_step_run("second")[0]
    folder = Path(read.output_folder)
    assert (folder / "parallel_run_step.txt").read_text() == "one ['a.txt']\ntwo ['a.txt']\n"
    written = read.get_output_data("more")
    assert Path(ws.get_default_datastore().url(written.path_on_datastore), "2.txt").exists()
    kept = Dataset.get_by_name(ws, "rows")
    assert (kept.kind, kept.tags) == ("tabular", {"of": "test"})
    assert list(kept.to_pandas_dataframe()["word"]) == ["one", "two"]


def test_files_that_a_step_writes_are_read_as_a_table():
    out = PipelineData("out")
    for files in (out.as_dataset(), PipelineOutputFileDataset(out)):
        rows = files.parse_delimited_files(separator="|")
        assert repr(rows) == repr(out.read_delimited_files(separator="|"))
        assert files.parse_parquet_files().kind == files.read_json_lines_files().kind == "tabular"
    with pytest.raises(DatasetError, match=r"output\.read_delimited_files\(path_glob"):
        out.as_dataset().take(1).parse_delimited_files()


def test_what_a_step_writes_is_registered_under_names(ws):
    files = PipelineData("out").as_dataset().register(name="files", create_new_version=True)
    table = PipelineData("all").parse_delimited_files().keep_columns(["n"]).register("table")
    steps = [
        inline(name=f"to-{n}", arguments=["--out", o], outputs=[o])
        for n, o in enumerate((files, table))
    ]
    published = Pipeline(ws, steps).publish("twice")
    for pipeline in (Pipeline(ws, steps), published):
        run = Experiment(ws, "steps").submit(pipeline, regenerate_outputs=True)
        run.wait_for_completion()
    assert Dataset.get_by_name(ws, "files").version == 2
    kept = Dataset.get_by_name(ws, "table")
    assert (kept.version, list(kept.to_pandas_dataframe())) == (2, ["n"])


def test_a_folder_of_a_datastore_is_an_input(ws, capfd):
    store = ws.get_default_datastore()
    store.upload_files(["lookup/a.txt"], target_path="far", show_progress=False)
    reference = DataReference(store, data_reference_name="far-away", path_on_datastore="far")
    out = PipelineData("out", output_mode="upload", is_directory=True, output_path_on_compute="o")
    arguments = ["--out", out, "--far", reference, "--as", store.path("far").as_download()]
    step = inline(arguments=arguments, inputs=[reference], outputs=[out])
    assert [each.dataset.kind for _, each in step.named_inputs] == ["files", "files"]
    submit(ws, step)
    assert "'--far', " in capfd.readouterr().out
    assert DatasetConsumptionConfig("x", Dataset.File.from_files("lookup"), "direct").name == "x"
    with pytest.raises(SettingsError, match=r"mode='upload': a step writes to an output: Output"):
        DataReference(store, mode="upload")


def test_an_output_more_in_memory_of_this_process_is_refused(ws):
    from daskrun import Datastore

    far = Datastore.register_url(ws, "far", "memory://far")
    more = OutputFileDatasetConfig("more", (far, "more"))
    config = ParallelRunConfig(
        entry_script="read.py", error_threshold=0, output_action="append_row"
    )
    rows = Dataset.Tabular.from_delimited_files("lookup/a.txt")
    step = ParallelRunStep("read-rows", config, [rows], PipelineData("out"), arguments=[more])
    with pytest.raises(SettingsError, match=r"output='more' is in datastore .* own memory"):
        Experiment(ws, "steps").submit(Pipeline(ws, [step]))


def test_a_script_is_submitted_by_itself(ws, capfd):
    from daskrun.original.script_run import Experiment as Original
    from daskrun.original.script_run import ScriptRunConfig

    source = ScriptRunConfig(
        source_directory=".",
        script="write.py",
        arguments=["--out", OutputFileDatasetConfig("out")],
        compute_target="inline",
        environment=Environment("own"),
        distributed_job_config=MpiConfiguration(node_count=2),
    )
    run = Original(ws, "scripts").submit(config=source, tags={"a": "b"})
    run.wait_for_completion()
    assert (run.name, run.parent.tags) == ("write", {"a": "b"})
    assert manifest(run)["runconfig"]["mpi"]["node_count"] == 2
    assert (
        PythonScriptStep("write.py", runconfig=source.run_config)._config.environment.name == "own"
    )
    with pytest.raises(SettingsError, match="script=None names no file"):
        ScriptRunConfig(".").as_step()
    with pytest.raises(SettingsError, match=r"command=\['ls'\]: a script is run, not a command"):
        ScriptRunConfig(".", command=["ls"])


def test_steps_in_a_row(ws):
    from daskrun.original.script_run import StepSequence

    first, second, third, last = (PythonScriptStep("write.py", name=f"step-{n}") for n in range(4))
    pipeline = Pipeline(ws, StepSequence(steps=[first, [second, third], last]), description="why")
    assert pipeline.dependencies == {
        first: [],
        second: [first],
        third: [first],
        last: [second, third],
    }
    assert pipeline.publish("in a row").description == "why"
    other = ws.get_default_datastore()
    assert Pipeline(ws, [first], default_datastore=other).steps == [first]
    with pytest.raises(
        SettingsError, match=r"default_datastore='x' is not the workspace's\. Say it"
    ):
        Pipeline(ws, [first], default_datastore="x")


def test_a_version_keeps_an_output_of_another_from_being_used(ws):
    out = PipelineData("out")

    def reused(**given):
        step = inline(name="step", arguments=["--out", out], outputs=[out], **given)
        return submit(ws, step).get_steps()[0].reused_run_id is not None

    assert [reused(), reused(), reused(version="1"), reused(version="1"), reused()] == [
        False,
        True,
        False,
        True,
        True,
    ]


def test_a_path_in_a_datastore_is_a_parameter(ws, capfd):
    from daskrun import PipelineParameter
    from daskrun.original.data import DataPath
    from daskrun.pipeline.steps.parameter import DataPathComputeBinding

    store = ws.get_default_datastore()
    for name in ("a", "b"):
        store.upload_files(["lookup/a.txt"], target_path=name, show_progress=False)
    parameter = PipelineParameter("data-path", default_value=DataPath(store, "a"))
    pair, out = (parameter, DataPathComputeBinding(mode="download")), PipelineData("out")
    step = inline(arguments=["--out", out, "--data", pair], inputs=[pair], outputs=[out])
    assert [(name, each.mode) for name, each in step.named_inputs] == [("data_path", "download")]
    given = {"data-path": DataPath(store, "b")}
    run = Experiment(ws, "steps").submit(Pipeline(ws, [step]), pipeline_parameters=given)
    run.wait_for_completion()
    (used,) = manifest(run.get_steps()[0])["side_inputs"]
    assert used["dataset"].endswith("/b>)")


def test_a_pipeline_of_a_public_template_speaks_of_what_nothing_uses(ws):
    pipeline = Pipeline(ws, [PythonScriptStep("write.py")])
    pipeline._set_experiment_name("any")
    assert pipeline._set_experiment_name is not None


def test_a_model_that_is_not_there_is_the_error_that_scripts_catch(ws):
    from daskrun import Model
    from daskrun.original.finder import stand_in

    caught = stand_in("azureml.exceptions").WebserviceException
    with pytest.raises(caught) as error:
        Model(ws, "nope")
    assert "no model has the name 'nope'" in error.value.message
