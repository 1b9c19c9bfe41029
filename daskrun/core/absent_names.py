"""Errors for members and keywords that the original has and a class of the public API lacks.

What the original has is not known here: a link leads to its catalogue when something is missing.
"""

from __future__ import annotations

import inspect
import sys
from functools import wraps
from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Never, Protocol, TypeVar

from daskrun.core.arguments import check_call
from daskrun.core.notices import say_once
from daskrun.core.plugins import linked
from daskrun.core.settings import close_to
from daskrun.errors import DaskrunError, OriginalNameError, SettingsError

if TYPE_CHECKING:
    from abc import ABCMeta as BaseMeta
    from collections.abc import Callable, Iterable, Mapping
else:
    BaseMeta = type(Protocol)  # so that such a class can also implement a protocol

F = TypeVar("F", bound="Callable[..., Any]")
PROBED = ("__", "_repr_", "_ipython_", "_is_", "_render_")
"""What private names begin with that Python and notebooks ask any object for."""
LONGEST = 80
"""Characters of a value in a message."""


def _check_member(kind: type, name: str) -> None:
    """Raise OriginalNameError if the original has a member that a class lacks."""
    # what is declared is only not set yet; dataclass() asks the class for the default of each
    if not name.startswith("_") and not any(
        name in getattr(base, "__annotations__", ()) for base in kind.__mro__
    ):
        said = linked("original_member")([base.__name__ for base in kind.__mro__], name)
        if said is not None:
            raise OriginalNameError(said)


def _present(kind: type, names: Iterable[str]) -> list[str]:
    found = inspect.getattr_static
    return [name for name in names if not isinstance(found(kind, name, None), _Absent)]


class OriginalMeta(BaseMeta):
    """Type of the classes that have their name from the original: asked for static members."""

    def __dir__(self) -> list[str]:
        return _present(self, super().__dir__())

    if not TYPE_CHECKING:  # so that a misspelt name is still an error of types

        def __getattr__(self, name):
            _check_member(self, name)
            message = f"type object {self.__name__!r} has no attribute {name!r}"
            raise AttributeError(message, name=name, obj=self)


class OriginalClass(metaclass=OriginalMeta):
    """Base of the classes that have their name from the original.

    Parameters
    ----------
    absent
        Names, apart by spaces, of members that it lacks and users of the original assign: that
        raises what reading one does.
    unused
        Likewise of members of which nothing is used, by their names why: what is assigned there is
        not kept, which is said once.

    Examples
    --------
    >>> class Model(OriginalClass):
    ...     "As the original's, but for some of its members and keywords."
    ...
    ...     @original_keywords
    ...     def download(self, exist_ok=False):
    ...         return exist_ok
    >>> Model.get_sas_urls
    Traceback (most recent call last):
    ...
    daskrun.errors.OriginalNameError: daskrun has no Model.get_sas_urls: see model.path.
    >>> hasattr(Model(), "get_sas_urls")
    False
    >>> Model().download(exists_ok=True)
    True
    """

    __slots__ = ()
    _is_protocol = False  # asked of it by isinstance()

    def __init_subclass__(cls, absent: str = "", unused: Mapping[str, str] | None = None) -> None:
        super().__init_subclass__()
        for name in absent.split():
            setattr(cls, name, _Absent(name))
        for names, why in (unused or {}).items():
            for name in names.split():
                setattr(cls, name, _Unused(name, f"{cls.__name__}.{name} is not used: {why}"))
        for name, value in list(vars(cls).items()):
            if not name.startswith("_") or name in ("__init__", "__new__"):
                _look_at_calls(cls, name, value)

    def __dir__(self) -> list[str]:
        return _present(type(self), super().__dir__())

    def __setattr__(self, name: str, value: object) -> None:
        try:
            super().__setattr__(name, value)
        except AttributeError as error:
            public = [each for each in dir(self) if not each.startswith("_")]
            raise OriginalNameError(f"{error}. {close_to(name, public)}") from None

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            _check_member(type(self), name)
            try:
                return object.__getattribute__(self, name)  # once more, for Python's own error
            except AttributeError as error:
                if not name.startswith("_") or name.startswith(PROBED):
                    raise
                own = "names that begin with _ are the SDK's own. Leave it out."
                raise OriginalNameError(f"{error}: {own}") from None


class _Absent:
    """Stands in a class for a member that it lacks and that users would set."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> Never:
        _check_member(owner, self._name)
        raise AttributeError(self._name)

    def __set__(self, instance: object, value: object) -> None:
        self.__get__(instance, type(instance))


class _Unused(_Absent):
    """Stands in a class for a member of which nothing is used: what is set there is not kept."""

    def __init__(self, name: str, said: str) -> None:
        super().__init__(name)
        self._said = said

    def __get__(self, instance: object, owner: type) -> Any:
        say_once(self._said)
        return SimpleNamespace()

    def __set__(self, instance: object, value: object) -> None:
        say_once(self._said)


def original_keywords(call: F) -> F:
    """Decorate a function, or a class's constructor, whose keywords only the original has.

    The catalogue has them by ``Class``, or ``Class.function``: each has another name here, or is
    left out, which is said once, or raises what to write instead.
    """
    if isinstance(call, type):
        name = "__new__" if "__new__" in vars(call) else "__init__"
        setattr(call, name, original_keywords(vars(call)[name]))
        return call

    @wraps(call)
    def checked(*args: Any, **given: Any) -> Any:
        try:
            return call(*args, **given)
        except TypeError:
            rest = _without_absent(call, args, given)
            check_call(call, args, given if rest is None else rest)
            if rest is None:
                raise
        return call(*args, **rest)

    return checked  # type: ignore[return-value]  # the same signature


_CHECKED = original_keywords(lambda: None).__code__


def _look_at_calls(cls: type, name: str, value: object) -> None:
    """Have calls of a public method looked at; that of a property, of data, stays as it is."""
    kind = type(value) if isinstance(value, staticmethod | classmethod) else None
    function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
    if isinstance(function, FunctionType) and function.__code__ is not _CHECKED:
        checked = original_keywords(function)
        setattr(cls, name, kind(checked) if kind is not None else checked)


def _without_absent(
    function: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]
) -> dict[str, Any] | None:
    """Return the keywords as they are here, where some are only the original's; else None.

    SettingsError where one has a value that says something else than is the case.
    """
    own = inspect.signature(function).parameters
    if "." not in function.__qualname__:  # one of daskrun's own
        return None
    *_, owner, name = function.__qualname__.split(".")
    method = "" if name in ("__new__", "__init__") else f".{name}"
    calls = [f"{each}{method}" for each in _kinds(function, owner, args, with_self="self" in own)]
    ask = linked("original_keyword")
    found = {each: ask(calls, each) for each in given if each not in own}
    found = {each: keyword for each, keyword in found.items() if keyword is not None}
    if not found:
        return None
    rest = {each: value for each, value in given.items() if each not in found}
    problems = []
    for each, keyword in found.items():
        shown = f"{each}={_shown(each, given[each])}"
        if keyword.here:
            if keyword.here in rest:
                problems.append(f"{shown}: {keyword.here}= says the same. Leave one of them out.")
            rest[keyword.here] = given[each]
        elif text := keyword.problem(given[each]):
            problems.append(f"{shown}: {text}")
        elif keyword.is_told(given[each]):
            known = next(call for call in calls if ask([call], each) is not None)
            say_once(f"{known}: {each} is not used: {keyword.message}")
    if problems:
        if name == "__init__":  # it starts nothing, and knows what else is wrong
            problems = [*_problems_of(function, args, rest), *problems]
        subject = name if method and "self" in own else f"{owner}{method}"
        raise SettingsError(subject, problems) from None
    return rest


def _kinds(
    function: Callable[..., Any], owner: str, args: tuple[Any, ...], *, with_self: bool
) -> list[str]:
    """Return the names of the classes of which the original may have a call, in their order."""
    kind = getattr(sys.modules[function.__module__], owner, None)  # none where it is a local class
    classes: list[type] = [*kind.__mro__] if isinstance(kind, type) else []
    if with_self and args:
        classes = [*type(args[0]).__mro__]
    elif isinstance(kind, type):  # the original may have it in one of these
        below: list[type] = kind.__subclasses__()
        for each in below:
            below += each.__subclasses__()
        classes += below
    return [each.__name__ for each in classes] or [owner]


def _problems_of(
    function: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]
) -> list[str]:
    """Return what is wrong with the other arguments, as far as they can be looked at."""
    try:
        function(*args, **given)
    except SettingsError as error:
        return list(error.problems)
    except DaskrunError as error:
        return [str(error)]
    except TypeError:  # the keyword stands for one that is missing now
        return []
    return []


def _shown(name: str, value: object) -> str:
    """Return a value as it was typed, in one line; none that is a secret."""
    if "password" in name or "ssh_key" in name:
        return "..."
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
