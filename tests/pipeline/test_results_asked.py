"""What is asked of results: the format by the output's name, how rows count."""

import logging

import pytest

from daskrun import ParallelRunConfig, SettingsError
from daskrun.output.sinks.registry import format_notes
from daskrun.testing import account

NEEDED = {"entry_script": "score.py", "error_threshold": -1, "output_action": "append_row"}
ROWS_ARE_SAID = {"append_row_settings": {"pandas.DataFrame.to_csv": {"sep": ","}}}


@pytest.mark.parametrize(
    ("name", "given", "extra", "chosen"),
    [
        ("preds.csv", None, {}, "csv"),
        ("preds.CSV", None, {}, "csv"),
        ("preds.jsonl", None, {}, "jsonl"),
        ("preds.parquet", None, {}, "parquet"),
        ("preds.txt", None, {}, "text"),
        ("preds", None, {}, "text"),
        (".csv", None, {}, "text"),
        ("preds.csv", "text", {}, "text"),
        ("preds.txt", "parquet", {}, "parquet"),
        ("preds.csv", None, ROWS_ARE_SAID, "text"),  # which is how the original's writes CSV
    ],
)
def test_the_ending_chooses_the_format_where_none_is_given(name, given, extra, chosen):
    config = ParallelRunConfig(**NEEDED, append_row_file_name=name, append_row_format=given)
    assert config.resolve({}, extra).append_row_format == chosen


def test_an_ending_that_chooses_nothing_is_said():
    (note,) = format_notes("preds.json")
    assert "append_row_file_name='preds.json': there is no format for '.json'" in note
    assert format_notes("preds.txt") == format_notes("preds.csv") == []


GROUPS = """
def run(mini_batch):
    n = int(mini_batch[0].rpartition("/")[2][0])
    return [] if n > 2 else [f"from {n}"] * (5 if n else 1)
"""


@pytest.mark.parametrize("name", ["preds.csv", "preds.parquet"])
def test_any_number_of_rows_is_success(work, name):
    (work.path / "score.py").write_text(GROUPS)
    run = work.submit(
        error_threshold=0, results_per_item="any", append_row_file_name=name, mini_batch_size=2
    )
    run.wait_for_completion()
    (step,) = run.get_steps()
    counts = step._state.report
    assert (counts.items, counts.items_succeeded, counts.warnings) == (10, 10, ())
    account(run).check()


def test_the_rule_of_counting_and_the_way_out_are_said(work):
    (work.path / "score.py").write_text(GROUPS)
    run = work.submit(error_threshold=-1, mini_batch_size=2)
    run.wait_for_completion()
    (step,) = run.get_steps()
    texts = [*step._state.report.warnings, *(each.message for each in step._state.report.errors)]
    assert len(texts) == 2
    assert all("results_per_item='any'" in text for text in texts)
    with pytest.raises(SettingsError, match="results_per_item='many' is not one of its values"):
        ParallelRunConfig(**NEEDED, results_per_item="many")


def test_submit_says_of_a_name_that_it_chooses_nothing(work, caplog):
    with caplog.at_level(logging.WARNING, "daskrun"):
        work.submit(append_row_file_name="preds.xlsx").wait_for_completion()
    assert "there is no format for '.xlsx'" in caplog.text
