"""Every block of code on every page of the documentation does what the page says."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from needs import NEEDS
from pages import ROOT, blocks, matches, needs, pages

PAGES = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages()]


@pytest.mark.slow
@pytest.mark.usefixtures("forks")
@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says(page, tmp_path, request):
    text, environment = page.read_text(encoding="utf-8"), dict(os.environ)
    folder = tmp_path / "reader"
    folder.mkdir()
    with ExitStack() as given:
        for name in needs(page):
            found = given.enter_context(NEEDS[name](folder, request))
            environment.update(found.variables)
            for shown, real in found.written.items():
                text = text.replace(shown, real)
        copy = tmp_path / page.name
        copy.write_text(text, encoding="utf-8")
        command = [sys.executable, Path(__file__).with_name("run_page.py"), copy]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=110
        )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_are_marked(page):
    assert set(needs(page)) <= set(NEEDS)
    assert page.read_text(encoding="utf-8").count("```") == 2 * len(blocks(page))
    assert [fault for block in blocks(page) if (fault := block.fault())] == []


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("```python\nprint(1 + 1)\n```\n<!-- output -->\n```text\n2\n```\n", 0),
        ("```python\nprint(1 + 1)\n```\n<!-- output -->\n```text\n3\n```\n", 1),
        ("```python\nx = 1\n```\n\n```python\nawait asyncio.sleep(x)\n```\n", 1),
        ("```python\nimport asyncio\n```\n\n```python\nawait asyncio.sleep(0)\n```\n", 0),
        ("<!-- file: a/b.py -->\n```python\nprint('x')\n```\n\n```sh\npython a/b.py\n```\n", 0),
        ("```sh\nfalse\n```\n", 1),
        ("<!-- raises: ValueError -->\n```python\nint('x')\n```\n", 0),
        ("<!-- raises: ValueError -->\n```python\nint('1')\n```\n", 1),
        ("<!-- not run: because -->\n```python\n1 1\n```\n", 1),
        ("- in a list\n\n  ```python\n  raise SystemExit(3)\n  ```\n", 1),
    ],
)
def test_a_page_that_is_not_true_is_found(text, status, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(text)
    command = [sys.executable, Path(__file__).with_name("run_page.py"), page]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr


def test_an_output_may_leave_something_out():
    assert matches("run ... is\ndone.", "run words_1 is\ndone.\n")
    assert not matches("run ... is\ndone.", "run words_1 was\ndone.\n")
