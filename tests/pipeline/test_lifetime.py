"""Real scripts as users write them: no ``__main__`` guard, an end that comes before the run's."""

import os
import signal
import subprocess
import sys
import time

import pytest
from running import SLACK, wait_for, wait_until_nothing_is_left

from daskrun.pipeline.execution import lifetime
from daskrun.pipeline.records import cancel
from daskrun.script.node_folders import base_folder, clear_leftovers

pytestmark = pytest.mark.usefixtures("own_temporary_folder")
HEAD = """
import faulthandler, sys
faulthandler.dump_traceback_later(40)  # where it hangs, if it does
from daskrun import *

ws = Workspace.create("trial")
config = ParallelRunConfig(
    entry_script="score.py", error_threshold=-1, output_action="append_row",
    compute_target={target!r}, process_count_per_node=1, mini_batch_size=3, run_max_try=1)
step = ParallelRunStep(
    "score-files", config, [Dataset.File.from_files("files")], PipelineData("scores"))
run = Experiment(ws, "trial").submit(Pipeline(ws, [step]))
"""
SLOW = "import time\ndef run(m):\n    time.sleep(0.5)\n    return list(m)\n"
ENDLESS = "import time\ndef run(m):\n    time.sleep(100)\n    return list(m)\n"
BAD = "def run(m):\n    raise ValueError('no good')\n"


@pytest.fixture
def script(work):
    def start(code, entry=SLOW, target=None):
        (work.path / "score.py").write_text(entry)
        (work.path / "main.py").write_text(HEAD.format(target=target) + code)
        return subprocess.Popen(
            [sys.executable, "main.py"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    started = []

    def run(*arguments, **more):
        started.append(start(*arguments, **more))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def finish(process):
    """Wait for a script's end and give what it wrote; if there is none, fail with that."""
    try:
        return process.communicate(timeout=50)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        return pytest.fail(f"the script did not end\n{out}\n{err}")


def status_of(work):
    from daskrun.workspace.run_folders.run_folder import RunFolder

    folders = sorted(work.ws.runs_folder.iterdir())
    return RunFolder(folders[0]).last_state().status


def results(work):
    return [path.read_text() for path in work.ws.folder.rglob("parallel_run_step.txt")]


@pytest.mark.slow
@pytest.mark.parametrize("target", [None, "inline"])
def test_a_script_that_ends_without_waiting(work, script, target):
    out, err = finish(process := script("print('end')", target=target))
    assert process.returncode == 0, err
    assert out == "end\n"
    assert "daskrun: the script has ended; waiting for run" in err
    assert " Completed" in err
    assert "Traceback" not in err
    assert len(results(work)[0].splitlines()) == 10


@pytest.mark.slow
def test_a_script_that_waits_hears_nothing_at_its_end(work, script):
    process = script("run.wait_for_completion(show_output=True)\nprint('end')")
    out, err = finish(process)
    assert process.returncode == 0, err
    assert out.endswith("end\n")
    assert "daskrun:" not in err


@pytest.mark.slow
def test_a_failure_nobody_waited_for_is_exit_code_1(work, script):
    process = script("print('end')", entry=BAD)
    out, err = finish(process)
    assert process.returncode == 1
    assert out == "end\n"  # flushed before the process ends
    assert "ValueError: no good" in err
    assert "score.py:2" in err
    assert "job_error.txt" in err


@pytest.mark.slow
def test_a_failure_that_was_caught_is_the_scripts_own_affair(work, script):
    code = "try:\n    run.wait_for_completion()\nexcept RunFailedError:\n    print('caught')\n"
    process = script(code, entry=BAD)
    out, err = finish(process)
    assert (process.returncode, out) == (0, "caught\n"), err


@pytest.mark.slow
def test_an_error_of_the_script_itself_lets_the_run_end(work, script):
    process = script("1 / 0")
    _, err = finish(process)
    assert process.returncode == 1
    assert "ZeroDivisionError" in err
    assert status_of(work) == "Completed"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_while_the_end_waits_cancel(work, script, number, code):
    process = script("", entry=ENDLESS)
    line = process.stderr.readline()
    assert "the script has ended" in line
    time.sleep(1.5)  # into the run
    began = time.monotonic()
    os.kill(process.pid, number)
    _, err = finish(process)
    assert time.monotonic() - began < 15
    assert process.returncode == code, err
    assert " Canceled" in err
    assert status_of(work) == "Canceled"


STUBBORN = """
import pathlib, subprocess, sys, time
def run(m):
    if {elsewhere}:
        sleep = [sys.executable, "-c", "import time; time.sleep(100)"]
        subprocess.Popen(sleep, start_new_session=True)
    pathlib.Path({begun!r}).touch()
    while True:
        try:
            time.sleep(100)
        except BaseException:
            pass
"""


@pytest.mark.slow
@pytest.mark.parametrize("target", [None, "inline"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("code", ["", "run.wait_for_completion()\n"], ids=["end", "wait"])
def test_a_second_signal_ends_at_once(work, script, target, number, code):
    begun = work.path / "begun"
    entry = STUBBORN.format(elsewhere=target is None, begun=str(begun))
    process = script("print('go', flush=True)\n" + code, entry=entry, target=target)
    go = process.stdout.readline()
    assert go == "go\n", process.stderr.read()
    wait_for(begun.exists)
    time.sleep(0.5)
    os.kill(process.pid, number)
    while "is being canceled" not in (line := process.stderr.readline()):
        assert line, "it ended at the first"
    os.kill(process.pid, number)
    began = time.monotonic()
    _, err = finish(process)
    assert time.monotonic() - began < SLACK
    assert "once more: ending run" in err
    assert ("KeyboardInterrupt" in err) == (number == signal.SIGINT and bool(code))
    assert process.returncode == 128 + number, err
    assert "Exception ignored" not in err
    assert status_of(work) == "Canceled"
    assert wait_until_nothing_is_left() == []


@pytest.mark.slow
def test_ctrl_c_inside_a_wait(work, script):
    process = script("print('go', flush=True)\nrun.wait_for_completion()", entry=ENDLESS)
    assert process.stdout.readline() == "go\n"
    time.sleep(1.5)
    os.kill(process.pid, signal.SIGINT)
    _, err = finish(process)
    assert "Ctrl-C was pressed during a wait: run " in err
    assert " Canceled: " in err
    assert "Experiment(ws, 'trial').get_run('" in err
    assert "').resume()" in err
    assert "KeyboardInterrupt" in err
    assert process.returncode in (1, 130, -signal.SIGINT)
    assert status_of(work) == "Canceled"
    assert wait_until_nothing_is_left() == []


@pytest.mark.slow
@pytest.mark.parametrize("target", [None, "inline"])
def test_sigterm_outside_a_wait_ends_the_script_and_all_it_had(work, script, target):
    from daskrun import Experiment

    entry = STUBBORN.format(elsewhere=target is None, begun=str(work.path / "begun"))
    code = "import time\nprint(run.id, flush=True)\ntime.sleep(100)"
    process = script(code, entry=entry, target=target)
    run = Experiment(work.ws, "trial").get_run(process.stdout.readline().strip())
    wait_for((work.path / "begun").exists)
    os.kill(process.pid, signal.SIGTERM)
    _, err = finish(process)
    assert process.returncode == -signal.SIGTERM, err
    assert run.get_status() == "Failed"
    assert run.message.startswith("the process that drove the run is gone")
    if target == "inline":  # nobody is left who could remove its folder: the next node does
        clear_leftovers(base_folder())
    assert wait_until_nothing_is_left() == []


@pytest.mark.slow
@pytest.mark.parametrize("target", [None, "inline", "tcp://127.0.0.1:9"])
def test_another_process_cancels(work, script, target):
    """At the last target nobody answers: the run is still connecting."""
    from daskrun import Experiment

    entry = SLOW.replace("0.5", "1.5") if target == "inline" else ENDLESS
    code = "print(run.id, flush=True)\nprint(run.wait_for_completion(raise_on_error=False))"
    process = script(code, entry=entry, target=target)
    run = Experiment(work.ws, "trial").get_run(process.stdout.readline().strip())
    wait_for(lambda: run.get_steps()[0].get_status() == "Running")
    run.cancel("enough")
    assert run.wait_for_completion(raise_on_error=False, timeout_seconds=30) == "Canceled"
    assert f"enough (in process {os.getpid()} on " in run.message
    out, err = finish(process)
    assert (process.returncode, out.strip()) == (0, "Canceled"), err
    assert wait_until_nothing_is_left() == []


def test_a_killed_driver_is_seen_as_a_failed_run(work, script):
    from daskrun import Experiment

    process = script("print(run.id, flush=True)\nrun.wait_for_completion()", entry=ENDLESS)
    run_id = process.stdout.readline().strip()
    run = Experiment(work.ws, "trial").get_run(run_id)
    assert run.get_status() == "Running"
    process.kill()
    process.wait()
    assert run.wait_for_completion(raise_on_error=False, timeout_seconds=10) == "Failed"
    assert "the process that drove the run is gone" in run.message


def test_a_step_that_a_killed_driver_never_started_has_an_end(work, script):
    from daskrun import Experiment

    code = (
        "later = ParallelRunStep('later-step', config, [Dataset.File.from_files('files')],\n"
        "    PipelineData('more'))\n"
        "run.cancel()\n"
        "later.run_after(step)\n"
        "both = Experiment(ws, 'trial').submit(Pipeline(ws, [step, later]))\n"
        "print(both.id, flush=True)\nboth.wait_for_completion()"
    )
    process = script(code, entry=ENDLESS, target="inline")
    run = Experiment(work.ws, "trial").get_run(process.stdout.readline().strip())
    first, later = run.get_steps()
    wait_for(lambda: first.get_status() == "Running")
    assert later.get_status() == "NotStarted"
    assert not later._ended_within(0)
    process.kill()
    process.wait()
    assert later.wait_for_completion(raise_on_error=False, timeout_seconds=10) == "Canceled"
    assert later.message.startswith("not started: the process that drove the run is gone")
    assert (first.get_status(), run.get_status()) == ("Failed", "Failed")


@pytest.mark.slow
def test_a_run_loads_nothing_heavy_before_it_is_needed(work):
    code = HEAD.format(target=None) + (
        "heavy = {'pandas', 'pyarrow', 'fsspec', 'rich', 'psutil', 'pydantic', 'bokeh'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "run.wait_for_completion()\n"
        "from pathlib import Path\n"
        "shown = [path.read_text() for path in Path.cwd().rglob('happenings.txt')]\n"
        "print('dashboard is at http' in ''.join(shown), 'bokeh' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\nTrue False\n"  # pages that nobody looks at load no bokeh


def test_no_wait_for_a_canceled_run_is_longer_than_a_signal_may_be_late(capsys):
    """A signal that comes as a wait begins interrupts nothing: it is handled at the wait's end."""
    asked = []

    class NeverEnds:
        id, _ids = "run1", {"run1"}

        def cancel(self, reason):
            asked.append(reason)

        def _ended_within(self, seconds):
            asked.append(seconds)
            time.sleep(seconds)
            return False

        def _kill(self):
            asked.append("killed")

    lifetime.cancel_and_wait([NeverEnds()], KeyboardInterrupt(), 3 * lifetime.POLL)
    assert asked[0] == "Ctrl-C was pressed during a wait"
    assert asked[-1] == "killed"
    waits = asked[1:-1]
    assert max(waits) == lifetime.POLL
    assert "has not ended" in capsys.readouterr().err
    lifetime._given_up.clear()


def test_a_request_to_cancel_that_can_not_be_read_keeps_no_other_from_being_heard():
    heard, answers = [], iter([KeyError("reason"), ValueError("no JSON"), None, "enough"])

    class Folder:
        id = "run1"

        def asked_to_cancel(self):
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        def forget_cancel(self):
            heard.append("forgotten")

    with cancel.CancelWatch(Folder(), heard.append, 0.01):
        wait_for(lambda: heard)
    assert heard == ["enough", "forgotten"]
