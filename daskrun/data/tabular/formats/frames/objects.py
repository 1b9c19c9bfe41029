"""Python objects in a frame: of one kind at each depth; pyarrow would change some that are not."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from daskrun.data.libraries import np, pd
from daskrun.data.tabular.values.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable


def mixed(values: Iterable[Any], path: str = "", *, moments: bool = False) -> str:
    """Return which kinds of values are beside each other that must not be; ``""``: none are.

    ``moments``: dates may be beside dates with a time, with a zone or without: others see to that.

    Examples
    --------
    >>> mixed([1, 0.5, None]), mixed([b"x", "x"]), mixed([{"a": [True]}, {"a": [0]}])
    ('', '(bytes, str)', '(bool, int) at .a[]')
    """
    values = [value for value in values if value is not None]
    types: list[Any] = list(dict.fromkeys(map(type, values)))
    kinds: dict[object, str] = {}
    for found in types:
        kinds.setdefault(_kind(found), found.__name__)
    kinds.pop(Kind.NULL, "")
    if len(kinds) > 1 and Kind.FLOAT in kinds and _all_nan(values):
        del kinds[Kind.FLOAT]
    if told := _beside(kinds, values, moments):
        return f"({told}){f' at {path}' if path else ''}"
    if Kind.LIST in kinds:
        lists = (_inside(v) for v in values if isinstance(v, list | tuple | set | np.ndarray))
        return mixed(chain.from_iterable(lists), f"{path}[]")
    fields: dict[Any, list[Any]] = {}
    for value in values if Kind.STRUCT in kinds else ():
        for key, inner in value.items() if isinstance(value, dict) else ():
            fields.setdefault(key, []).append(inner)
    return next(filter(None, (mixed(v, f"{path}.{key}") for key, v in fields.items())), "")


def _beside(kinds: dict[object, str], values: list[Any], moments: bool) -> str:
    alike = len(kinds) < 2 or any(kinds.keys() <= each for each in _TOGETHER)
    if not alike or (len(kinds) > 1 and Kind.DATE in kinds and not moments):
        return ", ".join([*kinds.values()][:4])
    if moments or not kinds.keys() & {Kind.NAIVE, Kind.TIME}:
        return ""
    zoned = {getattr(v, "tzinfo", None) is not None for v in values if v == v}
    if Kind.TIME in kinds and True in zoned:
        return "times of day with a zone"
    return "some with a zone, some without" if len(zoned) > 1 else ""


_TOGETHER = (
    frozenset({Kind.WHOLE, Kind.FLOAT}),
    frozenset({Kind.WHOLE, Kind.EXACT}),
    frozenset({Kind.DATE, Kind.NAIVE}),
)
"""Kinds that are joined exactly, or told by pyarrow."""


@lru_cache(maxsize=1024)
def _kind(found: Any) -> object:
    """Return the kind of a type's values; the type itself where it is none of those known."""
    kinds: dict[Kind, Any] = {
        Kind.NULL: (type(pd.NA), type(pd.NaT)),
        Kind.BOOL: (bool, np.bool_),
        Kind.DURATION: (timedelta, np.timedelta64),  # which is an integer of numpy's
        Kind.WHOLE: (int, np.integer),
        Kind.FLOAT: (float, np.floating),
        Kind.EXACT: (Decimal,),
        Kind.TEXT: (str,),
        Kind.BINARY: (bytes, bytearray, memoryview),
        Kind.NAIVE: (datetime, np.datetime64),
        Kind.DATE: (date,),
        Kind.TIME: (time,),
        Kind.LIST: (list, tuple, set, np.ndarray),
        Kind.STRUCT: (dict,),
    }
    return next((kind for kind, types in kinds.items() if issubclass(found, types)), found)


def _all_nan(values: list[Any]) -> bool:
    return all(v != v for v in values if isinstance(v, float | np.floating))


def _inside(value: Any) -> Any:
    """Return what is in a list; of an array that has one type a value is enough."""
    typed = isinstance(value, np.ndarray) and value.dtype != object
    return value[:1] if typed else value
