"""Ledger and journal together, dealt any history of outcomes, faults, crashes and resumes."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from generated import examples
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daskrun.core.events import (
    Bundle,
    BundleLost,
    BundleReturned,
    Event,
    HandOut,
    NodeReady,
    Planned,
    RoomFor,
    Skip,
)
from daskrun.core.ledger import Ledger
from daskrun.core.minibatch import digest
from daskrun.core.outcome import Failure, Outcome, ProcessInfo
from daskrun.core.report import RunStatus
from daskrun.core.settings import RunSettings
from daskrun.engine.journal_records import Recorder, RunRecord, encode
from daskrun.engine.past import Replay, read_past
from daskrun.storage import journal
from daskrun.storage.journal import Journal

ROW = 10
"""Bytes of each mini-batch's rows."""


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "sync_data", lambda _: None)
    monkeypatch.setattr(journal, "sync_folder", lambda _: None)


class FakePlan:
    """So many mini-batches, all known."""

    def __init__(self, known: int) -> None:
        self.known = known

    def encode(self, index: int) -> bytes:
        return b"%d" % index


class Drivers(RuleBasedStateMachine):
    """One run over many drivers: what is on the disk stays, what is in memory goes."""

    @initialize(count=st.integers(1, 12), tries=st.integers(1, 3))
    def begin(self, count: int, tries: int) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.plan: Any = FakePlan(count)
        self.tries = tries
        self.parts: dict[str, int] = {}
        self.written: dict[str, int] = {}
        self.executed: Counter[tuple[int, int, int]] = Counter()
        """Attempts whose failure is in the journal: (round, index, attempt)."""
        self.rounds: Counter[int] = Counter()
        """How often each mini-batch was given new tries."""
        self.journal = Journal(self.folder / "journal")
        self.journal.append(encode(RunRecord("run1", "p", count)))
        self.journal.sync()
        self.new_driver()
        self.handle(Planned(count, True, 0.0))

    def new_driver(self) -> None:
        settings_ = RunSettings(entry_script="s.py", run_max_try=self.tries, retry_delay=0.0)
        self.ledger = Ledger(settings_)
        self.recorder = Recorder()
        self.bundles: dict[int, Bundle] = {}
        self.committed: dict[int, tuple[str, int]] = {}
        """What a finalizer would have: (part, offset) by mini-batch."""
        self.skipped: set[int] = set()
        self.handle(NodeReady("n", 2, 0.0))

    def handle(self, event: Event) -> None:
        for order in self.ledger.handle(event):
            if isinstance(order, HandOut):
                self.bundles[order.bundle.number] = order.bundle
            elif isinstance(order, Skip):
                assert order.index not in self.skipped
                self.skipped.add(order.index)

    def commit(self, index: int, part: str, offset: int) -> None:
        assert index not in self.committed  # a finalizer raises too
        self.committed[index] = part, offset

    @rule(limit=st.integers(1, 5))
    def hand_out(self, limit: int) -> None:
        self.handle(RoomFor("n", limit, 0.0))

    @precondition(lambda self: self.bundles)
    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        self.let_come_back(data, crash=False)

    @precondition(lambda self: self.bundles)
    @rule(data=st.data())
    def crash_before_it_counts(self, data: st.DataObject) -> None:
        self.let_come_back(data, crash=True)
        self.crash(data)

    @precondition(lambda self: self.bundles)
    @rule(data=st.data())
    def lose_a_bundle(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.bundles)))
        del self.bundles[number]
        self.handle(BundleLost(number, "gone", 0.0))

    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """The driver dies, perhaps in the middle of a record; another goes on."""
        self.journal.close()
        path = self.folder / "journal"
        torn = data.draw(st.binary(max_size=20))
        path.write_bytes(path.read_bytes() + torn.replace(b"\n", b""))
        storage = data.draw(st.sampled_from(["as it is", "gone", "back", "short"]))
        if storage == "gone":
            self.parts = dict.fromkeys(self.parts, -1)
        elif storage == "back":  # a mount may go and come
            self.parts = dict(self.written)
        elif storage == "short" and self.parts:
            part = data.draw(st.sampled_from(sorted(self.parts)))
            self.parts[part] = data.draw(st.integers(-1, self.written[part]))
        self.resume(retry=data.draw(st.booleans()))

    def resume(self, *, retry: bool) -> None:
        path = self.folder / "journal"
        past = read_past(path)
        assert past is not None
        self.journal = Journal.open(path)
        self.new_driver()
        replay = Replay(
            past,
            self.plan,
            lambda index: index < self.plan.known,
            self.parts,
            tries=self.tries,
            retry_failed=retry,
        )

        def committed() -> Any:
            for outcome, process, forgiven in replay:
                if outcome.status == 0:
                    assert process is not None
                    self.commit(outcome.index, process.part, outcome.offset)
                yield outcome, process, forgiven

        for order in self.ledger.recall(committed()):
            assert isinstance(order, Skip)
            self.skipped.add(order.index)
        record = replay.record()
        self.rounds.update(record.forgiven)
        self.journal.append(encode(record))
        self.journal.sync()
        self.handle(Planned(self.plan.known, True, 0.0))

    def let_come_back(self, data: st.DataObject, *, crash: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.bundles)))
        bundle = self.bundles[number]
        done = data.draw(st.integers(0, len(bundle.entries)))
        statuses = data.draw(st.lists(st.sampled_from([0, 0, 1]), min_size=done, max_size=done))
        del self.bundles[number]  # not before: a draw may end the example
        self.give_back(bundle, statuses, crash=crash)

    def give_back(self, bundle: Bundle, statuses: list[int], *, crash: bool) -> None:
        part = f"part{len(self.parts)}"
        self.parts[part] = 0
        outcomes = []
        for (index, attempt), status in zip(bundle.entries, statuses, strict=False):
            offset = self.parts[part]
            self.parts[part] += 0 if status else ROW
            error = Failure("bad") if status else None
            size = 0 if status else ROW
            made = Outcome(
                index, attempt, status, 1, 1 - status, offset, size, 0, 0, 0.0, 0.0, 0.0, 0.0, error
            )
            outcomes.append(made)
            if status:
                self.executed[self.rounds[index], index, attempt] += 1
        self.written[part] = self.parts[part]
        process = ProcessInfo("n", "p", 1, 0.0, part)
        event = BundleReturned(bundle.number, process, tuple(outcomes), 0.1, 0.0)
        if outcomes:
            digests = {index: digest(self.plan.encode(index)) for index, _ in bundle.entries}
            self.journal.append(encode(self.recorder.record(event, digests)))
            self.journal.sync()
        if crash:
            return
        self.handle(event)
        for made in outcomes:
            if made.status == 0:
                self.commit(made.index, part, made.offset)

    @invariant()
    def no_try_is_made_twice_or_too_often(self) -> None:
        for (_, _, attempt), count in getattr(self, "executed", {}).items():
            assert count == 1
            assert attempt <= self.tries

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            try:
                self.come_to_an_end()
            finally:
                self.journal.close()
                shutil.rmtree(self.folder)

    def come_to_an_end(self) -> None:
        while self.ledger.finished is None:
            self.handle(RoomFor("n", 100, 0.0))
            for number in sorted(self.bundles):
                bundle = self.bundles.pop(number)
                statuses = [int(index % 3 == 2) for index, _ in bundle.entries]
                self.give_back(bundle, statuses, crash=False)
        report = self.ledger.report(0.0, 0.0)
        everything = set(range(self.plan.known))
        assert self.committed.keys() | self.skipped == everything
        assert not self.committed.keys() & self.skipped
        assert (report.succeeded, report.failed) == (len(self.committed), len(self.skipped))
        assert report.items == self.plan.known
        assert report.retried == report.attempts - self.plan.known
        for index in self.skipped:
            found = [t for r, i, t in self.executed if (r, i) == (self.rounds[index], index)]
            assert sorted(found) == list(range(1, self.tries + 1))
        for part, offset in self.committed.values():
            assert self.parts[part] >= offset + ROW
        assert len(set(self.committed.values())) == len(self.committed)
        none = not self.committed
        assert self.ledger.finished is (RunStatus.FAILED if none else RunStatus.COMPLETED)
        # and once more: what is finished is not done again
        self.journal.close()
        before = dict(self.committed), set(self.skipped)
        self.resume(retry=False)
        assert (self.committed, self.skipped) == before
        assert not self.ledger.has_work(0.0)


TestDrivers = Drivers.TestCase
TestDrivers.settings = settings(max_examples=examples(100), stateful_step_count=30)
