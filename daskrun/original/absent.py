"""What stands for a name that daskrun lacks: it can be imported, and says why when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Never

from daskrun.core.notices import say_once
from daskrun.errors import DaskrunError, OriginalNameError

if TYPE_CHECKING:
    from collections.abc import Mapping


class _AbsentType(type):
    """Type of what stands for a class or function: who calls it, asks it, or derives is told."""

    _said: str

    def __new__(
        cls, name: str, bases: tuple[type, ...], namespace: Mapping[str, Any]
    ) -> _AbsentType:
        for base in bases:
            if isinstance(base, _AbsentType):
                base()
        return super().__new__(cls, name, bases, dict(namespace))

    def __call__(cls, *_: object, **__: object) -> Never:
        raise OriginalNameError(cls._said)

    if not TYPE_CHECKING:

        def __getattr__(cls, name):
            if name.startswith("__"):  # Python asks for some that are not set
                raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")
            raise OriginalNameError(cls._said)


def absent(full_name: str, message: str) -> type:
    """Return what stands for a name: a class of which there is no object.

    One of an exception can be caught, and is never raised.
    """
    module, _, name = full_name.rpartition(".")
    said = f"daskrun has no {full_name}: {message}"
    about = {"__module__": module, "__doc__": said}
    if name.endswith(("Exception", "Error")):
        return type(name, (DaskrunError,), about)
    return _AbsentType(name, (), {**about, "_said": said})


class Unused:
    """What is made with any arguments, and not used, which is said once."""

    _why = ""

    def __init__(self, *_: object, **__: object) -> None:
        say_once(f"{type(self).__name__} is not used: {self._why}")

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            raise OriginalNameError(f"daskrun has no {type(self).__name__}.{name}: {self._why}")


class AbstractAuthentication(Unused):
    """An account, which nothing is signed in to."""

    _why = (
        "there is no account to sign in to, and no address that requests could be sent to. Submit "
        "from Python: Experiment(ws, name).submit(pipeline)."
    )


class InteractiveLoginAuthentication(AbstractAuthentication):
    """A browser's window."""


class ServicePrincipalAuthentication(AbstractAuthentication):
    """A program's own account."""


class MsiAuthentication(AbstractAuthentication):
    """A machine's account."""


class AzureCliAuthentication(AbstractAuthentication):
    """The account of the ``az`` command."""


class TokenAuthentication(AbstractAuthentication):
    """A token."""


class ArcTokenAuthentication(AbstractAuthentication):
    """A token of a Kubernetes cluster."""
