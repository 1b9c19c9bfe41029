"""Outputs on S3 that scripts of parallel steps write files to, beside their results."""

import os
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from running import OneNode, Watch, kill_driver_at, make_request
from s3 import KEY, SECRET

from daskrun import Dataset, Datastore, OutputFileDatasetConfig, PipelineData
from daskrun.core.outcome import Status
from daskrun.engine.driver import RunControl, execute
from daskrun.output.parts.uploads import SETTLED, OutputFiles
from daskrun.script.process_spec import ScriptOutput
from daskrun.storage.s3 import Multipart

pytestmark = pytest.mark.usefixtures("own_temporary_folder")
WRITES = """
import os, sys

def run(mini_batch):
    folder = sys.argv[sys.argv.index("--more") + 1]
    assert os.path.isdir(folder) and "://" not in folder
    for path in mini_batch:
        os.makedirs(f"{folder}/sub", exist_ok=True)
        with open(f"{folder}/sub/{os.path.basename(path)}", "w") as file:
            file.write(open(path).read())
    return [f"row {os.path.basename(path)}" for path in mini_batch]
"""


@pytest.fixture
def cloud(work, bucket):
    how = {"endpoint_url": bucket.endpoint, "key": KEY, "secret": SECRET}
    return Datastore.register_s3(work.ws, "cloud", f"{bucket.name}/store", **how)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["inline", None])
@pytest.mark.parametrize("own", ["folder", "s3"])
def test_what_stands_in_arguments_alone_is_a_folder_whose_files_go_there(
    work, bucket, cloud, target, own
):
    more = OutputFileDatasetConfig("more", (cloud, "more/{run-id}"))
    more = more.register_on_complete("written")
    (work.path / "score.py").write_text(WRITES)
    first = work.make_step(
        arguments=["--more", more],
        compute_target=target,
        process_count_per_node=None if target else 2,
        output=PipelineData("scores", datastore=cloud if own == "s3" else None),
    )
    (work.path / "sizes.py").write_text(
        "import os\nrun = lambda batch: map(os.path.getsize, batch)"
    )
    (work.path / "sizes.py").write_text(
        "import os\n\ndef run(batch):\n    return [os.path.getsize(each) for each in batch]\n"
    )
    second = work.make_step(
        "size-files", [more.as_input("more")], output="sizes", entry_script="sizes.py"
    )
    run = work.submit(first, second)
    assert run.wait_for_completion(show_output=True) == "Completed"
    (step,) = run.find_step_run("score-files")
    written = step.get_output_data("more")
    start = f"store/more/{step.id}/"
    assert [key for key in bucket.keys() if "/more/" in key] == [  # noqa: SIM118
        f"{start}sub/{n}.txt" for n in range(10)
    ]
    assert written.download("here") == 10
    assert Path("here", written.path_on_datastore, "sub", "7.txt").read_text() == "x" * 7
    sizes = run.find_step_run("size-files")[0].output().to_pandas_dataframe()
    assert [int(size) for size in sizes.iloc[:, 0]] == [*range(10)]
    assert len(Dataset.get_by_name(work.ws, "written").to_path()) == 10


@pytest.mark.slow
def test_a_script_that_returns_rows_may_write_files_to_its_own_output_too(work, bucket, cloud):
    (work.path / "score.py").write_text(WRITES)
    scores = PipelineData("scores", datastore=cloud)
    step = work.make_step(output=scores, arguments=["--more", scores], compute_target=None)
    run = work.submit(step)
    assert run.wait_for_completion() == "Completed"
    found = run.find_step_run("score-files")[0].get_output_data("scores")
    start = f"store/{found.path_on_datastore}/"
    names = [key.removeprefix(start) for key in bucket.keys()]  # noqa: SIM118
    assert names == ["parallel_run_step.txt", *(f"sub/{n}.txt" for n in range(10))]


def with_more(tmp_path, bucket, code, **settings):
    """Ask for a run with rows in a folder and an output more on S3."""
    request = make_request(tmp_path, code, **settings)
    more = ScriptOutput(url=f"{bucket.url}/more", options=bucket.options)
    own = ScriptOutput(folder=str(request.output_folder))
    context = replace(request.settings, arguments=())
    return replace(request, outputs={"own": own, "more": more}, settings=context)


FOLDER = """
import glob, os, time
from daskrun.script import context
node = context.current().working_dir.rpartition("/")[0]
folder = f"{node}/output/0"
"""
KILLED = f"""
{FOLDER}
def run(mini_batch):
    for path in mini_batch:
        name = os.path.basename(path)
        with open(f"{{folder}}/{{name}}", "w") as file:
            file.write("half")
            file.flush()
            if name.endswith("3.txt"):
                time.sleep(0.1)
                os.kill(os.getpid(), 9)
            file.write(" and half")
    return mini_batch
"""


@pytest.mark.slow
def test_what_a_killed_process_left_is_put_before_its_mini_batch_can_run_elsewhere(
    tmp_path, bucket
):
    request = with_more(tmp_path, bucket, KILLED, process_count_per_node=2)
    with OneNode(request) as node:
        amid = node.run(2, 3)
        assert [(o.index, o.status) for o in amid.outcomes] == [(3, Status.DIED)]
        assert not amid.trouble
        assert bucket.get("more/000003.txt") == b"half"
        bucket.put("more/000003.txt", b"whole")  # as another node does, that it goes to
        again = node.run(2, 4)
        assert [(o.index, o.status) for o in again.outcomes] == [(2, 0), (4, 0)]
    assert bucket.get("more/000003.txt") == b"whole"
    assert bucket.get("more/000002.txt") == b"half and half"


@pytest.mark.slow
def test_where_that_can_not_be_put_the_run_ends_and_can_go_on(tmp_path, bucket):
    request = with_more(tmp_path, bucket, KILLED)
    bucket.fail("PUT", "000003.txt", status=403)
    with OneNode(request) as node:
        amid = node.run(3)
        assert [(o.index, o.status) for o in amid.outcomes] == [(3, Status.DIED)]
        assert f"can't write s3://{bucket.name}/more/000003.txt: " in amid.trouble


def dying_at_3(code):
    return f"""
{FOLDER}
def run(mini_batch):
    name = os.path.basename(mini_batch[0])
    at_3 = name.endswith("3.txt")
{textwrap.indent(textwrap.dedent(code), "    ")}
    if at_3:
        os.kill(os.getpid(), 9)
    return mini_batch
"""


@pytest.mark.slow
def test_a_script_that_removes_the_folder_and_dies_costs_its_own_mini_batch(tmp_path, bucket):
    code = dying_at_3("import shutil\nif at_3:\n    shutil.rmtree(folder)")
    with OneNode(with_more(tmp_path, bucket, code)) as node:
        assert not node.run(1).trouble
        amid = node.run(3)
        assert [(o.index, o.status) for o in amid.outcomes] == [(3, Status.DIED)]
        assert not amid.trouble
        (failed,) = node.run(1).outcomes
        assert failed.status == Status.NOT_WRITTEN
        assert "No such file" in failed.error.message


@pytest.mark.slow
def test_that_a_dead_process_has_removed_a_file_is_put_before_the_next_try(tmp_path, bucket):
    code = dying_at_3(
        """
        if at_3:
            os.remove(f"{folder}/one")
        else:
            open(f"{folder}/one", "w").close()
        """
    )
    with OneNode(with_more(tmp_path, bucket, code)) as node:
        node.run(1)
        assert bucket.keys() == ["more/one"]
        node.run(3)
        assert bucket.keys() == []
        bucket.put("more/one", b"whole")  # as another node does, that it goes to
        node.run(1)
        assert bucket.keys() == ["more/one"]


@pytest.mark.slow
def test_files_of_a_dead_process_are_put_with_its_own_variables(tmp_path, bucket, monkeypatch):
    keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    request = with_more(tmp_path, bucket, KILLED, environment_variables=keys)
    more = ScriptOutput(url=f"{bucket.url}/more", options={"endpoint_url": bucket.endpoint})
    for each in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(each, raising=False)
    with OneNode(replace(request, outputs={**request.outputs, "more": more})) as node:
        assert not node.run(3).trouble
    assert bucket.get("more/000003.txt") == b"half"


@pytest.mark.slow
def test_a_dead_process_has_as_long_as_its_files_go_on_being_put(tmp_path, bucket):
    code = dying_at_3("""
        with open(f"{folder}/large", "wb") as file:
            file.truncate(5 * 8 * 2**20)
        """)
    request = with_more(tmp_path, bucket, code, load_timeout=4)
    bucket.fail("PUT", "partNumber", count=100, seconds=1.5)
    with OneNode(request) as node:
        amid = node.run(3)
        assert [(o.index, o.status) for o in amid.outcomes] == [(3, Status.DIED)]
        assert not amid.trouble
    assert len(bucket.get("more/large")) == 5 * 8 * 2**20


def test_a_file_that_is_cut_short_while_it_is_put_is_put_again(tmp_path, bucket, monkeypatch):
    (tmp_path / "output").mkdir()
    files = OutputFiles(tmp_path / "output", f"{bucket.url}/out", bucket.options)
    path, write = tmp_path / "output" / "large", Multipart.write
    path.write_bytes(bytes(20 * 2**20))

    def write_and_cut(publication, number, data):
        write(publication, number, data)
        path.write_bytes(b"anew")

    monkeypatch.setattr(Multipart, "write", write_and_cut)
    files.sync()
    assert bucket.keys() == []
    files.sync()
    assert bucket.get("out/large") == b"anew"
    assert bucket.uploads() == 0


def test_a_file_of_any_size_has_as_many_pieces_as_s3_takes(tmp_path, bucket, monkeypatch):
    monkeypatch.setattr("daskrun.storage.url_folder.MOST_BLOCKS", 2)
    data = os.urandom(21 * 2**20)
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "large").write_bytes(data)
    OutputFiles(tmp_path / "output", f"{bucket.url}/out", bucket.options).sync()
    assert bucket.get("out/large") == data
    assert len(bucket.asked("PUT", "partNumber")) == 2


ONCE = f"""
{FOLDER}
def run(mini_batch):
    for path in mini_batch:
        name = os.path.basename(path)
        with open(f"{{folder}}/{{name}}", "w") as file:
            file.write(open(path).read())
        with open(f"{{folder}}/shared.txt", "w") as file:
            file.write("as every one")
        seen = f"{{os.path.dirname(path)}}/../seen/{{name}}"
        open(f"{{seen}}.{{time.monotonic_ns()}}", "x").close()
        if name.endswith("3.txt") and len(glob.glob(f"{{seen}}.*")) == 1:
            os.kill(os.getpid(), 9)
    return [name]
"""


@pytest.mark.slow
def test_kills_of_scripts_and_driver_lose_no_file_and_redo_no_finished_one(tmp_path, bucket):
    (tmp_path / "seen").mkdir()
    how = {"files": 40, "node_count": 2, "process_count_per_node": 2}
    request = with_more(tmp_path, bucket, ONCE, **how)
    kill_driver_at(request, "journalled:6")
    watch = Watch()
    report = execute(replace(request, resumed=True), [watch], RunControl())
    assert (report.status.value, report.items_succeeded) == ("Completed", 40)
    found = {key: bucket.get(key) for key in bucket.keys()}  # noqa: SIM118
    own = {f"more/{n:06d}.txt": b"%d" % n for n in range(40)}
    assert found == {**own, "more/shared.txt": b"as every one"}
    assert (request.output_folder / "parallel_run_step.txt").read_text().split() == [
        f"{n:06d}.txt" for n in range(40)
    ]
    assert 0 < len({o.index for o in watch.attempts}) < 40


def test_of_one_name_that_two_nodes_write_the_later_put_stays(tmp_path, bucket):
    nodes = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        nodes.append(OutputFiles(tmp_path / name, f"{bucket.url}/out", bucket.options))
    for name, node in zip(("one", "other"), nodes, strict=True):
        (tmp_path / name / "shared").write_text(name)
        node.sync()
        time.sleep(2 * SETTLED)
    nodes[0].sync()  # nothing has changed there since
    assert bucket.get("out/shared") == b"other"
    os.utime(tmp_path / "one" / "shared")
    nodes[0].sync()
    assert bucket.get("out/shared") == b"one"
