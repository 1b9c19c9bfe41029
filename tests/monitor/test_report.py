"""The report: its figures, its sentences, and that no text of a user becomes markup."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import jinja2
import pytest
from jinja2 import FileSystemLoader

from daskrun.core.events import (
    Bundle,
    BundleReturned,
    HandedOut,
    NodeReady,
    ProcessReady,
    RunEnded,
    RunStarted,
)
from daskrun.core.outcome import Failure, Outcome, ProcessInfo, Status
from daskrun.core.report import ErrorGroup, Progress, Report, RunStatus
from daskrun.core.settings import RunSettings
from daskrun.monitor.findings import KINDS, efficiency, findings, shares
from daskrun.monitor.plot_data import USAGE_ROWS, progress, throughput, timeline, usage
from daskrun.monitor.report import (
    REPORT,
    ReportFile,
    StepView,
    _compiled,
    details_html,
    report_html,
    steps,
    summary_html,
)
from daskrun.monitor.snapshot import read_snapshot
from daskrun.monitor.statistics import RunStatistics
from daskrun.testing.contracts.observers import PROGRESS, ObserverContract, made_up_run

EVIL = "<img src=x onerror=alert(1)>\x1b[2J"
EPOCH = 1_700_000_000.0


class TestReportFile(ObserverContract):
    def make_observer(self, folder):
        return ReportFile(folder)


def made(
    count=100, run=0.1, load=0.0, write=0.0, failed=0, init=0.0, seconds=None, processes=2,
    size=10, longest=None, total=None, late=0,
):  # fmt: skip
    """Return the snapshot of a run that was like this, its slots at work all the time."""
    each = run + load + write
    seconds = seconds if seconds is not None else init + count * each / processes
    observer = RunStatistics(epoch=EPOCH)
    settings = RunSettings(entry_script="score.py", mini_batch_size=size)
    observer.notify(RunStarted("run-1", "score", settings, count, 0.0))
    observer.notify(NodeReady("node000", processes, 0.0))
    again = Bundle(count, "node000", tuple((n, 1) for n in range(late)), backup=True)
    observer.notify(HandedOut((again,) if late else (), 0.0))
    for number in range(processes):
        process = ProcessInfo("node000", f"process{number:03}", number, EPOCH, "")
        observer.notify(ProcessReady(process, init, init))
        outcomes = []
        for n in range(number, count, processes):
            status = Status.RAISED if n < failed else Status.SUCCEEDED
            error = Failure("ValueError: bad", "ValueError", "score.py:3") if status else None
            took = longest if longest and n == count - 1 else run
            began = EPOCH + init + n // processes * each
            outcomes.append(
                Outcome(n, 1, status, 1, 1, 0, 10, 0, 0, began, took + load + write, took, load,
                        error)
            )  # fmt: skip
        observer.notify(BundleReturned(number, process, tuple(outcomes), seconds, seconds))
    total = count if total is None else total
    observer.progress(Progress(total, count, count - failed, failed, 0, 0, count, 0, seconds, None))
    return observer.snapshot(seconds)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ({"run": 0.1, "failed": 50}, "50 % of the time went into attempts that failed"),
        ({"run": 0.01, "init": 10.0}, "init(), 10.0 s in each of 2 processes"),
        ({"run": 0.05, "load": 0.15}, "Reading data takes longer than run(): 75 %"),
        ({"run": 0.1, "write": 0.1}, "50 % of the time went into writing 0.0 MB"),
        ({"count": 10, "processes": 8, "run": 1.0, "seconds": 10.0}, "more processes won't help"),
        ({"count": 1000, "run": 0.001, "seconds": 1.0}, "mini_batch_size=2000 (it was 10)"),
        ({"count": 1000, "run": 0.001, "seconds": 1.0, "size": 10_000}, "mini_batch_size='2MB'"),
        ({"run": 0.1, "longest": 20.0, "seconds": 25.0}, "Mini-batch 99 took 20.0 s, where 95 %"),
        ({"count": 3, "run": 1.0, "seconds": 9.0, "size": 1}, "won't help. Use fewer."),
        ({"count": 3, "run": 1.0, "seconds": 9.0}, "Use fewer, or write a smaller mini_batch_size"),
        ({"late": 8, "seconds": 12.0}, "that were held up ran once more, 8 times in all, while"),
    ],
)
def test_what_stands_out_is_told_with_its_figures(run, words):
    told = findings(made(**run))
    assert any(words in text for text in told), told


@pytest.mark.parametrize(
    "run",
    [
        {},
        {"load": 0.01, "write": 0.01},
        {"failed": 3},
        {"count": 5},
        {"count": 3, "run": 0.1, "seconds": 4.0},  # what it took was its start
    ],
)
def test_nothing_is_said_of_a_run_that_went_well(run):
    assert findings(made(**run)) == []


def test_nothing_is_said_before_there_is_a_basis():
    assert findings(RunStatistics().snapshot()) == []
    assert efficiency(RunStatistics().snapshot()) is None
    assert report_html(RunStatistics().snapshot())


def test_shares_add_up_and_efficiency_is_that_of_run():
    snapshot = made(run=0.1, load=0.05, write=0.05, failed=10, init=1.0, seconds=15.0)
    found = shares(snapshot)
    assert list(found) == list(KINDS)
    assert sum(found.values()) == pytest.approx(1)
    assert efficiency(snapshot) == pytest.approx(90 * 0.1 / (15 * 2))


def test_the_figures_are_those_of_the_ledger():
    snapshot = made(count=100, failed=3)
    columns = progress(snapshot)
    assert dict(zip(columns["name"], columns["count"], strict=True)) == {
        "succeeded": 97,
        "failed": 3,
        "in flight": 0,
        "not begun": 0,
    }
    text = report_html(snapshot)
    assert "succeeded <b>97</b>" in text
    assert "failed <b>3</b>" in text


def test_throughput_adds_up_to_what_was_done():
    snapshot = made(count=100, failed=3)
    columns, width = throughput(snapshot), snapshot.series.width
    assert sum(columns["succeeded"]) * width == pytest.approx(97)
    assert sum(columns["failed"]) * width == pytest.approx(3)
    assert len(timeline(snapshot)["index"]) == 100


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.names, self.links = [], []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href") or k.startswith("on")]


def evil():
    """Return a run in which every text that comes from users is markup."""
    observer = RunStatistics(epoch=EPOCH)
    settings = RunSettings(entry_script=EVIL, environment_variables={EVIL: EVIL})
    process = ProcessInfo(EVIL, EVIL, 1, EPOCH, "")
    error = Failure(EVIL, EVIL, EVIL, EVIL)
    bad = Outcome(0, 1, Status.RAISED, 1, 0, -1, 0, 0, 0, EPOCH, 1.0, 1.0, 0.0, error)
    group = ErrorGroup(EVIL, EVIL, 1, 0, 1, EVIL, EVIL)
    report = Report(RunStatus.FAILED, EVIL, errors=(group,), warnings=(EVIL,))
    for event in (
        RunStarted(EVIL, EVIL, settings, 1, 0.0, EVIL, EVIL, EVIL),
        NodeReady(EVIL, 1, 0.0, EVIL),
        BundleReturned(0, process, (bad,), 1.0, 2.0),
        RunEnded(report, 3.0),
    ):
        observer.notify(event)
    return observer.snapshot()


@pytest.mark.parametrize("make", [report_html, summary_html])
def test_no_text_of_a_user_is_markup(make):
    page = make(evil())
    tags = Tags()
    tags.feed(page)
    assert "img" not in tags.names
    assert "script" not in tags.names
    assert tags.links == []  # nor does it load anything
    assert "\x1b" not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") >= 5


def test_a_report_is_written_at_the_end_and_can_be_made_again(tmp_path):
    observer = ReportFile(tmp_path)
    for event in made_up_run(tmp_path):
        observer.notify(event)
        observer.progress(PROGRESS[1])
    observer.close()
    text = (tmp_path / REPORT).read_text()
    assert text == report_html(read_snapshot(tmp_path))
    assert re.search("<title>score: Failed</title>", text)
    assert "hush" not in text


def test_what_processes_used_is_read_from_the_files_of_nodes(tmp_path):
    folder = tmp_path / "logs" / "sys" / "perf" / "node000"
    folder.mkdir(parents=True)
    (folder / "processes_resource_usage.csv").write_text(
        "Time (UTC),Process,Pid,Cores Used,Memory (MB)\n"
        "2026-01-01 00:00:30,process000,17,0.50,120\n"
        "00:30:00,process001,18,0.50,120\n"  # its head was cut off
        "2026-01-01 00:01:00,process000,17,0.5,"  # it is just being written
    )
    for number in range(3):
        other = folder.with_name(f"other{number}")
        other.mkdir()
        line = "2026-01-01 00:00:30,process000,17,1.00,1\n"
        (other / "processes_resource_usage.csv").write_text("head\n" + line * 5000)
    observer = RunStatistics()
    observer.notify(
        RunStarted("r", "s", RunSettings(entry_script="s.py"), 1, 0.0, folder=str(tmp_path))
    )
    html = report_html(observer.snapshot())
    assert "Memory of each script process" in html
    assert "most: 120<" in html
    columns = usage(observer.snapshot())
    assert set(columns["process"]) == {f"{each}/process000" for each in
                                       ("node000", "other0", "other1", "other2")}  # fmt: skip
    assert (columns["cores"][0], columns["memory"][0]) == (0.5, 120.0)
    assert len(columns["time"]) <= USAGE_ROWS


@pytest.mark.parametrize(
    ("address", "link"),
    [("http://127.0.0.1:8787/status", 'href="http://127.0.0.1:8787/daskrun"'),
     ("javascript:alert(1)", ""), ('http://x"><script>/status', "&#34;&gt;&lt;script&gt;/daskrun")],
)  # fmt: skip
def test_a_run_that_goes_on_has_a_link_to_its_page(address, link):
    going = replace(made(), status=RunStatus.RUNNING, dashboard=address)
    html = summary_html(going)
    assert link in html
    assert ("<a " in html) == bool(link)
    assert "<script" not in html
    assert "<a " not in summary_html(replace(going, status=RunStatus.COMPLETED))


def test_a_run_of_nothing_has_neither_empty_plots_nor_advice():
    html = report_html(made(count=0, init=5.0))
    assert "Nothing stands out" in html
    assert "Mini-batches per second" not in html
    assert "Longest" not in html


def test_an_arrow_leads_to_a_step_that_waits_for_the_one_before():
    after = {"a": (), "b": (), "c": ("b",), "d": ("a", "c")}
    views = [StepView(name, "Completed", "", after[name], None, "") for name in after]
    html = details_html("r", "Completed", "", views, {})
    graph = re.sub("<[^>]+>", "", html[html.index('title="') :]).splitlines()[0]
    assert graph.partition(">")[2] == "a · b → c · d after a, c"


def test_steps_stay_in_the_plot():
    path = steps([0, 5, 10], 10)
    heights = [float(each) for each in re.findall(r"V([\d.]+)", path)]
    assert heights == [120, 60, 0, 120]
    assert steps([], 0) == ""


def test_metrics_of_any_size_and_number_are_drawn():
    html = details_html("r", "Completed", "", [], {
        "huge": [10**400, 10**400], "many": [float(n) for n in range(100_000)]
    })  # fmt: skip
    assert "many" in html
    assert len(html) < 100_000


def test_templates_are_compiled_once(tmp_path, monkeypatch):
    """That takes 0.1 s; where they can't be kept, each process does it."""
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    (tmp_path / "a.html").write_text("<p>{{ name }}</p>")
    (tmp_path / "file").touch()

    def rendered(folder):
        kept = _compiled(folder)
        made = jinja2.Environment(loader=FileSystemLoader(tmp_path), bytecode_cache=kept)
        if folder.name == "gone":
            folder.rmdir()
        return made.get_template("a.html").render(name="b")

    for name in ("kept", "gone", "file/in"):
        assert rendered(tmp_path / name) == "<p>b</p>"
    monkeypatch.setattr(jinja2.Environment, "_generate", lambda *_, **__: pytest.fail("compiled"))
    assert rendered(tmp_path / "kept") == "<p>b</p>"
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    assert _compiled(tmp_path / "other") is None
