import gc
import io
import os
import random
import signal
import threading
import time
import weakref
from dataclasses import replace

import pytest
from running import wait_for

from daskrun import (
    Experiment,
    Pipeline,
    RunCanceledError,
    RunDetails,
    RunFailedError,
    SettingsError,
    StorageError,
    WaitTimeoutError,
    Workspace,
)
from daskrun.core.events import RunEnded
from daskrun.core.intervals import USUAL
from daskrun.core.report import Progress, Report, RunStatus
from daskrun.engine import driver
from daskrun.pipeline.execution import lifetime
from daskrun.pipeline.execution.state import Latch
from daskrun.pipeline.runs import experiment as experiment_file
from daskrun.workspace.run_folders import run_folder

DONE = Report(RunStatus.COMPLETED, "all done.", 1, 1, 0, 0, 1, 1, 0, 1, 0, (), (), 0.1)


class Control:
    """Stands for the driver's; an engine that ends when it is told to."""

    def __init__(self):
        self.asked = threading.Event()
        self.reason = ""

    def cancel(self, reason):
        self.reason = reason
        self.asked.set()


@pytest.fixture
def engine(monkeypatch):
    """An engine that waits for ``.go`` or a cancellation."""

    class Engine:
        go = threading.Event()
        report = DONE
        deaf = False
        started = threading.Event()

        def execute(self, request, observers, control):
            self.started.set()
            for observer in observers:
                observer.progress(Progress(2, 1, 1, 0, 0, 0, 1, 0, 1.0, None))
            while not self.go.wait(0.01):
                if control.asked.is_set() and not self.deaf:
                    self.report = replace(DONE, status=RunStatus.CANCELED, message=control.reason)
                    break
            for observer in observers:
                observer.notify(RunEnded(self.report, 0.0))
                observer.close()
            return self.report

    made = Engine()
    made.go, made.started = threading.Event(), threading.Event()
    monkeypatch.setattr(driver, "execute", made.execute)
    monkeypatch.setattr(driver, "RunControl", Control)
    yield made
    made.go.set()


def test_submit_returns_at_once(work, engine):
    run = work.submit()
    assert run.get_status() == "Running"
    assert engine.started.wait(10)
    assert run.get_steps()[0].get_status() == "Running"
    engine.go.set()
    assert run.wait_for_completion() == "Completed"


def test_a_wait_has_an_end(work, engine):
    run = work.submit()
    with pytest.raises(
        WaitTimeoutError, match=r"still Running after timeout_seconds=0\.05"
    ) as caught:
        run.wait_for_completion(timeout_seconds=0.05)
    assert isinstance(caught.value, TimeoutError)
    with pytest.raises(SettingsError, match="timeout_seconds=-1"):
        run.wait_for_completion(timeout_seconds=-1)


def test_cancel(work, engine):
    run = work.submit(work.make_step("first-step"), work.make_step("second-step"))
    assert engine.started.wait(10)
    run.cancel("enough")
    with pytest.raises(RunCanceledError, match="enough"):
        run.wait_for_completion()
    first, second = run.get_steps()
    assert (first.get_status(), second.get_status()) == ("Canceled", "Canceled")
    run.cancel("again")
    assert run.get_status() == "Canceled"


def test_a_step_cancels_its_run(work, engine):
    run = work.submit()
    run.find_step_run("score-files")[0].cancel()
    assert run.wait_for_completion(raise_on_error=False) == "Canceled"


def test_cancel_before_the_engine_is_there(work, engine, monkeypatch):
    import_began, let_it = threading.Event(), threading.Event()
    real = experiment_file.PipelineDriver._run_step

    def slow(self, step):
        import_began.set()
        let_it.wait(10)
        return real(self, step)

    monkeypatch.setattr(experiment_file.PipelineDriver, "_run_step", slow)
    run = work.submit()
    assert import_began.wait(10)
    run.cancel("early")
    let_it.set()
    assert run.wait_for_completion(raise_on_error=False) == "Canceled"


def test_ctrl_c_in_a_wait_cancels(work, engine):
    run = work.submit()
    assert engine.started.wait(10)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        run.wait_for_completion()
    assert run.get_status() == "Canceled"
    assert "Ctrl-C was pressed" in run.message


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_other_signals_act_as_ctrl_c(work, engine, name):
    number = getattr(signal, name)
    run = work.submit()
    assert engine.started.wait(10)
    threading.Timer(0.3, os.kill, (os.getpid(), number)).start()
    with pytest.raises(SystemExit) as caught:
        run.wait_for_completion()
    assert caught.value.code == 128 + number
    assert run.get_status() == "Canceled"
    assert name in run.message
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_users_own_handler_stays(work, engine):
    mine = []
    before = signal.signal(signal.SIGTERM, lambda *_: mine.append(1))
    try:
        run = work.submit()
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        threading.Timer(0.5, engine.go.set).start()
        assert run.wait_for_completion() == "Completed"
        assert mine == [1]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_wait_gives_up_on_a_run_that_does_not_end(work, engine, capsys):
    engine.deaf = True
    ws = Workspace(work.ws.folder, intervals=replace(USUAL, cancel_limit=0.2))
    run = Experiment(ws, "trial").submit(Pipeline(ws, [work.make_step()]))
    assert engine.started.wait(10)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run.wait_for_completion()
    assert time.monotonic() - began < 10
    assert f"run {run.id} has not ended" in capsys.readouterr().err


def test_an_engine_that_breaks_is_a_failed_run(work, engine, monkeypatch):
    def broken(request, observers, control):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(driver, "execute", broken)
    run = work.submit()
    with pytest.raises(
        RunFailedError, match="daskrun itself failed: RuntimeError: a mistake of ours"
    ):
        run.wait_for_completion()
    report = run.get_steps()[0].get_details()["daskrun"]["report"]
    assert "a mistake of ours" in report["errors"][0]["text"]


def test_a_driver_that_breaks_leaves_nobody_waiting(work, engine, monkeypatch):
    def broken(self):
        raise RuntimeError("no lock")

    monkeypatch.setattr(experiment_file.PipelineDriver, "_run_steps", broken)
    run = work.submit()
    with pytest.raises(RunFailedError, match="no lock"):
        run.wait_for_completion(timeout_seconds=30)
    assert run.get_steps()[0].get_status() == "Canceled"


def test_progress_is_shown(work, engine, capsys):
    run = work.submit()
    assert engine.started.wait(10)
    threading.Timer(0.5, engine.go.set).start()
    run.wait_for_completion(show_output=True)
    shown = capsys.readouterr().out
    assert "score-files: [###############...............] 1/2 mini-batches (50 %)" in shown
    assert f"run {run.id} Completed: all done." in shown
    assert "1/2 mini-batches" in RunDetails(run).text()


def test_what_another_process_sees(work, engine, monkeypatch):
    run = work.submit()
    assert engine.started.wait(10)
    with monkeypatch.context() as patch:
        patch.setattr(experiment_file, "_live", {})
        other = Experiment(work.ws, "trial").get_run(run.id)
    assert other.get_status() == "Running"
    with pytest.raises(WaitTimeoutError):
        other.wait_for_completion(timeout_seconds=0.05)
    engine.go.set()
    assert other.wait_for_completion(timeout_seconds=30) == "Completed"
    other.cancel()
    assert not (other.folder / "cancel.json").exists()


def get_as_another(work, run, monkeypatch):
    """Give a run as a process sees it that doesn't drive it."""
    with monkeypatch.context() as patch:
        patch.setattr(experiment_file, "_live", {})
        return Experiment(work.ws, "trial").get_run(run.id)


def test_ctrl_c_in_a_wait_for_another_processs_run_ends_the_wait_alone(
    work, engine, monkeypatch, capsys
):
    run = work.submit()
    assert engine.started.wait(10)
    other = get_as_another(work, run, monkeypatch)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        other.wait_for_completion()
    assert f"run {run.id} goes on in another process; cancel() ends it" in capsys.readouterr().err
    assert run.get_status() == "Running"


@pytest.mark.parametrize("of_step", [False, True])
def test_another_process_asks_the_run_to_end(work, engine, monkeypatch, of_step):
    run = work.submit()
    assert engine.started.wait(10)
    other = get_as_another(work, run, monkeypatch)
    asked = other.get_steps()[0] if of_step else other
    asked.cancel("it is late")
    with pytest.raises(RunCanceledError, match=f"it is late .in process {os.getpid()} on "):
        other.wait_for_completion(timeout_seconds=30)
    assert run.wait_for_completion(raise_on_error=False) == "Canceled"
    assert wait_for(lambda: not (run.folder / "cancel.json").exists())
    states = len(run.get_details()["daskrun"]["states"])
    other.cancel()
    assert not (run.folder / "cancel.json").exists()
    assert len(run.get_details()["daskrun"]["states"]) == states


@pytest.mark.slow
def test_a_request_nobody_heard_is_not_for_the_next_driver(work, engine, monkeypatch):
    def slow(self):
        time.sleep(3 * USUAL.cancel_look)
        return RunStatus.CANCELED if self._canceled else RunStatus.COMPLETED, ""

    run = work.submit()
    engine.go.set()
    run.wait_for_completion()
    run._state.folder.ask_to_cancel("too late")
    monkeypatch.setattr(experiment_file.PipelineDriver, "_run_steps", slow)
    folder = run._state.folder
    again = experiment_file.PipelineDriver(folder, wait_for(folder.drive), work.ws, [])
    again.start()
    assert again.state.wait(30)
    assert again.state.status is RunStatus.COMPLETED
    assert run._state.folder.asked_to_cancel() is None


def test_a_request_that_can_not_be_kept_says_so(work, engine, monkeypatch):
    run = work.submit()
    assert engine.started.wait(10)
    other = get_as_another(work, run, monkeypatch)

    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_folder, "write_whole", full)
    with pytest.raises(StorageError, match=r"can't be asked to end: .*No space.*Press Ctrl-C"):
        other.cancel()


def test_a_status_or_a_wait_tells_of_a_failure(work, engine):
    engine.report = replace(DONE, status=RunStatus.FAILED, message="it broke")
    engine.go.set()
    run = work.submit()
    assert run._ended_within(30)
    assert "it broke" in run._failure
    assert run.get_steps()[0].get_status() == "Failed"
    assert run._failure is None
    with pytest.raises(RunFailedError):
        run.wait_for_completion()


def test_nothing_is_drawn_without_show_output(work, engine, monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    engine.go.set()
    work.submit().wait_for_completion()
    assert out.getvalue() == ""


@pytest.mark.slow
def test_a_process_that_submits_for_weeks_keeps_nothing_of_ended_runs(work, engine, monkeypatch):
    plans = []

    def execute(request, observers, control):
        plans.append(weakref.ref(request.plan))
        return engine.execute(request, observers, control)

    monkeypatch.setattr(driver, "execute", execute)
    monkeypatch.setattr(lifetime, "_runs", [])
    engine.go.set()
    held = work.submit()
    held.wait_for_completion()
    forgotten = work.submit().id
    assert Experiment(work.ws, "trial").get_run(forgotten).wait_for_completion() == "Completed"
    engine.report = replace(DONE, status=RunStatus.FAILED, message="it broke")
    untold = work.submit().id
    for thread in threading.enumerate():
        if thread.name.startswith("daskrun-"):
            thread.join(10)
    engine.go.clear()
    last = work.submit()  # what has ended is looked through when another is added
    gc.collect()
    assert [plan() is None for plan in plans[:3]] == [True, True, True]
    assert [run.id for run in lifetime._runs] == [untold, last.id]
    experiment = Experiment(work.ws, "trial")
    assert experiment.get_run(held.id) is held
    assert experiment.get_run(last.id) is last
    assert forgotten not in experiment_file._live
    assert experiment.get_run(forgotten).get_status() == "Completed"
    engine.go.set()
    assert last._ended_within(30)
    assert last.get_status() == "Failed"
    assert lifetime._runs[0].get_status() == "Failed"


def test_exceptions_of_signals_in_waits_keep_nobody_waiting():
    """``threading.Event`` is left locked by one of some thousand."""
    latch, hit = Latch(), 0

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    deadline = time.monotonic() + 1.5
    try:
        while time.monotonic() < deadline:
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 2e-4))
                while True:
                    latch.wait(0)
            except KeyboardInterrupt:
                hit += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    setting = threading.Thread(target=latch.set, daemon=True)
    setting.start()
    setting.join(5)
    assert hit > 100
    assert not setting.is_alive()
    assert latch.wait(0.1)
