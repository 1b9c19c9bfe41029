"""The example of many models: its sales, both its entry scripts, its pipeline."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

import pytest
from walked import copy_example, needs, run_python

from daskrun import Dataset
from daskrun.testing import run_script

if TYPE_CHECKING:
    from pathlib import Path

needs_extra = needs("sklearn")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the example, with its sales made."""
    folder = copy_example("many_models", tmp_path_factory.mktemp("example"))
    run_python("make_sales.py", cwd=folder)
    return folder


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as rows:
        return list(csv.DictReader(rows))


def weeks(rows: list[dict[str, str]]) -> list[tuple[str, ...]]:
    return sorted((row["store"], row["brand"], row["week"]) for row in rows)


@pytest.mark.slow
def test_the_sales_are_the_same_each_time(example, tmp_path):
    other = copy_example("many_models", tmp_path)
    run_python("make_sales.py", cwd=other)
    files = sorted(path.name for path in (example / "data").glob("*.csv"))
    assert files == ["coming.csv", "history.csv", "sold.csv"]
    for name in files:
        assert (example / "data" / name).read_bytes() == (other / "data" / name).read_bytes()
    assert len(table(example / "data" / "history.csv")) == 12 * 120
    assert "sold" not in table(example / "data" / "coming.csv")[0]


@needs_extra
def test_the_entry_scripts_alone(example, tmp_path):
    key = {"store": "1002", "brand": "orchard"}

    def rows(name: str) -> object:
        file = str(example / "data" / f"{name}.csv")
        frame = Dataset.Tabular.from_delimited_files(file).to_pandas_dataframe()
        frame = frame[(frame["store"] == 1002) & (frame["brand"] == "orchard")]
        return frame.assign(week=frame["week"].dt.strftime("%Y-%m-%d"))

    options = {"source_directory": example, "partition_key_value": key}
    trained = run_script("train_one.py", rows("history"), output_dir=tmp_path, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["1002_orchard.joblib"]
    assert trained.metrics["models"] == {
        **key,
        "weeks": 120,
        "error": pytest.approx(0.04, abs=0.01),
    }
    done = run_script(
        "forecast_one.py", rows("coming"), arguments=["--models", tmp_path], **options
    )
    assert (done.succeeded, done.failed) == (10, 0)
    assert list(done.result.columns) == ["store", "brand", "week", "forecast"]


@needs_extra
@pytest.mark.timeout(300)
def test_the_script_runs_from_anywhere_and_again(example, tmp_path):
    sold = {week: row for row in table(example / "data" / "sold.csv") for week in weeks([row])}
    for _ in range(2):
        done = run_python(example / "run_many_models.py", cwd=tmp_path)
        file = sorted((example / ".daskrun").rglob("forecasts/forecasts.csv"))[0]
        forecasts = table(file)
        assert weeks(forecasts) == sorted(sold)
        errors = [
            abs(int(row["forecast"]) / int(sold[week]["sold"]) - 1)
            for row in forecasts
            for week in weeks([row])
        ]
        off = 100 * sum(errors) / len(errors)
        said = re.search(r"120 forecasts, off by ([\d.]+)% on average", done.stdout)
        assert float(said[1]) == pytest.approx(off, abs=0.06)
        assert off < 8
        assert "12 models, by how well they fit" in done.stdout
        models = {path.name for path in (example / ".daskrun").rglob("*.joblib")}
        assert models == {f"{store}_{brand}.joblib" for store, brand, _ in sold}
    assert not list(tmp_path.iterdir())
