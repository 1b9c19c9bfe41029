"""What a console says of a run: pace, what is left, what it waits for, and the summary."""

import io
import re
from dataclasses import replace

import pytest

from daskrun.core.report import ErrorGroup, Progress, RunStatus
from daskrun.monitor.console import LineDisplay, TerminalDisplay, make_display
from daskrun.monitor.pace import pace
from daskrun.monitor.snapshot import Series, SlotTimes
from daskrun.monitor.statistics import RunStatistics
from daskrun.monitor.words import bar_line, pipeline_summary, state_line, status_lines, summary

ERRORS = [
    ErrorGroup(f"ValueError: {n}\x1b[2J", f"score.py:{n}", 9 - n, 0, 1, "", "") for n in range(5)
]


def going(done=40, total=100, elapsed=8.0, eta=12.0, slots=2, **changes):
    """Return a run that goes on: five mini-batches a second, 0.4 s each."""
    progress = Progress(total, done + 4, done - 2, 2, 4, 3, done * 10, 20, elapsed, eta)
    values = {
        "status": RunStatus.RUNNING, "progress": progress, "slots": slots, "started": 100.0,
        "updated": 100.0 + elapsed, "latency": {50: done},
        "times": SlotTimes(slots=2 * elapsed, run=0.4 * done),
        "series": Series(100.0, 1.0, [5] * int(elapsed), [0] * int(elapsed), [50] * int(elapsed)),
        "seconds": elapsed, "driver_started": 100.0, "errors": ERRORS, "results": 380,
    }  # fmt: skip
    return replace(RunStatistics().snapshot(), **{**values, **changes})


def test_pace_and_what_is_left():
    found = pace(going())
    assert found.now == pytest.approx(5)
    assert found.overall == pytest.approx(5)
    assert found.left == (12.0, 12.0)
    slower = going(eta=30.0)
    assert pace(slower).left == (12.0, 30.0)
    assert "12.0 s to 30.0 s left" in bar_line(slower.progress, slower)


@pytest.mark.parametrize(
    "run",
    [
        {"elapsed": 1.0},
        {"done": 5},
        {"total": None},
        {"done": 100},
        {"status": RunStatus.COMPLETED, "done": 100},
        {"status": RunStatus.FAILED},  # also one whose driver was killed
        {"done": 99, "eta": 0.1, "returned": 107.0},
        {"returned": 95.0},
    ],
)
def test_nothing_is_said_of_what_is_left_without_a_basis(run):
    snapshot = going(**run)
    assert pace(snapshot).left is None
    assert "left" not in bar_line(snapshot.progress, snapshot)


def test_a_state_tells_what_works_and_what_is_waited_for():
    snapshot = going(waiting_for="a worker")
    assert state_line(snapshot.progress, snapshot) == (
        "400 items (20 failed), 5.0/s now, 5.0/s overall, 0 of 2 slots busy, 4 mini-batches in "
        "flight, waits for a worker"
    )
    all_done = replace(snapshot.progress, succeeded=99, failed=1, total=100)
    assert "waits" not in state_line(all_done, snapshot)
    assert state_line(snapshot.progress, None) == ""
    lines = status_lines(snapshot.progress, replace(snapshot, dashboard="http://x/status"))
    assert [line[:16] for line in lines[1:4]] == [f"{9 - n} × ValueError: "[:16] for n in range(3)]
    assert lines[-1] == "http://x/status"


def test_of_several_steps_each_is_told_and_the_most_frequent_errors():
    made = going(status=RunStatus.COMPLETED)
    steps = [(f"s{n}", RunStatus.COMPLETED, made, f"/out{n}") for n in range(9)]
    steps[1] = ("s1", RunStatus.CANCELED, None, None)
    program = replace(made, progress=replace(made.progress, script="merge.py"))
    assert pipeline_summary([("m", RunStatus.COMPLETED, program, "/out")])[0].startswith(
        "m: Completed, in /out"
    )
    lines = pipeline_summary(steps)
    assert lines[0].startswith("s0: Completed, 380 rows in /out0")
    assert lines[1] == "s1: Canceled"
    assert "and 4 more steps" in lines
    assert len(lines) <= 9
    assert sum("×" in line for line in lines) == 3


def test_what_is_not_put_together_is_not_said_to_be_written():
    lines = summary(going(status=RunStatus.CANCELED), "/out", "/logs/report.html")
    assert lines[0] == "380 rows are kept; no output is made of them yet"


def test_a_summary_is_short_and_says_what_to_do():
    lines = summary(going(status=RunStatus.COMPLETED), "/out", "/logs/report.html")
    assert lines[0] == "written: 380 rows, in /out"
    assert lines[1] == "took 8.0 s, 100 % of the processes' time in run()"
    assert lines[2] == "failed: 2 mini-batches, 20 items; 3 attempts retried"
    assert lines[3] == r"  9 × ValueError: 0\x1b[2J (score.py:0)"
    assert lines[-1] == "report: /logs/report.html"
    assert len(lines) <= 8


def test_files_get_no_control_character_and_narrow_windows_no_second_line(monkeypatch):
    file = io.StringIO()
    LineDisplay(file, interval=0).show("score", going().progress, going())
    assert re.fullmatch(r"[^\x00-\x09\x0b-\x1f]*\n", file.getvalue())
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    display = TerminalDisplay(terminal)
    display.show("score", going().progress, going())
    display.close()
    assert "score" in terminal.getvalue()
    assert "\x1b[3" not in terminal.getvalue()
    assert "\x1b[2J" not in terminal.getvalue()


def test_a_resumed_run_is_measured_by_its_present_driver():
    before = 10_000
    day = 86_400.0
    series = Series(100.0, 256.0, [30] * 300 + [0] * 40, [0] * 340, [0] * 340)
    resumed = going(
        latency={50: before + 40}, attempts_before=before, driver_started=100.0 + day,
        updated=108.0 + day, series=series, seconds=1008.0,
    )  # fmt: skip
    found = pace(resumed)
    assert found.overall == pytest.approx(5)
    assert found.now is None  # no interval is as short as that
    assert "took 16 min 48 s" in summary(resumed, None, "r")[0]


def test_a_dumb_terminal_gets_lines(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_display(terminal), LineDisplay)


def test_long_messages_are_cut():
    long = replace(ERRORS[0], message="x" * 4000)
    assert max(map(len, summary(going(errors=[long]), "/out", "r"))) < 300
