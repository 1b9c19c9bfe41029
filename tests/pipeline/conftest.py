"""A workspace, some files, and a step that counts them."""

import signal
from types import SimpleNamespace

import pytest

from daskrun import (
    Dataset,
    DatasetConsumptionConfig,
    Experiment,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    PipelineParameter,
    Workspace,
)

SCRIPT = """
import os

def run(mini_batch):
    return [f"{os.path.basename(path)}: {len(open(path).read())}" for path in mini_batch]
"""


HEARD = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}


@pytest.fixture(autouse=True)
def signals_are_heard():
    """Undo a shell's ``&`` and ``nohup``: what tests start would ignore what they send it."""
    before = {number: signal.getsignal(number) for number in HEARD}
    for number in HEARD:
        if before[number] is signal.SIG_IGN:
            signal.signal(number, HEARD[number])
    yield
    for number in HEARD:
        signal.signal(number, before[number])


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Change to a folder with files, a script and a workspace; give what makes pipelines."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    for number in range(10):
        (tmp_path / "files" / f"{number}.txt").write_text("x" * number)
    (tmp_path / "score.py").write_text(SCRIPT)
    ws = Workspace.create("trial")
    files = PipelineParameter("files", Dataset.File.from_files("files"))

    def make_step(name="score-files", inputs=None, output="scores", arguments=None, **settings):
        values = {
            "entry_script": "score.py",
            "error_threshold": -1,
            "output_action": "append_row",
            "compute_target": "inline",
            "mini_batch_size": PipelineParameter("size", "3"),
        }
        return ParallelRunStep(
            name,
            ParallelRunConfig(**{**values, **settings}),
            inputs or [DatasetConsumptionConfig("files", files).as_mount()],
            PipelineData(output) if isinstance(output, str) else output,
            arguments=arguments,
            allow_reuse=False,  # what is tested is what runs
        )

    def submit(*steps, parameters=None, **settings):
        pipeline = Pipeline(ws, list(steps) or [make_step(**settings)])
        return Experiment(ws, "trial").submit(pipeline, pipeline_parameters=parameters)

    return SimpleNamespace(ws=ws, path=tmp_path, make_step=make_step, submit=submit)
