"""What all views of a run show, gathered from its events; its size has a bound.

Counts of mini-batches and items are the ledger's own (``Progress``), so that every view agrees with
the journal, also for a run that was resumed. Only times, and what is drawn, are gathered here.
"""

from __future__ import annotations

import heapq
import os
import time
from collections import deque
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from daskrun.core.events import Observer
from daskrun.core.report import Progress, RunStatus
from daskrun.core.settings import without_secrets
from daskrun.core.tally import Tally
from daskrun.core.typing import override
from daskrun.monitor.attempts import named_items
from daskrun.monitor.result_count import ResultCount
from daskrun.monitor.snapshot import (
    Attempt,
    Happening,
    InFlight,
    ProcessStatistics,
    Series,
    SlotTimes,
    Snapshot,
    class_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from daskrun.core import events
    from daskrun.core.minibatch import Plan
    from daskrun.core.outcome import Outcome, ProcessInfo
    from daskrun.core.settings import RunSettings

MOST_PROCESSES = 1000
MOST_RECENT = 2000
"""Attempts kept to be drawn one by one."""
MOST_SLOWEST = 20
MOST_HAPPENINGS = 200
MOST_ERRORS = 50
MOST_IN_FLIGHT = 200
TEXT_CAP = 4000
"""Characters of an error's text, and of a happening."""
NOTHING = Progress(None, 0, 0, 0, 0, 0, 0, 0, 0.0, None)


def shown_settings(settings: RunSettings) -> dict[str, str]:
    """Return settings as texts, those of which none may be secret."""
    plain = asdict(without_secrets(settings))
    plain["environment_variables"] = sorted(settings.environment_variables)
    return {
        name: str(value) for name, value in plain.items() if value not in (None, [], (), {}, "")
    }


class RunStatistics(Observer):
    """Gathers what the views of a run show.

    ``plan`` names the items of the attempts that took longest; ``earlier`` is what earlier drivers
    of the run had gathered; ``epoch`` the seconds since the epoch at which the driver's clock
    showed 0, by default that of this process.
    """

    def __init__(
        self,
        plan: Plan | None = None,
        earlier: Snapshot | None = None,
        epoch: float | None = None,
    ) -> None:
        self._plan = plan
        self._named: dict[int, str] = {}
        self.epoch = time.time() - time.monotonic() if epoch is None else epoch
        times, series = SlotTimes(), Series(0.0)
        self._at = Snapshot("", "", 0.0, 0.0, RunStatus.NOT_STARTED, NOTHING, times, series)
        """How it stands, but for what is only put together to be shown."""
        self._nodes: dict[str, int] = {}
        """Slots, by node."""
        self._slots_since = self.now = self._began = 0.0
        self._ready = False
        """Whether a script process has finished ``init()``."""
        self._ending = ""
        self._in_flight: dict[int, InFlight] = {}
        self._positions: dict[tuple[str, str, int], int] = {}
        self._processes: list[ProcessStatistics] = []
        self._latency: dict[int, int] = {}
        self._recent: deque[Attempt] = deque(maxlen=MOST_RECENT)
        self._slowest: list[tuple[float, Attempt]] = []
        self._happenings: deque[Happening] = deque(maxlen=MOST_HAPPENINGS)
        self._tally = Tally()
        self.counted = ResultCount()
        self._seconds_before = 0.0
        if earlier is not None:
            self._go_on(earlier)

    def _go_on(self, earlier: Snapshot) -> None:
        at = self._at
        at.times, at.series, at.started = earlier.times, earlier.series, earlier.started
        self._seconds_before = earlier.seconds
        self.now = self._began = self._slots_since = earlier.updated - self.epoch
        self._nodes = {"": earlier.slots}  # of that driver, for the rest of its time
        at.attempts_before, at.backups = sum(earlier.latency.values()), earlier.backups
        self._latency = dict(earlier.latency)
        for each in earlier.processes:
            self._add_process(each)
        self._recent.extend(earlier.attempts())
        self._slowest = [(each.elapsed, each) for each in earlier.longest()]
        heapq.heapify(self._slowest)
        self._happenings.extend(earlier.happenings)
        self._tally.recall(earlier.errors)

    # what happens

    @override
    def on_run_started(self, event: events.RunStarted) -> None:
        self._seconds_before += self.now - self._began  # of a driver before this one
        self._nodes.clear()
        self._in_flight.clear()
        self.now = self._slots_since = self._began = event.now
        at = self._at
        at.driver_started = self._wall(event.now)
        at.run_id, at.step, at.experiment = event.run_id, event.step_name, event.experiment
        at.pipeline_run, at.folder = event.pipeline_run_id, event.folder
        at.settings, at.status = shown_settings(event.settings), RunStatus.RUNNING
        at.progress = replace(NOTHING, total=event.mini_batches)
        if not at.started:
            at.started = at.driver_started
            at.series = Series(at.started)
        if event.resumed:
            self._happened(event.now, "", f"process {os.getpid()} goes on with the run")

    @override
    def on_node_preparing(self, event: events.NodePreparing) -> None:
        self.now = event.now

    @override
    def on_node_ready(self, event: events.NodeReady) -> None:
        self._count_slots(event.now)
        self._nodes[event.node] = event.slots
        text = f"ready on {event.where} with {event.slots} script processes"
        self._happened(event.now, event.node, text)

    @override
    def on_node_lost(self, event: events.NodeLost) -> None:
        self._count_slots(event.now)
        self._nodes.pop(event.node, None)
        self._happened(event.now, event.node, f"lost: {event.reason}")

    @override
    def on_process_ready(self, event: events.ProcessReady) -> None:
        self._ready = True
        self._at.times.init += event.init_seconds
        process = self._processes[self._position(event.process)]
        process.init_seconds, process.gpu = event.init_seconds, event.gpu

    @override
    def on_init_failed(self, event: events.InitFailed) -> None:
        self._tally.init_failure(event.error, event.process)
        text = f"{event.process.name} failed: {event.error.message}"
        self._happened(event.now, event.process.node, text)

    @override
    def on_handed_out(self, event: events.HandedOut) -> None:
        since = self._wall(event.now)
        for bundle in event.bundles:
            if not bundle.survey:
                first = bundle.entries[0][0] if bundle.entries else -1
                count = len(bundle.entries)
                self._at.backups += count if bundle.backup else 0
                self._in_flight[bundle.number] = InFlight(
                    bundle.number, bundle.node, first, count, since
                )

    @override
    def on_bundle_lost(self, event: events.BundleLost) -> None:
        self._in_flight.pop(event.number, None)

    @override
    def on_bundle_returned(self, event: events.BundleReturned) -> None:
        self.now, self._at.returned = event.now, self._wall(event.now)
        self._in_flight.pop(event.number, None)
        if len(self._at.warnings) < MOST_ERRORS:
            self._at.warnings = list(dict.fromkeys([*self._at.warnings, *event.warnings]))
        if event.outcomes:
            position = self._position(event.process) if event.process is not None else -1
            self._add(event.outcomes, position, event.process, self._wall(event.now))

    @override
    def on_stop_asked(self, event: events.StopAsked) -> None:
        self._ending = f"the run stops: {event.reason}"
        self._happened(event.now, "", self._ending)

    @override
    def on_note(self, event: events.Note) -> None:
        self._at.dashboard = event.dashboard or self._at.dashboard
        if event.text:
            self._happened(event.now, "", event.text)

    @override
    def on_run_ended(self, event: events.RunEnded) -> None:
        self._count_slots(event.now)
        self._nodes.clear()
        self._in_flight.clear()
        self._at.status, self._at.message = event.report.status, event.report.message
        self._at.warnings = list(event.report.warnings)
        self._tally = Tally()
        self._tally.recall(event.report.errors)

    @override
    def progress(self, progress: Progress) -> None:
        self._at.progress = progress

    def _add(
        self,
        outcomes: Iterable[Outcome],
        position: int,
        process: ProcessInfo | None,
        now: float,
    ) -> None:
        """Add what came back of a bundle: the only place that works for each mini-batch."""
        latency, recent, slowest = self._latency, self._recent, self._slowest
        series, counted = self._at.series, self.counted
        own = self._processes[position].latency if position >= 0 else {}
        shortest = slowest[0][0] if len(slowest) >= MOST_SLOWEST else -1.0
        made = ProcessStatistics("", "", 0, 0.0)
        for outcome in outcomes:
            index, attempt, status, items, results, _, length, *_ = outcome
            started, elapsed, inside, loading = outcome[9:13]
            one = Attempt(index, attempt, status, position, started, elapsed, inside, loading)
            recent.append(one)
            at = class_of(inside)
            latency[at] = latency.get(at, 0) + 1
            own[at] = own.get(at, 0) + 1
            if elapsed > shortest:
                push = heapq.heappush if len(slowest) < MOST_SLOWEST else heapq.heappushpop
                push(slowest, (elapsed, one))
                shortest = slowest[0][0] if len(slowest) >= MOST_SLOWEST else -1.0
            made.attempts += 1
            if status:
                made.failures += 1
                made.failed += elapsed
                self._tally.failure(outcome, process, final=False)
            else:
                made.items += items
                made.load += loading
                made.run += inside
                made.write += elapsed - inside - loading
                counted.add(index, results, length)
                if results < items:
                    self._tally.note_items(outcome, process)
            series.add(min(started + elapsed, now), status, items)
        self._count(made, position)

    def _count(self, made: ProcessStatistics, position: int) -> None:
        """Add what a bundle has made to the sums of its process and to those of all."""
        times, made.write = self._at.times, max(made.write, 0.0)  # clocks differ in the last digits
        for name in ("load", "run", "write", "failed"):
            setattr(times, name, getattr(times, name) + getattr(made, name))
        if position >= 0:
            process = self._processes[position]
            for name in ("attempts", "failures", "items", "load", "run", "write", "failed"):
                setattr(process, name, getattr(process, name) + getattr(made, name))

    def _position(self, process: ProcessInfo) -> int:
        key = process.node, process.name, process.pid
        found = self._positions.get(key)
        if found is None:
            found = self._add_process(ProcessStatistics(*key, process.started))
        return found

    def _add_process(self, process: ProcessStatistics) -> int:
        if len(self._processes) >= MOST_PROCESSES:
            self._forget_processes()
        self._positions[process.node, process.name, process.pid] = len(self._processes)
        self._processes.append(process)
        return len(self._processes) - 1

    def _forget_processes(self) -> None:
        """Leave out the older half of the processes; attempts that they made stay without one."""
        half = MOST_PROCESSES // 2
        del self._processes[:half]
        self._positions = {key: n - half for key, n in self._positions.items() if n >= half}
        moved = [each._replace(process=max(each.process - half, -1)) for each in self._recent]
        self._recent.extend(moved)
        self._slowest = [
            (seconds, each._replace(process=max(each.process - half, -1)))
            for seconds, each in self._slowest
        ]

    def _count_slots(self, now: float) -> None:
        """Add the seconds of slots since they last changed."""
        self._at.times.slots += sum(self._nodes.values()) * max(now - self._slots_since, 0.0)
        self.now = self._slots_since = now

    def _happened(self, now: float, node: str, text: str) -> None:
        self.now = now
        self._happenings.append(Happening(self._wall(now), node, text[:TEXT_CAP]))

    def _wall(self, now: float) -> float:
        return self.epoch + now

    # what is shown

    def waiting_for(self) -> str:
        """Return what keeps the run from going on, in words; ``""`` while it works."""
        progress = self._at.progress
        done = progress.succeeded + progress.failed
        if self._at.status.ended:
            return ""
        if self._ending:
            return self._ending
        if progress.total is not None and done >= progress.total and self._ready:
            return "the output to be put together"
        if progress.preparing:
            return progress.preparing
        if not self._nodes:
            return "a worker"
        if not self._ready:
            return "init() of the script processes"
        if progress.total is None and not self._in_flight:
            return "mini-batches to be found"
        return ""

    def _items(self) -> dict[str, str]:
        """Return the items of the mini-batches that took longest, by index."""
        if self._plan is None:
            return {}
        old, self._named = self._named, {}
        for index in {each.index for _, each in self._slowest}:
            found = old[index] if index in old else named_items(self._plan, index)
            self._named[index] = found.removeprefix(", ")
        return {str(index): text for index, text in self._named.items()}

    def snapshot(self, now: float | None = None) -> Snapshot:
        """Return how it stands; ``now`` is on the driver's clock, by default this process's."""
        if not self._at.status.ended:
            self._count_slots(time.monotonic() if now is None else now)
        errors = sorted(self._tally.groups(), key=lambda each: -each.count)
        in_flight = sorted(self._in_flight.values(), key=lambda each: each.since)
        return replace(
            self._at,
            updated=self._wall(self.now),
            seconds=self._seconds_before + max(self.now - self._began, 0.0),
            epoch=self.epoch,
            waiting_for=self.waiting_for(),
            slots=sum(self._nodes.values()),
            nodes=len(self._nodes),
            times=replace(self._at.times),
            results=self.counted.results,
            output_bytes=self.counted.nbytes,
            series=replace(self._at.series),
            latency=dict(self._latency),
            processes=list(self._processes),
            recent=[list(each) for each in self._recent],
            slowest=[list(each) for _, each in sorted(self._slowest, reverse=True)],
            items=self._items(),
            in_flight=in_flight[:MOST_IN_FLIGHT],
            happenings=list(self._happenings),
            errors=[replace(each, text=each.text[-TEXT_CAP:]) for each in errors[:MOST_ERRORS]],
            other_errors=max(len(errors) - MOST_ERRORS, 0),
            warnings=self._at.warnings[:MOST_ERRORS],
        )
