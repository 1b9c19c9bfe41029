"""The driver: carries out the ledger's orders for one step run, in the thread that calls it."""

from __future__ import annotations

import contextlib
import queue
import time
from dataclasses import replace
from traceback import format_exc
from typing import TYPE_CHECKING

from daskrun.core.events import (
    BundleLost,
    BundleReturned,
    Event,
    HandedOut,
    Keep,
    NodeLost,
    NodePreparing,
    NodeReady,
    Note,
    Order,
    Planned,
    Resumed,
    RunEnded,
    Skip,
    Stop,
    StopAsked,
    Tell,
)
from daskrun.core.ledger import Ledger
from daskrun.core.logs import get_logger
from daskrun.core.minibatch import warnings_of
from daskrun.core.report import Obstacle, Report, RunStatus
from daskrun.engine.checked import checked, count_metrics_of
from daskrun.engine.closing import close_all, close_and_tell
from daskrun.engine.control import RunControl as RunControl  # noqa: TC001  (is found here)
from daskrun.engine.dispatch import make_dispatcher
from daskrun.engine.history import Checkpoints, History
from daskrun.engine.input_look import InputLook
from daskrun.engine.journal_records import ResumedRecord
from daskrun.engine.locality import Locality
from daskrun.engine.observers import PROGRESS_INTERVAL, Audience
from daskrun.engine.past import Replay
from daskrun.engine.results import Results, looked_at
from daskrun.engine.slots import STOP_GRACE, Slots, Waits
from daskrun.engine.surveys import Surveys
from daskrun.errors import DaskrunError, DatasetError, WrongResultError
from daskrun.output.sinks.sink import LostRowsError
from daskrun.storage.retry import heard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daskrun.core.bundles_out import BundlesOut
    from daskrun.core.events import Bundle, Observer
    from daskrun.core.outcome import Outcome, ProcessInfo
    from daskrun.engine.past import Past
    from daskrun.engine.request import StepRequest

logger = get_logger(__name__)

MOST_MADE_AGAIN = 5
"""How often rows that have been changed are made again in a run."""
PLAN_AHEAD = 10_000
"""Mini-batches looked for at once where the plan is lazy."""


def execute(request: StepRequest, observers: Sequence[Observer], control: RunControl) -> Report:
    """Run a step to its end and return its report; a run that fails raises nothing."""
    return Driver(request, observers, control).run()


class Driver:
    """One step run."""

    def __init__(
        self, request: StepRequest, observers: Sequence[Observer], control: RunControl
    ) -> None:
        self._request = request
        self._audience = Audience([*observers, *request.observers], request.run_id)
        self._control = control
        self._settings = request.settings
        self._plan = request.plan
        self._script = request.program
        self._locality = Locality(request.settings.locality, request.plan)
        self._ledger = self._new_ledger()
        self._checkpoints = Checkpoints()
        self._history = History(request, self._checkpoints)
        self._surveys = Surveys(self._plan, self._settings.run_max_try, self._history.note_later)
        self._planned: tuple[int, bool] | None = None
        self._unjoined = False
        self._warnings: dict[str, None] = dict.fromkeys(warnings_of(request.plan.inputs))
        self._dispatcher = make_dispatcher(request)
        self._slots = Slots(request.plan, self._ledger, self._know_plan)
        self._began = time.monotonic()
        self._waits = Waits(request.settings.no_worker_timeout, self._began)
        self._results = Results(request, self._history.note, self._checkpoints)
        self._input_look: InputLook | None = None
        self._dispatched = False
        self._made_again = 0

    def _new_ledger(self, out: BundlesOut | None = None) -> Ledger:
        ledger = Ledger(self._settings, self._script, out, self._locality.homes)
        ledger.may_repeat &= len(self._request.outputs) < 2  # run() writes files to the others
        return ledger

    def run(self) -> Report:
        """Run to the end."""
        with heard(lambda text: self._dispatcher.events.put(Note(text, time.monotonic()))):
            return self._run()

    def _run(self) -> Report:
        trouble = None
        self._audience.notify(self._request.started(self._began))
        try:
            self._begin()
            self._control.connect(self._dispatcher.events)
            self._know_plan()
            self._heed_early_cancel()
            while not self._went_through():
                pass
        except DaskrunError as error:
            trouble = str(error)
            self._unjoined = isinstance(error, WrongResultError)
        except Exception as error:
            logger.exception("run %s: the driver failed", self._request.run_id)
            trouble = f"daskrun itself failed: {type(error).__name__}: {error}\n{format_exc()}"
        completed = trouble is None and self._ledger.finished is RunStatus.COMPLETED
        self._close(completed, trouble or "")
        return self._report(trouble)

    def _went_through(self) -> bool:
        """Run what is left and publish the output; False where rows have to be made again."""
        if self._ledger.finished is None:
            if not self._dispatched:
                self._dispatcher.start()
            self._dispatched = True
            self._loop()
            if unused := self._locality.unused:
                self._warn(unused)
        if self._ledger.finished is RunStatus.COMPLETED:
            self._audience.show(self._ledger, in_any_case=True)
            try:
                self._results.publish(self._plan.known)
            except LostRowsError as error:
                self._make_again(error)
                return False
            self._input_look = InputLook(self._plan)
        return True

    def _make_again(self, error: LostRowsError) -> None:
        """Un-commit mini-batches whose rows are not what they wrote, if any: they are run again.

        As a next driver would that finds them gone, but with the nodes that are there.
        """
        self._made_again += 1
        past = self._history.past()
        lost = self._results.lost(past.committed())
        had_tags = self._results.doubt()
        if not (lost or had_tags) or self._made_again > MOST_MADE_AGAIN:
            raise error
        tries = self._settings.run_max_try
        if lost:
            self._history.note(ResumedRecord(lost, [], tries))
        self._warn(looked_at(lost, error))
        self._results.begin_anew()
        before = self._ledger
        self._ledger = self._slots.ledger = self._new_ledger(before.bundles_out)
        self._ledger.tally.recall(each for each in before.tally.groups() if each.index < 0)
        past, know = self._history.past(), self._surveys.know
        replay = Replay(past, self._plan, know, None, tries=tries, retry_failed=False)
        for order in self._ledger.recall(self._committed(replay)):
            self._carry_out(order)
        self._planned = None
        self._know_plan()

    def _begin(self) -> None:
        """Begin the run, or go on where an earlier driver of it ended."""
        past = self._history.open()
        sizes = self._results.begin(past)
        if past is None:
            self._history.begin()
        else:
            self._recall(past, sizes)

    def _recall(self, past: Past, sizes: dict[str, int] | None) -> None:
        """Recall what is done already; ``sizes`` are those of the parts that are there."""
        self._surveys.remember(past.surveys)
        over = self._results.published
        replay = Replay(
            past,
            self._plan,
            self._surveys.know,
            sizes,
            tries=self._settings.run_max_try,
            retry_failed=self._request.retry_failed,
            over=over,
        )
        orders = self._ledger.recall(self._committed(replay), over=over)
        for order in orders:
            self._carry_out(order)
        self._history.note(replay.record())
        failed = tuple(order.index for order in orders if isinstance(order, Skip))
        self._audience.notify(Resumed(failed, time.monotonic(), tuple(replay.again)))

    def _committed(self, replay: Replay) -> Iterator[tuple[Outcome, ProcessInfo | None, bool]]:
        for outcome, process, forgiven in replay:
            self._results.commit(outcome, process, aside=forgiven)
            yield outcome, process, forgiven

    def _heed_early_cancel(self) -> None:
        """End the run before anything is started, if that was asked for before it began."""
        with contextlib.suppress(queue.Empty):
            while self._ledger.finished is None:
                self._handle(self._dispatcher.events.get_nowait())

    # the loop

    def _loop(self) -> None:
        while self._ledger.finished is None:
            self._fill()
            self._dispatcher.want(self._slots.wanted)
            events = list(checked(self._events(), self._ledger, self._surveys.is_out))
            returned = [each for each in events if isinstance(each, BundleReturned)]
            surveys = [each for each in returned if self._surveys.is_out(each.number)]
            owed = [each for each in returned if self._ledger.bundle(each.number) is not None]
            self._history.commit(owed, surveys, self._slots.digests_of)
            for event in events:
                self._handle(event)
                if isinstance(event, BundleReturned) and event.outcomes and event not in surveys:
                    self._checkpoints.reach("counted")
            self._check_waits(time.monotonic())
            self._check_room(time.monotonic())
            self._results.advance()
            self._audience.show(self._ledger)

    def _know_plan(self) -> None:
        plan = self._plan
        if not plan.complete:
            plan.extend(plan.known + PLAN_AHEAD)
        if (plan.known, plan.complete) != self._planned:
            self._planned = plan.known, plan.complete
            self._history.note_size()
            self._locality.know()
            self._handle(Planned(*self._planned, time.monotonic()))

    def _events(self) -> Iterator[Event]:
        """Wait for events, but no longer than until something is due."""
        now = time.monotonic()
        limit = PROGRESS_INTERVAL
        if self._ledger.next_due is not None:
            limit = min(limit, max(0.0, self._ledger.next_due - now))
        source = self._dispatcher.events
        with contextlib.suppress(queue.Empty):
            yield source.get(timeout=limit) if limit > 0 else source.get_nowait()
            while True:
                yield source.get_nowait()

    def _handle(self, event: Event) -> None:
        if isinstance(event, (BundleReturned, BundleLost)):
            if self._surveys.is_out(event.number):
                self._learn(event)
                return
            bundle = self._ledger.bundle(event.number)
            if bundle is None:
                return  # given up before: another has it
            self._settle(event, bundle)
        elif isinstance(event, NodePreparing):
            self._slots.came(event.node, 0)  # a node that is known, and waited for
            self._waits.node_came()
        elif isinstance(event, NodeReady):
            self._slots.came(event.node, event.slots)
            self._waits.node_came()
        elif isinstance(event, NodeLost):
            self._slots.went(event.node)
            self._waits.node_went(event.reason, event.now, len(self._slots.counts))
        for order in self._ledger.handle(event):
            self._carry_out(order)
        self._audience.notify(event)

    def _settle(self, event: BundleReturned | BundleLost, bundle: Bundle) -> None:
        if isinstance(event, BundleLost):
            self._slots.came_back(bundle, 0, 0.0)
            return
        self._slots.came_back(bundle, len(event.outcomes), event.seconds)
        self._end_on_doubt(event)
        count_metrics_of(event, self._ledger, self._request.run_folder)
        for outcome in event.outcomes:
            self._results.commit(outcome, event.process)

    def _end_on_doubt(self, event: BundleReturned) -> None:
        """End the run where a mini-batch's failure puts others in doubt, or rows can't be kept.

        At once: where it is the last one, the ledger is about to say that the run is complete.
        """
        if event.trouble:
            self._handle(StopAsked(event.trouble, canceled=False, now=event.now))
        for outcome in event.outcomes:
            if outcome.error is not None and (failure := outcome.failure) and failure.ends_run:
                error = failure.message
                reason = f"mini-batch {outcome.index}: {error}"
                self._handle(StopAsked(reason, canceled=False, now=event.now, error=error))

    def _learn(self, event: BundleReturned | BundleLost) -> None:
        """Extend the plan by what a survey has found."""
        if self._ledger.stopped:
            return
        try:
            if self._surveys.returned(event):
                self._know_plan()
        except DatasetError as error:
            self._handle(StopAsked(str(error), canceled=False, now=event.now))

    def _carry_out(self, order: Order) -> None:
        if isinstance(order, Skip):
            self._results.skip(order.index)
        elif isinstance(order, Keep):
            self._results.keep(order.index)
        elif isinstance(order, Tell):
            self._audience.notify(Note(order.text, time.monotonic()))
        elif isinstance(order, Stop):
            self._waits.stopped(time.monotonic())
            self._dispatcher.stop(STOP_GRACE)

    def _fill(self) -> None:
        """Hand out bundles where there is room; surveys first, as the plan waits for them."""
        bundles = self._slots.fill()
        if not self._ledger.stopped:
            while self._surveys.recall():
                self._know_plan()
            bundles = [*self._surveys.hand_out(self._slots.counts), *bundles]
            if not (bundles or self._dispatcher.unreachable):
                bundles, orders = self._slots.repeat()
                for order in orders:
                    self._carry_out(order)
        if bundles:
            self._dispatcher.hand_out(bundles, self._slots.budget)
            sent = tuple(each.bundle for each in bundles)
            self._audience.notify(HandedOut(sent, time.monotonic()))

    def _check_waits(self, now: float) -> None:
        if self._waits.too_long_stopped(now):
            for number in self._ledger.out:
                self._handle(BundleLost(number, "it did not come back after the run's stop", now))
        if self._dispatcher.unreachable:
            self._waits.hold(now)
        if reason := self._waits.too_long_nodeless(now, self._dispatcher.obstacle):
            self._handle(StopAsked(reason, canceled=False, now=now))

    def _check_room(self, now: float) -> None:
        tally, total = self._ledger.tally, self._plan.known if self._plan.complete else None
        look = self._results.look(now, tally.succeeded + tally.failed, total)
        if look.warning:
            self._warn(look.warning)
        if look.trouble:
            self._handle(StopAsked(look.trouble, canceled=False, now=now))

    def _warn(self, text: str) -> None:
        self._warnings[text] = None
        self._audience.notify(Note(text, time.monotonic()))

    # the end

    def _close(self, completed: bool, told: str) -> None:
        """End every process, and remove what nothing needs."""
        close_all(
            self._request.run_id,
            told,
            lambda: close_and_tell(self._dispatcher, self._events, self._tell_of_end),
            lambda: self._results.close(completed),
            self._history.close,
        )

    def _tell_of_end(self, event: Event) -> None:
        self._audience.notify(event)
        self._audience.show(self._ledger, in_any_case=True)

    def _report(self, trouble: str | None) -> Report:
        if self._input_look is not None and (warning := self._input_look.warning()):
            self._warnings[warning] = None
        now = time.monotonic()
        report = self._ledger.report(now, self._began)
        if report.total == 0 and self._request.nothing_new:
            report = replace(report, message=self._request.nothing_new)
        found = {**self._warnings, **self._history.warnings}
        found.update(dict.fromkeys(self._audience.warnings))
        report = replace(report, warnings=(*report.warnings, *found, *self._results.warnings))
        if found:
            count = f"{len(found)} warning{'s' if len(found) > 1 else ''}"
            report = replace(report, message=f"{report.message} {count}: see job_result.txt.")
        if trouble is not None:
            obstacle = Obstacle.COLUMNS if self._unjoined else report.obstacle
            report = replace(report, status=RunStatus.FAILED, message=trouble, obstacle=obstacle)
        self._audience.waits_for_nothing()
        self._audience.show(self._ledger, in_any_case=True)
        self._audience.notify(RunEnded(report, now))
        close_all(self._request.run_id, "", self._audience.close, self._dispatcher.leave)
        late = [each for each in self._audience.warnings if each not in report.warnings]
        return replace(report, warnings=(*report.warnings, *late))
