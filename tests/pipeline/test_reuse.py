"""Using an earlier run's output: when, when not, and what is said of it."""

import json
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest

from daskrun import (
    Dataset,
    Environment,
    Experiment,
    Model,
    OutputFileDatasetConfig,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    Workspace,
)
from daskrun.pipeline.execution.reuse import _differences

SCRIPT = """
import os, sys
from pathlib import Path
from daskrun import Model, Run
def init():
    if "--model" in sys.argv:
        Model.get_model_path("scores")
def run(mini_batch):
    with open({calls!r}, "a") as file:
        file.write("x")
    Run.get_context().log("calls", 1)
    return [f"{{Path(file).name}} {{os.environ.get('MARK', '')}}" for file in mini_batch]
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    for n in range(3):
        (tmp_path / "files" / f"{n}.txt").write_text("x" * n)
    (tmp_path / "score.py").write_text(SCRIPT.format(calls=str(tmp_path / "calls")))
    return Workspace.create("trial", path=tmp_path)


def with_variables(**variables):
    environment = Environment("any")
    environment.environment_variables = variables
    return environment


def config(**settings):
    usual = {
        "entry_script": "score.py",
        "error_threshold": 0,
        "output_action": "append_row",
        "compute_target": "inline",
    }
    return ParallelRunConfig(**{**usual, **settings})


def run_of(ws, *, arguments=None, inputs=None, output=None, options=None, reuse=True, **settings):
    inputs = inputs or [Dataset.File.from_files("files").as_named_input("texts")]
    output = output or PipelineData("out")
    step = ParallelRunStep(
        "score-files", config(**settings), inputs, output, arguments=arguments, allow_reuse=reuse
    )
    run = Experiment(ws, "reuse").submit(Pipeline(ws, [step]), **(options or {}))
    run.wait_for_completion(timeout_seconds=60)
    return run.get_steps()[0]


def rows(step, name="out"):
    reference = step.get_output_data(name)
    folder = reference.datastore.folder / reference.path_on_datastore
    return (folder / "parallel_run_step.txt").read_text()


def calls(ws):
    return len((ws.folder.parent / "calls").read_text())


def test_a_run_of_the_same_is_not_made_again(work):
    first = run_of(work)
    assert str(first.explain_reuse()) == "It ran: no run of the step has completed before."
    again = run_of(work)
    assert calls(work) == 1
    assert again.get_status() == "Completed"
    assert again.reused_run_id == first.id
    assert first.reused_run_id is None
    assert again.message.startswith(f"used the output of {first.id}")
    assert rows(again) == rows(first) == "0.txt \n1.txt \n2.txt \n"
    assert again.get_metrics() == first.get_metrics() == {"calls": 1}
    report = again.get_details()["daskrun"]["report"]
    assert (report["items"], report["items_succeeded"], report["attempts"]) == (3, 3, 0)
    assert first.id in (again.folder / "logs" / "job_result.txt").read_text()
    assert not (work.get_default_datastore().folder / "azureml" / again.id).exists()
    third = run_of(work)  # of the one that ran, not of the one that used it
    assert third.reused_run_id == first.id
    found = Experiment(work, "reuse").get_run(third.parent.id)
    assert found.explain_reuse()["score-files"].run_id == first.id


@pytest.mark.parametrize(
    ("settings", "part", "told"),
    [
        ({"mini_batch_size": 2}, "settings", "mini_batch_size was 10 and is 2"),
        ({"error_threshold": 5}, "settings", "error_threshold was 0 and is 5"),
        ({"arguments": ["--x"]}, "arguments", "0 is new"),
        ({"environment_variables": {"MARK": "m"}}, "environment", "variables has changed"),
        ({"environment": with_variables(MARK="m")}, "environment", "variables has changed"),
        ({"entry_script": "other.py"}, "snapshot", "other.py is new"),
        ({"output": PipelineData("other")}, "outputs", "other is new"),
    ],
)
def test_what_differs_is_named(work, settings, part, told):
    shutil.copy("score.py", "other.py")
    first = run_of(work)
    again = run_of(work, **settings)
    found = again.explain_reuse()
    assert found.run_id is None
    assert found.nearest == first.id
    assert told in found.differences[part]
    assert f"  {part}: " in str(found)
    assert calls(work) > 1


def test_what_a_script_imports_from_beside_it_is_part_of_it(work, tmp_path):
    (tmp_path / "beside.py").write_text("import deeper.one\nfrom importlib import import_module\n")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "__init__.py").touch()
    (tmp_path / "deeper" / "one.py").write_text("X = 1\n")
    (tmp_path / "unused.py").touch()
    (tmp_path / "with_others.py").write_text(
        "import json, beside, deeper.one\n"
        "def run(mini_batch):\n    return [deeper.one.X for _ in mini_batch]\n"
    )
    first = run_of(work, entry_script="with_others.py")
    (tmp_path / "unused.py").write_text("changed = True\n")
    assert run_of(work, entry_script="with_others.py").reused_run_id == first.id
    # of another size: within a second Python can't tell by the time that its bytecode is old
    (tmp_path / "deeper" / "one.py").write_text("X = 22\n")
    again = run_of(work, entry_script="with_others.py")
    assert again.explain_reuse().differences == {"script": ["deeper/one.py has changed"]}
    assert rows(again) == "22\n22\n22\n"
    with (tmp_path / "beside.py").open("a") as file:
        file.write("import_module('unused')\n")
    found = run_of(work, entry_script="with_others.py").explain_reuse().differences["script"]
    assert sorted(found) == ["beside.py has changed", "unused.py is new"]


def test_inputs_in_another_order_are_others(work):
    texts = Dataset.File.from_files("files")
    one = Dataset.File.from_files("files/1.txt").as_named_input("one")
    first = run_of(work, inputs=[texts.as_named_input("texts"), one], mini_batch_size=1)
    again = run_of(work, inputs=[one, texts.as_named_input("texts")], mini_batch_size=1)
    assert set(again.explain_reuse().differences) == {"inputs"}
    assert rows(again) != rows(first)


def test_packages_are_part_of_the_environment(work, tmp_path, monkeypatch):
    site = tmp_path / "site"
    (site / "some_package-1.0.dist-info").mkdir(parents=True)
    monkeypatch.syspath_prepend(site)
    first = run_of(work)
    assert run_of(work).reused_run_id == first.id
    (site / "some_package-1.0.dist-info").rename(site / "some_package-1.1.dist-info")
    found = run_of(work).explain_reuse().differences
    assert found == {"environment": ['package some_package was "1.0" and is "1.1"']}


def test_a_dataframe_is_always_run(work, tmp_path):
    import pandas as pd

    (tmp_path / "table.py").write_text("def run(mini_batch):\n    return mini_batch\n")
    for _ in range(2):
        table = Dataset.Tabular.from_pandas_dataframe(pd.DataFrame({"a": [1, 2]})).as_named_input(
            "t"
        )
        found = run_of(work, inputs=[table], entry_script="table.py").explain_reuse()
    assert "input 't' is a dataframe" in found.message


def test_files_whose_time_nobody_tells_are_always_run(work, monkeypatch):
    run_of(work)
    time = Path("files/1.txt").stat().st_mtime_ns
    monkeypatch.setattr("daskrun.pipeline.execution.reuse.UNKNOWN", time)
    assert "doesn't tell when" in run_of(work).explain_reuse().message


def test_a_run_that_was_resumed_with_other_settings_is_of_those(work, tmp_path):
    (tmp_path / "fails.py").write_text(
        "def run(mini_batch):\n"
        "    if '1.txt' in mini_batch[0]:\n        raise ValueError('no')\n"
        "    return mini_batch\n"
    )
    settings = {"entry_script": "fails.py", "mini_batch_size": 1, "run_max_try": 1}
    with pytest.raises(Exception, match="failed"):
        run_of(work, **settings)
    run = next(Experiment(work, "reuse").get_runs())
    run.resume(error_threshold=-1).wait_for_completion(timeout_seconds=60)
    with pytest.raises(Exception, match="failed"):
        run_of(work, **settings)
    assert run_of(work, **settings, error_threshold=-1).reused_run_id == run.get_steps()[0].id


def test_a_run_whose_end_was_not_noted_is_not_used(work):
    first = run_of(work)
    last = max((first.folder / "states").iterdir())
    last.unlink()
    assert run_of(work).reused_run_id is None


def test_settings_that_no_result_depends_on_make_no_difference(work):
    first = run_of(work)
    again = run_of(work, node_count=2, process_count_per_node=2, logging_level="DEBUG")
    assert again.reused_run_id == first.id


def test_changed_code_and_data_are_run(work, tmp_path):
    run_of(work)
    with (tmp_path / "score.py").open("a") as file:
        file.write("# more\n")
    found = run_of(work).explain_reuse()
    assert found.differences == {"snapshot": ["score.py has changed"]}
    (tmp_path / "files" / "1.txt").write_text("longer than before")
    found = run_of(work).explain_reuse()
    assert found.differences == {"inputs": ["texts has changed"]}
    (tmp_path / "files" / "3.txt").touch()
    assert run_of(work).explain_reuse().differences == {"inputs": ["texts has changed"]}
    assert calls(work) == 4


def test_what_may_not_be_used_is_not(work):
    run_of(work)
    assert "allow_reuse=False" in run_of(work, reuse=False).explain_reuse().message
    refused = run_of(work, options={"regenerate_outputs": True}).explain_reuse()
    assert "regenerate_outputs=True" in refused.message
    assert calls(work) == 3


def registered(ws, weights="1"):
    """Give a model of one file in a folder, as a program that starts registers it."""
    folder = Path(tempfile.mkdtemp(dir=ws.folder.parent))
    (folder / "weights").write_text(weights)
    return Model.register(ws, folder, "scores")


def test_another_model_is_a_difference_only_where_one_was_used(work):
    registered(work)
    with_model = {"arguments": ["--model"]}
    first = run_of(work, **with_model)
    without = run_of(work)
    assert run_of(work, **with_model).reused_run_id == first.id
    registered(work, "2")
    found = run_of(work, **with_model).explain_reuse()
    assert found.differences == {"models": ["'scores': version 1 was the newest, now it is 2"]}
    assert run_of(work).reused_run_id == without.id
    registered(work)
    assert run_of(work, **with_model).reused_run_id == first.id


def test_a_program_that_registers_its_model_at_each_start_uses_what_there_is(work):
    with_model = {"arguments": ["--model"]}
    before = registered(work)
    first = run_of(work, **with_model)
    assert registered(work).version == 2
    assert run_of(work, **with_model).reused_run_id == first.id
    before.delete()
    assert run_of(work, **with_model).reused_run_id == first.id
    assert calls(work) == 1


def test_a_model_that_was_registered_without_a_digest_is_known_by_its_version(work):
    registered(work)
    for file in work.folder.glob("models/scores/*.json"):
        record = json.loads(file.read_text())
        del record["digest"]
        file.write_text(json.dumps(record))
    with_model = {"arguments": ["--model"]}
    first = run_of(work, **with_model)
    assert run_of(work, **with_model).reused_run_id == first.id
    registered(work)
    assert run_of(work, **with_model).reused_run_id is None


@pytest.mark.parametrize("asked", ["Model(ws, 'm')", "Model.list(ws, 'm', latest=True)[0]"])
def test_models_are_used_however_they_are_looked_for(work, tmp_path, asked):
    (tmp_path / "newest.py").write_text(
        "from daskrun import Model, Run\n"
        "def run(mini_batch):\n"
        "    ws = Run.get_context().experiment.workspace\n"
        "    try:\n"
        f"        return [{asked}.id for _ in mini_batch]\n"
        "    except (LookupError, IndexError):\n"
        "        return ['none' for _ in mini_batch]\n"
    )
    (tmp_path / "weights").write_text("1")
    first = run_of(work, entry_script="newest.py")
    assert rows(first) == "none\n" * 3
    assert run_of(work, entry_script="newest.py").reused_run_id == first.id
    Model.register(work, "weights", "m")
    again = run_of(work, entry_script="newest.py")
    told = "'m': version none was the newest, now it is 1"
    assert again.explain_reuse().differences == {"models": [told]}
    assert rows(again) == "m:1\n" * 3
    Model.register(work, "weights", "m")  # the same, but what the script returns tells the version
    third = run_of(work, entry_script="newest.py")
    assert rows(third) == "m:2\n" * 3
    told = "'m': version 1 was the newest, now it is 2 with the same files"
    assert told in third.explain_reuse().differences["models"][0]


def test_an_output_outlives_the_run_that_made_it(work):
    first, again = run_of(work), run_of(work)
    shutil.rmtree(first.folder)
    assert rows(again) == "0.txt \n1.txt \n2.txt \n"
    assert again.reused_run_id == first.id
    assert first.id in run_of(work).explain_reuse().message


def test_an_output_that_is_gone_or_changed_is_made_again(work):
    first = run_of(work)
    reference = first.get_output_data("out")
    folder = reference.datastore.folder / reference.path_on_datastore
    (folder / "parallel_run_step.txt").write_text("something else\n")
    again = run_of(work)
    assert again.explain_reuse().differences == {
        "outputs": ["what it wrote has been changed since"]
    }
    shutil.rmtree(folder)
    third = run_of(work)
    assert third.reused_run_id == again.id
    assert calls(work) == 2


def test_a_run_that_failed_or_was_removed_is_not_used(work, tmp_path):
    (tmp_path / "bad.py").write_text("def run(mini_batch):\n    return []\n")
    for _ in range(2):
        with pytest.raises(Exception, match="failed"):
            run_of(work, entry_script="bad.py")
    first = run_of(work)
    shutil.rmtree(first.folder)
    assert run_of(work).reused_run_id is None


def test_an_earlier_run_that_is_damaged_keeps_none_from_running(work):
    first, second = run_of(work), run_of(work, mini_batch_size=1)
    (second.folder / "identity.json").write_text("{")
    assert run_of(work, mini_batch_size=2).explain_reuse().nearest == first.id
    (first.folder / "run.json").write_text("{")
    for file in first.folder.joinpath("states").iterdir():
        file.write_text("{")
    assert run_of(work).get_status() == "Completed"


def test_a_query_is_always_run(work, tmp_path):
    with sqlite3.connect(tmp_path / "rows.db") as base:
        base.execute("create table t (a int)")
        base.execute("insert into t values (1)")
    (tmp_path / "table.py").write_text("def run(mini_batch):\n    return mini_batch\n")
    table = Dataset.Tabular.from_sql_query("select * from t", connection="sqlite:///rows.db")
    for _ in range(2):
        found = run_of(work, inputs=[table.as_named_input("t")], entry_script="table.py")
    assert "input 't' is a query" in found.explain_reuse().message


@pytest.mark.slow
def test_steps_that_feed_steps_are_used_as_far_as_they_are_the_same(work, tmp_path, capsys):
    (tmp_path / "second.py").write_text("def run(mini_batch):\n    return mini_batch.iloc[:, :1]\n")

    def submit():
        out = OutputFileDatasetConfig("names").register_on_complete("names")
        table = out.read_delimited_files(separator=" ", header=False).as_named_input("names")
        first = ParallelRunStep("first-step", config(), [Dataset.File.from_files("files")], out)
        second = ParallelRunStep(
            "second-step", config(entry_script="second.py"), [table], PipelineData("out")
        )
        run = Experiment(work, "reuse").submit(Pipeline(work, [first, second]))
        run.wait_for_completion(show_output=True, timeout_seconds=60)
        return run.get_steps()

    def told():
        return [line for line in capsys.readouterr().out.splitlines() if "used the output" in line]

    before = submit()
    assert told() == []
    again = submit()
    assert [each.reused_run_id for each in again] == [each.id for each in before]
    unchanged = "nothing it depends on has changed."
    assert told() == [
        f"first-step used the output of {before[0].id}: {unchanged}",
        f"second-step used the output of {before[1].id}: {unchanged}",
        f"run {again[0].parent.id} Completed: {again[0].parent.message}",
    ]
    assert Dataset.get_by_name(work, "names").version == 2
    assert again[0].parent.message == "all 2 steps are done. 2 used the output of an earlier run."
    with (tmp_path / "second.py").open("a") as file:
        file.write("# more\n")
    third = submit()
    assert [each.reused_run_id for each in third] == [before[0].id, None]
    assert [line.split(":")[0] for line in told()] == [
        f"first-step used the output of {before[0].id}",
        f"run {third[0].parent.id} Completed",
    ]
    assert rows(third[1]) == rows(before[1])


def test_of_one_step_the_end_says_it_once(work, capsys):
    before, again = run_of(work), run_of(work)
    assert again.parent.wait_for_completion(show_output=True) == "Completed"
    assert capsys.readouterr().out.count(f"used the output of {before.id}") == 1
    assert again.wait_for_completion(show_output=True) == "Completed"
    assert capsys.readouterr().out.count(f"used the output of {before.id}") == 1


def test_what_was_logged_goes_with_the_output_and_tags_do_not(work):
    first = run_of(work)
    first.tag("checked", "by hand")
    again = run_of(work)
    again.tag("own", "1")
    assert first.tags == {"checked": "by hand"}
    assert again.tags == {"own": "1"}
    logged = again.parent.get_metrics(recursive=True)
    assert logged == {again.parent.id: {}, again.id: {"calls": 1}}


def test_secrets_are_not_in_what_others_can_read(work):
    secret = {"KEY": "hidden-value"}
    step = run_of(work, environment_variables=secret, environment=with_variables(**secret))
    for file in step.folder.rglob("*.json"):
        assert "hidden-value" not in file.read_text(), file
    assert (step.folder / "identity.json").stat().st_mode & 0o077 == 0
    assert "KEY" not in json.loads((step.folder / "reuse.json").read_text())


@pytest.mark.slow
def test_nothing_was_looked_for_before_a_step_has_begun(work):
    step = run_of(work)
    (step.folder / "reuse.json").unlink()
    assert "has not begun" in step.explain_reuse().message


def test_what_has_changed_is_told_without_digests():
    first, second = "a" * 32, "b" * 32
    before = {"words": f"mount {first}", "names": f"mount {first}", "3": "12"}
    now = {"words": f"mount {second}", "names": f"download {first}", "3": "7"}
    assert list(_differences(before, now)) == [
        "words has changed",
        'names was "mount" and is "download"',
        '[3] was "12" and is "7"',
    ]
