"""Counts of things, in words."""


def many(count: int, what: str, ending: str = "s") -> str:
    """Return a count of things, as English says it.

    Examples
    --------
    >>> many(1, "file"), many(2000, "process", "es")
    ('1 file', '2,000 processes')
    """
    return f"{count:,} {what}{'' if count == 1 else ending}"
