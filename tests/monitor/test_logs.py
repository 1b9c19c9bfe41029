import csv
import time
from dataclasses import replace

import pytest

from daskrun.core.events import (
    BundleReturned,
    InitFailed,
    NodeLost,
    NodeReady,
    Note,
    Resumed,
    RunEnded,
)
from daskrun.core.minibatch import FilePaths, MiniBatch, PlanInput
from daskrun.core.outcome import Failure, Outcome, ProcessInfo, Status
from daskrun.core.report import ErrorGroup, Progress, Report, RunStatus
from daskrun.monitor.attempts import COLUMNS
from daskrun.monitor.logs import LogWriter, errors_text, overview, result_text
from daskrun.monitor.pace import duration
from daskrun.monitor.words import bar_line

PROCESS = ProcessInfo("node000", "process001", 42, 0.0, "part")


def success(index, items=5, results=5):
    return Outcome(index, 1, 0, items, results, 0, 10, 0, 0, 1.0, 0.25, 0.125, 0.0625, None)


def failure(index, attempt=1, message="ValueError: bad", where="score.py:7", status=Status.RAISED):
    error = Failure(message, "ValueError", where, f"Traceback\n{message}")
    return Outcome(index, attempt, status, 5, 0, -1, 0, 0, 0, 1.0, 0.5, 0.5, 0.0, error)


def bundle(*outcomes, process=PROCESS):
    return BundleReturned(1, process, outcomes, 1.0, 1.0)


def report(**changes):
    values = {
        "status": RunStatus.FAILED,
        "message": "3 failed items, error_threshold=2.",
        "total": 10,
        "succeeded": 4,
        "failed": 1,
        "unfinished": 5,
        "items": 25,
        "items_succeeded": 20,
        "items_failed": 5,
        "attempts": 7,
        "retried": 2,
        "errors": (
            ErrorGroup(
                "ValueError: bad", "score.py:7", 3, 2, 1, "node000/process001", "Traceback\nx"
            ),
            ErrorGroup("OSError: gone", "", 1, -1, 1, "", ""),
        ),
        "warnings": ("fewer results than items",),
        "seconds": 75.0,
    }
    return Report(**{**values, **changes})


PROGRESS = Progress(10, 5, 4, 1, 0, 2, 25, 5, 60.0, 30.0)


def rows(logs):
    with (logs / "sys" / "job_report" / "processed_mini-batches.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_for_each_attempt(tmp_path):
    writer = LogWriter(tmp_path)
    writer.notify(bundle(success(0), success(1, items=5, results=3), success(2, 5, 7)))
    awkward = 'KeyError: "a",\nb;\udc80'
    writer.notify(bundle(failure(3, 2, awkward), failure(4, status=Status.TIMED_OUT), process=None))
    writer.close()

    found = rows(tmp_path)
    assert tuple(found[0]) == COLUMNS
    assert [row["Mini-batch Id"] for row in found] == ["0", "1", "2", "3", "4"]
    assert [row["Succeeded"] for row in found] == ["5", "3", "5", "0", "0"]
    assert [row["Failed"] for row in found] == ["0", "2", "0", "5", "5"]
    assert found[0] == {
        "Mini-batch Id": "0",
        "Picked Count": "1",
        "Process": "node000/process001",
        "Process Start Time (UTC)": "1970-01-01 00:00:00",
        "Total": "5",
        "Succeeded": "5",
        "Failed": "0",
        "Elapsed Seconds": "0.250000",
        "Process Seconds": "0.250000",
        "Run Method Seconds": "0.125000",
        "Status": "Succeeded",
        "Error Category": "",
        "Error Message": "",
        "Mini-batch Detail": "mini-batch 0",
    }
    assert found[3]["Picked Count"] == "2"
    assert found[3]["Process"] == ""
    assert found[3]["Error Message"] == 'KeyError: "a",\\nb;\\udc80'
    assert found[3]["Error Category"] == "User error"
    assert found[3]["Mini-batch Detail"] == "mini-batch 3, score.py:7"
    assert found[4]["Error Category"] == "Time-out"


def test_a_run_that_goes_on_keeps_the_rows(tmp_path):
    for index in range(2):
        writer = LogWriter(tmp_path)
        writer.notify(bundle(success(index)))
        writer.close()
    assert [row["Mini-batch Id"] for row in rows(tmp_path)] == ["0", "1"]


def test_files_are_true_while_the_run_goes_on(tmp_path):
    writer = LogWriter(tmp_path)
    writer.notify(bundle(success(0), failure(1)))
    writer.notify(InitFailed(PROCESS, Failure("ImportError: x", text="trace"), 1.0))
    writer.progress(PROGRESS)
    assert len(rows(tmp_path)) == 2
    assert "handed out         5" in (tmp_path / "job_progress_overview.txt").read_text()
    errors = (tmp_path / "job_error.txt").read_text()
    assert "1. score.py:7: ValueError: bad\nfirst in mini-batch 1, attempt 1" in errors
    assert "2. ImportError: x\nfirst in init() on node000/process001" in errors
    assert not (tmp_path / "job_result.txt").exists()
    writer.close()


def test_the_overview_is_not_written_more_than_once_a_second(tmp_path):
    writer = LogWriter(tmp_path)
    writer.progress(PROGRESS)
    (tmp_path / "job_progress_overview.txt").unlink()
    writer.progress(PROGRESS)
    assert not (tmp_path / "job_progress_overview.txt").exists()
    writer.notify(RunEnded(report(), 1.0))  # the end writes it all the same
    assert (tmp_path / "job_progress_overview.txt").exists()
    writer.close()


def test_the_end(tmp_path):
    writer = LogWriter(tmp_path)
    writer.notify(RunEnded(report(), 1.0))
    writer.close()
    result = (tmp_path / "job_result.txt").read_text()
    assert result.startswith("Failed: 3 failed items, error_threshold=2.\nWarning: fewer results")
    assert "10: 4 succeeded, 1 failed, 5 unfinished" in result
    assert "25: 20 succeeded, 5 failed" in result
    assert "score.py:7: 3 times such as ValueError: bad\n" in result
    assert str(tmp_path / "job_error.txt") in result
    assert "1 min 15 s" in result
    errors = (tmp_path / "job_error.txt").read_text()
    assert (
        "first in mini-batch 2, attempt 1 on node000/process001\n\n    Traceback\n    x\n" in errors
    )


def test_nothing_went_wrong(tmp_path):
    assert errors_text(()) == "No errors.\n"
    assert "Errors" not in result_text(report(errors=(), warnings=()), tmp_path)


def test_many_errors_are_named_as_more(tmp_path):
    groups = tuple(ErrorGroup(f"E{n}: x", "", 1 + n // 7, n, 1, "", "") for n in range(8))
    text = result_text(report(errors=groups), tmp_path)
    assert text.index("E7: x") < text.index("E0: x")  # the most frequent
    assert "E3: x" in text
    assert "E4: x" not in text
    assert "and 3 more" in text


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (60, "1 min 0 s"),
        (3725, "1 h 2 min"),
        (float("inf"), "unknown time"),
    ],
)
def test_durations(seconds, expected):
    assert duration(seconds) == expected


def test_bar():
    assert bar_line(PROGRESS) == (
        "[###############...............] 5/10 mini-batches (50 %), 1 failed, 2 tried again, "
        "1 min 0 s, 30.0 s left"
    )
    assert bar_line(Progress(None, 0, 0, 0, 0, 0, 0, 0, 1.0, None)) == "finding mini-batches, 1.0 s"
    unknown = Progress(None, 3, 3, 0, 0, 0, 3, 0, 1.0, None)
    assert bar_line(unknown) == "3 mini-batches, 1.0 s"
    assert "not known yet" in overview(unknown)
    building = Progress(4, 0, 0, 0, 0, 0, 0, 0, 0.0, None, "building 'x', 9 s: Collecting y")
    assert bar_line(building).endswith("0/4 mini-batches (0 %), building 'x', 9 s")
    again = Progress(4, 1, 0, 0, 0, 0, 0, 0, 1.0, None, building.preparing)
    assert bar_line(again).endswith(", building 'x', 9 s, 1.0 s")
    nearly = Progress(1000, 999, 999, 0, 0, 0, 3, 0, 1.0, None)
    assert "(99 %)" in bar_line(nearly)


def test_a_row_costs_microseconds(tmp_path):
    writer = LogWriter(tmp_path)
    event = bundle(*[success(n) for n in range(20_000)])
    began = time.process_time()
    writer.notify(event)
    took = time.process_time() - began
    writer.close()
    assert len(rows(tmp_path)) == 20_000
    # Measured: 2 µs. Ten times that would be a mistake, not a slow machine.
    assert took < 20_000 * 20e-6


class ThreeFiles:
    """A plan of three mini-batches of two files."""

    inputs = (PlanInput("in", "/data", remote=False, storage_options={}),)

    def __getitem__(self, index):
        names = (f"a{index}.txt", f"b{index}.txt")
        return MiniBatch(index, 0, FilePaths(names), 2, 10)


def test_the_items_that_failed_can_be_found_and_run_again(tmp_path):
    writer = LogWriter(tmp_path, ThreeFiles(), tries=1)
    writer.notify(bundle(success(0), failure(1), failure(2)))
    writer.notify(RunEnded(report(), 1.0))
    writer.close()
    listed = tmp_path / "failed_items.txt"
    paths = ["/data/a1.txt", "/data/b1.txt", "/data/a2.txt", "/data/b2.txt"]
    assert listed.read_text().splitlines() == paths
    assert rows(tmp_path)[1]["Mini-batch Detail"].endswith("/data/a1.txt ... /data/b1.txt")
    assert str(listed) in (tmp_path / "job_result.txt").read_text()


def test_a_mini_batch_with_too_few_results_can_be_found(tmp_path):
    writer = LogWriter(tmp_path, ThreeFiles())
    writer.notify(bundle(success(0, items=2, results=2), success(1, items=2, results=1)))
    writer.close()
    details = [row["Mini-batch Detail"] for row in rows(tmp_path)]
    assert details == ["mini-batch 0", "mini-batch 1, /data/a1.txt ... /data/b1.txt"]


def test_a_mini_batch_that_will_be_tried_again_has_not_failed(tmp_path):
    writer = LogWriter(tmp_path, ThreeFiles(), tries=2)
    writer.notify(bundle(failure(1)))
    writer.close()
    assert not (tmp_path / "failed_items.txt").exists()


def test_what_happened_to_nodes_is_told_line_by_line(tmp_path):
    writer = LogWriter(tmp_path)
    writer.notify(NodeReady("node000", 2, 0.0, where="tcp://10.0.0.1:1"))
    writer.notify(bundle(success(0)))
    writer.notify(Note("the Dask dashboard is at http://127.0.0.1:1/status", 1.0))
    writer.notify(NodeLost("node000", "it left the cluster", 2.0))
    writer.close()
    lines = (tmp_path / "sys" / "happenings.txt").read_text().splitlines()
    assert [line.split(" UTC  ")[1] for line in lines] == [
        "node000 is ready on tcp://10.0.0.1:1 with 2 script processes",
        "the Dask dashboard is at http://127.0.0.1:1/status",
        "node000 is lost: it left the cluster",
    ]


@pytest.mark.parametrize("torn", [b"", b"7,1,node000/pro", b'7,1,n,s,5,0,5,1,1,1,Failed,x,"half\n'])
def test_a_later_driver_goes_on_with_the_same_files(tmp_path, torn):
    first = LogWriter(tmp_path, tries=2)
    first.notify(bundle(success(0), failure(1, message='a "quoted"\nmessage'), failure(2)))
    first.close()
    table = tmp_path / "sys" / "job_report" / "processed_mini-batches.csv"
    whole = table.read_bytes()
    table.write_bytes(whole + torn)
    again = LogWriter(tmp_path, tries=2, advice=lambda _: "Go on.")
    again.go_on(lambda: [(failure(1), PROCESS), (success(3, results=4), PROCESS)])
    again.notify(bundle(failure(1, attempt=2), success(4)))
    again.progress(Progress(5, 5, 3, 1, 0, 1, 25, 5, 1.0, None))
    again.close()
    assert table.read_bytes().startswith(whole)
    with table.open(newline="") as file:
        rows = list(csv.reader(file))
    assert [row[:2] for row in rows[1:]] == [
        ["0", "1"],
        ["1", "1"],
        ["2", "1"],
        ["1", "2"],
        ["4", "1"],
    ]
    assert [row[0] for row in rows].count(COLUMNS[0]) == 1
    told = (tmp_path / "job_error.txt").read_text()
    assert "2 times such as ValueError: bad" in told
    assert "run() returned 4 results for 5 items" in told
    assert "goes on with the run" in (tmp_path / "sys" / "happenings.txt").read_text()


@pytest.mark.parametrize("failed", [(), (0, 2)])
def test_a_later_driver_lists_the_items_that_have_failed_by_then(tmp_path, failed):
    listed = tmp_path / "failed_items.txt"
    listed.write_bytes(b"/data/a1.txt\n/data/b1.t")
    writer = LogWriter(tmp_path, ThreeFiles(), tries=1)
    writer.go_on(lambda: [(failure(index), PROCESS) for index in (0, 1, 2)])
    assert listed.exists()
    writer.notify(Resumed(failed, 0.0))
    assert listed.exists() is bool(failed)
    writer.notify(bundle(failure(1)))
    writer.close()
    paths = [f"/data/{name}{n}.txt" for n in (*failed, 1) for name in "ab"]
    assert listed.read_text().splitlines() == paths


def test_progress_of_a_script_speaks_of_the_script():
    runs = Progress(1, 1, 0, 0, 1, 0, 0, 0, 2.0, None, script="prepare.py")
    assert bar_line(runs) == "prepare.py runs, 2.0 s"
    assert bar_line(replace(runs, failed=1, in_flight=0)) == "prepare.py has ended, 2.0 s"
