"""The command itself: what it loads, its help, completion, and how it is found."""

import importlib.metadata
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import HERE, call, told, work  # noqa: F401  (a fixture)

from daskrun.cli.app import cli
from daskrun.cli.common import print_json

HEAVY = {"pandas", "numpy", "pyarrow", "fsspec", "dask", "distributed", "rich", "yaml", "bokeh"}
ROOT = Path(__file__).parents[2]


def test_help_loads_nothing_heavy():
    code = "import sys\nfrom daskrun.cli.app import cli\ncli(['--help'], standalone_mode=False)\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}print('LOADED', *sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.partition("LOADED ")[2].split())
    assert loaded & HEAVY == set()
    assert {
        name for name in loaded if name.startswith(("daskrun.pipeline", "daskrun.data"))
    } == set()


@pytest.mark.parametrize("name", [None, *cli.commands])
def test_each_command_has_help_of_whole_sentences(name):
    shown = call(*([name] if name else []), "--help").out
    assert shown.startswith("Usage: ")
    if name is None:
        for code in ("0    done", "3    the run was canceled", "5    the run ended early"):
            assert code in shown
        assert "...\n " not in shown.partition("Commands:")[2]  # no help is cut off
    if name not in (None, "completion"):
        assert "--json" in shown


def test_it_is_a_program_and_a_command_of_dask():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"daskrun": "daskrun.cli.app:main"}
    (of_dask,) = project["entry-points"]["dask_cli"].items()
    found = importlib.metadata.EntryPoint(*of_dask, group="dask_cli").load()
    assert found is cli
    done = subprocess.run(
        [sys.executable, "-m", "daskrun", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("daskrun ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_told_how_to_complete(shell):
    assert "_DASKRUN_COMPLETE" in call("completion", shell).out


def test_commands_and_runs_are_completed(work):
    run = told("run", "--script", "score.py", "--input", "files", *HERE)["id"]

    def completed(line, word, part=2):
        environment = {"_DASKRUN_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": word}
        result = CliRunner().invoke(cli, [], prog_name="daskrun", env=environment)
        return [each.partition(",")[part] for each in result.stdout.split()]

    assert completed("daskrun res", "1") == ["resume"]
    assert completed("daskrun show ", "2") == ["last", f"{run}-score", run]
    assert completed(f"daskrun show {run[:6]}", "2") == [f"{run}-score", run]
    assert completed("daskrun dashboard las", "2") == ["last"]
    for line in ("run ", "check jo", "run --script ", "run --input ", "outputs last --download "):
        assert completed(f"daskrun {line}", f"{len(line.split(' '))}", 0) == ["file"]


def test_json_is_safe_on_a_terminal_and_tells_no_secret(capsys):
    value = {"name": "\u202e\x9b\udcff é", "path": "s3://me:SECRET@host/a"}
    print_json(value)
    printed = capsys.readouterr().out
    assert json.loads(printed) == {**value, "path": "s3://***@host/a"}
    assert printed.replace("\n", "").isprintable()
    assert "é" in printed
