"""Runs whose data and output are on S3, end to end."""

import csv
import json
import logging
import os
from dataclasses import replace
from io import BytesIO, StringIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from running import OneNode, Watch, kill_driver_at, make_request, run_request
from s3 import KEY, SECRET

from daskrun import Dataset, DatasetConsumptionConfig, Datastore, PipelineData
from daskrun.core.outcome import Status
from daskrun.data.file_plan import FilePlan
from daskrun.engine.driver import RunControl, execute
from daskrun.engine.nodes import output_of
from daskrun.errors import ResumeError, SettingsError
from daskrun.script.messages import Notice
from daskrun.storage.journal import Journal
from daskrun.storage.stores import open_url_folder
from daskrun.testing import account

SPY = """
import os

def init():
    for pid in (os.getpid(), os.getppid()):
        for name in ("environ", "cmdline"):
            print(open(f"/proc/{pid}/{name}", "rb").read())

def run(mini_batch):
    print(mini_batch)
    return [open(path).read() for path in mini_batch]
"""


def register(ws, bucket, name="cloud", **options):
    return Datastore.register_s3(
        ws, name, f"{bucket.name}/store", endpoint_url=bucket.endpoint, **options
    )


@pytest.fixture
def cloud(work, bucket):
    """Give a datastore that may be written."""
    return register(work.ws, bucket, key=KEY, secret=SECRET)


@pytest.mark.slow
def test_inputs_and_output_on_s3_and_no_secret_anywhere(work, bucket, cloud, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    (work.path / "score.py").write_text(SPY)
    for n in range(20):
        bucket.put(f"store/in/{n:02d}.txt", b"row %d" % n)
    data = Dataset.File.from_files(cloud.path("in/"))
    step = work.make_step(
        inputs=[DatasetConsumptionConfig("files", data)],
        output=PipelineData("scores", datastore=cloud),
        compute_target=None,
        process_count_per_node=2,
        append_row_file_name="rows.txt",
    )
    run = work.submit(step)
    assert run.wait_for_completion(show_output=True) == "Completed"
    (step_run,) = run.find_step_run("score-files")
    output = step_run.get_output_data("scores")
    expected = b"".join(b"row %d\n" % n for n in range(20))
    assert bucket.get(f"store/{output.path_on_datastore}/rows.txt") == expected
    assert [k for k in bucket.keys() if "/in/" not in k] == [  # noqa: SIM118
        f"store/{output.path_on_datastore}/rows.txt"
    ]
    assert step_run.output_folder == f"{bucket.url}/store/{output.path_on_datastore}"
    assert output.download("here") == 1
    assert Path("here", output.path_on_datastore, "rows.txt").read_bytes() == expected
    told = capfd.readouterr()
    shown = f"{told.out}{told.err}{caplog.text}{run!r}{step_run!r}{output!r}{cloud!r}{data!r}"
    shown += json.dumps(step_run.get_details(), default=str)
    assert SECRET not in shown
    private = work.ws.folder / "private"  # where the datastore's secrets are, for this user alone
    assert all(p.stat().st_mode & 0o077 == 0 for p in private.iterdir())
    files = [p for p in work.path.rglob("*") if p.is_file() and private not in p.parents]
    assert len(files) > 20
    assert any(b"cmdline" not in p.read_bytes() and "stdout" in p.name for p in files)
    assert [p for p in files if SECRET.encode() in p.read_bytes()] == []


def test_anonymous_access_reads_what_is_public_and_nothing_else(work, bucket, public_bucket):
    for each in (bucket, public_bucket):
        each.put("store/in/a.txt", b"12345")
    public = register(work.ws, public_bucket, "public", anon=True)
    data = Dataset.File.from_files(public.path("in/*.txt"))
    run = work.submit(work.make_step(inputs=[DatasetConsumptionConfig("files", data)]))
    run.wait_for_completion()
    assert not any(asked.signed for asked in public_bucket.asked())
    closed = register(work.ws, bucket, "closed", anon=True)
    with pytest.raises(ValueError, match=r"can't be reached: PermissionError"):
        Dataset.File.from_files(closed.path("in/"))


@pytest.mark.slow
@pytest.mark.parametrize("access", ["anonymous", "wrong key"])
def test_an_output_that_can_not_be_written_is_said_before_anything_starts(
    work, public_bucket, access
):
    keys = {"anon": True} if access == "anonymous" else {"key": "AKIAOTHER", "secret": SECRET}
    store = register(work.ws, public_bucket, **keys)
    with pytest.raises(SettingsError, match=r"output='s3://.*' can't be written: ") as caught:
        work.submit(output=PipelineData("scores", datastore=store))
    assert SECRET not in str(caught.value)
    assert list(work.ws.runs_folder.iterdir()) == []
    assert public_bucket.keys() == []


def test_what_a_url_can_not_be_is_refused(work, cloud):
    memory = Datastore.register_url(work.ws, "memory", f"memory://{os.getpid()}")
    output = PipelineData("scores", datastore=memory)
    with pytest.raises(SettingsError, match=r"this process's own memory.*'inline'"):
        work.submit(output=output, compute_target=None)
    run = work.submit(output=output)
    run.wait_for_completion()
    (step,) = run.get_steps()
    assert step.get_output_data("scores").download("here") == 1
    (found,) = Path("here").rglob("parallel_run_step.txt")
    assert found.read_text().splitlines() == [f"{n}.txt: {n}" for n in range(10)]


# the engine, with faults


def remote(request, bucket):
    """Send a request's output to S3."""
    url, options = f"{bucket.url}/out", bucket.options
    request = replace(request, output_folder=None, output_url=url, output_options=options)
    output_of(request).prepare(request.settings.append_row_file_name, overwrite=False)
    return request


def rows(bucket):
    return bucket.get("out/parallel_run_step.txt")


DIES = """
import os, pathlib

def run(mini_batch):
    text = open(mini_batch[0]).read()
    seen = pathlib.Path({folder!r}, text)
    times = len(seen.read_text()) if seen.exists() else 0
    seen.write_text("x" * (times + 1))
    if text == "17" and times == 0:
        os.kill(os.getpid(), 9)
    return [text]
"""


@pytest.mark.slow
def test_a_process_killed_amid_a_bundle_costs_no_row_and_doubles_none(tmp_path, bucket):
    seen = tmp_path / "seen"
    seen.mkdir()
    code = DIES.format(folder=str(seen))
    request = remote(make_request(tmp_path, code, files=30, process_count_per_node=2), bucket)
    done = run_request(request)
    assert done.report.status.value == "Completed"
    assert done.report.retried == 1
    assert rows(bucket) == b"".join(b"%d\n" % n for n in range(30))
    assert bucket.keys() == ["out/parallel_run_step.txt"]
    failed = [o.index for o in done.attempts if o.status]
    assert failed == [17]  # who was finished before it is made again, and charged nothing


@pytest.mark.parametrize("target", ["inline", None])
def test_an_object_that_is_not_the_one_listed_is_not_read(tmp_path, bucket, cloud, target):
    for n in range(6):
        bucket.put(f"store/in/{n}.txt", b"%d" % n)
    plan = FilePlan([("files", Dataset.File.from_files(cloud.path("in/")))], 1)
    bucket.put("store/in/3.txt", b"another")
    settings = {"run_max_try": 2, "error_threshold": -1, "target": target}
    done = run_request(make_request(tmp_path, plan=plan, **settings))
    assert done.output == b"0\n1\n2\n4\n5\n"
    failed = [o for o in done.attempts if o.status]
    assert [(o.index, o.status) for o in failed] == [(3, Status.NOT_LOADED)] * 2
    assert (
        f"the input file '{bucket.url}/store/in/3.txt' was changed after the run was submitted: 1 "
        "bytes were listed, 7 were brought. Submit the run again."
    ) in failed[0].error.message


def test_a_run_that_fails_leaves_no_output_but_its_parts(tmp_path, bucket):
    code = """
    def run(mini_batch):
        text = open(mini_batch[0]).read()
        if text == "9":
            raise ValueError("nine")
        return [text]
    """
    request = make_request(tmp_path, code, error_threshold=0, run_max_try=1)
    done = run_request(remote(request, bucket))
    assert done.report.status.value == "Failed"
    keys = bucket.keys()
    assert keys
    assert all(key.startswith("out/_daskrun/run1/") for key in keys)
    committed = {r["part"] for r in done.journal if any(o[6] for o in r.get("outcomes", ()))}
    assert committed <= {key.rpartition("/")[2] for key in keys}
    assert bucket.uploads() == 0


@pytest.mark.slow
def test_rows_that_can_not_be_put_end_the_run_which_can_go_on(tmp_path, bucket):
    request = remote(make_request(tmp_path), bucket)
    bucket.fail("PUT", "_daskrun/run1", status=403)
    done = run_request(request)
    assert done.report.status.value == "Failed"
    assert {o.status for o in done.attempts} <= {0}  # no mini-batch is charged
    assert f"can't write {bucket.url}/out/_daskrun/run1/" in done.report.message
    assert "run.resume()" in done.report.message
    report = execute(replace(request, resumed=True), [], RunControl())
    assert (report.status.value, report.failed) == ("Completed", 0)
    assert rows(bucket) == b"".join(b"%d\n" % n for n in range(10))


@pytest.mark.slow
def test_large_output_is_copied_by_the_store(tmp_path, bucket):
    code = """
    def run(mini_batch):
        return [open(mini_batch[0]).read() * 6_000_000]
    """
    done = run_request(remote(make_request(tmp_path, code, files=4), bucket))
    assert done.report.status.value == "Completed"
    assert rows(bucket) == b"".join(b"%d" % n * 6_000_000 + b"\n" for n in range(4))
    assert any(asked.copied for asked in bucket.asked("PUT", "out/parallel_run_step.txt"))
    assert bucket.uploads() == 0


def test_rows_that_were_not_put_when_their_process_died_are_handed_back(tmp_path, bucket):
    code = """
    import os

    def run(mini_batch):
        text = open(mini_batch[0]).read()
        if text == "3":
            os.kill(os.getpid(), 9)
        return [text] if text != "1" else []
    """
    request = remote(make_request(tmp_path, code), bucket)
    with OneNode(request) as node:
        before = node.run(5, 6)
        assert [o.index for o in before.outcomes] == [5, 6]
        assert bucket.get(f"out/_daskrun/run1/{before.process.part}") == b"5\n6\n"
        amid = node.run(0, 1, 2, 3, 4)
        # 1 had no rows to lose; 0 and 2 are made again and charged nothing
        assert [(o.index, o.status) for o in amid.outcomes] == [(1, 0), (3, Status.DIED)]
        (note,) = node.wait_for(Notice)
        assert "process000 had finished when it died" in note
        assert "had not yet put that to the output's URL" in note
    assert len(bucket.keys()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["csv", "jsonl", "parquet"])
def test_formats_on_s3(work, bucket, cloud, name):
    (work.path / "score.py").write_text(
        "import os\n\ndef run(mini_batch):\n"
        "    return [{'file': os.path.basename(p), 'text': 'x,' * 50000} for p in mini_batch]\n"
    )
    output = PipelineData("scores", datastore=cloud)
    step = work.make_step(output=output, compute_target=None, append_row_format=name)
    run = work.submit(step)
    assert run.wait_for_completion() == "Completed"
    path = run.get_steps()[0].get_output_data("scores").path_on_datastore
    data = bucket.get(f"store/{path}/parallel_run_step.txt")
    if name == "csv":
        found = list(csv.DictReader(StringIO(data.decode(), newline="")))
    elif name == "jsonl":
        found = [json.loads(line) for line in data.splitlines()]
    else:
        found = pq.read_table(BytesIO(data)).to_pylist()
    assert found == [{"file": f"{n}.txt", "text": "x," * 50000} for n in range(10)]


RETRIED = """
import pandas
from pathlib import Path

def run(mini_batch):
    n = int(Path(mini_batch[0]).stem)
    if n == 3 and not Path({flag!r}).exists():
        raise ValueError("three")
    row = {{"n": n, "text": "x" * n}}
    return pandas.DataFrame([dict(reversed(row.items())) if n == 5 and {mixed} else row])
"""


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_what_has_failed_gets_into_an_object_that_is_there(work, cloud, name, mixed):
    flag = work.path / "flag"
    (work.path / "score.py").write_text(RETRIED.format(flag=str(flag), mixed=mixed))
    output = PipelineData("scores", datastore=cloud)
    run = work.submit(output=output, mini_batch_size=1, run_max_try=1, append_row_file_name=name)
    run.wait_for_completion()
    rows = run.outputs["scores"].to_pandas_dataframe()
    assert (rows["n"].tolist(), list(rows)) == ([0, 1, 2, 4, 5, 6, 7, 8, 9], ["n", "text"])
    assert rows["text"].tolist()[4] == "xxxxx"
    flag.touch()
    if mixed:  # its rows are no longer those that were committed
        with pytest.raises(ResumeError, match="columns were put together by name"):
            run.resume(retry_failed=True)
        assert run.get_status() == "Completed"
        return
    run.resume(retry_failed=True).wait_for_completion()
    assert run.outputs["scores"].to_pandas_dataframe()["n"].tolist() == list(range(10))
    account(run).check()


@pytest.mark.slow
@pytest.mark.parametrize("etag", [True, False], ids=["with ETags", "of a journal without"])
def test_a_part_that_changed_is_made_again_also_where_s3_copies_its_rows(tmp_path, bucket, etag):
    code = "def run(mini_batch):\n    return [open(p).read().ljust(6_000_000) for p in mini_batch]"
    request = make_request(tmp_path, code, files=4, process_count_per_node=2)
    url, options = f"{bucket.url}/out", bucket.options
    request = replace(request, output_folder=None, output_url=url, output_options=options)
    kill_driver_at(request, "finalizing")
    journal = request.run_folder / "journal"
    records = list(Journal.read(journal))
    assert all(each["etag"] for each in records if each["kind"] == "bundle")
    if not etag:
        without = Journal(tmp_path / "journal")
        for each in records:
            without.append({name: value for name, value in each.items() if name != "etag"})
        without.close()
        (tmp_path / "journal").replace(journal)
    parts = [key for key in bucket.keys() if "-process" in key]  # noqa: SIM118
    [key] = [key for key in parts if b"1" in bucket.get(key)]
    data = bucket.get(key)
    bucket.put(key, data.replace(b" \n", b"?\n"))
    watch = Watch()
    report = execute(replace(request, resumed=True), [watch], RunControl())
    assert (report.status.value, report.succeeded) == ("Completed", 4)
    wanted = b"".join(b"%d".ljust(6_000_001) % n + b"\n" for n in range(4))
    assert bucket.get("out/parallel_run_step.txt") == wanted
    in_it = {n for n in range(4) if b"%d" % n in data}
    assert {o.index for o in watch.attempts} == in_it


@pytest.mark.slow
def test_parts_with_other_etags_and_the_same_bytes_are_read_and_not_made_again(tmp_path, bucket):
    code = "def run(mini_batch):\n    return [open(p).read().ljust(6_000_000) for p in mini_batch]"
    request = make_request(tmp_path, code, files=2)
    url, options = f"{bucket.url}/out", bucket.options
    request = replace(request, output_folder=None, output_url=url, output_options=options)
    kill_driver_at(request, "finalizing")
    for key in [key for key in bucket.keys() if "-process" in key]:  # noqa: SIM118
        data = bucket.get(key)
        again = open_url_folder(bucket.url, options).publication(key)  # as a store that moves it
        again.write(0, data[: -len(data) // 8])
        again.write(1, data[-len(data) // 8 :])
        again.commit(overwrite=True)
        assert bucket.get(key) == data
    watch = Watch()
    report = execute(replace(request, resumed=True), [watch], RunControl())
    assert (report.status.value, report.succeeded) == ("Completed", 2)
    assert watch.attempts == []
    wanted = b"".join(b"%d".ljust(6_000_001) % n + b"\n" for n in range(2))
    assert bucket.get("out/parallel_run_step.txt") == wanted
    assert any("all rows were read, and are as they were written" in w for w in report.warnings)
