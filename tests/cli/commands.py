"""The command, called in the process of the tests, and what it is used on."""

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from daskrun.cli.app import cli
from daskrun.pipeline.execution import advice

SCRIPT = """
import sys, time

def run(mini_batch):
    print("read", len(mini_batch))
    texts = [open(path).read() for path in mini_batch]
    if "bad" in texts:
        raise ValueError("a bad file")
    return [" ".join([*sys.argv[1:], text]) for text in texts]
"""


def call(*arguments, code=0, **options):
    """Run the command, and give what it printed; it must end with ``code``, if any."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(advice, "_told", advice._told)  # other tests are no commands
        result = CliRunner().invoke(cli, [str(each) for each in arguments], **options)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert code in (None, result.exit_code), result.output
    return SimpleNamespace(out=result.stdout, err=result.stderr)


def told(*arguments, code=0):
    """Run the command with ``--json``, and give the value that it printed."""
    command, *others = arguments
    return json.loads(call(command, "--json", *others, code=code).out)


def lay_out(folder):
    """Make an entry script and five files, the last of them a bad one."""
    (folder / "files").mkdir()
    for number in range(5):
        (folder / "files" / f"{number}.txt").write_text("bad" if number == 4 else str(number))
    (folder / "score.py").write_text(SCRIPT)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Change to a folder with a script and files."""
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    return tmp_path


HERE = ("--cluster", "inline", "-b", 1, "--set", "run_max_try=1")
"""Options of a run in this process, which takes no time to start."""
