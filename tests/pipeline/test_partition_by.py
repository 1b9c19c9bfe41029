"""Tables that are shuffled, so that each combination of values is one mini-batch."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from daskrun import Dataset, DatasetError, RunFailedError, SettingsError
from daskrun.testing import account

SCRIPT = """
def run(mini_batch, mini_batch_context):
    told = mini_batch_context.partition_key_value
    assert (mini_batch["store"].nunique(dropna=False), list(mini_batch.columns)) == (1, COLUMNS)
    assert told["store"] == mini_batch["store"].iloc[0] or told["store"] != told["store"]
    return [(told["store"], len(mini_batch), *mini_batch["n"])]
"""


@pytest.fixture
def sales(work):
    """Three files, in which each store is in several."""
    folder = work.path / "sales"
    folder.mkdir()
    for number in range(3):
        rows = [f"{(n * 7 + number) % 4},{number * 100 + n},a/b {n}" for n in range(12)]
        (folder / f"{number}.csv").write_text("\n".join(["store,n,text", *rows]) + "\n")
    (work.path / "score.py").write_text("COLUMNS = ['store', 'n', 'text']\n" + SCRIPT)
    return Dataset.Tabular.from_delimited_files(str(folder / "*.csv"))


def submit(work, table, **settings):
    step = work.make_step(
        inputs=[table.as_named_input("sales")],
        mini_batch_size=None,
        results_per_item="any",
        append_row_file_name="groups.jsonl",
        **{"partition_by": ["store"], **settings},
    )
    step.allow_reuse = True
    return work.submit(step)


def groups(run):
    lines = Path(run.outputs["scores"].path).read_text().splitlines()
    return {store: rest for store, *rest in map(json.loads, lines)}


def expected(sales):
    frame = sales.to_pandas_dataframe()
    return {int(k): [len(g), *map(int, g["n"])] for k, g in frame.groupby("store")}


@pytest.mark.slow
@pytest.mark.parametrize("target", ["inline", None])
def test_each_group_is_one_mini_batch_with_its_rows_in_order(work, sales, target):
    run = submit(work, sales, compute_target=target, process_count_per_node=1)
    run.wait_for_completion()
    assert groups(run) == expected(sales)
    (step,) = run.get_steps()
    assert step._state.report.total == 4
    account(run).check()
    assert os.listdir(os.path.dirname(run.outputs["scores"].path)) == ["groups.jsonl"]


def test_it_is_shuffled_once_and_reuse_knows_it(work, sales, monkeypatch):
    first = submit(work, sales)
    first.wait_for_completion()
    with monkeypatch.context() as patch:
        patch.setattr("daskrun.data.tabular.shuffle.shuffled", None)
        again = submit(work, sales)
        again.wait_for_completion()
    assert again.get_steps()[0].reused_run_id == first.get_steps()[0].id
    (work.path / "sales" / "0.csv").write_text("store,n,text\n9,9,z\n")
    other = submit(work, sales)
    other.wait_for_completion()
    assert groups(other)[9] == [1, 9]
    assert "inputs" in str(other.get_steps()[0].explain_reuse())


def test_a_resume_goes_on_with_what_was_shuffled(work, sales, monkeypatch):
    script = (work.path / "score.py").read_text()
    ok = f"__import__('os').path.exists({str(work.path / 'ok')!r})"
    bad = f"    assert told['store'] != 2 or {ok}\n"
    (work.path / "score.py").write_text(script.replace("    return", bad + "    return"))
    run = submit(work, sales, error_threshold=0, run_max_try=1)
    with pytest.raises(RunFailedError):
        run.wait_for_completion()
    (work.path / "ok").touch()
    monkeypatch.setattr("daskrun.data.tabular.shuffle.shuffled", None)
    assert run.resume(retry_failed=True).wait_for_completion() == "Completed"
    assert groups(run) == expected(sales)


def test_missing_values_are_a_group_and_dataframes_are_shuffled_too(work, sales):
    frame = pd.DataFrame({"store": ["x", None, "x", None, "é/"], "n": range(5), "text": "t"})
    run = submit(work, Dataset.Tabular.from_pandas_dataframe(frame))
    run.wait_for_completion()
    assert groups(run) == {"x": [2, 0, 2], None: [2, 1, 3], "é/": [1, 4]}


def test_what_can_not_be_is_refused(work, sales):
    run = submit(work, sales, partition_by=["shop"])
    assert run.wait_for_completion(raise_on_error=False) == "Failed"
    assert "there is no column 'shop'. There are 'store', 'n', 'text'" in run.message
    with pytest.raises(SettingsError, match="both say what a mini-batch is"):
        submit(work, sales, partition_keys=["store"])
    with pytest.raises(DatasetError, match="of columns of tables, and the inputs are files"):
        work.submit(partition_by=["store"], mini_batch_size=None)
