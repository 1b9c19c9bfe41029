"""Getting at results: what an output holds, and which items have failed."""

import json
import os

import pandas as pd
import pytest

from daskrun import DaskrunError, Failed, NameNotFoundError, StorageError
from daskrun.testing import account, run_script

SOME_FAIL = """
from daskrun import Failed

def run(mini_batch):
    results = []
    for path in mini_batch:
        n = int(path[-5])
        if n == 4:
            raise RuntimeError("all of it")
        try:
            results.append({"n": n, "half": 8 / (n % 3)})
        except ZeroDivisionError as error:
            results.append(Failed(path, error))
    return results
"""
ODD = "two\nlines \x1b[31m.4.txt"


@pytest.fixture
def failing(work):
    """A run of ten files: 0, 3, 6, 9 fail alone, the mini-batch of one with an odd name whole."""
    (work.path / "score.py").write_text(SOME_FAIL)
    (work.path / "files" / "4.txt").rename(work.path / "files" / ODD)
    run = work.submit(append_row_file_name="halves.csv", run_max_try=2)
    run.wait_for_completion()
    return run


def test_items_that_the_script_names_fail_alone(failing, work):
    (step,) = failing.get_steps()
    report = step._state.report
    assert (report.items, report.items_failed, report.failed) == (10, 5, 1)
    account(failing).check()
    assert step.output().to_pandas_dataframe()["n"].tolist() == [1, 2, 5, 7, 8]
    found = step.failed_items()
    names = [os.path.basename(path) for path in found["item"]]
    assert sorted(names) == sorted(["0.txt", "3.txt", "6.txt", "9.txt", ODD])
    reasons = dict(zip(names, found["reason"], strict=True))
    assert reasons["0.txt"] == "ZeroDivisionError: division by zero"
    assert reasons[ODD] == "RuntimeError: all of it"
    tries = dict.fromkeys(["0.txt", "3.txt", "6.txt", "9.txt"], 1) | {ODD: 2}
    assert dict(zip(names, found["attempts"], strict=True)) == tries
    logs = step.folder / "logs"
    lines = (logs / "failed_items.txt").read_text().splitlines()
    assert len(lines) == 5
    assert all(line.isprintable() for line in lines)
    assert any(line.endswith(r"two\nlines \x1b[31m.4.txt") for line in lines)
    told = [json.loads(line) for line in (logs / "failed_items.jsonl").open()]
    assert [each["item"] for each in told] == found["item"].tolist()
    errors = (logs / "job_error.txt").read_text()
    assert "ZeroDivisionError: division by zero" in errors
    assert "score.py:11: 4 times such as Zero" in errors


def test_outputs_are_found_by_name(failing, tmp_path):
    output = failing.outputs["scores"]
    assert output.path.endswith("/scores/halves.csv")
    assert pd.read_csv(output.path).equals(output.to_pandas_dataframe())
    assert output.failed_items().shape == (5, 5)
    assert list(failing.get_steps()[0].outputs) == ["scores"]
    with pytest.raises(NameNotFoundError, match=r"no output has the name 'score'\. .*'scores'"):
        failing.outputs["score"]
    assert output.download(tmp_path / "flat", flat=True) == 1
    assert os.listdir(tmp_path / "flat") == ["halves.csv"]
    assert output.download(tmp_path / "deep") == 1
    assert (tmp_path / "deep" / output.path_on_datastore / "halves.csv").is_file()


TEXT = "def run(mini_batch):\n    return [f'a b,{len(mini_batch)}' for _ in mini_batch]\n"


@pytest.mark.parametrize("name", ["rows.txt", "rows.csv", "rows.jsonl", "rows.parquet"])
def test_each_format_is_read_as_a_dataframe(work, name):
    (work.path / "score.py").write_text(TEXT)
    run = work.submit(append_row_file_name=name, mini_batch_size=10)
    run.wait_for_completion()
    frame = run.outputs["scores"].to_pandas_dataframe()
    assert frame.to_dict("list") == {"result": ["a b,10"] * 10}
    if name.endswith("txt"):
        frame = run.outputs["scores"].to_pandas_dataframe(sep=",", header=None)
        assert frame.to_dict("list") == {0: ["a b"] * 10, 1: [10] * 10}


def test_the_rows_of_a_run_that_failed_are_not_there(work):
    (work.path / "score.py").write_text("def run(mini_batch):\n    return []\n")
    run = work.submit()
    assert run.wait_for_completion(raise_on_error=False) == "Failed"
    with pytest.raises(StorageError, match="is not there: the run is Failed"):
        run.outputs["scores"].to_pandas_dataframe()


def test_an_output_of_nothing(work, tmp_path):
    (work.path / "score.py").write_text("def run(mini_batch):\n    return mini_batch\n")
    run = work.submit(output_action="summary_only")
    run.wait_for_completion()
    output = run.outputs["scores"]
    assert output.download(tmp_path / "none") == 0
    assert output.download(tmp_path / "flat", flat=True) == 0
    assert (tmp_path / "flat").is_dir()
    with pytest.raises(DaskrunError, match="the script writes its own files"):
        output.to_pandas_dataframe()
    assert output.failed_items().empty


def test_failed_is_told_outside_a_run_too(work):
    (work.path / "score.py").write_text(SOME_FAIL)
    files = [str(work.path / "files" / f"{n}.txt") for n in (0, 1, 2)]
    done = run_script("score.py", files)
    assert (done.items, done.succeeded, done.failed) == (3, 2, 1)
    assert done.rows == b"{'n': 1, 'half': 8.0}\n{'n': 2, 'half': 4.0}\n"
    with pytest.raises(TypeError, match="is neither an exception nor a text"):
        Failed("a.txt", 7)
