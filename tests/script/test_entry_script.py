"""EntryScript: what it gives in a run and where there is none."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daskrun.script import context
from daskrun.script.context import ScriptContext
from daskrun.script.entry_script import EntryScript

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    logger = logging.getLogger("daskrun.entry_script")

    monkeypatch.delenv("DASKRUN_OUTPUT_PATH", raising=False)

    def clear() -> None:
        for handler in logger.handlers[:]:
            logger.removeHandler(handler)
            handler.close()
        context.enter(None)
        EntryScript._made_for = EntryScript._handler = None

    clear()
    yield
    clear()


def test_outside_a_run_it_works_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    script = EntryScript()
    assert script.agent_name == "local"
    assert script.dir == str(Path(__file__).parent)
    script.logger.info("seen")
    script.logger.debug("not at this level")
    text = capsys.readouterr().err
    assert text.endswith("|seen\n")
    assert "|INFO|" in text


def test_what_is_logged_by_hand_goes_to_what_is_stderr_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = EntryScript().logger
    other = StringIO()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", other)
        logger.warning("first")
    logger.warning("second")
    assert other.getvalue().endswith("|first\n")
    assert capsys.readouterr().err.endswith("|second\n")


def test_a_level_that_the_user_sets_stays() -> None:
    EntryScript().logger.setLevel("DEBUG")
    assert EntryScript().logger.level == logging.DEBUG


BY_HAND = """
import os, sys
from daskrun import EntryScript
script = EntryScript()
made = script.log_dir
if os.fork() == 0:
    assert script.log_dir == made
    sys.exit()  # a copy that ends first takes nothing away
assert os.wait()[1] == 0
assert os.path.isdir(made)
for folder in (script.log_dir, script.output_dir, script.working_dir):
    assert os.path.isdir(folder)
    print(folder)
script.logger.info("done in %s", script.dir)
"""


def _by_hand(folder: Path, **variables: str) -> tuple[list[str], str]:
    (folder / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", BY_HAND],
        env={**os.environ, "TMPDIR": str(folder / "tmp"), **variables},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert list((folder / "tmp").iterdir()) == []  # the folders are gone with the process
    return done.stdout.split(), done.stderr


def test_by_hand_its_folders_are_temporary_ones(tmp_path: Path) -> None:
    folders, errors = _by_hand(tmp_path)
    assert len(set(folders)) == 3
    assert {Path(folder).parents[1] for folder in folders} == {tmp_path / "tmp"}
    assert errors.endswith(f"|done in {tmp_path}\n")  # -c has no file


def test_by_hand_its_output_is_where_the_variable_says(tmp_path: Path) -> None:
    output = tmp_path / "made" / "out"
    folders, _ = _by_hand(tmp_path, DASKRUN_OUTPUT_PATH=str(output))
    assert folders[1] == str(output)
    assert output.is_dir()


def test_a_step_without_an_output_has_a_folder_that_goes_with_the_process(tmp_path: Path) -> None:
    context.enter(ScriptContext(working_dir=str(tmp_path / "work")))
    assert EntryScript().output_dir == str(tmp_path / "work" / "output")
    assert Path(EntryScript().output_dir).is_dir()


def test_in_a_run_it_is_what_the_run_says(tmp_path: Path) -> None:
    context.enter(
        ScriptContext(
            agent_name="node001/process002",
            log_dir=str(tmp_path / "logs"),
            log_file=str(tmp_path / "script.log"),
            output_dir=str(tmp_path / "out"),
            working_dir=str(tmp_path / "work"),
            script_dir="/home/me/score",
            logging_level="WARNING",
        )
    )
    script = EntryScript()
    assert (script.agent_name, script.dir) == ("node001/process002", "/home/me/score")
    assert script.log_dir == str(tmp_path / "logs")
    assert Path(script.output_dir).is_dir()
    assert Path(script.working_dir).is_dir()
    script.logger.info("not at this level")
    script.logger.warning("a warning")
    EntryScript().logger.warning("once")
    text = (tmp_path / "script.log").read_text()
    assert "not at this level" not in text
    assert text.count("a warning") == text.count("once") == 1
