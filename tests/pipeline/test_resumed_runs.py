"""Runs that end early and are resumed: here, by another process, after a SIGKILL."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter

import pandas as pd
import pytest
from running import wait_for
from s3 import KEY, SECRET

from daskrun import (
    AmlCompute,
    ComputeTarget,
    ComputeTargetException,
    Dataset,
    DatasetConsumptionConfig,
    Datastore,
    Experiment,
    Pipeline,
    PipelineData,
    ResumeError,
    RunCanceledError,
    RunFailedError,
    SettingsError,
)
from daskrun.engine.history import KILL_AT
from daskrun.pipeline.runs import experiment as experiment_file
from daskrun.workspace.run_folders.run_folder import RunFolder

COUNTED = """
import os

def run(mini_batch):
    rows = []
    for path in mini_batch:
        name = os.path.basename(path)
        with open("{calls}", "a") as file:
            file.write(name + "\\n")
        {fault}
        rows.append(f"{{name}}: {{len(open(path).read())}}")
    return rows
"""
EXPECTED = "".join(f"{n}.txt: {n}\n" for n in range(10)).encode()
MAIN = """
import sys
from daskrun import *

ws = Workspace.create("trial")
config = ParallelRunConfig(
    entry_script="score.py", error_threshold=-1, output_action="append_row",
    compute_target="inline", mini_batch_size=1)
steps = [
    ParallelRunStep(
        name, config, [Dataset.File.from_files("files")], PipelineData("scores"), allow_reuse=False)
    for name in {names!r}]
for before, after in zip(steps, steps[1:]):
    after.run_after(before)
Experiment(ws, "trial").submit(Pipeline(ws, steps)).wait_for_completion()
"""


def write_script(work, fault="pass"):
    code = COUNTED.format(calls=work.path / "calls", fault=fault)
    (work.path / "score.py").write_text(code)


def calls(work):
    return (work.path / "calls").read_text().split()


def output_of(work, step_run):
    (store,) = [work.ws.get_default_datastore().folder]
    output = step_run._manifest.outputs[0]
    return (store / output.path_on_datastore / "parallel_run_step.txt").read_bytes()


def stored(work, monkeypatch=None):
    """Give the one run as another process has it."""
    if monkeypatch is not None:
        monkeypatch.setattr(experiment_file, "_live", {})
    (run,) = Experiment(work.ws, "trial").get_runs()
    return run


def killed(work, kill_at, names=("score-files",)):
    """Submit in another process, whose driver is killed at a point of the commit."""
    main = work.path / "main.py"
    main.write_text(MAIN.format(names=names))
    done = subprocess.run(
        [sys.executable, str(main)],
        env={**os.environ, KILL_AT: kill_at},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    return stored(work)


def failed(work, fault, **settings):
    """Give a run that has failed."""
    write_script(work, fault)
    run = work.submit(
        error_threshold=0, run_max_try=1, retry_delay=0, mini_batch_size=1, **settings
    )
    with pytest.raises(RunFailedError, match=r"resume\(retry_failed=True\).*get_run\('.*'\)"):
        run.wait_for_completion()
    return run


@pytest.fixture
def flag(work):
    """A file; while it is there the script fails for 6.txt."""
    path = work.path / "flag"
    path.touch()
    return path


def fault_while(flag):
    return f"assert name != '6.txt' or not os.path.exists({str(flag)!r}), 'not yet'"


@pytest.mark.parametrize("kill_at", ["journalled:2", "finalizing", "renamed", "finalized"])
def test_a_killed_driver_is_followed_by_another_process(work, kill_at):
    write_script(work)
    run = killed(work, kill_at)
    assert run.get_status() == "Failed"
    assert "process" in run.message
    assert run.resume() is run
    assert run.wait_for_completion() == "Completed"
    (step,) = run.get_steps()
    assert output_of(work, step) == EXPECTED
    assert sorted(calls(work)) == [f"{n}.txt" for n in range(10)]
    assert [each["status"] for each in step.get_details()["daskrun"]["states"]] == [
        "NotStarted",
        "Running",
        "Running",
        "Completed",
    ]
    assert not (step.folder / "resume.json").exists()
    assert [file.name for file in (step.folder / "listings").iterdir()] == ["0"]


def test_the_process_that_resumes_may_be_a_new_one(work):
    write_script(work)
    run = killed(work, "journalled:2")
    code = (
        "from daskrun import *\n"
        f"run = Experiment(Workspace.from_config(), 'trial').get_run({run.id!r})\n"
        "print(run.resume(run_invocation_timeout=30).wait_for_completion())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=True, text=True
    )
    assert done.stdout == "Completed\n"
    again = stored(work)
    assert again.get_status() == "Completed"
    assert output_of(work, again.get_steps()[0]) == EXPECTED


def test_steps_that_are_done_stay_and_later_ones_are_started(work):
    mark = work.path / "mark"
    mark.touch()
    fourteen = f"len(open({str(work.path / 'calls')!r}).readlines()) == 14"
    die = f"os.path.exists({str(mark)!r}) and (os.unlink({str(mark)!r}), os.kill(os.getpid(), 9))"
    write_script(work, f"{fourteen} and {die}")
    run = killed(work, "", names=("first-step", "second-step"))
    assert [step.get_status() for step in run.get_steps()] == ["Completed", "Failed"]
    left = run.get_steps()[0].folder / "resume.json"
    left.write_text("{}")  # of a driver that was killed right after the step's end
    run.resume().wait_for_completion()
    assert not left.exists()
    assert run.message == "all 2 steps are done."
    first, second = run.get_steps()
    assert output_of(work, first) == output_of(work, second) == EXPECTED
    assert calls(work)[:10] == [f"{n}.txt" for n in range(10)]
    assert len(calls(work)) <= 10 + 4 + 10  # what the inline driver held was not journalled
    assert len(first.get_details()["daskrun"]["states"]) == 3


def test_a_step_that_was_never_started_is(work):
    write_script(work)
    run = killed(work, "journalled:2", names=("first-step", "second-step"))
    assert [step.get_status() for step in run.get_steps()] == ["Failed", "Canceled"]
    run.get_steps()[1].resume()
    assert run.wait_for_completion() == "Completed"
    assert [output_of(work, step) for step in run.get_steps()] == [EXPECTED, EXPECTED]


def test_a_failed_run_gives_what_failed_new_tries(work, flag):
    run = failed(work, fault_while(flag))
    (step,) = run.get_steps()
    logs = step.folder / "logs"
    assert "resume(retry_failed=True)" in (logs / "job_result.txt").read_text()
    flag.unlink()
    with pytest.raises(RunFailedError):
        run.resume().wait_for_completion()
    assert calls(work).count("6.txt") == 1
    assert "not yet" in (logs / "job_error.txt").read_text()
    assert run.resume(retry_failed=True) is run
    assert run.wait_for_completion() == "Completed"
    assert output_of(work, step) == EXPECTED
    assert calls(work).count("6.txt") == 2
    assert calls(work).count("3.txt") == 1
    assert "not yet" in (logs / "job_error.txt").read_text()
    assert not (logs / "failed_items.txt").exists()
    with (logs / "sys/job_report/processed_mini-batches.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["Mini-batch Id"] for row in rows].count("6") == 2
    assert {row["Mini-batch Id"] for row in rows} == {str(n) for n in range(10)}
    with pytest.raises(ResumeError, match=r"is Completed, and no mini-batch of it has failed"):
        run.resume()


def test_what_failed_stays_listed_where_the_output_is_there_already(work):
    write_script(work, "assert name != '6.txt'")
    run = killed(work, "renamed")
    listed = run.get_steps()[0].folder / "logs" / "failed_items.txt"
    before = listed.read_text()
    assert before.endswith("6.txt\n")
    assert run.resume(retry_failed=True).wait_for_completion() == "Completed"
    assert listed.read_text() == before


@pytest.mark.slow
@pytest.mark.parametrize("target", ["inline", None])
def test_an_output_folder_that_was_removed_is_made_and_filled_again(work, flag, target):
    run = failed(work, fault_while(flag), compute_target=target, process_count_per_node=1)
    (step,) = run.get_steps()
    before = calls(work)
    shutil.rmtree(step.output_folder)
    flag.unlink()
    run.resume(retry_failed=True)
    assert run.wait_for_completion() == "Completed"
    assert output_of(work, step) == EXPECTED
    assert sorted(calls(work)[len(before) :]) == sorted(f"{n}.txt" for n in range(10))


def test_a_threshold_may_be_raised(work, flag):
    run = failed(work, fault_while(flag))
    run.resume(error_threshold="3").wait_for_completion()
    assert output_of(work, run.get_steps()[0]) == EXPECTED.replace(b"6.txt: 6\n", b"")
    assert calls(work).count("6.txt") == 1


def test_what_a_resume_changes_holds_for_the_next_one(work, flag, monkeypatch):
    run = failed(work, fault_while(flag))
    run.resume(run_max_try=2, retry_failed=True)
    assert run.wait_for_completion(raise_on_error=False) == "Failed"
    assert calls(work).count("6.txt") == 2
    stored(work, monkeypatch).resume(retry_failed=True).wait_for_completion(raise_on_error=False)
    assert calls(work).count("6.txt") == 2 + 2


def test_what_another_process_has_made_of_a_run_is_seen(work, flag):
    run = failed(work, fault_while(flag))
    flag.unlink()
    again = "retry_failed=True"
    code = (
        "from daskrun import *\n"
        f"run = Experiment(Workspace.from_config(), 'trial').get_run({run.id!r})\n"
        f"run.resume({again}).wait_for_completion()\n"
    )
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
    assert run.get_status() == "Failed"  # what this one came to
    assert Experiment(work.ws, "trial").get_run(run.id).get_status() == "Completed"


@pytest.mark.slow
def test_a_canceled_run_goes_on_in_the_same_process(work):
    write_script(work, "import time; time.sleep(0.2)")
    run = work.submit(mini_batch_size=1)
    wait_for(lambda: (work.path / "calls").exists() and len(calls(work)) > 3)
    run.cancel()
    with pytest.raises(RunCanceledError, match=r"run\.resume\(\)"):
        run.wait_for_completion()
    assert len(calls(work)) < 10
    assert run.resume().get_status() == "Running"
    assert Experiment(work.ws, "trial").get_run(run.id) is run
    assert run.wait_for_completion() == "Completed"
    assert output_of(work, run.get_steps()[0]) == EXPECTED
    assert len(calls(work)) <= 11


def test_a_run_that_is_driven_says_by_whom(work, monkeypatch):
    write_script(work, "import time; time.sleep(0.1)")
    run = work.submit(mini_batch_size=1)
    other = stored(work, monkeypatch)
    for each in (run, other):
        with pytest.raises(ResumeError, match=f"resumed now: .* process {os.getpid()} on "):
            each.resume()
    assert run.wait_for_completion() == "Completed"


def test_of_two_that_resume_at_once_one_does(work, flag, monkeypatch):
    run = failed(work, fault_while(flag))
    flag.unlink()
    write_script(work)  # of no concern: the snapshot is the run's own
    other = stored(work, monkeypatch)
    run.resume(retry_failed=True)
    with pytest.raises(ResumeError, match=r"being driven|nothing to do"):
        other.resume(retry_failed=True)
    assert run.wait_for_completion() == "Completed"
    assert other.wait_for_completion() == "Completed"
    assert output_of(work, run.get_steps()[0]) == EXPECTED


def change(work, what):
    files = work.path / "files"
    if what == "gone":
        (files / "2.txt").unlink()
    elif what == "new":
        (files / "77.txt").write_text("x")
    elif what == "size":
        (files / "3.txt").write_text("x" * 1234)
    elif what == "time":
        os.utime(files / "4.txt", (1, 1))


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("gone", r"input 'files': 1 file is gone: '2.txt'"),
        ("new", r"input 'files': 1 file is new: '77.txt'"),
        ("size", r"1 file is of another size: '3.txt': 3 → 1,234 bytes"),
        ("time", r"1 file is written again, with the same size: '4.txt'"),
    ],
)
def test_what_has_changed_in_the_data_is_named(work, flag, what, told):
    run = failed(work, fault_while(flag))
    states = len(run.get_details()["daskrun"]["states"])
    change(work, what)
    with pytest.raises(ResumeError, match=told):
        run.resume(retry_failed=True)
    assert run.get_status() == "Failed"
    assert len(run.get_details()["daskrun"]["states"]) == states
    assert not run._state.folder.is_driven()


def test_a_change_before_the_first_record_is_none(work, flag):
    run = failed(work, fault_while(flag))
    (run.get_steps()[0].folder / "journal").unlink()  # as one that was killed right before it
    change(work, "new")
    with pytest.raises(RunFailedError):
        run.resume().wait_for_completion()  # of the data as they are now
    change(work, "gone")
    with pytest.raises(ResumeError, match=r"'2\.txt'") as caught:
        run.resume(retry_failed=True)
    assert "77.txt" not in str(caught.value)


def test_a_changed_column_of_a_table_is_named(work, flag):
    table = work.path / "rows.csv"
    table.write_text("a,b\n1,x\n2,y\n")
    (work.path / "score.py").write_text("def run(m):\n    raise ValueError('no')\n")
    data = Dataset.Tabular.from_delimited_files("rows.csv")
    run = work.submit(
        work.make_step(
            inputs=[DatasetConsumptionConfig("rows", data)], run_max_try=1, error_threshold=0
        ),
        parameters=None,
    )
    run.wait_for_completion(raise_on_error=False)
    table.write_text("a,b\n1.5,x\n2,y\n")
    with pytest.raises(ResumeError, match=r"column 'a' was int and is float"):
        run.resume()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"mini_batch_size": 5}, r"mini_batch_size=5: the run has 1, and its results depend"),
        ({"output_action": "summary_only"}, r"output_action='summary_only': the run has"),
        ({"environment_variables": {"A": "hush"}}, r"environment_variables=\.\.\.: the run has"),
        ({"threads_per_process": 2}, r"threads_per_process=2"),
        ({"run_max_try": 0}, r"run_max_try=0 is out of range"),
        ({"run_max_trys": 3}, r"run_max_trys is not a setting\. Write run_max_try"),
        ({"retry_failed": "yes"}, r"retry_failed='yes': write True or False"),
        ({"compute_target": 5}, r"compute_target=5 is of type int"),
        ({"entry_script": "other.py"}, r"entry_script='other.py': the run has 'score.py'"),
    ],
)
def test_a_setting_that_cannot_be_changed_is_refused(work, flag, settings, told):
    run = failed(work, fault_while(flag))
    with pytest.raises(SettingsError, match=told) as caught:
        run.resume(**settings)
    assert "hush" not in str(caught.value)
    assert run.get_status() == "Failed"
    assert not run._state.folder.is_driven()


def test_a_setting_as_it_was_is_no_change(work, flag):
    run = failed(work, fault_while(flag))
    flag.unlink()
    run.resume(retry_failed=True, mini_batch_size="1", output_action="append_row")
    assert run.wait_for_completion() == "Completed"


def test_what_is_kept_is_for_this_user_alone(work, flag):
    run = failed(work, fault_while(flag), environment_variables={"TOKEN": "hush-hush"})
    (step,) = run.get_steps()
    kept = step.folder / "resume.json"
    assert kept.stat().st_mode & 0o077 == 0
    assert json.loads(kept.read_text())["settings"]["environment_variables"]["TOKEN"] == "hush-hush"
    others = [p for p in work.ws.folder.rglob("*") if p.is_file() and p != kept]
    assert [p for p in others if b"hush-hush" in p.read_bytes()] == []
    flag.unlink()
    run.resume(retry_failed=True).wait_for_completion()
    assert not kept.exists()


def test_a_dataframe_is_resumed_from_its_files(work, flag, monkeypatch):
    frame = pd.DataFrame({"a": range(1000)})
    code = f"import os\ndef run(m):\n    assert not os.path.exists({str(flag)!r})\n    return m"
    (work.path / "score.py").write_text(code)
    data = Dataset.Tabular.from_pandas_dataframe(frame)
    run = work.submit(
        work.make_step(
            inputs=[DatasetConsumptionConfig("rows", data)],
            run_max_try=1,
            error_threshold=0,
            mini_batch_size="1KB",
        )
    )
    run.wait_for_completion(raise_on_error=False)
    flag.unlink()
    again = stored(work, monkeypatch)
    again.resume(retry_failed=True).wait_for_completion()
    rows = output_of(work, again.get_steps()[0]).split()
    assert [int(row) for row in rows if row.isdigit()] == list(range(1000))


def test_a_run_that_was_killed_in_submit_says_so(work, flag):
    run = failed(work, fault_while(flag))
    (step,) = run.get_steps()
    whole = {
        **RunFolder(run.folder).manifest().values,
        "id": "later",
        "steps": [step.id, "later-x"],
    }
    folder = RunFolder(work.ws.runs_folder / "later")
    folder.create(whole)
    later = Experiment(work.ws, "trial").get_run("later")
    assert later.get_status() == "Failed"
    assert "submitted the run is gone" in later.message
    with pytest.raises(ResumeError, match="interrupted while it was being submitted, before later"):
        later.resume()
    RunFolder(work.ws.runs_folder / "later-x").create({"kind": "step", "name": "x"})
    (step.folder / "resume.json").unlink()
    with pytest.raises(ResumeError, match=r"has no resume\.json"):
        later.resume()
    assert not folder.is_driven()


class Hidden:
    """A datastore that only this process knows."""

    storage_options = {}  # noqa: RUF012

    def url(self, relative):
        return os.path.abspath(relative)


def test_data_that_only_one_process_knows_is_said(work, flag):
    write_script(work, fault_while(flag))
    data = Dataset.File.from_files((Hidden(), "files"))
    step = work.make_step(
        inputs=[DatasetConsumptionConfig("files", data)], run_max_try=1, error_threshold=0
    )
    run = work.submit(step)
    run.wait_for_completion(raise_on_error=False)
    with pytest.raises(ResumeError, match="is no registered datastore"):
        run.resume()


def test_a_step_goes_on_elsewhere(work, flag):
    run = failed(work, fault_while(flag))
    flag.unlink()
    run.resume(retry_failed=True, compute_target="inline").wait_for_completion()
    assert output_of(work, run.get_steps()[0]) == EXPECTED


def test_pipelines_of_other_experiments_are_untouched(work, flag):
    run = failed(work, fault_while(flag))
    other = Experiment(work.ws, "other").submit(Pipeline(work.ws, [work.make_step()]))
    assert other.wait_for_completion() == "Completed"
    assert run.get_status() == "Failed"


def test_an_output_on_s3_is_put_together_by_the_second_driver(work, flag, bucket, monkeypatch):
    store = Datastore.register_s3(
        work.ws, "cloud", bucket.name, endpoint_url=bucket.endpoint, key=KEY, secret=SECRET
    )
    write_script(work, fault_while(flag))
    run = work.submit(
        work.make_step(
            output=PipelineData("scores", datastore=store),
            mini_batch_size=1,
            run_max_try=1,
            error_threshold=0,
        )
    )
    run.wait_for_completion(raise_on_error=False)
    (step,) = run.get_steps()
    assert SECRET not in (step.folder / "resume.json").read_text()
    flag.unlink()
    again = stored(work, monkeypatch)
    assert again.resume(retry_failed=True).wait_for_completion() == "Completed"
    path = step._manifest.outputs[0].path_on_datastore
    assert bucket.get(f"{path}/parallel_run_step.txt") == EXPECTED
    assert calls(work).count("3.txt") == 1
    assert [key for key in bucket.keys() if "_daskrun" in key] == []  # noqa: SIM118


def test_more_nodes_than_the_target_has_are_refused(work, flag):
    run = failed(work, fault_while(flag))
    plan = AmlCompute.provisioning_configuration("any", max_nodes=2)
    target = ComputeTarget.create(work.ws, "small", plan)
    with pytest.raises(SettingsError, match=r"node_count=3 is more than .*'small'"):
        run.resume(node_count=3, compute_target=target)
    with pytest.raises(ComputeTargetException, match=r"'gone'.*run\.resume\(compute_target="):
        run.resume(compute_target="gone")
    assert run.get_status() == "Failed"


def test_a_run_that_was_killed_before_it_was_started_is_resumed(work):
    write_script(work)
    kill = "import os\nfrom daskrun.pipeline.execution.drive import PipelineDriver\n"
    kill += "PipelineDriver.start = lambda self: os.kill(os.getpid(), 9)\n"
    code = kill + MAIN.format(names=("first-step", "second-step"))
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    run = stored(work)
    assert [each["status"] for each in run.get_details()["daskrun"]["states"]] == ["NotStarted"]
    assert run.get_status() == "Failed"
    assert run.resume().wait_for_completion() == "Completed"
    assert [output_of(work, step) for step in run.get_steps()] == [EXPECTED, EXPECTED]


@pytest.mark.slow
def test_a_killed_driver_of_dask_workers_is_followed(work):
    write_script(work)
    main = MAIN.replace('compute_target="inline"', "process_count_per_node=1")
    done = subprocess.run(
        [sys.executable, "-c", main.format(names=("score-files",))],
        env={**os.environ, KILL_AT: "counted:1"},
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    run = stored(work)
    assert run.resume().wait_for_completion() == "Completed"
    assert output_of(work, run.get_steps()[0]) == EXPECTED
    assert max(Counter(calls(work)).values()) <= 2
