"""What a run would be, before it is one; and a job to begin with."""

import os
from pathlib import Path

import pytest
from commands import HERE, call, told, work  # noqa: F401  (a fixture)

from daskrun import ExitCode

CHECK = ("check", "--script", "score.py", "--input", "files", *HERE)


def everything(folder):
    return sorted(str(path) for path in Path(folder).rglob("*"))


def test_a_check_tries_the_first_mini_batch_and_keeps_nothing(work):
    before = everything(work)
    (step,) = told(*CHECK[:-1], "run_max_try=3", "-o", "out/new/a.csv", "--", "-x")["steps"]
    counts = {name: step[name] for name in ("name", "kind", "mini_batches", "complete", "files")}
    expected = {"kind": "files", "mini_batches": 5, "complete": True, "files": 5}
    assert counts == {"name": "score", **expected}
    first = step["first"]
    assert (first["status"], first["items"], first["results"]) == ("succeeded", 1, 1)
    assert step["seconds"] == first["init_seconds"] + 5 * first["seconds"]
    assert everything(work) == before
    shown = call(*CHECK).out
    assert "step score: 5 mini-batches of 5 files\n" in shown
    assert "1 script process, once started\n" in shown


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("def run(mini_batch):\n    raise ValueError('never')", "ValueError: never"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("def run(mini_batch): return None", "run() returned None"),
    ],
)
def test_a_check_shows_what_is_wrong_with_the_script(work, script, said):
    (work / "score.py").write_text(script)
    shown = call(*CHECK, code=ExitCode.FAILED)
    how = "can't be run" if "import" in script else "failed"
    assert f"its first mini-batch {how}: " in shown.out
    assert said in shown.out
    assert said in shown.err
    assert everything(work / ".daskrun") == []


def test_a_check_tells_of_items_that_fail_and_goes_on(work):
    lines = "from daskrun import Failed\ndef run(b): return [*b[1:], Failed(b[0], 'unreadable')]\n"
    (work / "score.py").write_text(lines)
    shown = call(*CHECK, "-b", 2).out
    assert "not all its items succeeded: unreadable" in shown
    assert "all of it: about" in shown


def test_a_check_can_leave_the_script_alone(work):
    (work / "score.py").write_text("def run(mini_batch): raise ValueError")
    (step,) = told(*CHECK, "--no-run")["steps"]
    assert (step["first"], step["not_tried"]) == (None, "it was not asked for")


def test_a_check_tells_types_and_about_how_many_mini_batches(work):
    (work / "a.csv").write_text("x,when,text\n" + '1,2026-01-02,"a\nb"\n' * 200)
    (work / "score.py").write_text("def run(rows): return rows")
    options = (*HERE[:2], "-b", "1KB", "-o", "a.txt")
    (step,) = told("check", "--script", "score.py", "--table", "rows=a.csv", *options)["steps"]
    assert step["columns"] == {"rows": {"x": "int", "when": "datetime", "text": "text"}}
    size = os.stat("a.csv").st_size
    assert step["mini_batches"] == -(-size // 1024)
    assert step["first"]["status"] == "succeeded"
    assert 40 <= step["first"]["items"] <= 60


def test_a_check_finds_what_a_run_would_refuse(work):
    (work / "out").mkdir()
    (work / "out" / "a.csv").write_text("mine")
    shown = call(*CHECK, "-o", "out/a.csv", code=ExitCode.WRONG_USE)
    assert "a.csv" in shown.err
    assert everything("out") == ["out/a.csv"]


def test_a_check_runs_in_the_workspace_that_is_there(work):
    call("run", *CHECK[1:])
    runs = told("list")
    told(*CHECK)
    assert told("list") == runs


@pytest.mark.slow
def test_a_check_runs_the_first_mini_batch_in_a_process_of_its_own(work):
    (work / "score.py").write_text(
        "import os\nfrom daskrun import EntryScript\n"
        "def run(batch):\n"
        "    open(os.path.join(EntryScript().output_dir, 'x'), 'w')\n"
        "    return [os.getpid()]\n"
    )
    before = everything(work)
    options = ("--script", "score.py", "--input", "files", "-b", "1", "-p", "3", "-o", "out")
    (step,) = told("check", *options, "--own-files")["steps"]
    assert (step["slots"], step["first"]["status"]) == (3, "succeeded")
    assert everything(work) == before
    (work / "score.py").write_text("import os\ndef run(batch): os._exit(7)\n")
    shown = call("check", *options, code=ExitCode.FAILED)
    assert "ended by itself with exit code 7" in shown.out


def test_init_writes_a_job_that_runs(work):
    call("init", "new")
    call("check", "new/job.yml", "--cluster", "inline")
    run = told("run", "new/job.yml", "--cluster", "inline", "--experiment", "words")
    assert run["experiment"] == "words"
    lines = ["a.txt: 1 words", "b.txt: 2 words", "c.txt: 3 words"]
    (path,) = run["steps"][0]["outputs"].values()
    assert Path(path).read_text().splitlines() == lines
    again = told("run", "new/job.yml", "--cluster", "inline", "--set", "inputs.texts=files")
    assert again["steps"][0]["outputs"] == run["steps"][0]["outputs"]  # the file says where
    assert len(Path(path).read_text().splitlines()) == 5
    options = ("--set", "inputs.texts=files", "--set", "outputs.counts=mine", "--cluster", "inline")
    call("run", "new/job.yml", *options)
    assert Path("mine/parallel_run_step.txt").read_text().count("1 words") == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "mini_batch_sze=1"], "Write mini_batch_size."),
        (["--script", "score.py", "-p", "2"], "--script, --processes and the job file 'new"),
        (["--", "-x"], "-- ARGUMENTS and the job file"),
    ],
)
def test_what_a_job_file_says_is_not_said_twice(work, arguments, said):
    call("init", "new")
    for command in ("run", "check"):
        assert said in call(command, "new/job.yml", *arguments, code=ExitCode.WRONG_USE).err


def test_init_writes_a_job_and_replaces_nothing(work):
    made = call("init", "new")
    assert made.out.splitlines()[:2] == ["new/job.yml", "new/score.py"]
    assert "daskrun check new/job.yml" in made.err
    shown = call("init", code=ExitCode.WRONG_USE)
    assert "score.py is there already" in shown.err
    assert not Path("job.yml").exists()


def test_it_is_said_that_job_files_are_not_overwritten(work, caplog):
    (work / "src").mkdir(exist_ok=True)
    (work / "src" / "score.py").write_text("def run(batch):\n    return batch\n")
    (work / "job.yml").write_text(
        "type: parallel\ninputs: {files: {type: uri_folder, path: ./files}}\n"
        "outputs: {rows: {type: uri_file}}\ninput_data: ${{inputs.files}}\n"
        "task: {code: ./src, entry_script: score.py, append_row_to: '${{outputs.rows}}'}\n"
    )
    for more, times in ((), 0), (("--overwrite",), 1):
        call("run", "job.yml", *more, "--cluster", "inline")
        assert caplog.text.count("overwrite changes nothing of a job file") == times
