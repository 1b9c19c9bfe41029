"""The same runs inline and on Dask workers in this process: same bytes, account and journal."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest
from running import SLACK, Watch, alive, lines, make_request, run_request, run_script

import daskrun
from daskrun.core.events import (
    BundleReturned,
    InitFailed,
    NodeReady,
    Note,
    ProcessReady,
    RunEnded,
    RunStarted,
)
from daskrun.core.intervals import USUAL
from daskrun.core.minibatch import digest
from daskrun.core.report import RunStatus
from daskrun.engine.driver import RunControl, execute

if TYPE_CHECKING:
    from daskrun.core.events import Event

pytestmark = pytest.mark.usefixtures("own_temporary_folder")

TARGETS = {
    "inline": {"target": "inline"},
    "one": {"process_count_per_node": 1},
    "two nodes": {"node_count": 2, "process_count_per_node": 1},
    "four": {"process_count_per_node": 4},
}
both = pytest.mark.parametrize("target", ["inline", None], ids=["inline", "dask"])


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("where", TARGETS)
def test_the_same_bytes_wherever_it_runs(tmp_path: Path, where: str, size: int) -> None:
    run = run_script(tmp_path, files=200, size=size, **TARGETS[where])
    assert run.report.status is RunStatus.COMPLETED
    assert run.output == lines(range(200))
    assert (run.report.items, run.report.items_succeeded) == (200, 200)
    assert run.report.total == run.report.succeeded == run.report.attempts == -(-200 // size)
    assert os.listdir(run.request.output_folder) == ["parallel_run_step.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["two nodes", "four"])
def test_slow_and_fast_mini_batches_still_come_out_in_input_order(
    tmp_path: Path, where: str
) -> None:
    code = """
    import time
    def run(mini_batch, context):
        time.sleep(0.15 if context.minibatch_index % 9 == 0 else 0)
        return [open(path).read() for path in mini_batch]
    """
    run = run_script(tmp_path, code, files=30, **TARGETS[where])
    assert run.output == lines(range(30))


@pytest.mark.slow
@both
def test_a_data_frame_is_written_as_the_settings_file_says(
    tmp_path: Path, target: str | None
) -> None:
    code = """
    import pandas
    def run(mini_batch):
        numbers = [int(open(path).read()) for path in mini_batch]
        return pandas.DataFrame({"name": ["a b"] * len(numbers), "number": numbers})
    """
    run = run_script(tmp_path, code, files=7, size=3, target=target)
    assert run.output == b"".join(b'"a b" %d\n' % n for n in range(7))

    settings = '{"append_row": {"pandas.DataFrame.to_csv": {"sep": ",", "header": true}}}'
    run = run_script(
        tmp_path,
        code,
        files=7,
        size=3,
        target=target,
        run_id="run2",
        extra={"parallel_run_step.settings.json": settings},
        append_row_file_name="table.csv",
    )
    assert run.output == b"name,number\n" + b"".join(b"a b,%d\n" % n for n in range(7))


@both
def test_summary_only_leaves_the_output_to_the_script(tmp_path: Path, target: str | None) -> None:
    code = """
    import os
    def run(mini_batch, context):
        folder = os.environ["DASKRUN_OUTPUT_PATH"]
        assert folder == os.environ["AZUREML_BI_OUTPUT_PATH"]
        with open(f"{folder}/{context.minibatch_index}.own", "w") as file:
            file.write("mine")
        return mini_batch
    """
    run = run_script(tmp_path, code, files=5, target=target, output_action="summary_only")
    assert run.report.status is RunStatus.COMPLETED
    assert run.report.items_succeeded == 5
    assert sorted(os.listdir(run.request.output_folder)) == [f"{n}.own" for n in range(5)]


BAD = """
def run(mini_batch, context):
    if context.minibatch_index % 4 == 1:
        raise ValueError(f"bad {context.minibatch_index}")
    return [open(path).read() for path in mini_batch]
"""


@pytest.mark.slow
@both
def test_failed_mini_batches_are_left_out_and_counted(tmp_path: Path, target: str | None) -> None:
    run = run_script(tmp_path, BAD, files=40, size=2, target=target, run_max_try=2)
    assert run.report.status is RunStatus.COMPLETED
    assert (run.report.succeeded, run.report.failed) == (15, 5)
    assert (run.report.items_failed, run.report.retried) == (10, 5)
    assert run.output == lines([n for n in range(40) if n // 2 % 4 != 1])
    [group] = run.report.errors  # one line of code: one group, however the text differs
    assert (group.count, group.where) == (10, "score.py:4")
    assert group.message == f"ValueError: bad {group.index}"
    assert (group.index % 4, group.attempt) == (1, 1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"error_threshold": 5}, "error_threshold=5 allows 5"),
        ({"allowed_failed_count": 2}, "allowed_failed_count=2 allows 2"),
        ({"allowed_failed_percent": 20.0}, "allowed_failed_percent=20 allows 20 %"),
    ],
)
@both
def test_a_threshold_ends_the_run_and_names_the_first_error(
    tmp_path: Path, target: str | None, settings: dict[str, float], words: str
) -> None:
    run = run_script(tmp_path, BAD, files=40, size=2, target=target, run_max_try=1, **settings)
    assert run.report.status is RunStatus.FAILED
    assert words in run.report.message
    n = run.report.errors[0].index
    place = f"(score.py:4) in mini-batch {n}, attempt 1 on node000/process000"
    assert f"ValueError: bad {n} {place}" in run.report.message.replace("inline/", "node000/")
    assert run.output is None


@both
def test_a_threshold_that_is_just_met_does_not(tmp_path: Path, target: str | None) -> None:
    limits = {"error_threshold": 10, "allowed_failed_count": 5, "allowed_failed_percent": 25.0}
    run = run_script(tmp_path, BAD, files=40, size=2, target=target, run_max_try=1, **limits)
    assert run.report.status is RunStatus.COMPLETED


@pytest.mark.slow
@both
def test_not_one_success_fails_append_row_and_says_why(tmp_path: Path, target: str | None) -> None:
    code = "def run(mini_batch):\n    return None\n"
    run = run_script(tmp_path, code, files=3, target=target)
    assert run.report.status is RunStatus.FAILED
    assert "not one mini-batch succeeded" in run.report.message
    assert "run() returned None" in run.report.message
    assert run.output is None
    assert run.report.attempts == 9

    run = run_script(
        tmp_path, code, files=3, target=target, run_id="r2", output_action="summary_only"
    )
    assert run.report.status is RunStatus.COMPLETED
    assert run.report.items_failed == 3


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "def init(): raise ValueError('no model')\ndef run(m): return m\n",
            "ValueError: no model",
        ),
        ("import no_such_module\n", "No module named 'no_such_module'"),
        ("def run(m:\n", "SyntaxError"),
        ("x = 1\n", "has no function run(mini_batch)"),
    ],
)
@both
def test_a_script_that_cannot_start_ends_the_run_soon(
    tmp_path: Path, target: str | None, code: str, words: str
) -> None:
    began = time.monotonic()
    run = run_script(tmp_path, code, target=target, process_count_per_node=2)
    assert time.monotonic() - began < 10 + SLACK
    assert run.report.status is RunStatus.FAILED
    assert "finish init()" in run.report.message
    assert words in run.report.message
    assert run.report.errors[0].index == -1
    assert run.report.attempts == 0
    assert run.watch.of(InitFailed)


@pytest.mark.parametrize(
    "code", ["import os\nos._exit(3)\n", "import ctypes\nctypes.string_at(0)\n"]
)
def test_an_init_that_kills_its_process_ends_the_run_soon(tmp_path: Path, code: str) -> None:
    began = time.monotonic()
    run = run_script(tmp_path, code)
    assert time.monotonic() - began < 10 + SLACK
    assert run.report.status is RunStatus.FAILED
    assert "finish init()" in run.report.message


def test_an_init_that_fails_now_and_then_is_tried_again(tmp_path: Path) -> None:
    code = f"""
    import os
    def init():
        fd = os.open({str(tmp_path / "tries")!r}, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.write(fd, b"x")
        if os.fstat(fd).st_size == 1:
            raise OSError("not yet")
    def run(mini_batch):
        return mini_batch
    """
    run = run_script(tmp_path, code, process_count_per_node=2)
    assert run.report.status is RunStatus.COMPLETED
    assert run.report.succeeded == 10
    assert len(run.watch.of(InitFailed)) == 1


@pytest.mark.slow
@both
def test_a_cancel_keeps_what_is_done_and_ends_soon(tmp_path: Path, target: str | None) -> None:
    code = "import time\ndef run(mini_batch):\n    time.sleep(0.1)\n    return mini_batch\n"
    control = RunControl()

    def act(event: Event) -> None:
        if isinstance(event, BundleReturned):
            control.cancel("somebody pressed a key")

    began = time.monotonic()
    run = run_script(tmp_path, code, files=1000, target=target, act=act, control=control)
    assert time.monotonic() - began < 10 + SLACK
    assert run.report.status is RunStatus.CANCELED
    assert 0 < run.report.succeeded < 1000
    assert "somebody pressed a key" in run.report.message
    assert run.output is None
    assert (Path(run.request.output_folder) / "_daskrun" / "run1").is_dir()  # kept, for resume


def test_a_cancel_before_the_start_runs_nothing(tmp_path: Path) -> None:
    control = RunControl()
    control.cancel("too late for that")
    run = run_script(tmp_path, target="inline", control=control)
    assert (run.report.status, run.report.attempts) == (RunStatus.CANCELED, 0)


def test_a_cancel_does_not_wait_for_a_hang_that_holds_the_gil(tmp_path: Path) -> None:
    code = """
    import ctypes, os, subprocess
    def run(mini_batch):
        child = subprocess.Popen(["sleep", "300"], start_new_session=True)
        print(child.pid, flush=True)
        ctypes.PyDLL(None).sleep(60)
    """
    control = RunControl()
    request = make_request(tmp_path, code, process_count_per_node=2)
    said = request.run_folder / "logs/user/stdout"

    def cancel() -> None:
        while not any(path.stat().st_size for path in said.rglob("*.txt")):
            time.sleep(0.02)
        control.cancel("enough")

    threading.Thread(target=cancel, daemon=True).start()
    began = time.monotonic()
    run = run_request(request, control=control)
    assert time.monotonic() - began < 10 + SLACK
    assert run.report.status is RunStatus.CANCELED
    assert run.report.attempts == 0  # nobody is charged for it
    grandchildren = run.log("user/stdout/node000/*").split()
    assert grandchildren
    assert not [pid for pid in grandchildren if alive(int(pid))]


@both
def test_the_journal_tells_the_whole_run_before_it_is_counted(
    tmp_path: Path, target: str | None
) -> None:
    counted_early = []
    request = make_request(tmp_path, BAD, files=40, size=2, target=target)

    def act(event: Event) -> None:
        if isinstance(event, BundleReturned):
            text = (request.run_folder / "journal").read_text()
            if event.outcomes and f'"number":{event.number},' not in text:
                counted_early.append(event.number)

    run = run_request(request, act=act)
    assert counted_early == []
    first, *bundles, finalizing, finalized = run.journal
    assert (first["kind"], first["run"], first["mini_batches"]) == ("run", "run1", 20)
    assert first["plan"] == request.plan.fingerprint()
    assert (finalizing["kind"], finalized) == ("finalizing", {"kind": "finalized"})
    assert finalizing["mark"].endswith(f":{len(run.output or b'')}")
    last = {}
    for record in bundles:
        assert record["kind"] == "bundle"
        for outcome in record["outcomes"]:
            last[outcome[0]] = outcome
            assert outcome[9] == digest(request.plan[outcome[0]].encode())
            if outcome[2]:
                assert "bad" in record["errors"][str(outcome[0])]["message"]
    assert sorted(last) == list(range(20))
    assert sorted(n for n in last if last[n][2]) == [1, 5, 9, 13, 17]


@both
def test_secrets_of_the_environment_are_not_written_down(
    tmp_path: Path, target: str | None
) -> None:
    run = run_script(tmp_path, target=target, environment_variables={"TOKEN": "hush-hush"})
    assert "hush-hush" not in (run.request.run_folder / "journal").read_text()
    assert "TOKEN" in (run.request.run_folder / "journal").read_text()


@both
def test_observers_see_the_run_in_order_and_one_that_fails_is_left_out(
    tmp_path: Path, target: str | None
) -> None:
    def act(event: Event) -> None:
        raise RuntimeError("a bad observer")

    bad = Watch(act)
    run = run_request(replace(make_request(tmp_path, target=target), observers=(bad,)))
    assert run.report.status is RunStatus.COMPLETED
    assert run.report.warnings == (
        "observer Watch failed and was left out: RuntimeError: a bad observer",
    )
    assert [type(event) for event in bad.events] == [RunStarted]
    assert bad.closed == 1
    kinds = [type(event) for event in run.watch.events]
    assert kinds[0] is RunStarted
    assert kinds[-1] is RunEnded
    assert run.watch.events[-1].report == run.report
    assert kinds.index(NodeReady) < kinds.index(BundleReturned)
    assert kinds.index(ProcessReady) < kinds.index(RunEnded)


def test_a_run_twice_in_one_folder_is_refused_with_a_report(tmp_path: Path) -> None:
    request = make_request(tmp_path, target="inline")
    run_request(request)
    watch = Watch()
    report = execute(request, [watch], RunControl())
    assert report.status is RunStatus.FAILED
    assert "journal" in report.message


def test_no_worker_ends_the_run_with_what_it_waited_for(tmp_path: Path) -> None:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=0, processes=False, dashboard_address=":0", protocol="tcp"
    ) as cluster:
        run = run_script(tmp_path, target=cluster.scheduler_address, no_worker_timeout=0.5)
    assert run.report.status is RunStatus.FAILED
    assert "no_worker_timeout=0.5" in run.report.message


def test_an_address_where_nobody_answers_is_named(tmp_path: Path) -> None:
    import dask

    intervals = replace(USUAL, connect_limit=0.5)
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        run = run_script(tmp_path, target="tcp://127.0.0.1:1", intervals=intervals)
    assert run.report.status is RunStatus.FAILED
    assert "tcp://127.0.0.1:1" in run.report.message
    assert "daskrun itself failed" not in run.report.message


# inline puts this process back as it was


def test_inline_leaves_this_process_as_it_was(tmp_path: Path) -> None:
    environment, argv, path, cwd = dict(os.environ), sys.argv[:], sys.path[:], os.getcwd()
    before = set(sys.modules)
    code = """
    import os, sys
    from daskrun.script.entry_script import EntryScript
    def run(mini_batch):
        assert os.environ["MINE"] == "1"
        EntryScript().logger.warning("said in %s", EntryScript().log_dir)
        os.environ["MADE_BY_THE_SCRIPT"] = "1"
        return sys.argv[1:] * len(mini_batch)
    """
    options = {"target": "inline", "environment_variables": {"MINE": "1"}, "arguments": ("x",)}
    for run_id in ("first", "second"):
        run = run_script(
            tmp_path, code, run_id=run_id, append_row_file_name=f"{run_id}.txt", **options
        )
        assert run.output == b"x\n" * 10
        assert run.log("user/entry_script_log/inline/*").count("said in") == 10
    assert (dict(os.environ), sys.argv, sys.path) == (environment, argv, path)
    assert os.getcwd() == cwd
    assert not {"score", "entry_script"} & (set(sys.modules) - before)


def test_inline_reads_a_changed_module_beside_the_script_anew(tmp_path: Path) -> None:
    code = "import beside\ndef run(mini_batch):\n    return [beside.WORD] * len(mini_batch)\n"
    for word in ("first", "second"):
        run = run_script(
            tmp_path,
            code,
            target="inline",
            run_id=word,
            append_row_file_name=f"{word}.txt",
            extra={"beside.py": f"WORD = {word!r}\n"},
        )
        assert run.output == f"{word}\n".encode() * 10


def test_inline_forgets_the_users_source_and_nothing_installed_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    files = {
        ".venv/lib/python3/site-packages/installed_once.py": "",
        "env/added_to_path.py": "",
        "own_package/__init__.py": "",
        "own_package/inner.py": "WORD = 1\n",
        "own_namespace/inner.py": "",
    }
    for name, text in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    monkeypatch.syspath_prepend(work / ".venv/lib/python3/site-packages")
    monkeypatch.syspath_prepend(work / "env")
    monkeypatch.syspath_prepend(work)  # as it is for a program beside the script
    code = """
    import added_to_path, installed_once, own_namespace.inner, own_package.inner, sys
    sys.path.insert(0, added_to_path.__file__.removesuffix("added_to_path.py") + "late")
    def run(mini_batch):
        return [f"{id(installed_once)} {id(added_to_path)} {own_package.inner.WORD}"]
    """
    seen = []
    for word in (1, 2):
        (work / "own_package/inner.py").write_text(f"WORD = {'x' * word!r}\n")
        options = {"run_id": f"run{word}", "append_row_file_name": f"{word}.txt"}
        run = run_script(
            tmp_path, code, files=1, target="inline", source_directory=False, **options
        )
        assert run.output is not None
        seen.append(run.output.decode().split())
        kept = {"added_to_path", "installed_once"}
        own = {"own_package", "own_package.inner", "own_namespace", "own_namespace.inner", "score"}
        assert set(sys.modules) & (own | kept) == kept
    assert [words[2] for words in seen] == ["x", "xx"]
    assert seen[0][:2] == seen[1][:2]
    for name in kept:
        del sys.modules[name]


def test_inline_keeps_daskrun_where_it_lies_beside_the_script(tmp_path: Path) -> None:
    import subprocess

    shutil.copytree(Path(daskrun.__file__).parent, tmp_path / "work" / "daskrun")
    code = f"""
    import sys
    sys.path[:0] = [{str(tmp_path / "work")!r}, {str(Path(__file__).parents[1])!r}]
    from pathlib import Path
    from running import make_request
    from daskrun.engine.driver import RunControl, execute
    script = "from daskrun.workspace.models.model import Model\\n" \\
        "def run(m):\\n    return [f'{{Model}} {{id(Model)}}']\\n"
    for number in "12":
        request = make_request(
            Path({str(tmp_path)!r}), script, files=1, target="inline", source_directory=False,
            run_id="run" + number, append_row_file_name=number + ".txt")
        print(execute(request, [], RunControl()).message)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "1 of 1 mini-batches succeeded.\n" * 2, done.stderr
    first, second = [(tmp_path / "out" / f"{n}.txt").read_text() for n in (1, 2)]
    assert first == second
    assert "Model" in first


def test_inline_does_not_import_distributed(tmp_path: Path) -> None:
    import subprocess

    code = f"""
    import sys
    sys.path[:0] = [{str(Path(__file__).parents[1])!r}]
    from pathlib import Path
    from running import make_request
    from daskrun.engine.driver import RunControl, execute
    report = execute(make_request(Path({str(tmp_path)!r}), target="inline"), [], RunControl())
    found = [name for name in ("distributed", "dask", "bokeh", "pandas") if name in sys.modules]
    print(report.status.value, found)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "Completed []\n", done.stderr


def test_a_script_without_source_directory_keeps_its_own_name_and_neighbours(
    tmp_path: Path,
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "neighbour.py").write_text("WORD = 'found'\n")
    code = "import neighbour\ndef run(mini_batch):\n    return [f'{neighbour.WORD} {__file__}']\n"
    run = run_script(tmp_path, code, files=1, source_directory=False)
    assert run.output == f"found {tmp_path}/work/score.py\n".encode()


@pytest.mark.slow
def test_the_dashboard_is_there_for_whoever_looks(tmp_path):
    found = {}

    def look(url):
        with urlopen(url, timeout=30) as page:
            found["page"] = page.read().decode()
        with urlopen(url.replace("status", ""), timeout=30) as page:
            found["root"] = page.url
        with urlopen(url.replace("status", "health"), timeout=30) as page:
            found["health"] = page.read()

    def act(event):
        if isinstance(event, Note) and "dashboard is at" in event.text and not found:
            found["url"] = event.text.split()[-1]
            found["thread"] = threading.Thread(target=look, args=(found["url"],))
            found["thread"].start()
        elif isinstance(event, BundleReturned) and "thread" in found:
            found["thread"].join(30)  # the run goes on while somebody looks

    done = run_script(tmp_path, files=4, act=act)
    assert done.output == lines(range(4))
    assert "bokeh" in found["page"].lower()
    assert found["root"] == found["url"]
    assert found["health"] == b"ok"
