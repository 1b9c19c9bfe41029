"""The page beside Dask's own: its documents, what it knows of runs, and how it gets there."""

from dataclasses import replace

import pytest
from bokeh.document import Document
from bokeh.models.widgets import DataTable, Select

from daskrun.core.report import RunStatus
from daskrun.monitor import dask_pages
from daskrun.monitor.charts import CHARTS
from daskrun.monitor.dask_pages import MOST_RUNS, Runs
from daskrun.monitor.page import NOTHING, page, plot
from tests.monitor.test_report import evil, made


def texts_of(document):
    return str(document.to_json())


def test_a_document_has_the_figures_of_the_run():
    document = Document()
    page(lambda: {"run-1": made(count=100, failed=3)})(document)
    text = texts_of(document)
    assert "100/100 mini-batches (100 %), 3 failed" in text
    assert "ValueError: bad" in text


def test_a_document_follows_the_newest_run_until_another_is_chosen():
    known = {"run-1": made(count=10)}
    document = Document()
    page(lambda: known)(document)
    [callback] = document.session_callbacks
    choice = document.select_one({"type": Select})
    assert choice.value == "run-1"
    known["run-2"] = made(count=20)
    callback.callback()
    assert choice.value == "run-2"
    choice.value = "run-1"
    known["run-3"] = made(count=30)
    callback.callback()
    assert choice.value == "run-1"
    assert "10/10" in texts_of(document)
    del known["run-1"]
    callback.callback()
    assert choice.value == "run-3"


def test_a_click_shows_the_traceback_as_text():
    document = Document()
    page(lambda: {"run-1": evil()})(document)
    tables = document.select({"type": DataTable})
    [errors] = [each for each in tables if "where" in each.source.data]
    errors.source.selected.indices = [0]
    assert "&lt;img src=x" in texts_of(document)
    assert "<pre" in texts_of(document)


def test_nothing_is_there_before_a_run():
    document = Document()
    page(dict)(document)
    assert NOTHING in texts_of(document)


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_each_plot_is_a_document_of_its_own(chart):
    document = Document()
    plot(lambda: {"run-1": made(), "run-2": evil()}, chart)(document)
    document.validate()
    assert chart.title in texts_of(document)


def test_runs_are_read_once_and_the_oldest_forgotten(tmp_path):
    runs, text = Runs(), made().as_json()
    for number in range(MOST_RUNS + 5):
        runs.take_in(f"run-{number}", text)
    assert list(runs()) == [f"run-{number}" for number in range(5, MOST_RUNS + 5)]
    assert runs()["run-9"] is runs()["run-9"]
    runs.take_in("run-9", tmp_path / "statistics.json")  # its file is not there yet
    assert runs()["run-9"].step == "score"
    runs.take_in("run-9", "{}")  # of another version
    assert "run-9" in runs()


def test_a_driver_that_says_no_more_has_left(monkeypatch):
    runs, document = Runs(), Document()
    going = replace(made(), status=RunStatus.RUNNING).as_json()
    runs.take_in("run-1", going)
    page(runs)(document)
    assert "Running" in texts_of(document)
    monkeypatch.setattr(dask_pages, "SILENCE", -1.0)
    [look] = document.session_callbacks
    look.callback()
    assert "Driver left" in texts_of(document)
    assert "Running" not in texts_of(document)
    assert runs()["run-1"] is runs()["run-1"]
    monkeypatch.setattr(dask_pages, "SILENCE", 20.0)
    runs.take_in("run-1", going.replace('"seconds":', '"seconds":1'))  # it was only slow
    look.callback()
    assert "Running" in texts_of(document)
