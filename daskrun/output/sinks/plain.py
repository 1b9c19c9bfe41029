"""Text of results that hold numpy's arrays and numbers: whole, in one line, numbers as numbers.

``str()`` of an array breaks lines at 75 characters and leaves out what is in the middle of a long
one; in a tuple numpy's 0.5 is ``np.float64(0.5)``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types that no array is in."""
_BREAK = re.compile(r"\s*\n\s*")


def whole_arrays() -> AbstractContextManager[object]:
    """Return a context in which arrays have their whole text, and numbers that of Python's."""
    numpy = sys.modules.get("numpy")
    if numpy is None:  # then there is no array
        return nullcontext()
    # Before numpy 2 numbers were plain ones.
    plain = {"legacy": "1.25"} if numpy.lib.NumpyVersion(numpy.__version__) >= "2.0.0" else {}
    if numpy.get_printoptions()["legacy"]:  # the user's choice
        plain = {}
    most = sys.maxsize
    context: AbstractContextManager[object] = numpy.printoptions(
        threshold=most, linewidth=most, **plain
    )
    return context


def may_hold_arrays(values: Iterable[Any]) -> bool:
    """Return whether some values aren't of Python's simplest types, in a process with numpy."""
    return "numpy" in sys.modules and not PLAIN.issuperset(map(type, values))


def one_line(value: Any) -> str:
    """Return the text of a value, in one line where arrays alone have broken it."""
    text = str(value)
    return _BREAK.sub(" ", text) if "\n" in text and holds_array(value) else text


def holds_array(value: Any) -> bool:
    """Return whether a value is an array, a Series and the like, or a list or dict with one."""
    if isinstance(value, str | bytes):
        return False
    if hasattr(value, "__array__"):
        return bool(getattr(value, "ndim", 1))  # numpy's numbers have it too
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return False
    return any(map(holds_array, value))
