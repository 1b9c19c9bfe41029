"""What has failed in a run that is Completed runs again, and gets into the same output."""

import os

import pytest

from daskrun import Experiment, ResumeError
from daskrun.testing import account

FAILS = """
import os
from pathlib import Path
from daskrun import Failed

HERE = Path(__file__).parent

def run(mini_batch):
    with (HERE / "calls").open("a") as calls:
        calls.write(mini_batch[0][-5])
    results = []
    for path in mini_batch:
        n, mended = int(path[-5]), (HERE / "mended").exists()
        if n == 4 and not mended or n == 7 and (HERE / "worse").exists():
            raise ValueError("bad")
        results.append({"n": n} if n != 6 or mended else Failed(path, "six"))
    return results
"""
FORMATS = ["rows.txt", "rows.csv", "rows.jsonl", "rows.parquet"]


def submit(work, name="rows.csv", **settings):
    (work.path / "score.py").write_text(FAILS)
    run = work.submit(append_row_file_name=name, run_max_try=1, mini_batch_size=3, **settings)
    run.wait_for_completion(raise_on_error=False)
    return run


def calls(work):
    found = (work.path / "calls").read_text()
    (work.path / "calls").unlink()
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_only_what_has_failed_runs_and_gets_into_its_place(work, name):
    run = submit(work, name)
    assert calls(work) == "0369"
    assert run.outputs["scores"].failed_items()["item"].str[-5].tolist() == ["3", "4", "5", "6"]
    (step,) = run.get_steps()
    assert "run.resume(retry_failed=True)" in (step.folder / "logs" / "job_result.txt").read_text()
    (work.path / "mended").touch()
    assert run.resume(retry_failed=True).wait_for_completion() == "Completed"
    assert calls(work) == "36"
    account(run).check()
    output = run.outputs["scores"]
    assert output.failed_items().empty
    assert os.listdir(os.path.dirname(output.path)) == [name]
    again = submit(work, name)  # as if nothing had failed
    with open(output.path, "rb") as one, open(again.outputs["scores"].path, "rb") as other:
        assert one.read() == other.read()
    report = step._state.report
    assert (report.items, report.items_failed, report.errors != ()) == (10, 0, True)
    with pytest.raises(ResumeError, match="no mini-batch of it has failed"):
        run.resume(retry_failed=True)


def test_what_fails_again_leaves_what_was_there(work):
    run = submit(work)
    before = run.outputs["scores"].to_pandas_dataframe()["n"].tolist()
    assert before == [0, 1, 2, 7, 8, 9]
    (work.path / "worse").touch()
    run.resume(retry_failed=True).wait_for_completion()
    account(run).check()
    assert run.outputs["scores"].to_pandas_dataframe()["n"].tolist() == before
    assert run.outputs["scores"].failed_items()["item"].str[-5].tolist() == ["3", "4", "5", "6"]
    (work.path / "worse").unlink()
    (work.path / "mended").touch()
    other = Experiment(work.ws, "trial").get_run(run.id)
    other.resume(retry_failed=True).wait_for_completion()
    account(other).check()
    assert other.outputs["scores"].to_pandas_dataframe()["n"].tolist() == list(range(10))


def test_an_output_that_was_changed_since_is_refused(work):
    run = submit(work)
    with open(run.outputs["scores"].path, "r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"x")
    assert run.resume(retry_failed=True).wait_for_completion(raise_on_error=False) == "Failed"
    assert "does not hold the rows of mini-batch 3 any more" in run.message


def test_a_run_of_which_nothing_has_failed_says_so(work):
    (work.path / "mended").touch()
    run = submit(work)
    with pytest.raises(ResumeError, match="Completed, and no mini-batch of it has failed"):
        run.resume()
    (work.path / "mended").unlink()
    run = submit(work)
    with pytest.raises(ResumeError, match=r"with run.resume\(retry_failed=True\)"):
        run.resume()


def test_files_of_the_scripts_own_are_made_again(work):
    run = submit(work, output_action="summary_only")
    (work.path / "mended").touch()
    calls(work)
    assert run.resume(retry_failed=True).wait_for_completion() == "Completed"
    assert calls(work) == "36"
    assert run.get_steps()[0]._state.report.items_failed == 0


@pytest.mark.parametrize("settings", [{"error_threshold": 1}, {"allowed_failed_count": 0}])
def test_the_advice_after_a_failure_names_what_will_help(work, settings):
    run = submit(work, **settings)
    assert run.get_status() == "Failed"
    for text in ("alone would end at once", "retry_failed=True", "error_threshold=..."):
        assert text in run._reason()


def test_that_nothing_has_succeeded_or_init_fails_is_advised_of(work):
    (work.path / "score.py").write_text("def run(mini_batch):\n    raise ValueError('bad')\n")
    run = work.submit(run_max_try=1)
    run.wait_for_completion(raise_on_error=False)
    assert "alone would end at once. run.resume(retry_failed=True) tries" in run._reason()
    assert "error_threshold" not in run._reason()
    (work.path / "score.py").write_text("def init():\n    raise ValueError('bad')\n" + FAILS)
    run = work.submit()
    run.wait_for_completion(raise_on_error=False)
    assert "its init() would fail again: mend it and submit again" in run._reason()


def test_other_columns_are_advised_of(work):
    (work.path / "score.py").write_text("def run(files):\n    return [{files[0][-5]: 1}]\n")
    run = work.submit(append_row_file_name="rows.csv", mini_batch_size=1)
    run.wait_for_completion(raise_on_error=False)
    assert "run.resume(columns='union')" in run._reason()
    assert "run.resume() alone would end at once" in run._reason()
    assert run.resume(columns="union").wait_for_completion() == "Completed"
    assert run.outputs["scores"].to_pandas_dataframe().shape == (10, 10)
