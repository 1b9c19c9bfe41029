"""The original's names in script processes, and the command that runs a script as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daskrun import (
    Dataset,
    Experiment,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    Workspace,
)
from daskrun.original.finder import take_out

SCRIPT = """
from azureml.core import VERSION
from azureml_user.parallel_run import EntryScript

def run(mini_batch):
    return [f"{VERSION} {EntryScript.__module__}" for _ in mini_batch]
"""
OURS = "daskrun.script.entry_script"


@pytest.fixture
def said(tmp_path, monkeypatch):
    """Give what runs an entry script, and what it said of one file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").touch()

    def run(code=SCRIPT, **settings):
        Path("names.py").write_text(code)
        config = ParallelRunConfig(
            entry_script="names.py",
            error_threshold=0,
            output_action="append_row",
            process_count_per_node=1,
            **settings,
        )
        ws, files = Workspace.from_config(), Dataset.File.from_files("files")
        step = ParallelRunStep("names", config, [files], PipelineData("said"))
        run = Experiment(ws, "names").submit(Pipeline(ws, [step]))
        run.wait_for_completion()
        output = run.get_steps()[0].get_output_data("said")
        output.download(tmp_path / "out", overwrite=True)
        return (tmp_path / "out" / output.path_on_datastore / "parallel_run_step.txt").read_text()

    return run


def test_script_processes_have_the_names(said):
    assert said().split()[-1] == OURS


def test_script_processes_leave_an_installed_original_alone(said, tmp_path):
    core = tmp_path / "site" / "azureml" / "core" / "__init__.py"
    core.parent.mkdir(parents=True)
    core.write_text("VERSION = 'theirs'")
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    assert said(environment_variables={"PYTHONPATH": path}).split() == ["theirs", OURS]


def test_inline_the_names_are_there_for_the_run_and_gone_after_it(said):
    take_out()  # what a test before this one may have left in this process
    finders, known = list(sys.meta_path), set(sys.modules)
    assert said(compute_target="inline").split()[-1] == OURS
    assert sys.meta_path == finders
    new = set(sys.modules) - known
    assert not {name for name in new if name.startswith(("azureml.core", "azureml_user"))}


def run_as_original(*arguments, cwd, check=True):
    command = [sys.executable, "-m", "daskrun.azureml", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if check:
        assert done.returncode == 0, done.stderr
    return done


SHOW = """
import sys
import beside
from azureml.core import Workspace

print(__name__, sys.argv, sys.path[0], beside.NAME, Workspace.__module__)
"""


@pytest.fixture
def program(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "show.py").write_text(SHOW)
    (tmp_path / "code" / "beside.py").write_text("NAME = 'beside'")
    return tmp_path / "code"


def test_the_command_runs_a_script_as_python_does(program, tmp_path):
    done = run_as_original("code/show.py", "--rows", "3", cwd=tmp_path)
    argv = ["code/show.py", "--rows", "3"]
    assert done.stdout == f"__main__ {argv} {program} beside daskrun.original.workspace\n"


def test_the_command_runs_a_module(program):
    done = run_as_original("-m", "show", "-x", cwd=program)
    argv = [str(program / "show.py"), "-x"]
    assert done.stdout == f"__main__ {argv} {program} beside daskrun.original.workspace\n"


def test_the_exit_code_and_the_error_are_the_scripts(program):
    (program / "show.py").write_text("import sys\nsys.exit(7)")
    assert run_as_original("show.py", cwd=program, check=False).returncode == 7
    (program / "show.py").write_text("import azureml.core\nazureml.core.Keyvault()")
    done = run_as_original("show.py", cwd=program, check=False)
    assert done.returncode == 1
    assert 'show.py", line 2, in <module>' in done.stderr
    assert "daskrun has no azureml.core.Keyvault: there is no key vault." in done.stderr


def test_what_is_no_script_is_said(tmp_path):
    done = run_as_original("gone.py", cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "script='gone.py' is not there. Write a Python file that is.\n"
    for arguments in ([], ["-x"], ["-m"]):
        done = run_as_original(*arguments, cwd=tmp_path, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("usage: python -m daskrun.azureml SCRIPT")
    assert run_as_original("--help", cwd=tmp_path).stdout.startswith("usage:")


LEFT = """
from azureml.core import Dataset, Experiment, Workspace
from azureml.pipeline.core import Pipeline, PipelineData
from azureml.pipeline.steps import ParallelRunConfig, ParallelRunStep

config = ParallelRunConfig(entry_script="fails.py", error_threshold=0, output_action="append_row")
step = ParallelRunStep("left", config, [Dataset.File.from_files("fails.py")], PipelineData("out"))
ws = Workspace.from_config()
Experiment(ws, "left").submit(Pipeline(ws, [step]))
"""


@pytest.mark.slow
def test_a_failed_run_that_nobody_waited_for_is_the_programs_failure(program):
    (program / "fails.py").write_text("def run(mini_batch):\n    raise ValueError('no luck')")
    (program / "left.py").write_text(LEFT)
    done = run_as_original("left.py", cwd=program, check=False)
    assert done.returncode == 1
    assert "the script has ended; waiting for run" in done.stderr
    assert "no luck" in done.stderr
