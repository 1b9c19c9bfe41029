"""What the tests of the examples share: copies of them, and what runs these as their readers do."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
MADE = ("data", "models", ".daskrun", "__pycache__")
"""What examples make, which a clean checkout has not."""
RUN_NOTEBOOK = """
import sys

import nbclient
import nbformat

notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.execute(notebook, timeout=200)
nbformat.write(notebook, sys.argv[1])
"""


def needs(*packages: str) -> pytest.MarkDecorator:
    """Skip a test where a package of the ``examples`` extra isn't installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    reason = f"{', '.join(missing)} not installed: pip install 'daskrun[examples]'"
    return pytest.mark.skipif(bool(missing), reason=reason)


def copy_example(name: str, folder: Path) -> Path:
    """Copy an example as a clean checkout has it."""
    ignored = shutil.ignore_patterns(*MADE)
    return Path(shutil.copytree(EXAMPLES / name, folder / name, ignore=ignored))


def run_python(*arguments: object, cwd: Path, check: bool = True) -> subprocess.CompletedProcess:
    """Run Python as a reader does; see that it ends well."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=250)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def check_is_clean(notebook: Path, least: int) -> None:
    """See that a notebook is kept valid, without outputs, with at least so many cells of code."""
    found = nbformat.read(notebook, as_version=4)
    nbformat.validate(found)
    code = [cell for cell in found.cells if cell.cell_type == "code"]
    assert len(code) >= least
    for cell in code:
        ast.parse(cell.source)
        assert cell.outputs == []
        assert cell.execution_count is None


def run_notebook(notebook: Path, check: str) -> str:
    """Execute a notebook in a kernel, and ``check`` after it; give what it printed."""
    to_run = notebook.with_name("to_run.ipynb")
    found = nbformat.read(notebook, as_version=4)
    found.cells.append(nbformat.v4.new_code_cell(check))
    nbformat.write(found, to_run)
    run_python("-c", RUN_NOTEBOOK, to_run.name, cwd=notebook.parent)
    done = nbformat.read(to_run, as_version=4)
    outputs = (output for cell in done.cells for output in cell.get("outputs", []))
    return "".join(output.get("text", "") for output in outputs)
