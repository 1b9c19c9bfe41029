"""What only the original has of a class says what there is instead: members, and keywords."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any, Never, TypeVar

from daskrun.core.keywords import KEYWORDS, Keyword
from daskrun.core.lacking import LACKING
from daskrun.errors import DaskrunError, OriginalNameError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

C = TypeVar("C")
LONGEST = 80
"""Characters of a value in a message."""


class Lacking:
    """Stands in a class for a member that it lacks.

    Parameters
    ----------
    name
        Of class and member.
    message
        What there is instead.
    """

    def __init__(self, name: str, message: str) -> None:
        self._message = f"daskrun has no {name}: {message}"

    def __get__(self, instance: object, owner: type | None = None) -> Never:
        """Return what there is instead, whether the class is asked or an object of it.

        Raises
        ------
        OriginalNameError
            Always: an AttributeError, so that ``hasattr`` says no.
        """
        raise OriginalNameError(self._message)

    def __set__(self, instance: object, value: object) -> None:
        """Say it too where it is set, which nobody would look at.

        Raises
        ------
        OriginalNameError
            Always.
        """
        raise OriginalNameError(self._message)


class OriginalClass:
    """Base of the classes that have their name from the original.

    Examples
    --------
    >>> class Model(OriginalClass):
    ...     "As the original's, but for some of its members and keywords."
    ...
    ...     def download(self, target_dir="."):
    ...         return target_dir
    >>> Model.get_sas_urls
    Traceback (most recent call last):
    ...
    daskrun.errors.OriginalNameError: daskrun has no Model.get_sas_urls: see model.path.
    >>> hasattr(Model(), "get_sas_urls")
    False
    >>> Model().download(exists_ok=True)
    Traceback (most recent call last):
    ...
    daskrun.errors.SettingsError: download: exists_ok=True: write exist_ok=True.
    """

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        there = {name for base in cls.__mro__ for name in vars(base)}
        for name, message in LACKING.get(cls.__name__, {}).items():
            if name not in there:
                setattr(cls, name, Lacking(f"{cls.__name__}.{name}", message))
        with_keywords(cls)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not _lacks(type(self), name)]


def with_keywords(cls: type[C]) -> type[C]:
    """Have the calls of a class say what there is instead of keywords that only the original has.

    Done of each :class:`OriginalClass`. Those that ``dataclass`` makes the constructor of need it
    once more, as a decorator before that one.
    """
    for call, keywords in KEYWORDS.items():
        owner, _, method = call.partition(".")
        if any(base.__name__ == owner for base in cls.__mro__):
            for name in (method,) if method else ("__new__", "__init__"):
                _with_keywords(cls, name, call, keywords)
    return cls


def _with_keywords(cls: type, name: str, call: str, keywords: dict[str, Keyword]) -> None:
    found = vars(cls).get(name)
    function = found.__func__ if isinstance(found, staticmethod) else found
    if not inspect.isfunction(function) or hasattr(function, "__wrapped__"):
        return
    own = inspect.signature(function).parameters
    if any(each.kind is each.VAR_KEYWORD for each in own.values()):
        return  # it takes any, and knows what for
    others = {keyword: said for keyword, said in keywords.items() if keyword not in own}
    static = isinstance(found, staticmethod)
    constructs = name in ("__new__", "__init__")
    subject = cls.__name__ if constructs else call if static else name
    said = _saying(function, subject, others, starts_nothing=name == "__init__")
    setattr(cls, name, staticmethod(said) if static else said)


def _saying(
    function: Callable[..., Any],
    subject: str,
    keywords: dict[str, Keyword],
    *,
    starts_nothing: bool,
) -> Callable[..., Any]:
    """Return a function that names what is wrong with keywords it lacks."""

    @wraps(function)
    def checked(*args: Any, **given: Any) -> Any:
        asked = {name: given.pop(name) for name in [*given] if name in keywords}
        problems = [
            f"{name}={_shown(name, value)}: {keywords[name].message}"
            for name, value in asked.items()
            if not keywords[name].is_so(value)
        ]
        if not problems:
            return function(*args, **given)
        if starts_nothing:  # and knows what else is wrong
            problems = [*_problems_of(function, args, given), *problems]
        raise SettingsError(subject, problems)

    return checked


def _problems_of(function: Callable[..., Any], args: Any, given: Any) -> list[str]:
    """Return what is wrong with the other arguments, as far as they can be looked at."""
    try:
        function(*args, **given)
    except SettingsError as error:
        return list(error.problems)
    except DaskrunError as error:
        return [str(error)]
    except TypeError:  # the keyword stands for one that is missing now
        pass
    return []


def _shown(name: str, value: object) -> str:
    """Return a value as it was typed, in one line; none that is a secret."""
    if "password" in name or "ssh_key" in name:
        return "..."
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _lacks(kind: type, name: str) -> bool:
    """Return whether what a class has of a name says only that there is none."""
    return any(isinstance(vars(base).get(name), Lacking) for base in kind.__mro__)
