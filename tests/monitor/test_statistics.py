"""The aggregate that all views show: its sums, its bounds, how it is kept and made again."""

import json
import os
import time
from dataclasses import fields, replace
from types import SimpleNamespace

import pytest

from daskrun.core.events import (
    Bundle,
    BundleReturned,
    HandedOut,
    NodeLost,
    NodeReady,
    Note,
    ProcessReady,
    RunEnded,
    RunStarted,
    StopAsked,
)
from daskrun.core.outcome import Failure, Outcome, ProcessInfo, Status
from daskrun.core.report import ErrorGroup, Progress, Report, RunStatus
from daskrun.core.settings import RunSettings
from daskrun.monitor import snapshot, statistics, statistics_file
from daskrun.monitor.event_log import EventLog, EventTail, read_events
from daskrun.monitor.report import ReportFile
from daskrun.monitor.snapshot import BOUNDS, CLASSES, class_of, from_json, quantile, read_snapshot
from daskrun.monitor.statistics import RunStatistics
from daskrun.monitor.statistics_file import StatisticsFile
from daskrun.testing.contracts.observers import PROGRESS, ObserverContract, made_up_run

EPOCH = 1_700_000_000.0
PROCESS = ProcessInfo("node000", "process000", 42, EPOCH, "part")
SETTINGS = RunSettings(
    entry_script="score.py", environment_variables={"TOKEN": "hush"}, arguments=("--key", "hush")
)


class TestStatisticsFile(ObserverContract):
    def make_observer(self, folder):
        return StatisticsFile(folder)


class TestEventLog(ObserverContract):
    def make_observer(self, folder):
        return EventLog(folder / "sys" / "events.jsonl")


def outcome(index, ended, status=0, run=0.25, load=0.5, write=0.125, **changes):
    error = Failure("ValueError: bad", "ValueError", "score.py:7") if status else None
    elapsed = load + run + write
    made = Outcome(
        index, 1, status, 2, 0 if status else 2, 0, 8, 0, 0, EPOCH + ended - elapsed, elapsed, run,
        load, error,
    )  # fmt: skip
    return made._replace(**changes)


def started(now=0.0, **changes):
    return RunStarted("run-1", "score", SETTINGS, 10, now, **changes)


def shown(*events, progress=None):
    observer = RunStatistics(epoch=EPOCH)
    for event in events:
        observer.notify(event)
    if progress is not None:
        observer.progress(progress)
    return observer


def test_where_the_time_of_slots_went():
    observer = shown(
        started(),
        NodeReady("node000", 2, 1.0),
        ProcessReady(PROCESS, 0.5, 1.5),
        BundleReturned(0, PROCESS, (outcome(0, 3.0), outcome(1, 4.0, Status.RAISED)), 2.0, 4.0),
        NodeLost("node000", "gone", 11.0),
        NodeReady("node001", 1, 21.0),
    )
    times = observer.snapshot(31.0).times
    assert times == replace(
        times, slots=2 * 10 + 10, init=0.5, load=0.5, run=0.25, write=0.125, failed=0.875
    )
    assert times.waiting == 30 - 0.5 - 0.875 - 0.875
    [process] = observer.snapshot(31.0).processes
    assert (process.attempts, process.failures, process.items) == (2, 1, 2)
    assert process.latency == {class_of(0.25): 2}


def test_in_flight_is_what_was_handed_out_and_is_not_back():
    bundles = Bundle(0, "node000", ((0, 1), (1, 1))), Bundle(1, "node000", ((2, 1),))
    look = Bundle(2, "node000", (), survey=True)
    observer = shown(started(), HandedOut((*bundles, look), 2.0))
    assert [(each.first, each.count, each.since) for each in observer.snapshot(3.0).in_flight] == [
        (0, 2, EPOCH + 2),
        (2, 1, EPOCH + 2),
    ]
    observer.notify(BundleReturned(0, PROCESS, (outcome(0, 1.0),), 1.0, 3.0))
    assert [each.number for each in observer.snapshot(3.0).in_flight] == [1]


def test_intervals_double_and_lose_nothing(monkeypatch):
    monkeypatch.setattr(snapshot, "MOST_INTERVALS", 8)
    outcomes = [outcome(n, n / 2, n % 5 == 0) for n in range(1, 101)]
    observer = shown(started(), BundleReturned(0, PROCESS, tuple(outcomes), 50.0, 60.0))
    series = observer.snapshot(60.0).series
    assert series.width == 8
    assert len(series.succeeded) <= 8
    assert (sum(series.succeeded), sum(series.failed), sum(series.items)) == (80, 20, 160)


def test_what_is_kept_has_a_bound(monkeypatch):
    monkeypatch.setattr(statistics, "MOST_PROCESSES", 10)
    observer = shown(started(), NodeReady("node000", 2, 1.0))
    for n in range(statistics.MOST_RECENT + 500):
        process = PROCESS._replace(pid=n // 100)
        error = Failure(f"no {n}", where=f"score.py:{n}")
        bad = outcome(n, n, Status.RAISED, run=n / 1000, error=error)
        observer.notify(BundleReturned(n, process, (bad,), 1.0, float(n)))
    found = observer.snapshot(3000.0)
    assert len(found.recent) == statistics.MOST_RECENT
    assert len(found.processes) <= 10
    assert len(found.errors) == statistics.MOST_ERRORS
    assert found.other_errors > 0
    assert [each.index for each in found.longest()] == list(
        range(statistics.MOST_RECENT + 499, statistics.MOST_RECENT + 479, -1)
    )
    last = found.attempts()[-1]
    assert found.processes[last.process].pid == last.index // 100
    assert all(each.process >= -1 for each in found.attempts())


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e-6, 0.37, 1.0, 86_400.0, 1e12])
def test_every_duration_has_a_class(seconds):
    assert 0 <= class_of(seconds) < CLASSES
    if BOUNDS[0] <= seconds < BOUNDS[-1]:
        assert BOUNDS[class_of(seconds)] <= seconds < BOUNDS[class_of(seconds) + 1]


def test_quantiles():
    assert quantile({}, 0.5) is None
    counts = {class_of(0.01): 95, class_of(10.0): 5}
    assert quantile(counts, 0.5) == pytest.approx(0.01, rel=0.3)
    assert quantile(counts, 0.99) == pytest.approx(10, rel=0.3)


@pytest.mark.parametrize(
    ("events", "progress", "waiting"),
    [
        ((), None, "a worker"),
        ((), Progress(9, 0, 0, 0, 0, 0, 0, 0, 0.0, None, preparing="node000: pip"), "node000: pip"),
        ((NodeReady("node000", 2, 1.0),), None, "init() of the script processes"),
        ((NodeReady("node000", 2, 1.0), ProcessReady(PROCESS, 0.1, 1.0)),
         Progress(9, 9, 9, 0, 0, 0, 9, 0, 1.0, None), "the output to be put together"),
        ((NodeReady("node000", 2, 1.0), ProcessReady(PROCESS, 0.1, 1.0)),
         Progress(9, 2, 1, 0, 1, 0, 1, 0, 1.0, None), ""),
        ((RunEnded(Report(RunStatus.COMPLETED, "done"), 2.0),), None, ""),
    ],
)  # fmt: skip
def test_what_a_run_waits_for(events, progress, waiting):
    assert shown(started(), *events, progress=progress).waiting_for() == waiting


def test_secrets_are_in_none_of_the_files(tmp_path):
    log, kept = EventLog(tmp_path / "sys" / "events.jsonl"), StatisticsFile(tmp_path)
    for observer in (log, kept):
        observer.notify(started())
        observer.progress(PROGRESS[1])
        observer.close()
    kept.write()
    for path in (tmp_path / "sys").iterdir():
        text = path.read_text()
        assert "TOKEN" in text
        assert "hush" not in text


def test_a_further_driver_goes_on(tmp_path):
    first = StatisticsFile(tmp_path)
    first.notify(started())
    first.notify(NodeReady("node000", 2, 1.0))
    first.notify(BundleReturned(0, PROCESS, (outcome(0, 3.0, Status.RAISED),), 2.0, 4.0))
    first.progress(PROGRESS[1])
    before = read_snapshot(tmp_path)
    second = StatisticsFile(tmp_path)
    second.notify(started(resumed=True))
    second.notify(BundleReturned(0, PROCESS, (outcome(1, 3.0, Status.RAISED),), 2.0, 4.0))
    after = second.snapshot()
    assert after.started == before.started
    assert [(each.message, each.count) for each in after.errors] == [("ValueError: bad", 2)]
    assert [each.attempts for each in after.processes] == [2]
    assert [each.index for each in after.attempts()] == [0, 1]


def test_a_busy_machine_makes_the_file_no_older(tmp_path, monkeypatch):
    clock = SimpleNamespace(monotonic=lambda: now[0], thread_time=lambda: 0.0)
    monkeypatch.setattr(statistics_file, "time", clock)
    now, written = [100.0], []
    kept = StatisticsFile(tmp_path)

    def write():  # which others hold up
        written.append(now[0])
        now[0] += 0.04

    monkeypatch.setattr(kept, "write", write)
    for _ in range(30):
        kept.progress(PROGRESS[1])
        now[0] += 0.1
    assert [round(each - 100) for each in written] == [0, 1, 2]


@pytest.mark.parametrize("kept_after", [1, 3, 6, 9])
def test_a_killed_driver_loses_nothing_that_it_has_told(tmp_path, kept_after):
    """What came after the last writing of the statistics is made again from the log of events."""
    now = time.monotonic() - 0.1
    events = [
        started(now), NodeReady("node000", 2, now + 0.02), ProcessReady(PROCESS, 0.5, now + 0.03),
        BundleReturned(0, PROCESS, (outcome(0, 3.0),), 1.0, now + 0.04),
        BundleReturned(1, PROCESS, (outcome(1, 4.0), outcome(2, 4.0, Status.RAISED)), 1.0, now),
        Note("slow", now + 0.06),
    ]  # fmt: skip
    log, kept = EventLog(tmp_path / "sys" / "events.jsonl"), StatisticsFile(tmp_path)
    for number, event in enumerate(events):
        if number == kept_after:
            kept.progress(PROGRESS[1])
        for observer in (log, kept):
            observer.notify(event)
    live = kept.snapshot(now + 0.06)
    StatisticsFile(tmp_path)  # no driver takes it twice
    log = EventLog(tmp_path / "sys" / "events.jsonl")
    again = StatisticsFile(tmp_path)
    for observer in (log, again):
        observer.notify(started(time.monotonic(), resumed=True))
    found = again.snapshot(again.now)
    for name in ("latency", "recent", "slowest", "processes"):
        assert getattr(found, name) == getattr(live, name), name
    assert found.attempts_before == 3
    assert [(each.message, each.count) for each in found.errors] == [("ValueError: bad", 1)]
    assert found.seconds == pytest.approx(0.06, abs=0.2)
    assert vars(found.times) == pytest.approx(vars(live.times), abs=0.4)
    assert [each.text for each in found.happenings][:-1] == [e.text for e in live.happenings]


@pytest.mark.parametrize(
    "line",
    [
        ('{"event":"BundleReturned","number":0,"process":null,"outcomes":[[0,1,0,"x",1,1,1.0,1.0,1,1]],'
        '"seconds":1,"now":"x","warnings":[],"trouble":""}'),
        '{"event":"NodeReady","node":["x"],"slots":1e999,"now":1,"where":""}',
        '{"event":"NodeReady","node":"n","slots":"many","now":1,"where":""}',
        '{"event":"Note","now":"x","text":"y"}', "[", "\x00",
    ],
)  # fmt: skip
def test_a_log_of_events_that_others_have_written_ends_no_run(tmp_path, line):
    (tmp_path / "sys").mkdir()
    (tmp_path / "sys" / "events.jsonl").write_text(f"{line}\n")
    observer = StatisticsFile(tmp_path)
    observer.notify(started(resumed=True))
    observer.write()
    assert observer.warning == ""


def test_a_file_that_is_damaged_or_of_another_version_is_none(tmp_path):
    path = tmp_path / "sys" / "statistics.json"
    assert read_snapshot(tmp_path) is None
    path.parent.mkdir()
    for text in ("", "{", "[]", "{}", '{"run_id": "r"}', "\ud800".encode("utf-8", "replace")):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        assert read_snapshot(tmp_path) is None


def test_every_view_can_be_made_again_from_the_log_of_events(tmp_path):
    path = tmp_path / "events.jsonl"
    log, live = EventLog(path), RunStatistics()
    bundle = Bundle(7, "node000", ((3, 1), (4, 1), (9, 2)))
    events = made_up_run(tmp_path)
    now = time.monotonic()
    events[-1:-1] = [HandedOut((bundle,), now)]
    for event in (replace(each, now=now) for each in events):
        log.notify(event)
        live.notify(event)
    log.close()
    with path.open("a") as file:
        file.write('{"event": "NodeRe')  # its driver was killed
    again = None
    for epoch, event in read_events(path):
        again = again or RunStatistics(epoch=epoch)
        again.notify(event)
    made, kept = again.snapshot(), live.snapshot()
    # What UTF-8 can't hold is written escaped.
    assert json.loads(made.as_json())["recent"] == json.loads(kept.as_json())["recent"]
    for each in fields(made):
        if each.name not in ("errors", "warnings", "message", "happenings", "started", "updated",
                             "returned",
                             "driver_started", "epoch", "series", "settings"):  # fmt: skip
            assert getattr(made, each.name) == getattr(kept, each.name), each.name
    assert made.series.succeeded == kept.series.succeeded
    assert [each.count for each in made.errors] == [each.count for each in kept.errors]
    assert len(made.happenings) == len(kept.happenings)
    assert next(e for _, e in read_events(path) if isinstance(e, HandedOut)).bundles[0].entries


def test_a_snapshot_is_read_as_it_was_written():
    observer = shown(
        started(experiment="trial", folder="/runs/run-1"),
        NodeReady("node000", 2, 1.0),
        ProcessReady(PROCESS, 0.5, 1.5),
        HandedOut((Bundle(1, "node000", ((5, 1),)),), 1.5),
        BundleReturned(0, PROCESS, (outcome(0, 3.0), outcome(1, 4.0, Status.RAISED)), 2.0, 4.0),
        progress=PROGRESS[1],
    )
    made = observer.snapshot(5.0)
    assert from_json(made.as_json()) == made


@pytest.mark.parametrize(
    "broken",
    [
        {"latency": {"x": 1}}, {"latency": {"99999": 1}}, {"started": 1e300}, {"message": ["x"]},
        {"recent": [[1, 2]]}, {"series": {"start": 0.0, "width": 0.0}}, {"results": "many"},
        {"series": {"start": 0.0, "width": 1.0, "succeeded": [1], "failed": [], "items": [1]}},
        {"slowest": [[1, 1, 0, 7, 0.0, 1.0, 1.0, 0.0]]},
    ],
)  # fmt: skip
def test_a_file_that_others_have_written_is_none_and_ends_no_run(tmp_path, broken):
    observer = StatisticsFile(tmp_path)
    observer.notify(started())
    observer.write()
    path = tmp_path / "sys" / "statistics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **broken}))
    assert read_snapshot(tmp_path) is None
    StatisticsFile(tmp_path).notify(started(resumed=True))


def test_secrets_of_urls_are_in_none_of_the_files(tmp_path):
    url = "https://me:hush@host/x?token=hush"
    log, kept = EventLog(tmp_path / "sys" / "events.jsonl"), ReportFile(tmp_path)
    group = ErrorGroup(url, url, 1, 0, 1, "", url)
    report = Report(RunStatus.FAILED, url, errors=(group,), warnings=(url,))
    bad = outcome(0, 3.0, Status.RAISED)._replace(error=Failure(url, url, url, url))
    for event in (
        started(), Note(url, 0.5), NodeReady("node000", 1, 1.0), NodeLost("node000", url, 1.5),
        BundleReturned(0, PROCESS, (bad,), 1.0, 2.0, (url,), url), StopAsked(url, False, 2.5),
        RunEnded(report, 3.0),
    ):  # fmt: skip
        log.notify(event)
        kept.notify(event)
    log.close()
    for path in (tmp_path / "sys" / "events.jsonl", tmp_path / "sys" / "statistics.json",
                 tmp_path / "report.html"):  # fmt: skip
        assert "hush" not in path.read_text(), path


def test_a_pipe_in_the_place_of_a_file_holds_nothing_up(tmp_path):
    (tmp_path / "sys").mkdir()
    for name in ("events.jsonl", "statistics.json"):
        os.mkfifo(tmp_path / "sys" / name)
    assert read_snapshot(tmp_path) is None
    assert EventTail(tmp_path / "sys" / "events.jsonl").read() == []
    log = EventLog(tmp_path / "sys" / "events.jsonl")
    log.notify(started())
    log.close()
    assert len(list(read_events(tmp_path / "sys" / "events.jsonl"))) == 1
