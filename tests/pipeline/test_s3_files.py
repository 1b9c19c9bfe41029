"""Runs whose script writes files of its own, to an output on S3: ``summary_only``."""

import errno
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from running import OneNode, make_request, run_request
from s3 import KEY, SECRET

from daskrun import Datastore, PipelineData
from daskrun.core.events import BundleReturned
from daskrun.core.outcome import Status
from daskrun.engine.driver import RunControl, execute
from daskrun.errors import StorageError
from daskrun.output.parts.uploads import SETTLED, OutputFiles
from daskrun.script.messages import Notice
from daskrun.storage.s3 import S3Folder

pytestmark = pytest.mark.usefixtures("own_temporary_folder")
WRITES = """
import os
from daskrun import EntryScript

folder = os.environ["DASKRUN_OUTPUT_PATH"]

def init():
    assert folder == os.environ["AZUREML_BI_OUTPUT_PATH"] == EntryScript().output_dir
    assert os.path.isdir(folder) and "://" not in folder

def run(mini_batch):
    for path in mini_batch:
        name = os.path.basename(path)
        os.makedirs(f"{folder}/by/{name[-5]}", exist_ok=True)
        with open(f"{folder}/by/{name[-5]}/{name}", "w") as file:
            file.write(open(path).read())
    return mini_batch

def shutdown():
    with open(f"{folder}/end-{os.getpid()}", "w") as file:
        file.write("the end")
"""


def remote(tmp_path, bucket, code, **settings):
    request = make_request(tmp_path, code, output_action="summary_only", **settings)
    url, options = f"{bucket.url}/out", bucket.options
    return replace(request, output_folder=None, output_url=url, output_options=options)


def written(count):
    """Name the objects that WRITES makes of so many files."""
    return {f"out/by/{n % 10}/{n:06d}.txt": b"%d" % n for n in range(count)}


@pytest.mark.slow
@pytest.mark.parametrize("target", ["inline", None])
def test_the_scripts_files_are_behind_the_url_and_nowhere_else(tmp_path, bucket, target):
    request = remote(
        tmp_path, bucket, WRITES, files=40, target=target, process_count_per_node=2, node_count=2
    )
    done = run_request(request)
    assert done.report.status.value == "Completed"
    assert done.report.warnings == ()
    assert done.report.items_succeeded == 40
    found = {key: bucket.get(key) for key in bucket.keys()}  # noqa: SIM118
    ends = {key for key in found if key.startswith("out/end-")}
    assert len(ends) == (1 if target == "inline" else 4)
    assert {key: data for key, data in found.items() if key not in ends} == written(40)
    assert bucket.uploads() == 0


@pytest.mark.slow
def test_argv_compat_names_the_folder_that_can_be_written(tmp_path, bucket):
    code = """
    import sys

    def run(mini_batch):
        with open(f"{sys.argv[sys.argv.index('--output') + 1]}/told", "w") as file:
            file.write("here")
        return mini_batch
    """
    done = run_request(remote(tmp_path, bucket, code, argv_compat=True))
    assert done.report.status.value == "Completed"
    assert bucket.get("out/told") == b"here"


@pytest.mark.slow
def test_through_the_pipeline(work, bucket):
    cloud = Datastore.register_s3(
        work.ws, "cloud", f"{bucket.name}/st", endpoint_url=bucket.endpoint, key=KEY, secret=SECRET
    )
    (work.path / "score.py").write_text(WRITES)
    run = work.submit(
        output=PipelineData("scores", datastore=cloud),
        output_action="summary_only",
        compute_target=None,
        process_count_per_node=1,
    )
    assert run.wait_for_completion() == "Completed"
    (step,) = run.get_steps()
    output = step.get_output_data("scores")
    assert output.download("here") == 11
    texts = [path.read_text() for path in sorted(Path("here").rglob("*.txt"))]
    assert texts == ["x" * n for n in range(10)]
    assert SECRET not in json.dumps(step.get_details(), default=str)


@pytest.mark.slow
def test_what_a_process_had_not_put_when_it_died_is_made_again(tmp_path, bucket):
    code = f"""
{WRITES}
first = run

def run(mini_batch):
    if mini_batch[0].endswith("3.txt"):
        os.kill(os.getpid(), 9)
    return first(mini_batch)
"""
    with OneNode(remote(tmp_path, bucket, code)) as node:
        assert [o.index for o in node.run(5, 6).outcomes] == [5, 6]
        assert set(bucket.keys()) == {"out/by/5/000005.txt", "out/by/6/000006.txt"}
        amid = node.run(0, 1, 2, 3, 4)
        assert [(o.index, o.status) for o in amid.outcomes] == [(3, Status.DIED)]
        (note,) = node.wait_for(Notice)
        assert "had not yet put that to the output's URL" in note
        again = node.run(0, 1, 2, 4)
        assert [(o.index, o.status) for o in again.outcomes] == [(n, 0) for n in (0, 1, 2, 4)]
        assert len(bucket.keys()) == 6


@pytest.mark.slow
@pytest.mark.parametrize("target", ["inline", None])
def test_a_store_that_takes_no_files_ends_the_run_which_can_go_on(tmp_path, bucket, target):
    request = remote(tmp_path, bucket, WRITES, target=target, run_max_try=1)
    bucket.fail("PUT", "000003.txt", status=403)
    done = run_request(request)
    assert done.report.status.value == "Failed"
    assert {o.status for o in done.attempts} <= {0}  # no mini-batch is charged
    assert f"can't write s3://{bucket.name}/out/by/3/000003.txt: " in done.report.message
    assert done.report.message.endswith("then go on with run.resume().")
    report = execute(replace(request, resumed=True), [], RunControl())
    assert (report.status.value, report.failed, report.items_succeeded) == ("Completed", 0, 10)
    found = {key: bucket.get(key) for key in bucket.keys() if "/end-" not in key}  # noqa: SIM118
    assert found == written(10)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["inline", None])
def test_a_file_that_no_store_would_take_fails_its_bundle_and_no_other(tmp_path, bucket, target):
    code = f"""
{WRITES}
first = run

def run(mini_batch):
    if mini_batch[0].endswith("3.txt"):
        open(os.fsencode(folder) + b"/\\xff", "w").close()
    return first(mini_batch)
"""
    settings = {"run_max_try": 1, "error_threshold": -1, "files": 60, "target": target}
    done = run_request(remote(tmp_path, bucket, code, **settings))
    assert done.report.status.value == "Completed"
    failed = [o for o in done.attempts if o.status]
    assert {o.status for o in failed} == {Status.NOT_WRITTEN}
    assert {3, 13, 23, 33, 43, 53} <= {o.index for o in failed}
    assert all("'\\udcff' is not UTF-8" in o.error.message for o in failed)
    bundles = [event.outcomes for event in done.watch.of(BundleReturned)]
    spared = [b for b in bundles if b and not any(o.index % 10 == 3 for o in b)]
    assert sum(all(o.status == 0 for o in b) for b in spared) >= len(spared) / 2
    put = {key for key in bucket.keys() if "/end-" not in key}  # noqa: SIM118
    assert put == written(60).keys()


@pytest.mark.slow
def test_a_store_that_is_slow_for_a_while_costs_nothing(tmp_path, bucket):
    bucket.fail("PUT", "000003.txt", count=7, status=503)
    done = run_request(remote(tmp_path, bucket, WRITES))
    assert (done.report.status.value, done.report.attempts) == ("Completed", 10)
    assert bucket.get("out/by/3/000003.txt") == b"3"


# the files themselves


@pytest.fixture
def make_files(tmp_path, bucket):
    (tmp_path / "output").mkdir()

    def make():
        url = f"{bucket.url}/out"
        return OutputFiles(tmp_path / "output", url, bucket.options)

    return make


def puts(bucket):
    return [asked.path.rpartition("/out/")[2] for asked in bucket.asked("PUT", "/out/")]


def test_only_what_has_changed_is_put_by_whichever_process(tmp_path, bucket, make_files):
    one, other = make_files(), make_files()
    folder = tmp_path / "output"
    (folder / "a").write_text("1")
    (folder / "b").write_text("1")
    one.sync()
    other.sync()
    one.sync()
    assert sorted(puts(bucket)) == ["a", "b"]
    (folder / "a").write_text("2")  # as long, at once
    other.sync()
    one.sync()
    assert sorted(puts(bucket)) == ["a", "a", "b"]
    assert bucket.get("out/a") == b"2"
    (folder / "new").mkdir()
    (folder / "a").rename(folder / "new" / "a")
    (folder / "empty").touch()
    one.sync()
    other.sync()
    assert bucket.keys() == ["out/b", "out/empty", "out/new/a"]


def test_what_is_no_file_is_left_out_and_links_are_what_they_point_at(tmp_path, bucket, make_files):
    folder = tmp_path / "output"
    os.mkfifo(folder / "pipe")
    (tmp_path / "real").write_bytes(b"x" * 9_000_000)
    (folder / "link").symlink_to(tmp_path / "real")
    (folder / "loop").symlink_to(folder)
    (folder / "broken").symlink_to("nowhere")
    make_files().sync()
    assert bucket.keys() == ["out/link"]
    assert len(bucket.get("out/link")) == 9_000_000


def test_one_that_fails_keeps_no_other_and_is_put_the_next_time(tmp_path, bucket, make_files):
    folder = tmp_path / "output"
    for name in "abc":
        (folder / name).write_text(name)
    bucket.fail("PUT", "/out/b", status=403)
    files = make_files()
    with pytest.raises(StorageError, match=r"can't write s3://.*/out/b: "):
        files.sync()
    assert bucket.keys() == ["out/a", "out/c"]
    with (tmp_path / "output.put").open("a") as record:
        record.write('["a", 1')  # what a process leaves that is killed just then
    files.sync()
    make_files().sync()
    assert sorted(puts(bucket)) == ["a", "b", "b", "c"]


def test_what_can_not_be_put_is_told_to_each_process_that_may_have_written_it_once(
    tmp_path, bucket, make_files
):
    folder = tmp_path / "output"
    one, other = make_files(), make_files()
    (folder / "a").touch()
    (folder / "ring").symlink_to("ring")
    time.sleep(2 * SETTLED)
    for files in (one, other):
        with pytest.raises(OSError, match="ring"):
            files.sync()
        files.sync()
    make_files().sync()
    assert bucket.keys() == ["out/a"]
    (folder / "ring").unlink()
    (folder / "ring").touch()  # as it should have been
    other.sync()
    assert bucket.keys() == ["out/a", "out/ring"]


def test_a_name_that_is_too_long_for_the_store_is_that_files_fault(
    tmp_path, bucket, make_files, monkeypatch
):
    def put(self, name, data):
        if name == "long":
            raise OSError(errno.ENAMETOOLONG, "Your key is too long")
        was(self, name, data)

    was = S3Folder._put
    monkeypatch.setattr(S3Folder, "_put", put)
    for name in ("a", "long", "z"):
        (tmp_path / "output" / name).touch()
    with pytest.raises(OSError, match=r"/out/long: .*key is too long. Give .* name") as caught:
        make_files().sync()
    assert not isinstance(caught.value, StorageError)
    assert bucket.keys() == ["out/a", "out/z"]


def test_a_file_that_is_being_written_is_put_again(tmp_path, bucket, make_files, monkeypatch):
    path = tmp_path / "output" / "a"
    path.write_text("half")
    files = make_files()
    ahead = time.time_ns() + 10**9
    os.utime(path, ns=(ahead, ahead))  # as if written while it is looked at
    files.sync()
    files.sync()
    assert puts(bucket) == ["a", "a"]
