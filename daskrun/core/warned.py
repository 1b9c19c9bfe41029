"""Warnings that several processes give of the same thing: told once, with one place."""

from __future__ import annotations

FIRST_MET = " First met in "
"""What stands before the place in a warning that ends with one."""


def of_input(text: str, name: str, inputs: int) -> str:
    """Return a warning of a table that says of which of several inputs it is.

    Examples
    --------
    >>> of_input("column 'n' has missing values.", "sales", inputs=2)
    "input 'sales': column 'n' has missing values."
    """
    return f"input {name!r}: {text}" if inputs > 1 else text


def subject(text: str) -> str:
    """Return a warning without its place: what it is told once for.

    Examples
    --------
    >>> subject("column 'n' has missing values. First met in a.csv, line 7.")
    "column 'n' has missing values."
    """
    return text.partition(FIRST_MET)[0]
