"""Files of runs, runs that are only logged to, and what a script asks of its run."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from daskrun import (
    EntryScriptError,
    Experiment,
    Model,
    NameNotFoundError,
    Pipeline,
    PythonScriptStep,
    ResumeError,
    Run,
    RunCanceledError,
    RunDetails,
    RunFailedError,
    SettingsError,
    Workspace,
)
from daskrun.core import notices


@pytest.fixture
def ws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notices.forget()
    return Workspace.create("trial")


@pytest.fixture
def run(ws):
    with Experiment(ws, "trials").start_logging(snapshot_directory=None) as run:
        yield run


def submit(ws, code, name="step", **given):
    Path("code").mkdir(exist_ok=True)
    Path("code", f"{name}.py").write_text(code)
    given = {"source_directory": "code", "compute_target": "inline", **given}
    step = PythonScriptStep(f"{name}.py", **given)
    run = Experiment(ws, "trials").submit(Pipeline(ws, [step]), regenerate_outputs=True)
    run.wait_for_completion()
    return run


def test_files_of_a_run(run, tmp_path):
    Path("a.txt").write_text("a")
    Path("models", "deep").mkdir(parents=True)
    Path("models", "deep", "b.bin").write_bytes(b"b")
    run.upload_file("outputs/a.txt", "a.txt")
    run.upload_file(name="outputs/stream.txt", path_or_stream=io.StringIO("s"))
    run.upload_folder("outputs/models", path="models")
    run.upload_files(["c.txt"], ["a.txt"])
    names = ["c.txt", "outputs/a.txt", "outputs/models/deep/b.bin", "outputs/stream.txt"]
    assert [each for each in run.get_file_names() if not each.startswith("logs/")] == names
    run.download_file("outputs/a.txt", output_file_path="back/a.txt")
    run.download_file("outputs/stream.txt", "back/")
    run.download_file("c.txt", "back")
    run.download_files(prefix="outputs/models", output_directory="all", append_prefix=False)
    run.download_files("outputs/a", "all")
    found = {str(p) for f in ("back", "all") for p in Path(f).rglob("*.*")}
    copied = {"back/a.txt", "back/stream.txt", "back/c.txt", "all/deep/b.bin", "all/outputs/a.txt"}
    assert found == copied
    again = run.workspace.get_run(run.id)
    assert again.get_file_names() == run.get_file_names()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: run.upload_file("../x", "a"), r"'\.\./x' is not a name of a file"),
        (lambda run: run.upload_file("/x", "a"), r"'/x' is not a name of a file\. Write one such"),
        (lambda run: run.upload_file("\ud800", "a"), r"'\\ud800' is not a name of a file"),
        (lambda run: run.upload_file("x", "\ud800"), r"path_or_stream='\\ud800' can't be read"),
        (lambda run: run.upload_file("x", "gone"), r"path_or_stream='gone' can't be read: .*No su"),
        (lambda run: run.upload_folder("x", "gone"), r"path='gone' is no folder"),
        (lambda run: run.upload_files(["x"], []), r"names has 1 and paths 0"),
        (
            lambda run: run.download_files(output_paths=["x"]),
            r"output_paths has 1, and there are 0",
        ),
    ],
)
def test_wrong_files_are_told(run, call, message):
    with pytest.raises(SettingsError, match=message):
        call(run)
    for ask in (lambda: run.download_file("gone"), lambda: run.register_model("gone")):
        with pytest.raises(NameNotFoundError, match=r"no file of the run 'gone'|'gone'"):
            ask()


def test_a_model_is_registered_from_the_files_of_a_run(run):
    run.upload_file("outputs/m.pkl", io.BytesIO(b"m"))
    model = run.register_model("digits", "outputs/m.pkl", tags={"a": "1"}, model_framework="x")
    assert (model.path.read_bytes(), model.tags) == (b"m", {"a": "1"})
    assert model.properties == {"run": run.id}
    Path("here").mkdir()
    Path("here", "n.pkl").write_text("n")
    assert run.register_model(model_name="beside", model_path="here").path.is_dir()


def test_runs_that_are_logged_to(ws):
    experiment = Experiment(ws, "trials")
    run = experiment.start_logging(display_name="sweep", outputs=None)
    assert (run.name, run.get_status(), run.parent) == ("sweep", "Running", None)
    assert run.wait_for_completion() == "Running"
    for alpha in (1, 2):
        with run.child_run(name=f"alpha {alpha}") as child:
            child.log("alpha", alpha)
            child.set_tags({"of": "sweep"})
    with pytest.raises(ValueError, match="no luck"), run.child_run() as failing:
        raise ValueError("no luck")
    assert (failing.get_status(), failing.message) == ("Failed", "no luck")
    run.complete()
    assert experiment.get_run(run.id) is run
    assert [each.id for each in experiment.get_runs()] == [run.id]
    children = list(Run(experiment, run.id).get_children())
    assert [each.get_metrics() for each in children] == [{"alpha": 1}, {"alpha": 2}, {}]
    assert children[0].parent.id == run.id
    assert len(run.get_metrics(recursive=True)) == 4
    assert f"Run {run.id}: Completed" in RunDetails(run).text()
    assert run.get_details()["status"] == "Completed"
    assert run.get_portal_url() == str(run.folder)
    with pytest.raises(SettingsError, match=r"is Completed, and ended by the process that began"):
        run.fail("late")
    with pytest.raises(ResumeError, match="was only logged to"):
        run.resume()
    assert run.id in {each.run for each in ws.clean(older_than_days=0, runs=True)}


def test_a_run_that_is_canceled(ws):
    run = Experiment(ws, "trials").start_logging()
    run.cancel()
    assert run.get_status() == "Canceled"
    other = Experiment(ws, "trials").start_logging()
    other.fail("why", error_code=3)
    with pytest.raises(RunFailedError, match="3: why"):
        other.wait_for_completion()
    with pytest.raises(RunCanceledError):
        run.wait_for_completion()


SCRIPT = """
import os
from daskrun import Model, Run, Workspace
run = Run.get_context()
os.makedirs("outputs", exist_ok=True)
open("outputs/model.pkl", "w").write("trained")
run.register_model("digits", "outputs/model.pkl")
assert run.get_status() == "Running" == run.parent.get_status(), run.get_status()
assert [each.name for each in run.parent.find_step_run("train")] == ["train"]
assert [each.name for each in run.parent.get_steps()] == ["train"]
assert run.name == "train" and run.get_details()["runId"] == run.id
assert Workspace.from_config() == run.experiment.workspace
with run.child_run("fold") as child:
    child.log("n", 1)
assert [each.id for each in run.get_children()] == [child.id]
run.upload_file("report.txt", "outputs/model.pkl")
run.complete()
"""


def test_a_script_asks_its_run(ws):
    run = submit(ws, SCRIPT, "train")
    (step,) = run.get_steps()
    assert {"outputs/model.pkl", "report.txt"} <= {*step.get_file_names()}
    assert Model(ws, "digits").properties == {"run": step.id}
    model = step.register_model("again", "outputs/model.pkl")
    assert model.path.read_text() == "trained"
    assert [each.get_metrics() for each in step.get_children()] == [{"n": 1}]


def test_a_script_fails_by_its_run(ws):
    with pytest.raises(RunFailedError, match=r"Run\.fail\(\) was called: 7: bad data"):
        submit(ws, "from daskrun import Run\nRun.get_context().fail('bad data', 7)")


@pytest.mark.slow
def test_a_script_cancels_its_pipeline(ws):
    code = "import time\nfrom daskrun import Run\nRun.get_context().parent.cancel()\ntime.sleep(60)"
    with pytest.raises(RunCanceledError, match=r"its script called cancel\(\)"):
        submit(ws, code, compute_target=None)


def test_outside_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Run.get_context()
    with pytest.raises(EntryScriptError, match=r"experiment: this process .* no workspace here"):
        run.experiment  # noqa: B018
    ws = Workspace.create("trial")
    assert run.experiment.workspace == ws
    run.child_run("x").log("a", 1)
    run.upload_file("outside.txt", io.StringIO("x"))
    assert "outside.txt" in run.get_file_names()
    assert run.register_model("outside", "outside.txt").path.read_text() == "x"
    run.complete()
    assert run.get_status() == "Running"
    with pytest.raises(EntryScriptError, match=r"Run\.fail\(\) was called"):
        run.fail()
