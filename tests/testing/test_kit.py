"""The fault kit, as users have it: faults around their scripts, counts, and the account."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from daskrun import (
    Dataset,
    Experiment,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    SettingsError,
    Workspace,
)
from daskrun import testing as kit
from daskrun.storage.journal import Journal
from daskrun.testing import Account, Faults, account
from daskrun.testing.inside import OF_INIT, OF_RUN

SCRIPT = "def run(mini_batch): return [open(path).read() for path in mini_batch]\n"
FILES = 4


@pytest.fixture
def run_one(tmp_path):
    """Run a step over four files through the pipeline, inline; give the run."""
    (tmp_path / "data").mkdir()
    for n in range(FILES):
        (tmp_path / "data" / f"{n}.txt").write_text(f"row {n}")
    (tmp_path / "score.py").write_text(SCRIPT)
    ws = Workspace.create("trial", path=tmp_path)
    files = Dataset.File.from_files(str(tmp_path / "data")).as_named_input("files")

    def run_one(script=tmp_path / "score.py", steps=1, **settings):
        settings = {
            "compute_target": "inline",
            "mini_batch_size": 1,
            "error_threshold": -1,
            "output_action": "append_row",
            **settings,
        }
        config = ParallelRunConfig(entry_script=str(script), **settings)
        made = [
            ParallelRunStep(f"score-{n}", config, inputs=[files], output=PipelineData("rows"))
            for n in range(steps)
        ]
        run = Experiment(ws, "kit").submit(Pipeline(ws, made))
        run.wait_for_completion(raise_on_error=False)
        return run

    return run_one


def output_of(run):
    [step] = run.get_steps()
    return Path(step.output_folder) / "parallel_run_step.txt"


# faults


@pytest.mark.parametrize(
    ("faults", "init", "says"),
    [
        ({3: "rais"}, None, "faults[3]='rais' is not a fault. Write 'raise'. There are raise, "),
        ({3: ["raise", "nothing"]}, None, "faults[3]='nothing' is not a fault. There are"),
        ({"3": "raise"}, None, "faults: '3' is not a mini-batch's index. Write 0 or more."),
        ({True: "raise"}, None, "faults: True is not a mini-batch's index"),
        ({}, "short", "init='short' is not a fault"),
        ({}, {1: "exot"}, "init[1]='exot' is not a fault. Write 'exit'."),
        ({}, {0: "exit"}, "init: 0 is not a process's number. Write 1 or more."),
    ],
)
def test_what_is_no_fault_is_named_with_those_there_are(faults, init, says):
    with pytest.raises(SettingsError) as caught:
        Faults(faults, init=init)
    assert says in str(caught.value)


def test_all_problems_are_said_at_once():
    with pytest.raises(SettingsError, match="has 2 problems"):
        Faults({1: "x", 2: "y"})


def test_each_fault_is_explained():
    for name in (*OF_RUN, *OF_INIT):
        assert f"\n    {name} " in Faults.__doc__
    assert set(OF_INIT) < set(OF_RUN)


def test_a_script_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"script='.*none.py' is no file"):
        Faults().around(tmp_path / "none.py")


def test_without_faults_a_script_does_what_it_did(tmp_path, run_one):
    plain = run_one()
    faults = Faults()
    run = run_one(faults.around(tmp_path / "score.py"))
    assert output_of(run).read_bytes() == output_of(plain).read_bytes()
    assert faults.calls() == Counter(range(FILES))
    assert faults.inits() == 1
    account(run).check()


def test_the_script_keeps_its_folder_its_settings_and_its_context(tmp_path, run_one):
    own = tmp_path / "own"
    own.mkdir()
    (own / "beside.py").write_text("NAME = 'beside'\n")
    (own / "score.py").write_text(
        "import beside, pandas\n"
        "def init():\n    global ready\n    ready = 'ready'\n"
        "def run(mini_batch, context):\n"
        "    row = [context.minibatch_index, beside.NAME, ready, __file__.rsplit('/', 1)[1]]\n"
        "    return pandas.DataFrame([row])\n"
    )
    settings = {"append_row": {"pandas.DataFrame.to_csv": {"sep": ";"}}}
    (own / "parallel_run_step.settings.json").write_text(json.dumps(settings))
    faults = Faults({1: ["raise"]})
    run = run_one(faults.around(own / "score.py", tmp_path / "other"))
    rows = [f"{n};beside;ready;score.py\n" for n in range(FILES)]
    assert output_of(run).read_text() == "".join(rows)
    assert faults.calls() == Counter({0: 1, 1: 2, 2: 1, 3: 1})
    assert sorted(path.name for path in own.glob("*_with_faults*")) == []
    assert "beside" not in sys.modules, "a module of the user's own goes with the run"


def test_a_source_directory_takes_both_scripts_along(tmp_path, run_one):
    faults = Faults({0: "raise"})
    made = Path(faults.around(tmp_path / "score.py"))
    source = tmp_path / "source"
    source.mkdir()
    for path in (made, tmp_path / "score.py"):
        path.rename(source / path.name)
    run = run_one(made.name, source_directory=str(source), run_max_try=2)
    assert faults.calls() == Counter({0: 2, 1: 1, 2: 1, 3: 1})
    found = account(run)
    found.check()
    assert (found.succeeded, found.failed) == (3, 1)


@pytest.mark.parametrize("fault", ["exit", "kill", "hang", "disk_full"])
def test_inline_the_users_own_process_is_not_hit(tmp_path, run_one, fault):
    run = run_one(Faults({2: fault}).around(tmp_path / "score.py"), run_max_try=1)
    found = account(run)
    found.check()
    assert (found.succeeded, found.failed) == (3, 1)
    [step] = run.get_steps()
    errors = (step.folder / "logs" / "job_error.txt").read_text()
    assert f"scripted fault '{fault}' in mini-batch 2 would hit this process" in errors


def test_counts_begin_anew_with_each_script(tmp_path, run_one):
    faults = Faults()
    for _ in range(2):
        run_one(faults.around(tmp_path / "score.py"))
        assert faults.calls() == Counter(range(FILES))


# the account


def changed(run, change):
    path = output_of(run)
    path.write_bytes(change(path.read_bytes()))
    return account(run)


def rows(*numbers):
    return b"".join(b"row %d\n" % n for n in numbers)


@pytest.mark.parametrize(
    ("output", "lost", "doubled", "says"),
    [
        (rows(0, 1, 2, 3), (), (), None),
        (rows(0, 2, 3), (1,), (), "rows not in the output, in their place: mini-batches 1"),
        (rows(0, 1), (2, 3), (), "mini-batches 2, 3"),
        (rows(), (0, 1, 2, 3), (), "mini-batches 0, 1, 2, 3"),
        (rows(0, 1, 1, 2, 3), (), (1,), "rows in the output once more: mini-batches 1"),
        (rows(0, 1, 2, 3, 0), (), (0,), "rows in the output once more: mini-batches 0"),
        (rows(0, 9, 2, 3), (1,), (), "mini-batches 1"),
        (rows(0, 1, 2, 3) + b"more", (), (), "ends with 4 bytes that nobody committed"),
        (rows(1, 0, 2, 3), (0,), (0,), "mini-batches 0"),
    ],
)
def test_an_output_that_is_not_what_was_committed(run_one, output, lost, doubled, says):
    run = run_one()
    found = changed(run, lambda before: output)
    assert found.lost == lost
    assert found.exact is (says is None)
    if says is None:
        found.check()
        return
    assert set(doubled) <= set(found.doubled)
    with pytest.raises(AssertionError) as caught:
        found.check()
    assert says in str(caught.value)


def test_an_output_that_is_gone_is_said(run_one):
    run = run_one()
    output_of(run).unlink()
    with pytest.raises(AssertionError, match="Completed, and there is no "):
        account(run).check()


def test_a_header_is_in_the_output_once(tmp_path, run_one):
    (tmp_path / "score.py").write_text(
        "import pandas\ndef run(mini_batch): return pandas.DataFrame({'name': ['a']})\n"
    )
    settings = {"append_row": {"pandas.DataFrame.to_csv": {"header": True}}}
    (tmp_path / "parallel_run_step.settings.json").write_text(json.dumps(settings))
    run = run_one()
    assert output_of(run).read_bytes() == b"name\n" + b"a\n" * FILES
    account(run).check()
    assert changed(run, lambda before: before + b"name\n").exact is False


def test_a_report_that_contradicts_the_journal_is_told(run_one):
    run = run_one()
    [step] = run.get_steps()
    path = step.folder / "report.json"
    report = json.loads(path.read_text())
    path.write_text(json.dumps({**report, "succeeded": 9, "items_failed": 1}))
    with pytest.raises(AssertionError) as caught:
        account(run).check()
    assert "report.json says succeeded=9, the journal 4" in str(caught.value)
    assert "report.json says items_failed=1, the journal 0" in str(caught.value)


def test_a_mini_batch_that_is_committed_twice_is_told(run_one):
    run = run_one()
    [step] = run.get_steps()
    journal = Journal.open(step.folder / "journal")
    [entry, *_] = Journal.read(step.folder / "journal", "bundle")
    journal.append(entry)
    journal.close()
    found = account(run)
    assert found.doubled == (0,)
    with pytest.raises(AssertionError, match="committed twice: mini-batches 0"):
        found.check()


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ([5], "the plan had 4 mini-batches, and later 5"),
        ([3], "the plan has 3 mini-batches, and there are outcomes of others: mini-batches 3"),
    ],
)
def test_a_journal_that_contradicts_itself_on_the_plan_is_told(run_one, sizes, says):
    [step] = run_one().get_steps()
    journal = Journal.open(step.folder / "journal")
    for size in sizes:
        journal.append({"kind": "planned", "mini_batches": size})
    journal.close()
    with pytest.raises(AssertionError, match=says):
        account(step).check()


def test_a_run_that_was_resumed_with_other_tries_is_held_to_those(tmp_path, run_one):
    run = run_one(Faults({2: "raise"}).around(tmp_path / "score.py"), run_max_try=2)
    account(run).check()
    [step] = run.get_steps()
    journal = Journal.open(step.folder / "journal")
    journal.append({"kind": "resumed", "lost": [], "forgiven": [], "tries": 3})
    journal.close()
    found = account(run)
    assert (found.failed, found.unfinished) == (0, 1)
    with pytest.raises(AssertionError, match="Completed, and 1 mini-batches have no end"):
        found.check()


def test_it_takes_a_run_a_step_or_a_folder(run_one):
    run = run_one()
    [step] = run.get_steps()
    expected = Account(4, 4, 0, 0, 4, 4, 0, 4, (), (), True, ())
    assert account(run) == account(step) == account(step.folder) == expected
    assert account(str(step.folder), output=step.output_folder) == expected
    assert replace(expected, exact=None) != expected


def test_a_run_of_two_steps_says_how_to_name_one(run_one):
    run = run_one(steps=2)
    with pytest.raises(SettingsError, match=r"has 2 steps. Write run.find_step_run\(name\)\[0\]"):
        account(run)
    account(run.find_step_run("score-1")[0]).check()


def test_summary_only_has_no_output_to_look_at(run_one):
    found = account(run_one(output_action="summary_only"))
    found.check()
    assert (found.succeeded, found.exact) == (4, None)


# what is public


def test_its_names_are_those_of_their_files():
    for name in kit.__all__:
        assert getattr(kit, name) is not None
    assert set(kit.__all__) <= set(dir(kit))
    with pytest.raises(AttributeError, match="has no attribute 'Fault'"):
        kit.Fault  # noqa: B018


def test_a_script_process_loads_no_more_than_it_needs():
    code = "import sys, daskrun.testing.inside; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not {"distributed", "dask", "pandas", "numpy", "rich", "daskrun.pipeline"} & loaded
