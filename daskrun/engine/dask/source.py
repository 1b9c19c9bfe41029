"""Objects that travel as source text, for processes of which nothing is known yet.

A function or class that is pickled by value travels as bytecode, which ends an interpreter of
another version. Text is compiled where it arrives.
"""

from __future__ import annotations

import inspect
import pickle
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

MAKE = "exec(source, made) or made[name](*arguments)"


class _Made:
    """Stands for what is made where it is unpickled."""

    def __init__(self, **names: Any) -> None:
        self._names = names

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (MAKE, self._names)


def pickled_as_source(module: ModuleType, name: str, *arguments: object) -> bytes:
    """Pickle a call of what a module has by that name as the module's text.

    The module may import only what is wherever that arrives.

    Examples
    --------
    >>> import fractions
    >>> pickle.loads(pickled_as_source(fractions, "Fraction", 6, 4))
    Fraction(3, 2)
    """
    made = {"__name__": name}  # the classes' module there
    source = inspect.getsource(module)
    return pickle.dumps(_Made(source=source, made=made, name=name, arguments=arguments), 5)
