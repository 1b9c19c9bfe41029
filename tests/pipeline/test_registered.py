"""Registered datasets as inputs of steps, and runs as they are looked for."""

import subprocess
import sys

import pytest

from daskrun import Dataset, Experiment, SettingsError, Workspace


def registered(work, name="ten"):
    return Dataset.File.from_files("files").register(work.ws, name)


def test_a_registered_dataset_is_an_input_and_named_in_the_record(work):
    registered(work)
    found = Dataset.get_by_name(work.ws, "ten")
    step = work.make_step(inputs=[found.as_named_input("images")])
    run = work.submit(step)
    run.wait_for_completion()
    (story,) = run.get_steps()[0].get_details()["story"]["inputs"]
    assert (story["name"], story["registered"]) == ("images", "ten:1")
    unnamed = work.submit(work.make_step(inputs=[found.take(3).as_named_input("images")]))
    unnamed.wait_for_completion()
    assert "registered" not in unnamed.get_steps()[0].get_details()["story"]["inputs"][0]


def test_it_may_be_unregistered_while_a_run_that_uses_it_is_resumed(work):
    found = registered(work)
    (work.path / "score.py").write_text("def run(m):\n    raise ValueError('not yet')\n")
    step = work.make_step(inputs=[found.as_named_input("images")], error_threshold=0)
    run = work.submit(step)
    assert run.wait_for_completion(raise_on_error=False) == "Failed"
    found.unregister_all_versions()
    assert run.resume(error_threshold=10).wait_for_completion(raise_on_error=False) == "Failed"
    assert run.get_steps()[0].get_details()["report"]["failed"] == 4


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
