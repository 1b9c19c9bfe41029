"""What the script finds around it where it runs in this process, put back after."""

from __future__ import annotations

import contextlib
import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.plugins import linked
from daskrun.script import context

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from daskrun.script.process_spec import ProcessSpec


@contextlib.contextmanager
def surroundings(spec: ProcessSpec, variables: Mapping[str, str]) -> Iterator[None]:
    """Set the path, arguments, ``variables``, names and context a script expects; put them back."""
    argv, path, environment = sys.argv[:], sys.path[:], dict(os.environ)
    modules, outside = set(sys.modules), context.current()
    sys.argv[:] = spec.argv
    sys.path[:] = [*spec.sys_path, *sys.path]
    if output := spec.context.output_dir:
        os.environ["AZUREML_BI_OUTPUT_PATH"] = os.environ["DASKRUN_OUTPUT_PATH"] = output
    os.environ.update(variables)
    context.enter(spec.context)
    take_back = linked("script_names")()
    try:
        yield
    finally:
        take_back()
        context.enter(outside)
        own = [*spec.sys_path, *(each for each in sys.path if each not in path)]
        sys.argv[:], sys.path[:] = argv, path
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update(environment)
        for name in set(sys.modules) - modules:
            if _is_users(sys.modules[name], spec.script.shown_as, own):
                _forget(name)  # the next run may bring another version of it


def _is_users(module: Any, script: str, own: list[str]) -> bool:
    """Return whether a module is the user's own source: the script, or a file that came with it.

    That is what lies in the folders of ``own``, which the script has on its path or has put there.

    An environment may lie in the script's folder. What is installed there is not forgotten: numpy
    can't be loaded twice, and a second copy of daskrun's own modules would not know of the first.
    """
    known = getattr(module, "__dict__", {})  # an attribute would have a lazy module load itself
    place = str(known.get("__file__") or next(iter(known.get("__path__") or ()), ""))
    if place == script:
        return True
    if place.endswith(tuple(EXTENSION_SUFFIXES)):
        return False
    if not {"site-packages", "dist-packages"}.isdisjoint(Path(place).parts):
        return False
    others = [*sys.path, sys.prefix, sys.base_prefix, str(Path(__file__).parents[1])]
    # Of folders inside one another the innermost says whose it is; the script's own comes first.
    return _depth(place, own) >= max(1, _depth(place, others))


def _depth(place: str, folders: list[str]) -> int:
    """Length of the innermost of ``folders`` that holds ``place``, 0 when none does."""
    return max((len(f) for f in folders if f and place.startswith(f"{f}{os.sep}")), default=0)


def _forget(name: str) -> None:
    """Take a module out of this process, also as an attribute of its package."""
    module = sys.modules.pop(name)
    package, _, last = name.rpartition(".")
    if getattr(sys.modules.get(package), last, None) is module:
        delattr(sys.modules[package], last)
