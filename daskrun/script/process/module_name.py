"""Under which name an entry script is imported, so that other processes can import it too.

What a script hands to a process that it starts anew (``multiprocessing`` with ``spawn``, joblib) is
found there by the name of its module. A file whose name is none, such as ``01-score.py``, has a
module of another name beside it; one that imports from its own package is a module of a package.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from daskrun.core.source import imports_relatively
from daskrun.storage.durable import write_whole

if TYPE_CHECKING:
    from daskrun.script.process_spec import ScriptFile

NAME = "entry_script"
"""Of the module of a script whose own name can't be one."""
PACKAGE = "entry_package"
"""Of the package of a script whose folder can't be one by its own name."""
MODULES = "modules"
"""Folder of a node's own, for modules that stand for others."""
STANDS_FOR = """\
__file__, __package__ = {shown!r}, {package!r}
with open({path!r}, "rb") as file:
    exec(compile(file.read(), __file__, "exec", dont_inherit=True))
"""


def module_name(script: ScriptFile, source: bytes, folder: Path | None) -> str:
    """Return the full name of a script's module, and have that there for other processes.

    ``folder`` is one of this node for modules that stand for others; None: there are no other
    processes. It comes last in ``sys.path``.
    """
    shown = Path(script.shown_as)
    own = shown.stem if _can_be_one(shown.stem) else ""
    package = _package_of(script, shown, own) if imports_relatively(source) else ""
    if package == PACKAGE:
        beside = [*dict.fromkeys((str(Path(script.path).parent), str(shown.parent)))]
        _make_package(beside)
        _lay(folder, f"{PACKAGE}/__init__.py", f"__path__ += {beside!r}\n")
        full = f"{PACKAGE}.{own or NAME}"
    else:
        full = own and (f"{package}.{own}" if package else own)
    if not own:
        told = STANDS_FOR.format(shown=script.shown_as, path=script.path, package=package)
        full = full or NAME
        _lay(folder, f"{full.replace('.', '/')}.py", told)
    return full


def _package_of(script: ScriptFile, shown: Path, own: str) -> str:
    """Return the package that a script is in: one that is there, if its own name may be in it."""
    parts = Path(os.path.relpath(shown.parent, script.root)).parts
    return ".".join(parts) if own and parts and all(map(str.isidentifier, parts)) else PACKAGE


def _can_be_one(name: str) -> bool:
    """Return whether a module may have a name: one called ``test`` must hide no other."""
    return name.isidentifier() and name not in sys.modules and name not in sys.stdlib_module_names


def _make_package(path: list[str]) -> None:
    """Have the package in this process; what another script's had is forgotten."""
    for name in [each for each in sys.modules if each.startswith(f"{PACKAGE}.")]:
        del sys.modules[name]
    made = ModuleType(PACKAGE)
    made.__path__ = path
    sys.modules[PACKAGE] = made


def _lay(folder: Path | None, name: str, text: str) -> None:
    """Have a module where other processes find it."""
    if folder is None:
        return
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, text.encode())  # other processes of the node write the same
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
