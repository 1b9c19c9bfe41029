"""URLs in texts: telling them from paths, and keeping what they hide out of messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_USER = re.compile(r"(://)[^/@\s]+@")
_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\")>]+")
OWN_MEMORY = frozenset({"memory"})
"""File systems of fsspec that other processes can't see."""
_OPEN = frozenset({"endpoint_url", "account_name", "region_name", "profile", "project", "host"})
"""Options whose values messages may show: where a place is, not who may enter."""
_SHORTEST = 4
"""Characters below which a value is no secret, and hiding it would garble the message."""


def is_url(text: str) -> bool:
    """Whether a place is a URL; else it is a path on this machine.

    Examples
    --------
    >>> is_url("s3://bucket/folder"), is_url("/folder")
    (True, False)
    """
    return "://" in text


def shown_url(text: str) -> str:
    """Hide what may be a secret in the URLs of a text: user and password, and the query.

    Examples
    --------
    >>> shown_url("no https://me:secret@host/0.png?sig=abc")
    'no https://***@host/0.png?***'
    """
    return _QUERY.sub(r"\1?***", _USER.sub(r"\1***@", text))


def without_secrets(text: str, options: Mapping[str, Any]) -> str:
    """Hide in a text every value that ``storage_options`` hold, and what :func:`shown_url` hides.

    Examples
    --------
    >>> without_secrets("login of me with pass-word failed", {"key": "me", "secret": "pass-word"})
    'login of me with *** failed'
    """
    for secret in sorted(_secrets(options), key=len, reverse=True):
        text = text.replace(secret, "***")
    return shown_url(text)


def _secrets(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _secrets(value)
        elif isinstance(value, str) and name not in _OPEN and len(value) >= _SHORTEST:
            yield value
