"""What a notebook shows of datasets, workspaces, configs and targets."""

import pandas as pd

from daskrun import ComputeTarget, Dataset, ParallelRunConfig

EVIL = "<img src=x onerror=alert(1)>"


def test_datasets_show_schema_and_first_rows_or_files(work):
    frame = pd.DataFrame({"name": [EVIL, *"bcdefgh"], "count": range(8)})
    frame.to_csv("orders.csv", index=False)
    html = Dataset.Tabular.from_delimited_files("orders.csv")._repr_html_()
    assert "int64" in html
    assert "&lt;img" in html
    assert "<img" not in html
    assert "<td>4</td>" in html
    assert "<td>5</td>" not in html
    html = Dataset.File.from_files("files")._repr_html_()
    assert "10 files" in html
    assert "0.txt" in html


def test_what_cannot_be_read_is_told(work):
    dataset = Dataset.Tabular.from_parquet_files("score.py", validate=False)
    assert "can&#x27;t be read" in dataset._repr_html_()
    gone = Dataset.File.from_files("nowhere", validate=False)
    assert "nowhere" in gone._repr_html_()


def test_configs_show_what_was_given_but_no_value_of_a_variable(work):
    config = ParallelRunConfig(
        entry_script="score.py", mini_batch_size=3, error_threshold=EVIL.count("x") + 5,
        output_action="append_row", environment_variables={"TOKEN": "hush"},
    )  # fmt: skip
    html = config._repr_html_()
    assert "<td>mini_batch_size</td><td>3</td>" in html
    assert "TOKEN" in html
    assert "hush" not in html
    assert "trial" in work.ws._repr_html_()
    attached = ComputeTarget.attach(work.ws, "mine", "tcp://10.0.0.1:8786")
    assert "mine" in attached._repr_html_()
