"""Starting runs by the command, and looking at them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import HERE, call, lay_out, told, work  # noqa: F401  (a fixture)
from running import wait_for
from s3 import KEY, SECRET

import daskrun
from daskrun import ExitCode
from daskrun.cli.logs import Files
from daskrun.cli.looking import Told, ToldStep

INTERRUPTS = """
import os, signal, time

def run(mini_batch):
    if mini_batch[0].endswith("1.txt"):
        os.kill(os.getpid(), signal.SIG)
        time.sleep(0.5)
    return mini_batch
"""
START = ("run", "--script", "score.py", "--input", "files", *HERE)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Give the folder of a workspace with a run of which a file has failed, and its id."""
    folder = tmp_path_factory.mktemp("ran")
    lay_out(folder)
    before = Path.cwd()
    os.chdir(folder)
    try:
        run = told(*START, "-o", "out/scores.txt", "--experiment", "trials", "--", "-x", "--y=1")
    finally:
        os.chdir(before)
    return folder, run["id"]


@pytest.fixture
def there(ran, monkeypatch):
    """Change to that folder, and give the run's id."""
    monkeypatch.chdir(ran[0])
    return ran[1]


def test_a_script_runs_over_files_with_its_own_arguments(there):
    assert Path("out/scores.txt").read_text() == "".join(f"-x --y=1 {n}\n" for n in range(4))
    run = told("show", there)
    assert (run["status"], run["exit_code"], run["experiment"]) == ("Completed", 0, "trials")
    (step,) = run["steps"]
    counts = {"total": 5, "succeeded": 4, "failed": 1, "retried": 0, "items": 5, "items_failed": 1}
    assert (step["name"], step["mini_batches"]) == ("score", counts)
    assert step["outputs"] == {"output": str(Path("out/scores.txt").absolute())}
    assert step["errors"][0]["message"] == "ValueError: a bad file"
    assert "daskrun resume" in run["next"]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["list"], ["Completed  trials", "score"]),
        (["list", "--status", "failed"], []),
        (["list", "--status", "completed", "--experiment", "trials"], ["Completed  trials"]),
        (
            ["show", "last"],
            ["4 of 5 mini-batches, 1 failed", "1 × ValueError: a bad file ("],
        ),
        (["logs", "last"], ["==> sys/happenings.txt <==", "is past init()"]),
        (["logs", "last", "--errors"], ["ValueError: a bad file", "Traceback"]),
        (["logs", "last", "--follow", "job_result.txt"], ["==> job_result.txt <=="]),
        (["logs", "last", "--names"], ["job_error.txt", "sys/statistics.json"]),
        (["failed", "last"], ["4.txt", "ValueError: a bad file"]),
        (["outputs", "last"], ["output: ", "scores.txt"]),
        (["report", "last"], ["report.html"]),
        (["watch", "last"], ["Completed"]),
    ],
)
def test_what_commands_tell_of_a_run(there, arguments, found):
    printed = call(*arguments).out
    for text in found:
        assert text in printed
    assert bool(printed) == bool(found)
    assert told(*[each for each in arguments if each != "--follow"]) is not None


def test_a_run_is_found_by_the_beginning_or_end_of_its_id(there):
    for text in (there, there[:20], there[-6:], "last"):
        assert told("show", text)["id"] == there
    assert told("show", f"{there}-score")["id"] == f"{there}-score"
    assert "no run has an id" in call("show", "1999", code=2).err


def test_outputs_are_copied(there, tmp_path):
    (row,) = told("outputs", "last", "--download", tmp_path)
    assert (row["files"], row["copied_to"]) == (1, str(tmp_path / "output"))
    assert (tmp_path / "output" / "scores.txt").exists()


def test_what_only_looks_makes_no_workspace(work):
    assert told("list") == []
    for command in (["show", "last"], ["logs", "last"], ["clean"], ["cancel", "x"]):
        assert "there is no workspace in" in call(*command, code=2).err
    assert not Path(".daskrun").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run"], "--script and --input missing"),
        (["run", "--script", "score.py", "--input", "files", "--table", "a.csv"], "not both"),
        ([*START, "--set", "run_max_tries=1"], "Write run_max_try."),
        ([*START, "--set", "run_max_try"], "is not NAME=VALUE"),
        ([*START, "-p", "0"], "process_count_per_node=0"),
        (["run", "--script", "score.py", "--input", "nowhere/*.png"], "nowhere/*.png"),
        (["run", "--script", "score.py", "--table", "files"], "have the endings .txt"),
        (["run", "--script", "absent.py", "--input", "files"], "absent.py"),
        (["run", "score.py"], "--input missing"),
        ([*START, "--set", "environment=numpy"], "no file of packages. Write one for pip"),
        ([*START, "--set", "environment=no.txt"], "no.txt"),
        (["run", "--script", "score.py", "files"], "Write --input files for data."),
        (["run", "--script", "score.py", "--input", "files", "-o", "a.txt"], "(--overwrite in a"),
        (["sho"], "No such command"),
    ],
)
def test_wrong_use_is_a_sentence_and_2(work, arguments, said):
    (work / "a.txt").touch()
    shown = call(*arguments, code=2)
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert not shown.out


@pytest.mark.parametrize(
    ("options", "script", "code"),
    [
        (["--error-threshold", 0], None, ExitCode.THRESHOLD),
        ([], "def run(mini_batch): raise ValueError('never')", ExitCode.FAILED),
        ([], "import no_such_module", ExitCode.FAILED),
        ([], INTERRUPTS.replace("SIG)", "SIGINT)"), ExitCode.CANCELED),
        ([], INTERRUPTS.replace("SIG)", "SIGTERM)"), ExitCode.CANCELED),
    ],
)
def test_exit_codes(work, options, script, code):
    if script is not None:
        (work / "score.py").write_text(script)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it
    try:
        shown = call(*START, *options, code=code)
    finally:
        signal.signal(signal.SIGINT, before)
    run = told("show", "last")
    assert run["exit_code"] == code
    assert run["status"] == ("Canceled" if code is ExitCode.CANCELED else "Failed")
    if code is not ExitCode.CANCELED:
        assert 'score.py", line' in shown.err  # the script's own traceback
    assert "daskrun resume" in run["next"] or "run the job again" in run["next"]
    assert told("watch", "last", code=code)["id"] == run["id"]


def test_a_run_goes_on_where_what_was_wrong_is_mended(work):
    call(*START, "--error-threshold", 0, "-o", "out", code=ExitCode.THRESHOLD)
    shown = call("resume", "last", "--set", "error_threshold=1", "--set", "run_max_try=2")
    assert "Completed" in shown.out
    assert f"written: 4 rows, in {work}/out/" in shown.out
    assert "is Completed already" in call("cancel", "last", code=1).err
    assert "with daskrun resume 2" in call("resume", "last", code=2).err


def test_rows_of_tables_by_their_ending(work):
    tables = {"a.csv": "x,y\n1,2\n3,4\n", "b.jsonl": '{"x": 1}\n', "c.tsv": "x\ty\n1\t2\n"}
    for name, text in tables.items():
        (work / name).write_text(text)
        script = "def run(rows): return [','.join(map(str, row)) for row in rows.values.tolist()]"
        (work / "score.py").write_text(script)
        call("run", "--script", "score.py", "--table", name, *HERE[:2], "-o", f"{name}.txt")
    texts = [(work / f"{name}.txt").read_text() for name in tables]
    assert texts == ["1,2\n3,4\n", "1\n", "1,2\n"]


def test_clean_tells_and_removes(work):
    call(*START, "-o", "out")
    # its thread may hold the run for a moment more, which another process would not see
    wait_for(lambda: "run folder" in call("clean", "--older-than", 0, "--runs").out, 5)
    assert told("list") != []
    assert told("clean", "--older-than", 0, "--runs", "--yes")["removed"] is True
    assert told("list") == []
    assert Path("out/parallel_run_step.txt").exists()


@pytest.mark.slow
def test_a_submitted_run_outlives_the_command_and_is_canceled(work):
    (work / "score.py").write_text("import time\ndef run(b):\n    time.sleep(0.1)\n    return b\n")
    for number in range(300):
        (work / "files" / f"{number}.txt").write_text("x")
    command = [sys.executable, "-m", "daskrun", "submit", "--script", "score.py"]
    command += ["--input", "files", "-b", "1", "-p", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    run = daskrun.Workspace.find().get_run(daskrun.Workspace.find().run_ids()[0])
    assert run.id in done.stdout
    deadline = time.monotonic() + 60
    while told("show", "last")["steps"][0]["mini_batches"]["succeeded"] in (None, 0):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert call("dashboard").out.startswith("http://127.0.0.1:")
    shown = told("cancel", "last")
    assert (shown["status"], shown["exit_code"]) == ("Canceled", ExitCode.CANCELED)
    assert "mini-batches" in call("logs", "last", "driver.txt").out


@pytest.mark.slow
def test_a_run_is_submitted_to_be_driven_without_the_command(work, tmp_path_factory):
    from clusters import Cluster  # which forks

    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.have_workers(1)
        options = ["--script", "score.py", "--input", "files", "-b", "1"]
        options += ["--cluster", cluster.address]
        started = told("submit", "--detached", *options)
        assert started["pid"] is None
        shown = told("watch", started["id"])
        assert (shown["status"], shown["exit_code"]) == ("Completed", ExitCode.DONE)
        assert "driver.txt" in told("logs", started["id"], "--names")
        assert call("submit", "--detached", *options[:-2]).out.strip() != started["id"]
        assert told("watch", "last")["status"] == "Completed"
    finally:
        cluster.close()
    refused = call("submit", "--detached", *options[:-1], "inline", code=ExitCode.WRONG_USE)
    assert "compute_target='inline' is this process" in refused.err


@pytest.mark.slow
def test_a_workspace_behind_a_url_and_a_driver_that_is_killed(work, bucket, monkeypatch):
    (work / "score.py").write_text("import time\ndef run(b):\n    time.sleep(0.1)\n    return b\n")
    for number in range(60):
        (work / "files" / f"{number}.txt").write_text("x")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.endpoint)
    monkeypatch.setenv("DASKRUN_WORKSPACE", f"{bucket.url}/team")
    started = told("submit", "--script", "score.py", "--input", "files", "-b", 1, "-p", 1)
    deadline = time.monotonic() + 60
    while not told("show", "last")["steps"][0]["mini_batches"]["succeeded"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.kill(started["pid"], signal.SIGKILL)
    assert told("watch", "last", code=ExitCode.RESUMABLE)["status"] == "Failed"
    resumed = told("resume", "last", "--set", "process_count_per_node=2")
    assert resumed["steps"][0]["mini_batches"]["succeeded"] == 60
    assert {"driver.txt", "sys/happenings.txt"} <= set(told("logs", "last", "--names"))


def test_an_input_has_a_name_unless_that_is_a_folder(work):
    (work / "day=1").mkdir()
    (work / "day=1" / "0.txt").write_text("0")
    (work / "score.py").write_text(
        "from daskrun import Run\ndef run(batch): return sorted(Run.get_context().input_datasets)\n"
    )
    for given, name in (("day=1/*.txt", "input_0"), ("day=*/0.txt", "input_0"), ("x=day=1", "x")):
        call(
            "run",
            "--script",
            "score.py",
            "--input",
            given,
            *HERE,
            "-o",
            f"{name}.txt",
            "--overwrite",
        )
        assert Path(f"{name}.txt").read_text() == f"{name}\n"


def test_a_run_that_is_logged_to_is_told_of_too(work):
    with daskrun.Experiment(daskrun.Workspace.from_config(), "trials").start_logging() as run:
        run.log("x", 1)
    assert told("show", "last")["steps"] == []
    assert told("outputs", "last") == told("failed", "last") == []
    assert told("watch", "last")["exit_code"] == 0
    assert "only logged to" in call("resume", "last", code=ExitCode.WRONG_USE).err
    with pytest.raises(RuntimeError), daskrun.Experiment(run.workspace, "trials").start_logging():
        raise RuntimeError("no")
    run = told("watch", "last", code=ExitCode.FAILED)
    assert run["next"] == ""


@pytest.mark.slow
def test_a_second_ctrl_c_ends_a_run_at_once_and_says_the_command(work):
    (work / "score.py").write_text("import time\ndef run(b):\n    time.sleep(60)\n    return b\n")
    command = [sys.executable, "-m", "daskrun", "run", "--script", "score.py", "--input", "files"]
    process = subprocess.Popen([*command, "-p", "1"], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while "is past init()" not in call("logs", "last", code=None).out:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert "is being canceled" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "with daskrun resume " in said
    assert told("show", "last")["status"] == "Canceled"


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_run_ends_with_its_code_also_where_nobody_reads_on(work, options):
    read, write = os.pipe()
    os.close(read)
    pipes = {"stderr": write} if options else {"stdout": write, "stderr": subprocess.PIPE}
    command = [sys.executable, "-m", "daskrun", *map(str, START), "-o", "out.txt", *options]
    pipes = {"stdout": subprocess.PIPE, **pipes}
    done = subprocess.run(command, **pipes, text=True, timeout=60, check=False)
    os.close(write)
    assert done.returncode == 0
    assert not done.stderr
    assert len((work / "out.txt").read_text().splitlines()) == 4


def test_lines_of_a_log_that_grows_are_printed_once_and_whole(tmp_path, capsys):
    run = SimpleNamespace(id="run", name="", folder=tmp_path, get_steps=list)
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "driver.txt"
    files = Files(run, ("driver.txt",))
    for text in ("one\ntw", "one\ntwo\nthree", "new"):
        log.write_text(text)
        files.print_new(whole=False)
    files.print_new(whole=True)
    assert capsys.readouterr().out.splitlines() == ["==> driver.txt <==", "one", "two", "new"]


def test_packages_are_named_by_a_file(work, caplog):
    (work / "requirements.txt").write_text("numpy\n")
    call(*START, "--set", "environment=requirements.txt")
    (work / "requirements.txt").write_text("no-such-package-anywhere\n")
    call(*START, "--set", "environment=requirements.txt", "-o", "b.txt")
    assert "lacks no-such-package-anywhere" in caplog.text


def test_the_most_frequent_errors_are_shown_first():
    made = [{"message": f"E{n}", "where": "", "count": n} for n in range(1, 6)]
    step = SimpleNamespace(
        id="r", name="s", status=SimpleNamespace(value="Failed"), message="", outputs={},
        progress=None, place_of=str, get_details=lambda: {"daskrun": known},
    )  # fmt: skip
    known = {"manifest": {}, "report": {"errors": made, "total": 1, "succeeded": 1, "failed": 0}}
    shown = [line.split()[-1] for line in ToldStep.of(step).lines() if "×" in line]
    assert shown == ["E5", "E4", "E3"]
    assert next(ToldStep.of(step).lines()) == "  step s: Failed, 1 of 1 mini-batch"
    known["manifest"]["type"] = "PythonScriptStep"  # a program has none
    assert next(ToldStep.of(step).lines()) == "  step s: Failed"


@pytest.mark.parametrize(("code", "end"), [(None, "now"), (5, "an end that was not noted")])
def test_a_run_whose_driver_was_killed_is_not_said_to_go_on(code, end):
    run = Told("r", "Failed", code, "", "e", "1999", None, "", "", [])
    assert list(run.lines())[1] == f"  experiment e, 1999 to {end}"
