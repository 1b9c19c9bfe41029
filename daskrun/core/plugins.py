"""Code that is loaded by its name: the only place, beside lazy packages, that does so.

There are three kinds of names. A *reference*, ``module:attribute``, names code of a lower floor
that is loaded late because it is expensive. A *link* is a name that a lower floor knows and that
``daskrun/__init__.py``, which lies outside the floors, binds to a reference on a higher one. An
*entry point* is what an installed package registers for one of daskrun's groups.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from daskrun.errors import DaskrunError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from importlib.metadata import EntryPoint

_groups: dict[str, dict[str, EntryPoint]] = {}


def load(reference: str) -> Any:
    """Return what ``module:attribute`` names; DaskrunError if there is no such one.

    An error of the module's own code is raised as it is.

    Examples
    --------
    >>> load("math:sqrt")(16)
    4.0
    >>> load("math:sqare")
    Traceback (most recent call last):
    ...
    daskrun.errors.DaskrunError: 'math:sqare' can't be loaded: module 'math' has no 'sqare'.
    """
    module, _, attribute = reference.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there and imports something that isn't
        why = f"there is no module {error.name!r}"
        raise DaskrunError(f"{reference!r} can't be loaded: {why}.") from error
    except AttributeError as error:
        if getattr(error, "name", attribute) != attribute:
            raise
        why = f"module {module!r} has no {attribute!r}"
        raise DaskrunError(f"{reference!r} can't be loaded: {why}.") from error


class LazyModule:
    """A module that is imported when something of it is first used; then as fast as itself.

    Examples
    --------
    >>> LazyModule("math").sqrt(16)
    4.0
    """

    def __init__(self, name: str) -> None:
        self._module = name

    def __getattr__(self, name: str) -> Any:
        value = getattr(import_module(self._module), name)
        setattr(self, name, value)  # the next use finds it without coming here
        return value


def linked(name: str) -> Any:
    """Return what ``daskrun/__init__.py`` binds to the name of a link."""
    return load(sys.modules["daskrun"].LINKS[name])


def entry_points(group: str) -> Mapping[str, EntryPoint]:
    """Return by name what installed packages register for a group; looked up once per process.

    ``entry_points(group)[name].load()`` imports one. The first call takes some 20 ms, for
    ``importlib.metadata``.
    """
    if group not in _groups:
        from importlib.metadata import entry_points

        _groups[group] = {each.name: each for each in entry_points(group=group)}
    return _groups[group]


def lazy(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package whose names are loaded at first use.

    ``homes`` has by exported name the full name of the module that it is in.
    """

    def attribute(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)  # the next use finds it without coming here
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return attribute, names
