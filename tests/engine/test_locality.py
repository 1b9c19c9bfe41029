"""The setting ``locality``: which hosts are near which mini-batches, and a run on two workers."""

from pathlib import Path

import pytest

from daskrun import (
    ComputeTarget,
    Dataset,
    Experiment,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    SettingsError,
    Workspace,
)
from daskrun.core import homes
from daskrun.core.rules import locality
from daskrun.data.file_plan import FilePlan
from daskrun.engine.locality import Locality
from daskrun.errors import DaskrunError


def hosts_of(path):
    """Give the hosts of a path, as a file system's own client would."""
    return ["10.0.0.7"] if path.endswith("/b/1.txt") else []


def wrong_hosts(path):
    return "10.0.0.7"


@pytest.fixture
def files(tmp_path):
    for name in ("a/0.txt", "a/1.txt", "b/0.txt", "b/1.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def near(files, told, size=1):
    plan = FilePlan([("files", Dataset.File.from_files(str(files)))], size)
    found = Locality(told, plan)
    found.know()
    homes = found.homes
    return [sorted(homes._hosts[homes._of[n]]) for n in range(len(homes))]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["{root}/a"], [1, 1, 0, 0]),
        (["{root}/a/"], [1, 1, 0, 0]),
        (["a/0.txt", "b/1.txt"], [1, 0, 0, 1]),
        (["*/1.txt"], [0, 1, 0, 1]),
        (["{root}/b/*.txt"], [0, 0, 1, 1]),
        (["{root}/a/0.tx", "0.txt"], [0, 0, 0, 0]),
        ([], [0, 0, 0, 0]),
    ],
)
def test_paths_folders_and_patterns(files, paths, expected):
    told = {"10.0.0.1": [each.format(root=files) for each in paths]}
    assert [len(each) for each in near(files, told)] == expected


def test_the_hosts_with_most_of_a_mini_batch_are_near_it(files):
    told = {"10.0.0.1": ["a/0.txt", "b"], "10.0.0.2": ["a"], "10.0.0.3": ["a/1.txt"]}
    assert near(files, told, size=4) == [["10.0.0.1"]]
    assert near(files, told, size=2) == [["10.0.0.2"], ["10.0.0.1"]]


def test_a_name_means_its_addresses_too(files):
    assert near(files, {"localhost": ["a"]})[0] == ["127.0.0.1", "localhost"]


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
def test_a_host_that_can_be_no_name_is_what_workers_may_tell(files, host):
    assert near(files, {host: ["a"]}) == [[host], [host], [], []]


def broken_hosts(path):
    return {}[path]


def no_list(path):
    return 5


@pytest.mark.parametrize(
    ("function", "said"),
    [(broken_hosts, "failed: KeyError: "), (no_list, "failed: TypeError: 'int' ")],
)
def test_a_function_that_fails_is_named(files, function, said):
    with pytest.raises(
        SettingsError, match=rf"{function.__name__}', called with '.*/a/0.txt', {said}"
    ):
        near(files, locality(function))


def test_a_function_of_a_module(files):
    told = locality(hosts_of)
    assert told == f"{__name__}:hosts_of"
    assert near(files, told) == [[], [], [], ["10.0.0.7"]]
    with pytest.raises(
        DaskrunError, match=r"with '.*/a/0.txt', returned '10.0.0.7'. Return a list"
    ):
        near(files, f"{__name__}:wrong_hosts")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (["/data"], "is not a dict"),
        (5, "is not a dict"),
        ({"host": "/data"}, "has '/data' for 'host', which is no list of paths"),
        ({"host": ["/data", 5]}, "has 5 for 'host', which is no path"),
        ({5: ["/data"]}, "has 5, which is no address or host"),
        ("hosts", "names no function of a module"),
        ("no_such_module_here:of_path", "there is no module 'no_such_module_here'"),
        (lambda path: [], "is not a function of a module"),
    ],
)
def test_what_is_no_locality_is_told_at_once(value, problem):
    with pytest.raises(SettingsError, match=problem):
        ParallelRunConfig(
            entry_script="x.py", error_threshold=0, output_action="summary_only", locality=value
        )


SCRIPT = """
import os, time

def run(mini_batch):
    time.sleep(0.1)
    return [f"{os.path.basename(os.path.dirname(path))} {os.getppid()}" for path in mini_batch]
"""


@pytest.mark.slow
def test_workers_get_the_files_that_are_near_them(tmp_path, monkeypatch):
    from distributed import LocalCluster

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(homes, "WAIT", 600.0)  # however slowly the other begins
    (tmp_path / "score.py").write_text(SCRIPT)
    for number in range(20):
        for folder in "ab":
            (tmp_path / "files" / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / "files" / folder / f"{number}.txt").write_text("x")
    ws = Workspace.create("trial")
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster:
        first, second = (each.address for each in cluster.workers.values())
        told = {first: ["b"], second: ["files/a", f"{tmp_path}/files/a"], "gone": ["b/0.txt"]}
        config = ParallelRunConfig(
            entry_script="score.py",
            error_threshold=0,
            output_action="append_row",
            mini_batch_size=1,
            process_count_per_node=1,
            compute_target=ComputeTarget.attach(ws, "two", cluster=cluster),
            locality=told,
        )
        files = Dataset.File.from_files("files").as_named_input("files")
        step = ParallelRunStep("score", config, [files], PipelineData("rows"), allow_reuse=False)
        run = Experiment(ws, "trial").submit(Pipeline(ws, [step]))
        assert run.wait_for_completion() == "Completed"
    rows = Path(run.outputs["rows"].path).read_text().splitlines()
    assert len(rows) == 40
    keepers = {tuple(sorted({r.split()[1] for r in rows if r[0] == each})) for each in "ab"}
    assert [len(each) for each in keepers] == [1, 1]
    [step_run] = run.get_steps()
    assert "locality: no node was on 'gone'" in str(step_run.get_details_with_logs()["logFiles"])
