"""Steps that feed steps: order, side by side, what is written and read between them."""

import copy
import json
import logging
import time

import pytest

from daskrun import (
    Dataset,
    DatasetError,
    Datastore,
    Experiment,
    OutputFileDatasetConfig,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    SettingsError,
    Workspace,
)

LINES = """
from pathlib import Path
def run(mini_batch):
    return [f"{Path(file).name},{len(Path(file).read_text())}" for file in mini_batch]
"""
DOUBLE = """
def run(mini_batch):
    return [f"{name}: {2 * size}" for name, size in mini_batch.itertuples(index=False)]
"""
WRITE = """
from pathlib import Path
from daskrun import EntryScript
def run(mini_batch):
    for file in mini_batch:
        name = Path(file).name
        Path(EntryScript().output_dir, name).write_text(Path(file).read_text() * 3)
    return mini_batch
"""
BAD = "def run(mini_batch):\n    raise ValueError('no good')\n"
SLOW = "import time\ndef run(mini_batch):\n    time.sleep(0.3)\n    return mini_batch\n"


@pytest.fixture
def ws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    for n in range(6):
        (tmp_path / "files" / f"{n}.txt").write_text("x" * n)
    scripts = {"lines": LINES, "double": DOUBLE, "write": WRITE, "bad": BAD, "slow": SLOW}
    for name, code in scripts.items():
        (tmp_path / f"{name}.py").write_text(code)
    return Workspace.create("trial", path=tmp_path)


def config(script, **settings):
    usual = {
        "error_threshold": 0,
        "output_action": "append_row",
        "compute_target": "inline",
        "run_max_try": 1,
    }
    return ParallelRunConfig(entry_script=f"{script}.py", **{**usual, **settings})


def step(name, script, inputs=None, output=None, **settings):
    inputs = inputs or [Dataset.File.from_files("files").as_named_input("texts")]
    return ParallelRunStep(name, config(script, **settings), inputs, output or PipelineData("out"))


def run_of(ws, *steps, **options):
    run = Experiment(ws, "feeding").submit(Pipeline(ws, list(steps)), **options)
    run.wait_for_completion(raise_on_error=False, timeout_seconds=60)
    return run


def rows(run, name, output="out", file="parallel_run_step.txt"):
    reference = run.find_step_run(name)[0].get_output_data(output)
    return (reference.datastore.folder / reference.path_on_datastore / file).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("target", ["inline", None])
def test_rows_of_one_step_are_the_table_of_the_next(ws, target):
    sizes = PipelineData("sizes")
    first = step("first-step", "lines", output=sizes, compute_target=target)
    table = sizes.read_delimited_files(header=False)
    second = step("second-step", "double", [table], compute_target=target)
    run = run_of(ws, second)  # the first is taken in
    assert run.get_status() == "Completed", run.message
    assert [each.name for each in run.get_children()] == ["first-step", "second-step"]
    assert rows(run, "second-step") == "".join(f"{n}.txt: {2 * n}\n" for n in range(6))
    assert first in Pipeline(ws, [second]).steps


@pytest.mark.slow
def test_files_of_one_step_are_the_items_of_the_next_two_side_by_side(ws):
    thrice = OutputFileDatasetConfig("thrice")
    first = step("first-step", "write", output=thrice, output_action="summary_only")
    later = [
        step("all-lines", "lines", [thrice]),
        step("two-lines", "lines", [thrice.as_dataset().skip(1).take(2)], mini_batch_size=1),
    ]
    run = run_of(ws, *later, first)
    assert run.get_status() == "Completed", run.message
    assert run.message == "all 3 steps are done."
    assert rows(run, "all-lines") == "".join(f"{n}.txt,{3 * n}\n" for n in range(6))
    assert rows(run, "two-lines") == "1.txt,3\n2.txt,6\n"


@pytest.mark.slow
def test_steps_that_need_nothing_of_each_other_run_at_once(ws):
    steps = [step(f"step-{n}", "slow", compute_target=None, mini_batch_size=1) for n in range(2)]
    run = run_of(ws, *steps)
    assert run.get_status() == "Completed", run.message
    (a, b) = [
        [s["time"] for s in each.get_details()["daskrun"]["states"]] for each in run.get_steps()
    ]
    assert a[1] < b[2]  # each began before the other ended
    assert b[1] < a[2]


@pytest.mark.slow
def test_steps_side_by_side_leave_dask_as_it_was(ws, capfd):
    import dask
    import distributed  # noqa: F401 - brings its configuration and its handlers

    handlers = logging.getLogger("distributed").handlers
    before = [each.level for each in handlers], copy.deepcopy(dask.config.config)
    steps = [step(f"step-{n}", "lines", compute_target=None) for n in range(4)]
    assert run_of(ws, *steps).get_status() == "Completed"
    assert ([each.level for each in handlers], dask.config.config) == before
    assert "distributed." not in capfd.readouterr().err


@pytest.mark.slow
def test_run_after_orders_steps(ws):
    steps = [step(f"step-{n}", "lines") for n in range(3)]
    steps[0].run_after(steps[1])
    steps[1].run_after(steps[2])
    run = run_of(ws, steps[0])
    assert [each.name for each in run.get_steps()] == ["step-2", "step-1", "step-0"]
    times = [
        [s["time"] for s in each.get_details()["daskrun"]["states"]] for each in run.get_steps()
    ]
    assert times[0][2] <= times[1][1]
    assert times[1][2] <= times[2][1]


def test_the_output_goes_where_it_is_told(ws, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    store = Datastore.register_local(ws, "elsewhere", tmp_path / "elsewhere")
    out = OutputFileDatasetConfig("sizes", destination=(store, "scores/{run-id}/{output-name}"))
    run = run_of(ws, step("first-step", "lines", output=out))
    (made,) = run.get_steps()
    folder = tmp_path / "elsewhere" / "scores" / made.id / "sizes"
    assert (folder / "parallel_run_step.txt").read_text().startswith("0.txt,0\n")
    assert made.get_output_data("sizes").path_on_datastore == f"scores/{made.id}/sizes"


def test_a_fixed_destination_is_not_written_twice_unless_asked(ws):
    out = OutputFileDatasetConfig("sizes", destination=(ws.get_default_datastore(), "fixed"))
    assert run_of(ws, step("first-step", "lines", output=out)).get_status() == "Completed"
    with pytest.raises(SettingsError, match=r"parallel_run_step\.txt"):
        run_of(ws, step("first-step", "lines", output=out))
    again = step("first-step", "lines", output=out.as_upload(overwrite=True), mini_batch_size=2)
    assert run_of(ws, again).get_status() == "Completed"


def test_a_submit_that_is_refused_leaves_nothing_where_it_was_to_write(ws):
    store = ws.get_default_datastore()
    outs = [OutputFileDatasetConfig("sizes", destination=(store, name)) for name in "ab"]
    (store.folder / "b").mkdir(parents=True)
    (store.folder / "b" / "parallel_run_step.txt").touch()
    steps = [step(f"step-{n}", "lines", output=out) for n, out in enumerate(outs)]
    with pytest.raises(SettingsError, match="exists already"):
        run_of(ws, *steps)
    assert not list((store.folder / "a").iterdir())


@pytest.mark.slow
def test_an_output_is_registered_when_its_step_has_completed(ws):
    out = OutputFileDatasetConfig("sizes")
    kept = out.register_on_complete("night_sizes", description="of a night", tags={"n": "1"})
    first = step("first-step", "lines", output=kept)
    table = out.read_delimited_files(header=False)  # of the object before: the same output
    run = run_of(ws, first, step("second-step", "double", [table]))
    assert run.get_status() == "Completed", run.message
    found = Dataset.get_by_name(ws, "night_sizes")
    assert (found.version, found.description, found.tags) == (1, "of a night", {"n": "1"})
    assert len(found.to_path()) == 1
    bad = step("bad-step", "bad", output=kept)
    assert run_of(ws, bad).get_status() == "Failed"
    assert Dataset.get_by_name(ws, "night_sizes").version == 1


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": " "}, "is not a name"),
        ({"name": "a/b"}, "has a slash"),
        ({"name": "a", "tags": {"n": 1}}, "is not a text"),
        ({"name": "a", "description": 1}, "description=1 is not a text"),
    ],
)
def test_what_can_not_be_registered_is_refused_at_once(wrong, told):
    with pytest.raises(SettingsError, match=told):
        OutputFileDatasetConfig("sizes").register_on_complete(**wrong)
    with pytest.raises(SettingsError, match="overwrite='yes'"):
        OutputFileDatasetConfig("sizes").as_upload(overwrite="yes")


def test_a_failed_step_ends_what_needs_it_and_the_run(ws):
    out = PipelineData("bad_out")
    bad = step("bad-step", "bad", output=out)
    needs = step("needs-it", "lines", [out])
    after = step("after-it", "lines")
    after.run_after(needs)
    run = run_of(ws, bad, needs, after)
    assert run.get_status() == "Failed"
    assert [each.get_status() for each in run.get_steps()] == ["Failed", "Canceled", "Canceled"]
    assert "not started: step 'bad-step'" in run.find_step_run("after-it")[0].message


@pytest.mark.slow
def test_others_go_on_if_asked(ws):
    out, other_out = PipelineData("bad_out"), PipelineData("good_out")
    bad = step("bad-step", "bad", output=out)
    good = step("good-step", "lines", output=other_out)
    good.run_after(step("before-good", "slow"))
    needs = [step("needs-bad", "lines", [out]), step("needs-good", "lines", [other_out])]
    run = run_of(ws, bad, good, *needs, continue_on_step_failure=True)
    assert run.get_status() == "Failed"
    assert "step 'bad-step'" in run.message
    assert {each.name: each.get_status() for each in run.get_steps()} == {
        "bad-step": "Failed",
        "before-good": "Completed",
        "good-step": "Completed",
        "needs-bad": "Canceled",
        "needs-good": "Completed",
    }
    assert run.find_step_run("needs-bad")[0].message == (
        "not started: it needs step 'bad-step', which failed"
    )


@pytest.mark.slow
def test_a_failed_pipeline_goes_on_with_what_is_missing(ws, tmp_path):
    (tmp_path / "sometimes.py").write_text(
        "import pathlib\ndef run(mini_batch):\n"
        f"    if not pathlib.Path({str(tmp_path / 'ready')!r}).exists():\n"
        "        raise ValueError('not yet')\n"
        "    return [f'{pathlib.Path(each).stem},1' for each in mini_batch]\n"
    )
    out = PipelineData("sizes")
    first = step("first-step", "lines")
    second = step("second-step", "sometimes", output=out)
    second.run_after(first)
    third = step("third-step", "double", [out.read_delimited_files(header=False)])
    run = run_of(ws, third, second)
    assert run.get_status() == "Failed"
    before = run.find_step_run("first-step")[0].get_details()["daskrun"]["states"]
    (tmp_path / "ready").touch()
    again = Experiment(ws, "feeding").get_run(run.id)
    again.resume(retry_failed=True).wait_for_completion()
    assert rows(again, "third-step") == "".join(f"{n}: 2\n" for n in range(6))
    assert run.find_step_run("first-step")[0].get_details()["daskrun"]["states"] == before


def test_a_step_without_anything_to_read_fails_by_name(ws):
    out = PipelineData("empty_out")
    writes_nothing = step("first-step", "lines", output=out, output_action="summary_only")
    run = run_of(ws, writes_nothing, step("second-step", "lines", [out]))
    assert run.get_status() == "Failed"
    assert run.message.startswith("step 'second-step': ")
    assert "daskrun itself failed" not in run.message


def test_what_is_wrong_with_a_pipeline_is_said_before(ws):
    nobody = PipelineData("nobodys")
    with pytest.raises(SettingsError, match="uses output 'nobodys', which no step writes"):
        Pipeline(ws, [step("first-step", "lines", [nobody])])
    own = PipelineData("own")
    with pytest.raises(SettingsError, match="output 'own' of the step itself"):
        step("first-step", "lines", [own], output=own)
    two = [step(name, "lines", output=nobody) for name in ("one-step", "other-step")]
    with pytest.raises(SettingsError, match="is written by steps 'one-step' and 'other-step'"):
        Pipeline(ws, two)
    a, b = step("first-step", "lines"), step("second-step", "lines")
    a.run_after(b)
    b.run_after(a)
    with pytest.raises(SettingsError, match="first-step → second-step → first-step"):
        Pipeline(ws, [a, b])
    with pytest.raises(SettingsError, match="run_after"):
        a.run_after("b")
    with pytest.raises(DatasetError, match="before the step has run"):
        PipelineData("later").as_dataset().to_path()
    with pytest.raises(SettingsError, match="destination"):
        OutputFileDatasetConfig("x", destination=(ws.get_default_datastore(), "../up"))
    mixed = [Dataset.File.from_files("files"), nobody.read_parquet_files()]
    with pytest.raises(SettingsError, match="kind"):
        step("first-step", "lines", mixed)


def test_the_story_tells_what_a_step_was_given(ws):
    out = PipelineData("sizes")
    run = run_of(ws, step("first-step", "lines", output=out), step("second-step", "lines", [out]))
    first, second = run.get_steps()
    manifest = json.loads((second.folder / "run.json").read_text())
    assert manifest["after"] == [first.id]
    assert first.id in manifest["inputs"][0]["dataset"]
    assert time.time() > manifest["created"]


@pytest.mark.slow
def test_a_canceled_step_that_waits_for_its_turn_runs_none_of_the_script(ws, tmp_path):
    (tmp_path / "noted.py").write_text(
        "import pathlib, time\n"
        "def init():\n"
        f"    with open({str(tmp_path / 'inits')!r}, 'a') as file:\n        file.write('x')\n"
        "def run(mini_batch):\n    time.sleep(0.5)\n    return mini_batch\n"
    )
    steps = [step(f"step-{n}", "noted", mini_batch_size=1) for n in range(3)]
    run = Experiment(ws, "feeding").submit(Pipeline(ws, steps))
    while not (tmp_path / "inits").exists():
        time.sleep(0.01)
    run.cancel()
    run.wait_for_completion(raise_on_error=False, timeout_seconds=60)
    assert [each.get_status() for each in run.get_steps()] == ["Canceled"] * 3
    assert (tmp_path / "inits").read_text() == "x"
    run.resume().wait_for_completion(timeout_seconds=60)
    assert run.get_status() == "Completed"
