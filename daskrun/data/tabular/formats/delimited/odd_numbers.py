"""Looking through delimited text for numbers that a parser takes and does not keep as written."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from daskrun.data.libraries import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PART = 128 << 10
"""Bytes looked at together: with their flags they stay in the second-level cache."""


def has_odd_numbers(data: bytes, separator: bytes, minus: bool) -> bool:
    """Return whether a field may be digits behind a zero or a plus, or ``0x1F``, 31 to pyarrow.

    Blanks before them, which pyarrow leaves out, are looked over. ``minus``: some are behind a
    minus, as in ``-007``. Now and then a text such as ``a  07`` is taken for such a field.

    Examples
    --------
    >>> fields = (b"1,007", b"1,+7", b"1,0X1f", b"1,-07", b"1, 07", b"-0.7,0,2024-01-01 09:30")
    >>> [has_odd_numbers(data, b",", True) for data in fields]
    [True, True, True, True, True, False]
    """
    codes, begins, code = np.frombuffer(data, np.uint8), _begins(separator[-1:]), separator[-1]
    head = b"\n\n" + data[: _PART + 1]
    if b"+" in data and _has_plus(np.frombuffer(b"\n" + data, np.uint8), begins):
        return True
    for at in range(0, len(data), _PART):  # two bytes before each that may be a zero, one behind
        part = codes[at - 2 : at + _PART + 1] if at else np.frombuffer(head, np.uint8)
        found = part[2:-1] == _ZERO
        found &= part[3:] >= _ZERO  # digits and letters, of which few are behind a zero
        low = part[:-2] < _DASH  # blanks, line ends, quotes, most separators
        if code >= _DASH:
            low |= part[:-2] == code
            found &= part[3:] != separator[0]
        dashed = found & low[:-1] & (part[1:-2] == _DASH) if minus else found[:0]
        found &= low[1:]
        if dashed.any():
            return True
        if found.any():  # behind one blank the time of a date begins, too
            found &= low[:-1] | (part[1:-2] != _BLANK)
            if found.any() and begins[part[1:-2][found]].any():
                return True
    return False


_ZERO, _DASH, _BLANK = b"0- "


def _has_plus(codes: NDArray[np.uint8], begins: NDArray[np.bool_]) -> bool:
    at = np.flatnonzero(codes[1:-1] == b"+"[0]) + 1
    digits = codes[at + 1] - _ZERO < 10
    return bool((begins[codes[at - 1]] & digits).any())


@lru_cache(maxsize=16)
def _begins(separator: bytes) -> NDArray[np.bool_]:
    """Return which bytes may stand before a number."""
    begins = np.zeros(256, np.bool_)
    begins[[*b'\r\n" \t', *separator]] = True
    return begins
