"""Warnings that several processes give of the same thing: told once, with one place."""

from __future__ import annotations

FIRST_MET = " First met in "
"""What stands before the place in a warning that ends with one."""


def subject(text: str) -> str:
    """Return a warning without its place: what it is told once for.

    Examples
    --------
    >>> subject("column 'n' has missing values. First met in a.csv, line 7.")
    "column 'n' has missing values."
    """
    return text.partition(FIRST_MET)[0]
