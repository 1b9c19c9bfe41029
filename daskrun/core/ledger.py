"""Who owes what: events in, orders out. Pure: no I/O, no clock, no thread.

Every mini-batch is in exactly one state: planned, out (in a bundle), waiting (for its next try),
succeeded, failed. ``handle(event)`` moves them and says what to do next; the driver does it. The
same events give the same orders and the same report, which is what makes a journal of outcomes
enough to resume from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.core.bundles_out import BundlesOut
from daskrun.core.events import (
    Bundle,
    BundleLost,
    BundleReturned,
    Event,
    Finish,
    HandOut,
    InitFailed,
    Keep,
    NodeLost,
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
from daskrun.core.init_policy import InitPolicy
from daskrun.core.report import Obstacle, Progress, RunStatus
from daskrun.core.tally import Ending, Program, Tally
from daskrun.core.thresholds import exceeded
from daskrun.core.work_left import FAILED, FRESH, SUCCEEDED, WAITING, WorkLeft

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from daskrun.core.homes import Homes
    from daskrun.core.outcome import Outcome, ProcessInfo
    from daskrun.core.report import Report
    from daskrun.core.settings import RunSettings

LONGEST_DELAY = 10.0
"""Seconds a mini-batch waits at most for its next try."""


class Ledger:
    """The account of one run.

    ``script`` is the file name of one that is run as a whole, the only mini-batch; else ``""``.
    ``out`` is what is out of an account that this one takes the place of; ``homes`` says which
    mini-batches are near which nodes.

    Examples
    --------
    >>> from daskrun.core.settings import RunSettings
    >>> ledger = Ledger(RunSettings(entry_script="score.py"))
    >>> ledger.handle(Planned(known=3, complete=True, now=0.0))
    []
    >>> [order] = ledger.handle(RoomFor(node="node000", limit=2, now=0.0))
    >>> order.bundle.entries
    ((0, 1), (1, 1))
    """

    def __init__(
        self,
        settings: RunSettings,
        script: str = "",
        out: BundlesOut | None = None,
        homes: Homes | None = None,
    ) -> None:
        self._settings = settings
        self._script = script
        self.tally = Tally()
        self._states = bytearray()
        self._left = WorkLeft(self._states, homes)
        self._homes = homes
        self._complete = False
        self.bundles_out = self._out = BundlesOut() if out is None else out
        self.may_repeat = settings.appends  # whether a mini-batch may be run twice at once
        self._slots: dict[str, int] = {}
        self._init = InitPolicy()
        self._before: dict[int, tuple[Outcome, ProcessInfo | None]] = {}
        """Successes that run again for the sake of items that failed: they stand if that fails."""
        self._stopped: StopAsked | None = None
        self._obstacle = Obstacle.NONE
        self.finished: RunStatus | None = None
        """The status the run ended with, None while it goes on."""
        self._began: float | None = None
        self._pace_from: tuple[float, int] | None = None
        """When the first bundle came back, and the mini-batches ended by then: init() is over."""
        self._handlers: Mapping[type, Callable[[Any], list[Order]]] = {
            Planned: self._planned,
            NodeReady: self._node_ready,
            NodeLost: self._node_lost,
            ProcessReady: self._process_ready,
            InitFailed: self._init_failed,
            RoomFor: self._room,
            SlotsIdle: self._idle,
            BundleReturned: self._returned,
            BundleLost: self._lost,
            StopAsked: self._stop_asked,
        }

    def handle(self, event: Event) -> list[Order]:
        """Record an event and return what to do about it, in order."""
        orders = handler(event) if (handler := self._handlers.get(type(event))) else []
        if self.finished is None and not self._out and (end := self._end()) is not None:
            self.finished = end
            orders.append(Finish(end))
        return orders

    def recall(
        self, past: Iterable[tuple[Outcome, ProcessInfo | None, bool]], *, over: bool = False
    ) -> list[Order]:
        """Restore the state from the journal of earlier drivers, before anything is handed out.

        A success stays one, tries go on being counted where they were. ``past`` has each outcome in
        the order in which it was journalled, who made it, and whether it is forgiven: if nothing
        follows, its mini-batch begins again at the first try. A success that is forgiven stands if
        these tries fail, as does one that failures follow. ``over``: the output is there already,
        and what has failed can't get into it.
        """
        failed: dict[int, tuple[int, int, bool]] = {}  # tries used up, items, none would help
        touched = 0
        for outcome, process, forgiven in past:
            index = outcome.index
            touched = max(touched, index + 1)
            self._states.extend(bytes(max(0, touched - len(self._states))))
            if outcome.status == 0:
                failed.pop(index, None)
                if forgiven:
                    self._before[index] = outcome, process
                    self._states[index] = WAITING
                else:
                    self._states[index] = SUCCEEDED
                    self.tally.success(outcome, process)
            else:
                self.tally.failure(outcome, process, final=False)
                if self._states[index] == FRESH:
                    tries, lasting = (0, False) if forgiven else (outcome.attempt, outcome.lasting)
                    failed[index] = tries, outcome.items, lasting
        again = [(index, 1) for index in self._before]
        orders: list[Order] = []
        for index, (attempt, items, lasting) in failed.items():
            if over or lasting or attempt >= self._settings.run_max_try:
                self._states[index] = FAILED
                self.tally.give_up(items)
                orders.append(Skip(index))
            else:
                self._states[index] = WAITING
                again.append((index, attempt + 1))
        self._left.recall(again, touched)
        return orders

    # what the driver may ask

    @property
    def stopped(self) -> bool:
        """Whether the run is ending before its data."""
        return self._stopped is not None

    @property
    def wants_plan(self) -> bool:
        """Whether all that is planned has been handed out, and there may be more."""
        return not self._complete and self._left.fresh == 0 and self._stopped is None

    @property
    def next_fresh(self) -> int:
        """The first mini-batch that was never handed out."""
        return self._left.next_fresh

    @property
    def next_due(self) -> float | None:
        """When the next waiting mini-batch may be tried again."""
        return self._left.next_due

    def remaining(self) -> int:
        """Mini-batches known and not yet handed out."""
        return len(self._left)

    def has_work(self, now: float) -> bool:
        """Return whether a slot that has room now would get a bundle."""
        if self._stopped or self.finished:
            return False
        return self._left.is_any(now)

    def bundle(self, number: int) -> Bundle | None:
        """Return a bundle that is out, None when it is not (any more)."""
        return self._out.get(number)

    @property
    def out(self) -> list[int]:
        """Numbers of the bundles that are out and owe something."""
        return list(self._out)

    # events

    def _planned(self, event: Planned) -> list[Order]:
        self._states.extend(bytes(max(0, event.known - len(self._states))))
        self._complete = event.complete
        return self._judge(event.now)  # what was recalled may be too much already

    def _node_ready(self, event: NodeReady) -> list[Order]:
        self._slots[event.node] = event.slots
        if self._homes is not None:
            self._homes.came(event.node, event.where)
        return []

    def _node_lost(self, event: NodeLost) -> list[Order]:
        self._slots.pop(event.node, None)
        return []

    def _process_ready(self, event: ProcessReady) -> list[Order]:
        self.may_repeat |= event.repeatable
        self._init.ready(event.process)
        return []

    def _init_failed(self, event: InitFailed) -> list[Order]:
        self.tally.init_failure(event.error, event.process)
        reason = self._init.failed(event.process, sum(self._slots.values()))
        return self._stop(reason, event.now, Obstacle.INIT) if reason else []

    def _room(self, event: RoomFor) -> list[Order]:
        if not self.has_work(event.now):
            return []
        if not (entries := self._left.take(event.node, event.limit, event.now)):
            return []
        bundle = Bundle(next(self._out.numbers), event.node, tuple(entries))
        self._out.send(bundle, self._slots.get(event.node, 1), event.now)
        if self._began is None:
            self._began = event.now
        return [HandOut(bundle)]

    def _idle(self, event: SlotsIdle) -> list[Order]:
        """Run what takes long once more, in slots for which nothing else is left."""
        asked = self._settings.straggler_backups and self.may_repeat and self._complete
        if not asked or self._stopped or self.has_work(event.now):
            return []
        orders = list[Order]()
        for bundle, why in self._out.repeat(event, self._slots):
            self.tally.backups += len(bundle.entries)
            orders += [HandOut(bundle), Tell(why)]
        return orders

    def _returned(self, event: BundleReturned) -> list[Order]:
        if (bundle := self._out.back(event.number, event.now)) is None:
            return []
        if event.process is not None and event.outcomes:
            self._init.proven(event.process)
        owed, pairs = dict(bundle.entries), self._out.pairs
        orders: list[Order] = []
        for outcome in event.outcomes:
            if owed.pop(outcome.index, None) is not None:
                if outcome.index in pairs:
                    self.tally.backups_first += self._out.settle(outcome.index, event.number)
                self._settle(outcome, event, orders)
        self._take_back(owed)
        self._left.alone.update(event.alone)
        if self._pace_from is None:
            self._pace_from = event.now, self.tally.succeeded + self.tally.failed
        return orders + self._judge(event.now)

    def _lost(self, event: BundleLost) -> list[Order]:
        if (bundle := self._out.back(event.number, event.now)) is not None:
            self._take_back(dict(bundle.entries))
        return []

    def _stop_asked(self, event: StopAsked) -> list[Order]:
        if self._stopped is not None or self.finished is not None:
            return []
        self._stopped = event
        return [Stop(event.reason)]

    # what follows from them

    def _settle(self, outcome: Outcome, event: BundleReturned, orders: list[Order]) -> None:
        self._left.alone.discard(outcome.index)
        if outcome.status == 0:
            self._before.pop(outcome.index, None)
            self._states[outcome.index] = SUCCEEDED
            self._out.took(outcome.elapsed)
            self.tally.success(outcome, event.process)
            return
        final = outcome.lasting or outcome.attempt >= self._settings.run_max_try
        if final and (before := self._before.pop(outcome.index, None)) is not None:
            self.tally.failure(outcome, event.process, final=False)
            self._states[outcome.index] = SUCCEEDED
            self.tally.success(*before)
            orders.append(Keep(outcome.index))
            return
        self.tally.failure(outcome, event.process, final=final)
        if final:
            self._states[outcome.index] = FAILED
            orders.append(Skip(outcome.index))
            return
        delay = min(self._settings.retry_delay * 2 ** (outcome.attempt - 1), LONGEST_DELAY)
        self._left.wait(event.now + delay, outcome.index, outcome.attempt + 1)

    def _take_back(self, entries: Mapping[int, int]) -> None:
        for index, attempt in entries.items():
            if not self._out.give_up(index):
                continue  # another bundle has it
            self._left.put_back(index, attempt)

    def _judge(self, now: float) -> list[Order]:
        """Compare the counts with the three thresholds."""
        if self._stopped is not None:
            return []
        total = len(self._states) if self._complete and self.remaining() == 0 else None
        over = exceeded(self._settings, self.tally, total)
        return self._stop(over, now, Obstacle.FAILURES) if over else []

    def _stop(self, reason: str, now: float, obstacle: Obstacle) -> list[Order]:
        if self._stopped is None:
            self._obstacle = obstacle
        return self._stop_asked(StopAsked(reason, canceled=False, now=now))

    def _end(self) -> RunStatus | None:
        if self._stopped is not None:
            return RunStatus.CANCELED if self._stopped.canceled else RunStatus.FAILED
        if not self._complete or self.remaining():
            return None
        # Mini-batches without items (no rows) are none's failure.
        nothing = self.tally.items > 0 and self.tally.items_succeeded == 0
        none = self.tally.succeeded == 0 and len(self._states) > 0
        if not self._settings.appends or not (nothing or none):
            return RunStatus.COMPLETED
        self._obstacle = Obstacle.NO_SUCCESS
        return RunStatus.FAILED

    # how it stands

    def progress(self, now: float) -> Progress:
        """Return how far the run is."""
        tally = self.tally
        total = len(self._states) if self._complete else None
        done = tally.succeeded + tally.failed
        elapsed = now - self._began if self._began is not None else 0.0
        eta = None
        if total is not None and self._pace_from is not None:
            since, before = self._pace_from
            eta = (now - since) * (total - done) / (done - before) if done > before else None
        return Progress(
            total=total,
            handed_out=self._left.handed_out,
            succeeded=tally.succeeded,
            failed=tally.failed,
            in_flight=self._out.mini_batches,
            retried=tally.retried,
            items=tally.items,
            items_failed=tally.items - tally.items_succeeded,
            elapsed=elapsed,
            eta=eta,
            script=self._script,
        )

    def message(self) -> str:
        """Return in one sentence how the run ended, with the first user error where it failed."""
        return self._ending().message()

    def report(self, now: float, began: float) -> Report:
        """Return the final account."""
        return self._ending().report(now - began)

    def _ending(self) -> Ending:
        limit = self._settings.run_invocation_timeout
        return Ending(
            self.tally,
            known=len(self._states),
            complete=self._complete,
            stopped=self._stopped,
            status=self.finished,
            untried=sum(attempt > 1 for _, attempt in self._left)
            if self._stopped is not None
            else 0,
            program=Program(self._script, limit) if self._script else None,
            obstacle=self._obstacle,
        )
