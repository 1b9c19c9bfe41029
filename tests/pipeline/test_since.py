"""Runs over what is new since an earlier run."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import zlib
from pathlib import Path

import pytest
from s3 import KEY, SECRET

from daskrun import Dataset, Datastore, Experiment, Pipeline, PipelineData
from daskrun.errors import ResumeError, SettingsError, StorageError
from daskrun.testing import account

LISTING = """
import os

def run(mini_batch):
    return [os.path.basename(path) for path in mini_batch]
"""
ROWS = """
def run(mini_batch):
    return mini_batch["n"].tolist()
"""
FAULTY = (
    LISTING
    + """
real = run

def run(mini_batch):
    names = real(mini_batch)
    assert not [name for name in names if name in open(@flag@).read().split()]
    return names
"""
)


@pytest.fixture
def night(work):
    """Give what submits the work's step and waits: a run, and the rows of its output."""
    (work.path / "score.py").write_text(LISTING)

    def night(since=None, inputs=None, status="Completed", **settings):
        if inputs is None:
            inputs = [Dataset.File.from_files("files").as_named_input("files")]
        step = work.make_step(inputs=inputs, **settings)
        run = Experiment(work.ws, "nightly").submit(Pipeline(work.ws, [step]), since=since)
        assert run.wait_for_completion(raise_on_error=False) == status, run.message
        if status == "Completed":
            account(run).check()
        return run

    return night


def rows(run):
    [step] = run.get_steps()
    return (Path(step.output_folder) / "parallel_run_step.txt").read_text().split()


def told(run):
    [step] = run.get_steps()
    return json.loads((step.folder / "run.json").read_text())["since"]


def add(work, *names, text="new"):
    for name in names:
        (work.path / "files" / name).parent.mkdir(exist_ok=True)
        (work.path / "files" / name).write_text(text)


def again(path):
    """Write a file again as it is: only its time is another."""
    os.utime(path, ns=(1, os.stat(path).st_mtime_ns + 1_000_000_000))


def test_only_what_is_new_or_changed_is_processed(work, night, caplog):
    caplog.set_level(logging.WARNING)
    first = night()
    assert rows(first) == [f"{n}.txt" for n in range(10)]
    add(work, "10.txt", "11.txt")
    (work.path / "files" / "3.txt").write_text("larger than it was")
    again(work.path / "files" / "5.txt")
    (work.path / "files" / "4.txt").unlink()
    second = night(since=first)
    assert rows(second) == ["10.txt", "11.txt", "3.txt", "5.txt"]
    assert told(second) == {"run": first.id, "files_left_out": 7}
    assert (
        f"step 'score-files': since run {first.id} 4 files are new or changed; 7 that were "
        "processed by it or before it are left out." in caplog.messages
    )


def test_nights_chain_by_the_one_before(work, night):
    first = night()
    add(work, "a.txt")
    second = night(since=first.id)
    assert rows(second) == ["a.txt"]
    add(work, "b.txt")
    third = night(since=second, mini_batch_size=1)
    assert rows(third) == ["b.txt"]
    assert told(third)["files_left_out"] == 11
    assert rows(night(since=first)) == ["a.txt", "b.txt"]


@pytest.mark.parametrize("row_format", ["text", "csv", "jsonl", "parquet"])
@pytest.mark.parametrize("target", ["inline", None])
def test_where_nothing_is_new_the_run_is_completed_and_says_so(work, night, row_format, target):
    first = night()
    second = night(since=first, append_row_format=row_format, compute_target=target)
    assert second.message == (
        f"nothing is new since run {first.id}: all 10 files were processed by it or before it."
    )
    [step] = second.get_steps()
    output = Path(step.output_folder) / "parallel_run_step.txt"
    if row_format == "parquet":
        import pandas as pd

        assert pd.read_parquet(output).empty
    else:
        assert output.read_bytes() == b""
    add(work, "x.txt")
    assert rows(night(since=second)) == ["x.txt"]


def test_what_failed_is_in_again_and_what_succeeded_beside_it(work, night):
    flag = work.path / "flag"
    flag.write_text("4.txt 10.txt")
    (work.path / "score.py").write_text(FAULTY.replace("@flag@", repr(str(flag))))
    first = night(mini_batch_size=2, run_max_try=1)
    assert rows(first) == [f"{n}.txt" for n in (0, 1, 2, 3, 6, 7, 8, 9)]
    add(work, "10.txt", "11.txt")
    second = night(since=first, mini_batch_size=1, run_max_try=1)
    assert rows(second) == ["11.txt", "5.txt"]
    flag.write_text("")
    assert rows(night(since=second)) == ["10.txt", "4.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("status", ["Failed", "Canceled"])
def test_only_a_completed_run_is_accepted(work, night, status):
    flag = work.path / "flag"
    flag.write_text("9.txt")
    (work.path / "score.py").write_text(FAULTY.replace("@flag@", repr(str(flag))))
    if status == "Failed":
        run = night(status="Failed", error_threshold=0, mini_batch_size=1, run_max_try=1)
    else:
        (work.path / "score.py").write_text("import time\ndef run(m): time.sleep(0.5); return m\n")
        step = work.make_step(mini_batch_size=1)
        run = Experiment(work.ws, "nightly").submit(Pipeline(work.ws, [step]))
        run.cancel()
        run.wait_for_completion(raise_on_error=False)
    with pytest.raises(SettingsError) as caught:
        night(since=run)
    assert str(caught.value) == (
        f"submit: since={run.id!r} is {status}, and only what a Completed run has done is in its "
        "output. Resume it first, and wait until it is Completed: run.resume()."
    )
    flag.write_text("")
    run.resume(retry_failed=True)
    run.wait_for_completion()
    assert "nothing is new" in night(since=run).message


def test_what_is_no_run_is_named(work, night):
    first = night()
    [step] = first.get_steps()
    for since, says in [
        (7, "since=7 is no run. Write since=run, or its id."),
        ("gone", "since='gone': Workspace("),
        (f"../runs/{first.id}", "has no such run"),
        (step, f"since={step.id!r} is the run of one step. Write since={first.id!r}."),
    ]:
        with pytest.raises(SettingsError) as caught:
            night(since=since)
        assert says in str(caught.value)
    with pytest.raises(SettingsError, match=r"has no step 'other'\. Its steps are 'score-files'\."):
        Experiment(work.ws, "nightly").submit(
            Pipeline(work.ws, [work.make_step(name="other")]), since=first
        )


def test_frames_queries_and_counted_rows_have_no_new_files(work, night):
    import pandas as pd

    first = night()
    (work.path / "t.csv").write_text("n\n1\n2\n3\n")
    table = Dataset.Tabular.from_delimited_files("t.csv")
    frame = Dataset.Tabular.from_pandas_dataframe(pd.DataFrame({"n": [1]}))
    with sqlite3.connect(work.path / "rows.db") as database:
        database.execute("create table t (n integer primary key)")
        database.execute("insert into t values (1)")
    query = Dataset.Tabular.from_sql_query("select n from t", connection="sqlite:///rows.db")
    (work.path / "score.py").write_text(ROWS)
    for data, says in [
        (frame, "input 'rows' of step 'score-files' is a dataframe, and only of files can be told"),
        (query, "input 'rows' of step 'score-files' is a query, and only of files can be told"),
        (table.take(2), "counts rows (take, skip), which leaves files half read. Leave since out"),
    ]:
        with pytest.raises(SettingsError, match=r"since='") as caught:
            night(since=first, inputs=[data.as_named_input("rows")], mini_batch_size="1KB")
        assert says in str(caught.value)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_tables_leave_out_whole_files(work, night, kind):
    import pandas as pd

    folder = work.path / "tables"
    folder.mkdir()

    def write(name, *numbers):
        frame = pd.DataFrame({"n": numbers})
        path = folder / f"{name}.{kind}"
        if kind == "csv":
            frame.to_csv(path, index=False)
        elif kind == "jsonl":
            frame.to_json(path, orient="records", lines=True)
        else:
            frame.to_parquet(path, row_group_size=1)

    make = {
        "csv": Dataset.Tabular.from_delimited_files,
        "jsonl": Dataset.Tabular.from_json_lines_files,
        "parquet": Dataset.Tabular.from_parquet_files,
    }[kind]
    (work.path / "score.py").write_text(
        "def run(frame):\n    assert 4 not in set(frame['n'])\n    return frame['n'].tolist()\n"
    )
    for number in range(3):
        write(number, number * 3, number * 3 + 1, number * 3 + 2)

    def tonight(since=None):
        data = make(f"tables/*.{kind}").as_named_input("rows")
        return night(since=since, inputs=[data], mini_batch_size="2", run_max_try=1)

    first = tonight()
    assert "4" not in rows(first)
    (work.path / "score.py").write_text(ROWS)
    write(7, 21, 22)
    second = tonight(first)
    # the file with the mini-batch that failed comes again, whole
    assert rows(second) == ["3", "4", "5", "21", "22"]
    third = tonight(second)
    assert rows(third) == []
    assert "nothing is new" in third.message


def test_a_combination_of_partition_keys_is_whole_or_left_out(work, night):
    add(work, "a/1.txt", "a/2.txt", "b/1.txt", "c/1.txt")
    data = Dataset.File.from_files("files/*/*.txt", partition_format="{key}/{n}.txt")
    (work.path / "score.py").write_text(
        "def run(batch):\n    return ['+'.join('/'.join(p.split('/')[-2:]) for p in batch)]\n"
    )

    def tonight(since=None):
        return night(
            since=since,
            inputs=[data.as_named_input("files")],
            mini_batch_size=None,
            partition_keys=["key"],
        )

    first = tonight()
    assert rows(first) == ["a/1.txt+a/2.txt", "b/1.txt", "c/1.txt"]
    add(work, "a/3.txt", "d/1.txt")
    second = tonight(first)
    assert rows(second) == ["a/1.txt+a/2.txt+a/3.txt", "d/1.txt"]
    assert told(second)["files_left_out"] == 2


def test_a_resumed_run_leaves_out_what_it_left_out(work, night):
    first = night()
    add(work, *(f"new{n}.txt" for n in range(6)))
    flag = work.path / "flag"
    flag.write_text("new4.txt")
    (work.path / "score.py").write_text(FAULTY.replace("@flag@", repr(str(flag))))
    strict = {"error_threshold": 0, "run_max_try": 1, "mini_batch_size": 1}
    second = night(since=first, status="Failed", **strict)
    flag.write_text("")
    Experiment(work.ws, "nightly").get_run(second.id).resume(retry_failed=True)
    assert second.wait_for_completion() == "Completed"
    assert rows(second) == [f"new{n}.txt" for n in range(6)]
    assert rows(night(since=second)) == []


def test_a_file_that_was_left_out_and_changed_keeps_the_run_from_going_on(work, night):
    first = night()
    add(work, "new1.txt", "new2.txt")
    flag = work.path / "flag"
    flag.write_text("new2.txt")
    (work.path / "score.py").write_text(FAULTY.replace("@flag@", repr(str(flag))))
    strict = {"error_threshold": 0, "run_max_try": 1, "mini_batch_size": 1}
    second = night(since=first, status="Failed", **strict)
    again(work.path / "files" / "5.txt")
    with pytest.raises(ResumeError, match=r"1 file is new: '5\.txt'"):
        second.resume()


def test_several_inputs_are_told_apart_by_their_paths(work, night):
    add(work, "x/0.txt", "y/0.txt")

    def inputs(*names):
        return [Dataset.File.from_files(f"files/{n}").as_named_input(f"in_{n}") for n in names]

    first = night(inputs=inputs("x", "y"))
    add(work, "x/1.txt", "y/1.txt")
    second = night(since=first, inputs=inputs("y", "x"))
    assert rows(second) == ["1.txt", "1.txt"]
    assert rows(night(since=second, inputs=inputs("x"))) == []
    # the same files below another root
    both = [Dataset.File.from_files("files/**/*.txt").as_named_input("all")]
    assert rows(night(since=second, inputs=both)) == [f"{n}.txt" for n in range(10)]


def test_an_output_that_was_reused_counts_as_processed(work, night):
    def submit(since=None):
        step = work.make_step(inputs=[Dataset.File.from_files("files").as_named_input("files")])
        step.allow_reuse = True
        run = Experiment(work.ws, "nightly").submit(Pipeline(work.ws, [step]), since=since)
        assert run.wait_for_completion() == "Completed"
        return run

    first, second = submit(), submit()
    assert second.get_steps()[0].reused_run_id == first.get_steps()[0].id
    add(work, "x.txt")
    third, fourth = submit(since=second), submit(since=second)
    assert rows(third) == ["x.txt"]
    assert fourth.get_steps()[0].reused_run_id == third.get_steps()[0].id
    assert "nothing is new" in submit(since=fourth).message


def test_steps_whose_inputs_are_outputs_are_left_as_they_are(work):
    (work.path / "score.py").write_text(
        "def run(batch):\n    return [open(p).read() for p in batch]"
    )

    def submit(since=None):
        names = PipelineData("names")
        first = work.make_step(output=names, name="first")
        second = work.make_step(inputs=[names.as_dataset()], name="second", output="all")
        pipeline = Pipeline(work.ws, [first, second])
        run = Experiment(work.ws, "nightly").submit(pipeline, since=since)
        assert run.wait_for_completion() == "Completed"
        return run

    one = submit()
    add(work, "x.txt")
    two = submit(since=one)
    [second] = two.find_step_run("second")
    assert (Path(second.output_folder) / "parallel_run_step.txt").read_text() == "new\n\n"


def test_a_run_that_kept_nothing_says_so(work, night):
    first = night()
    [step] = first.get_steps()
    for file in (step.folder / "listings").iterdir():
        file.unlink()
    (step.folder / "listings").rmdir()
    with pytest.raises(StorageError, match=r"has not kept which files it was of: .* without since"):
        night(since=first)


def test_what_is_kept_is_for_this_user_and_holds_no_password(work, bucket):
    store = Datastore.register_s3(
        work.ws, "cloud", f"{bucket.name}/in", endpoint_url=bucket.endpoint, key=KEY, secret=SECRET
    )
    bucket.put("in/a.txt", b"1")
    (work.path / "score.py").write_text(LISTING)
    data = Dataset.File.from_files(store.path("*.txt"))

    def submit(since=None):
        step = work.make_step(inputs=[data.as_named_input("files")])
        run = Experiment(work.ws, "nightly").submit(Pipeline(work.ws, [step]), since=since)
        assert run.wait_for_completion() == "Completed", run.message
        return run

    first = submit()
    bucket.put("in/b.txt", b"2")
    second = submit(since=first)
    assert rows(second) == ["b.txt"]
    [step] = second.get_steps()
    for kind in ("listings", "since"):
        [file] = (step.folder / kind).iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        assert SECRET.encode() not in zlib.decompress(file.read_bytes())
