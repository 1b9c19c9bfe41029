"""Which files beside a script it imports: its results depend on them too."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALLS = frozenset({"import_module", "__import__"})
"""Functions that import what their first argument names."""
MADE = "__pycache__"


def imported_beside(script: Path, folder: Path) -> list[Path]:
    """Return the files of a folder that a script imports, directly or indirectly, sorted.

    They are found in the source, nothing is run: a name that is put together while the script runs
    is not seen. Of a package all files are returned. The script may lie in another folder.
    """
    found: set[Path] = set()
    new = [script]
    while new:
        names = _imported(new.pop())
        files = {file for name in names for file in _files_of(folder, name)} - found
        found |= files
        new += [file for file in files if file.suffix == ".py"]
    return sorted(found - {folder / script.name})


def _imported(file: Path) -> set[str]:
    """Return the first parts of the names that a file imports."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):  # the script itself will say so
        return set()
    return {name.partition(".")[0] for node in ast.walk(tree) for name in _named(node)}


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (each.name for each in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
        called = called.id if isinstance(called, ast.Name) else called
        if called in CALLS and isinstance(node.args[0].value, str):
            yield node.args[0].value


def _files_of(folder: Path, name: str) -> Iterator[Path]:
    """Yield the files of a module or package of that name; none where it is elsewhere."""
    yield from (file for file in (folder / f"{name}.py",) if file.is_file())
    yield from (file for file in folder.glob(f"{name}.*.so") if file.is_file())
    package = folder / name
    if name and package.is_dir():
        whole = (package / "__init__.py").is_file()
        files = package.rglob("*" if whole else "*.py")
        yield from (file for file in files if file.is_file() and MADE not in file.parts)
