"""Errors for calls whose arguments a function doesn't take."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from daskrun.errors import WrongArgumentsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
FEW = 12
"""Names that are listed where none is near."""


def check_call(function: Callable[..., Any], args: tuple[Any, ...], given: Iterable[str]) -> None:
    """Raise WrongArgumentsError where a call has keywords that don't exist, or lacks arguments.

    Asked after the call has raised a TypeError, which may be of the function's own making.
    """
    parameters = inspect.signature(function).parameters
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return
    known = [name for name, each in parameters.items() if each.kind in KEYWORDS and name != "self"]
    known = [name for name in known if name != "cls"]
    problems = [
        f"{name} is no argument of it. {_near(name, known)}" for name in given if name not in known
    ]
    if not problems and not args[1:]:
        problems = _missing(parameters, len(args), set(given))
    if problems:
        raise WrongArgumentsError(_name(function), problems) from None


def _missing(
    parameters: Mapping[str, inspect.Parameter], places: int, given: set[str]
) -> list[str]:
    required = [
        name
        for name, each in list(parameters.items())[places:]
        if each.default is inspect.Parameter.empty and each.kind in KEYWORDS
    ]
    return [f"{name} is missing. Write {name}=..." for name in required if name not in given]


def _near(name: str, known: list[str]) -> str:
    """Return which name may be meant, or which there are."""
    import difflib  # only where something is misspelt

    if near := difflib.get_close_matches(name, known, n=1):
        return f"Write {near[0]}=..."
    if not known:
        return "It has none."
    more = f" and {len(known) - FEW} more" if len(known) > FEW else ""
    return f"There are {', '.join(known[:FEW])}{more}."


def _name(function: Callable[..., Any]) -> str:
    """Return what a user calls it by: a class, ``Class.method``, a function."""
    name = function.__qualname__.rpartition("<locals>.")[2]
    return name.removesuffix(".__init__").removesuffix(".__new__")
