"""What a run shows its observers, and what those can't do to it."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest
from running import Watch, make_request, run_request

from daskrun import Observer
from daskrun.core import plugins
from daskrun.core.events import (
    BundleReturned,
    NodeReady,
    Note,
    Planned,
    ProcessReady,
    RunEnded,
    RunStarted,
)
from daskrun.core.report import RunStatus
from daskrun.engine.observers import GROUP, Audience
from daskrun.monitor.attempts import AttemptTable
from daskrun.monitor.logs import LogWriter
from daskrun.pipeline.execution.state import LiveState, ProgressKeeper
from daskrun.testing.contracts.observers import ObserverContract
from daskrun.workspace.run_folders.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("own_temporary_folder")
BEGAN = RunStarted("run1", "score", None, 3, 0.0)  # type: ignore[arg-type]


class Odd(BaseException):
    """No Exception, and one that can't be printed."""

    def __str__(self) -> str:
        raise ValueError


class Fails(Observer):
    """Raises at one call, and counts all."""

    def __init__(self, at: str = "on_note", error: BaseException | None = None) -> None:
        self.calls: list[str] = []
        self._at = at
        self._error = error or ValueError("no")

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name == self._at:
            raise self._error

    def on_note(self, event: Note) -> None:
        self._called("on_note")

    def progress(self, progress: object) -> None:
        self._called("progress")

    def close(self) -> None:
        self._called("close")


def test_an_observer_hears_the_whole_of_a_run_from_what_is_run_to_its_report(tmp_path: Path):
    watch = Watch()
    given = make_request(tmp_path, files=4, size=2, target="inline")
    finished = run_request(_with(given, watch))
    first, *_, last = watch.events
    assert isinstance(first, RunStarted)
    assert (first.run_id, first.step_name, first.mini_batches) == ("run1", "score", 2)
    assert first.settings is given.settings
    assert first.folder == str(given.run_folder)
    assert not first.resumed
    assert isinstance(last, RunEnded)
    assert last.report == finished.report
    kinds = [type(event) for event in watch.events]
    assert kinds.count(RunStarted) == kinds.count(RunEnded) == 1
    assert {Planned, NodeReady, ProcessReady, BundleReturned} <= set(kinds)
    assert watch.closed == 1


def test_a_class_is_made_an_observer_for_each_run(tmp_path: Path):
    made: list[Watch] = []

    def make() -> Watch:
        made.append(Watch())
        return made[-1]

    run_request(_with(make_request(tmp_path, files=2, target="inline"), make))
    assert [type(made[0].events[0]), type(made[0].events[-1])] == [RunStarted, RunEnded]
    assert len(made) == 1


@pytest.mark.parametrize(
    "error", [ValueError("no"), OSError(28, "full"), SystemExit(3), Odd(), GeneratorExit()]
)
def test_one_that_raises_is_reported_once_and_left_out(error: BaseException, caplog):
    fails, watch = Fails(error=error), Watch()
    audience = Audience([fails, watch], "run1")
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            audience.notify(Note("a word", 0.0))
        audience.close()
    assert fails.calls == ["on_note", "close"]
    assert len(watch.of(Note)) == 3
    assert watch.closed == 1
    [record] = caplog.records
    assert record.exc_info[1] is error
    assert "run run1: observer Fails failed and was left out: " in record.getMessage()
    [warning] = audience.warnings
    assert type(error).__name__ in warning


def test_notes_that_warn_are_for_the_report_and_bounded() -> None:
    audience = Audience([], "run1")
    audience.notify(Note("only a line", 0.0))
    for number in (*range(1000), 3):
        audience.notify(Note(f"process{number} failed", 0.0, warns=True))
    first, *_, last = audience.warnings
    assert (first, len(audience.warnings)) == ("process0 failed", 11)
    assert last == "990 more of these are in sys/happenings.txt"


@pytest.mark.parametrize("at", ["on_note", "progress", "close"])
def test_a_run_completes_whatever_its_observers_do(tmp_path: Path, at: str):
    def make() -> Observer:
        raise RuntimeError("it can't be made")

    request = make_request(tmp_path, files=3, target="inline")
    finished = run_request(_with(request, Fails(at, SystemExit(2)), make, object()))
    report = finished.report
    assert report.status is RunStatus.COMPLETED
    assert finished.output == b"0\n1\n2\n"
    told = "\n".join(report.warnings)
    assert "RuntimeError: it can't be made" in told
    assert "TypeError: 'object' object is not callable" in told
    if at == "progress":
        assert "observer Fails failed and was left out: SystemExit: 2" in told


def test_an_observer_may_say_that_what_it_shows_is_incomplete(tmp_path: Path):
    watch = Watch()
    watch.warning = "the page of the run could not be drawn"
    report = run_request(_with(make_request(tmp_path, files=1, target="inline"), watch)).report
    assert report.warnings == ("the page of the run could not be drawn",)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A package that registers two observers; one can't be imported."""
    place = tmp_path / "site"
    info = place / "watching-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: watching\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\na=watching:Hears\nb=watching:Lacks\n")
    (place / "watching.py").write_text(
        "from daskrun import Observer\n"
        "made = []\n"
        "class Hears(Observer):\n"
        "    def __init__(self):\n"
        "        self.heard = []\n"
        "        made.append(self)\n"
        "    def notify(self, event):\n"
        "        self.heard.append(type(event).__name__)\n"
        "    def close(self):\n"
        "        self.heard.append('close')\n"
    )
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setattr(plugins, "_groups", {})
    yield lambda: sys.modules["watching"].made
    sys.modules.pop("watching", None)


def test_observers_of_entry_points_hear_every_run_from_its_beginning(tmp_path: Path, installed):
    for name in ("one", "two"):
        finished = run_request(make_request(tmp_path / name, files=2, target="inline"))
        assert finished.report.status is RunStatus.COMPLETED
        assert f"observer {GROUP}: b failed" in "\n".join(finished.report.warnings)
    made = installed()
    assert len(made) == 2
    for each in made:
        assert each.heard[0] == "RunStarted"
        assert each.heard[-2:] == ["RunEnded", "close"]
        assert each.heard.count("BundleReturned") >= 1


def test_entry_points_are_looked_up_after_the_first_outcome(monkeypatch: pytest.MonkeyPatch):
    looked: list[str] = []
    monkeypatch.setattr(
        "daskrun.engine.observers.entry_points", lambda group: looked.append(group) or {}
    )
    audience = Audience([], "run1")
    for event in (BEGAN, Planned(3, True, 0.0), NodeReady("node000", 1, 0.0)):
        audience.notify(event)
    assert looked == []
    for number in range(2):
        audience.notify(BundleReturned(number, None, (), 0.0, 0.0))
    assert looked == [GROUP]


def _with(request: Any, *observers: Any) -> Any:
    from dataclasses import replace

    return replace(request, observers=observers)


class TestLogWriter(ObserverContract):
    def make_observer(self, folder: Path) -> Observer:
        return LogWriter(folder / "logs", advice=lambda _: "Go on with run.resume().")


class TestAttemptTable(ObserverContract):
    def make_observer(self, folder: Path) -> Observer:
        return AttemptTable(folder / "attempts.csv")


class TestProgressKeeper(ObserverContract):
    def make_observer(self, folder: Path) -> Observer:
        return ProgressKeeper(LiveState(RunFolder(folder), lambda reason: None))


class TestBase(ObserverContract):
    def make_observer(self, folder: Path) -> Observer:
        return Observer()
