"""JSON that others may have written: read, or refused with a ValueError, whatever it is."""

from __future__ import annotations

import json
from typing import Any

MOST_DIGITS = 4300
"""Digits of a number that Python turns into one: with more it takes quadratic time."""


def parsed(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises ValueError where it is none, or nothing that can be read: too deep, or with a number too
    long. The message is the rest of a sentence.

    Examples
    --------
    >>> parsed('{"a": [1]}')
    {'a': [1]}
    >>> parsed("[" * 100_000)
    Traceback (most recent call last):
    ValueError: it is nested too deeply
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        if "digits" in str(error):  # Python's advice is for programs, not for files
            raise ValueError(f"it has a number of more than {MOST_DIGITS:,} digits") from None
        raise
