"""Metrics: from the script's processes to whoever asks, while the run goes on and after."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from daskrun import (
    Dataset,
    DatasetError,
    EntryScriptError,
    Experiment,
    NameNotFoundError,
    PipelineData,
    Run,
    SettingsError,
    Workspace,
)
from daskrun.pipeline.runs.metrics import OfflineRun
from daskrun.pipeline.runs.script_inputs import ScriptInputs
from daskrun.script.context import ScriptContext

SCRIPT = """
import os, signal
from pathlib import Path
from daskrun import Run

run_ = Run.get_context(allow_offline=False)

def init():
    run_.parent.log("started", os.getpid())

def run(mini_batch):
    for path in mini_batch:
        name = os.path.basename(path)
        run_.log("file", name)
        run_.log_row("sizes", file=name, size=len(open(path).read()))
    again = Path(mini_batch[0] + ".tried")
    if name == "5.txt" and not again.exists():
        again.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    run_.tag("kind", "text")
    return mini_batch
"""
FILES = [f"{n}.txt" for n in range(10)]


@pytest.mark.parametrize("target", ["inline", None])
def test_scripts_log_to_their_run_and_to_the_pipelines(work, target):
    script = SCRIPT if target is None else SCRIPT.replace("5.txt", "none")
    (work.path / "score.py").write_text(script)
    run = work.submit(compute_target=target, process_count_per_node=2 if target is None else None)
    assert run.wait_for_completion() == "Completed"
    step = run.find_step_run("score-files")[0]
    found = step.get_metrics()
    # mini-batch 1 was tried twice: what its killed process had logged is there
    expected = FILES if target == "inline" else sorted([*FILES, "3.txt", "4.txt", "5.txt"])
    assert sorted(found["file"]) == expected
    assert sorted(found["sizes"]["file"]) == expected
    rows = zip(found["sizes"]["file"], found["sizes"]["size"], strict=True)
    assert all(size == int(name[0]) for name, size in rows)
    started = run.get_metrics()["started"]
    assert isinstance(started, int) if target == "inline" else len(set(started)) >= 2
    assert step.get_metrics("file") == {"file": found["file"]}
    assert step.get_metrics("loss") == {}
    assert run.get_metrics(recursive=True) == {run.id: {"started": started}, step.id: found}
    assert step.get_tags() == {"kind": "text"}


def test_a_run_copied_to_another_place_still_tells_all(work):
    (work.path / "score.py").write_text(SCRIPT.replace("5.txt", "none"))
    (work.path / "roc.png").write_bytes(b"PNG")
    run = work.submit()
    run.wait_for_completion()
    step = run.find_step_run("score-files")[0]
    step.log_image("roc", path=work.path / "roc.png")
    details, metrics, logs = step.get_details(), step.get_metrics(), step.folder / "logs"
    told = {p.relative_to(logs): p.read_bytes() for p in logs.rglob("*") if p.is_file()}
    assert len(told) > 3
    other = Workspace.create("other", work.path / "far")
    shutil.copytree(work.ws.runs_folder, other.runs_folder, dirs_exist_ok=True)
    shutil.rmtree(work.ws.runs_folder)

    again = Experiment(other, "trial").get_run(run.id)
    found = again.find_step_run("score-files")[0]
    assert (again.get_status(), again.message) == ("Completed", run.message)
    copied = found.get_details()
    assert copied["logFiles"].keys() == details["logFiles"].keys() != set()
    assert copied.pop("logFiles") != details.pop("logFiles")
    assert copied["daskrun"].pop("logs") != details["daskrun"].pop("logs")
    assert copied == details
    assert copied["daskrun"]["report"]["items_succeeded"] == 10
    image = Path(found.get_metrics()["roc"])
    assert image.is_relative_to(other.runs_folder)
    assert image.read_bytes() == b"PNG"
    assert {**found.get_metrics(), "roc": ""} == {**metrics, "roc": ""}
    folder = found.folder / "logs"
    assert told == {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_metrics_are_told_while_the_run_goes_on(work):
    (work.path / "score.py").write_text(
        "import os, time\nfrom daskrun import Run\n"
        "def run(mini_batch):\n"
        "    Run.get_context().log('loss', 0.5)\n"
        "    while not os.path.exists(os.environ['GO']):\n"
        "        time.sleep(0.02)\n"
        "    return mini_batch\n"
    )
    go = work.path / "go"
    run = work.submit(
        compute_target=None, process_count_per_node=1, environment_variables={"GO": str(go)}
    )
    step = run.find_step_run("score-files")[0]
    deadline = time.monotonic() + 60
    while not step.get_metrics() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert step.get_metrics() == {"loss": 0.5}
    assert not step.status.ended
    go.touch()
    run.wait_for_completion()
    assert step.get_metrics() == {"loss": [0.5] * 4}


@pytest.mark.slow
def test_inputs_are_folders_of_files_and_datasets_of_tables(work):
    (work.path / "table.csv").write_text("a,b\n1,2\n3,4\n")
    table = Dataset.Tabular.from_delimited_files(str(work.path / "table.csv"))
    (work.path / "score.py").write_text(
        "from daskrun import Run\n"
        "def run(mini_batch):\n"
        "    run_ = Run.get_context()\n"
        "    found = run_.input_datasets['rows']\n"
        "    run_.log('columns', ','.join(found.to_pandas_dataframe().columns))\n"
        "    run_.log('experiment', run_.experiment.name)\n"
        "    run_.log('workspace', run_.experiment.workspace.name)\n"
        "    run_.log('names', ','.join(run_.input_datasets))\n"
        "    return mini_batch\n"
    )
    inputs = [table.as_named_input("rows")]
    run = work.submit(inputs=inputs, compute_target=None, mini_batch_size="1MB")
    run.wait_for_completion()
    expected = {"columns": "a,b", "experiment": "trial", "workspace": "trial", "names": "rows"}
    assert run.get_steps()[0].get_metrics() == expected

    (work.path / "score.py").write_text(
        "from daskrun import Run\n"
        "def run(mini_batch):\n"
        "    run_ = Run.get_context()\n"
        "    run_.log('folder', run_.input_datasets['files'])\n"
        "    try:\n"
        "        run_.input_datasets['fils']\n"
        "    except KeyError as error:\n"
        "        run_.log('error', str(error))\n"
        "    return mini_batch\n"
    )
    run = work.submit(mini_batch_size=100)
    run.wait_for_completion()
    found = run.get_steps()[0].get_metrics()
    assert found["folder"] == str(work.path / "files")
    assert found["error"] == "no input dataset has the name 'fils'. There are 'files'."


def test_a_dataset_that_only_the_submitting_process_knows_says_so(work):
    class Place:
        """A datastore without a name."""

        storage_options = {}  # noqa: RUF012

        def url(self, path=""):
            return str(work.path / path)

    (work.path / "table.csv").write_text("a\n1\n")
    table = Dataset.Tabular.from_delimited_files((Place(), "table.csv"))
    (work.path / "score.py").write_text(
        "from daskrun import Run\n"
        "def run(mini_batch):\n"
        "    Run.get_context().input_datasets['rows']\n"
        "    return mini_batch\n"
    )
    run = work.submit(inputs=[table.as_named_input("rows")], mini_batch_size=None)
    run.wait_for_completion(raise_on_error=False)
    message = run.get_steps()[0].get_details()["daskrun"]["report"]["errors"][0]["text"]
    assert DatasetError.__name__ in message
    assert "input_datasets['rows'] can't be had in a script process" in message


def test_outside_a_run_it_prints_and_remembers(capsys, tmp_path, monkeypatch):
    run = OfflineRun()
    run.log("loss", np.float32(0.5))
    run.log("loss", np.array([2]), description="of the second")
    run.log_list("few", np.arange(3))
    run.log_table("curve", {"x": [1, 2], "y": (3, 4)})
    run.parent.log_row("row", x=None)
    assert capsys.readouterr().out == (
        "loss: 0.5\nloss (of the second): 2\nfew: [0, 1, 2]\n"
        "curve: {'x': [1, 2], 'y': [3, 4]}\nrow: {'x': None}\n"
    )
    expected = {
        "loss": [0.5, 2],
        "few": [0, 1, 2],
        "curve": {"x": [1, 2], "y": [3, 4]},
        "row": {"x": None},
    }
    assert run.get_metrics() == expected
    assert run.get_metrics(recursive=True) == {run.id: expected}
    assert run.id.startswith("OfflineRun_")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EntryScriptError, match="experiment: this process runs no entry script"):
        _ = run.experiment
    with pytest.raises(NameNotFoundError, match="no input dataset has the name 'files'"):
        _ = run.input_datasets["files"]
    assert isinstance(Run.get_context(), OfflineRun)
    assert Run.get_context().id == Run.get_context().id
    with pytest.raises(EntryScriptError, match="allow_offline=False: this process runs no"):
        Run.get_context(allow_offline=False)


class Figure:
    """As little of a figure of matplotlib as is used."""

    def savefig(self, file, format):
        file.write(f"as {format}".encode())


def test_images_are_files_or_plots(work):
    run = work.submit()
    run.wait_for_completion()
    run.log_image("plot", plot=Figure())
    run.log_image("file", path="files/3.txt")
    found = run.get_metrics()
    assert Path(found["plot"]).read_bytes() == b"as png"
    assert Path(found["file"]).read_text() == "xxx"
    assert Path(found["file"]).suffix == ".txt"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: run.log("", 1), "log: name='' is not a name. Write name='loss'"),
        (lambda run: run.log(7, 1), "log: name=7 is not a name"),
        (lambda run: run.log("x", [1, 2]), r"x=\[1, 2\] is of type list, not a number.*log_list"),
        (lambda run: run.log("x", np.arange(2)), r"x=array\(\[0, 1\]\) is of type ndarray"),
        (lambda run: run.log_list("x", 5), r"value=5 is not a list. Write value=\[0.6, 0.7\]"),
        (lambda run: run.log_list("x", [{}]), "value={} is of type dict"),
        (lambda run: run.log_row("x"), "'x' has no column. Write log_row"),
        (lambda run: run.log_row("x", a=[1]), r"a=\[1\] is of type list.*one value for each"),
        (lambda run: run.log_table("x", [1]), r"value=\[1\] has no columns. Write log_table"),
        (
            lambda run: run.log_table("x", {"a": [1], "b": [1, 2]}),
            "columns of 'x' differ in length: 'a' has 1, 'b' has 2",
        ),
        (lambda run: run.log_table("x", {"a": 1}), r"a=1 is not a list. Write a=\["),
        (lambda run: run.log_image("x"), "there is neither path nor plot. Write log_image"),
        (lambda run: run.log_image("x", "a.png", Figure()), "there is both path and plot"),
        (lambda run: run.log_image("x", "none.png"), "path='none.png' can't be read: .*No such"),
        (lambda run: run.log_image("x", plot=3), r"plot=3 is no figure: it has no savefig\(\)"),
        (lambda run: run.tag(""), "tag: name='' is not a name"),
    ],
)
def test_what_cannot_be_logged_is_said(call, message):
    run = OfflineRun()
    with pytest.raises(SettingsError, match=message):
        call(run)
    assert run.get_metrics() == {}


def test_logging_loads_nothing_heavy():
    code = (
        "import sys\nfrom daskrun import Run\nRun.get_context().log('a', 1)\n"
        "print(*sys.modules, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = {"pandas", "numpy", "pyarrow", "fsspec", "dask", "distributed", "rich", "psutil"}
    assert loaded & (heavy | {"daskrun.engine"}) == set()


def test_an_output_is_not_needed_to_log(work):
    (work.path / "score.py").write_text(SCRIPT.replace("5.txt", "none"))
    run = work.submit(output_action="summary_only", output=PipelineData("files"))
    assert run.wait_for_completion() == "Completed"
    assert run.get_steps()[0].get_metrics()["file"] == FILES


def test_inputs_are_shown_by_name():
    datasets = {"words": "/data/words", "orders": ""}
    run = ScriptContext(input_datasets=datasets, tables=["orders"])
    shown = "input_datasets({'words': '/data/words', 'orders': 'a table'})"
    assert repr(ScriptInputs(run)) == shown
