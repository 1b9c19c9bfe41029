"""``run_script``: a script on one mini-batch in this process, as a run would have it."""

from __future__ import annotations

import gc
import json
import os
import re
import sys
import textwrap
import traceback
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from daskrun import (
    Dataset,
    DatasetError,
    Model,
    NameNotFoundError,
    PipelineData,
    PipelineParameter,
    SettingsError,
    Workspace,
    WrongResultError,
)
from daskrun.core.settings import resolve_settings
from daskrun.data.tabular.loading.local_fetch import complete_here
from daskrun.pipeline.steps.inputs import make_plan
from daskrun.testing import Faults, run_script

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Path]:
    """Write an entry script, in a folder of its own."""

    def write(code: str, name: str = "score.py") -> Path:
        path = tmp_path / "code" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return path

    return write


@pytest.fixture(autouse=True)
def as_it_was(own_temporary_folder: Path) -> Any:
    """See that each test leaves this process as it was, and no folder of a script."""

    def state() -> Any:
        variables = {name: v for name, v in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        return os.getcwd(), variables, sys.path[:], sys.argv[:]

    before, modules = state(), set(sys.modules)
    yield
    assert state() == before
    assert not {"score", "neighbour", "entry_script"} & (set(sys.modules) - modules)
    gc.collect()
    assert list(own_temporary_folder.glob("daskrun-script-*")) == []


@pytest.fixture
def in_folder(as_it_was: None) -> Any:
    """Go to a folder for the test, and back before it is looked whether all is as it was."""
    before = os.getcwd()
    yield os.chdir
    os.chdir(before)


EVERYTHING = """
import os, sys
import neighbour
from daskrun import EntryScript

calls = []
def init():
    calls.append("init")
def run(mini_batch, mini_batch_context):
    calls.append("run")
    here = EntryScript()
    assert here.dir == os.path.dirname(__file__)
    assert os.getcwd() == here.working_dir
    assert os.environ["DASKRUN_OUTPUT_PATH"] == here.output_dir
    open(os.path.join(here.output_dir, "made.txt"), "w").write(os.environ["MINE"])
    here.logger.debug("at work")
    print("printed")
    return [mini_batch, mini_batch_context, sys.argv[1:], neighbour.WORD, calls]
def shutdown():
    calls.append("shutdown")
    sys.path.append("/nowhere")
    os.environ["LEFT"] = "1"
    os.chdir("/")
"""


def test_a_script_finds_what_it_finds_in_a_run(script, tmp_path, capsys, in_folder):
    path = script(EVERYTHING)
    script("WORD = 'beside'", "neighbour.py")
    in_folder(tmp_path)
    done = run_script(
        "code/score.py",
        ["a.txt", Path("b.txt")],
        index=7,
        arguments=["--model", [3, PipelineParameter("least", 0.5)]],
        environment_variables={"MINE": "yes"},
        output_dir="out",
        logging_level="DEBUG",
        partition_key_value={"store": "1"},
    )
    mini_batch, context, arguments, word, calls = done.result
    assert mini_batch == [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]
    assert mini_batch.task_id == context.minibatch_index == 7
    assert context.partition_key_value == {"store": "1"}
    assert (context.dataset, context.global_row_index_lower_bound) == ("input_0", None)
    assert arguments == ["--model", "3", "0.5"]
    assert (word, calls) == ("beside", ["init", "run", "shutdown"])
    assert (done.items, done.succeeded, done.failed) == (2, 2, 0)
    assert done.output_dir == tmp_path / "out"
    assert (tmp_path / "out" / "made.txt").read_text() == "yes"
    said = capsys.readouterr()
    assert said.out == "printed\n"
    assert "|DEBUG|" in said.err
    assert path.exists()


def test_modules_beside_the_script_are_read_anew(script):
    path = script("import neighbour\ndef run(mini_batch): return [neighbour.WORD]")
    for word in ("first", "second!"):
        script(f"WORD = {word!r}", "neighbour.py")
        assert run_script(path, ["a"]).result == [word]


def test_a_source_directory_is_where_it_imports_from(script, tmp_path):
    (tmp_path / "code" / "inner").mkdir(parents=True)
    script("WORD = 'above'", "neighbour.py")
    script("from neighbour import WORD\ndef run(mini_batch): return [WORD]", "inner/score.py")
    done = run_script("inner/score.py", ["a"], source_directory=tmp_path / "code")
    assert done.result == ["above"]


def test_without_an_output_dir_the_files_live_as_long_as_the_result(script):
    path = script("""
        from daskrun import EntryScript
        def run(mini_batch):
            open(EntryScript().output_dir + "/made.txt", "w").write("x")
            return mini_batch
    """)
    done = run_script(path, ["a"])
    made = done.output_dir / "made.txt"
    assert made.read_text() == "x"
    del done
    gc.collect()
    assert not made.parent.exists()


# results


ROWS = "def run(mini_batch): return {}"


@pytest.mark.parametrize(
    ("returned", "options", "rows", "counts"),
    [
        ("['x', 2]", {}, b"x\n2\n", (2, 1)),
        ("[]", {}, b"", (0, 3)),
        ("['x'] * 5", {}, b"x\n" * 5, (3, 0)),
        ("[{'a': 1, 'b': None}]", {"append_row_format": "csv"}, b"a,b\r\n1,\r\n", (1, 2)),
        ("[{'a': 1}]", {"append_row_format": "jsonl"}, b'{"a": 1}\n', (1, 2)),
    ],
)
def test_rows_are_those_that_append_row_would_write(script, returned, options, rows, counts):
    done = run_script(script(ROWS.format(returned)), ["a", "b", "c"], **options)
    assert done.rows == rows
    assert (done.succeeded, done.failed) == counts
    assert done.lines == re.split(r"\r?\n", rows.decode())[:-1]


def test_rows_of_parquet_are_a_whole_file(script):
    path = script("def run(mini_batch): return mini_batch")
    frame = pd.DataFrame({"id": [1, 2], "name": ["a", None]})
    done = run_script(path, frame, append_row_format="parquet")
    assert pq.read_table(BytesIO(done.rows)).to_pydict() == {"id": [1, 2], "name": ["a", None]}


def test_a_settings_file_beside_the_script_counts(script):
    path = script("def run(mini_batch): return mini_batch.assign(b=mini_batch.a * 2)")
    settings = {"append_row": {"pandas.DataFrame.to_csv": {"sep": ";", "header": True}}}
    script(json.dumps(settings), "parallel_run_step.settings.json")
    frame = pd.DataFrame({"a": [1, 2]}, index=[5, 6])
    done = run_script(path, frame)
    assert done.rows == b"a;b\n1;2\n2;4\n"
    assert list(frame.index) == [5, 6]
    with pytest.raises(SettingsError, match="append_row_format='csv' says how rows look"):
        run_script(path, frame, append_row_format="csv")


def test_a_dataframe_comes_as_in_a_run_and_stays_the_callers(script):
    path = script("""
        def run(mini_batch):
            assert list(mini_batch.index) == [0, 1]
            mini_batch["a"] = 0
            return mini_batch
    """)
    frame = pd.DataFrame({"a": [1, 2]}, index=[5, 6])
    assert run_script(path, frame).lines == ["0", "0"]
    assert list(frame["a"]) == [1, 2]


def test_an_empty_mini_batch_does_not_call_run(script):
    done = run_script(script("def run(mini_batch): raise ValueError"), [])
    assert (done.result, done.items, done.rows) == ([], 0, b"")


def test_line_breaks_in_results_are_warned_of(script):
    done = run_script(script(ROWS.format("['two\\nlines']")), ["a"])
    assert len(done.warnings) == 1
    assert "line break" in done.warnings[0]


@pytest.mark.parametrize("returned", ["None", "'text'", "{}", "(x for x in mini_batch)"])
def test_a_wrong_result_is_refused_as_in_a_run(script, returned):
    with pytest.raises(WrongResultError, match="list, tuple"):
        run_script(script(ROWS.format(returned)), ["a"])


# errors of the script


@pytest.mark.parametrize("place", ["import", "init", "run", "shutdown", "str"])
def test_an_error_of_the_script_comes_out_as_it_is(script, place):
    code = {
        "import": "1 / 0\n" + ROWS.format("[1]"),
        "init": "def init(): 1 / 0\n" + ROWS.format("[1]"),
        "run": "def run(mini_batch): 1 / 0",
        "shutdown": "def shutdown(): 1 / 0\n" + ROWS.format("[1]"),
        "str": "class Odd:\n    def __str__(self): 1 / 0\n" + ROWS.format("[Odd()]"),
    }[place]
    path = script(code)
    with pytest.raises(ZeroDivisionError) as caught:
        run_script(path, ["a"])
    last = traceback.extract_tb(caught.tb)[-1]
    assert last.filename == str(path)  # where a debugger stops
    assert "1 / 0" in str(last.line)


def test_exits_of_the_script_come_out_too(script):
    with pytest.raises(SystemExit) as caught:
        run_script(script("import sys\ndef run(mini_batch): sys.exit(42)"), ["a"])
    assert caught.value.code == 42


def test_shutdown_follows_a_run_that_failed_and_hides_nothing(script, capsys):
    code = """
    def run(mini_batch): raise KeyError("first")
    def shutdown():
        print("shutdown")
        raise ValueError("second")
    """
    with pytest.raises(KeyError, match="first") as caught:
        run_script(script(code), ["a"])
    assert caught.value.__notes__[-1] == "shutdown() failed too: ValueError: second"
    assert capsys.readouterr().out == "shutdown\n"


def test_a_file_that_is_missing_is_named(script, tmp_path):
    path = script("def run(mini_batch): return [open(mini_batch[0]).read()]")
    with pytest.raises(FileNotFoundError) as caught:
        run_script(path, [tmp_path / "gone.txt"])
    (note,) = caught.value.__notes__
    assert note == f"'{tmp_path}/gone.txt' of the mini-batch is not there, or can't be read."


def test_a_script_without_run_is_refused(script):
    with pytest.raises(AttributeError, match=r"has no function run\(mini_batch\)"):
        run_script(script("def main(): pass"), ["a"])


# models, inputs, metrics


MODEL = """
from daskrun import Model
def init():
    global weights
    weights = open(Model.get_model_path("mnist")).read()
def run(mini_batch): return [weights]
"""


def test_models_are_given_or_those_of_the_workspace(script, tmp_path, in_folder):
    path = script(MODEL)
    given = tmp_path / "weights.txt"
    given.write_text("given")
    in_folder(tmp_path)
    with pytest.raises(NameNotFoundError) as caught:
        run_script(path, ["a"])
    assert "models={'mnist': 'a path'}" in caught.value.__notes__[0]
    assert run_script(path, ["a"], models={"mnist": "weights.txt"}).result == ["given"]
    kept = tmp_path / "kept.txt"
    kept.write_text("registered")
    Model.register(Workspace.create("trial", path=tmp_path), kept, "mnist")
    assert run_script(path, ["a"]).result == ["registered"]
    assert run_script(path, ["a"], models={"mnist": given}).result == ["given"]


def test_metrics_are_kept_with_the_result_and_inputs_are_found(script, tmp_path, capsys):
    path = script("""
        from daskrun import Run
        run_context = Run.get_context()
        def run(mini_batch):
            for path in mini_batch:
                run_context.log("size", len(path))
            inputs = Run.get_context().input_datasets
            return [inputs["files"], inputs["labels"]]
    """)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("a")
    files = Dataset.File.from_files(str(tmp_path / "data")).as_named_input("files")
    labels = os.path.relpath(tmp_path / "labels")
    for _ in range(2):  # what one has logged is not another's
        done = run_script(path, files, input_datasets={"labels": labels})
        assert done.result == [str(tmp_path / "data"), str(tmp_path / "labels")]
        assert done.metrics == {"size": len(str(tmp_path / "data" / "a.txt"))}
    assert capsys.readouterr().out.startswith("size: ")


def test_datasets_and_urls_among_the_inputs_come_as_they_are(script):
    path = script("""
        from daskrun import Run
        def run(mini_batch):
            return list(Run.get_context().input_datasets.values())
    """)
    rows = Dataset.Tabular.from_pandas_dataframe(pd.DataFrame({"id": [1, 2]}))
    url = "s3://bucket/labels"
    inputs = {"rows": rows, "labels": url}
    assert run_script(path, ["a"], input_datasets=inputs).result == [rows, url]
    assert run_script(path, rows.as_named_input("mine")).result == [rows]


def test_a_script_with_faults_is_tried_too(script):
    around = Faults({0: "raise", 1: "segfault"}).around(script(ROWS.format("mini_batch")))
    assert run_script(around, ["a"], index=2).succeeded == 1
    with pytest.raises(RuntimeError, match="scripted fault 'raise'"):
        run_script(around, ["a"])
    with pytest.raises(RuntimeError, match="would hit this process"):
        run_script(around, ["a"], index=1)


# datasets


def test_a_mini_batch_of_a_file_dataset(script, tmp_path):
    path = script("def run(mini_batch, context): return [*mini_batch, context]")
    for n in range(5):
        (tmp_path / f"{n}.txt").write_text("")
    files = Dataset.File.from_files(str(tmp_path / "*.txt"))
    *paths, context = run_script(path, files, index=1, mini_batch_size=2).result
    assert paths == [str(tmp_path / "2.txt"), str(tmp_path / "3.txt")]
    assert (context.minibatch_index, context.dataset) == (1, "input_0")
    assert run_script(path, files).items == 5
    with pytest.raises(DatasetError, match=r"index=3: the dataset has 3 mini-batches, 0 to 2\."):
        run_script(path, files, index=3, mini_batch_size=2)
    with pytest.raises(DatasetError, match=r"index=1: the dataset has one mini-batch, 0\."):
        run_script(path, files, index=1)


def table(folder: Path, rows: int = 200) -> Any:
    """Give a table whose fields hold line breaks, so that where it is cut must be looked at."""
    folder.mkdir()
    frame = pd.DataFrame({"id": range(rows), "note": [f'"{n}"\n{n}' for n in range(rows)]})
    frame.to_csv(folder / "a.csv", index=False)
    return Dataset.Tabular.from_delimited_files(str(folder / "*.csv"))


def test_each_mini_batch_of_a_table_is_that_of_a_run(script, tmp_path):
    path = script("def run(mini_batch): return mini_batch")
    dataset = table(tmp_path / "tables")
    expected = dataset.to_dask_dataframe(mini_batch_size="1KB")
    assert expected.npartitions > 2
    for index in range(expected.npartitions):
        done = run_script(path, dataset, index=index, mini_batch_size="1KB")
        pd.testing.assert_frame_equal(done.result, expected.partitions[index].compute())
    with pytest.raises(DatasetError, match=f"index={index + 1}: the dataset has {index + 1} mini"):
        run_script(path, dataset, index=index + 1, mini_batch_size="1KB")


def test_no_more_of_a_table_is_looked_at_than_must_be(tmp_path):
    dataset = table(tmp_path / "tables")
    for name in "bcd":
        copy = tmp_path / "tables" / f"{name}.csv"
        copy.write_bytes((tmp_path / "tables" / "a.csv").read_bytes())
    settings = resolve_settings({"entry_script": "score.py", "mini_batch_size": "1KB"})
    plan = make_plan([("rows", dataset)], settings)
    complete_here(plan, 1)
    assert plan.known >= 1
    assert not plan.complete
    complete_here(plan)
    assert plan.complete


def test_rows_of_a_partition_and_of_a_dataframe(script, tmp_path):
    path = script("def run(mini_batch, context): return [context, list(mini_batch['id'])]")
    for store in ("1", "2"):
        (tmp_path / "sales" / store).mkdir(parents=True)
        (tmp_path / "sales" / store / "a.csv").write_text(f"id\n{store}\n{store}0\n")
    sales = Dataset.Tabular.from_delimited_files(
        str(tmp_path / "sales"), partition_format="{store}/*.csv"
    )
    context, ids = run_script(path, sales, index=1, partition_keys=["store"]).result
    assert (context.partition_key_value, ids) == ({"store": "2"}, [2, 20])

    frame = pd.DataFrame({"id": np.arange(1000), "text": "x" * 100})
    dataset = Dataset.Tabular.from_pandas_dataframe(frame)
    context, ids = run_script(path, dataset, index=1, mini_batch_size="20KB").result
    assert context.global_row_index_lower_bound == ids[0] > 0


def test_remote_files_are_brought(script):
    import fsspec

    memory = fsspec.filesystem("memory")
    for n in range(3):
        memory.pipe(f"/alone/{n}.csv", f"id\n{n}\n".encode())
    try:
        path = script("def run(mini_batch): return [open(path).read() for path in mini_batch]")
        files = Dataset.File.from_files("memory://alone/")
        assert run_script(path, files, index=1, mini_batch_size=2).result == ["id\n2\n"]
        path = script("def run(mini_batch): return mini_batch")
        rows = Dataset.Tabular.from_delimited_files("memory://alone/*.csv")
        assert run_script(path, rows, index=2).lines == ["2"]
    finally:
        memory.rm("/alone", recursive=True)


# what is refused


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mini_batch": "a.txt"}, r"mini_batch='a.txt' is of type str. Give a list of paths"),
        ({"mini_batch": [1]}, r"mini_batch\[0\]=1 is of type int"),
        ({"index": -1}, "index=-1 is not a number from 0"),
        ({"index": True}, "index=True is not a number from 0"),
        ({"mini_batch_size": "1MB"}, "mini_batch_size='1MB' says how a dataset is cut"),
        ({"partition_keys": ["a"]}, r"partition_keys=\['a'\] says how a dataset is cut"),
        ({"arguments": "--x"}, "arguments='--x' is not a list"),
        ({"arguments": ["--x", PipelineData("models")]}, "arguments=.* has no path where there is"),
        ({"append_row_format": "xml"}, "append_row_format='xml'"),
        ({"logging_level": "LOUD"}, "logging_level='LOUD'"),
        ({"environment_variables": {"A": None}}, "environment_variables="),
        ({"models": {"m": "/gone"}}, r"models\['m'\]='/gone' is not there"),
        ({"output_dir": "/dev/null"}, "output_dir='/dev/null' can't be made: File exists"),
        ({"entry_script": "gone.py"}, "entry_script='gone.py' is not there"),
    ],
)
def test_what_can_not_be_meant_is_refused(script, options, said):
    path = script(ROWS.format("[1]"))
    with pytest.raises(SettingsError, match=f"^run_script: {said}"):
        run_script(**{"entry_script": path, "mini_batch": ["a"], **options})


def test_what_a_dataset_says_itself_is_refused(script, tmp_path):
    (tmp_path / "a.txt").write_text("")
    files = Dataset.File.from_files(str(tmp_path / "a.txt"))
    with pytest.raises(SettingsError, match=r"partition_key_value={'a': 1}: mini_batch is a data"):
        run_script(script(ROWS.format("[1]")), files, partition_key_value={"a": 1})
    with pytest.raises(SettingsError, match="mini_batch_size='1MB' is a size in bytes"):
        run_script(script(ROWS.format("[1]")), files, mini_batch_size="1MB")
