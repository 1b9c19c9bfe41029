"""The job files among the examples: run as they are, but inline."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from walked import copy_example

from daskrun import PipelineRun, Workspace, load_job


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    """Run the job of an example, and return the run when it has completed."""

    def done(name: str, **overrides: str) -> PipelineRun:
        folder = copy_example("jobs", tmp_path) / name
        monkeypatch.chdir(folder)
        job = load_job("job.yml", {k.replace("__", "."): v for k, v in overrides.items()})
        run = job.submit(Workspace.create("trial"), compute_target="inline")
        run.wait_for_completion()
        return run

    return done


def table(path: str) -> list[dict[str, str]]:
    with open(path, newline="") as rows:
        return list(csv.DictReader(rows))


def test_a_folder_of_images(run) -> None:
    rows = Path(run("images", inputs__count="12").outputs["digits"].path).read_text().splitlines()
    assert len(rows) == 12
    assert all(row.removesuffix(".pgm: " + row[-1])[-1] == row[-1] for row in rows)


def test_a_table_of_flowers(run) -> None:
    rows = table(run("iris").outputs["species"].path)
    assert Path("out", "species.csv").exists()
    assert [row["flower"] for row in rows] == [str(n) for n in range(60) if n != 7]
    kinds = ("setosa", "versicolor", "virginica")
    assert all(row["species"] == kinds[int(row["flower"]) % 3] for row in rows)


def test_a_model_for_each_store_and_brand(run) -> None:
    pytest.importorskip("numpy")
    done = run("orders")
    text = Path(done.outputs["errors"].path).read_text().splitlines()
    models = list(Path(done.outputs["models"].path).rglob("model.json"))
    assert len(text) == len(models) == 4
    slopes = [json.loads(each.read_text())["slope"] for each in models]
    assert all(-33 < slope < -27 for slope in slopes)
    assert Counter(each.parents[1].name for each in models) == {"north": 2, "south": 2}
