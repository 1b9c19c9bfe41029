"""What can be seen in the source of a script without running it."""

from __future__ import annotations

import ast
import threading

_lock = threading.Lock()
"""Python 3.11 may raise SystemError where two threads parse at once."""


def parsed(source: bytes) -> ast.Module | None:
    """Return the tree of a source; None where it is none, which its import says better."""
    try:
        with _lock:
            return ast.parse(source)
    except (SyntaxError, ValueError):
        return None


def parser_options(source: bytes) -> set[str]:
    """Return the options that a source has ``argparse`` look for.

    Where it adds some by a variable, those are all its texts that may be options.

    Examples
    --------
    >>> parser_options(b"parser.add_argument('--rows', '-r', type=int)") == {"--rows", "-r"}
    True
    """
    tree = parsed(source)
    nodes = [] if tree is None else list(ast.walk(tree))
    calls = (each for each in nodes if isinstance(each, ast.Call))
    added = [each for each in calls if getattr(each.func, "attr", "") == "add_argument"]
    named: list[ast.AST] = [each for call in added for each in call.args]
    if not all(isinstance(each, ast.Constant) for each in named):
        named = nodes
    values = (each.value for each in named if isinstance(each, ast.Constant))
    return {each for each in values if isinstance(each, str) and each.startswith("-")}


def imports_relatively(source: bytes) -> bool:
    """Return whether a source imports from the package that it is in.

    Examples
    --------
    >>> imports_relatively(b"from .model import load"), imports_relatively(b"import model")
    (True, False)
    """
    if b"from" not in source or b"import" not in source:
        return False
    tree = parsed(source)
    nodes = [] if tree is None else ast.walk(tree)
    return any(isinstance(each, ast.ImportFrom) and each.level > 0 for each in nodes)
