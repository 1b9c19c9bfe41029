"""Runs of a workspace behind a URL, seen and gone on with by other processes and machines."""

import functools
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from clusters import Cluster
from running import left_behind, wait_for, wait_until_nothing_is_left
from s3 import KEY, SECRET

from daskrun import (
    ComputeTarget,
    Dataset,
    DatasetConsumptionConfig,
    Datastore,
    Experiment,
    Model,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    PublishedPipeline,
    PythonScriptStep,
    ResumeError,
    RunDetails,
    RunFailedError,
    Workspace,
)
from daskrun.engine.checkpoints import KILL_AT
from daskrun.engine.history import History
from daskrun.errors import StorageError
from daskrun.script.leftovers import base_folder, clear_leftovers
from daskrun.storage import lease as lease_file
from daskrun.storage.s3 import Multipart
from daskrun.storage.url_folder import open_url_folder
from daskrun.testing import account
from daskrun.workspace import hold, working_copy

SCRIPT = """
import os, pathlib, time
from daskrun import Model, Run

def init():
    global weight
    weight = pathlib.Path(Model.get_model_path("weights")).read_text()

def run(mini_batch):
    rows = []
    for path in mini_batch:
        name = os.path.basename(path)
        with open(CALLS, "a") as file:
            file.write(name + "\\n")
        while os.path.exists(GATE):
            time.sleep(0.02)
        Run.get_context().log("files", 1)
        Run.get_context().parent.log("seen", name)
        print("seen", name)
        rows.append(f"{name}: {weight}")
    return rows
"""
MAIN = """
import json, sys
from daskrun import *

ws = Workspace(sys.argv[1])
config = ParallelRunConfig(
    entry_script="score.py", source_directory="code", error_threshold=-1, mini_batch_size=1,
    output_action="append_row", compute_target=sys.argv[2] or None, process_count_per_node=1)
files = Dataset.File.from_files("files").as_named_input("files")
step = ParallelRunStep("score", config, [files], PipelineData("scores"), allow_reuse=False)
run = Experiment(ws, "trial").submit(Pipeline(ws, [step]))
print(run.id, flush=True)
run.wait_for_completion()
"""
CALLS_A_TOOL = """
import pathlib, subprocess

def run(mini_batch):
    tool = pathlib.Path(__file__).with_name("tool.sh")
    return subprocess.run([tool], check=True, capture_output=True, text=True).stdout.split()
"""
NAMES = [f"{number}.txt" for number in range(10)]
EXPECTED = "".join(f"{name}: heavy\n" for name in NAMES)


@pytest.fixture
def work(bucket, tmp_path, own_temporary_folder, monkeypatch):
    """Give a workspace on S3 that every process finds the key of, files, and a script."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": bucket.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(hold, "INTERVAL", 0.5)
    monkeypatch.setattr(hold, "AGAIN", 0.2)
    (tmp_path / "files").mkdir()
    for name in NAMES:
        (tmp_path / "files" / name).write_text(name)
    (tmp_path / "code").mkdir()
    paths = f"CALLS, GATE = {str(tmp_path / 'calls')!r}, {str(tmp_path / 'gate')!r}\n"
    (tmp_path / "code/score.py").write_text(paths + SCRIPT)
    (tmp_path / "weights.txt").write_text("heavy")
    ws = Workspace.create("team", path=f"{bucket.url}/team")
    Model.register(ws, tmp_path / "weights.txt", "weights")

    def make_step(name="score", inputs=None, output="scores", **settings):
        values = {
            "entry_script": "score.py",
            "source_directory": "code",
            "error_threshold": -1,
            "output_action": "append_row",
            "mini_batch_size": 1,
            "process_count_per_node": 1,
            "compute_target": "inline",
        }
        reuse = settings.pop("allow_reuse", False)
        config = ParallelRunConfig(**{**values, **settings})
        files = DatasetConsumptionConfig("files", Dataset.File.from_files("files"))
        output = PipelineData(output) if isinstance(output, str) else output
        return ParallelRunStep(name, config, inputs or [files], output, allow_reuse=reuse)

    def submit(step=None, **settings):
        pipeline = Pipeline(ws, [step or make_step(**settings)])
        return Experiment(ws, "trial").submit(pipeline)

    yield SimpleNamespace(ws=ws, path=tmp_path, make_step=make_step, submit=submit, bucket=bucket)
    working_copy.remove_copies()  # the process goes on with other tests
    clear_leftovers(base_folder())  # as the next run here does
    assert wait_until_nothing_is_left() == []


def output_of(run):
    (step,) = run.get_steps()
    reference = step.get_output_data("scores")
    store = reference.datastore
    path = Path(os.environ["TMPDIR"]).parent / f"result-{time.monotonic_ns()}"
    store.download(path, reference.path_on_datastore, show_progress=False)
    (file,) = path.rglob("parallel_run_step.txt")
    return file.read_text()


def calls(work):
    return (work.path / "calls").read_text().split()


def other(work, code, *, elsewhere=False, check=True):
    """Run code in another process, with ``ws``; ``elsewhere``: as if on another machine."""
    start = f"from daskrun import *\nws = Workspace({work.ws.location!r})\n"
    if elsewhere:
        start = (
            "from daskrun.storage import lease\n"
            "lease._machine = lambda: 'another'\nlease.OLD, lease.LOOK = 1.0, 0.1\n" + start
        )
    command = [sys.executable, "-c", start + code]
    done = subprocess.run(command, capture_output=True, timeout=90, check=False, text=True)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


def driver(work, target="inline", **variables):
    """Start a process that submits a run and waits for it."""
    (work.path / "main.py").write_text(MAIN)
    command = [sys.executable, "main.py", work.ws.location, target]
    environment = {**os.environ, **variables}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def killed(work, kill_at, target="inline"):
    process = driver(work, target, **{KILL_AT: kill_at})
    run_id = process.communicate(timeout=60)[0].splitlines()[0]
    assert process.returncode == -signal.SIGKILL
    return run_id


@pytest.mark.parametrize("target", ["inline", None])
def test_a_run_is_whole_behind_the_url(work, target):
    run = work.submit(compute_target=target)
    assert run.wait_for_completion() == "Completed"
    assert output_of(run) == EXPECTED
    account(run).check()
    told = json.loads(
        other(
            work,
            f"run = ws.get_run({run.id!r})\n"
            "(step,) = run.get_steps()\n"
            "import json\n"
            "told = [run.get_status(), step.get_metrics(), run.get_metrics(), run.sentence,\n"
            "    sorted(run.get_details_with_logs()['logFiles']), step.get_details()['states'],\n"
            "    [ws.models['weights'].version, [each.id for each in "
            "Experiment(ws, 'trial').get_runs()]]]\n"
            "print(json.dumps(told))\n",
        )
    )
    status, metrics, whole, sentence, logs, states, (version, ids) = told
    assert (status, version, ids) == ("Completed", 1, [run.id])
    assert sum(metrics["files"]) == len(metrics["files"]) == 10
    assert sorted(whole["seen"]) == NAMES
    assert sentence == run.sentence
    assert f"{run.get_steps()[0].id}/logs/job_result.txt" in logs
    assert [each["status"] for each in states] == ["NotStarted", "Running", "Completed"]
    if target is None:
        stdout = f"{run.get_steps()[0].id}/logs/user/stdout/node000/process000.stdout.txt"
        assert work.bucket.get(f"team/.daskrun/runs/{stdout}").count(b"seen") == 10
    keys = work.bucket.keys()
    assert not [key for key in keys if key.endswith(("resume.json", "driver.lock", "cancel.json"))]
    assert not [key for key in keys if SECRET.encode() in work.bucket.get(key)]


def test_where_a_run_is_is_told_as_it_is_there_tomorrow(work):
    run = work.submit()
    run.wait_for_completion()
    text = RunDetails(run).text()
    assert f"kept in {work.ws.location}/runs/{run.id}" in text
    assert os.environ["TMPDIR"] not in text
    assert run.get_details()["logs"] == f"{work.ws.location}/runs/{run.id}/logs"
    story = run.get_steps()[0].get_details()["story"]
    assert story["workspace"] == work.ws.location
    assert (run.get_steps()[0].folder / "logs/job_result.txt").is_file()


@pytest.mark.parametrize("kill_at", ["written:1", "journalled:1", "counted:2", "finalized"])
def test_a_killed_driver_is_followed_on_this_machine(work, kill_at):
    run_id = killed(work, kill_at)
    run = work.ws.get_run(run_id)
    assert run.get_status() == "Failed"
    assert "the process that drove the run is gone" in run.sentence
    assert run.resume().wait_for_completion() == "Completed"
    assert output_of(run) == EXPECTED
    account(run).check()
    assert {*calls(work)} == {*NAMES}
    assert calls(work).count("0.txt") == (2 if kill_at == "written:1" else 1)


def test_a_killed_driver_is_followed_on_another_machine_once_its_lease_is_old(work):
    run_id = killed(work, "journalled:2", target="")
    wait_until_nothing_is_left(limit=10)
    code = (
        f"run = ws.get_run({run_id!r})\n"
        "print(run.get_status())\n"
        "print(run.resume().wait_for_completion())\n"
    )
    assert other(work, code, elsewhere=True).split() == ["Running", "Completed"]
    run = work.ws.get_run(run_id)
    assert run.get_status() == "Completed"
    assert output_of(run) == EXPECTED
    account(run).check()
    states = [each["status"] for each in run.get_details()["states"]]
    assert states == ["NotStarted", "Running", "Running", "Completed"]


def test_who_looks_first_brings_what_is_needed_and_leaves_nothing(work):
    run_id = killed(work, "journalled:1")
    for _ in range(2):
        assert other(work, f"print(ws.get_run({run_id!r}).get_status())") == "Failed"
    # what the killed process had on its disk went with the next one on this machine
    assert len([name for name in left_behind() if "folder workspace-" in name]) == 1
    work.submit().wait_for_completion()


def test_another_process_cancels(work):
    (work.path / "gate").touch()
    run = work.submit(compute_target=None)
    wait_for(lambda: (work.path / "calls").exists(), 30)
    other(work, f"ws.get_run({run.id!r}).cancel('enough')", elsewhere=True)
    wait_for(lambda: run.get_status() == "Canceled", 30)
    assert "enough (in process" in run.sentence
    assert other(work, f"print(ws.get_run({run.id!r}).get_status())") == "Canceled"
    (work.path / "gate").unlink()
    assert run.resume().wait_for_completion() == "Completed"
    assert output_of(run) == EXPECTED


def test_a_run_that_is_driven_can_not_be_resumed(work):
    (work.path / "gate").touch()
    run = work.submit(compute_target=None)
    wait_for(lambda: (work.path / "calls").exists(), 30)
    code = (
        f"run = ws.get_run({run.id!r})\nprint(run.get_status())\n"
        "try:\n    run.resume()\nexcept ResumeError as error:\n    print(error)\n"
    )
    told = other(work, code).splitlines()
    assert told[0] == "Running"
    assert f"is locked by process {os.getpid()} on" in told[1]
    with pytest.raises(ResumeError, match="driven by this process already"):
        run.resume()
    (work.path / "gate").unlink()
    assert run.wait_for_completion() == "Completed"


def test_a_driver_that_was_taken_over_commits_nothing_more(work, monkeypatch):
    """As one that was stopped for a minute: it wakes up and goes on, unaware of the other."""
    (work.path / "gate").touch()
    process = driver(work, target="")
    run_id = process.stdout.readline().strip()
    wait_for(lambda: (work.path / "calls").exists(), 30)
    process.send_signal(signal.SIGSTOP)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(lease_file, "_machine", lambda: "another")
        elsewhere.setattr(lease_file, "OLD", 0.5)
        elsewhere.setattr(lease_file, "LOOK", 0.1)
        run = work.ws.get_run(run_id)
        run.resume()
        (work.path / "gate").unlink()
        assert run.wait_for_completion() == "Completed"
    process.send_signal(signal.SIGCONT)
    process.wait(60)
    assert process.returncode == 1
    assert output_of(run) == EXPECTED
    account(run).check()
    states = [each["status"] for each in work.ws.get_run(run_id).get_details()["states"]]
    assert states[-1] == "Completed"
    assert "Failed" not in states


@pytest.mark.parametrize("what_it_does", ["commits", "waits"])
def test_a_driver_that_wakes_up_while_the_next_one_begins(work, monkeypatch, what_it_does):
    """The next one has brought the journal, and not written anything yet."""
    gate = work.path / "gate"
    gate.touch()
    process = driver(work, target="")
    run_id = process.stdout.readline().strip()
    wait_for(lambda: (work.path / "calls").exists(), 30)
    process.send_signal(signal.SIGSTOP)
    begin = History.open

    def begin_late(self):
        if what_it_does == "commits":
            gate.unlink()
        process.send_signal(signal.SIGCONT)
        process.wait(60)
        gate.unlink(missing_ok=True)
        return begin(self)

    monkeypatch.setattr(History, "open", begin_late)
    monkeypatch.setattr(lease_file, "_machine", lambda: "another")
    monkeypatch.setattr(lease_file, "OLD", 0.5)
    monkeypatch.setattr(lease_file, "LOOK", 0.1)
    run = work.ws.get_run(run_id)
    assert run.resume().wait_for_completion() == "Completed"
    assert process.returncode == 1
    assert output_of(run) == EXPECTED
    account(run).check()
    states = [each["status"] for each in work.ws.get_run(run_id).get_details()["states"]]
    assert states == ["NotStarted", "Running", "Running", "Completed"]


STOPS_BEFORE_ITS_OUTPUT_APPEARS = """
import os, signal
from daskrun.storage import s3

commit = s3.Multipart.commit

def commit_late(self, overwrite):
    os.kill(os.getpid(), signal.SIGSTOP)
    commit(self, overwrite)

s3.Multipart.commit = commit_late
"""


@pytest.mark.parametrize("wakes_up", ["before the next one publishes", "at the end"])
def test_a_driver_that_was_taken_over_publishes_nothing(work, monkeypatch, wakes_up):
    """It was stopped when all was committed, and its output about to appear."""
    (work.path / "stops.py").write_text(STOPS_BEFORE_ITS_OUTPUT_APPEARS + MAIN)
    command = [sys.executable, "stops.py", work.ws.location, "inline"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    run_id = process.stdout.readline().strip()
    status = Path(f"/proc/{process.pid}/stat")
    wait_for(lambda: status.read_text().rpartition(")")[2].split()[0] == "T", 40)
    commit = Multipart.commit

    def wake_up(*_):
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=60)

    def commit_later(self, overwrite):
        wake_up()
        commit(self, overwrite)

    if wakes_up != "at the end":
        monkeypatch.setattr(Multipart, "commit", commit_later)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(lease_file, "_machine", lambda: "another")
        elsewhere.setattr(lease_file, "OLD", 0.5)
        elsewhere.setattr(lease_file, "LOOK", 0.1)
        run = work.ws.get_run(run_id)
        assert run.resume().wait_for_completion() == "Completed"
    if wakes_up == "at the end":
        (key,) = [
            key for key in sorted(work.bucket.keys()) if key.endswith("parallel_run_step.txt")
        ]
        version = work.bucket.get(key)
        work.bucket.put(key, version + b"what is there now\n")
        wake_up()
        assert work.bucket.get(key).endswith(b"what is there now\n")
        work.bucket.put(key, version)
    assert process.returncode == 1
    assert output_of(run) == EXPECTED
    account(run).check()


def test_a_resume_that_is_refused_leaves_no_trace(work):
    run = work.submit()
    run.wait_for_completion()
    wait_for(lambda: not run._state.folder.is_driven())
    before = work.bucket.keys()
    with pytest.raises(ResumeError, match="is Completed: there is nothing to do"):
        run.resume()
    assert work.bucket.keys() == before


def test_a_state_that_the_store_refuses_at_the_end_is_put_all_the_same(work):
    (work.path / "gate").touch()
    run = work.submit(compute_target=None)
    wait_for(lambda: (work.path / "calls").exists(), 30)
    work.bucket.fail("PUT", "/states/", count=4, status=403)
    (work.path / "gate").unlink()
    assert run.wait_for_completion() == "Completed"
    keys = work.bucket.keys()
    states = [key for key in keys if f"{run.id}/states/" in key]
    assert len(states) == 2
    wait_for(lambda: not run._state.folder.is_driven(), 30)
    assert other(work, f"print(ws.get_run({run.id!r}).get_status())") == "Completed"
    assert not run._state.folder._hold.lease.held


def test_a_script_that_has_ended_waits_for_a_store_that_refuses_its_last_state(work):
    (work.path / "gate").touch()
    process = driver(work, target="")
    run_id = process.stdout.readline().strip()
    wait_for(lambda: (work.path / "calls").exists(), 30)
    for name in ("/states/", "report.json", "/logs/"):
        work.bucket.fail("PUT", name, count=2, status=403)
    (work.path / "gate").unlink()
    process.communicate(timeout=60)
    assert process.returncode == 0
    run = work.ws.get_run(run_id)
    assert run.get_status() == "Completed"
    assert run.get_steps()[0].get_status() == "Completed"
    assert run.get_steps()[0].get_details()["report"]["succeeded"] == len(NAMES)


def test_ctrl_c_waits_for_no_store_that_is_gone(work):
    (work.path / "gate").touch()
    limit = "from daskrun.pipeline import lifetime\nlifetime.CANCEL_LIMIT = 1.0\n"
    (work.path / "short.py").write_text(limit + MAIN)
    command = [sys.executable, "short.py", work.ws.location, ""]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, **pipes)
    run_id = process.stdout.readline().strip()
    wait_for(lambda: (work.path / "calls").exists(), 30)
    for method in ("GET", "PUT", "HEAD", "POST"):
        work.bucket.fail(method, "", count=10**6, status=503)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)  # a store that is asked patiently takes minutes
    work.bucket.heal()
    assert f"run {run_id} has not ended 1 s after it was canceled" in told
    assert process.returncode == 128 + signal.SIGINT
    assert work.ws.get_run(run_id).get_status() == "Failed"  # it could not be noted otherwise
    (work.path / "gate").unlink()
    assert work.ws.get_run(run_id).resume().wait_for_completion() == "Completed"


def test_what_a_store_says_when_a_step_begins_is_told(work, monkeypatch):
    def refused(*_):
        raise StorageError("s3://there can't be reached")

    monkeypatch.setattr("daskrun.workspace.url_run.UrlRun.forget_report", refused)
    run = work.submit()
    with pytest.raises(RunFailedError, match="s3://there can't be reached"):
        run.wait_for_completion()
    assert "daskrun itself" not in run.sentence


def test_a_url_with_a_secret_is_not_kept(work, request):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    (work.path / "gate").touch()
    handler = functools.partial(Quiet, directory=work.path / "files")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    request.addfinalizer(server.server_close)
    request.addfinalizer(server.shutdown)
    threading.Thread(target=server.serve_forever).start()
    url = f"http://127.0.0.1:{server.server_port}/0.txt?token=hush-hush"
    files = DatasetConsumptionConfig("files", Dataset.File.from_files(url))
    run = work.submit(work.make_step(inputs=[files], compute_target=None))
    wait_for(lambda: (work.path / "calls").exists(), 30)
    keys = work.bucket.keys()
    assert [key for key in keys if key.endswith("resume.json")]
    assert [key for key in keys if b"hush-hush" in work.bucket.get(key)] == []
    run.cancel()
    assert run.wait_for_completion(raise_on_error=False) == "Canceled"
    (work.path / "code/bad.py").write_text("def run(mini_batch):\n    raise ValueError('bad')\n")
    bad = work.submit(work.make_step(inputs=[files], entry_script="bad.py"))
    assert bad.wait_for_completion(raise_on_error=False) == "Failed"
    wait_for(lambda: not bad._state.folder.is_driven())
    keys = work.bucket.keys()
    assert [key for key in keys if key.endswith("failed_items.txt")]
    assert [key for key in keys if b"hush-hush" in work.bucket.get(key)] == []
    with pytest.raises(ResumeError, match=r"a password or query.*EnvironmentVariable\('NAME'\)"):
        run.resume()


def test_a_store_that_fails_ends_the_run_which_can_go_on(work):
    (work.path / "gate").touch()
    run = work.submit(compute_target=None)
    wait_for(lambda: (work.path / "calls").exists(), 30)
    work.bucket.fail("PUT", "/journal/", count=2, status=403)  # also when it is closed
    (work.path / "gate").unlink()
    with pytest.raises(RunFailedError, match=r"can't write s3://.*/journal/\d+"):
        run.wait_for_completion()
    # what was written here alone never counted: the journal there has no hole
    assert run.resume().wait_for_completion() == "Completed"
    assert output_of(run) == EXPECTED
    step_id = run.get_steps()[0].id
    code = f"from daskrun.testing import account\naccount(ws.get_run({step_id!r})).check()\n"
    other(work, code)


def test_nodes_on_other_machines_work_in_copies(work, forks):
    cluster = Cluster(work.path)
    try:
        cluster.have_workers(2)
        target = ComputeTarget.attach(work.ws, "cluster", address=cluster.address)
        run = work.submit(compute_target=target, node_count=2)
        moved = work.ws.folder  # nodes have no need of what this process has
        assert run.wait_for_completion() == "Completed"
        assert output_of(run) == EXPECTED
        account(run).check()
        (step,) = run.get_steps()
        assert sum(step.get_metrics()["files"]) == 10
        assert sorted(run.get_metrics()["seen"]) == NAMES
        logs = step.get_details_with_logs()["logFiles"]
        seen = "".join(text for name, text in logs.items() if "/user/stdout/" in name)
        assert seen.count("seen") == 10
        assert str(moved) not in str(sorted(logs))
        wait_for(lambda: not [n for n in left_behind() if run.id in n and "process" not in n], 10)
        (work.path / "code/tool.sh").write_text("#!/bin/sh\necho tool")
        (work.path / "code/tool.sh").chmod(0o755)
        (work.path / "code/call.py").write_text(CALLS_A_TOOL)
        run = work.submit(entry_script="call.py", compute_target=target, node_count=2)
        run.wait_for_completion()
        assert output_of(run) == "tool\n" * 10
    finally:
        cluster.close()


def test_reuse_since_and_published_pipelines_in_other_processes(work):
    first = work.submit(allow_reuse=True)
    first.wait_for_completion()
    code = (
        "from pathlib import Path\n"
        "config = ParallelRunConfig(entry_script='score.py', source_directory='code',\n"
        "    error_threshold=-1, output_action='append_row', mini_batch_size=1,\n"
        "    process_count_per_node=1, compute_target='inline')\n"
        "files = Dataset.File.from_files('files').as_named_input('files')\n"
        "step = ParallelRunStep('score', config, [files], PipelineData('scores'))\n"
        "pipeline = Pipeline(ws, [step])\n"
        "run = Experiment(ws, 'trial').submit(pipeline)\n"
        "run.wait_for_completion()\n"
        "print(run.get_steps()[0].reused_run_id)\n"
        "Path('files/new.txt').write_text('new')\n"
        f"late = Experiment(ws, 'trial').submit(pipeline, since={first.id!r})\n"
        "late.wait_for_completion()\n"
        "print(late.get_details()['states'][-1]['sentence'])\n"
        "print(pipeline.publish('nightly').id)\n"
    )
    said = [line for line in other(work, code).splitlines() if not line.startswith("seen")]
    reused, sentence, published = said
    assert reused == first.get_steps()[0].id
    assert sentence == "1 of 1 mini-batches succeeded."
    (work.path / "code/score.py").unlink()  # the published one has its own
    pipeline = PublishedPipeline.get(work.ws, published)
    run = pipeline.submit(work.ws, "trial")
    assert run.wait_for_completion() == "Completed"
    assert output_of(run) == EXPECTED + "new.txt: heavy\n"
    assert run.get_steps()[0].explain_reuse().nearest is not None


@pytest.mark.parametrize("target", ["inline", None])
def test_dataframes_lie_beside_the_run_where_the_output_is_behind_a_url(work, target):
    script = (
        "import os, time\n"
        f"GATE = {str(work.path / 'gate')!r}\n"
        "def run(mini_batch):\n"
        "    assert not os.path.exists(GATE), 'not yet'\n"
        "    return mini_batch\n"
    )
    (work.path / "code/rows.py").write_text(script)
    (work.path / "gate").touch()
    frame = pd.DataFrame({"n": range(100), "text": ["é"] * 100})
    data = Dataset.Tabular.from_pandas_dataframe(frame).as_named_input("frame")
    step = work.make_step(
        inputs=[data], entry_script="rows.py", mini_batch_size="1KB", error_threshold=0,
        compute_target=target, run_max_try=1,
    )  # fmt: skip
    run = work.submit(step)
    with pytest.raises(RunFailedError, match="not yet"):
        run.wait_for_completion()
    kept = [key for key in sorted(work.bucket.keys()) if "/inputs/0/" in key]
    assert len(kept) == 1
    (work.path / "gate").unlink()
    code = f"print(ws.get_run({run.id!r}).resume(retry_failed=True).wait_for_completion())"
    assert other(work, code) == "Completed"
    again = work.ws.get_run(run.id)
    assert output_of(again) == "".join(f"{n} é\n" for n in range(100))
    assert not [key for key in sorted(work.bucket.keys()) if "/inputs/0/" in key]


@pytest.mark.parametrize("where", ["here", "cluster"])
def test_a_script_that_is_run_as_a_whole(work, where, forks):
    code = (
        "import os, sys, pathlib, helper\n"
        f"assert not os.path.exists({str(work.path / 'gate')!r}), 'not yet'\n"
        "pathlib.Path(sys.argv[1], 'made.txt').write_text(helper.TEXT)\n"
    )
    (work.path / "code/whole.py").write_text(code)
    (work.path / "code/helper.py").write_text("TEXT = 'made'\n")
    (work.path / "gate").touch()
    made = PipelineData("made")
    cluster = Cluster(work.path) if where == "cluster" else None
    try:
        target = None
        if cluster is not None:
            cluster.have_workers(1)
            target = ComputeTarget.attach(work.ws, "cluster", address=cluster.address)
        step = PythonScriptStep(
            "whole.py", "whole", arguments=[made], outputs=[made], source_directory="code",
            compute_target=target, allow_reuse=False,
        )  # fmt: skip
        run = Experiment(work.ws, "trial").submit(Pipeline(work.ws, [step]))
        with pytest.raises(RunFailedError, match="not yet"):
            run.wait_for_completion()
        (work.path / "gate").unlink()
        code = f"print(ws.get_run({run.id!r}).resume(retry_failed=True).wait_for_completion())"
        assert other(work, code) == "Completed"
    finally:
        if cluster is not None:
            cluster.close()
    assert [work.bucket.get(key) for key in sorted(work.bucket.keys()) if "made.txt" in key] == [
        b"made"
    ]


def test_a_submit_that_is_refused_leaves_nothing(work, monkeypatch):
    before = work.bucket.keys()

    def broken(*_, **__):
        raise OSError("no")

    monkeypatch.setattr("daskrun.pipeline.recipe.write_whole", broken)
    with pytest.raises(OSError, match="no"):
        work.submit()
    after = [key for key in sorted(work.bucket.keys()) if key not in before]
    assert [key for key in after if "/runs/" in key] == []
    assert list(Experiment(work.ws, "trial").get_runs()) == []


def test_a_script_that_asks_the_workspace_for_more(work):
    store = Datastore.register_s3(
        work.ws, "cloud", f"{work.bucket.name}/data", endpoint_url=work.bucket.endpoint
    )
    work.bucket.put("data/a.csv", b"n\n1\n2\n")
    Dataset.Tabular.from_delimited_files(store.path("a.csv")).register(work.ws, "numbers")
    script = (
        "from daskrun import Dataset, Run\n"
        "def run(mini_batch):\n"
        "    ws = Run.get_context().experiment.workspace\n"
        "    numbers = Dataset.get_by_name(ws, 'numbers').to_pandas_dataframe()\n"
        "    return [int(numbers['n'].sum())] * len(mini_batch)\n"
    )
    (work.path / "code/ask.py").write_text(script)
    run = work.submit(entry_script="ask.py", compute_target=None, mini_batch_size=10)
    run.wait_for_completion()
    assert output_of(run) == "3\n" * 10


def test_a_script_that_fails_leaves_nothing_on_this_machine(work):
    (work.path / "code/score.py").write_text("def run(mini_batch):\n    raise ValueError('no')\n")
    process = driver(work)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert [name for name in left_behind() if str(process.pid) in name] == []


def test_what_is_left_of_a_run_that_somebody_died_removing(work):
    run = work.submit()
    run.wait_for_completion()
    wait_for(lambda: not run._state.folder.is_driven())
    run._state.folder.remove()  # the steps' come after
    working_copy.remove_copies()
    ws = Workspace(work.ws.location)
    assert not ws.clean(older_than_days=1, runs=True)  # now is when it was last written to
    found = ws.clean(older_than_days=0, runs=True)
    assert [each.what for each in found] == ["run folder"]
    assert not found.remove().kept
    assert not [key for key in sorted(work.bucket.keys()) if "/runs/" in key]


def test_a_submit_that_goes_on_is_not_half_made(work):
    key = "team/.daskrun/runs/20200101-000000-000-abcdef/lease/1.json"
    place = f"{work.ws.location}/runs/20200101-000000-000-abcdef"
    lease = lease_file.Lease(open_url_folder(place, {}))
    lease.acquire()
    assert not work.ws.clean()
    lease.release()
    assert [each.what for each in work.ws.clean()] == ["half-made run"]
    assert key in work.bucket.keys()  # noqa: SIM118


def test_two_who_clean_leave_nothing(work):
    run = work.submit()
    run.wait_for_completion()
    wait_for(lambda: not run._state.folder.is_driven())
    found = work.ws.clean(older_than_days=0, runs=True)
    other(work, "print(ws.clean(older_than_days=0, runs=True).remove())")
    removed = found.remove()
    assert "was removed by another process" in str(removed)
    assert not [key for key in sorted(work.bucket.keys()) if "/runs/" in key]


def test_a_run_goes_on_after_its_parts_were_cleaned(work):
    run = work.ws.get_run(killed(work, "journalled:2"))
    assert not work.ws.clean(older_than_days=0).remove().kept
    work.bucket.fail("GET", "/snapshot/", count=1, status=403)
    with pytest.raises((ResumeError, StorageError), match="403"):
        run.resume()
    assert run.resume().wait_for_completion() == "Completed"
    assert output_of(run) == EXPECTED


def test_a_run_that_is_being_committed_to_is_not_old(work):
    killed(work, "journalled:1")
    keys = work.bucket.keys()
    for key in [key for key in keys if "/states/" in key]:
        state = json.loads(work.bucket.get(key))
        work.bucket.put(key, json.dumps({**state, "time": 1.0}).encode())
    working_copy.remove_copies()
    ws = Workspace(work.ws.location)
    kinds = [{each.what for each in ws.clean(days, runs=True)} for days in (1, 0)]
    assert ["run folder" in found for found in kinds] == [False, True]


def test_files_that_were_never_registered_are_cleaned(work, monkeypatch):
    monkeypatch.setattr("daskrun.workspace.left_over.ABANDONED", -1)  # what was put just now, too
    kept = Pipeline(work.ws, [work.make_step()]).publish("nightly")
    before = work.bucket.keys()
    folders = [f"team/.daskrun/{name}/" for name in ("models_files", "models_files/weights")]
    for folder in [*folders, "team/.daskrun/pipelines/", "team/.daskrun/pipelines/0123/"]:
        work.bucket.put(folder, b"")  # as some tools have for a folder
    others = work.bucket.keys()
    assert len(others) == len(before) + 4
    work.bucket.put("team/.daskrun/models_files/weights/17-0123abcd/weights.txt", b"light")
    work.bucket.put(f"team/.daskrun/pipelines/{uuid.uuid4()}/code/0/score.py", b"pass")
    found = work.ws.clean()
    assert [each.what for each in found] == ["never registered"] * 2
    work.bucket.fail("POST", "", count=1, status=403)
    removed = found.remove()
    assert (len(removed.removed), len(removed.kept)) == (1, 1)
    assert not work.ws.clean().remove().kept
    assert work.bucket.keys() == others
    assert PublishedPipeline.get(work.ws, kept.id).name == "nightly"


def test_cleaning(work, caplog):
    run_id = killed(work, "journalled:1")
    run = work.ws.get_run(run_id)
    work.bucket.put("team/.daskrun/runs/20200101-000000-000-abcdef/resume.json", b"{}")
    found = work.ws.clean(older_than_days=0)
    assert sorted(each.what for each in found) == [
        "copy of a workspace",
        "half-made run",
        "node folder",
        "parts",
    ]
    assert "interrupted" in str(found)
    found = work.ws.clean(older_than_days=0, runs=True)
    assert found.bytes > 0
    assert {each.what for each in found} > {"parts", "run folder", "half-made run"}
    assert not found.remove().kept
    assert caplog.text == ""
    assert not [key for key in sorted(work.bucket.keys()) if "/runs/" in key]
    assert not [key for key in sorted(work.bucket.keys()) if "/_daskrun/" in key]
    assert list(Experiment(work.ws, "trial").get_runs()) == []
    assert not run._state.folder.is_run
