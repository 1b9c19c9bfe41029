"""Registered datasets as inputs of steps, and runs as they are looked for."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from daskrun import Dataset, Experiment, SettingsError, Workspace

KILLED = """
import os, signal
from daskrun import *
from daskrun.pipeline.execution import drive

ws = Workspace.from_config()
config = ParallelRunConfig(
    entry_script="score.py", error_threshold=0, output_action="append_row", compute_target="inline")

def submit():
    kept = OutputFileDatasetConfig("scores").register_on_complete("scores")
    step = ParallelRunStep("score-files", config, [Dataset.File.from_files("files")], kept)
    return Experiment(ws, "trial").submit(Pipeline(ws, [step]))

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

{before}
drive.{point} = die
submit().wait_for_completion()
"""
"""A program that is killed between registering its output and noting that the step is done."""


def registered(work, name="ten"):
    return Dataset.File.from_files("files").register(work.ws, name)


def test_a_registered_dataset_is_an_input_and_named_in_the_record(work):
    registered(work)
    found = Dataset.get_by_name(work.ws, "ten")
    step = work.make_step(inputs=[found.as_named_input("images")])
    run = work.submit(step)
    run.wait_for_completion()
    (manifest,) = run.get_steps()[0].get_details()["daskrun"]["manifest"]["inputs"]
    assert (manifest["name"], manifest["registered"]) == ("images", "ten:1")
    unnamed = work.submit(work.make_step(inputs=[found.take(3).as_named_input("images")]))
    unnamed.wait_for_completion()
    assert (
        "registered" not in unnamed.get_steps()[0].get_details()["daskrun"]["manifest"]["inputs"][0]
    )


def test_it_may_be_unregistered_while_a_run_that_uses_it_is_resumed(work):
    found = registered(work)
    (work.path / "score.py").write_text("def run(m):\n    raise ValueError('not yet')\n")
    step = work.make_step(inputs=[found.as_named_input("images")], error_threshold=0)
    run = work.submit(step)
    assert run.wait_for_completion(raise_on_error=False) == "Failed"
    found.unregister_all_versions()
    assert run.resume(error_threshold=10).wait_for_completion(raise_on_error=False) == "Failed"
    assert run.get_steps()[0].get_details()["daskrun"]["report"]["failed"] == 4


def test_experiments_and_their_runs(work):
    first, second = work.submit(), work.submit()
    for run in (first, second):
        run.wait_for_completion()
    second.tag("quality", "good")
    assert list(work.ws.experiments) == ["trial"]
    experiment = work.ws.experiments["trial"]
    assert isinstance(experiment, Experiment)
    assert [each.name for each in Experiment.list(work.ws)] == ["trial"]
    assert Experiment.list(work.ws, "other") == []
    with pytest.raises(SettingsError, match="workspace=None is not a Workspace"):
        Experiment.list(None)

    assert [run.id for run in experiment.get_runs()] == [second.id, first.id]
    assert next(experiment.get_runs()).id == second.id
    assert [run.id for run in experiment.get_runs(tags={"quality": "good"})] == [second.id]
    assert list(experiment.get_runs(tags=[["quality", "bad"]])) == []
    kind = {"kind": "pipeline"}
    assert len(list(experiment.get_runs(properties=kind))) == 2
    with pytest.raises(SettingsError, match="tags='quality' is not a list of tags"):
        experiment.get_runs(tags="quality")


def test_parent_tags_and_properties(work):
    run = work.submit()
    run.wait_for_completion()
    (step,) = run.get_steps()
    assert step.parent is run
    assert run.parent is None
    assert run.tags == run.get_tags() == {}
    step.tag("a", "1")
    step.tag("b")
    assert step.tags == {"a": "1", "b": None}
    assert step.properties == step.get_properties()
    assert step.properties["kind"] == "step"
    assert step.properties["name"] == "score-files"
    assert step.properties["pipeline_run"] == run.id
    assert step.properties["entry_script"].endswith("score.py")
    assert run.properties["experiment"] == "trial"
    assert all(isinstance(text, str) for text in run.properties.values())


def test_another_process_finds_what_is_registered(work):
    registered(work)
    code = (
        "from daskrun import Dataset, Workspace\nws = Workspace.from_config()\n"
        "print(ws.datasets['ten'].version, len(Dataset.get_by_name(ws, 'ten').to_path()))"
    )
    elsewhere = work.path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=elsewhere, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1 10\n"
    assert Workspace.from_config(elsewhere) == work.ws


def killed_behind_register(work, before, point):
    code = KILLED.format(before=before, point=point)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    return next(Experiment(work.ws, "trial").get_runs())


@pytest.mark.parametrize(
    ("before", "point", "versions"),
    [
        pytest.param("", "note_completed", 1, id="it ran itself"),
        pytest.param("submit().wait_for_completion()", "_log_end", 2, id="it used an earlier one"),
    ],
)
def test_a_killed_driver_and_the_next_register_an_output_once(work, before, point, versions):
    run = killed_behind_register(work, before, point)
    assert Dataset.get_by_name(work.ws, "scores").version == versions
    assert run.resume().wait_for_completion() == "Completed"
    assert (run.get_steps()[0].reused_run_id is None) == (before == "")
    assert Dataset.get_by_name(work.ws, "scores").version == versions


def test_what_a_resumed_run_has_made_itself_is_what_is_registered(work):
    run = killed_behind_register(work, "submit().wait_for_completion()", "_log_end")
    earlier = Dataset.get_by_name(work.ws, "scores").to_path()
    shutil.rmtree(os.path.dirname(earlier[0]))
    assert run.resume().wait_for_completion() == "Completed"
    found = Dataset.get_by_name(work.ws, "scores")
    assert found.version == 3
    assert found.to_path() != earlier


def test_versions_that_others_have_registered_are_not_taken_for_a_runs(work):
    run = killed_behind_register(work, "", "note_completed")
    path = Dataset.get_by_name(work.ws, "scores").to_path()
    Dataset.get_by_name(work.ws, "scores").unregister_all_versions()
    Dataset.File.from_files(path).register(work.ws, "scores")
    assert run.resume().wait_for_completion() == "Completed"
    assert Dataset.get_by_name(work.ws, "scores").version == 2
