"""EntryScript: what it gives in a run and where there is none."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daskrun.script import context
from daskrun.script.entry_script import EntryScript

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    logger = logging.getLogger("daskrun.entry_script")

    def clear() -> None:
        for handler in logger.handlers[:]:
            logger.removeHandler(handler)
            handler.close()
        context.enter(None)
        EntryScript._outside = None

    clear()
    yield
    clear()


def test_outside_a_run_it_works_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    script = EntryScript()
    assert script.agent_name == "local"
    assert script.dir == str(Path.cwd())
    assert Path(script.output_dir).is_dir()
    assert Path(script.log_dir).is_dir()
    assert Path(script.working_dir).is_dir()
    script.logger.info("seen")
    assert "|INFO|" in capsys.readouterr().err


def test_in_a_run_it_is_what_the_run_says(tmp_path: Path) -> None:
    context.enter(
        {
            "agent_name": "node001/process002",
            "log_dir": str(tmp_path / "logs"),
            "log_file": str(tmp_path / "script.log"),
            "output_dir": str(tmp_path / "out"),
            "working_dir": str(tmp_path / "work"),
            "script_dir": "/home/me/score",
            "logging_level": "WARNING",
        }
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
