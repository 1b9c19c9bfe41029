"""Job files and the command: secrets in them, and bounds."""

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from daskrun import Dataset, DatasetError, SettingsError, Workspace, load_job
from daskrun.cli import running
from daskrun.cli.logs import Files
from daskrun.data.tabular.formats.mltable.conditions import condition_of
from daskrun.jobs import expressions

SECRETS = """
type: pipeline
settings: {default_compute: inline}
inputs: {token: canary-input-x7q}
jobs:
  one:
    type: command
    inputs: {token: "${{parent.inputs.token}}"}
    environment_variables: {DB: canary-variable-x7q}
    command: tr '\\\\0' ' ' < /proc/$$/cmdline; printf %s ${{inputs.token}} | wc -c
  two: {type: command, command: "echo $JOB_COMMAND_LINE two; exit 0"}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_secrets_of_a_job_file_are_for_this_user_alone(here, capfd):
    Path("job.yml").write_text(SECRETS)
    run = load_job("job.yml").submit(Workspace.create("trial"))
    run.wait_for_completion()
    told = [path for path in here.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    open_to_all = {path.name for path in told if b"canary" in path.read_bytes()}
    assert open_to_all == {"job.yml"}  # that of the user
    assert "job/job.yml" in run.get_file_names()
    files = Files(run, ("sys/happenings.txt",))
    files.print_new(whole=True)
    printed = capfd.readouterr().out
    assert "==> one/sys/happenings.txt" in printed  # each with its step
    assert re.search(r"^/bin/sh\W-c\Weval .*\W16$", printed, re.MULTILINE), printed
    assert re.search("^two$", printed, re.MULTILINE)


def test_a_bucket_has_no_job_file(here, bucket):
    Path("job.yml").write_text("type: command\ncommand: 'true'\ncompute: inline\n")
    ws = Workspace.create("team", path=bucket.url, storage_options=bucket.options)
    run = load_job("job.yml").submit(ws)
    run.wait_for_completion()
    assert "job.yml" not in "".join(sorted(bucket.keys()))


def test_a_driver_in_the_background_has_no_arguments_on_its_command_line(here, monkeypatch):
    started = []

    class Driver(subprocess.Popen):
        def __init__(self, command, **options):
            started.extend(command)
            told = "import json, os, sys\ngiven = json.load(sys.stdin)\n"
            told += "pipe = int(given[given.index('--tell') + 1])\n"
            told += "os.write(pipe, json.dumps({'id': given}).encode())\n"
            super().__init__([sys.executable, "-c", told], **options)

    said = []
    monkeypatch.setattr(subprocess, "Popen", Driver)
    monkeypatch.setattr(running, "print_json", said.append)
    running._detach("run", ["--set", "a=hush", "--", "--token", "hush"], as_json=True)
    assert "hush" not in " ".join(started)
    (given,) = said
    assert [each for each in given["id"] if not each.isdigit()] == [
        *("run", "--set", "a=hush", "--tell", "--", "--token", "hush")
    ]


def test_others_cant_write_the_log_of_a_driver(here):
    code = """
    import os
    from types import SimpleNamespace
    from pathlib import Path
    from daskrun.cli.running import _go_aside
    os.umask(0)
    _go_aside(SimpleNamespace(id="a", folder=Path()), os.open(os.devnull, os.O_WRONLY))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
    assert Path("logs", "driver.txt").stat().st_mode & 0o777 == 0o664


def test_components_have_a_bound(here, monkeypatch):
    monkeypatch.setattr("daskrun.jobs.located.MOST_NAMED", 3)
    Path("c.yml").write_text("type: command\ncommand: ls\n")
    jobs = ", ".join(f"j{n}: {{component: ./c.yml}}" for n in range(4))
    Path("many.yml").write_text(f"type: pipeline\njobs: {{{jobs}}}\n")
    with pytest.raises(SettingsError, match="is one of more than 3"):
        load_job("many.yml")


def test_what_begins_anew_before_its_end_is_no_expression():
    """So that a text of many beginnings is gone through once, and not once for each."""
    said = expressions.pieces("${{a ${{ b }} ${{")
    assert [each.text for each in said if not isinstance(each, str)] == ["b"]
    assert expressions.without_absent("$[[a $[[ b ]] $[[", lambda _: True) == "$[[a  b  $[["
    assert expressions.without_absent("$[[a $[[b]]", lambda _: True) == "$[[a b"
    assert expressions.only("${{ a }} ${{ b }}") is None


def test_conditions_of_a_table_have_a_bound():
    parts = ["col('a') > 0"] * 200
    assert repr(condition_of(" and ".join(parts))).count("> 0") == 200
    for text in (" and ".join([*parts, *parts]), "~" * 9000 + "col('a')", "not " * 900 + "(1 > 0)"):
        with pytest.raises(ValueError, match=r"nested too deep|more than 200 comparisons"):
            condition_of(text)


@pytest.mark.parametrize("experiment", [None, "", "a\x1b[31m", "../x"])
def test_a_record_of_no_experiment_hides_no_other_run(here, experiment):
    Path("job.yml").write_text("type: command\ncommand: 'true'\ncompute: inline\n")
    ws = Workspace.create("trial")
    run = load_job("job.yml").submit(ws)
    run.wait_for_completion()
    folder = run.folder.parent / "20991231-000000-000-aaaaaa"
    folder.mkdir()
    said = {} if experiment is None else {"kind": "pipeline", "experiment": experiment}
    (folder / "run.json").write_text(json.dumps(said))
    assert [(each.id, each.experiment.name) for each in ws.get_runs()] == [
        (run.id, run.experiment.name)
    ]


def test_paths_of_strangers_that_can_not_be_are_named(here):
    Path("MLTable").write_text('paths: [{file: "a\\0b"}]\ntransformations: [read_delimited]\n')
    with pytest.raises(DatasetError, match=r"the path 'a\\x00b' holds a NUL character"):
        Dataset.Tabular.from_mltable(".")
    Path("job.yml").write_text("type: command\ncommand: echo 1\ncode: ~no-such-user/x\n")
    with pytest.raises(SettingsError, match="~no-such-user/x"):
        load_job("job.yml").submit(Workspace.create("trial"))
