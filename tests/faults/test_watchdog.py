"""A run() that shows no progress: what its process was doing is kept, what it says after is not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest
from running import make_request, run_script, wait_until_nothing_is_left

from daskrun.core.outcome import Status
from daskrun.core.report import RunStatus
from daskrun.engine.driver import RunControl, execute
from daskrun.monitor.logs import LogWriter

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("own_temporary_folder")

LIMITS = {"progress_update_timeout": 0.6, "run_invocation_timeout": 60}
THREADS = """
import threading, time
def deep(): time.sleep(60)
def waits_in_a_thread(): deep()
def run(mini_batch):
    for n in range(12):
        threading.Thread(target=waits_in_a_thread, daemon=True).start()
    the_main_thread()
def the_main_thread(): deep()
"""


def test_the_stacks_of_all_threads_are_in_job_error(tmp_path: Path) -> None:
    request = make_request(tmp_path, THREADS, files=1, run_max_try=1, **LIMITS)
    logs = LogWriter(request.run_folder / "logs", request.plan)
    report = execute(request, [logs], RunControl())
    assert wait_until_nothing_is_left() == []
    assert report.status is RunStatus.FAILED
    assert "progress_update_timeout=0.6 s" in report.errors[0].message
    for text in (
        (request.run_folder / "logs" / "job_error.txt").read_text(),
        (request.run_folder / "logs/user/stderr/node000/process000.stderr.txt").read_text(),
        asdict(report)["errors"][0]["text"],
    ):
        assert text.count("in waits_in_a_thread") == 12
        assert text.count("in the_main_thread") == 1
        assert text.count("in deep") == 13


@pytest.mark.slow
@pytest.mark.parametrize("action", ["append_row", "summary_only"])
def test_what_it_says_when_the_look_has_woken_it_does_not_count(
    tmp_path: Path, action: str
) -> None:
    # C's sleep() ends early at a signal: run() returns, as if nothing had been, after the message
    code = """
    import ctypes
    def run(mini_batch, context):
        if context.minibatch_index == 1 and ctypes.CDLL(None).sleep(60):
            print("woken", flush=True)
        return ["row %d" % context.minibatch_index]
    """
    run = run_script(tmp_path, code, files=3, run_max_try=2, output_action=action, **LIMITS)
    assert run.report.status is RunStatus.COMPLETED
    assert (run.report.succeeded, run.report.failed, run.report.attempts) == (2, 1, 4)
    assert [o.status for o in run.attempts if o.index == 1] == [Status.TIMED_OUT] * 2
    assert run.log("user/stdout/*/*.txt").count("woken") == 2
    assert run.output == (b"row 0\nrow 2\n" if action == "append_row" else None)
