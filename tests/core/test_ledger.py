"""The ledger: tables for its rules, and a state machine that deals it any history."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from generated import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from daskrun.core.events import (
    Bundle,
    BundleLost,
    BundleReturned,
    Event,
    Finish,
    HandOut,
    InitFailed,
    Keep,
    NodeReady,
    Order,
    Planned,
    ProcessReady,
    RoomFor,
    Skip,
    SlotsIdle,
    Stop,
    StopAsked,
    Tell,
)
from daskrun.core.ledger import LONGEST_DELAY, Ledger
from daskrun.core.outcome import Failure, Outcome, ProcessInfo, Status
from daskrun.core.report import RunStatus
from daskrun.core.settings import RunSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

PROCESS = ProcessInfo("node000", "process000", 1, 0.0, "part")


def outcome(
    index: int,
    attempt: int = 1,
    *,
    status: int = 0,
    items: int = 2,
    results: int = 2,
    text: str = "x",
) -> Outcome:
    error = None if status == 0 else Failure(text, "E", "s.py:1", text)
    made = results if status == 0 else 0
    return Outcome(index, attempt, status, items, made, 0, 0, 0, 0, 0.0, 0.1, 0.1, 0.0, error)


class Desk:
    """A ledger with a clock and short words for the events."""

    def __init__(self, mini_batches: int = 4, *, complete: bool = True, **wanted: Any) -> None:
        wanted.setdefault("retry_delay", 0.0)
        self.ledger = Ledger(RunSettings(entry_script="score.py", **wanted))
        self.now = 0.0
        self.orders: list[Order] = []
        self.handle(Planned(mini_batches, complete, self.now))

    def handle(self, event: Event) -> list[Order]:
        orders = self.ledger.handle(event)
        self.orders += orders
        return orders

    def take(self, limit: int = 1) -> Bundle:
        [order] = self.handle(RoomFor("node000", limit, self.now))
        assert isinstance(order, HandOut)
        return order.bundle

    def give_back(self, bundle: Bundle, *outcomes: Outcome) -> list[Order]:
        return self.handle(BundleReturned(bundle.number, PROCESS, outcomes, 0.1, self.now))

    def run(self, *statuses: int) -> list[Order]:
        """Run the next mini-batches one by one, with these ends."""
        orders: list[Order] = []
        for status in statuses:
            bundle = self.take()
            [(index, attempt)] = bundle.entries
            orders += self.give_back(bundle, outcome(index, attempt, status=status))
        return orders

    @property
    def status(self) -> RunStatus | None:
        return self.ledger.finished


def test_what_another_try_can_not_change_is_not_tried_again() -> None:
    lasting = Failure("x", "E", "s.py:1", "x", lasting=True)
    desk = Desk(1, run_max_try=3, error_threshold=-1)
    failed = outcome(0, status=1)._replace(error=lasting)
    assert Skip(0) in desk.give_back(desk.take(), failed)
    assert desk.ledger.tally.failed == 1
    again = Desk(1, run_max_try=3, error_threshold=-1)
    assert Skip(0) in again.ledger.recall([(failed, PROCESS, False)])
    forgiven = Desk(1, run_max_try=3, error_threshold=-1)
    assert forgiven.ledger.recall([(failed, PROCESS, True)]) == []


# thresholds


@pytest.mark.parametrize(
    ("wanted", "failures", "stops"),
    [
        ({"error_threshold": -1}, 4, False),
        ({"error_threshold": 0}, 1, True),
        ({"error_threshold": 3}, 1, False),
        ({"error_threshold": 3}, 2, True),
        ({"error_threshold": 4}, 2, False),
        ({"allowed_failed_count": None}, 4, False),
        ({"allowed_failed_count": -1}, 4, False),
        ({"allowed_failed_count": 0}, 1, True),
        ({"allowed_failed_count": 2}, 2, False),
        ({"allowed_failed_count": 2}, 3, True),
        ({"allowed_failed_percent": 0.0}, 1, True),
        ({"allowed_failed_percent": 49.9}, 2, True),
        ({"allowed_failed_percent": 50.0}, 2, False),
        ({"allowed_failed_percent": 100.0}, 4, False),
    ],
)
def test_thresholds(wanted: dict[str, Any], failures: int, stops: bool) -> None:
    desk = Desk(4, run_max_try=1, output_action="summary_only", **wanted)
    desk.run(*[1] * failures)
    for _ in range(4 - failures):
        if not desk.status:
            desk.run(0)
    assert desk.status is (RunStatus.FAILED if stops else RunStatus.COMPLETED)
    assert any(isinstance(order, Stop) for order in desk.orders) is stops
    assert desk.orders[-1] == Finish(desk.status)
    if stops:
        [(name, value)] = wanted.items()
        assert f"{name}={value:g}" in desk.ledger.message()
        assert "First error: x (s.py:1) in mini-batch 0, attempt 1" in desk.ledger.message()


def test_percent_is_judged_only_when_all_have_been_handed_out() -> None:
    desk = Desk(4, run_max_try=1, allowed_failed_percent=30.0)
    desk.run(1, 1, 0)
    assert not desk.ledger.stopped  # 50 % of four, but the fourth is still to come
    desk.run(0)
    assert desk.status is RunStatus.FAILED
    desk = Desk(4, complete=False, run_max_try=1, allowed_failed_percent=30.0)
    desk.run(1, 1, 0, 0)
    assert not desk.ledger.stopped  # more may be found
    desk.handle(Planned(10, True, 0.0))
    desk.run(0, 0, 0, 0, 0, 0)
    assert desk.status is RunStatus.COMPLETED


def test_an_attempt_that_will_be_tried_again_counts_for_no_threshold() -> None:
    desk = Desk(1, run_max_try=3, error_threshold=0, allowed_failed_count=0)
    assert desk.run(1, 1) == []
    assert desk.run(0) == [Finish(RunStatus.COMPLETED)]
    assert desk.ledger.tally.retried == 2


def test_short_results_count_as_failed_items_at_once() -> None:
    desk = Desk(2, error_threshold=0)
    bundle = desk.take()
    orders = desk.give_back(bundle, outcome(0, items=2, results=1))
    assert isinstance(orders[0], Stop)
    assert desk.status is RunStatus.FAILED


def test_more_results_than_items_are_no_failure_and_warned_of_once() -> None:
    desk = Desk(2, error_threshold=0)
    for index in range(2):
        desk.give_back(desk.take(), outcome(index, items=2, results=5))
    report = desk.ledger.report(1.0, 0.0)
    assert (report.status, report.items_failed) == (RunStatus.COMPLETED, 0)
    assert len(report.warnings) == 1
    assert "mini-batch 0: 5 for 2" in report.warnings[0]


def test_a_reason_that_is_a_sentence_and_the_first_error_are_two_messages() -> None:
    desk = Desk(3)
    desk.run(1)
    desk.handle(StopAsked("The disk is full. Free space there.", canceled=False, now=desk.now))
    assert "Free space there. First error: x (s.py:1)" in desk.ledger.message()


def test_a_reason_that_names_the_first_error_does_not_have_it_behind_it_too() -> None:
    desk = Desk(3)
    desk.run(1)
    desk.handle(StopAsked("mini-batch 0: x", canceled=False, now=desk.now, error="x"))
    assert desk.ledger.message() == "mini-batch 0: x."


@pytest.mark.parametrize(
    ("action", "end"), [("append_row", "FAILED"), ("summary_only", "COMPLETED")]
)
def test_not_one_success(action: str, end: str) -> None:
    desk = Desk(2, run_max_try=1, output_action=action)
    desk.run(1, 2)
    assert desk.status is RunStatus[end]
    if action == "append_row":
        assert "not one mini-batch succeeded" in desk.ledger.message()
        assert "First error: x (s.py:1) in mini-batch 0" in desk.ledger.message()


@pytest.mark.parametrize(
    ("action", "items", "results", "end"),
    [
        ("append_row", 2, (0, 0), "FAILED"),
        ("append_row", 2, (0, 1), "COMPLETED"),
        ("append_row", 0, (0, 0), "COMPLETED"),  # no rows in any: nothing failed
        ("summary_only", 2, (0, 0), "COMPLETED"),
    ],
)
def test_success_is_counted_in_items(
    action: str, items: int, results: tuple[int, ...], end: str
) -> None:
    desk = Desk(2, output_action=action)
    for index, count in enumerate(results):
        desk.give_back(desk.take(), outcome(index, items=items, results=count))
    assert desk.status is RunStatus[end]
    if end == "FAILED":
        assert desk.ledger.message().startswith(
            "not one of 4 items succeeded: each run() that didn't fail (2 of 2 mini-batches) "
            "returned no results, so append_row has nothing to write. Return one element for each "
            "item that succeeded. First error: run() returned 0 results for 2 items"
        )


def test_no_results_and_errors_are_both_said() -> None:
    desk = Desk(2, run_max_try=1)
    desk.run(1)
    desk.give_back(desk.take(), outcome(1, items=2, results=0))
    assert desk.status is RunStatus.FAILED
    assert "(1 of 2 mini-batches) returned no results" in desk.ledger.message()
    assert "First error: x (s.py:1) in mini-batch 0" in desk.ledger.message()


def test_a_plan_without_mini_batches_is_complete() -> None:
    assert Desk(0).status is RunStatus.COMPLETED


# init


def ready(name: str, node: str = "node000", pid: int = 1) -> ProcessReady:
    return ProcessReady(ProcessInfo(node, name, pid, 0.0, ""), 0.1, 0.0)


def failed(name: str, node: str = "node000", pid: int = 2) -> InitFailed:
    error = Failure("ValueError: no model", where="s.py:2", text="...")
    return InitFailed(ProcessInfo(node, name, pid, 0.0, ""), error, 0.0)


def died_ready(name: str, pid: int) -> list[Event]:
    """A process that is ready and dies before it has returned anything."""
    return [ready(name, pid=pid), failed(name, pid=pid)]


@pytest.mark.parametrize(
    ("events", "stops_at"),
    [
        # every process of the first wave failed once
        ([failed("a"), failed("b")], 2),
        # one that fails again and again while the other is still at it
        ([failed("a"), failed("a"), failed("a"), failed("a")], 4),
        ([failed("a"), failed("a"), failed("b")], 3),
        # a success: then it takes 2 × processes failures without another
        ([ready("a"), failed("b"), failed("b"), failed("b")], None),
        ([ready("a"), failed("b"), failed("b"), failed("b"), failed("b")], 5),
        ([ready("a"), failed("a"), failed("b"), ready("b"), failed("a"), failed("b")], None),
        ([failed("a"), ready("b"), failed("b")], None),
        # being ready is no success if the process then dies without an outcome
        ([e for n in range(5) for e in died_ready("a", 10 + n)], 8),
        ([ready("b"), *(e for n in range(5) for e in died_ready("a", 10 + n))], 9),
        ([ready("a"), ready("b"), *(failed(n, pid=1) for n in "ab")], None),
        ([failed("b"), failed("b"), *died_ready("a", 3), failed("b")], 5),
    ],
)
def test_when_init_has_failed_for_good(events: list[Event], stops_at: int | None) -> None:
    desk = Desk(4)
    desk.handle(NodeReady("node000", 2, 0.0))
    stopped = None
    for number, event in enumerate(events, 1):
        if any(isinstance(order, Stop) for order in desk.handle(event)):
            stopped = number
    assert stopped == stops_at
    if stops_at:
        assert desk.status is RunStatus.FAILED
        assert "First error: ValueError: no model (s.py:2) in init()" in desk.ledger.message()


def test_a_ready_process_that_has_returned_something_has_succeeded() -> None:
    desk = Desk(8)
    desk.handle(NodeReady("node000", 1, 0.0))
    for pid in range(1, 6):
        process = ProcessInfo("node000", "a", pid, 0.0, "")
        desk.handle(ready("a", pid=pid))
        [order] = desk.handle(RoomFor("node000", 1, 0.0))
        done = BundleReturned(order.bundle.number, process, (outcome(pid - 1),), 0.1, 0.0)
        assert desk.handle(done) == []
        assert desk.handle(failed("a", pid=99)) == []
    [stop, *_] = [desk.handle(e) for e in died_ready("a", 50)][1]
    assert isinstance(stop, Stop)
    assert stop.reason == "script processes end right after init(), before they return anything"


def test_processes_of_all_nodes_are_the_first_wave() -> None:
    desk = Desk(4)
    for node in ("node000", "node001"):
        desk.handle(NodeReady(node, 1, 0.0))
    assert desk.handle(failed("process000", "node000")) == []
    assert isinstance(desk.handle(failed("process000", "node001"))[0], Stop)


# tries, delays, bundles


def test_the_delay_doubles_up_to_its_limit() -> None:
    desk = Desk(1, run_max_try=12, retry_delay=0.1)
    seen = []
    for _ in range(11):
        desk.run(1)
        due = desk.ledger.next_due
        assert due is not None
        seen.append(due - desk.now)
        assert not desk.ledger.has_work(desk.now)
        assert desk.handle(RoomFor("node000", 5, desk.now)) == []
        desk.now = due
        assert desk.ledger.has_work(desk.now)
    expected = [min(0.1 * 2**n, LONGEST_DELAY) for n in range(11)]
    assert seen == pytest.approx(expected)


def test_what_was_not_started_goes_out_again_uncharged_and_first() -> None:
    desk = Desk(6)
    bundle = desk.take(3)
    desk.give_back(bundle, outcome(0))
    assert desk.take(4).entries == ((1, 1), (2, 1), (3, 1), (4, 1))


def test_those_of_which_one_ends_processes_go_out_alone() -> None:
    desk = Desk(6)
    bundle = desk.take(4)
    lost = BundleReturned(bundle.number, PROCESS, (), 0.1, desk.now, alone=(1, 2))
    desk.handle(lost)
    again = [desk.take(4).entries for _ in range(4)]
    assert again == [((0, 1),), ((1, 1),), ((2, 1),), ((3, 1), (4, 1), (5, 1))]


def test_a_lost_bundle_goes_out_again_with_the_same_attempts() -> None:
    desk = Desk(3, run_max_try=3)
    desk.run(1)
    bundle = desk.take(2)
    assert bundle.entries == ((0, 2), (1, 1))
    desk.handle(BundleLost(bundle.number, "node gone", 0.0))
    assert desk.take(9).entries == ((0, 2), (1, 1), (2, 1))
    assert desk.ledger.tally.attempts == 1


def test_a_bundle_that_returns_twice_or_is_unknown_counts_once() -> None:
    desk = Desk(2)
    bundle = desk.take()
    desk.give_back(bundle, outcome(0))
    assert desk.give_back(bundle, outcome(0)) == []
    assert desk.handle(BundleLost(bundle.number, "", 0.0)) == []
    assert desk.handle(BundleReturned(99, PROCESS, (outcome(1),), 0.1, 0.0)) == []
    assert desk.ledger.tally.succeeded == 1


def test_an_outcome_for_what_was_not_in_the_bundle_is_not_counted() -> None:
    desk = Desk(3)
    bundle = desk.take()
    desk.give_back(bundle, outcome(0), outcome(2), outcome(0))
    assert desk.ledger.tally.attempts == 1


def test_the_last_failure_says_that_the_output_goes_on_without_it() -> None:
    desk = Desk(2, run_max_try=2)
    assert desk.run(1) == []
    assert desk.run(1) == [Skip(0)]


def test_a_stop_waits_for_what_is_out_and_counts_it() -> None:
    desk = Desk(4)
    bundle = desk.take(2)
    assert desk.handle(StopAsked("enough", canceled=True, now=0.0)) == [Stop("enough")]
    assert desk.handle(StopAsked("again", canceled=False, now=0.0)) == []
    assert desk.handle(RoomFor("node000", 1, 0.0)) == []
    assert desk.give_back(bundle, outcome(0)) == [Finish(RunStatus.CANCELED)]
    report = desk.ledger.report(1.0, 0.0)
    assert (report.succeeded, report.unfinished) == (1, 3)
    assert report.message == "enough; 1 of 4 mini-batches are done."


def test_a_finished_run_cannot_be_stopped() -> None:
    desk = Desk(1)
    desk.run(0)
    assert desk.handle(StopAsked("late", canceled=True, now=0.0)) == []
    assert desk.status is RunStatus.COMPLETED


def test_the_plan_is_asked_for_when_it_runs_out() -> None:
    desk = Desk(2, complete=False)
    assert not desk.ledger.wants_plan
    desk.run(0, 0)
    assert desk.ledger.wants_plan
    assert desk.status is None
    desk.handle(Planned(3, True, 0.0))
    assert not desk.ledger.wants_plan
    desk.run(0)
    assert desk.status is RunStatus.COMPLETED


def test_progress_adds_up_on_the_way() -> None:
    desk = Desk(6, run_max_try=2)
    desk.run(0, 1)
    desk.take(2)
    progress = desk.ledger.progress(3.0)
    assert (progress.total, progress.succeeded, progress.failed, progress.retried) == (6, 1, 0, 1)
    assert progress.in_flight == 2
    assert progress.handed_out == 3


# any history


class History(RuleBasedStateMachine):
    """Deals the ledger what can happen, in any order, and keeps an account of its own."""

    @initialize(
        tries=st.integers(1, 3),
        total=st.integers(0, 12),
        lazy=st.booleans(),
        error_threshold=st.sampled_from([-1, -1, 0, 3, 8]),
        count=st.sampled_from([None, -1, 0, 2]),
        percent=st.sampled_from([None, 0.0, 30.0]),
        delay=st.sampled_from([0.0, 0.1, 5.0]),
        action=st.sampled_from(["append_row", "summary_only"]),
    )
    def begin(self, tries, total, lazy, error_threshold, count, percent, delay, action) -> None:
        self.wanted = RunSettings(
            entry_script="score.py",
            run_max_try=tries,
            error_threshold=error_threshold,
            allowed_failed_count=count,
            allowed_failed_percent=percent,
            retry_delay=delay,
            output_action=action,
        )
        self.ledger = Ledger(self.wanted)
        self.history: list[Event] = []
        self.answers: list[list[Order]] = []
        self.now, self.total, self.known = 0.0, total, 0
        self.out: dict[int, dict[int, int]] = {}
        self.all_of: dict[int, tuple[tuple[int, int], ...]] = {}
        self.tried: Counter[int] = Counter()
        self.state: dict[int, str] = {}
        self.items = self.items_ok = 0
        self.stopped = False
        self.skipped: list[int] = []
        self.deal(NodeReady("a", 2, 0.0))
        self.plan(total // 2 if lazy else total)

    def deal(self, event: Event) -> list[Order]:
        was_stopped = self.stopped
        orders = self.ledger.handle(event)
        self.history.append(event)
        self.answers.append(orders)
        for order in orders:
            if isinstance(order, HandOut):
                assert not was_stopped, "handed out after an abort"
                self.hand_out(order.bundle)
            elif isinstance(order, Stop):
                assert not was_stopped, "stopped twice"
                self.stopped = True
            elif isinstance(order, Skip):
                self.skipped.append(order.index)
            elif isinstance(order, Finish):
                assert order is orders[-1]
                assert not self.owed, "finished while something was owed"
        return orders

    def hand_out(self, bundle: Bundle) -> None:
        indices = [index for index, _ in bundle.entries]
        assert indices == sorted(set(indices))
        assert indices
        for index, attempt in bundle.entries:
            assert self.state.get(index, "planned") == ("out" if bundle.backup else "planned")
            assert sum(index in owed for owed in self.out.values()) == bundle.backup
            assert attempt == self.tried[index] + 1 <= self.wanted.run_max_try
            self.state[index] = "out"
        self.out[bundle.number] = dict(bundle.entries)
        self.all_of[bundle.number] = bundle.entries

    @property
    def owed(self) -> set[int]:
        return {index for entries in self.out.values() for index in entries}

    def plan(self, known: int) -> None:
        self.known = known
        self.deal(Planned(known, known == self.total, self.now))

    @precondition(lambda self: self.known < self.total)
    @rule()
    def find_more(self) -> None:
        self.plan(self.total)

    @rule(limit=st.integers(1, 5), node=st.sampled_from("ab"))
    def room(self, limit: int, node: str) -> None:
        has_work = self.ledger.has_work(self.now)
        orders = self.deal(RoomFor(node, limit, self.now))
        assert bool([o for o in orders if isinstance(o, HandOut)]) == has_work

    @rule(a=st.integers(0, 2), b=st.integers(0, 2), limit=st.integers(1, 3))
    def slots_are_idle(self, a: int, b: int, limit: int) -> None:
        had_work = self.ledger.has_work(self.now)
        orders = self.deal(SlotsIdle({"a": a, "b": b}, limit, self.now))
        given = [order.bundle for order in orders if isinstance(order, HandOut)]
        assert not given or (self.known == self.total and not had_work)
        assert len(given) == sum(isinstance(order, Tell) for order in orders) <= a + b

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def comes_back(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.out)))
        owed, entries = self.out.pop(number), self.all_of[number]
        done = data.draw(st.integers(0, len(entries)))
        outcomes = []
        for index, attempt in entries[:done]:
            status = data.draw(st.sampled_from([0, 0, *Status]))
            items = data.draw(st.integers(0, 3))
            results = data.draw(st.integers(0, 4))
            made = outcome(index, attempt, status=int(status), items=items, results=results)
            outcomes.append(made)
            if owed.pop(index, None):  # else another was first
                self.count(made)
                for other in self.out.values():
                    other.pop(index, None)
        self.give_up(owed)
        self.deal(BundleReturned(number, PROCESS, tuple(outcomes), 0.1, self.now))

    def give_up(self, owed: Iterable[int]) -> None:
        for index in set(owed) - self.owed:
            self.state[index] = "planned"

    def count(self, made: Outcome) -> None:
        self.tried[made.index] += 1
        last = made.attempt == self.wanted.run_max_try
        if made.status == 0 or last:
            self.state[made.index] = "failed" if made.status else "succeeded"
            self.items += made.items
            self.items_ok += made.succeeded_items
        else:
            self.state[made.index] = "planned"

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def is_lost(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.out)))
        self.give_up(self.out.pop(number))
        self.deal(BundleLost(number, "its node is gone", self.now))

    @rule(number=st.integers(0, 40))
    def an_echo(self, number: int) -> None:
        if number not in self.out:
            self.deal(BundleReturned(number, PROCESS, (outcome(0),), 0.1, self.now))

    @rule(seconds=st.sampled_from([0.05, 0.2, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(name=st.sampled_from("xy"), well=st.booleans())
    def init_ends(self, name: str, well: bool) -> None:
        self.deal(ready(name, "a") if well else failed(name, "a"))

    @rule(canceled=st.booleans(), odds=st.integers(0, 15))
    def somebody_stops_it(self, canceled: bool, odds: int) -> None:
        if odds == 0:
            self.deal(StopAsked("enough", canceled, self.now))

    @invariant()
    def the_account_adds_up(self) -> None:
        report = self.ledger.report(self.now, 0.0)
        states = Counter(self.state.values())
        assert (report.succeeded, report.failed) == (states["succeeded"], states["failed"])
        assert report.succeeded + report.failed + report.unfinished == self.known
        assert report.attempts == sum(self.tried.values())
        assert (report.items, report.items_succeeded) == (self.items, self.items_ok)
        assert report.items_failed == self.items - self.items_ok >= 0
        assert sorted(self.skipped) == sorted(i for i, s in self.state.items() if s == "failed")
        assert max(self.tried.values(), default=0) <= self.wanted.run_max_try
        progress = self.ledger.progress(self.now)
        assert progress.in_flight == len(self.owed)
        if not self.stopped and not self.owed:
            assert self.ledger.remaining() == report.unfinished

    @invariant()
    def it_ends_when_nothing_is_owed(self) -> None:
        owed = self.known < self.total or any(
            self.state.get(n, "planned") not in ("succeeded", "failed") for n in range(self.known)
        )
        ended = self.ledger.finished is not None
        assert ended == (not self.owed and (self.stopped or not owed))
        if ended and not self.stopped and self.known:
            some = "succeeded" in self.state.values() and (self.items_ok > 0 or self.items == 0)
            good = some or self.wanted.output_action != "append_row"
            assert self.ledger.finished is (RunStatus.COMPLETED if good else RunStatus.FAILED)

    def teardown(self) -> None:
        """The same events, dealt to another ledger, give the same orders and the same report."""
        if not hasattr(self, "ledger"):
            return
        again = Ledger(self.wanted)
        assert [again.handle(event) for event in self.history] == self.answers
        assert again.report(self.now, 0.0) == self.ledger.report(self.now, 0.0)


History.TestCase.settings = settings(max_examples=examples(150), stateful_step_count=40)
TestHistory = History.TestCase


@given(
    st.integers(1, 40),
    st.integers(1, 3),
    st.lists(st.integers(0, 7), max_size=200),
    st.integers(1, 7),
)
def test_a_run_that_nobody_stops_comes_to_its_end(
    total: int, tries: int, fates: list[int], limit: int
) -> None:
    desk = Desk(total, run_max_try=tries, retry_delay=0.1, output_action="summary_only")
    fate = iter(fates)
    for _ in range(total * tries + 1):
        if desk.status is not None:
            break
        due = desk.ledger.next_due
        desk.now = max(desk.now, due if due is not None else 0.0)
        bundle = desk.take(limit)
        desk.give_back(
            bundle, *[outcome(i, attempt, status=next(fate, 0)) for i, attempt in bundle.entries]
        )
    assert desk.status is RunStatus.COMPLETED
    report = desk.ledger.report(1.0, 0.0)
    assert report.succeeded + report.failed == total
    assert report.unfinished == 0


def test_progress_of_a_resumed_run_counts_what_earlier_drivers_did_but_for_time() -> None:
    desk = Desk(4, run_max_try=1)
    past = [(outcome(0), PROCESS, False), (outcome(1, status=1), PROCESS, False)]
    desk.ledger.recall(past)
    found = desk.ledger.progress(5.0)
    assert (found.total, found.handed_out, found.succeeded, found.failed) == (4, 2, 1, 1)
    assert (found.items, found.items_failed) == (4, 2)
    assert (found.elapsed, found.eta) == (0.0, None)


def test_a_success_that_runs_again_stands_where_that_fails() -> None:
    for good in (True, False):
        desk = Desk(2, run_max_try=1)
        desk.ledger.recall([(outcome(0, results=1), PROCESS, True)])
        assert desk.ledger.progress(0.0).succeeded == 0
        desk.give_back(desk.take(), outcome(0, status=0 if good else 1))
        assert [order for order in desk.orders if isinstance(order, Keep)] == [Keep(0)] * (not good)
        tally = desk.ledger.tally
        assert (tally.succeeded, tally.items_succeeded, tally.failed) == (1, 1 + good, 0)


# what takes long


def stragglers(**wanted: Any) -> tuple[Desk, Bundle]:
    """Return a desk with nothing left to hand out, where bundle ``a`` has mini-batches 5 and 6."""
    desk = Desk(7, run_max_try=1, **wanted)
    desk.handle(NodeReady("node000", 1, 0.0))
    desk.handle(NodeReady("node001", 2, 0.0))
    desk.run(0, 0, 0, 0, 0)  # 0.1 s each
    return desk, desk.take(2)


def idle(desk: Desk, now: float, **free: int) -> list[Bundle]:
    orders = desk.handle(SlotsIdle(free or {"node000": 1, "node001": 2}, 1, now))
    return [order.bundle for order in orders if isinstance(order, HandOut)]


def test_what_takes_long_runs_a_second_time_elsewhere_and_the_first_outcome_counts() -> None:
    desk, slow = stragglers()
    assert idle(desk, 0.9) == []
    first, second = idle(desk, 1.1)
    assert [first.node, second.node] == ["node001", "node001"]
    assert [first.entries, second.entries] == [((5, 1),), ((6, 1),)]
    told = [order.text for order in desk.orders if isinstance(order, Tell)]
    assert told[0].startswith("mini-batch 5 runs a second time, on node001, as node000 has had it")
    assert idle(desk, 9.0) == []  # twice at most
    assert desk.ledger.progress(1.0).in_flight == 2
    desk.give_back(first, outcome(5))
    desk.give_back(second)  # it was not begun
    assert desk.status is None
    [again] = idle(desk, 9.0)
    assert again.entries == ((6, 1),)
    orders = desk.give_back(slow, outcome(5, items=9), outcome(6))
    assert orders == [Finish(RunStatus.COMPLETED)]  # nobody waits for the other
    report = desk.ledger.report(1.0, 0.0)
    assert (report.backups, report.backups_first, report.attempts) == (3, 1, 7)
    assert report.items == 14
    assert desk.give_back(again, outcome(6, status=1)) == []
    assert desk.ledger.report(1.0, 0.0).failed == 0


def test_a_failure_that_comes_first_counts_and_a_copy_that_is_lost_is_no_loss() -> None:
    desk, slow = stragglers()
    first, second = idle(desk, 2.0)
    assert desk.handle(BundleLost(second.number, "gone", 2.0)) == []
    assert Skip(5) in desk.give_back(first, outcome(5, status=1))
    desk.handle(BundleLost(slow.number, "gone", 2.0))
    assert desk.take(5).entries == ((6, 1),)


@pytest.mark.parametrize(
    ("wanted", "says", "expected"),
    [
        ({}, False, 2),
        ({"straggler_backups": False}, True, 0),
        ({"output_action": "summary_only"}, False, 0),
        ({"output_action": "summary_only"}, True, 2),
        ({"output_action": "summary_only", "straggler_backups": False}, True, 0),
    ],
)
def test_nothing_runs_twice_where_the_run_or_its_script_does_not_want_it(
    wanted: dict[str, Any], says: bool, expected: int
) -> None:
    desk, _ = stragglers(**wanted)
    desk.handle(ProcessReady(PROCESS, 0.1, 0.0, repeatable=says))
    assert len(idle(desk, 2.0)) == expected


def test_what_waits_behind_something_late_alone_is_late_too() -> None:
    desk = Desk(8, run_max_try=1)
    desk.handle(NodeReady("node000", 1, 0.0))
    desk.run(0, 0, 0, 0, 0)
    slow, waits = desk.take(), desk.take()
    assert [each.entries for each in idle(desk, 1.2, b=9)] == []  # one is left to hand out
    other = desk.take()
    assert [each.entries[0][0] for each in idle(desk, 1.2, b=9)] == [5, 6, 7]
    desk.give_back(slow, outcome(5))
    desk.give_back(waits, outcome(6))
    desk.now = 1.3
    assert desk.give_back(other, outcome(7)) == [Finish(RunStatus.COMPLETED)]
