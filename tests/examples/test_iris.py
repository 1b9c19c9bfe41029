"""The iris example: its flowers and model, its entry script, its script and its notebook."""

from __future__ import annotations

import csv
import re
import shutil
from typing import TYPE_CHECKING

import pytest
from walked import EXAMPLES, check_is_clean, copy_example, needs, run_notebook, run_python

from daskrun.testing import run_script

if TYPE_CHECKING:
    from pathlib import Path

needs_extra = needs("sklearn")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the example, with its flowers made and its model trained."""
    folder = copy_example("iris", tmp_path_factory.mktemp("example"))
    run_python("prepare.py", cwd=folder)
    return folder


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as rows:
        return list(csv.DictReader(rows))


def flowers(example: Path) -> list[str]:
    """Give the numbers of the flowers to be scored, in their order."""
    files = sorted((example / "data" / "flowers").iterdir())
    return [row["flower"] for file in files for row in table(file)]


def accuracy(example: Path, result: list[dict[str, str]]) -> float:
    true = {row["flower"]: row["species"] for row in table(example / "data" / "species.csv")}
    assert sorted(true) == sorted(row["flower"] for row in result)
    return sum(true[row["flower"]] == row["species"] for row in result) / len(result)


def results(example: Path) -> list[list[dict[str, str]]]:
    """Give the output of each run in the example's workspace, in the order of the runs."""
    return [table(file) for file in sorted((example / ".daskrun").rglob("scores/species.csv"))]


@needs_extra
def test_what_is_there_is_left_as_it_is(example):
    files = [path for name in ("data", "models") for path in (example / name).rglob("*.*")]
    assert len(files) == 4
    before = {path: path.stat().st_mtime_ns for path in files}
    run_python("prepare.py", cwd=example)
    assert {path: path.stat().st_mtime_ns for path in files} == before


@needs_extra
def test_the_entry_script_alone(example, tmp_path):
    import pandas as pd

    measured = pd.read_csv(example / "data" / "flowers" / "garden.csv")
    models = {"iris": example / "models" / "iris.joblib"}
    script = example / "score_iris.py"
    done = run_script(script, measured, models=models)
    assert done.succeeded == len(measured) == 40
    assert list(done.result["flower"]) == list(measured["flower"])
    sure = run_script(script, measured, models=models, arguments=["--least", "1.01"])
    assert set(sure.result["species"]) == {"unsure"}


@needs_extra
@pytest.mark.timeout(300)
def test_the_script_runs_from_anywhere_and_again(example, tmp_path):
    shutil.rmtree(example / ".daskrun", ignore_errors=True)
    for _ in range(2):
        done = run_python(example / "run_iris.py", cwd=tmp_path)
        first, second = results(example)[:2]
        assert [row["flower"] for row in first] == flowers(example)
        said = re.search(r"Accuracy: ([\d.]+)%", done.stdout)
        assert float(said[1]) == pytest.approx(100 * accuracy(example, first), abs=0.01)
        assert float(said[1]) > 92
        unsure = [row for row in second if row["species"] == "unsure"]
        assert f"Unsure: {len(unsure)} flowers" in done.stdout
        assert {row["flower"] for row in unsure} == {
            row["flower"] for row in first if float(row["probability"]) < 0.9
        }
    assert not list(tmp_path.iterdir())


def test_the_notebook_is_kept_without_outputs():
    check_is_clean(EXAMPLES / "iris" / "iris.ipynb", least=9)


@needs_extra
@pytest.mark.timeout(300)
def test_the_notebook_runs(example):
    shutil.rmtree(example / ".daskrun", ignore_errors=True)
    printed = run_notebook(example / "iris.ipynb", "assert accuracy > 0.92\nassert unsure > 0")
    assert "40 of 40 flowers" in printed
    assert "90 flowers, " in printed
    assert " Completed: " in printed
    assert accuracy(example, results(example)[0]) > 0.92
