"""``init()`` that fails on the first process, on a later one, on all; that hangs; that is slow."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from scripted import EACH_KIND, MINI_BATCHES, SCRIPT, rows_of, run_faulty

from daskrun.core.events import InitFailed
from daskrun.core.report import RunStatus
from daskrun.testing import Faults

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("own_temporary_folder")

EACH_ONCE = Counter(range(MINI_BATCHES))


@pytest.mark.slow
@pytest.mark.parametrize(("data", "action"), EACH_KIND)
@pytest.mark.parametrize(("fault", "says"), [("raise", "fault 'raise'"), ("exit", "exit code 3")])
def test_on_the_first_process_it_costs_nobody_an_attempt(
    tmp_path: Path, fault: str, says: str, data: str, action: str
) -> None:
    faults = Faults(init={1: fault})
    run, found = run_faulty(tmp_path, data, action, faults, process_count_per_node=2)
    assert run.report.status is RunStatus.COMPLETED
    assert (found.succeeded, found.attempts) == (6, 6)
    assert faults.calls() == EACH_ONCE
    [failed] = run.watch.of(InitFailed)
    assert says in failed.error.message
    [group] = run.report.errors
    assert (group.index, group.count) == (-1, 1)
    assert faults.inits() in (2, 3)  # the run may end before the first has its replacement
    assert run.output == (rows_of(*range(6)) if action == "append_row" else None)


@pytest.mark.slow
@pytest.mark.parametrize(("data", "action"), EACH_KIND)
def test_on_a_replacement_it_gets_another(tmp_path: Path, data: str, action: str) -> None:
    faults = Faults({2: ["segfault"]}, init={2: "raise"})
    run, found = run_faulty(tmp_path, data, action, faults, run_max_try=2)
    assert run.report.status is RunStatus.COMPLETED
    assert (found.succeeded, found.attempts) == (6, 7)
    assert faults.calls() == EACH_ONCE + Counter({2: 1})
    assert faults.inits() == 3
    assert len(run.watch.of(InitFailed)) == 1
    assert run.output == (rows_of(*range(6)) if action == "append_row" else None)


@pytest.mark.slow
@pytest.mark.parametrize(("data", "action"), EACH_KIND)
def test_on_every_process_it_ends_the_run_with_the_users_error(
    tmp_path: Path, data: str, action: str
) -> None:
    faults = Faults(init="raise")
    run, found = run_faulty(tmp_path, data, action, faults, process_count_per_node=2)
    assert run.report.status is RunStatus.FAILED
    assert "no script process could import the entry script and finish init()" in run.report.message
    assert "RuntimeError: scripted fault 'raise'" in run.report.message
    assert "in init() on node000/process00" in run.report.message
    assert (found.succeeded, found.failed, found.attempts) == (0, 0, 0)
    assert faults.calls() == Counter()
    failures = len(run.watch.of(InitFailed))
    assert 2 <= failures <= 2 * 2  # each process of the first wave; 2 x processes at most
    assert run.report.errors[0].count == failures
    assert "score_with_faults.py" in run.report.errors[0].where
    assert run.output is None


@pytest.mark.slow
def test_where_all_but_one_succeed_failures_do_not_add_up(tmp_path: Path) -> None:
    # four in a row are 2 x processes; a success between them begins the count anew
    faults = Faults(
        {n: ["exit"] for n in (0, 1, 2)}, init={2: "raise", 3: "raise", 5: "raise", 6: "raise"}
    )
    run, found = run_faulty(
        tmp_path, "files", "append_row", faults, process_count_per_node=2, run_max_try=2
    )
    assert run.report.status is RunStatus.COMPLETED
    assert (found.succeeded, found.attempts) == (6, 9)
    assert run.output == rows_of(*range(6))


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["hang", "hang_in_c", "stop"])
def test_one_that_hangs_is_killed_at_its_own_limit(tmp_path: Path, fault: str) -> None:
    faults = Faults(init=fault)
    run, found = run_faulty(tmp_path, "files", "append_row", faults, init_timeout=1)
    assert run.report.status is RunStatus.FAILED
    assert "init() took longer than init_timeout=1 s" in run.report.message
    assert found.attempts == 0
    assert faults.inits() == 1
    if fault != "stop":  # a stopped process can't say where it is
        assert f"in _{fault}" in run.report.errors[0].text


@pytest.mark.slow
def test_one_that_is_slow_is_legal(tmp_path: Path) -> None:
    # longer than run() and progress may take: neither limit is init()'s
    slow = f"import time\ndef init(): time.sleep(1.2)\n{SCRIPT}"
    limits = {"run_invocation_timeout": 0.5, "progress_update_timeout": 0.5}
    run, found = run_faulty(tmp_path, "files", "append_row", Faults(), slow, **limits)
    assert run.report.status is RunStatus.COMPLETED
    assert (found.succeeded, found.attempts) == (6, 6)
