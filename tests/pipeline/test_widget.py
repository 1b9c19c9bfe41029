"""What a notebook's kernel is told to show of a run, while it goes on and when it has ended."""

import json
import subprocess
import sys

import pytest

from daskrun import Pipeline
from daskrun.pipeline.runs import widget

RUN_NOTEBOOK = """
import sys, nbformat, nbclient

cells = [nbformat.v4.new_code_cell(text) for text in open("cells.txt").read().split("# %%")]
notebook = nbformat.v4.new_notebook(cells=cells)
nbclient.execute(notebook, timeout=100)
nbformat.write(notebook, "done.ipynb")
"""
CELLS = """
import pathlib, time
from daskrun import *
pathlib.Path("files").mkdir()
for n in range(6): (pathlib.Path("files") / f"{n}.txt").write_text("x")
pathlib.Path("score.py").write_text(
    "import os, time\\n"
    "def run(mini_batch):\\n"
    "    while not os.path.exists('go'): time.sleep(0.02)\\n"
    "    return mini_batch\\n"
)
pathlib.Path("score.py").write_text(
    pathlib.Path("score.py").read_text().replace("'go'", repr(str(pathlib.Path("go").resolve())))
)
ws = Workspace.create("trial")
config = ParallelRunConfig(
    entry_script="score.py", mini_batch_size=2, error_threshold=-1, output_action="append_row",
    process_count_per_node=1,
)
files = Dataset.File.from_files("files").as_named_input("files")
step = ParallelRunStep("score", config, inputs=[files], output=PipelineData("out"))
run = Experiment(ws, "trial").submit(Pipeline(ws, [step]))
# %%
RunDetails(run).show()
# %%
while run.get_steps()[0].progress is None: time.sleep(0.05)
pathlib.Path("go").touch()
run.wait_for_completion()
time.sleep(2.5)
# %%
run
"""


@pytest.mark.slow
def test_a_notebook_has_a_view_that_ends_as_static_html(tmp_path):
    pytest.importorskip("nbclient")
    pytest.importorskip("ipywidgets")
    (tmp_path / "cells.txt").write_text(CELLS)
    subprocess.run([sys.executable, "-c", RUN_NOTEBOOK], cwd=tmp_path, check=True, timeout=110)
    notebook = json.loads((tmp_path / "done.ipynb").read_text())
    _, shown, _, last = notebook["cells"]
    kept, view = shown["outputs"]  # the widget was replaced in its place
    assert "".join(kept["data"]["text/html"]) == ""
    html = "".join(view["data"]["text/html"])
    assert "Completed" in html
    assert "succeeded <b>3</b>" in html
    assert "Completed" in "".join(last["outputs"][0]["data"]["text/html"])


class Widgets:
    """Stands for ipywidgets, in which a kernel would be needed."""

    def __getattr__(self, name):
        return Widget


class Widget:
    def __init__(self, children=(), **given):
        self.value, self.disabled = "", False
        self.children = children

    def on_click(self, call):
        self.click = call

    def set_title(self, number, title):
        pass


def test_the_button_cancels_and_the_logs_are_text(work):
    (work.path / "score.py").write_text(
        "def run(mini_batch):\n    raise ValueError('<img src=x>')\n"
    )
    run = Pipeline(work.ws, [work.make_step("score")]).submit("trial")
    run.wait_for_completion(raise_on_error=False)
    canceled = []
    view = widget.RunWidget(Widgets(), run, run.get_steps, lambda: canceled.append(1))
    view.update()
    assert "&lt;img src=x&gt;" in view._logs["Errors"].value
    assert "<img" not in view._head.value + view._logs["Errors"].value
    view._button.click(view._button)
    assert (canceled, view._button.disabled) == ([1], True)


def test_steps_are_shown_with_what_they_wait_for_and_metrics_as_plots(work):
    first, second = work.make_step("one", output="a"), work.make_step("two", output="b")
    second.run_after(first)
    run = Pipeline(work.ws, [first, second]).submit("trial")
    run.wait_for_completion()
    run.log("accuracy", 0.5)
    for loss in (3.0, 2.0, 1.0):
        run.log_row("training", loss=loss, step="<b>")
    html = run._repr_html_()
    assert '">one</span> → <span' in html
    assert "accuracy: <b>0.5</b>" in html
    assert "training loss: 3 values, the last 1" in html
    assert "<polyline" in html
