"""Files behind URLs, by fsspec: finding them and bringing them here.

fsspec is imported where it is needed: it and its file systems take tenths of a second to load, and
most runs read local files only.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from daskrun.data.patterns import EVERYTHING, HIDDEN, Pattern, has_magic, nothing_found
from daskrun.data.protocols import shown_url
from daskrun.errors import DatasetError
from daskrun.storage.object_times import mark_of, time_of
from daskrun.storage.retry import harmless
from daskrun.storage.urls import links_of, protocol_problem, secrets_of, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from daskrun.data.paths import FileRow

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*(::|://)")


Details: TypeAlias = "dict[str, Any]"
"""What fsspec tells of a file."""


class SplitUrl(NamedTuple):
    """A URL in three, so that its path can be changed; chained URLs have a tail."""

    head: str
    """Such as ``s3://`` or ``simplecache::s3://``."""
    path: str
    tail: str
    """Such as ``::s3://bucket/archive.zip`` after ``zip://inner``."""

    def at(self, path: str) -> str:
        """Return the URL of another path in the same place."""
        return f"{self.head}{path}{self.tail}"


def is_url(text: str) -> bool:
    """Return whether a text is a URL of another kind than ``file://``."""
    if "://" not in text or not _URL.match(text):
        return False
    return not text.startswith(("file://", "local://"))


def split_url(url: str) -> SplitUrl:
    """Find the path in a URL.

    Examples
    --------
    >>> split_url("s3://bucket/a::b.csv").path
    'bucket/a::b.csv'
    >>> split_url("zip://a/*.csv::s3://bucket/all.zip")
    SplitUrl(head='zip://', path='a/*.csv', tail='::s3://bucket/all.zip')
    """
    links = links_of(url)
    n = next(n for n, link in enumerate(links) if "://" in link)
    protocol, _, path = links[n].partition("://")
    tail = "".join(f"::{link}" for link in links[n + 1 :])
    return SplitUrl("::".join([*links[:n], f"{protocol}://"]), path, tail)


def join_url(root: str, name: str) -> str:
    """Return the URL of a file from its root and relative name."""
    parts = split_url(root)
    slash = "" if not parts.path or parts.path.endswith("/") else "/"
    return parts.at(f"{parts.path}{slash}{name}")


def opened(url: str, storage_options: Mapping[str, Any]) -> tuple[Any, str]:
    """Return the file system of a URL, and its own path of what the URL means."""
    from fsspec.core import url_to_fs

    parts = split_url(url)
    folder, chain, _ = parts.path.partition("::")
    if not chain:
        system, path = url_to_fs(url, **storage_options)
        return system, system._strip_protocol(path)
    # fsspec would take what follows for a link: it opens the folder above, and names no file.
    folder = folder.rpartition("/")[0]
    system, path = url_to_fs(parts.at(folder), **storage_options)
    return system, f"{system._strip_protocol(path)}{parts.path[len(folder) :]}"


class RemoteFolder:
    """The root of a remote dataset, opened: names below it can be fetched from any thread."""

    def __init__(self, url: str, storage_options: Mapping[str, Any]) -> None:
        self.url = url
        self.system, self.base = opened(url, storage_options)
        self.first_bytes: dict[str, bytes] = {}
        """Of files that were looked at, by name."""

    def path(self, name: str) -> str:
        """Return the file system's own path of a file."""
        return f"{self.base}{name}" if self._open_ended else f"{self.base}/{name}"

    @property
    def _open_ended(self) -> bool:
        return not self.base or self.base.endswith("/")

    def fetch(self, name: str, target: str) -> None:
        """Copy a file to a local path, whose folder exists."""
        self.system.get_file(self.path(name), target)

    def versions(self, names: Sequence[str]) -> dict[str, str]:
        """Return, by name, :func:`~daskrun.storage.object_times.mark_of` each file there is."""
        self.system.invalidate_cache()
        if len(names) == 1:
            return {names[0]: mark_of(self.system.info(self.path(names[0])))}
        found = self.find()
        return {name: mark_of(found[name]) if name in found else "" for name in names}

    def find(self, depth: int | None = None) -> dict[str, Details]:
        """List all files below: relative name and fsspec's details."""
        self.system.invalidate_cache()  # what was listed for an earlier run may have changed
        found = self.system.find(self.base, maxdepth=depth, detail=True)
        if not found:
            self.system.ls(self.base)  # find() may swallow why there is nothing
        names = {}
        for path, details in found.items():
            if not path.startswith(self.base):
                raise DatasetError(f"{shown_url(self.url)} lists a file outside it: {path!r}.")
            name = path[len(self.base) :]
            if not self._open_ended or (not self.base and name.startswith("/")):
                name = name[1:]
            if "\0" in name:
                raise DatasetError(f"{shown_url(self.url)} lists {name!r}: rename that object.")
            if name and not name.endswith("/"):  # a bucket's empty object that stands for a folder
                names[name] = details
        return names


def find_remote(
    url: str, storage_options: Mapping[str, Any], shown: str, hidden: str = HIDDEN
) -> tuple[str, Iterator[FileRow]]:
    """Find the files that a URL means: a file, a folder, or else a glob.

    Returns the URL of the root that the names are relative to, and the files, listed when the first
    is asked for. Raises DatasetError if nothing is there, or it can't be reached.
    """
    if problem := protocol_problem(url):
        raise DatasetError(f"path={shown} {problem}")
    parts = split_url(url)
    plain = parts.path.rstrip("/")
    explained = partial(_explained, shown, secrets_of(url, storage_options))
    with explained():
        details = _details(parts.at(plain), storage_options)
    if details is None:
        if not has_magic(plain):
            raise DatasetError(
                f"path={shown} does not exist. Give the URL of a folder, a file or a glob such as "
                "'s3://bucket/images/*.png'."
            )
        with explained():
            root, rest = _split_glob(parts, plain, storage_options)
        pattern = Pattern([*rest, "**"] if parts.path.endswith("/") else rest, hidden)
        return root, _rows(root, storage_options, pattern, shown)
    if details.get("type") == "directory" or parts.path.endswith("/") or not plain:
        root = parts.at(plain)
        return root, _rows(root, storage_options, EVERYTHING[hidden], shown)
    folder, _, name = plain.rpartition("/")
    return parts.at(folder), iter([_row(name, details)])


def _details(url: str, storage_options: Mapping[str, Any]) -> Details | None:
    """Ask what is at a URL; None when nothing is."""
    system, path = opened(url, storage_options)
    system.invalidate_cache()
    try:
        details: Details = system.info(path)
    except FileNotFoundError as error:
        # The HTTP file system calls everything this, also a refusal or a server that is down.
        cause = error.__cause__
        http = type(cause).__module__.partition(".")[0] == "aiohttp"
        told = http or isinstance(cause, (TimeoutError, ConnectionError))
        if cause is not None and told and getattr(cause, "status", None) not in (404, 410):
            raise cause from None
        return None
    return details


def _split_glob(
    parts: SplitUrl, path: str, storage_options: Mapping[str, Any]
) -> tuple[str, list[str]]:
    """Cut a glob where its first wildcard is; what exists under that name is no wildcard."""
    names = path.split("/")
    n = 0
    while n < len(names) - 1:
        above = parts.at("/".join(names[: n + 1]))
        if has_magic(names[n]) and (n == 0 or _details(above, storage_options) is None):
            break
        n += 1
    return parts.at("/".join(names[:n])), names[n:]


def _rows(
    root: str, storage_options: Mapping[str, Any], pattern: Pattern, shown: str
) -> Iterator[FileRow]:
    """List the files that a pattern means, in code-point order of their relative paths."""
    with _explained(shown, secrets_of(root, storage_options)):
        found = RemoteFolder(root, storage_options).find(pattern.depth)
    names = sorted(name for name in found if pattern.matches(name))
    if not names:
        raise DatasetError(nothing_found(shown, pattern, shown_url(root)))
    yield from (_row(name, found[name]) for name in names)


def _row(name: str, details: Mapping[str, Any]) -> FileRow:
    size = details.get("size")
    if details.get("contentEncoding") not in (None, "", "identity"):
        size = None  # Google's store lists the bytes it keeps, and unpacks them while it sends
    return name, int(size) if isinstance(size, (int, float)) and size >= 0 else -1, time_of(details)


@contextmanager
def _explained(shown: str, secret: Mapping[str, Any]) -> Iterator[None]:
    """Turn what any file system may raise into one error in the user's words."""
    try:
        yield
    except DatasetError:
        raise
    except FileNotFoundError as error:
        what = without_secrets(str(error), secret)
        raise DatasetError(
            f"path={shown} means no file: there is no {what!r}. Give the URL of a folder, a file "
            "or a glob that is there."
        ) from harmless(error, secret)
    except Exception as error:  # noqa: BLE001  (each of fsspec's file systems has its own)
        text = without_secrets(f"{type(error).__name__}: {error}", secret).rstrip(".")
        if isinstance(error, ImportError):
            fix = "Install the package it names."
        else:
            fix = "Check the URL, the network, and the credentials of the datastore."
        raise DatasetError(f"path={shown} can't be reached: {text}. {fix}") from harmless(
            error, secret
        )
