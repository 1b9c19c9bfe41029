"""Runs found by calling their classes, as the original has it."""

import subprocess
import sys

import pytest

from daskrun import Experiment, NameNotFoundError, PipelineRun, Run, SettingsError, StepRun


@pytest.fixture
def run(work):
    made = work.submit()
    made.wait_for_completion()
    return made


@pytest.fixture
def trial(work):
    return Experiment(work.ws, "trial")


def test_a_run_of_this_process_is_the_object_there_is(run, trial):
    (step,) = run.get_steps()
    assert Run(trial, run.id) is PipelineRun(experiment=trial, run_id=run.id) is run
    assert Run(trial, step.id) is step
    assert StepRun(trial, step.id) is step
    assert StepRun(trial, step_run_id=step.id, pipeline_run_id=run.id, node_id="n") is step
    assert isinstance(run, Run)
    assert run.experiment.name == step.experiment.name == "trial"
    assert run.experiment.workspace == run.workspace


def test_a_run_of_another_process_is_what_its_folder_tells(run):
    code = (
        "import daskrun.azureml\n"
        "from azureml.core import Experiment, Run, Workspace\n"
        "from azureml.pipeline.core import PipelineRun, StepRun\n"
        "trial = Experiment(Workspace.from_config(), 'trial')\n"
        f"run = PipelineRun(trial, {run.id!r})\n"
        f"step = StepRun(trial, {run.get_steps()[0].id!r}, {run.id!r}, 'node')\n"
        "print(run.get_status(), step.name, step.parent.id, type(Run(trial, run.id)).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"Completed score-files {run.id} PipelineRun\n"


def test_a_script_finds_runs_too(work):
    (work.path / "score.py").write_text(
        "from daskrun import Run\n"
        "def run(mini_batch):\n"
        "    own = Run.get_context()\n"
        "    found = Run(own.experiment, own.parent.id)\n"
        "    return [found.get_status() for _ in mini_batch]\n"
    )
    run = work.submit(mini_batch_size=10)
    run.wait_for_completion()
    reference = run.get_steps()[0].get_output_data("scores")
    folder = reference.datastore.folder / reference.path_on_datastore
    assert (folder / "parallel_run_step.txt").read_text() == "Running\n" * 10


def test_what_is_no_such_run_is_said(run, trial, work):
    (step,) = run.get_steps()
    for kind in (Run, PipelineRun, StepRun):
        with pytest.raises(NameNotFoundError, match="no run has the name 'x'"):
            kind(trial, "x")
        with pytest.raises(SettingsError, match=r"experiment='trial' is not one(.|\n)*run_id=3"):
            kind("trial", 3)
    with pytest.raises(SettingsError, match=r"run_id=.* of experiment 'trial', not of 'other'"):
        Run(Experiment(work.ws, "other"), run.id)
    with pytest.raises(SettingsError, match=r"is a StepRun\. Write StepRun\(experiment, run_id\)"):
        PipelineRun(trial, step.id)
    with pytest.raises(SettingsError, match=r"is a PipelineRun\. Write PipelineRun\("):
        StepRun(trial, run.id)
    with pytest.raises(SettingsError, match=r"pipeline_run_id='x' is not that of .*Leave it out"):
        StepRun(trial, step.id, "x")
