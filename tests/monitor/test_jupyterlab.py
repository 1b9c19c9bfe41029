"""A run in JupyterLab, in a browser: the view moves, outlives a reload, is read without kernel."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.monitor.test_browser import SCREENSHOTS, browser  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CELLS = (
    """
import pathlib
from daskrun import *
pathlib.Path("files").mkdir()
for n in range(10, 40): (pathlib.Path("files") / f"{n}.txt").write_text("x")
pathlib.Path("score.py").write_text(f'''
import os, time
def run(mini_batch):
    time.sleep(0.3)
    holds = {{"15.txt": "seen", "25.txt": "free", "39.txt": "go"}}
    until = holds.get(os.path.basename(mini_batch[0]))
    while until and not os.path.exists("{pathlib.Path().resolve()}/" + until):
        time.sleep(0.05)
    return mini_batch
''')
ws = Workspace.create("trial")
config = ParallelRunConfig(
    entry_script="score.py", mini_batch_size=1, error_threshold=-1, output_action="append_row",
    process_count_per_node=1, run_invocation_timeout=300,
)
files = Dataset.File.from_files("files").as_named_input("files")
step = ParallelRunStep("score", config, inputs=[files], output=PipelineData("out"))
run = Experiment(ws, "trial").submit(Pipeline(ws, [step]))
""",
    "RunDetails(run).show()",
    "import time\nwhile not pathlib.Path('free').exists(): time.sleep(0.1)\nprint('cell is over')",
)


@pytest.fixture
def lab(tmp_path):
    """Start JupyterLab with a notebook in its folder; yield its address."""
    nbformat = pytest.importorskip("nbformat")
    for name in ("ipykernel", "ipywidgets"):
        pytest.importorskip(name)
    commands = pytest.importorskip("jupyterlab.commands")
    if not Path(commands.get_app_dir(), "static", "index.html").exists():
        pytest.skip("JupyterLab is not installed in this environment itself")
    cells = [nbformat.v4.new_code_cell(text.strip()) for text in CELLS]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "run.ipynb")
    own = {name: str(tmp_path / ".own" / name) for name in ("HOME", "JUPYTER_RUNTIME_DIR")}
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        "--port=0", "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True",
        "--LabApp.expose_app_in_browser=True",
        f"--ServerApp.root_dir={tmp_path}",
    ]  # fmt: skip
    server = subprocess.Popen(command, env={**os.environ, **own}, stderr=subprocess.PIPE, text=True)
    try:
        found = (re.search(r"http://127\.0\.0\.1:\d+/", line) for line in server.stderr)
        yield next(each[0] for each in found if each)
    finally:
        server.terminate()
        server.communicate(timeout=30)


def call(address, method="GET"):
    with urllib.request.urlopen(urllib.request.Request(address, method=method)) as answer:
        return answer.read()


def end_kernels(lab):
    for each in json.loads(call(f"{lab}api/sessions")):
        call(f"{lab}api/sessions/{each['id']}", "DELETE")


def save(page, folder):
    before = (folder / "run.ipynb").stat().st_mtime_ns
    page.keyboard.press("Control+s")
    while (folder / "run.ipynb").stat().st_mtime_ns == before:
        page.wait_for_timeout(100)


def test_a_run_in_a_notebook_moves_survives_a_reload_and_stays(lab, browser, tmp_path):  # noqa: F811
    page = browser.new_page(viewport={"width": 1200, "height": 1300})
    page.set_default_timeout(60_000)
    notebook = f"{lab}lab/tree/run.ipynb?reset"

    def opened():
        page.goto(notebook)
        page.locator(".jp-Notebook .jp-Cell").nth(2).wait_for()

    def shown():
        found = re.search(r"succeeded\s+(\d+)", page.locator(".jp-Notebook").inner_text())
        return int(found[1]) if found else 0

    def wait_for_more_than(count):
        deadline = time.monotonic() + 100
        while (now := shown()) <= count and time.monotonic() < deadline:
            page.wait_for_timeout(100)
        assert now > count
        return now

    opened()
    page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").wait_for()  # a kernel
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    before = wait_for_more_than(0)
    (tmp_path / "seen").touch()  # the run waits at some files: a slow page must not miss it
    wait_for_more_than(before)  # it moves
    assert page.get_by_text("cell is over", exact=True).count() == 0  # while another cell runs
    page.get_by_role("button", name="Cancel the run").wait_for()
    page.screenshot(path=SCREENSHOTS / "lab-1-live.png")
    save(page, tmp_path)
    before = shown()
    page.reload()
    page.get_by_text("As it stood at").wait_for()  # widgets come when the kernel has time for them
    (tmp_path / "free").touch()
    wait_for_more_than(before)  # it goes on
    page.get_by_role("button", name="Cancel the run").wait_for()
    assert page.get_by_text("As it stood at").is_hidden()
    page.screenshot(path=SCREENSHOTS / "lab-2-reloaded.png")
    (tmp_path / "go").touch()
    page.locator(".status.Completed").first.wait_for()
    wait_for_more_than(29)
    page.screenshot(path=SCREENSHOTS / "lab-3-ended.png")
    save(page, tmp_path)
    end_kernels(lab)
    opened()  # the reloaded page could not be told of the end: it is as it stood
    page.get_by_text("As it stood at").wait_for()
    page.wait_for_timeout(2500)  # for as long JupyterLab looks for a widget
    assert 0 <= shown() < 30
    assert page.get_by_text("Error displaying widget").filter(visible=True).count() == 0
    assert page.get_by_role("button", name="Cancel the run").count() == 0
    page.screenshot(path=SCREENSHOTS / "lab-4-reopened.png")
    page.close()
