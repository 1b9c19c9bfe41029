"""Values of a database as keys that travel, and as numbers of their rows."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

ORDERED = frozenset({int, float, Decimal, str, bool, date, datetime, bytes})
"""Python types of columns that rows can be ordered and cut by."""
_MASK = 2**64 - 1
_SPREAD = 0x9E3779B97F4A7C15
"""Odd, so that equal rows get numbers that differ in all bits (Fibonacci hashing)."""


def row_ids(rows: Sequence[Sequence[Any]]) -> NDArray[np.uint64]:
    """Return each row a number made from all its values; of rows that are the same, each its own.

    These have the same key, so that they are in one piece whatever its size.
    """
    import numpy as np

    seen: dict[int, int] = {}
    ids = np.empty(len(rows), np.uint64)
    for n, row in enumerate(rows):
        told = repr([bytes(v) if isinstance(v, memoryview) else v for v in row])
        digest = blake2b(told.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        number = int.from_bytes(digest, "little")
        times = seen[number] = seen.get(number, -1) + 1
        ids[n] = (number + times * _SPREAD) & _MASK
    return ids


def pack_key(key: Sequence[Any]) -> tuple[Any, ...]:
    """Make a key of builtins, which travels and is journalled.

    Examples
    --------
    >>> from datetime import date
    >>> pack_key([1, date(2024, 5, 31), None])
    (1, ('date', '2024-05-31'), None)
    """
    packed: list[Any] = []
    for value in key:
        if isinstance(value, datetime):
            packed.append(("datetime", value.isoformat()))
        elif isinstance(value, date):
            packed.append(("date", value.isoformat()))
        elif isinstance(value, Decimal):
            packed.append(("decimal", str(value)))
        elif isinstance(value, (bytearray, memoryview)):
            packed.append(bytes(value))
        else:
            packed.append(value)
    return tuple(packed)


def unpack_key(packed: Sequence[Any]) -> list[Any]:
    """Make the values of a packed key."""
    made: dict[str, Any] = {
        "datetime": datetime.fromisoformat,
        "date": date.fromisoformat,
        "decimal": Decimal,
    }
    return [made[v[0]](v[1]) if isinstance(v, (tuple, list)) else v for v in packed]
