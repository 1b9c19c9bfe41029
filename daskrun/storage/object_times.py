"""When an object behind a URL was written, and which version of it there is, as its store says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Details: TypeAlias = "Mapping[str, Any]"
"""What a file system of fsspec tells of an object, each with keys of its own."""
_WORDS = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")

_MARKS = ("ETag", "etag", "LastModified", "last_modified", "Last-Modified", "updated", "mtime")
_OTHER_MARKS = ("generation", "sha", "created")


def mark_of(details: Details) -> str:
    """Return a text that is another one when an object is put again; ``""`` where none is told.

    Examples
    --------
    >>> mark_of({"size": 3, "ETag": "abc", "mtime": 5.0}), mark_of({"size": 3})
    ('3 abc', '')
    """
    marks = (details.get(key) for key in (*_MARKS, *_OTHER_MARKS))
    mark = next((each for each in marks if each is not None), None)
    return f"{details.get('size')} {mark}" if mark is not None else ""


def time_of(details: Details) -> int:
    """Find when a file changed, in ns since the epoch: each file system has its own word for it."""
    for word in _WORDS:
        value = details.get(word)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                continue
        if isinstance(value, datetime):
            value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, (int, float)):
            return int(value * 1_000_000_000)
    return -1
