"""URLs in texts: telling them from paths, and keeping what they hide out of messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from daskrun.shown.url_secrets import secrets_in, shown_text
from daskrun.shown.url_secrets import shown_url as shown_url  # what speaks of places shows them so

if TYPE_CHECKING:
    from collections.abc import Iterator

StorageOptions: TypeAlias = Mapping[str, Any]
"""What a file system of fsspec takes, each its own; may hold secrets."""
OWN_MEMORY = frozenset({"memory"})
"""File systems of fsspec that other processes can't see."""
_OPEN = frozenset({"endpoint_url", "account_name", "region_name", "profile", "project", "host"})
"""Options whose values messages may show: where a place is, not who may enter."""
PACKAGES = {
    **dict.fromkeys(("abfs", "abfss", "az"), "adlfs"),
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("http", "https"), "aiohttp"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
    "smb": "smbprotocol",
}
"""What must be installed for a protocol; of some fsspec knows nothing until that is there."""
EXTRAS = {"s3fs": "s3", "adlfs": "azure", "gcsfs": "gcs", "aiohttp": "http"}
"""Which of daskrun's extras has a package."""
_WORD = re.compile("[a-z]+")
"""A link of a chained URL that is a protocol alone, as fsspec reads it."""
_INSIDE = ("zip", "tar", "libarchive")
"""Protocols of what is inside another file: that may follow as a path of this machine."""
_SHORTEST = 4
"""Characters below which a value is no secret, and hiding it would garble the message."""


def is_url(text: str) -> bool:
    """Return whether a place is a URL; else it is a path on this machine.

    Examples
    --------
    >>> is_url("s3://bucket/folder"), is_url("/folder")
    (True, False)
    """
    return "://" in text


def links_of(url: str) -> list[str]:
    """Cut a chained URL into its links; ``::`` in the name of an object is no chain.

    Examples
    --------
    >>> links_of("simplecache::zip://a::s3://bucket/b.zip"), links_of("s3://bucket/a::b.txt")
    (['simplecache', 'zip://a', 's3://bucket/b.zip'], ['s3://bucket/a::b.txt'])
    """
    if "::" not in url:
        return [url]
    parts = url.split("::")
    urls = [n for n, part in enumerate(parts) if "://" in part]
    links = parts[: urls[0] + 1] if urls else parts
    inner = links[-1].partition("://")[0] in _INSIDE
    for n, part in enumerate(parts[len(links) :], len(links)):
        link = "://" in part or (n < urls[-1] and _WORD.fullmatch(part))
        if link or (inner and n == len(parts) - 1 and n > urls[-1]):
            links.append(part)
        else:
            links[-1] += f"::{part}"
    return links


def protocols_of(url: str) -> list[str]:
    """Return the protocols in a URL, of which a chained one has several.

    Examples
    --------
    >>> protocols_of("simplecache::s3://bucket/a.csv")
    ['simplecache', 's3']
    """
    links = links_of(url)
    return [link.partition("://")[0] for link in links if "://" in link or _WORD.fullmatch(link)]


def protocol_problem(url: str) -> str:
    """Say, as the rest of a sentence that began with a URL, that fsspec has no file system for it.

    Returns
    -------
    str
        ``""`` where fsspec knows it, also where a package is still to be installed.

    Examples
    --------
    >>> protocol_problem("gs://bucket")
    ''
    >>> protocol_problem("htps://host/file")[:68]
    "has the protocol 'htps', which fsspec doesn't know. Write https://, "
    """
    from fsspec.registry import known_implementations, registry

    known = {*known_implementations, *registry, *PACKAGES}
    unknown = next((each for each in protocols_of(url) if each not in known), None)
    if unknown is None:
        return ""
    from difflib import get_close_matches  # only where something is misspelt

    near = get_close_matches(unknown.lower(), known, n=1)
    fix = (
        f"Write {near[0]}://"
        if near
        else "Write one that it knows, such as s3://, abfs://, gs://, https:// or sftp://"
    )
    return (
        f"has the protocol {unknown!r}, which fsspec doesn't know. {fix}, or register a file "
        "system of your own with fsspec first."
    )


def package_of(protocol: str) -> str:
    """Return the package that a protocol needs besides fsspec, ``""`` where it needs none.

    Examples
    --------
    >>> package_of("gs"), package_of("memory")
    ('gcsfs', '')
    """
    from fsspec.registry import known_implementations

    of_class = known_implementations.get(protocol, {}).get("class", "").partition(".")[0]
    package = PACKAGES.get(protocol, of_class)
    return "" if package == "fsspec" else package


def install(package: str) -> str:
    """Return the command that installs what a protocol needs.

    Examples
    --------
    >>> install("s3fs"), install("paramiko")
    ("pip install 'daskrun[s3]'", 'pip install paramiko')
    """
    extra = EXTRAS.get(package)
    return f"pip install 'daskrun[{extra}]'" if extra else f"pip install {package}"


def secrets_of(url: str, options: StorageOptions) -> StorageOptions:
    """Return options with the secrets of a URL among them, which clients quote in messages."""
    return {**options, "url": secrets_in(url, is_url=True)}


def without_secrets(text: str, options: StorageOptions) -> str:
    """Hide in a text every value that ``storage_options`` hold, and what :func:`shown_text` hides.

    Examples
    --------
    >>> without_secrets("login of me with pass-word failed", {"key": "me", "secret": "pass-word"})
    'login of me with *** failed'
    >>> without_secrets("no bucket KEY:SECRET@b", secrets_of("s3://KEY:SECRET@b/folder", {}))
    'no bucket ***@b'
    """
    text = shown_text(text)
    for secret in sorted(set(_secrets(options)), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


STORES = frozenset({"endpoint_url", "endpoint", "account_name", "host", "port", "protocol"})
"""Names of options that say which of several stores a URL means."""


def store_of(options: Any) -> str:
    """Return what options say of the store; nothing of credentials, which may be others tomorrow.

    Examples
    --------
    >>> store_of({"key": "me", "client_kwargs": {"endpoint_url": "http://127.0.0.1:9000"}})
    'endpoint_url=http://127.0.0.1:9000'
    """
    found = []
    for name, value in sorted(options.items()) if isinstance(options, Mapping) else ():
        if isinstance(value, Mapping):
            found.append(store_of(value))
        elif name in STORES:
            found.append(f"{name}={shown_text(str(value))}")
    return " ".join(filter(None, found))


def _secrets(options: Any) -> Iterator[str]:
    if isinstance(options, Mapping):
        for name, value in options.items():
            if isinstance(value, str) and name in _OPEN:
                yield from secrets_in(value, is_url=True)
            else:
                yield from _secrets(value)
    elif isinstance(options, list | tuple):
        for value in options:
            yield from _secrets(value)
    elif isinstance(options, str) and len(options) >= _SHORTEST:
        yield from dict.fromkeys((options, quote(options), quote(options, safe="")))
