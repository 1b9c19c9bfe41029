"""When an object behind a URL was written, as its file system tells it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Details: TypeAlias = "Mapping[str, Any]"
"""What a file system of fsspec tells of an object, each with keys of its own."""
_WORDS = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")


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
