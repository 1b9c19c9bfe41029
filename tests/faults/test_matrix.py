"""Each fault, over files and over tables, with rows appended and without.

Mini-batch 0 has the fault at every call, mini-batch 2 at its first; a fault that ends a process is
had by mini-batch 2 alone over tables, where each new process has pandas to load, and one that takes
until its limit by mini-batch 0 alone over files. What must hold
is counted exactly: calls, attempts, rows; the journal, the output's bytes and the report are held
against each other by the fault kit's own account.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from scripted import EACH_KIND, ITEMS, MINI_BATCHES, SIZE, resume, rows_of, run_faulty

from daskrun.core.outcome import Status
from daskrun.core.report import RunStatus
from daskrun.testing import Faults

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("own_temporary_folder")

TRIES = 2
LIMIT: dict[str, Any] = {"run_invocation_timeout": 0.5}
MEMORY: dict[str, Any] = {"process_memory_limit": 400 * 2**20}


@dataclass(frozen=True)
class Fails:
    """What becomes of an attempt with a fault."""

    status: Status
    says: str
    dies: bool = False
    settings: dict[str, Any] = field(default_factory=dict)


FAULTS = {
    "raise": Fails(Status.RAISED, "RuntimeError: scripted fault 'raise'"),
    "none": Fails(Status.WRONG_TYPE, "run() returned None"),
    "memory_error": Fails(Status.RAISED, "MemoryError"),
    "unpicklable": Fails(Status.RAISED, "scripted fault 'unpicklable'"),
    "huge_message": Fails(Status.RAISED, "scripted fault 'huge_message'"),
    "hang": Fails(Status.TIMED_OUT, "run_invocation_timeout=0.5", dies=True, settings=LIMIT),
    "hang_in_c": Fails(Status.TIMED_OUT, "run_invocation_timeout=0.5", dies=True, settings=LIMIT),
    "stop": Fails(Status.TIMED_OUT, "run_invocation_timeout=0.5", dies=True, settings=LIMIT),
    "segfault": Fails(Status.DIED, "SIGSEGV", dies=True),
    "exit": Fails(Status.DIED, "exit code 3", dies=True),
    "kill": Fails(Status.DIED, "SIGKILL", dies=True),
    "eat_memory": Fails(Status.OUT_OF_MEMORY, "limit is 400 MB", dies=True, settings=MEMORY),
}


@pytest.mark.slow
@pytest.mark.parametrize(("data", "action"), EACH_KIND)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_its_own_mini_batch_and_no_other(
    tmp_path: Path, fault: str, data: str, action: str
) -> None:
    expected = FAULTS[fault]
    always = data == "files" or not expected.dies
    once = data == "table" or not expected.settings
    faults = Faults({0: fault if always else "ok", 2: [fault] if once else "ok"})
    run, found = run_faulty(tmp_path, data, action, faults, run_max_try=TRIES, **expected.settings)

    gone = int(always)
    assert run.report.status is RunStatus.COMPLETED
    assert (found.succeeded, found.failed, found.unfinished) == (MINI_BATCHES - gone, gone, 0)
    assert (found.items, found.items_failed) == (ITEMS, gone * SIZE)
    assert faults.calls() == Counter({0: 1 + gone, 1: 1, 2: 1 + once, 3: 1, 4: 1, 5: 1})
    assert found.attempts == sum(faults.calls().values())
    bad = [(0, 1), (0, 2)] * gone + [(2, 1)] * once
    assert faults.inits() == (1 + len(bad) if expected.dies else 1)
    assert run.output == (rows_of(*range(gone, 6)) if action == "append_row" else None)

    failed = [o for o in run.attempts if o.status]
    assert sorted((o.index, o.attempt) for o in failed) == bad
    assert {o.status for o in failed} == {expected.status}
    assert all(expected.says in o.error.message for o in failed)
    assert all(len(o.error.text) < 2**17 for o in failed)
    assert sum(group.count for group in run.report.errors) == len(bad)


@pytest.mark.parametrize(("data", "action"), EACH_KIND)
def test_without_a_fault_each_is_run_once(tmp_path: Path, data: str, action: str) -> None:
    faults = Faults({0: "ok", 2: ["ok"]})
    run, found = run_faulty(tmp_path, data, action, faults)
    assert run.report.status is RunStatus.COMPLETED
    assert (found.succeeded, found.items_succeeded, found.attempts) == (6, ITEMS, 6)
    assert faults.calls() == Counter(range(MINI_BATCHES))
    assert faults.inits() == 1
    assert run.output == (rows_of(*range(MINI_BATCHES)) if action == "append_row" else None)


@pytest.mark.slow
@pytest.mark.parametrize(("data", "action"), EACH_KIND)
def test_a_result_too_few_fails_its_item_and_is_not_tried_again(
    tmp_path: Path, data: str, action: str
) -> None:
    faults = Faults({0: "short", 2: ["short"]})
    run, found = run_faulty(tmp_path, data, action, faults)
    assert run.report.status is RunStatus.COMPLETED
    assert (found.succeeded, found.failed, found.attempts) == (6, 0, 6)
    assert (found.items, found.items_failed) == (ITEMS, 2)
    assert faults.calls() == Counter(range(MINI_BATCHES))
    rows = b"0\n2\n3\n4\n" + rows_of(3, 4, 5)
    assert run.output == (rows if action == "append_row" else None)
    assert "run() returned 1 result for 2 items" in run.report.errors[0].message


@pytest.mark.slow
@pytest.mark.parametrize(("data", "action"), EACH_KIND)
def test_rows_without_a_text_fail_where_they_are_written(
    tmp_path: Path, data: str, action: str
) -> None:
    faults = Faults({0: "unencodable", 2: ["unencodable"]})
    run, found = run_faulty(tmp_path, data, action, faults, run_max_try=TRIES)
    assert run.report.status is RunStatus.COMPLETED
    if action == "summary_only":  # nobody asks for their text
        assert (found.items_failed, found.attempts) == (0, 6)
        return
    assert (found.succeeded, found.failed, found.items_failed) == (5, 1, SIZE)
    assert faults.calls() == Counter({0: TRIES, 1: 1, 2: 2, 3: 1, 4: 1, 5: 1})
    assert run.output == rows_of(1, 2, 3, 4, 5)
    assert {o.status for o in run.attempts if o.status} == {Status.NOT_WRITTEN}
    assert "this row has no text" in run.report.errors[0].message


@pytest.mark.slow
@pytest.mark.parametrize(("data", "action"), EACH_KIND)
def test_a_full_disk_is_no_mini_batch_s_fault_and_the_run_goes_on_later(
    tmp_path: Path, data: str, action: str
) -> None:
    faults = Faults({2: ["disk_full"]})
    run, found = run_faulty(tmp_path, data, action, faults, run_max_try=1)
    assert (found.failed, found.items_failed) == (0, 0)
    if action == "summary_only":  # it writes no rows
        assert run.report.status is RunStatus.COMPLETED
        return
    assert run.report.status is RunStatus.FAILED
    assert "No space left on device" in run.report.message
    assert run.output is None
    before = faults.calls()
    done = found.succeeded
    run, found = resume(run.request)
    assert run.report.status is RunStatus.COMPLETED
    assert (found.succeeded, found.items_failed) == (6, 0)
    assert run.output == rows_of(*range(MINI_BATCHES))
    assert sum((faults.calls() - before).values()) == MINI_BATCHES - done
