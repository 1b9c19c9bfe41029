"""Drivers of runs behind a URL: killed, stopped, canceled, taken over, a store that fails."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from running import left_behind, wait_for
from url_work import (  # noqa: F401
    CALLS_A_TOOL,
    EXPECTED,
    MAIN,
    NAMES,
    calls,
    driver,
    from_elsewhere,
    killed,
    other,
    output_of,
    work,
)

from daskrun import (
    ResumeError,
    RunFailedError,
)
from daskrun.engine.history import History
from daskrun.errors import StorageError
from daskrun.testing import account


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", ["written:1", "journalled:1", "counted:2", "finalized"])
def test_a_killed_driver_is_followed_on_this_machine(work, kill_at):
    run_id = killed(work, kill_at)
    run = work.ws.get_run(run_id)
    assert run.get_status() == "Failed"
    assert "the process that drove the run is gone" in run.message
    assert run.resume().wait_for_completion() == "Completed"
    assert output_of(run) == EXPECTED
    account(run).check()
    assert {*calls(work)} == {*NAMES}
    assert calls(work).count("0.txt") == (2 if kill_at == "written:1" else 1)


@pytest.mark.slow
def test_a_killed_driver_is_followed_on_another_machine_once_its_lease_is_old(work):
    run_id = killed(work, "journalled:2", target="")
    wait_for(lambda: all(name.startswith("folder") for name in left_behind()), 20)
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
    states = [each["status"] for each in run.get_details()["daskrun"]["states"]]
    assert states == ["NotStarted", "Running", "Running", "Completed"]


@pytest.mark.slow
def test_who_looks_first_brings_what_is_needed_and_leaves_nothing(work):
    run_id = killed(work, "journalled:1")
    for _ in range(2):
        assert other(work, f"print(ws.get_run({run_id!r}).get_status())") == "Failed"
    # what the killed process had on its disk went with the next one on this machine
    assert len([name for name in left_behind() if "folder workspace-" in name]) == 1
    work.submit().wait_for_completion()


@pytest.mark.slow
def test_another_process_cancels(work):
    (work.path / "gate").touch()
    run = work.submit(compute_target=None)
    wait_for(lambda: (work.path / "calls").exists(), 30)
    other(work, f"ws.get_run({run.id!r}).cancel('enough')", elsewhere=True)
    wait_for(lambda: run.get_status() == "Canceled", 30)
    assert "enough (in process" in run.message
    assert other(work, f"print(ws.get_run({run.id!r}).get_status())") == "Canceled"
    (work.path / "gate").unlink()
    assert run.resume().wait_for_completion() == "Completed"
    assert output_of(run) == EXPECTED


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_driver_that_was_taken_over_commits_nothing_more(work, monkeypatch):
    """As one that was stopped for a minute: it wakes up and goes on, unaware of the other."""
    (work.path / "gate").touch()
    process = driver(work, target="")
    run_id = process.stdout.readline().strip()
    wait_for(lambda: (work.path / "calls").exists(), 30)
    process.send_signal(signal.SIGSTOP)
    with monkeypatch.context() as elsewhere:
        run = from_elsewhere(work, elsewhere).get_run(run_id)
        run.resume()
        (work.path / "gate").unlink()
        assert run.wait_for_completion() == "Completed"
    process.send_signal(signal.SIGCONT)
    process.wait(60)
    assert process.returncode == 1
    assert output_of(run) == EXPECTED
    account(run).check()
    states = [each["status"] for each in work.ws.get_run(run_id).get_details()["daskrun"]["states"]]
    assert states[-1] == "Completed"
    assert "Failed" not in states


@pytest.mark.slow
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
    run = from_elsewhere(work, monkeypatch).get_run(run_id)
    assert run.resume().wait_for_completion() == "Completed"
    assert process.returncode == 1
    assert output_of(run) == EXPECTED
    account(run).check()
    states = [each["status"] for each in work.ws.get_run(run_id).get_details()["daskrun"]["states"]]
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


@pytest.mark.slow
def test_a_driver_that_was_taken_over_publishes_nothing(work, monkeypatch):
    """It was stopped when all was committed, and its output about to appear."""
    (work.path / "stops.py").write_text(STOPS_BEFORE_ITS_OUTPUT_APPEARS + MAIN)
    command = [sys.executable, "stops.py", work.ws.location, "inline"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    run_id = process.stdout.readline().strip()
    status = Path(f"/proc/{process.pid}/stat")
    wait_for(lambda: status.read_text().rpartition(")")[2].split()[0] == "T", 40)
    with monkeypatch.context() as elsewhere:
        run = from_elsewhere(work, elsewhere).get_run(run_id)
        assert run.resume().wait_for_completion() == "Completed"
    assert output_of(run) == EXPECTED
    account(run).check()
    keys = work.bucket.keys()
    (key,) = [key for key in keys if key.endswith("/parallel_run_step.txt")]
    work.bucket.put(key, b"what is there now")
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert work.bucket.get(key) == b"what is there now"


def test_a_resume_that_is_refused_leaves_no_trace(work):
    run = work.submit()
    run.wait_for_completion()
    wait_for(lambda: not run._state.folder.is_driven())
    before = work.bucket.keys()
    with pytest.raises(ResumeError, match=r"is Completed, .*there is nothing to do"):
        run.resume()
    assert work.bucket.keys() == before


@pytest.mark.slow
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
    assert not run._state.folder._lease.lease.held


@pytest.mark.slow
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
    assert run.get_steps()[0].get_details()["daskrun"]["report"]["succeeded"] == len(NAMES)


@pytest.mark.slow
def test_ctrl_c_waits_for_no_store_that_is_gone(work):
    (work.path / "gate").touch()
    limit = "Workspace(sys.argv[1], intervals=Intervals(cancel_limit=1.0))"
    code = MAIN.replace("Workspace(sys.argv[1])", limit)
    (work.path / "short.py").write_text(f"from daskrun.core.intervals import Intervals\n{code}")
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

    monkeypatch.setattr(
        "daskrun.workspace.run_folders.url_run_folder.UrlRunFolder.forget_report", refused
    )
    run = work.submit()
    with pytest.raises(RunFailedError, match="s3://there can't be reached"):
        run.wait_for_completion()
    assert "daskrun itself" not in run.message


@pytest.mark.slow
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
