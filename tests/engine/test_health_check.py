"""What is made of a scheduler's answers and silence, and how long a run waits without a node."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from daskrun.core.intervals import USUAL
from daskrun.engine.dask.assignment import Assignment, WorkerInfo
from daskrun.engine.dask.health_check import (
    Health,
    HealthCheck,
)
from daskrun.engine.slots import STOP_LIMIT, Waits

A, B = "tcp://10.0.0.1:1", "tcp://10.0.0.2:1"
FINE = Health("", "", [], False)


class Clock:
    """A pulse that is looked at each second; the scheduler answers with ``busy``, or not."""

    def __init__(self, patience: float = 0.0) -> None:
        self.pulse = HealthCheck(patience)
        self.now = 100.0
        self.busy: list[str] | None = [A, B]
        self.asked = 0
        loop = SimpleNamespace(add_callback=self._ask)
        self._client = SimpleNamespace(loop=loop)

    def _ask(self, _: Any, client: object, workers: list[str], now: float) -> None:
        assert client is self._client
        self.asked += 1
        if self.busy is not None:
            self.pulse.heard(workers, [w for w in workers if w in self.busy], now)

    def run(self, seconds: int) -> list[Health]:
        """Look so many times; give what was found that is not all well."""
        found = []
        for _ in range(seconds):
            self.now += 1.0
            found.append(self.pulse.check(self._client, [A, B], self.now))
        return [each for each in found if each != FINE]


def test_a_scheduler_that_answers_is_asked_every_few_seconds() -> None:
    clock = Clock()
    assert clock.run(20) == []
    assert clock.asked == 20 / USUAL.health_interval
    assert not clock.pulse.silent


@pytest.mark.parametrize("patience", [0.0, 4 * USUAL.least_silence])
def test_a_silent_scheduler_is_told_of_and_then_given_up_once(patience: float) -> None:
    clock = Clock(patience)
    clock.busy = None
    told, gone = clock.run(300)
    assert told.note.startswith(f"has not answered for {USUAL.silence_told + 1:.0f} s")
    limit = max(patience, USUAL.least_silence)
    assert gone.trouble.startswith(f"has not answered for {limit + 1:.0f} s: it is stopped")
    assert clock.asked == 1  # and not once more while that is out
    assert clock.pulse.silent


def test_a_scheduler_that_answers_late_is_fine_again() -> None:
    clock = Clock()
    clock.busy = None
    assert len(clock.run(int(USUAL.least_silence) - 2)) == 1
    clock.pulse.heard([A, B], [A, B], clock.now)
    assert clock.run(1) == []
    assert len(clock.run(int(USUAL.least_silence) - 2)) == 1  # silent anew, told anew, not given up


def test_a_driver_that_was_stopped_itself_blames_nobody() -> None:
    clock = Clock()
    clock.busy = None
    clock.run(3)
    clock.now += 3600
    assert clock.run(1) == []


def test_a_question_that_failed_is_asked_again() -> None:
    clock = Clock()
    clock.busy = None
    clock.run(5)
    clock.pulse.heard([A, B], None, clock.now)
    assert clock.run(1) == []
    assert clock.asked == 2


def test_a_worker_that_is_given_no_tasks_is_named_after_a_while_and_when_it_is_back() -> None:
    clock = Clock()
    clock.run(10)
    clock.busy = [B]
    found = clock.run(int(USUAL.pause_limit) + 4)
    assert {tuple(each.idle) for each in found} == {(A,)}
    assert len(found) <= 4
    clock.busy = [A, B]
    assert clock.run(4)[-1] == Health("", "", [], back=True)
    assert clock.run(4) == []


def test_what_was_known_is_forgotten_with_a_connection() -> None:
    clock = Clock()
    clock.busy = [B]
    clock.run(int(USUAL.pause_limit) - 2)
    clock.busy = None
    clock.run(4)
    clock.pulse.restart()
    clock.busy = [B]
    assert clock.run(4) == []


def in_state(status: str) -> WorkerInfo:
    return WorkerInfo("a", status=status)


def test_a_worker_that_dask_gives_no_tasks_gets_no_node() -> None:
    workers = Assignment(2, local=False)
    assert workers.choose({}) == []
    assert workers.obstacle == "the cluster has no Dask worker"
    assert workers.choose({A: in_state("paused")}) == []
    assert workers.idle == [A]
    assert A in workers.obstacle
    assert "paused" in workers.obstacle
    chosen = workers.choose({A: in_state("paused"), B: in_state("init")})
    assert chosen == [("node000", B)]
    assert workers.obstacle == ""
    assert workers.choose({A: in_state("running"), B: in_state("running")}) == [("node001", A)]
    assert workers.idle == []


def test_a_run_without_a_node_ends_and_names_what_is_in_the_way() -> None:
    waits = Waits(no_worker_timeout=10, now=0.0)
    waits.node_came()
    waits.node_went("it left the cluster", 5.0, left=0)
    waits.node_went("so did this", 14.0, left=0)
    assert waits.too_long_nodeless(15.0) == ""
    words = "no Dask worker had a node of this run for 11 s (no_worker_timeout=10)"
    assert waits.too_long_nodeless(16.0) == f"{words}; last: so did this"
    assert waits.too_long_nodeless(16.0, "none") == f"{words}: none; last: so did this"
    assert waits.too_long_nodeless(16.0, "so did") == f"{words}: so did"
    waits.stopped(16.0)
    assert waits.too_long_nodeless(17.0) == ""
    assert not waits.too_long_stopped(16.0 + STOP_LIMIT)
    assert waits.too_long_stopped(17.0 + STOP_LIMIT)


def test_a_run_that_has_another_node_waits_for_none() -> None:
    waits = Waits(no_worker_timeout=10, now=0.0)
    waits.node_came()
    waits.node_went("it left", 5.0, left=1)
    assert waits.too_long_nodeless(900.0) == ""
