"""The driver: carries out the ledger's orders for one step run, in the thread that calls it."""

from __future__ import annotations

import contextlib
import logging
import pickle
import queue
import threading
import time
import traceback
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, cast

from daskrun.core.events import (
    BundleLost,
    BundleReturned,
    Event,
    NodeLost,
    NodeReady,
    Note,
    Planned,
    RoomFor,
    RunEnded,
    StopAsked,
)
from daskrun.core.ledger import Ledger
from daskrun.core.minibatch import digest
from daskrun.core.orders import Bundle, HandOut, Order, Skip, Stop
from daskrun.core.report import Report, RunStatus
from daskrun.core.sizing import BundleSizer
from daskrun.data.changes import changed_files
from daskrun.engine.audience import PROGRESS_INTERVAL, Audience
from daskrun.engine.checkpoints import Checkpoints
from daskrun.engine.commit import Recorder
from daskrun.engine.replay import Past, Replay, read_past
from daskrun.engine.results import Results
from daskrun.engine.surveys import Surveys
from daskrun.engine.target import make_dispatcher
from daskrun.errors import DaskrunError, DatasetError
from daskrun.storage.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from daskrun.core.observer import Observer
    from daskrun.core.outcome import Outcome, ProcessInfo
    from daskrun.data.changes import ListedPlan
    from daskrun.engine.dispatch import Dispatcher
    from daskrun.engine.request import StepRequest

logger = logging.getLogger(__name__)

PLAN_AHEAD = 10_000
"""Mini-batches looked for at once where the plan is lazy."""
STOP_GRACE = 0.5
"""Seconds that mini-batches in hand get to end when the run stops."""
STOP_LIMIT = 6.0
"""Seconds after which what has not come back by then is counted as unfinished."""


class RunControl:
    """How other threads reach a running driver."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: queue.SimpleQueue[Event] | None = None
        self._reason: str | None = None

    def cancel(self, reason: str) -> None:
        """End the run with status Canceled; what is finished is kept."""
        with self._lock:
            self._reason = self._reason or reason
            if self._events is not None:
                self._events.put(StopAsked(reason, canceled=True, now=time.monotonic()))

    def connect(self, events: queue.SimpleQueue[Event]) -> None:
        """Pass cancellations on to a driver, one that was asked for before too."""
        with self._lock:
            self._events = events
            reason = self._reason
        if reason is not None:
            self.cancel(reason)


def execute(request: StepRequest, observers: Sequence[Observer], control: RunControl) -> Report:
    """Run one step to its end and give its report; never raises for a run that fails."""
    return Driver(request, observers, control).run()


class Driver:
    """One step run."""

    def __init__(
        self,
        request: StepRequest,
        observers: Sequence[Observer],
        control: RunControl,
        dispatcher: Dispatcher | None = None,
    ) -> None:
        self._request = request
        self._audience = Audience(observers, request.run_id)
        self._control = control
        self._settings = request.settings
        self._plan = request.plan
        self._ledger = Ledger(request.settings)
        self._surveys = Surveys(request.plan, request.settings.run_max_try, self._note_later)
        self._planned: tuple[int, bool] | None = None
        self._warnings: dict[str, None] = dict.fromkeys(
            text for each in request.plan.inputs for text in each.warnings
        )
        self._sizer = BundleSizer()
        self._dispatcher = dispatcher or make_dispatcher(request)
        self._slots: dict[str, int] = {}
        self._owed: dict[str, int] = {}
        self._digests: dict[int, dict[int, str]] = {}
        self._began = time.monotonic()
        self._nodeless_since: float | None = self._began
        self._stopped_at: float | None = None
        self._nodes_lost: list[str] = []
        self._journal: Journal | None = None
        self._recorder = Recorder()
        self._checkpoints = Checkpoints()
        self._results = Results(request, self._note, self._checkpoints)

    def run(self) -> Report:
        """Run to the end."""
        trouble = None
        try:
            self._open()
            self._control.connect(self._dispatcher.events)
            self._know_plan()
            if self._ledger.finished is None:
                self._dispatcher.start()
                self._loop()
            if self._ledger.finished is RunStatus.COMPLETED:
                self._audience.show(self._ledger, in_any_case=True)
                if warning := changed_files(cast("ListedPlan", self._plan)):
                    self._warnings[warning] = None
                self._results.publish(self._plan.known)
        except DaskrunError as error:
            trouble = str(error)
        except Exception as error:
            logger.exception("run %s: the driver failed", self._request.run_id)
            trouble = f"daskrun itself failed: {type(error).__name__}: {error}"
            trouble += f"\n{traceback.format_exc()}"
        completed = trouble is None and self._ledger.finished is RunStatus.COMPLETED
        self._close(completed, trouble or "")
        return self._report(trouble)

    def _open(self) -> None:
        """Begin the journal, or go on from that of an earlier driver."""
        path = self._request.run_folder / "journal"
        past = read_past(path) if self._request.resumed else None
        if past is not None:
            self._journal = Journal.open(path)
            self._recall(past)
            return
        if self._request.resumed:
            path.unlink(missing_ok=True)  # its driver was killed before it held a record
        self._journal = Journal(path)
        self._results.begin(None)
        self._note_start()

    def _recall(self, past: Past) -> None:
        """Take in what is done already."""
        self._surveys.remember(past.surveys)
        sizes, over = self._results.begin(past), self._results.published
        replay = Replay(
            past,
            self._plan,
            self._is_known,
            sizes,
            tries=self._settings.run_max_try,
            retry_failed=self._request.retry_failed and not over,
        )
        for order in self._ledger.recall(self._committed(replay), over=over):
            self._carry_out(order)
        self._note(replay.record())

    def _committed(self, replay: Replay) -> Iterator[tuple[Outcome, ProcessInfo | None, bool]]:
        for outcome, process, forgiven in replay:
            self._results.commit(outcome, process)
            yield outcome, process, forgiven

    def _is_known(self, index: int) -> bool:
        """Look on in the plan until a mini-batch is known; False when there is none."""
        plan, surveys = self._plan, self._surveys
        while plan.known <= index and not plan.complete:
            plan.extend(index + 1)
            if plan.known > index or plan.complete:
                break
            if not surveys.recall() and not surveys.recall_trouble():
                return False
        return plan.known > index

    def _note_start(self) -> None:
        settings = asdict(self._settings)
        settings["environment_variables"] = sorted(settings["environment_variables"])  # not values
        self._note(
            {
                "kind": "run",
                "run": self._request.run_id,
                "plan": self._plan.fingerprint(),
                "mini_batches": self._plan.known if self._plan.complete else None,
                "settings": settings,
            }
        )

    def _note(self, entry: dict[str, Any]) -> None:
        """Have an entry in the journal before going on."""
        assert self._journal is not None
        self._journal.append(entry)
        self._journal.sync()

    def _note_later(self, entry: dict[str, Any]) -> None:
        """Have an entry in the journal before anything that comes after it."""
        assert self._journal is not None
        self._journal.append(entry)

    # the loop

    def _loop(self) -> None:
        while self._ledger.finished is None:
            self._fill()
            events = [self._checked(event) for event in self._events()]
            self._commit(events)
            for event in events:
                self._handle(event)
                if isinstance(event, BundleReturned) and event.number >= 0 and event.outcomes:
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
            self._handle(Planned(*self._planned, time.monotonic()))

    def _events(self) -> Iterator[Event]:
        """Wait for something to happen, not past the next thing that is due."""
        now = time.monotonic()
        limit = PROGRESS_INTERVAL
        if self._ledger.next_due is not None:
            limit = min(limit, max(0.0, self._ledger.next_due - now))
        source = self._dispatcher.events
        with contextlib.suppress(queue.Empty):
            yield source.get(timeout=limit) if limit > 0 else source.get_nowait()
            while True:
                yield source.get_nowait()

    def _checked(self, event: Event) -> Event:
        """Leave out outcomes nobody is owed: each mini-batch of a bundle counts once, as asked."""
        if not isinstance(event, BundleReturned) or event.number < 0:
            return event
        bundle = self._ledger.bundle(event.number)
        owed = dict(bundle.entries) if bundle is not None else {}
        kept = tuple(o for o in event.outcomes if owed.pop(o.index, None) == o.attempt)
        if len(kept) == len(event.outcomes):
            return event
        left = len(event.outcomes) - len(kept)
        logger.warning("bundle %d: %d outcomes nobody asked for", event.number, left)
        return replace(event, outcomes=kept)

    def _commit(self, events: list[Event]) -> None:
        """Journal what came back, before anything counts as done."""
        assert self._journal is not None
        for event in events:
            if isinstance(event, BundleReturned) and self._ledger.bundle(event.number) is not None:
                digests = self._digests.pop(event.number, {})
                if event.outcomes:
                    self._checkpoints.reach("written")
                    self._journal.append(self._recorder.record(event, digests))
        self._journal.sync()
        for event in events:
            if isinstance(event, BundleReturned) and event.number >= 0 and event.outcomes:
                self._checkpoints.reach("journalled")

    def _handle(self, event: Event) -> None:
        if isinstance(event, (BundleReturned, BundleLost)):
            if event.number < 0:
                self._learn(event)
                return
            bundle = self._ledger.bundle(event.number)
            if bundle is None:
                return  # given up before: another has it
            self._owed[bundle.node] = self._owed.get(bundle.node, 1) - 1
            self._settle(event)
        elif isinstance(event, NodeReady):
            self._slots[event.node] = event.slots
            self._nodeless_since = None
        elif isinstance(event, NodeLost):
            self._slots.pop(event.node, None)
            self._nodes_lost.append(event.reason)
            if not self._slots:
                self._nodeless_since = event.now
        for order in self._ledger.handle(event):
            self._carry_out(order)
        self._audience.notify(event)

    def _settle(self, event: BundleReturned | BundleLost) -> None:
        if isinstance(event, BundleLost):
            self._digests.pop(event.number, None)
            return
        self._sizer.observe(len(event.outcomes), event.seconds)
        self._warnings.update(dict.fromkeys(event.warnings))
        self._end_on_doubt(event)
        for outcome in event.outcomes:
            self._results.commit(outcome, event.process)

    def _end_on_doubt(self, event: BundleReturned) -> None:
        """End the run where a mini-batch failed by what makes others wrong too.

        At once: where it is the last one, the ledger is about to say that the run is complete.
        So it is where rows can't be kept: the next ones couldn't be either.
        """
        if event.trouble:
            self._handle(StopAsked(event.trouble, canceled=False, now=event.now))
        for outcome in event.outcomes:
            if outcome.error is not None and outcome.error.get("ends_run"):
                reason = f"mini-batch {outcome.index}: {outcome.error['message']}"
                self._handle(StopAsked(reason, canceled=False, now=event.now))

    def _learn(self, event: BundleReturned | BundleLost) -> None:
        """Take a survey back, and plan on with what it found."""
        if isinstance(event, BundleReturned):
            self._warnings.update(dict.fromkeys(event.warnings))
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
        elif isinstance(order, Stop):
            self._stopped_at = time.monotonic()
            self._dispatcher.stop(STOP_GRACE)

    def _fill(self) -> None:
        """Give every slot that has room a bundle, one round of nodes at a time."""
        ledger, slots = self._ledger, sum(self._slots.values())
        bundles: list[tuple[Bundle, bytes]] = []
        given = True
        while given:
            given = False
            for node, count in self._slots.items():
                now = time.monotonic()
                if ledger.wants_plan:
                    self._know_plan()
                room = count * self._sizer.window(slots, ledger.remaining()) - self._owed.get(
                    node, 0
                )
                if room <= 0 or not ledger.has_work(now):
                    continue
                size = self._sizer.size(ledger.remaining(), slots)
                size = self._plan.bundle_size(ledger.next_fresh, size)
                for order in ledger.handle(RoomFor(node, size, now)):
                    if isinstance(order, HandOut):
                        self._owed[node] = self._owed.get(node, 0) + 1
                        bundles.append((order.bundle, self._payload(order.bundle)))
                        given = True
        if not ledger.stopped:
            while self._surveys.recall():
                self._know_plan()
            bundles = [*self._surveys.hand_out(self._slots), *bundles]
        if bundles:
            self._dispatcher.hand_out(bundles, self._sizer.budget(slots))

    def _payload(self, bundle: Bundle) -> bytes:
        entries = []
        digests = self._digests[bundle.number] = {}
        for index, attempt in bundle.entries:
            descriptor = self._plan.encode(index)
            digests[index] = digest(descriptor)
            entries.append((descriptor, attempt))
        return pickle.dumps(entries, 5)

    # waits that must end

    def _check_waits(self, now: float) -> None:
        if self._stopped_at is not None and now > self._stopped_at + STOP_LIMIT:
            for number in list(self._digests):
                self._handle(BundleLost(number, "it did not come back after the run's stop", now))
        if self._nodeless_since is None or self._ledger.stopped:
            return
        waited = now - self._nodeless_since
        if waited > self._settings.no_worker_timeout:
            reason = f"no Dask worker had a node of this run for {waited:.0f} s"
            reason += f" (no_worker_timeout={self._settings.no_worker_timeout:g})"
            if self._nodes_lost:
                reason += f"; last: {self._nodes_lost[-1]}"
            self._handle(StopAsked(reason, canceled=False, now=now))

    def _check_room(self, now: float) -> None:
        tally, plan = self._ledger.tally, self._plan
        total = plan.known if plan.complete else None
        look = self._results.look(now, tally.succeeded + tally.failed, total)
        if look.warning:
            self._warnings[look.warning] = None
            self._audience.notify(Note(look.warning, now))
        if look.trouble:
            self._handle(StopAsked(look.trouble, canceled=False, now=now))

    # the end

    def _close(self, completed: bool, told: str) -> None:
        """End every process; then the run's own folder beside the output, if nothing needs it.

        What ended the run, and is ``told``, may well be met again.
        """
        closing: list[Callable[[], object]] = [
            self._dispatcher.close,
            lambda: self._results.close(completed),
        ]
        if self._journal is not None:
            closing.append(self._journal.close)
        for close in closing:
            try:
                close()
            except Exception as error:
                if str(error) == told:
                    continue
                logger.exception("run %s: closing failed", self._request.run_id)

    def _report(self, trouble: str | None) -> Report:
        now = time.monotonic()
        report = self._ledger.report(now, self._began)
        warnings = (*report.warnings, *self._warnings, *self._results.warnings)
        report = replace(report, warnings=warnings)
        if self._warnings:
            count = f"{len(self._warnings)} warning{'s' if len(self._warnings) > 1 else ''}"
            report = replace(report, sentence=f"{report.sentence} {count}: see job_result.txt.")
        if trouble is not None:
            report = replace(report, status=RunStatus.FAILED, sentence=trouble)
        self._audience.show(self._ledger, in_any_case=True)
        self._audience.notify(RunEnded(report, now))
        self._audience.close()
        return report
