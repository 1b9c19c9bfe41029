"""Pipelines of several steps whose workspace is behind a URL, also as other processes see them."""

import json
import signal
import subprocess
import sys

import pytest
from running import wait_for
from url_work import from_elsewhere, other
from url_work import work as base  # noqa: F401  (a fixture)

from daskrun import (
    Dataset,
    Experiment,
    OutputFileDatasetConfig,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    PythonScriptStep,
)
from daskrun.testing import account

SCRIPTS = {
    "sizes": """
import os, time
from daskrun import Run

def init():
    me = Run.get_context().id.rpartition("-")[2]
    open(os.path.join(FOLDER, "begun-" + me), "w").close()
    while any(not os.path.exists(os.path.join(FOLDER, "begun-" + each)) for each in MEET):
        time.sleep(0.02)

def run(mini_batch):
    run = Run.get_context()
    with open(os.path.join(FOLDER, "calls"), "a") as file:
        file.write(run.id.rpartition("-")[2] + "\\n")
    run.log("files", len(mini_batch))
    run.parent.log("seen", len(mini_batch))
    return [f"{os.path.basename(file)},{os.path.getsize(file)}" for file in mini_batch]
""",
    "join": """
import sys
from pathlib import Path
from daskrun import Run

*inputs, output = map(Path, sys.argv[1:])
texts = [(each / "parallel_run_step.txt").read_text() for each in inputs]
(output / "joined.csv").write_text("".join(texts))
Run.get_context().log("lines", sum(text.count("\\n") for text in texts))
print("joined", len(texts))
""",
    "double": """
from pathlib import Path
from daskrun import Run

def run(mini_batch):
    Run.get_context().log("rows", len(mini_batch))
    unit = Run.get_context().input_datasets.get("unit")
    text = Path(unit).read_text() if unit else ""
    return [f"{name}: {2 * size}{text}" for name, size in mini_batch.itertuples(index=False)]
""",
    "bad": """
def run(mini_batch):
    assert "9.txt" not in mini_batch[0], "no good"
    return mini_batch
""",
}
MAIN = """
import os, signal, sys
from daskrun import *
from daskrun.pipeline.execution import drive

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def second_only(self, step, *more):
    if step.name == "second":
        os.environ["DASKRUN_KILL_AT"] = "journalled:1"
    return execute(self, step, *more)

def config(script):
    return ParallelRunConfig(
        entry_script=script, source_directory="code", error_threshold=0, mini_batch_size=None,
        output_action="append_row", compute_target="inline", process_count_per_node=1)

execute = drive.PipelineDriver._execute
{kill}
ws = Workspace(sys.argv[1])
files = Dataset.File.from_files("files").as_named_input("files")
sizes = OutputFileDatasetConfig("sizes", (ws.get_default_datastore(), "night"))
kept = sizes.as_upload(overwrite=True).register_on_complete("sizes", tags={{"n": "1"}})
first = ParallelRunStep("first", config("sizes.py"), [files], kept, allow_reuse=False)
table = sizes.read_delimited_files(header=False)
second = ParallelRunStep(
    "second", config("double.py"), [table], PipelineData("out"), allow_reuse=False,
    side_inputs=[Dataset.File.from_files("unit.txt").as_named_input("unit")])
run = Experiment(ws, "trial").submit(Pipeline(ws, [second]))
print(run.id, flush=True)
run.wait_for_completion()
"""
"""A program that is killed where ``kill`` has it: its second step reads what the first writes."""
SIZES = "".join(f"{n}.txt,5\n" for n in range(10))
DOUBLED = "".join(f"{n}.txt: 10 bytes\n" for n in range(10))


@pytest.fixture
def work(base):
    """Add scripts that feed each other."""
    (base.path / "unit.txt").write_text(" bytes")
    for name, code in SCRIPTS.items():
        head = f"FOLDER, MEET = {str(base.path)!r}, ()\n"
        (base.path / f"code/{name}.py").write_text(head + code)
    return base


def step(name, script, inputs=None, output=None, side_inputs=None, reuse=False, **settings):
    usual = {
        "error_threshold": 0,
        "output_action": "append_row",
        "compute_target": "inline",
        "process_count_per_node": 1,
        "run_max_try": 1,
    }
    return ParallelRunStep(
        name,
        ParallelRunConfig(
            entry_script=f"{script}.py", source_directory="code", **{**usual, **settings}
        ),
        inputs or [Dataset.File.from_files("files").as_named_input("files")],
        output or PipelineData("out"),
        side_inputs=side_inputs,
        allow_reuse=reuse,
    )


def joined_steps(sides, reuse=False, target="inline"):
    """Give steps side by side, a script that joins what they write, and a step over that."""
    outputs = [OutputFileDatasetConfig(f"{name}_sizes") for name in sides]
    joined = PipelineData("joined")
    join = PythonScriptStep(
        "join.py", "join", arguments=[*outputs, joined], inputs=outputs, outputs=[joined],
        source_directory="code", compute_target=target, allow_reuse=reuse,
    )  # fmt: skip
    unit = Dataset.File.from_files("unit.txt").as_named_input("unit")
    table = joined.read_delimited_files(header=False)
    return [
        step("last", "double", [table], side_inputs=[unit], reuse=reuse),
        join,
        *(
            step(name, "sizes", output=output, reuse=reuse, compute_target=target)
            for name, output in zip(sides, outputs, strict=True)
        ),
    ]


def submit(work, steps, **options):
    return Experiment(work.ws, "trial").submit(Pipeline(work.ws, steps), **options)


def written(work, run, name="last", file="parallel_run_step.txt"):
    """Give the bytes that a step has written behind the URL."""
    (path,) = [each.path_on_datastore for each in run.find_step_run(name)[0]._manifest.outputs]
    (key,) = [key for key in work.bucket.keys() if key.endswith(f"/{path}/{file}")]  # noqa: SIM118
    return work.bucket.get(key).decode()


def killed(work, kill):
    """Give the id of a run whose driver was killed."""
    code = MAIN.format(kill=kill)
    command = [sys.executable, "-c", code, work.ws.location]
    done = subprocess.run(command, capture_output=True, timeout=90, check=False, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.split()[0]


LOOK = """
run = {run}
steps = {{each.name: each for each in run.get_steps()}}
logs = run.get_details_with_logs()["logFiles"]
import json
print(json.dumps({{
    "status": run.get_status(),
    "message": run.message,
    "metrics": run.get_metrics(),
    "statuses": {{name: each.get_status() for name, each in steps.items()}},
    "messages": {{name: each.message for name, each in steps.items()}},
    "logged": {{name: each.get_metrics() for name, each in steps.items()}},
    "reused": {{name: each.reused_run_id for name, each in steps.items()}},
    "logs": {{name.partition("-")[2].split("-")[-1]: text for name, text in logs.items()}},
}}))
"""


def seen_by_another(work, run):
    """Give what another process sees of a run, which it finds or makes by an expression."""
    return json.loads(other(work, LOOK.format(run=run)).splitlines()[-1])


@pytest.mark.slow
def test_two_steps_side_by_side_feed_a_script_that_feeds_another(work):
    script = work.path / "code/sizes.py"  # each goes on when both have begun
    script.write_text(script.read_text().replace("MEET = ()", "MEET = ('left', 'right')"))
    run = submit(work, joined_steps(["left", "right"], target=None))
    assert run.wait_for_completion() == "Completed"
    assert written(work, run) == DOUBLED * 2
    seen = seen_by_another(work, f"ws.get_run({run.id!r})")
    assert seen["message"] == "all 4 steps are done."
    assert seen["metrics"] == {"seen": [10, 10]}
    assert seen["logged"] == {
        "left": {"files": 10},
        "right": {"files": 10},
        "join": {"lines": 20},
        "last": {"rows": 20},
    }
    assert seen["logs"]["join/logs/user/stdout/node000/process000.stdout.txt"] == "joined 2\n"


@pytest.mark.slow
def test_an_output_is_registered_once_whoever_drives(work, monkeypatch):
    run_id = killed(work, "drive.note_completed = die")
    assert len(Dataset.get_by_name(work.ws, "sizes").to_path()) == 1  # before it is Completed
    run = from_elsewhere(work, monkeypatch).get_run(run_id)
    assert run.resume().wait_for_completion() == "Completed"
    found = Dataset.get_by_name(work.ws, "sizes")
    assert (found.version, found.tags) == (1, {"n": "1"})
    assert written(work, run, "first") == SIZES
    assert written(work, run, "second") == DOUBLED
    assert (work.path / "calls").read_text() == "first\n"


@pytest.mark.slow
def test_a_run_that_was_killed_in_its_second_step_goes_on_in_that(work):
    run_id = killed(work, "drive.PipelineDriver._execute = second_only")
    run = work.ws.get_run(run_id)
    first, second = run.get_steps()
    before = first.get_details()["daskrun"]["states"]
    assert [each.get_status() for each in (run, first, second)] == ["Failed", "Completed", "Failed"]
    assert run.resume().wait_for_completion() == "Completed"
    assert first.get_details()["daskrun"]["states"] == before
    assert (work.path / "calls").read_text() == "first\n"
    assert written(work, run, "second") == DOUBLED
    states = [each["status"] for each in second.get_details()["daskrun"]["states"]]
    assert states == ["NotStarted", "Running", "Running", "Completed"]
    account(second).check()
    assert second.get_metrics() == {"rows": 10}
    assert "has not begun" not in str(second.explain_reuse())


@pytest.mark.slow
def test_one_step_fails_others_go_on_and_another_process_cleans_up(work):
    bad_out = PipelineData("bad_out")
    steps = [
        step("bad", "bad", output=bad_out, mini_batch_size=1),
        step("good", "sizes"),
        step("needs-bad", "sizes", [bad_out]),
    ]
    run = submit(work, steps, continue_on_step_failure=True)
    assert run.wait_for_completion(raise_on_error=False) == "Failed"
    seen = seen_by_another(work, f"ws.get_run({run.id!r})")
    assert seen["statuses"] == {"bad": "Failed", "good": "Completed", "needs-bad": "Canceled"}
    assert seen["message"] == run.message
    assert run.message.startswith("step 'bad': 1 item failed")
    needed = "not started: it needs step 'bad', which failed"
    assert seen["messages"]["needs-bad"] == needed
    assert "no good" in seen["logs"]["bad/logs/job_error.txt"]

    (work.path / "gate").touch()

    def kept_of(which):
        keys = [key for key in sorted(work.bucket.keys()) if which.id in key]
        return {key for key in keys if "/runs/" in key or "/_daskrun/" in key}

    going_on = work.submit()
    try:  # it must not wait there for ever
        wait_for(lambda: "0.txt" in (work.path / "calls").read_text(), 30)
        others = kept_of(going_on)
        assert [key for key in kept_of(run) if "/_daskrun/" in key]
        code = (
            "found = ws.clean(older_than_days=0, runs=True)\n"
            "print(sorted({each.run for each in found if each.what in ('parts', 'run folder')}))\n"
            "assert not found.remove().kept\n"
        )
        assert other(work, code) == str([run.id, f"{run.id}-bad"])
        assert kept_of(run) == set()
        assert others <= kept_of(going_on)
    finally:
        (work.path / "gate").unlink()
    assert going_on.wait_for_completion() == "Completed"
    assert written(work, run, "good") == SIZES  # outputs stay
    assert [each.id for each in Experiment(work.ws, "trial").get_runs()] == [going_on.id]


@pytest.mark.slow
def test_a_published_pipeline_uses_in_another_process_what_each_step_has_written(work):
    run = submit(work, joined_steps(["left"], reuse=True)[1:])
    assert run.wait_for_completion() == "Completed"
    assert written(work, run, "join", "joined.csv") == SIZES
    published = run.publish_pipeline("nightly")
    for script in (work.path / "code").iterdir():  # the published one has its own
        script.unlink()
    submitted = f"PublishedPipeline.get(ws, {published.id!r}).submit(ws, 'trial')"
    seen = seen_by_another(work, f"{submitted}\nrun.wait_for_completion()")
    assert seen["status"] == "Completed"
    assert seen["message"] == "all 2 steps are done. 2 used the output of an earlier run."
    assert seen["reused"] == {each.name: each.id for each in run.get_steps()}
    assert seen["logged"]["join"] == {"lines": 10}
    assert (work.path / "calls").read_text() == "left\n"
