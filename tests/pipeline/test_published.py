"""Published pipelines: kept whole, found and submitted by other processes, whatever changes."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from daskrun import (
    ComputeTarget,
    Dataset,
    DatasetConsumptionConfig,
    Datastore,
    Environment,
    Experiment,
    NameNotFoundError,
    OutputFileDatasetConfig,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    PipelineParameter,
    PublishedPipeline,
    PythonScriptStep,
    SettingsError,
    StorageError,
    Workspace,
    WorkspaceError,
)

LINES = """
import sys
from pathlib import Path
def run(mini_batch):
    return [f"{Path(file).name},{len(Path(file).read_text())},{sys.argv[2]}" for file in mini_batch]
"""
COUNT = """
import os, sys
from pathlib import Path
import words
rows, out = Path(sys.argv[1]), Path(sys.argv[2])
lines = (rows / "rows.csv").read_text().splitlines()
(out / "count.txt").write_text(f"{words.NAME} {len(lines)} {os.environ['AML_PARAMETER_rate']}")
"""


@pytest.fixture
def ws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder, count in (("files", 6), ("others", 2)):
        (tmp_path / folder).mkdir()
        for n in range(count):
            (tmp_path / folder / f"{n}.txt").write_text("x" * n)
    (tmp_path / "lines.py").write_text(LINES)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "count.py").write_text(COUNT)
    (tmp_path / "src" / "words.py").write_text("NAME = 'rows'\n")
    return Workspace.create("trial", path=tmp_path)


def files_parameter():
    return PipelineParameter("files", Dataset.File.from_files("files"))


def lines_step(output, name="first-step", files=None, **settings):
    files = files or files_parameter()
    values = {
        "entry_script": "lines.py",
        "error_threshold": 0,
        "output_action": "append_row",
        "compute_target": "inline",
        "append_row_file_name": "rows.csv",
        "append_row_format": "text",
        "mini_batch_size": PipelineParameter("size", "2"),
    }
    return ParallelRunStep(
        name,
        ParallelRunConfig(**{**values, **settings}),
        [DatasetConsumptionConfig("texts", files)],
        output,
        arguments=["--word", PipelineParameter("word", "a")],
        allow_reuse=False,
    )


def two_steps(ws, **settings):
    rows, counted = PipelineData("rows"), OutputFileDatasetConfig("counted")
    first = lines_step(rows, **settings)
    second = PythonScriptStep(
        "count.py",
        source_directory="src",
        arguments=[rows, counted],
        inputs=[rows.as_input()],
        outputs=[counted.register_on_complete("counts", tags={"a": "b"})],
        params={"rate": PipelineParameter("rate", 0.5)},
        compute_target="inline",
        allow_reuse=False,
    )
    return Pipeline(ws, [second, first])


def text_of(run, step, output, file):
    assert run.wait_for_completion(raise_on_error=False) == "Completed", run.message
    found = run.find_step_run(step)[0].get_output_data(output)
    return (found.datastore.folder / found.path_on_datastore / file).read_text()


SUBMIT = """
import sys
from daskrun import Dataset, PublishedPipeline, Workspace
ws = Workspace(sys.argv[1])
published = PublishedPipeline.get(ws, sys.argv[2])
run = published.submit(ws, "again", {"files": Dataset.File.from_files(sys.argv[3]), "word": "b"})
run.wait_for_completion()
print(run.id)
"""


@pytest.mark.slow
def test_another_process_submits_what_was_published(ws, tmp_path):
    published = two_steps(ws).publish("nightly", "scores of a night", version="1.0")
    assert (published.name, published.description, published.version, published.status) == (
        "nightly",
        "scores of a night",
        "1.0",
        "Active",
    )
    # Whatever happens to the files that it was made of
    shutil.rmtree(tmp_path / "src")
    (tmp_path / "lines.py").unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-c", SUBMIT, str(ws.folder), published.id, str(tmp_path / "others")]
    done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    run = Experiment(ws, "again").get_run(done.stdout.split()[-1])
    assert text_of(run, "first-step", "rows", "rows.csv") == "0.txt,0,b\n1.txt,1,b\n"
    assert text_of(run, "count", "counted", "count.txt") == "rows 2 0.5"
    assert Dataset.get_by_name(ws, "counts").tags == {"a": "b"}
    manifest = json.loads((ws.runs_folder / run.id / "run.json").read_text())
    assert manifest["published"] == {"id": published.id, "name": "nightly"}
    defaults = Experiment(ws, "again").submit(published, pipeline_parameters={"rate": 2})
    assert text_of(defaults, "count", "counted", "count.txt") == "rows 6 2"


def test_what_a_script_imports_from_its_own_folder_stays_there(ws, tmp_path):
    (tmp_path / "beside.py").write_text("WORD = 'beside'\n")
    (tmp_path / "lines.py").write_text(
        "import beside\ndef run(mini_batch):\n    return [beside.WORD for _ in mini_batch]\n"
    )
    published = Pipeline(ws, [lines_step(PipelineData("rows"))]).publish("nightly")
    (tmp_path / "lines.py").write_text("nonsense")
    assert text_of(published.submit(ws, "x"), "first-step", "rows", "rows.csv") == "beside\n" * 6


def test_settings_beside_a_script_are_kept_with_it(ws, tmp_path):
    (tmp_path / "lines.py").write_text(
        "import pandas\ndef run(files):\n    return pandas.DataFrame({'a': [1] * len(files)})\n"
    )
    settings = tmp_path / "parallel_run_step.settings.json"
    settings.write_text('{"append_row": {"pandas.DataFrame.to_csv": {"header": true}}}')
    published = Pipeline(ws, [lines_step(PipelineData("rows"))]).publish("nightly")
    settings.unlink()
    run = published.submit(ws, "x")
    assert text_of(run, "first-step", "rows", "rows.csv") == "a\n" + "1\n" * 6


def test_steps_come_back_as_they_were(ws, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    store = Datastore.register_local(ws, "elsewhere", tmp_path / "elsewhere")
    target = ComputeTarget.attach(ws, "cluster", address="tcp://127.0.0.1:1")
    environment = Environment("mine").register(ws)
    sizes = OutputFileDatasetConfig("sizes", (store, "fixed/{run-id}")).as_upload(overwrite=True)
    texts = Dataset.File.from_files("files").register(ws, "texts", tags={"a": "b"})
    words = texts.take(1).as_named_input("words").as_download("words")
    files, settings = files_parameter(), {"compute_target": target, "environment": environment}
    first = lines_step(sizes, files=files, run_max_try=5, **settings)
    second = ParallelRunStep(
        "second-step",
        first.parallel_run_config,
        [sizes.read_delimited_files(header=False).keep_columns(["Column2"])],
        PipelineData("out", store),
        side_inputs=[words, sizes, texts],
        arguments=["--words", words, ["--sizes", sizes], Path("some") / "path", 1.5, True],
    )
    third = lines_step(PipelineData("rows"), "third-step", files)
    third.run_after(second)
    before = Pipeline(ws, [third, first])
    after = before.publish("x").pipeline()
    assert [each.name for each in after.steps] == [each.name for each in before.steps]
    assert [each.allow_reuse for each in after.steps] == [False, True, False]
    names = {step.name: [each.name for each in steps] for step, steps in after.dependencies.items()}
    assert names == {
        step.name: [each.name for each in steps] for step, steps in before.dependencies.items()
    }
    assert {n: repr(p) for n, p in after.parameters.items()} == {
        n: repr(p) for n, p in before.parameters.items()
    }
    for old, new in zip(before.steps, after.steps, strict=True):
        old_settings, new_settings = (each._resolve({}, {}) for each in (old, new))
        assert old_settings == new_settings
        assert repr(old.named_inputs) == repr(new.named_inputs)
        assert repr(old.named_side_inputs) == repr(new.named_side_inputs)
        assert [o._destination_text(ws) for o in old.outputs] == [
            o._destination_text(ws) for o in new.outputs
        ]
        ours, theirs = old.parallel_run_config, new.parallel_run_config
        assert repr(ours.environment) == repr(theirs.environment)
        assert repr(ours.compute_target) == repr(theirs.compute_target)
    found = after.steps[1].named_side_inputs[2][1].dataset
    assert (found.id, found.tags) == ("texts:1", {"a": "b"})
    assert after.steps[0].output.overwrite
    assert after.steps[0].parallel_run_config.environment.version == "1"
    size = after.parameters["size"]
    assert all(each.parallel_run_config.mini_batch_size is size for each in after.steps)


def test_what_only_this_process_knows_is_refused_and_named(ws):
    import pandas as pd
    from dask.bag import from_sequence  # any object will do

    class OwnStep(ParallelRunStep):
        """Of a class that no other process can be sure to have."""

    frame = Dataset.Tabular.from_pandas_dataframe(pd.DataFrame({"a": [1]}))
    config = lines_step(PipelineData("x")).parallel_run_config
    held = ParallelRunStep(
        "held-step", config, [frame.as_named_input("rows")], PipelineData("a"), arguments=[1]
    )
    held.parallel_run_config.mini_batch_size = None
    odd = OwnStep("odd-step", config, [Dataset.File.from_files("files")], PipelineData("b"))
    odd.arguments = [from_sequence([1])]
    with pytest.raises(SettingsError) as caught:
        Pipeline(ws, [held, odd]).publish("x")
    first, second, third = sorted(caught.value.problems)
    assert first.startswith("step 'held-step': inputs[0]: dataset: ")
    assert "only in the memory of this process" in first
    assert second.startswith("step 'odd-step' is of class OwnStep, which can't be kept.")
    assert third.startswith("step 'odd-step': arguments[0] is of type Bag, which can't be kept.")
    assert not (ws.folder / "pipelines").exists()


def test_a_cluster_object_is_refused_and_named(ws):
    class Cluster:
        scheduler_address = "inproc://1.2.3.4/5/6"

    target = ComputeTarget.attach(ws, "mine", cluster=Cluster())
    with pytest.raises(SettingsError) as caught:
        Pipeline(ws, [lines_step(PipelineData("x"), compute_target=target)]).publish("x")
    [problem] = caught.value.problems
    assert "compute target 'mine' is a cluster object of this process" in problem
    assert "compute_target" in problem


def test_all_problems_of_publish_are_said(ws, tmp_path):
    (tmp_path / "lines.py").unlink()
    with pytest.raises(SettingsError) as caught:
        Pipeline(ws, [lines_step(PipelineData("x"))]).publish("", 1, [], "yes")
    starts = [problem.split("=")[0] for problem in caught.value.problems]
    expected = ["name", "description", "version", "continue_on_step_failure"]
    assert starts == [*expected, "step 'first-step': entry_script"]


def test_list_get_enable_disable(ws):
    pipeline = Pipeline(ws, [lines_step(PipelineData("x"))])
    first, second = pipeline.publish("one"), pipeline.publish("one", version=2)
    assert PublishedPipeline.list(ws) == [second, first]
    first.disable()
    first.disable()
    assert PublishedPipeline.get(ws, first.id).status == "Disabled"
    assert PublishedPipeline.list(ws) == [second]
    assert PublishedPipeline.list(ws, active_only=False) == [second, first]
    with pytest.raises(SettingsError, match=r"is disabled\. Write published\.enable\(\)"):
        first.submit(ws, "x")
    first.enable()
    assert PublishedPipeline.get(ws, first.id).status == "Active"
    assert second.version == "2"
    for wrong in ("nothing", "../x"):
        with pytest.raises(NameNotFoundError, match="published pipeline"):
            PublishedPipeline.get(ws, wrong)
    with pytest.raises(SettingsError, match="id=3"):
        PublishedPipeline.get(ws, 3)
    assert second.endpoint.startswith("no address: it is submitted from Python, PublishedPipeline")


def test_the_choice_to_go_on_is_published(ws, tmp_path):
    files, names = files_parameter(), ("bad-step", "good-step", "after-good")
    steps = [lines_step(PipelineData("rows"), name, files) for name in names]
    (tmp_path / "bad.py").write_text("def run(mini_batch):\n    raise ValueError('no')\n")
    steps[0].parallel_run_config = lines_step(
        PipelineData("x"), files=files, entry_script="bad.py", run_max_try=1
    ).parallel_run_config
    steps[1].run_after(lines_step(PipelineData("before"), "before-good", files))
    steps[2].run_after(steps[1])
    published = Pipeline(ws, steps).publish("x", continue_on_step_failure=True)

    def last(**options):
        run = published.submit(ws, "x", **options)
        run.wait_for_completion(raise_on_error=False)
        return run.find_step_run("after-good")[0].get_status()

    assert last() == "Completed"
    manifest = json.loads(next(ws.runs_folder.glob("*/run.json")).read_text())
    assert manifest["kind"] != "pipeline" or manifest["continue_on_step_failure"] is True
    assert last(continue_on_step_failure=False) == "Canceled"


def test_secrets_are_for_this_user_alone(ws):
    secret = Dataset.File.from_files("https://me:pa55word@host/x", validate=False)
    plain = Pipeline(ws, [lines_step(PipelineData("x"))])
    plain.steps[0].arguments = []
    with_argument = Pipeline(ws, [lines_step(PipelineData("x"))])
    with_argument.steps[0].arguments = ["pa55word"]
    with_url = Pipeline(ws, [lines_step(PipelineData("x"))])
    with_url.steps[0].inputs = [secret.as_named_input("texts")]
    with_token = Pipeline(
        ws, [lines_step(PipelineData("x"), environment_variables={"TOKEN": "pa55word"})]
    )
    environment = Environment("any")
    environment.environment_variables = {"TOKEN": "pa55word"}
    in_environment = Pipeline(ws, [lines_step(PipelineData("x"), environment=environment)])
    secrets = [(each, True) for each in (with_argument, with_url, in_environment, with_token)]
    for pipeline, private in ((plain, False), *secrets):
        published = pipeline.publish("x")
        text = (ws.folder / "pipelines" / published.id / "1.json").read_text()
        assert "pa55word" not in text
        assert ("private" in json.loads(text)) == private
        made = published.pipeline().steps[0]
        assert repr(made.named_inputs) == repr(pipeline.steps[0].named_inputs)
    assert made.parallel_run_config.environment_variables == {"TOKEN": "pa55word"}
    files = list((ws.folder / "private").iterdir())
    assert len(files) == 4
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    for file in files:
        os.utime(file, (1, 1))
    ws.sweep_private()
    assert sorted(files) == sorted((ws.folder / "private").iterdir())


def test_what_has_gone_since_is_named_at_submit(ws, tmp_path):
    target = ComputeTarget.attach(ws, "cluster", address="tcp://127.0.0.1:1")
    published = Pipeline(ws, [lines_step(PipelineData("x"), compute_target=target)]).publish("x")
    target.delete()
    with pytest.raises(SettingsError, match="no compute target has the name 'cluster'"):
        published.submit(ws, "x")
    store = Datastore.register_local(ws, "elsewhere", tmp_path)
    published = Pipeline(ws, [lines_step(PipelineData("x", store))]).publish("x")
    store.unregister()
    with pytest.raises(NameNotFoundError, match="elsewhere"):
        published.submit(ws, "x")
    published = Pipeline(ws, [lines_step(PipelineData("x"))]).publish("x")
    shutil.rmtree(ws.folder / "pipelines" / published.id / "code")
    with pytest.raises(StorageError, match="Publish it again"):
        published.submit(ws, "x")


def test_another_layout_or_version_is_said(ws):
    pipeline = Pipeline(ws, [lines_step(PipelineData("x"))])
    pipeline.steps[0].arguments = []  # else the definition is in a private file
    published = pipeline.publish("x")
    file = ws.folder / "pipelines" / published.id / "1.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps({**record, "layout": 99}))
    with pytest.raises(WorkspaceError, match="layout 99"):
        PublishedPipeline.get(ws, published.id).pipeline()
    record["definition"]["steps"][0]["values"]["colour"] = "red"
    file.write_text(json.dumps(record))
    with pytest.raises(WorkspaceError, match=r"another version of daskrun.*colour"):
        PublishedPipeline.get(ws, published.id).pipeline()


def test_a_published_pipeline_is_published_again(ws, tmp_path):
    published = two_steps(ws).publish("one")
    shutil.rmtree(tmp_path / "src")
    again = published.pipeline().publish("two")
    shutil.rmtree(ws.folder / "pipelines" / published.id)
    assert text_of(again.submit(ws, "x"), "count", "counted", "count.txt") == "rows 6 0.5"


def test_another_workspace_is_refused(ws, tmp_path):
    other = Workspace.create("other", path=tmp_path / "others")
    published = two_steps(ws).publish("one")
    with pytest.raises(SettingsError, match="same workspace"):
        published.submit(other, "x")


PUBLISH = """
import os, signal, sys
from daskrun import *
folder, count = sys.argv[1], int(sys.argv[2])
ws = Workspace(folder)
config = ParallelRunConfig(entry_script="lines.py", error_threshold=0, output_action="append_row",
    environment_variables={"TOKEN": "pa55word"})
files = Dataset.File.from_files("files")
pipeline = Pipeline(ws, [ParallelRunStep("first-step", config, [files], PipelineData("rows"))])
STEPS = {"open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "shutil.copyfile"}
done = 0
def watch(event, arguments):
    global done
    if event in STEPS and any(str(a).startswith(folder) for a in arguments[:2]):
        done += 1
        if done == count:
            os.kill(os.getpid(), signal.SIGKILL)
if count:
    pipeline.validate()  # imports are done before
    PublishedPipeline.list(ws)
    for count in range(1, 100):
        child = os.fork()
        if not child:
            done = 0
            sys.addaudithook(watch)
            pipeline.publish("thing")
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(status, flush=True)
        sys.stdin.readline()
        if status != -signal.SIGKILL:
            break
else:
    for _ in range(10):
        pipeline.publish("thing")
"""


@pytest.mark.slow
def test_a_publish_that_is_killed_leaves_none_or_a_whole_one(ws, tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", PUBLISH, str(ws.folder), "1"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, **pipes)
    count, whole = 0, 0
    try:
        for line in process.stdout:
            count += 1
            there = PublishedPipeline.list(ws)
            assert all(each.pipeline().validate() == [] for each in there)
            assert len(there) - whole in ((1,) if int(line) == 0 else (0, 1))
            whole = len(there)
            last = int(line)
            process.stdin.write("\n")
            process.stdin.flush()
        assert process.wait(30) == 0, process.stderr.read()
    finally:
        process.kill()
        process.communicate()
    assert last == 0
    assert count > 10
    # What they have left goes once it is old.
    private, kept = ws.folder / "private", ws.folder / "pipelines"
    assert len(list(kept.iterdir())) > whole
    for path in (*private.iterdir(), *kept.iterdir()):
        os.utime(path, (time.time() - 1e6,) * 2)
    Pipeline(ws, [lines_step(PipelineData("x"))]).publish("sweeps")
    assert len(list(kept.iterdir())) == whole + 1
    assert len(list(private.iterdir())) == whole + 1
    assert all(each.pipeline().validate() == [] for each in PublishedPipeline.list(ws))


@pytest.mark.slow
def test_several_processes_publish_at_once(ws):
    command = [sys.executable, "-W", "ignore", "-c", PUBLISH, str(ws.folder), "0"]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in started:
        assert process.communicate(timeout=60)[1] == ""
        assert process.returncode == 0
    found = PublishedPipeline.list(ws)
    assert len({each.id for each in found}) == 30
    assert all(each.pipeline().validate() == [] for each in found[::10])


PUBLISH_RUN = """
import sys
from daskrun import Experiment, PipelineRun, Workspace
run = PipelineRun(Experiment(Workspace(sys.argv[1]), "first"), sys.argv[2])
print(run.publish_pipeline(name="of a run", description="d", version="1.0").id)
"""


@pytest.mark.slow
def test_the_pipeline_of_a_run_is_published_as_it_was(ws, tmp_path):
    run = two_steps(ws).submit("first", {"word": "z"})
    text = text_of(run, "first-step", "rows", "rows.csv")
    counted = text_of(run, "count", "counted", "count.txt")
    for file in ("lines.py", "src/count.py", "src/words.py"):
        (tmp_path / file).write_text("raise RuntimeError('changed')")
    command = [sys.executable, "-c", PUBLISH_RUN, str(ws.folder), run.id]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    published = PublishedPipeline.get(ws, done.stdout.strip())
    assert (published.name, published.description, published.version) == ("of a run", "d", "1.0")
    shutil.rmtree(ws.runs_folder)  # a published pipeline has a copy of its own
    again = published.submit(ws, "again")
    assert text_of(again, "first-step", "rows", "rows.csv") == text.replace(",z", ",a")
    assert text_of(again, "count", "counted", "count.txt") == counted
    third = again.publish_pipeline("once more", continue_on_step_failure=True)
    assert third.continue_on_step_failure
    assert not published.continue_on_step_failure
    assert text_of(third.submit(ws, "third"), "count", "counted", "count.txt") == counted


def test_the_choice_to_go_on_is_that_of_the_run(ws):
    pipeline = Pipeline(ws, [lines_step(PipelineData("x"))])
    run = pipeline.submit("first", continue_on_step_failure=True)
    run.wait_for_completion()
    assert run.publish_pipeline("x").continue_on_step_failure


def test_a_run_whose_pipeline_can_not_be_kept_says_why(ws):
    frame = Dataset.Tabular.from_pandas_dataframe(pd.DataFrame({"a": [1]}))
    of_frame = lines_step(PipelineData("x"), mini_batch_size="1KB")
    of_frame.inputs = [frame.as_named_input("rows")]
    run = Pipeline(ws, [of_frame]).submit("first")
    run.wait_for_completion(raise_on_error=False)
    with pytest.raises(SettingsError, match="rows") as caught:
        run.publish_pipeline("x")
    assert f"run {run.id} can't be published: " in str(caught.value)
    assert str(caught.value).endswith("Publish what was submitted: pipeline.publish(name).")
    (run.folder / "pipeline.json").unlink()
    with pytest.raises(SettingsError, match="an earlier daskrun submitted it"):
        run.publish_pipeline("x")
    with pytest.raises(SettingsError, match="name='' is not a name"):
        Pipeline(ws, [lines_step(PipelineData("x"))]).submit("first").publish_pipeline("")


def test_secrets_of_a_run_are_published_by_the_process_that_submitted_it(ws):
    step = lines_step(PipelineData("x"), environment_variables={"TOKEN": "pa55word"})
    run = Pipeline(ws, [step]).submit("first")
    run.wait_for_completion()
    command = [sys.executable, "-c", PUBLISH_RUN, str(ws.folder), run.id]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "holds what may be secret, environment variables or a URL with a" in done.stderr
    assert "pa55word" not in (run.folder / "pipeline.json").read_text()
    (made,) = run.publish_pipeline("x").pipeline().steps
    assert made.parallel_run_config.environment_variables == {"TOKEN": "pa55word"}


def test_code_of_a_run_that_is_gone_is_named(ws):
    run = Pipeline(ws, [lines_step(PipelineData("x"))]).submit("first")
    run.wait_for_completion()
    shutil.rmtree(run.get_steps()[0].folder)
    with pytest.raises(StorageError, match=r"lines\.py is gone: it was kept with the pipeline"):
        run.publish_pipeline("x")
