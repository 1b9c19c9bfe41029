"""The README's example does what the README says, copied out of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NAMES = re.compile(r"`(.+?)`").findall
TEXTS = {f"{n:02d}.txt": "word " * n for n in range(25)}
LINES = [f"{name} {text.count('word')}" for name, text in TEXTS.items()]


def marked_blocks(kind: str) -> dict[str, str]:
    """Give the code blocks that follow a ``<!-- kind: name -->`` line."""
    found = re.findall(rf"^<!-- {kind}: (\S+) -->\n```\w+\n(.*?)^```$", README, re.M | re.S)
    return dict(found)


@pytest.fixture
def folder(tmp_path):
    """Do what a reader does: put the README's files and some texts into a folder."""
    files = marked_blocks("file")
    assert set(files) == {"count.py", "count_words.py"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "texts").mkdir()
    for name, text in TEXTS.items():
        (tmp_path / "texts" / name).write_text(text)
    return tmp_path


def run_count(folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "count.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)


def test_the_example_runs_inline(folder):
    program = (folder / "count.py").read_text()
    inline = program.replace("ParallelRunConfig(\n", 'ParallelRunConfig(compute_target="inline",')
    assert inline != program
    (folder / "count.py").write_text(inline)
    done = run_count(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n".join(LINES) in done.stdout


@pytest.mark.slow
def test_results_and_logs_are_where_the_documentation_says(folder):
    assert run_count(folder).returncode == 0
    workspace = folder / ".daskrun"
    (output,) = workspace.glob("datastore/azureml/*/counts/parallel_run_step.txt")
    assert output.read_text().splitlines() == LINES
    (result,) = workspace.glob("runs/*/logs/job_result.txt")
    # Every path of the page's table, with its placeholders as patterns
    page = (ROOT / "docs" / "reference" / "files.md").read_text(encoding="utf-8")
    logs = page[page.index("| in `logs/` |") :]
    named = [name for cell in re.findall(r"^\| (`.+?) \|", logs, re.M) for name in NAMES(cell)]
    assert len(named) == 15
    where_something_failed = {"job_error.txt", "failed_items.txt", "failed_items.jsonl"}
    elsewhere = {"sys/node/<node>/environment.txt", "driver.txt"}
    for name in {*named} - where_something_failed - elsewhere:
        assert list(result.parent.glob(re.sub(r"<\w+>", "*", name))), name


@pytest.mark.slow
def test_a_failing_script_is_explained(folder):
    (folder / "count_words.py").write_text("def run(mini_batch):\n    raise ValueError('no words')")
    done = run_count(folder)
    assert done.returncode == 1
    assert "no words" in done.stderr
    assert "count_words.py" in done.stderr
    (error,) = folder.glob(".daskrun/runs/*/logs/job_error.txt")
    assert "no words" in error.read_text()


def test_the_example_is_short():
    code = marked_blocks("file")["count.py"].splitlines()
    assert len([line for line in code if line]) <= 16


@pytest.mark.parametrize("name", ["main", "test"])
def test_each_command_is_one_line_that_starts_from_nothing(name):
    (command,) = marked_blocks("command")[name].splitlines()
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -e ")


@pytest.mark.parametrize("readme", sorted((ROOT / "examples").glob("*/README.md")), ids=str)
def test_the_command_of_each_example_is_the_main_one_for_its_program(readme):
    commands = re.findall(r"^```sh\n(.*?)\n```$", readme.read_text(), re.M | re.S)
    kept = {path.name for path in readme.parent.iterdir() if path.suffix in (".py", ".ipynb")}
    named = re.findall(r"`(\w+\.(?:py|ipynb))`", readme.read_text())
    assert set(named) == kept
    if not any(name.startswith("run_") for name in kept):  # a part that programs import
        assert commands == []
        return
    (main,) = marked_blocks("command")["main"].splitlines()
    program = commands[0].split()[-1]
    assert commands == [main.replace(main.split()[-1], program)]
    assert (ROOT / program).parent == readme.parent


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 130


def test_files_that_the_readme_links_to_exist():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
