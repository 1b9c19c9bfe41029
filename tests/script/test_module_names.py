"""Scripts whose names, or imports, are not those of ordinary modules."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from daskrun.script.process.entry import EntryModule
from daskrun.script.process_spec import ScriptFile

POOL = """
    import multiprocessing
    {imports}
    def double(n):
        return 2 * {number}
    def run(mini_batch):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.map(double, [1, 2])
"""


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    path, before = sys.path[:], dict(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    sys.modules.update(before)


def laid(tmp_path, name, code):
    """Lay a script into a snapshot, which comes first on the path, with modules beside it."""
    root = tmp_path / "root"
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    (file.parent / "beside.py").write_text("def told():\n    return 21\n")
    (root / "above.py").write_text("NAME = 'above'\n")
    file.write_text(textwrap.dedent(code))
    sys.path[:0] = [str(root)]
    return ScriptFile(str(file), str(file), str(root))


@pytest.mark.parametrize(
    ("name", "line", "expected"),
    [
        ("score.py", "from .beside import told", ("entry_package.score", 21)),
        ("score.py", "from . import beside; told = beside.told", ("entry_package.score", 21)),
        ("01-score.py", "from .beside import told", ("entry_package.entry_script", 21)),
        ("steps/night/score.py", "from .beside import told", ("steps.night.score", 21)),
        ("steps/01-score.py", "from .beside import told", ("entry_package.entry_script", 21)),
        ("score.v2.py", "from beside import told", ("entry_script", 21)),
        ("json.py", "from beside import told", ("entry_script", 21)),
        ("my_score.py", "from beside import told", ("my_score", 21)),
    ],
)
def test_what_a_script_is_imported_as(tmp_path, name, line, expected):
    code = f"{line}\ndef run(mini_batch):\n    return [told()]\n"
    script = laid(tmp_path, name, code)
    module = EntryModule(script, tmp_path / "modules")
    assert (module.module.__name__, module.run([])[0]) == expected
    again = (
        f"import sys, importlib; sys.path[:] = {sys.path!r}\n"
        f"print(importlib.import_module({expected[0]!r}).run([])[0], end='')"
    )
    done = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True)
    assert done.stdout == "21", done.stderr


def test_another_script_has_a_package_of_its_own(tmp_path):
    code = "from .beside import told\ndef run(mini_batch):\n    return [told()]\n"
    first = EntryModule(laid(tmp_path / "a", "score.py", code))
    script = laid(tmp_path / "b", "score.py", code)
    (tmp_path / "b" / "root" / "beside.py").write_text("def told():\n    return 42\n")
    assert (first.run([]), EntryModule(script).run([])) == ([21], [42])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "imports", "number"),
    [("01-score.py", "", "n"), ("score.py", "from .beside import told", "told()")],
)
def test_pools_that_are_spawned_find_it(tmp_path, name, imports, number):
    """In a process of its own, as a script has it: the pool looks at its main module."""
    script = laid(tmp_path, name, POOL.format(imports=imports, number=number))
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\nfrom pathlib import Path\n"
        "from daskrun.script.process.entry import EntryModule\n"
        "from daskrun.script.process_spec import ScriptFile\n"
        "if __name__ == '__main__':\n"
        f"    sys.path[:0] = [{script.root!r}]\n"
        f"    script = ScriptFile({script.path!r}, {script.path!r}, {script.root!r})\n"
        f"    print(EntryModule(script, Path({str(tmp_path)!r}, 'modules')).run([]))\n"
    )
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, env=os.environ, timeout=60
    )
    assert done.stdout == ("[2, 4]\n" if number == "n" else "[42, 42]\n"), done.stderr
