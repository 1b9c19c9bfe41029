"""The structure of the package, held against what was agreed: circles, size, imports by name.

The numbers may fall and never rise: whoever lowers a count writes it here. What there is now is
shown by ``python tests/test_structure.py``.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINES_OF_A_FILE = 400
LONG_FILES = 0
UNTYPED = 40
"""``dict[str, Any]`` in the package."""
JSON = 125
"""``JsonObject``, the name of the same for what a codec reads and writes."""
BY_NAME = {
    "daskrun.core.plugins",
}
"""Modules that may import others by a name in a string."""
CIRCLES = 1
"""Groups of modules that import each other, in functions and for types too."""
LARGEST_CIRCLE = 6


def modules() -> dict[str, Path]:
    """Return the modules of the package by name."""
    named = {}
    for path in sorted((ROOT / "daskrun").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        named[name.removesuffix(".__init__")] = path
    return named


def imported(tree: ast.AST, known: dict[str, Path]) -> set[str]:
    """Return the modules of the package that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in known else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & set(known)


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules that import each other, the largest first."""
    reach = {name: _reached(graph, name) for name in graph}
    groups = {
        tuple(sorted(other for other in reach[name] if name in reach[other])) for name in graph
    }
    return sorted((list(group) for group in groups if len(group) > 1), key=len, reverse=True)


def _reached(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for name in graph[waiting.pop()] - seen:
            seen.add(name)
            waiting.append(name)
    return seen


def imports_by_name(tree: ast.AST) -> bool:
    """Return whether a module loads another by a name in a string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in {"import_module", "__import__"}:
                return True
    return False


def found() -> tuple[dict[str, str], dict[str, ast.Module]]:
    """Return text and syntax tree of each module."""
    texts = {name: path.read_text(encoding="utf-8") for name, path in modules().items()}
    return texts, {name: ast.parse(text) for name, text in texts.items()}


def all_circles(trees: dict[str, ast.Module]) -> list[list[str]]:
    """Return the circles of imports in the package, the largest first."""
    known = modules()
    return circles({name: imported(tree, known) - {name} for name, tree in trees.items()})


def untyped(texts: dict[str, str]) -> Counter[str]:
    """Return how often each module says ``dict[str, Any]``."""
    return Counter({name: text.count("dict[str, Any]") for name, text in texts.items()})


def long_files(texts: dict[str, str]) -> dict[str, int]:
    """Return the modules that are too long to be held in the head, with their lines."""
    lines = {name: text.count("\n") for name, text in texts.items()}
    return {name: count for name, count in lines.items() if count > LINES_OF_A_FILE}


@pytest.mark.slow
def test_circles_of_imports_do_not_grow() -> None:
    groups = all_circles(found()[1])
    assert len(groups) <= CIRCLES, groups
    assert max(map(len, groups), default=0) <= LARGEST_CIRCLE, groups[0]


@pytest.mark.slow
def test_only_plugins_and_lazy_names_are_imported_by_name() -> None:
    trees = found()[1]
    assert {name for name, tree in trees.items() if imports_by_name(tree)} <= BY_NAME


@pytest.mark.slow
def test_untyped_dictionaries_do_not_grow() -> None:
    texts = found()[0]
    counts = untyped(texts)
    assert counts.total() <= UNTYPED, counts.most_common(20)
    assert sum(text.count("JsonObject") for text in texts.values()) <= JSON


@pytest.mark.slow
def test_files_can_be_held_in_the_head() -> None:
    assert len(long_files(found()[0])) <= LONG_FILES, long_files(found()[0])


@pytest.mark.slow
def test_nothing_depends_on_what_a_user_has_seeded() -> None:
    # A script that seeds `random` in each of its processes would have them make the same names.
    # A generator of one's own, `random.Random(seed)`, is another thing, and so is a sample of data
    # for which the user has given no seed but this one.
    seeded = re.compile(r"^\s*from random\b|\brandom\.(?!Random\b)\w+\(", re.MULTILINE)
    found_in = [name for name, text in found()[0].items() if seeded.search(text)]
    assert found_in == ["daskrun.data.selection"]


def test_a_circle_is_found_wherever_the_import_is(tmp_path: Path) -> None:
    source = "def f():\n    from daskrun.b import g\n"
    known = {"daskrun.a": tmp_path, "daskrun.b": tmp_path, "daskrun.c": tmp_path}
    graph = {
        "daskrun.a": imported(ast.parse(source), known),
        "daskrun.b": imported(ast.parse("from daskrun import a, c"), known),
        "daskrun.c": set(),
    }
    assert circles(graph) == [["daskrun.a", "daskrun.b"]]
    assert imports_by_name(ast.parse("import importlib\nimportlib.import_module('x')"))


if __name__ == "__main__":
    texts, trees = found()
    print(f"{sum(t.count(chr(10)) for t in texts.values()):,} lines in {len(texts)} files")
    print(f"{untyped(texts).total()} dict[str, Any]: {untyped(texts).most_common(12)}")
    print(f"files over {LINES_OF_A_FILE} lines: {long_files(texts)}")
    print(f"imports by name: {sorted(n for n, t in trees.items() if imports_by_name(t))}")
    for group in all_circles(trees):
        print(f"circle of {len(group)}: {', '.join(group)}")
