"""A function in the place of an entry script: written to a file, with the code it needs."""

from __future__ import annotations

import atexit
import base64
import inspect
import linecache
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

PREFIX = "daskrun-function-"
NO_MODULES_OF_USERS = frozenset({"site-packages", "dist-packages"})
TEMPLATE = '''"""The function {name}, as it was when its ParallelRunConfig was made."""

import base64
import linecache
import pickle
import sys

if sys.version_info[:2] != {version}:
    raise RuntimeError(
        "the function {name} was stored by Python {version[0]}.{version[1]}, which no other Python "
        "can read. Put `%%writefile {name}.py` on top of its cell, and write "
        "entry_script='{name}.py'."
    )
try:
    import cloudpickle
except ImportError:
    raise RuntimeError(
        "the function {name} is stored by cloudpickle, which is not installed in this Python. Name "
        "cloudpickle in pip_packages of the environment."
    ) from None
if not linecache.getlines({file!r}):  # it is of another process
    lines = base64.b64decode({source!r}).decode().splitlines(keepends=True)
    linecache.cache[{file!r}] = (sum(map(len, lines)), None, lines, {file!r})
run = pickle.loads(base64.b64decode({code!r}))
if {file!r}:  # for tracebacks: cloudpickle may leave it out
    run.__code__ = run.__code__.replace(co_filename={file!r})
'''


def script_of(function: Callable[..., Any]) -> str:
    """Return the path of a file whose ``run()`` is a function; it goes when Python ends.

    What the function uses of the session, or of modules that are not installed, is in it as it is
    now. SettingsError is raised where that can't be stored.
    """
    name = getattr(function, "__name__", type(function).__name__)
    name = name if name.isidentifier() else "function"
    if isinstance(function, type):
        raise _refused(name, "it is a class")
    import cloudpickle  # Dask has it; most configs name a file

    try:
        with _by_value(_own_modules(function), cloudpickle):
            code = cloudpickle.dumps(function)
    except Exception as error:  # what it uses may raise anything
        raise _refused(name, f"{type(error).__name__}: {error}") from error
    file, source = _source_of(function)
    text = TEMPLATE.format(
        name=name,
        version=tuple(sys.version_info[:2]),
        file=file,
        source=base64.b64encode(source),
        code=base64.b64encode(code),
    )
    folder = tempfile.mkdtemp(prefix=PREFIX)
    atexit.register(_remove, folder, os.getpid())
    path = Path(folder, f"{name}.py")
    path.write_text(text, encoding="utf-8")
    return str(path)


def _source_of(function: Callable[..., Any]) -> tuple[str, bytes]:
    """Return the file of a function and its lines there, for tracebacks; others are empty."""
    code = getattr(function, "__code__", None)
    if code is None:
        return "", b""
    lines = inspect.getblock(linecache.getlines(code.co_filename)[code.co_firstlineno - 1 :])
    text = "\n" * (code.co_firstlineno - 1) + "".join(lines)
    return code.co_filename, text.encode("utf-8", "surrogateescape")


def _remove(folder: str, maker: int) -> None:
    if os.getpid() == maker:  # not with a copy that was forked
        shutil.rmtree(folder, ignore_errors=True)


def _refused(name: str, why: str) -> SettingsError:
    problem = (
        f"entry_script={name} can't be stored: {why}. Put `%%writefile {name}.py` on top of the "
        f"cell that defines it, with all it needs, and write entry_script='{name}.py'"
    )
    return SettingsError("ParallelRunConfig", [f"{problem}."])


def _own_modules(function: Callable[..., Any]) -> list[ModuleType]:
    """Return the modules that script processes can't import: the user's own files."""
    home = getattr(sys.modules.get(getattr(function, "__module__", "")), "__file__", None)
    folders = {os.getcwd(), *([os.path.dirname(home)] if home else [])}  # noqa: PTH109, PTH120
    return [
        module
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None) or "")
        and any(file.startswith(f"{folder}{os.sep}") for folder in folders)
        and NO_MODULES_OF_USERS.isdisjoint(Path(file).parts)
        and not file.startswith((sys.prefix, sys.base_prefix, _DASKRUN))
    ]


_DASKRUN = str(Path(__file__).parents[2])


@contextmanager
def _by_value(modules: list[ModuleType], cloudpickle: Any) -> Iterator[None]:
    """Have functions of modules stored as they are, not by name."""
    known = cloudpickle.list_registry_pickle_by_value()
    # One module may be there under two names, as `__main__` is as `__mp_main__` too.
    ours = {each.__name__: each for each in modules if each.__name__ not in known}
    for each in ours.values():
        cloudpickle.register_pickle_by_value(each)
    try:
        yield
    finally:
        for each in ours.values():
            cloudpickle.unregister_pickle_by_value(each)
