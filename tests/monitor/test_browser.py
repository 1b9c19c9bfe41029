"""The dashboard's page and the report as a browser shows them (Chromium, by playwright)."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daskrun.engine.journal_records import read_attempts
from daskrun.monitor.snapshot import read_snapshot

pytestmark = pytest.mark.slow
SCREENSHOTS = Path(__file__).parents[2] / "screenshots"
"""Ignored by git: to be looked at by whoever changes a page."""
QUIET = (
    "could not set initial ranges", "Websocket connection", "log level", "document idle",
    "rendered successfully",
)  # fmt: skip
"""What bokeh says of itself."""
PROGRAM = """
import os, sys
from daskrun import *

name, folder = sys.argv[1:]
os.chdir(folder)
ws = Workspace.from_config()
files = Dataset.File.from_files("files").as_named_input("files")
config = ParallelRunConfig(
    entry_script="score.py", mini_batch_size=1, error_threshold=-1, run_max_try=2,
    output_action="append_row", process_count_per_node=3, resource_monitor_interval=1,
    straggler_backups=False,
)
step = ParallelRunStep(name, config, inputs=[files], output=PipelineData("out"))
run = Experiment(ws, "trial").submit(Pipeline(ws, [step]))
print(run.get_steps()[0].folder, flush=True)
run.wait_for_completion()
"""
SCRIPT = """
import os, time

def run(mini_batch):
    while "slow" in str(mini_batch[0]) and not os.path.exists({go!r}):
        time.sleep(0.05)
    time.sleep(0.1)  # so that bundles stay small: none waits behind another's
    if "bad" in str(mini_batch[0]):
        raise ValueError("<img src=x onerror=document.title='taken'>")
    return mini_batch
"""


@pytest.fixture(scope="module")
def browser():
    """Start Chromium; skip where there is none."""
    sync = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium here (Debian's package chromium)")
    SCREENSHOTS.mkdir(exist_ok=True)
    with sync.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


class Pages:
    """Opens pages, and notes what their consoles say and what they ask other servers for."""

    def __init__(self, browser):
        self._browser = browser
        self.said, self.asked = [], []

    def open(self, address, name, scheme="light"):
        context = self._browser.new_context(
            color_scheme=scheme, viewport={"width": 1300, "height": 1000}
        )
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(address)
        page.wait_for_timeout(500)
        page.screenshot(path=SCREENSHOTS / f"{name}-{scheme}.png", full_page=True)
        return page

    @property
    def complaints(self):
        return [text for text in self.said if not any(each in text for each in QUIET)]


@pytest.fixture
def pages(browser):
    return Pages(browser)


def begin(folder, name):
    """Start a run in a process of its own; return that, the step's folder, and its dashboard."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, name, folder], stdout=subprocess.PIPE, text=True
    )
    step = Path(process.stdout.readline().strip())
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        snapshot = read_snapshot(step / "logs")
        if snapshot is not None and snapshot.dashboard and snapshot.errors:
            return process, step, snapshot.dashboard.removesuffix("daskrun")
        time.sleep(0.1)
    raise AssertionError("the run doesn't begin")


@pytest.fixture
def folder(tmp_path):
    """Return a folder with 20 files, 3 of them bad, 2 that wait for the file ``go``."""
    (tmp_path / "files").mkdir()
    names = [f"file-{n}" for n in range(15)] + [f"bad-{n}" for n in range(3)]
    for name in [*names, "slow-1", "slow-2"]:
        (tmp_path / "files" / name).write_text(name)
    (tmp_path / "score.py").write_text(SCRIPT.format(go=str(tmp_path / "go")))
    return tmp_path


def counts(step):
    """Return mini-batches that have succeeded and those that have used up their two tries."""
    attempts = [each.outcome for each in read_attempts(step / "journal")]
    done = sum(not each.status for each in attempts)
    return done, sum(each.status > 0 and each.attempt == 2 for each in attempts)


def test_the_page_agrees_with_the_journal_in_a_run(folder, pages):
    process, step, address = begin(folder, "score")
    try:
        while counts(step) != (15, 3):  # all but the two that wait
            time.sleep(0.1)
        page = pages.open(f"{address}daskrun", "dashboard")
        page.get_by_text("18/20 mini-batches (90 %), 3 failed, 3 tried again").wait_for()
        page.get_by_text("2 of 3 slots busy").wait_for()
        errors = page.locator(".slick-row", has_text="<img src=x onerror")
        errors.first.click()
        trace = page.locator("pre", has_text="Traceback")
        trace.wait_for()
        assert "score.py" in trace.inner_text()
        assert page.title() != "taken"
        page.reload()  # in mid-run
        page.get_by_text("18/20 mini-batches").wait_for()
        plot = pages.open(f"{address}individual-daskrun-throughput", "throughput")
        plot.locator("canvas").first.wait_for()
        with_names = json.loads(page.request.get(f"{address}individual-plots.json").text())
        assert "/individual-daskrun-timeline" in with_names.values()
    finally:
        (folder / "go").touch()
        assert process.wait(60) == 0
    assert counts(step) == (17, 3)
    assert pages.complaints == []


def test_two_runs_at_once_are_a_choice(folder, pages):
    other = folder / "other"
    shutil.copytree(folder / "files", other / "files")
    shutil.copy(folder / "score.py", other)
    program = PROGRAM.replace("run.wait_for_completion()", "").replace(
        "print(", "second = Experiment(ws, 'trial').submit(Pipeline(ws, [step]))\nprint("
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, "score", folder], stdout=subprocess.PIPE, text=True
    )
    try:
        step = Path(process.stdout.readline().strip())
        while (found := read_snapshot(step / "logs")) is None or not found.errors:
            time.sleep(0.1)
        assert found.dashboard.endswith("/daskrun")
        page = pages.open(found.dashboard, "two-runs")
        choice = page.locator("select")
        choice.wait_for()
        assert choice.locator("option").count() == 2
        choice.select_option(label=f"score · {step.name}")
        page.get_by_text(f"{step.name}. Scripts run in processes of their own").wait_for()
    finally:
        (folder / "go").touch()
        assert process.wait(60) == 0
    assert pages.complaints == []


def test_the_report_is_one_file_in_light_and_dark(folder, pages):
    (folder / "go").touch()
    process, step, _ = begin(folder, "score")
    assert process.wait(60) == 0
    report = step / "logs" / "report.html"
    for scheme in ("light", "dark"):
        page = pages.open(report.as_uri(), "report", scheme)
        text = page.inner_text("body")
        assert "succeeded 17" in text.replace("\n", " ")
        assert "failed 3" in text.replace("\n", " ")
        page.get_by_text("6 ×").first.click()
        page.get_by_text("Traceback").first.wait_for()
        assert page.title() == "score: Completed"
    assert pages.asked == [report.as_uri()] * 2  # it needs nothing else
    assert pages.complaints == []
    assert os.path.getsize(report) < 1_000_000
