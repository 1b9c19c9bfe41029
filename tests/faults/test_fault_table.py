"""Faults beyond the matrix: several in one run, and what the report says of them.

A script is given a table ``{mini-batch: [fault, fault, "ok"]}`` and notes each invocation in a file
before it does what the table says.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from running import alive, lines, run_script

from daskrun.core.events import BundleReturned
from daskrun.core.outcome import Status
from daskrun.core.report import RunStatus
from daskrun.testing import account

if TYPE_CHECKING:
    from pathlib import Path

    from running import Finished

    from daskrun.core.events import Event

pytestmark = pytest.mark.usefixtures("own_temporary_folder")

FILES, SIZE = 12, 2
"""Six mini-batches of two items."""

SCRIPT = """
import ctypes, os, signal, sys, time

LOG = {log!r}
TABLE = {table!r}


def init():
    note(-1)


def note(index):
    fd = os.open(LOG, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"%d\\n" % index)
    os.close(fd)
    with open(LOG, "rb") as file:
        return file.read().split().count(b"%d" % index)


def run(mini_batch, context):
    rows = [open(path).read() for path in mini_batch]
    faults = TABLE.get(context.minibatch_index, [])
    count = note(context.minibatch_index)
    fault = faults[min(count, len(faults)) - 1] if faults else "ok"
    print("about to", fault, file=sys.stderr)
    if fault == "raise":
        raise ValueError("a bad row")
    if fault == "none":
        return None
    if fault == "str":
        return "text"
    if fault == "hang":
        time.sleep(60)
    if fault == "hang_in_c":
        ctypes.PyDLL(None).sleep(60)  # holds the GIL
    if fault == "exit":
        os._exit(3)
    if fault == "segfault":
        ctypes.string_at(0)
    if fault == "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "sys_exit":
        sys.exit(4)
    return rows
"""

FAULTS = {
    # fault: status, what its message says, whether it ends the process, settings
    "raise": (Status.RAISED, "ValueError: a bad row", False, {}),
    "none": (Status.WRONG_TYPE, "run() returned None", False, {}),
    "str": (Status.WRONG_TYPE, "a value of type str", False, {}),
    "sys_exit": (Status.RAISED, "SystemExit: 4", False, {}),
    "hang": (Status.TIMED_OUT, "run_invocation_timeout=0.6", True, {"run_invocation_timeout": 0.6}),
    "exit": (Status.DIED, "exit code 3", True, {}),
    "segfault": (Status.DIED, "SIGSEGV", True, {}),
}


def run_table(tmp: Path, table: dict[int, list[str]], **settings: object) -> Finished:
    code = SCRIPT.format(log=str(tmp / "invocations"), table=table)
    return run_script(tmp, code, files=FILES, size=SIZE, **settings)


def invocations(tmp: Path) -> Counter[int]:
    return Counter(int(n) for n in (tmp / "invocations").read_text().split())


def rows_of(mini_batches: list[int]) -> bytes:
    return lines([n * SIZE + k for n in mini_batches for k in range(SIZE)])


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["str", "sys_exit", "exit", "hang"])
def test_a_fault_costs_one_attempt_and_its_report_tells_of_it(tmp_path: Path, fault: str) -> None:
    status, message, ends_process, settings = FAULTS[fault]
    run = run_table(tmp_path, {2: [fault, "ok"]}, **settings)

    assert run.report.status is RunStatus.COMPLETED
    assert run.report.succeeded == 6
    assert (run.report.items, run.report.items_failed) == (12, 0)
    assert run.report.retried == 1
    # it ran twice, the others once: nobody else was charged, nobody else ran again
    expected = Counter(range(6)) + Counter({2: 1})
    expected[-1] = 2 if ends_process else 1
    assert invocations(tmp_path) == expected
    assert run.output == rows_of(list(range(6)))

    [failed] = [o for o in run.attempts if o.status]
    assert (failed.index, failed.attempt, failed.status) == (2, 1, status)
    assert failed.items == SIZE
    assert message in failed.error.message
    if failed.error.exit_code is not None:
        assert f"about to {fault}" in failed.error.stderr
    [group] = run.report.errors
    assert (group.index, group.attempt, group.count) == (2, 1, 1)
    assert group.process == "node000/process000"
    if ends_process:
        assert failed.error.peak_memory > 2**20
        assert f"about to {fault}" in group.text
    elif fault not in ("none", "str"):
        assert group.where.startswith("score.py:")


@pytest.mark.parametrize("fault", ["raise", "none", "exit", "segfault"])
def test_a_mini_batch_that_fails_every_time_loses_its_items_and_no_others(
    tmp_path: Path, fault: str
) -> None:
    status, _, _, settings = FAULTS[fault]
    run = run_table(tmp_path, {0: [fault], 3: [fault, fault, "ok"]}, **settings)

    assert run.report.status is RunStatus.COMPLETED
    assert (run.report.succeeded, run.report.failed) == (5, 1)
    assert (run.report.items, run.report.items_failed) == (12, 2)
    assert run.report.attempts == 3 + 3 + 4
    counts = invocations(tmp_path)
    assert [counts[n] for n in range(6)] == [3, 1, 1, 3, 1, 1]
    assert run.output == rows_of([1, 2, 3, 4, 5])
    failed = sorted((o.index, o.attempt) for o in run.attempts if o.status == status)
    assert failed == [(0, 1), (0, 2), (0, 3), (3, 1), (3, 2)]


@pytest.mark.slow
def test_faults_of_every_kind_in_one_run_on_four_processes(tmp_path: Path) -> None:
    table = {
        0: ["segfault", "raise", "ok"],
        1: ["exit", "hang_in_c", "ok"],
        2: ["none", "sigkill", "str"],
        4: ["hang", "sys_exit", "ok"],
        5: ["raise", "exit", "segfault"],
    }
    run = run_table(
        tmp_path, table, process_count_per_node=4, run_invocation_timeout=0.8, retry_delay=0.01
    )

    assert run.report.status is RunStatus.COMPLETED
    assert (run.report.succeeded, run.report.failed) == (4, 2)
    assert (run.report.items, run.report.items_failed) == (12, 4)
    counts = invocations(tmp_path)
    assert [counts[n] for n in range(6)] == [3, 3, 3, 1, 3, 3]
    assert run.output == rows_of([0, 1, 3, 4])
    assert sum(group.count for group in run.report.errors) == 5 * 2 + 2


def test_a_process_that_dies_in_the_middle_of_a_bundle_keeps_what_it_had_finished(
    tmp_path: Path,
) -> None:
    # tables of 200 mini-batches travel in bundles: a fault in their middle must not cost the rest
    code = SCRIPT.format(log=str(tmp_path / "invocations"), table={77: ["segfault"], 150: ["exit"]})
    run = run_script(tmp_path, code, files=200, size=1, run_max_try=2)

    assert run.report.status is RunStatus.COMPLETED
    counts = invocations(tmp_path)
    assert {n: c for n, c in counts.items() if c != 1} == {77: 2, 150: 2, -1: 5}
    assert run.output == lines([n for n in range(200) if n not in (77, 150)])
    assert (run.report.failed, run.report.items_failed) == (2, 2)


def test_the_message_of_a_dead_process_ends_with_its_own_stderr(tmp_path: Path) -> None:
    code = """
    import os, sys
    def run(mini_batch):
        print("x" * 100_000 + "the last words", file=sys.stderr)
        os._exit(7)
    """
    run = run_script(tmp_path, code, files=1, run_max_try=1)
    assert run.report.status is RunStatus.FAILED
    [group] = run.report.errors
    assert group.text.endswith("the last words")
    assert len(group.text) < 2**16
    assert "exit code 7" in run.report.message
    assert "mini-batch 0, attempt 1 on node000/process000" in run.report.message


def test_a_grandchild_in_a_session_of_its_own_ends_with_the_process_that_started_it(
    tmp_path: Path,
) -> None:
    code = f"""
    import os, subprocess
    def run(mini_batch):
        child = subprocess.Popen(["sleep", "300"], start_new_session=True)
        with open({str(tmp_path / "pids")!r}, "a") as file:
            file.write(f"{{child.pid}}\\n")
        os._exit(3)
    """
    run = run_script(tmp_path, code, files=1, run_max_try=2)
    assert run.report.attempts == 2
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 2
    assert not [pid for pid in pids if alive(int(pid))]


def test_copies_that_run_forks_cost_nothing(tmp_path: Path) -> None:
    code = """
    import os, sys
    def run(mini_batch, context):
        n = context.minibatch_index
        if n % 7 == 3:
            pid = os.fork()
            if pid == 0:
                if n % 2:
                    sys.exit(0)
                raise ValueError("in a copy")
            if n % 3:  # else it runs on beside us
                os.waitpid(pid, 0)
        return [open(path).read() for path in mini_batch]
    """
    run = run_script(tmp_path, code, files=200, process_count_per_node=2)
    assert run.report.status is RunStatus.COMPLETED
    assert run.report.attempts == run.report.succeeded == 200
    assert run.output == lines(range(200))


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("delay", [0, 0.1])
def test_processes_that_die_right_after_init_end_the_run(
    tmp_path: Path, delay: float, processes: int
) -> None:
    # idle they charge nobody, and it must not go on for ever; in run() they charge what it has
    code = f"""
    import os, threading, time
    def end():
        time.sleep({delay})
        os._exit(7)
    def init(): threading.Thread(target=end, daemon=True).start()
    def run(mini_batch): time.sleep(60)
    """
    run = run_script(tmp_path, code, files=2, process_count_per_node=processes, run_max_try=2)
    assert run.report.status is RunStatus.FAILED
    assert "exit code 7" in run.report.message


@pytest.mark.parametrize("target", [None, "inline"])
@pytest.mark.parametrize("wide", [1, 2_000_000])
def test_rows_that_were_changed_are_made_again(tmp_path: Path, wide: int, target: object) -> None:
    # when they are committed, and not yet in the output; once
    def change(event: Event) -> None:
        if isinstance(event, BundleReturned) and not flag.exists():
            flag.touch()
            [part] = (tmp_path / "out/_daskrun/run1").glob("[ni]*-*")
            with part.open("r+b") as file:
                file.write(b"?")

    flag = tmp_path / "flag"
    code = f"def run(m, c): return ['row %d' % c.minibatch_index + ' ' * {wide}]"
    run = run_script(tmp_path, code, files=4, target=target, act=change)
    assert run.report.status is RunStatus.COMPLETED
    assert (run.report.succeeded, run.report.attempts) == (4, 4)
    assert [o.index for o in run.attempts][4:] == [0]
    [warning] = run.report.warnings
    assert "mini-batches were run again, as their rows had been changed: 0." in warning
    assert run.output == b"".join(b"row %d" % n + b" " * wide + b"\n" for n in range(4))
    account(run.request.run_folder, run.request.output_folder).check()


def test_rows_that_are_changed_each_time_end_the_run(tmp_path: Path) -> None:
    code = """
    import daskrun.output.parts.part as part
    part.crc32 = lambda data: 7
    def run(mini_batch): return mini_batch
    """
    run = run_script(tmp_path, code, files=2)
    assert run.report.status is RunStatus.FAILED
    assert "does not hold the rows that mini-batch 0 wrote" in run.report.message
    assert run.output is None
