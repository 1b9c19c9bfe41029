import json
import logging
import os
import re
from datetime import datetime
from pathlib import Path

import pytest

from daskrun import (
    AmlCompute,
    ComputeTarget,
    CondaDependencies,
    Dataset,
    DatasetError,
    Datastore,
    Environment,
    Experiment,
    Model,
    NameNotFoundError,
    Pipeline,
    PipelineData,
    PipelineParameter,
    PythonScriptStep,
    RunDetails,
    RunFailedError,
    SettingsError,
    StorageError,
    Workspace,
)
from daskrun.core import notices
from daskrun.pipeline.runs import logged
from daskrun.pipeline.submission import check as check_file

EXPECTED = "".join(f"{n}.txt: {n}\n" for n in range(10))


def result_of(run, folder, step="score-files", output="scores"):
    reference = run.find_step_run(step)[0].get_output_data(output)
    reference.download(local_path=folder)
    return Path(folder, reference.path_on_datastore, "parallel_run_step.txt").read_text()


def test_the_whole_way_and_again_with_other_values(work, capsys):
    pipeline = Pipeline(work.ws, [work.make_step()])
    experiment = Experiment(work.ws, "trial")
    run = experiment.submit(pipeline)
    assert run.wait_for_completion(show_output=True) == "Completed"
    assert "10 of 10" not in capsys.readouterr().out  # 4 mini-batches of 3 files
    assert result_of(run, "down") == EXPECTED
    step = run.find_step_run("score-files")[0]
    reference = step.get_output_data("scores")
    assert reference.path_on_datastore == f"azureml/{step.id}/scores"

    one = Dataset.File.from_files("files/7.txt")
    again = experiment.submit(pipeline, pipeline_parameters={"files": one, "size": "1"})
    again.wait_for_completion()
    assert result_of(again, "down2") == "7.txt: 7\n"
    assert again.id > run.id
    assert list(work.ws.experiments) == ["trial"]


def test_what_the_run_folder_tells(work):
    run = work.submit(description="a trial", environment_variables={"TOKEN": "s3cret"})
    run.wait_for_completion()
    step = run.get_steps()[0]
    details = step.get_details()
    assert [state["status"] for state in details["daskrun"]["states"]] == [
        "NotStarted",
        "Running",
        "Completed",
    ]
    assert details["daskrun"]["report"]["succeeded"] == 4
    manifest = details["daskrun"]["manifest"]
    assert manifest["pipeline_run"] == run.id
    assert manifest["settings"]["mini_batch_size"] == 3
    assert manifest["inputs"][0]["dataset"] == "Dataset.File.from_files('files')"
    assert manifest["description"] == "a trial"
    assert manifest["mini_batches"] == 4
    assert run.get_details()["daskrun"]["manifest"]["steps"] == [step.id]
    everything = "".join(
        path.read_text(errors="replace") for path in step.folder.rglob("*") if path.is_file()
    )
    assert "s3cret" not in everything
    assert (step.folder / "snapshot" / "score.py").exists()


KEYS = {
    "runId",
    "target",
    "status",
    "startTimeUtc",
    "endTimeUtc",
    "properties",
    "inputDatasets",
    "outputDatasets",
    "logFiles",
    "warnings",
    "daskrun",
}


def test_details_have_the_keys_of_the_original(work):
    dataset = Dataset.File.from_files("files").register(work.ws, "images")
    run = work.submit(work.make_step(inputs=[dataset.as_named_input("images")]))
    run.wait_for_completion()
    step = run.get_steps()[0]
    for each in (run, step):
        details = each.get_details()
        assert details.keys() == KEYS
        assert (details["runId"], details["status"]) == (each.id, "Completed")
        assert details["properties"] == each.get_properties()
        assert details["warnings"] == []
        assert details["daskrun"]["message"] == each.message == each.sentence
        assert f"{step.id}/logs/job_result.txt" in details["logFiles"]
        for path, place in details["logFiles"].items():
            assert place == str(work.ws.runs_folder / path)
            assert Path(place).is_file()
    assert details["target"] == "inline"
    assert run.get_details()["target"] is None
    (used,) = details["inputDatasets"]
    assert used["dataset"]["id"] == "images:1"
    assert used["consumptionDetails"] == {
        "type": "RunInput",
        "inputName": "images",
        "mechanism": "Direct",
    }
    (made,) = details["outputDatasets"]
    assert made["outputDetails"] == {"outputName": "scores"}
    reference = step.get_output_data("scores")
    assert made["dataset"]["path"] == reference.path_on_datastore


def test_details_of_a_run_that_failed_tell_the_error(work):
    (work.path / "score.py").write_text("def run(mini_batch):\n    raise ValueError('no')\n")
    run = work.submit(error_threshold=0, run_max_try=1)
    run.wait_for_completion(raise_on_error=False)
    for each in (run, run.get_steps()[0]):
        details = each.get_details()
        assert details.keys() == KEYS | {"error"}
        assert details["error"]["error"]["message"] == each.message
        assert details["outputDatasets"] == []
    assert details["error"]["error"]["code"] == "UserError"


def test_logs_and_details(work, capsys):
    run = work.submit()
    run.wait_for_completion()
    details = run.get_details()
    began, ended = details["startTimeUtc"], details["endTimeUtc"]
    assert began < ended
    noted = details["daskrun"]["states"][-1]["time"]
    assert datetime.fromisoformat(ended).timestamp() == pytest.approx(noted, abs=1e-3)
    logs = run.get_steps()[0].folder / "logs"
    assert (logs / "job_result.txt").read_text().startswith("Completed: 4 of 4")
    table = (logs / "sys" / "job_report" / "processed_mini-batches.csv").read_text()
    assert len(table.splitlines()) == 5
    RunDetails(run).show()
    shown = capsys.readouterr().out
    assert f"Run {run.id}: Completed" in shown
    assert "Step score-files: Completed" in shown
    assert str(logs) in shown
    assert "output goes to" in shown
    assert repr(RunDetails(run)) in shown


def test_steps_run_in_order(work):
    steps = [work.make_step("first-step"), work.make_step("second-step", output="other")]
    steps[1].run_after(steps[0])
    run = work.submit(*reversed(steps), parameters={"size": 10})
    run.wait_for_completion()
    assert run.message == "all 2 steps are done."
    assert result_of(run, "d", "second-step", "other") == EXPECTED
    first, second = run.get_steps()
    assert (
        first.get_details()["daskrun"]["states"][2]["time"]
        <= second.get_details()["daskrun"]["states"][1]["time"]
    )
    with pytest.raises(NameNotFoundError, match="There are 'first-step', 'second-step'"):
        run.find_step_run("third-step")
    with pytest.raises(NameNotFoundError, match="no output has the name 'inferences'"):
        second.get_output_data("inferences")


def test_a_failed_step_ends_the_run(work):
    (work.path / "bad.py").write_text("def run(mini_batch):\n    raise ValueError('no good')\n")
    failing = work.make_step("first-step", entry_script="bad.py", run_max_try=1)
    later = work.make_step("second-step")
    later.run_after(failing)
    run = work.submit(failing, later)
    with pytest.raises(RunFailedError) as caught:
        run.wait_for_completion()
    text = str(caught.value)
    first, second = run.get_steps()
    assert "step 'first-step'" in text
    message, traceback = text.split("\n\nThe first of them:\n")
    assert message.count("ValueError: no good") == traceback.count("ValueError: no good") == 1
    assert "bad.py:2" in message
    assert 'bad.py", line 2, in run' in traceback
    assert str(first.folder / "logs" / "job_error.txt") in text
    assert run.wait_for_completion(raise_on_error=False) == "Failed"
    assert (first.get_status(), second.get_status()) == ("Failed", "Canceled")
    assert "not started: step 'first-step'" in second.message
    with pytest.raises(StorageError, match=r"output 'scores' \(run Canceled\): there is no file"):
        second.get_output_data("scores").download("down")
    assert "ValueError: no good" in (first.folder / "logs" / "job_error.txt").read_text()


def no_trace(ws):
    runs = list(ws.runs_folder.iterdir()) if ws.runs_folder.exists() else []
    outputs = list((ws.folder / "datastore").rglob("*"))
    return not runs and not [path for path in outputs if path.name != "azureml"]


def test_all_problems_of_all_steps_come_before_anything_starts(work):
    first = work.make_step("first-step", entry_script="none.py", compute_target="cloud")
    second = work.make_step("second-step")
    second.parallel_run_config.node_count = 0
    with pytest.raises(SettingsError) as caught:
        work.submit(first, second)
    text = str(caught.value)
    assert "step 'first-step': entry_script='none.py' is not there" in text
    assert "step 'first-step': no compute target has the name 'cloud'" in text
    assert "Write compute_target=ComputeTarget.attach(ws, 'cloud', address=" in text
    assert "step 'second-step': node_count=0" in text
    assert len(caught.value.problems) == 3
    assert no_trace(work.ws)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"sizes": 1}, SettingsError, r"(?s)'files', default Data.*'size', default '3'"),
        ({"size": "10MB"}, SettingsError, "mini_batch_size='10MB' is a size in bytes"),
        ({"files": "files"}, SettingsError, "an input needs a dataset"),
    ],
)
def test_wrong_parameters(work, parameters, error, message):
    with pytest.raises(error, match=message):
        work.submit(parameters=parameters)
    assert no_trace(work.ws)


@pytest.mark.parametrize(
    ("default", "given", "said", "advice"),
    [
        (
            "3",
            {"size": "1KB"},
            "pipeline_parameters={'size': '1KB'}: mini_batch_size='1KB' is a size in bytes",
            "Give a number of files, such as pipeline_parameters={'size': 10}.",
        ),
        (
            "3",
            {"size": "few"},
            "pipeline_parameters={'size': 'few'}: mini_batch_size='few' is not a size.",
            "or bytes for a tabular one (pipeline_parameters={'size': '10MB'}).",
        ),
        (
            "1KB",
            {},
            "parameter 'size' by default: mini_batch_size='1KB' is a size in bytes",
            "Give a number of files, such as PipelineParameter('size', 10).",
        ),
    ],
)
def test_what_to_write_is_said_of_the_parameter(work, default, given, said, advice):
    step = work.make_step(mini_batch_size=PipelineParameter("size", default))
    with pytest.raises(SettingsError) as caught:
        work.submit(step, parameters=given)
    assert said in str(caught.value)
    assert advice in str(caught.value)


def test_a_size_of_few_bytes_is_noticed_by_its_parameter(work, caplog):
    (work.path / "a.csv").write_text("a\n1\n")
    (work.path / "score.py").write_text("def run(rows):\n    return rows\n")
    table = Dataset.Tabular.from_delimited_files("a.csv")
    work.submit(inputs=[table], parameters={"size": 7}).wait_for_completion()
    assert "{'size': 7}: mini_batch_size=7 means 7 bytes of a table" in caplog.text
    assert "such as pipeline_parameters={'size': '1MB'}" in caplog.text


def test_a_dataset_is_no_argument_as_a_parameters_value_either(work):
    images = PipelineParameter("images", Dataset.File.from_files("files"))
    step = work.make_step(arguments=["--images", images])  # another value may be given
    with pytest.raises(SettingsError) as caught:
        work.submit(step)
    [problem] = caught.value.problems
    assert problem == (
        "step 'score-files': arguments[1]=Dataset.File.from_files('files') (of parameter 'images')"
        ": the step uses no such dataset. Give the same object in side_inputs=[...] too, to have "
        "it on each node and its path here."
    )
    with pytest.raises(SettingsError, match=r"of parameter 'images'\): the step uses no such"):
        work.submit(step, parameters={"images": Dataset.File.from_files("files/7.txt")})
    assert no_trace(work.ws)
    work.submit(step, parameters={"images": "/images"}).wait_for_completion()


def test_empty_data(work):
    (work.path / "empty").mkdir()
    empty = Dataset.File.from_files("empty", validate=False)
    with pytest.raises(DatasetError, match="empty"):
        work.submit(parameters={"files": empty})
    none = Dataset.File.from_files("files/*.png", validate=False)
    with pytest.raises(DatasetError, match=r"files/\*\.png"):
        work.submit(parameters={"files": none})
    assert no_trace(work.ws)


def test_a_broken_settings_file(work):
    (work.path / "parallel_run_step.settings.json").write_text('{"append_rows": {}}')
    with pytest.raises(SettingsError, match="append_row"):
        work.submit()


def test_the_format_of_rows_is_said_once(work):
    run = work.submit(append_row_format="csv")
    run.wait_for_completion()
    rows = "".join(f"{n}.txt: {n}\r\n" for n in range(10))
    assert result_of(run, "csv") == f"result\n{rows}".replace("\r", "")  # as text is read
    (work.path / "parallel_run_step.settings.json").write_text(
        '{"append_row": {"pandas.DataFrame.to_csv": {"sep": ";"}}}'
    )
    with pytest.raises(SettingsError, match=r"append_row_format='csv' says .* says sep=\";\"\."):
        work.submit(append_row_format="csv")
    with pytest.raises(SettingsError, match="append_row_format='csv' with output_action='summ"):
        work.make_step(append_row_format="csv", output_action="summary_only")


def test_an_output_that_cannot_be_written(work):
    blocked = work.path / "blocked"
    blocked.mkdir()
    (blocked / "azureml").write_text("a file is in the way")
    store = Datastore.register_local(work.ws, "blocked", blocked)
    with pytest.raises(SettingsError, match="can't be written"):
        work.submit(output=PipelineData("scores", datastore=store))
    assert no_trace(work.ws)


def test_node_count_is_bounded_by_the_target(work):
    plan = AmlCompute.provisioning_configuration("x", max_nodes=2)
    target = ComputeTarget.create(work.ws, "cpu", plan)
    with pytest.raises(SettingsError, match=r"node_count=3 is more than .*max_nodes=2"):
        work.submit(compute_target=target, node_count=3)
    with pytest.raises(SettingsError, match="node_count=3 is more than"):
        work.submit(compute_target="cpu", node_count=3)


def test_an_address_that_is_none_is_refused_at_submit(work):
    with pytest.raises(SettingsError, match=r"'tcp://127\.0\.0\.1:87x' is not a sch"):
        work.submit(compute_target="tcp://127.0.0.1:87x")


@pytest.mark.parametrize("named", [False, True])
def test_this_machine_is_not_filled_with_processes(work, monkeypatch, named):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    plan = AmlCompute.provisioning_configuration("x", max_nodes=10**6)
    target = ComputeTarget.create(work.ws, "cpu", plan) if named else None
    said = (
        r"node_count=10000 with process_count_per_node=8 are 80,000 script processes on this "
        r"machine, which has 2 cores\. Write 64 or less in all"
    )
    with pytest.raises(SettingsError, match=said):
        work.submit(compute_target=target, node_count=10_000, process_count_per_node=8)
    with pytest.raises(SettingsError, match="node_count=65 are 65 script processes"):
        work.submit(compute_target=target, node_count=65)
    run = work.submit(compute_target=target, process_count_per_node=64, node_count=1)
    run.cancel()
    run.wait_for_completion(raise_on_error=False)


def environment_of(*pip_packages):
    environment = Environment("e")
    environment.python.conda_dependencies = CondaDependencies.create([*pip_packages])
    return environment


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: {"python_executable": "/nix/python"},
            "python_executable='/nix/python' is no program on this machine.*compute_target",
        ),
        (
            lambda: {"environment": Environment.from_existing_conda_environment("e", "/nix")},
            "environment 'e' has the interpreter '/nix/bin/python', which is no program on this",
        ),
        (
            lambda: {"environment": environment_of("/nix/tiny-1.whl")},
            "environment 'e': pip_packages has '/nix/tiny-1.whl', and '/nix/tiny-1.whl' is not",
        ),
        (
            lambda: {"environment": environment_of("./nix_pkg")},
            "environment 'e': pip_packages has './nix_pkg', and '.*/nix_pkg' is not there. Write",
        ),
    ],
)
def test_what_is_not_on_this_machine_is_said_before_a_run_begins(work, make, text):
    plan = AmlCompute.provisioning_configuration("x", max_nodes=2)
    for target in (None, ComputeTarget.create(work.ws, "cpu", plan)):
        pipeline = Pipeline(work.ws, [work.make_step(compute_target=target, **make())])
        [problem] = pipeline.validate()
        assert re.search(f"step 'score-files': {text}", problem)
        with pytest.raises(SettingsError, match=text):
            Experiment(work.ws, "trial").submit(pipeline)
    assert no_trace(work.ws)
    pipeline.publish("for another machine")
    inline = Pipeline(work.ws, [work.make_step(**make())])
    assert inline.validate() == []


def test_on_nodes_of_a_cluster_paths_are_theirs(work):
    theirs = [
        {"python_executable": "/nix/python"},
        {"environment": environment_of("/nix/tiny-1.whl", "git+https://host/tiny")},
    ]
    for given in theirs:
        step = work.make_step(compute_target="tcp://localhost:1", **given)
        assert Pipeline(work.ws, [step]).validate() == []
    step = work.make_step(compute_target="tcp://localhost:1", environment=environment_of("./nix"))
    [problem] = Pipeline(work.ws, [step]).validate()
    assert "/nix' is not there" in problem


def test_a_script_is_looked_for_like_a_steps_interpreter(work):
    environment = Environment.from_existing_conda_environment("e", "/nix")
    [problem] = Pipeline(
        work.ws, [PythonScriptStep("score.py", environment=environment)]
    ).validate()
    assert "has the interpreter '/nix/bin/python'" in problem


def test_what_is_not_used_is_said_once(work, caplog, monkeypatch):
    monkeypatch.setattr(notices, "_said", set())
    environment = Environment("e")
    environment.python.conda_dependencies = CondaDependencies.create(
        pip_packages=["azureml-core", "nowhere-to-be-found"], conda_packages=["cudatoolkit"]
    )
    with caplog.at_level(logging.WARNING, logger="daskrun"):
        for _ in range(2):
            work.submit(environment=environment).wait_for_completion()
    assert caplog.text.count("cudatoolkit of conda not installed") == 1
    assert caplog.text.count("azureml-core not installed, since daskrun stands for it") == 1
    assert caplog.text.count("whose Python lacks nowhere-to-be-found.") == 1


def test_inline_names_the_settings_it_has_no_use_for(work, caplog, monkeypatch):
    monkeypatch.setattr(notices, "_said", set())
    limit = PipelineParameter("limit", "30")
    with caplog.at_level(logging.WARNING, logger="daskrun"):
        work.submit().wait_for_completion()
        work.submit(node_count=1, process_count_per_node="1").wait_for_completion()
        assert caplog.text == ""
        work.submit(
            run_invocation_timeout=limit,
            process_memory_limit="2GB",
            process_count_per_node=2,
            **{f"{name}_timeout": 99 for name in ("init", "load", "shutdown", "no_worker")},
            progress_update_timeout=500,
            resource_monitor_interval=5,
            threads_per_process=1,
            node_count=2,
        ).wait_for_completion()
    [record] = caplog.records
    assert record.message == (
        "compute_target='inline': node_count=2, process_count_per_node=2, "
        "run_invocation_timeout='30', init_timeout=99, load_timeout=99, shutdown_timeout=99, "
        "no_worker_timeout=99, progress_update_timeout=500, process_memory_limit='2GB', "
        "resource_monitor_interval=5, threads_per_process=1 not used; run() runs in this process, "
        "one mini-batch after the other, where nothing is limited and nothing can be killed."
    )
    local = work.make_step(compute_target=None, node_count=2, init_timeout=99)
    [prepared] = check_file.prepare([local], work.ws, {})
    assert prepared.notes == ()


def test_the_script_is_told_its_run(work):
    (work.path / "weights").write_text("w")
    Model.register(work.ws, "weights", "mnist")
    (work.path / "score.py").write_text(
        "import sys\nfrom daskrun import Model\n"
        "def run(mini_batch):\n"
        "    text = open(Model.get_model_path('mnist')).read() + ' '.join(sys.argv[1:])\n"
        "    return [text] * len(mini_batch)\n"
    )
    run = work.submit(arguments=["--a", 1])
    run.wait_for_completion()
    assert result_of(run, "down") == "w--a 1\n" * 10


def test_source_directory(work):
    code = work.path / "code"
    code.mkdir()
    (code / "lib.py").write_text("WORD = 'one'\n")
    (code / "score.py").write_text("import lib\ndef run(m):\n    return [lib.WORD] * len(m)\n")
    run = work.submit(source_directory="code")
    run.wait_for_completion()
    assert result_of(run, "down") == "one\n" * 10


def test_runs_can_be_found_again(work, monkeypatch):
    run = work.submit()
    run.wait_for_completion()
    other = Experiment(work.ws, "other")
    experiment = Experiment(work.ws, "trial")
    assert experiment.get_run(run.id) is run
    monkeypatch.setattr("daskrun.pipeline.runs.experiment._live", {})  # as another process sees it
    found = list(experiment.get_runs())
    assert [each.id for each in found] == [run.id]
    assert found[0].wait_for_completion(show_output=True) == "Completed"
    assert found[0].message == "4 of 4 mini-batches succeeded."
    assert result_of(found[0], "down") == EXPECTED
    assert "Completed" in RunDetails(found[0]).text()
    found[0].cancel()  # it has ended: nothing to do
    assert list(other.get_runs()) == []
    with pytest.raises(NameNotFoundError, match="no run has the name"):
        other.get_run(run.id)


def test_wrong_submits(work, tmp_path_factory):
    elsewhere = Workspace.create("other", path=tmp_path_factory.mktemp("other"))
    with pytest.raises(SettingsError, match="Make both with the same workspace"):
        Experiment(elsewhere, "trial").submit(Pipeline(work.ws, [work.make_step()]))
    with pytest.raises(SettingsError, match="is not one"):
        Experiment(work.ws, "trial").submit(work.make_step())
    with pytest.raises(SettingsError) as caught:
        Experiment("ws", "a b")
    assert len(caught.value.problems) == 2


def test_windows_is_told_of_wsl(work, monkeypatch):
    step = work.make_step()
    pipeline = Pipeline(work.ws, [step])
    monkeypatch.setattr(check_file.os, "name", "nt")
    with pytest.raises(SettingsError, match="WSL"):
        check_file.prepare(pipeline.steps, work.ws, {})
    monkeypatch.undo()
    assert os.name == "posix"


def test_run_ids_are_unique_and_sort_by_time():
    ids = [logged.new_run_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert [each[:19] for each in ids] == sorted(each[:19] for each in ids)


def test_run_json_is_whole(work):
    run = work.submit()
    run.wait_for_completion()
    assert json.loads((run.folder / "run.json").read_text())["kind"] == "pipeline"


def test_a_run_that_cannot_be_locked_is_not_started(work, monkeypatch):
    def broken(self):
        raise StorageError("no locks here")

    monkeypatch.setattr("daskrun.workspace.run_folders.run_folder.RunFolder.drive", broken)
    with pytest.raises(StorageError, match="no locks here"):
        work.submit()
    assert no_trace(work.ws)


def test_details_with_logs_hold_the_text_of_each_log(work, monkeypatch):
    monkeypatch.setattr("daskrun.pipeline.records.run_details.LOG_BYTES", 40)
    run = work.submit()
    run.wait_for_completion()
    (step,) = run.get_steps()
    found = run.get_details_with_logs()
    assert found["runId"] == run.id
    logs = found["logFiles"]
    assert logs == step.get_details_with_logs()["logFiles"]
    whole = (step.folder / "logs" / "job_result.txt").read_text()
    assert len(whole) > 40
    name = f"{step.id}/logs/job_result.txt"
    assert logs[name].endswith(whole[-40:])
    assert logs[name].startswith(f"... {len(whole.encode()) - 40} bytes before")
    assert f"{step.id}/logs/sys/happenings.txt" in logs
