"""What every observer has to bear."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, get_args

from daskrun.core.events import (
    METHODS,
    Bundle,
    BundleLost,
    BundleReturned,
    Event,
    HandedOut,
    InitFailed,
    NodeLost,
    NodePreparing,
    NodeReady,
    Note,
    Planned,
    ProcessReady,
    Resumed,
    RoomFor,
    RunEnded,
    RunStarted,
    SlotsIdle,
    StopAsked,
)
from daskrun.core.outcome import Failure, Outcome, ProcessInfo, Status
from daskrun.core.report import ErrorGroup, Progress, Report, RunStatus
from daskrun.core.settings import RunSettings

if TYPE_CHECKING:
    from pathlib import Path

    from daskrun.core.events import Observer

QUICK = 1.0
"""Seconds that a call may take: the run waits for it."""
ODD = "Ünïcödé \udcff {braces} %s 'quotes' \"more\"\nand a second line"
"""What an error may say."""
PROCESS = ProcessInfo("node000", "process000", 4711, 1.7e9, "node000-process000-0")


def made_up_run(folder: Path) -> list[Event]:
    """Return the events of a run in which everything happens that can happen."""
    settings = RunSettings(
        entry_script="score.py", mini_batch_size=2, environment_variables={"TOKEN": "hush"}
    )
    failures = [
        Outcome(index, 1, int(status), 2, 0, -1, 0, 0, 0, 1.7e9, 0.5, 0.4, 0.05, failure)
        for index, (status, failure) in enumerate(
            (status, Failure(f"{status.name}: {ODD}", where="score.py:3", text=ODD))
            for status in Status
            if status is not Status.SUCCEEDED
        )
    ]
    succeeded = Outcome(0, 2, 0, 2, 2, 0, 8, 0, 99, 1.7e9, 0.5, 0.4, 0.05, None)
    short, over = succeeded._replace(index=1, results=1), succeeded._replace(index=2, results=3)
    groups = (
        ErrorGroup(ODD, "score.py:3", 12_345, 3, 1, "node000/process000", ODD),
        ErrorGroup("ValueError: no", "", 1, -1, 1, "", ""),
    )
    report = Report(
        RunStatus.FAILED, ODD, None, 3, 7, 990, 20, 5, 15, 10, 0, groups, (ODD,), seconds=12.5
    )
    return [
        RunStarted("run-1", "score", settings, None, 0.0, "trial", "run-0", str(folder), True),
        Resumed((5, 6), 0.1),
        Planned(0, False, 0.2),
        Planned(1000, True, 0.3),
        NodePreparing("node000", "installing packages: for 3 s", 0.4),
        NodeReady("node000", 2, 0.5, "tcp://10.0.0.1:8786"),
        ProcessReady(PROCESS, 0.1, 0.6),
        InitFailed(PROCESS, Failure(ODD), 0.7),
        HandedOut((Bundle(0, "node000", ((0, 1), (1, 2))), Bundle(1, "node000", ())), 0.75),
        BundleReturned(0, PROCESS, (*failures, succeeded, short, over), 1.5, 0.8, (ODD,)),
        BundleReturned(1, None, (), 0.0, 0.9),
        BundleLost(2, "it left the cluster", 1.0),
        NodeLost("node000", "worker tcp://10.0.0.1:8786: it left the cluster", 1.1),
        Note(ODD, 1.2),
        StopAsked("the script failed too often", False, 1.3),
        RunEnded(report, 1.4),
    ]


PROGRESS = (
    Progress(None, 0, 0, 0, 0, 0, 0, 0, 0.0, None, preparing="building: for 3 s"),
    Progress(1000, 12, 5, 1, 6, 2, 12, 3, 1.5, 250.0),
    Progress(1000, 1000, 993, 7, 0, 2, 2000, 15, 4e5, 0.0),
    Progress(0, 0, 0, 0, 0, 0, 0, 0, 0.0, None),
    Progress(1, 1, 1, 0, 0, 0, 1, 0, 2.0, None, script="train.py"),
)
"""How far a run may be."""


class ObserverContract:
    """Tests of an observer; none of them may make it raise."""

    def make_observer(self, folder: Path) -> Observer:
        """Make the observer, for one run; ``folder`` is empty and its own."""
        raise NotImplementedError

    def test_the_made_up_run_has_every_kind_of_event(self, tmp_path: Path) -> None:
        shown = set(get_args(Event)) - {RoomFor, SlotsIdle}
        assert {type(event) for event in made_up_run(tmp_path)} == shown == set(METHODS)

    def test_it_hears_a_run(self, tmp_path: Path) -> None:
        """Show it a run as the driver does: how far it is between any two events."""
        observer = self.make_observer(tmp_path)
        for n, event in enumerate(made_up_run(tmp_path)):
            observer.notify(event)
            observer.progress(PROGRESS[n % len(PROGRESS)])
        observer.close()
        assert observer.warning == ""

    def test_it_hears_events_in_any_order(self, tmp_path: Path) -> None:
        """Nodes, processes and bundles are heard of as they come, from several threads."""
        events = made_up_run(tmp_path)
        for seed in range(10):
            middle = events[1:-1]
            random.Random(seed).shuffle(middle)
            observer = self.make_observer(_folder(tmp_path, seed))
            for event in (events[0], *middle, events[-1]):
                observer.notify(event)
            observer.close()
            assert observer.warning == ""

    def test_it_may_be_closed_at_any_time(self, tmp_path: Path) -> None:
        """A run may end wherever it is; before its first event where it could not start."""
        events = made_up_run(tmp_path)
        for number in range(len(events) + 1):
            observer = self.make_observer(_folder(tmp_path, number))
            for event in events[:number]:
                observer.notify(event)
            observer.close()

    def test_it_hears_a_run_that_was_never_begun(self, tmp_path: Path) -> None:
        observer = self.make_observer(tmp_path)
        observer.notify(made_up_run(tmp_path)[-1])
        observer.close()

    def test_it_is_quick(self, tmp_path: Path) -> None:
        observer = self.make_observer(tmp_path)
        for event in made_up_run(tmp_path):
            began = time.monotonic()
            observer.notify(event)
            observer.progress(PROGRESS[1])
            assert time.monotonic() - began < QUICK, event
        observer.close()


def _folder(parent: Path, number: int) -> Path:
    made = parent / f"{number}"
    made.mkdir()
    return made
