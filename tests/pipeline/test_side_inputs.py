"""Side inputs: whole on each node before the script is imported, told in three ways."""

import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest
from clusters import Cluster
from running import wait_until_nothing_is_left
from s3 import KEY, SECRET

from daskrun import (
    Dataset,
    DatasetConsumptionConfig,
    DatasetError,
    Datastore,
    Experiment,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    PipelineParameter,
    ResumeError,
    SettingsError,
    Workspace,
)
from daskrun.script.node_folders import base_folder

LOOK = """
import json, os, sys
from pathlib import Path
from daskrun import Run

def look(path):
    if not os.path.exists(path):
        return None
    if os.path.isfile(path):
        return Path(path).read_text()
    files = [f for f in sorted(Path(path).rglob("*")) if f.is_file()]
    return {str(f.relative_to(path)): f.read_text() for f in files}

datasets = Run.get_context().input_datasets  # while it is imported they are there
SEEN = {
    "pid": os.getpid(),
    "argv": sys.argv[1:],
    "files": {arg: look(arg) for arg in sys.argv[1:]},
    "links": [arg for arg in sys.argv[1:] if os.path.islink(arg)],
    "datasets": {
        name: value if isinstance(value, str) else value.to_pandas_dataframe().to_dict("list")
        for name, value in datasets.items()
    },
    "variables": {k: v for k, v in os.environ.items() if "lookup" in k.lower()},
}

def run(mini_batch):
    return [json.dumps(SEEN) for _ in mini_batch]
"""
SLOWLY = "    time.sleep(0.5)\n    return ["
"""Each process has some."""
WRITE = """
from pathlib import Path
from daskrun import EntryScript

def run(mini_batch):
    for file in mini_batch:
        Path(EntryScript().output_dir, Path(file).name).write_text(Path(file).read_text() * 2)
    return mini_batch
"""


@pytest.fixture
def ws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("files/a.txt", "files/b.txt", "files/c.txt", "files/d.txt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(name[6])
    for name in ("lookup/names.txt", "lookup/deep/er.txt", "lookup/more.csv"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(f"k,v\n1,{len(name)}\n")
    (tmp_path / "look.py").write_text(LOOK)
    (tmp_path / "write.py").write_text(WRITE)
    return Workspace.create("trial", path=tmp_path)


TARGETS = pytest.mark.parametrize("target", ["inline", None])
FILES = Dataset.File.from_files("files", validate=False)


def make_step(side_inputs=(), arguments=(), target="inline", inputs=None, script="look.py", **more):
    settings = {"process_count_per_node": 2, "mini_batch_size": 1, **more.pop("settings", {})}
    config = ParallelRunConfig(
        entry_script=script,
        error_threshold=0,
        output_action="append_row",
        compute_target=target,
        **settings,
    )
    given = [Dataset.File.from_files("files")] if inputs is None else inputs
    usual = {"output": PipelineData("seen"), "name": "look-around", "allow_reuse": False}
    return ParallelRunStep(
        parallel_run_config=config,
        inputs=given,
        side_inputs=side_inputs,
        arguments=arguments,
        **{**usual, **more},
    )


def run_of(ws, *steps, **more):
    run = Experiment(ws, "look").submit(Pipeline(ws, list(steps)), **more)
    run.wait_for_completion(show_output=False, raise_on_error=False)
    return run


def rows_of(run, name="look-around", output="seen"):
    [step] = run.find_step_run(name)
    folder = Path("rows", step.id)
    assert step.status == "Completed", step.get_details()
    step.get_output_data(output).download(folder)
    [file] = folder.rglob("parallel_run_step.txt")
    return [json.loads(line) for line in file.read_text().splitlines()]


def seen(ws, *args, **kwargs):
    rows = rows_of(run_of(ws, make_step(*args, **kwargs)))
    assert len(rows) == 4  # each mini-batch has one
    for row in rows[1:]:
        assert {**row, "pid": 0} == {**rows[0], "pid": 0}
    return rows[0]


ALL = {"deep/er.txt": "k,v\n1,18\n", "more.csv": "k,v\n1,15\n", "names.txt": "k,v\n1,16\n"}


@TARGETS
def test_a_local_folder_is_used_where_it_is_and_told_in_three_ways(ws, target):
    lookup = Dataset.File.from_files("lookup").as_named_input("lookup").as_mount()
    found = seen(ws, [lookup], ["--lookup", lookup, "--x", 3], target)
    path = str(Path("lookup").absolute())
    assert found["argv"] == ["--lookup", path, "--x", "3"]
    assert found["files"][path] == ALL
    assert found["datasets"]["lookup"] == path
    assert found["datasets"]["input_0"] == str(Path("files").absolute())
    assert found["variables"] == {"lookup": path, "AZUREML_DATAREFERENCE_lookup": path}


@TARGETS
def test_one_file_is_its_own_path_and_what_is_chosen_of_a_folder_is_linked(ws, target):
    one = Dataset.File.from_files("lookup/deep/er.txt").as_named_input("one")
    some = Dataset.File.from_files("lookup/**/*.txt").as_named_input("some")
    first = Dataset.File.from_files("lookup").take(2).as_named_input("first")
    found = seen(ws, [one, some, first], [one, some, first], target)
    at_one, at_some, at_first = found["argv"]
    assert at_one == str(Path("lookup/deep/er.txt").absolute())
    assert found["files"][at_some] == {name: ALL[name] for name in ("deep/er.txt", "names.txt")}
    assert found["files"][at_first] == {name: ALL[name] for name in ("deep/er.txt", "more.csv")}
    assert Path(at_some).is_relative_to(base_folder())
    assert not Path(at_some).exists()  # it went with the node
    assert len(list(Path("lookup").rglob("*.*"))) == 3


@TARGETS
def test_download_copies_and_paths_are_as_asked(ws, tmp_path, target):
    data = Dataset.File.from_files("lookup")
    there = tmp_path / "on" / "node"
    empty = tmp_path / "empty"
    empty.mkdir()
    copied = data.as_named_input("copied").as_download()
    at = data.as_named_input("at").as_mount(str(there))
    at_empty = data.as_named_input("at_empty").as_download(str(empty))
    below = data.as_named_input("below").as_download("my/place")
    one = Dataset.File.from_files("lookup/names.txt").as_named_input("one").as_mount("my/file")
    sides = [copied, at, at_empty, below, one]
    found = seen(ws, sides, sides, target)
    paths = found["argv"]
    assert [found["files"][path] for path in paths] == [ALL, ALL, ALL, ALL, ALL["names.txt"]]
    assert paths[1:3] == [str(there), str(empty)]
    assert paths[3].endswith("/my/place")
    assert paths[4].endswith("/my/file/names.txt")
    assert Path(paths[3]).is_relative_to(base_folder())
    assert not any(os.path.lexists(path) for path in paths)


def test_two_nodes_of_one_machine_have_one_path(ws, tmp_path):
    there = tmp_path / "there"
    side = Dataset.File.from_files("lookup/*.txt").as_named_input("at").as_mount(str(there))
    found = seen(ws, [side], [side], None, settings={"node_count": 2, "process_count_per_node": 1})
    assert found["files"] == {str(there): {"names.txt": ALL["names.txt"]}}
    assert not os.path.lexists(there)


@TARGETS
def test_a_path_that_is_taken_is_refused(ws, tmp_path, target):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    side = Dataset.File.from_files("lookup").as_named_input("at").as_mount(str(tmp_path / "taken"))
    run = run_of(ws, make_step([side], [side], target))
    [step] = run.get_steps()
    assert step.status == "Failed"
    said = step.get_details()["error"]["error"]["message"]
    assert said == step.message
    assert "side input 'at': path=" in said
    assert "there is something already" in said
    assert os.listdir(tmp_path / "taken") == ["mine.txt"]


@TARGETS
def test_a_link_left_by_a_node_that_was_killed_is_taken_over(ws, tmp_path, target):
    there = tmp_path / "there"
    there.symlink_to(base_folder() / "some-run-node000-abc" / "side" / "at")
    side = Dataset.File.from_files("lookup").as_named_input("at").as_mount(str(there))
    assert seen(ws, [side], [side], target)["files"][str(there)] == ALL


@TARGETS
def test_tables_are_rows_and_their_files_where_a_path_is_asked_for(ws, target):
    frame = pd.DataFrame({"word": ["uno", "due"], "n": [1, 2]})
    table = Dataset.Tabular.from_delimited_files("lookup/more.csv")
    sides = [
        table.as_named_input("table"),
        table.keep_columns(["v"]).as_named_input("narrow"),
        Dataset.Tabular.from_pandas_dataframe(frame).as_named_input("frame"),
    ]
    found = seen(ws, sides, ["--table", sides[0]], target)
    path = str(Path("lookup/more.csv").absolute())
    assert found["argv"] == ["--table", path]
    assert found["datasets"]["table"] == {"k": [1], "v": [15]}
    assert found["datasets"]["narrow"] == {"v": [15]}
    assert found["datasets"]["frame"] == {"word": ["uno", "due"], "n": [1, 2]}


@TARGETS
def test_an_output_of_another_step_is_a_side_input(ws, target):
    doubled = PipelineData("doubled")
    write = make_step(
        script="write.py",
        target=target,
        name="write-files",
        output=doubled,
        settings={"process_count_per_node": 1},
    )
    write.parallel_run_config.output_action = "summary_only"
    look = make_step([doubled.as_input("lookup")], ["--from", doubled], target)
    run = run_of(ws, look)  # the other step is taken in
    [row, *_] = rows_of(run)
    expected = {f"{name}.txt": name * 2 for name in "abcd"}
    assert row["files"][row["argv"][1]] == expected
    assert row["datasets"]["lookup"] == row["variables"]["lookup"] == row["argv"][1]
    [written] = run.find_step_run("write-files")
    assert row["argv"][1] == str(written.output_folder)


def test_what_stands_in_arguments(ws):
    lookup = PipelineParameter("lookup", Dataset.File.from_files("lookup"))
    names = PipelineParameter("names", ["--name", "x"])
    used = DatasetConsumptionConfig("lookup", lookup)
    files = Dataset.File.from_files("files")
    output = PipelineData("seen")
    arguments = ["--side", used, "--files", files, ["--columns", "a", 1], names, "--out", output]
    step = make_step([used], arguments, inputs=[files], output=output)
    other = Dataset.File.from_files("lookup/deep")
    run = run_of(ws, step, pipeline_parameters={"lookup": other, "names": ["y"]})
    [row, *_] = rows_of(run)
    [of_step] = run.get_steps()
    paths = [str(Path(name).absolute()) for name in ("lookup/deep", "files")]
    expected = ["--side", paths[0], "--files", paths[1], "--columns", "a", "1", "y", "--out"]
    assert row["argv"] == [*expected, str(of_step.output_folder)]


def test_variables_that_are_set_stay(ws, monkeypatch):
    monkeypatch.setenv("lookup_set", "mine")
    data = Dataset.File.from_files("lookup")
    sides = [data.as_named_input("lookup_set"), data.as_named_input("lookup_asked")]
    variables = {"lookup_asked": "yours"}
    run = run_of(ws, make_step(sides, target=None, settings={"environment_variables": variables}))
    [row, *_] = rows_of(run)
    path = str(Path("lookup").absolute())
    assert row["variables"] == {
        "lookup_set": "mine",
        "lookup_asked": "yours",
        "AZUREML_DATAREFERENCE_lookup_set": path,
        "AZUREML_DATAREFERENCE_lookup_asked": path,
    }
    [step] = run.get_steps()
    logs = "".join(f.read_text() for f in (ws.runs_folder / step.id / "logs").rglob("*.txt"))
    assert "the variable lookup_set is set already" in logs


OTHER = Dataset.File.from_files("lookup", validate=False)
TABLE = Dataset.Tabular.from_delimited_files("lookup/more.csv", validate=False)


@pytest.mark.parametrize(
    ("sides", "arguments", "message"),
    [
        ([OTHER], [FILES.take(1)], r"arguments\[0\]=.*uses no such dataset.*side_inputs"),
        ([], [["--a", OTHER]], r"arguments\[0\]\[1\]=.*uses no such dataset"),
        ([], [PipelineData("other")], r"uses no such output"),
        ([], [{"a": 1}], r"arguments\[0\]=\{'a': 1\} is of type dict"),
        ([], [None], r"arguments\[0\]=None is of type NoneType"),
        ([OTHER.as_named_input("input_0")], [], "side_inputs has the name 'input_0', and so has"),
        ([OTHER.as_named_input("a"), OTHER.as_named_input("a")], [], "2 have the name 'a'"),
        ([OTHER.as_mount("../up")], [], r"path='../up', which is no folder of its own"),
        ([DatasetConsumptionConfig("t", TABLE, "mount", "/x")], [], "'t' is a table, and has path"),
    ],
)
def test_wrong_side_inputs_and_arguments(ws, sides, arguments, message):
    with pytest.raises(SettingsError, match=message):
        make_step(sides, arguments)


@pytest.mark.parametrize(
    ("side", "message"),
    [
        (lambda: Dataset.File.from_files("nowhere", validate=False), "side input 's': .*nowhere"),
        (lambda: Dataset.File.from_files("lookup").skip(9), r"side input 's': no file is left"),
        (
            lambda: Dataset.Tabular.from_delimited_files("lookup/more.csv").take(1),
            r"side input 's': .*no path for arguments.*input_datasets\['s'\]",
        ),
        (
            lambda: Dataset.Tabular.from_pandas_dataframe(pd.DataFrame({"a": [1]})),
            r"its rows are in no files",
        ),
    ],
)
def test_what_can_not_be_had_is_said_at_submit(ws, side, message):
    used = side().as_named_input("s")
    step = make_step([used], [used])
    with pytest.raises(DatasetError, match=message):
        run_of(ws, step)
    assert not ws.runs_folder.exists()


def test_a_change_between_submit_and_resume_is_named(ws):
    lookup = Dataset.File.from_files("lookup").as_named_input("lookup")
    flag = Path("flag").absolute()
    Path("look.py").write_text(
        LOOK.replace("return [", f"assert os.path.exists({str(flag)!r}), 'no'\n    return [")
    )
    run = run_of(ws, make_step([lookup], [lookup], settings={"run_max_try": 1}))
    assert run.status == "Failed"
    flag.touch()
    Path("lookup/names.txt").write_text("other, and longer")
    Path("lookup/new.txt").write_text("new")
    with pytest.raises(ResumeError, match="can't go on") as caught:
        run.resume()
    assert "side input 'lookup': 1 file is new: 'new.txt'" in str(caught.value)
    assert "side input 'lookup': 1 file is of another size: 'names.txt'" in str(caught.value)
    Path("lookup/new.txt").unlink()
    Path("lookup/names.txt").write_text(ALL["names.txt"])
    with pytest.raises(ResumeError, match="written again, with the same size"):
        run.resume()


def test_a_run_with_side_inputs_is_resumed_in_another_process(ws):
    lookup = Dataset.File.from_files("lookup").as_named_input("lookup")
    one = Dataset.File.from_files("lookup/*.csv").as_named_input("some").as_download("at")
    flag = Path("flag").absolute()
    Path("look.py").write_text(
        LOOK.replace("return [", f"assert os.path.exists({str(flag)!r}), 'no'\n    return [")
    )
    run = run_of(ws, make_step([lookup, one], [lookup, one], settings={"run_max_try": 1}))
    assert run.status == "Failed"
    flag.touch()
    from daskrun.pipeline.runs.run import live_runs

    del live_runs[run.id]
    again = Experiment(ws, "look").get_run(run.id)
    again.resume(retry_failed=True)
    again.wait_for_completion(show_output=False)
    [row, *_] = rows_of(again)
    assert row["argv"][0] == str(Path("lookup").absolute())
    assert row["files"][row["argv"][1]] == {"more.csv": ALL["more.csv"]}


@pytest.fixture
def cloud(ws, bucket):
    return Datastore.register_s3(
        ws, "cloud", f"{bucket.name}/store", endpoint_url=bucket.endpoint, key=KEY, secret=SECRET
    )


@pytest.mark.slow
@TARGETS
def test_files_on_s3_are_copied_once_for_a_node(ws, bucket, cloud, target):
    for name, text in ALL.items():
        bucket.put(f"store/lookup/{name}", text.encode())
    folder = Dataset.File.from_files(cloud.path("lookup/")).as_named_input("lookup")
    one = Dataset.File.from_files(cloud.path("lookup/deep/er.txt")).as_named_input("one")
    rows = rows_of(run_of(ws, make_step([folder, one], [folder, one], target)))
    row = rows[0]
    assert row["files"][row["argv"][0]] == ALL
    assert row["argv"][1].endswith("/one/er.txt")
    assert row["files"][row["argv"][1]] == ALL["deep/er.txt"]
    assert row["datasets"]["lookup"] == row["variables"]["lookup"] == row["argv"][0]
    assert not Path(row["argv"][0]).exists()
    gets = [
        each.path
        for each in bucket.asked("GET", "store/lookup")
        if each.path.endswith(("txt", "csv"))
    ]
    assert sorted(gets) == sorted(
        [f"/{bucket.name}/store/lookup/{name}" for name in (*ALL, "deep/er.txt")]
    )
    for file in ws.runs_folder.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


WRITES = """
import json, os, sys
from pathlib import Path

def run(mini_batch):
    rows = []
    for path in sys.argv[1:]:
        file = Path(path)
        rows.append([file.read_text(), file.stat().st_mode & 0o222])
        if rows[-1][1] or os.geteuid() == 0:
            file.chmod(0o644)
            file.write_text("spoilt")
    return [json.dumps(rows)]
"""


def fetches(bucket):
    return [each.path for each in bucket.asked("GET") if each.path.endswith(".bin")]


@pytest.mark.slow
@TARGETS
def test_later_runs_fetch_nothing_that_is_as_it_was(ws, bucket, cloud, target):
    for name in ("a", "b"):
        bucket.put(f"store/{name}.bin", name.encode())
    Path("writes.py").write_text(WRITES)
    seen = []
    for number in range(4):
        a, b = (Dataset.File.from_files(cloud.path(f"{n}.bin")).as_named_input(n) for n in "ab")
        step = make_step(
            [a, b.as_download()],
            [a, b],
            target,
            inputs=[Dataset.File.from_files("files/a.txt")],
            script="writes.py",
        )
        [[left, right]] = rows_of(run_of(ws, step))
        seen.append((left[0], right[0], bool(left[1]), bool(right[1]), len(fetches(bucket))))
        if number == 2:
            bucket.put("store/b.bin", b"c")
    # root may write what nobody may: that is noticed, and the one file is fetched anew
    again = 1 if os.geteuid() == 0 else 0
    assert seen == [
        ("a", "b", False, True, 2),
        ("a", "b", False, True, 2 + again),
        ("a", "b", False, True, 2 + 2 * again),
        ("a", "c", False, True, 3 + 3 * again),
    ]


@pytest.mark.slow
@TARGETS
@pytest.mark.parametrize("limit", [0, 1])
def test_what_is_not_kept_is_fetched_for_each_run(ws, bucket, cloud, target, limit):
    bucket.put("store/a.bin", b"12345")
    a = Dataset.File.from_files(cloud.path("a.bin")).as_named_input("lookup")
    for _ in range(2):
        settings = {"node_cache_limit": limit}
        found = seen(ws, [a], [a], target, settings=settings)
        assert list(found["files"].values()) == ["12345"]
    assert len(fetches(bucket)) == 2


@pytest.mark.slow
def test_that_a_cache_can_not_be_used_is_told_once(ws, bucket, cloud, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DASKRUN_CACHE", str(tmp_path / "file" / "cache"))
    bucket.put("store/a.bin", b"12345")
    a = Dataset.File.from_files(cloud.path("a.bin")).as_named_input("lookup")
    run = run_of(ws, make_step([a], [a], None))
    assert {text for row in rows_of(run) for text in row["files"].values()} == {"12345"}
    [step] = run.get_steps()
    logs = step.get_details_with_logs()["logFiles"]
    [events] = (text for name, text in logs.items() if name.endswith("sys/events.jsonl"))
    assert events.count("side input 'lookup' is not kept for later runs: ") == 1


@pytest.mark.slow
@TARGETS
def test_what_a_store_does_not_give_ends_the_run_and_is_named(ws, bucket, cloud, target):
    bucket.put("store/lookup/a.txt", b"12345")
    side = Dataset.File.from_files(cloud.path("lookup/")).as_named_input("lookup")
    step = make_step([side], [side], target, settings={"load_timeout": 60})
    bucket.fail("GET", "lookup/a.txt", count=1000)
    run = run_of(ws, step)
    [of_step] = run.get_steps()
    assert of_step.status == "Failed"
    said = of_step.get_details()["daskrun"]["message"]
    assert re.search(
        r"side input 'lookup': can't copy 's3://.*/store/lookup/a.txt' to the node: .*", said
    )
    assert SECRET not in said


@pytest.mark.slow
def test_a_store_that_says_nothing_is_given_up(ws, bucket, cloud):
    bucket.put("store/lookup/a.txt", b"12345")
    side = Dataset.File.from_files(cloud.path("lookup/")).as_named_input("lookup")
    step = make_step([side], [side], None, settings={"load_timeout": 1})
    bucket.fail("GET", "lookup/a.txt", count=1000, seconds=60)
    [of_step] = run_of(ws, step).get_steps()
    assert of_step.status == "Failed"
    said = "side inputs 'lookup' on node000: nothing of them has come for load_timeout=1 s"
    assert said in of_step.get_details()["daskrun"]["message"]


@pytest.fixture
def cluster(forks, own_temporary_folder, tmp_path):
    folder = tmp_path / "cluster"
    folder.mkdir()
    found = Cluster(folder)
    yield found
    found.close()
    assert wait_until_nothing_is_left() == []


@pytest.mark.slow
def test_the_nodes_of_a_machine_fetch_them_once(ws, bucket, cloud, cluster):
    for _ in range(2):
        cluster.add_worker()
    for name, text in ALL.items():
        bucket.put(f"store/lookup/{name}", text.encode())
    remote = Dataset.File.from_files(cloud.path("lookup/")).as_named_input("lookup_remote")
    local = Dataset.File.from_files("lookup/*.txt").as_named_input("lookup_local")
    Path("look.py").write_text(f"import time\n{LOOK}".replace("    return [", SLOWLY))
    settings = {"node_count": 2, "process_count_per_node": 1}
    step = make_step([remote, local], [remote, local], cluster.address, settings=settings)
    rows = rows_of(run_of(ws, step))
    assert len({row["argv"][0] for row in rows}) == len({row["pid"] for row in rows}) == 2
    for row in rows:
        far, near = (row["files"][path] for path in row["argv"])
        assert far == ALL
        assert near == {"names.txt": ALL["names.txt"]}
    gets = [each.path for each in bucket.asked("GET", "store/lookup/names.txt")]
    assert len(gets) == 1


def test_what_is_an_input_and_a_side_input_has_the_path_of_the_side_input(ws):
    one = Dataset.File.from_files("files/a.txt")
    row, *_ = rows_of(run_of(ws, make_step([one.as_named_input("whole")], [one], inputs=[one])))
    path = str(Path("files/a.txt").absolute())
    assert row["argv"] == [path]
    assert row["datasets"] == {"input_0": str(Path("files").absolute()), "whole": path}


def test_inputs_that_have_no_path_are_no_arguments(ws, bucket, cloud):
    rows = Dataset.Tabular.from_pandas_dataframe(pd.DataFrame({"a": [1]}))
    with pytest.raises(DatasetError, match=r"input 'input_0', whose rows are in no files"):
        run_of(ws, make_step([], [rows], inputs=[rows]))
    bucket.put("store/in/a.txt", b"12345")
    far = Dataset.File.from_files(cloud.path("in/"))
    with pytest.raises(DatasetError, match=r"'input_0', which is brought .* in mini-batches"):
        run_of(ws, make_step([], [far], inputs=[far]))
    assert not ws.runs_folder.exists()
    used = far.as_named_input("whole")
    [row] = rows_of(run_of(ws, make_step([used], [used], inputs=[far])))
    assert row["files"] == {row["argv"][0]: {"a.txt": "12345"}}
