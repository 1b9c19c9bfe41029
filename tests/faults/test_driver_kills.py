"""A driver that gets SIGKILL between two steps of its commit, and another that goes on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from running import kill_driver_at, run_request, wait_until_nothing_is_left
from scripted import EACH_KIND, ITEMS, MINI_BATCHES, audit, make_faulty, resume, rows_of

from daskrun.core.report import RunStatus
from daskrun.storage.journal import Journal
from daskrun.testing import POINTS, Faults

if TYPE_CHECKING:
    from pathlib import Path

    from daskrun.engine.request import StepRequest

pytestmark = pytest.mark.usefixtures("own_temporary_folder")

OF_OUTPUT = ("finalizing", "renamed", "finalized")
"""Points that only a run with an output of its own gets to."""
CASES = [
    (point, data, action)
    for point in POINTS
    for data, action in EACH_KIND
    if action == "append_row" or point not in OF_OUTPUT
]


def kill_at(request: StepRequest, point: str) -> None:
    """Have a driver killed at a point, and see that it has left nothing."""
    kill_driver_at(request, point)
    assert wait_until_nothing_is_left() == []


def journalled(request: StepRequest) -> dict[int, int]:
    """Give the attempts that the journal has of each mini-batch."""
    entries = Journal.read(request.run_folder / "journal", "bundle")
    return Counter(fields[0] for entry in entries for fields in entry["outcomes"])


@pytest.mark.slow
@pytest.mark.parametrize(("point", "data", "action"), CASES)
def test_what_was_journalled_is_not_done_again_and_nothing_is_lost(
    tmp_path: Path, point: str, data: str, action: str
) -> None:
    late = point in (*OF_OUTPUT, "swept")
    faults = Faults({4: "raise"})
    request = make_faulty(tmp_path, data, action, faults, run_max_try=2)
    kill_at(request, point if late else f"{point}:2")
    calls, before = faults.calls(), journalled(request)
    assert (sum(before.values()) == MINI_BATCHES + 1) == late

    run, found = resume(request)
    assert run.report.status is RunStatus.COMPLETED
    assert (found.succeeded, found.failed) == (5, 1)
    assert (found.items, found.items_failed) == (ITEMS, 2)
    assert run.output == (rows_of(0, 1, 2, 3, 5) if action == "append_row" else None)
    # tries go on being counted where they were, and what is in the journal costs no further call
    tries = Counter({n: 2 if n == 4 else 1 for n in range(MINI_BATCHES)})
    assert found.attempts == sum(tries.values())
    assert faults.calls() - calls == tries - Counter(before)
    if late:
        assert faults.calls() == tries


@pytest.mark.slow
def test_a_driver_that_is_killed_again_and_again_gets_there(tmp_path: Path) -> None:
    faults = Faults({1: ["raise"], 3: ["segfault"]})
    request = make_faulty(tmp_path, "files", "append_row", faults, run_max_try=2)
    kill_at(request, "written")
    for point in ("journalled", "counted", "finalizing", "renamed"):
        request = replace(request, resumed=True)
        kill_at(request, point)
    run, found = resume(request)
    assert run.report.status is RunStatus.COMPLETED
    assert (found.succeeded, found.items_failed) == (6, 0)
    assert run.output == rows_of(*range(MINI_BATCHES))


@pytest.mark.slow
def test_rows_that_are_gone_are_made_again_and_no_others(tmp_path: Path) -> None:
    faults = Faults()
    request = make_faulty(tmp_path, "files", "append_row", faults)
    kill_at(request, "finalizing")
    assert request.output_folder is not None
    [part] = (request.output_folder / "_daskrun" / "run1").glob("node*")
    # in the order in which they were run, which on a busy machine is not that of the plan
    entries = Journal.read(request.run_folder / "journal", "bundle")
    outcomes = [outcome for entry in entries for outcome in entry["outcomes"]]
    ends = {index: at + length for index, _, _, _, _, at, length, *_ in outcomes}
    size = sorted(ends.values())[2]
    with part.open("r+b") as file:
        file.truncate(size)
    calls = {index: 1 + (end > size) for index, end in ends.items()}
    assert sorted(calls.values()) == [1, 1, 1, 2, 2, 2]
    run, found = resume(request)
    assert run.output == rows_of(*range(MINI_BATCHES))
    assert faults.calls() == Counter(calls)
    assert found.attempts == 6


@pytest.mark.slow
def test_failures_are_tried_again_where_that_is_asked_for(tmp_path: Path) -> None:
    faults = Faults({1: ["raise", "raise"], 4: ["exit", "exit", "exit"]})
    request = make_faulty(tmp_path, "files", "append_row", faults, run_max_try=2, error_threshold=3)
    run = run_request(request)
    assert run.report.status is RunStatus.FAILED
    assert audit(run).failed == 2
    run, found = resume(request, retry_failed=True)
    assert run.report.status is RunStatus.COMPLETED
    assert (found.succeeded, found.failed) == (6, 0)
    assert faults.calls() == Counter({0: 1, 1: 3, 2: 1, 3: 1, 4: 4, 5: 1})
    assert run.output == rows_of(*range(MINI_BATCHES))
