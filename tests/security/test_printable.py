"""No name, exception or output of a script acts on a terminal, or forges a line of a log."""

import csv
import io
import logging
from pathlib import Path

import pytest

from daskrun import Dataset, errors
from daskrun.core.events import BundleReturned, NodeLost, RunEnded
from daskrun.core.logs import get_logger
from daskrun.core.minibatch import FilePaths, MiniBatch, PlanInput
from daskrun.core.outcome import Failure, ProcessInfo, Status, Times, failed
from daskrun.core.report import Progress, Report, RunStatus
from daskrun.core.tally import Tally
from daskrun.monitor.console import LineDisplay
from daskrun.monitor.failed_items import LISTED
from daskrun.monitor.logs import LogWriter
from daskrun.monitor.words import bar_line
from daskrun.pipeline.execution import lifetime
from daskrun.pipeline.runs.metrics import OfflineRun
from daskrun.shown.printable import one_line, printable

NASTY = "a\x1b[2J\x9b1m\u202eb\u2066\u200f\r\x07\x00\x85\u2028\ufeffc"
SAFE = r"a\x1b[2J\x9b1m\u202eb\u2066\u200f\r\x07\x00\x85\u2028\ufeffc"
PROCESS = ProcessInfo("node000", "process000", 1, 0.0, "")


def test_what_a_terminal_obeys_or_hides_is_shown():
    assert printable(NASTY) == SAFE
    assert printable("\udc80 \n\t日本 é\u00a0") == "\\udc80 \n\t日本 é\u00a0"
    assert one_line("a\n\tb") == r"a\n\tb"


def every_error():
    """Return one of each class, with something nasty where names and data go."""
    special = {
        errors.SettingsError: ("s", [f"x={NASTY}", "y"]),
        errors.WrongArgumentsError: ("s", [f"x={NASTY}", "y"]),
        errors.NameNotFoundError: ("model", "m", [NASTY]),
        errors.WrongResultError: ("x", NASTY),
        errors.RunFailedError: ("id", NASTY),
        errors.RunCanceledError: ("id", NASTY),
    }
    kinds = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.DaskrunError)
    ]
    return [kind(*special.get(kind, (NASTY,))) for kind in kinds]


@pytest.mark.parametrize("error", every_error(), ids=lambda error: type(error).__name__)
def test_messages_are_printable(error):
    assert "\x1b" not in str(error)
    assert "\\x1b" in str(error)
    assert "\u202e" not in str(error)


class OneFile:
    known, complete = 1, True
    inputs = (PlanInput("in", "/data", remote=False, storage_options={}),)

    def __getitem__(self, index):
        return MiniBatch(index, 0, FilePaths((f"{NASTY}\nforged.csv", "\udcff")), 2, 10)


def test_text_logs_are_printable_and_csv_is_exact(tmp_path):
    failure = Failure(f"ValueError: {NASTY}\nforged", text=f"Traceback\n{NASTY}")
    outcome = failed(0, 1, Status.RAISED, 2, Times(*[0.0] * len(Times._fields)), failure)
    tally = Tally()
    tally.failure(outcome, PROCESS, final=True)
    errors_, warnings = tally.groups(), (NASTY,)
    report = Report(RunStatus.FAILED, NASTY, 1, failed=1, errors=errors_, warnings=warnings)
    writer = LogWriter(tmp_path, OneFile(), tries=1)
    writer.notify(BundleReturned(0, PROCESS, (outcome,), 1.0, 1.0))
    writer.notify(NodeLost("node000", f"{NASTY}\n2026-01-01 00:00:00 UTC  forged", 2.0))
    writer.progress(Progress(1, 1, 0, 1, 0, 0, 2, 2, 1.0, None, preparing=NASTY))
    writer.notify(RunEnded(report, 1.0))
    writer.close()
    for path in tmp_path.rglob("*.txt"):
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        assert printable(text.replace("\udcff", "")) == text.replace("\udcff", ""), path
        assert text == "" or SAFE in text, path
    assert len((tmp_path / "sys" / "happenings.txt").read_text().splitlines()) == 1
    listed = (tmp_path / "failed_items.txt").read_bytes().splitlines()
    assert listed == [f"/data/{SAFE}\\nforged.csv".encode(), b"/data/\xff"]
    with (tmp_path / "sys/job_report/processed_mini-batches.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert row["Error Message"] == failure.message
    assert f"/data/{NASTY}\nforged.csv" in row["Mini-batch Detail"]


def test_the_console_is_printable(capsys):
    file = io.StringIO()
    display = LineDisplay(file, interval=0)
    display.say(NASTY)
    display.show("step", Progress(None, 0, 0, 0, 0, 0, 0, 0, 1.0, None, preparing=f"{NASTY}\n"))
    lifetime.say(NASTY)
    OfflineRun().log(NASTY, NASTY)
    captured = capsys.readouterr()
    for text in (file.getvalue(), captured.out, captured.err):
        assert SAFE in text
        assert printable(text) == text
    assert file.getvalue().count("\n") == 2
    assert "\n" not in bar_line(Progress(1, 1, 0, 0, 0, 0, 0, 0, 1.0, None, preparing="a\nb"))


def test_what_is_logged_is_printable_and_without_secrets(caplog):
    logger = get_logger("daskrun.tried")
    assert get_logger("daskrun.tried").filters == logger.filters
    with caplog.at_level(logging.INFO, "daskrun.tried"):
        logger.info("%s at %s", NASTY, "gs://b/x?token=hunter2")
        try:
            raise ValueError(f"{NASTY} s3://KEY:hunter2@b")
        except ValueError:
            logger.exception("it failed")
        logger.info("%d left", 3)
    assert SAFE in caplog.text
    assert "hunter2" not in caplog.text
    assert "\x1b" not in caplog.text
    assert caplog.records[-1].args == (3,)


def test_no_module_has_a_logger_of_its_own_making():
    """Each goes by the one that is safe; the script's own logger writes what the script says."""
    root = Path(errors.__file__).parent
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if "logging.getLogger(" in path.read_text()
    }
    assert found == {"core/logs.py", "engine/dask/local_cluster.py", "script/entry_script.py"}


def test_a_representation_is_printable():
    dataset = Dataset.File.from_files(NASTY.replace("\0", ""), validate=False)
    assert printable(repr(dataset)) == repr(dataset)


BREAKS = "\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def test_no_exception_or_reason_forges_a_line_where_runs_are_told(tmp_path, capsys):
    forged = "".join(f"{char}FORGED" for char in BREAKS)
    failure = Failure(f"E: bad{forged}", where=f"a.py{forged}", ended=forged, text=f"T\n E{forged}")
    assert len(f"{failure.message}{failure.where}{failure.ended}".splitlines()) == 1
    assert Failure.from_plain(failure.plain()) == failure
    outcome = failed(0, 1, Status.RAISED, 2, Times(*[0.0] * len(Times._fields)), failure)
    tally = Tally()
    tally.failure(outcome, PROCESS, final=True)
    found, warned = tally.groups(), (f"odd{forged}",)
    report = Report(RunStatus.FAILED, f"no{forged}", 1, failed=1, errors=found, warnings=warned)
    writer = LogWriter(tmp_path, OneFile(), tries=1)
    writer.notify(BundleReturned(0, PROCESS, (outcome,), 1.0, 1.0))
    writer.notify(RunEnded(report, 1.0))
    writer.close()
    OfflineRun().log(f"loss{forged}", f"1{forged}")
    told = [path.read_text() for path in tmp_path.rglob("*.txt") if path.name != LISTED]
    for text in (*told, capsys.readouterr().out):
        assert not any(line.startswith("FORGED") for line in text.splitlines())
    assert sum("FORGED" in text for text in told) == 2
