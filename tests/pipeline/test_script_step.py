"""PythonScriptStep: programs before, between and after parallel steps."""

import json
import os
import time

import pytest

from daskrun import (
    Dataset,
    Datastore,
    Environment,
    Experiment,
    Model,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    PipelineParameter,
    PythonScriptStep,
    RunFailedError,
    SettingsError,
    Workspace,
)

SPLIT = """
import argparse, os
parser = argparse.ArgumentParser()
parser.add_argument("--texts")
parser.add_argument("--output")
parser.add_argument("--times", type=int)
given = parser.parse_args()
os.makedirs(given.output, exist_ok=True)
if __name__ == "__main__":
    for name in sorted(os.listdir(given.texts)):
        with open(os.path.join(given.texts, name)) as text:
            with open(os.path.join(given.output, name), "w") as made:
                made.write(text.read() * given.times)
    print("split", len(os.listdir(given.output)))
"""
COUNT = """
from pathlib import Path
def run(mini_batch):
    return [len(Path(file).read_text()) for file in mini_batch]
"""
SUM = """
import sys
from pathlib import Path
from daskrun import Run
rows = Path(sys.argv[1], "parallel_run_step.txt").read_text().split()
run = Run.get_context()
run.log("total", sum(map(int, rows)))
run.parent.log("rows", len(rows))
"""


@pytest.fixture
def ws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    for n in range(4):
        (tmp_path / "texts" / f"{n}.txt").write_text("x" * n)
    for name, code in {"split_texts": SPLIT, "count": COUNT, "sum_up": SUM}.items():
        (tmp_path / f"{name}.py").write_text(code)
    return Workspace.create("trial", path=tmp_path)


def submit(ws, *steps, **options):
    return Experiment(ws, "scripts").submit(Pipeline(ws, list(steps)), **options)


def done(ws, *steps, **options):
    run = submit(ws, *steps, **options)
    run.wait_for_completion(timeout_seconds=60)
    return run


def failed(ws, *steps, **options):
    run = submit(ws, *steps, **options)
    with pytest.raises(RunFailedError) as caught:
        run.wait_for_completion(timeout_seconds=60)
    return run, str(caught.value)


def script(tmp_path, code, name="program.py", **options):
    (tmp_path / name).write_text(code)
    return PythonScriptStep(name, **{"compute_target": "inline", **options})


@pytest.mark.slow
@pytest.mark.parametrize("target", ["inline", None])
def test_programs_around_a_parallel_step(ws, target):
    texts = Dataset.File.from_files("texts").as_named_input("texts")
    longer, counts = PipelineData("longer"), PipelineData("counts")
    PythonScriptStep(
        "split_texts.py",
        arguments=["--times", PipelineParameter("times", 2), "--texts", texts, "--output", longer],
        inputs=[texts],
        outputs=[longer],
        compute_target=target,
    )
    config = ParallelRunConfig(
        entry_script="count.py",
        error_threshold=0,
        output_action="append_row",
        compute_target=target,
    )
    ParallelRunStep("count-texts", config, [longer], counts)
    third = PythonScriptStep(
        "sum_up.py", arguments=[counts], inputs=[counts], compute_target=target
    )
    run = done(ws, third, pipeline_parameters={"times": 3})
    assert [each.name for each in run.get_steps()] == ["split-texts", "count-texts", "sum-up"]
    assert run.find_step_run("sum-up")[0].get_metrics() == {"total": 18}
    assert run.get_metrics() == {"rows": 4}
    made = run.find_step_run("split-texts")[0]
    assert made.message == "split_texts.py has ended well."
    assert "split_texts.py has ended well." in (made.folder / "logs/job_result.txt").read_text()
    if target is None:
        (out,) = (made.folder / "logs/user/stdout").rglob("*.txt")
        assert out.read_text() == "split 4\n"
    manifest = json.loads((made.folder / "run.json").read_text())
    assert manifest["type"] == "PythonScriptStep"


def test_an_error_is_shown_with_its_own_file_and_line(ws, tmp_path):
    step = script(tmp_path, "import json\n\njson.loads('{')\n", compute_target=None)
    _, text = failed(ws, step)
    assert "program.py failed: " in text
    assert "program.py:3" in text
    assert f'File "{tmp_path / "program.py"}", line 3, in <module>' in text
    assert "whole.py" not in text


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ("raise SystemExit(3)", "step 'program': program.py ended with exit code 3."),
        ("sys.exit('no data')", "step 'program': program.py ended with exit code 1: no data."),
        ("def f(:", "SyntaxError"),
        ("os._exit(4)", "exit code 4"),
    ],
)
def test_ends_that_are_failures(ws, tmp_path, ends, told):
    target = None if "_exit(4)" in ends else "inline"
    step = script(tmp_path, f"import os, sys\n{ends}\n", compute_target=target)
    run, text = failed(ws, step)
    assert told in text
    assert run.get_steps()[0].get_status() == "Failed"


def test_a_script_that_writes_nothing_is_told_of_where_it_is_missed(ws, tmp_path):
    longer = PipelineData("longer")
    script(tmp_path, "pass\n", outputs=[longer])
    config = ParallelRunConfig(
        entry_script="count.py",
        error_threshold=0,
        output_action="append_row",
        compute_target="inline",
    )
    run, text = failed(ws, ParallelRunStep("count-texts", config, [longer], PipelineData("counts")))
    told = "what an earlier step was to write can't be used as an input: "
    assert f"step 'count-texts': {told}" in text
    assert "Traceback" not in text
    errors = (run.find_step_run("count-texts")[0].folder / "logs/job_error.txt").read_text()
    assert errors.startswith(f"1. DatasetError: {told}")
    assert "init()" not in errors


@pytest.mark.parametrize("ends", ["sys.exit()", "sys.exit(0)", "pass"])
def test_ends_that_are_none(ws, tmp_path, ends):
    done(ws, script(tmp_path, f"import sys\n{ends}\n"))


@pytest.mark.parametrize("target", ["inline", None])
def test_a_source_folder_is_the_working_directory_and_stays_as_it_is(ws, tmp_path, target):
    source = tmp_path / "code"
    (source / "inner").mkdir(parents=True)
    (source / "other.py").write_text("VALUE = 7\n")
    (source / "data.txt").write_text("d")
    (source / "inner" / "beside.py").write_text("NAME = 'beside'\n")
    (source / "inner" / "program.py").write_text(
        "import beside, other\n"
        "from pathlib import Path\n"
        "from daskrun import Run\n"
        "Path('made.txt').write_text(Path('data.txt').read_text())\n"
        "Run.get_context().log('found', f'{beside.NAME} {other.VALUE} {Path.cwd().name}')\n"
    )
    step = PythonScriptStep(
        "inner/program.py", source_directory=source, compute_target=target, allow_reuse=False
    )
    before = os.getcwd()
    run = done(ws, step)
    assert run.get_steps()[0].get_metrics() == {"found": "beside 7 code"}
    assert os.getcwd() == before
    assert not (source / "made.txt").exists()
    assert not (run.get_steps()[0].folder / "snapshot" / "made.txt").exists()


def test_empty_params_are_none():
    for params in ([], (), {}, None):
        assert PythonScriptStep("a.py", params=params)._resolve({}).environment_variables == {}


def test_params_are_variables(ws, tmp_path):
    code = (
        "import os\nfrom daskrun import Run\n"
        "Run.get_context().log('rate', os.environ['AML_PARAMETER_rate'] + os.environ['OWN'])\n"
    )
    environment = Environment("any")
    environment.environment_variables = {"AML_PARAMETER_rate": "9", "OWN": "?"}
    step = script(
        tmp_path,
        code,
        params={"rate": PipelineParameter("rate", 0.1)},
        environment=environment,
        environment_variables={"OWN": "!"},
    )
    assert done(ws, step).get_steps()[0].get_metrics() == {"rate": "0.1!"}
    run = done(ws, step, pipeline_parameters={"rate": 0.5})
    assert run.get_steps()[0].get_metrics() == {"rate": "0.5!"}


def test_a_script_that_takes_too_long_is_killed(ws, tmp_path):
    step = script(tmp_path, "import time\ntime.sleep(60)\n", compute_target=None, timeout=0.3)
    began = time.monotonic()
    _, text = failed(ws, step)
    assert "program.py took longer than timeout=0.3 s." in text
    assert time.monotonic() - began < 30


@pytest.mark.slow
def test_cancel_ends_it_and_resume_runs_it_again(ws, tmp_path):
    mark = tmp_path / "mark"
    code = (
        "import pathlib, sys, time\n"
        f"mark = pathlib.Path({str(mark)!r})\n"
        "if not mark.exists():\n    mark.touch()\n    time.sleep(60)\n"
        "pathlib.Path(sys.argv[1], 'made.txt').write_text('made')\n"
    )
    out = PipelineData("out")
    step = script(tmp_path, code, compute_target=None, arguments=[out], outputs=[out])
    run = submit(ws, step)
    deadline = time.monotonic() + 30
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    run.cancel()
    assert run.wait_for_completion(raise_on_error=False, timeout_seconds=30) == "Canceled"
    assert run.get_steps()[0].message.endswith("; program.py has not ended.")
    run.resume().wait_for_completion(timeout_seconds=30)
    reference = run.get_steps()[0].get_output_data("out")
    folder = reference.datastore.folder / reference.path_on_datastore
    assert (folder / "made.txt").read_text() == "made"


def test_a_model_that_a_script_registers_is_there_for_the_next_step(ws, tmp_path):
    code = (
        "from pathlib import Path\nfrom daskrun import Model, Run\n"
        "Path('weights').write_text('w')\n"
        "run = Run.get_context()\n"
        "Model.register(run.experiment.workspace, 'weights', 'made-here')\n"
    )
    first = script(tmp_path, code, name="train.py")
    use = "from daskrun import Model, Run\nModel.get_model_path('made-here')\n"
    second = script(tmp_path, use, name="use.py")
    second.run_after(first)
    done(ws, second)
    assert Model(ws, "made-here").version == 1


def test_outputs_are_used_again_where_nothing_has_changed(ws, tmp_path):
    out = PipelineData("out")
    code = "import pathlib, sys\npathlib.Path(sys.argv[1], 'a').write_text('a')\n"
    step = script(tmp_path, code, arguments=[out], outputs=[out])
    first, again = done(ws, step), done(ws, step)
    assert again.get_steps()[0].reused_run_id == first.get_steps()[0].id
    other = script(tmp_path, code + "# more\n", arguments=[out], outputs=[out])
    assert done(ws, other).get_steps()[0].reused_run_id is None


def test_what_is_wrong_is_said_at_once(ws):
    with pytest.raises(SettingsError) as caught:
        PythonScriptStep(
            "split_texts.py",
            " ",
            arguments="--x",
            inputs=3,
            outputs=[3],
            params=3,
            timeout=-1,
        )
    text = "\n".join(caught.value.problems)
    for name in ("name=' '", "arguments=", "inputs=3", "outputs=[3]", "params=3", "timeout=-1"):
        assert name in text
    with pytest.raises(
        SettingsError, match=r"script_name='missing\.py' is not there .* of the script\."
    ):
        submit(ws, PythonScriptStep("missing.py"))
    with pytest.raises(
        SettingsError, match=r"no such output.* in outputs=\[\.\.\.\] if .* in inputs="
    ):
        PythonScriptStep("split_texts.py", arguments=[PipelineData("x")])
    assert PythonScriptStep("1.py").name == "run-1"
    assert PythonScriptStep("Split_Texts v2.py").name == "split-texts-v2"


@pytest.mark.slow
@pytest.mark.parametrize("target", ["inline", None])
def test_what_goes_to_a_url_is_there_once_the_script_has_ended_well(ws, tmp_path, bucket, target):
    store = Datastore.register_url(ws, "bucket", bucket.url, storage_options=bucket.options)
    code = (
        "import pathlib, sys\n"
        "for n, folder in enumerate(sys.argv[1:3]):\n"
        "    made = pathlib.Path(folder, 'inner', 'made.txt')\n"
        "    made.parent.mkdir(parents=True)\n"
        "    made.write_text(f'made {n}')\n"
        "sys.exit(int(sys.argv[3]))\n"
    )
    outs = [PipelineData("first", datastore=store), PipelineData("second", datastore=store)]
    ends = PipelineParameter("ends", 1)
    step = script(tmp_path, code, arguments=[*outs, ends], outputs=outs, compute_target=target)
    failed(ws, step)
    assert not [key for key in bucket.keys() if "made.txt" in key]  # noqa: SIM118
    run = done(ws, step, pipeline_parameters={"ends": 0})
    path = f"azureml/{run.get_steps()[0].id}"
    assert bucket.get(f"{path}/first/inner/made.txt") == b"made 0"
    assert bucket.get(f"{path}/second/inner/made.txt") == b"made 1"


@pytest.mark.parametrize("target", ["inline", None])
def test_threads_that_a_script_has_left_are_waited_for(ws, tmp_path, target):
    pages = PipelineData("pages")
    code = """
import sys, threading, time
from pathlib import Path
def write():
    time.sleep(0.5)
    Path(sys.argv[1], "late").touch()
threading.Thread(target=write).start()
"""
    step = script(tmp_path, code, arguments=[pages], outputs=[pages], compute_target=target)
    (made,) = done(ws, step).get_steps()
    reference = made.get_output_data("pages")
    folder = reference.datastore.folder / reference.path_on_datastore
    assert [each.name for each in folder.iterdir()] == ["late"]


def test_dataframes_are_not_kept_when_the_script_has_ended(ws, tmp_path):
    import pandas as pd

    code = "from daskrun import Run\nRun.get_context().input_datasets['t'].to_pandas_dataframe()\n"
    table = Dataset.Tabular.from_pandas_dataframe(pd.DataFrame({"a": [1]})).as_named_input("t")
    (made,) = done(ws, script(tmp_path, code, inputs=[table])).get_steps()
    assert made.get_status() == "Completed"
    assert not list(made.folder.rglob("*.parquet"))
