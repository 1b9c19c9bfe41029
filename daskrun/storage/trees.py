"""What the files of a folder hold, by name: names a folder by its contents, and sees changes."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FOLDER = "folder"
"""What stands for the digest of a folder."""
CHUNK = 2**20
"""Bytes read at a time."""


class Content(NamedTuple):
    """A file or folder in a tree."""

    digest: str
    """SHA-256 in hex digits, or :data:`FOLDER`."""
    executable: bool
    stamp: tuple[int, ...]
    """What changes when anybody writes to the file, whatever they do to its times."""


Tree = dict[str, Content]
"""By path relative to the tree's folder, with ``/``, sorted."""


def tree_of(
    folder: Path,
    before: Mapping[str, Content] | None = None,
    read: Callable[[int], object] = lambda _: None,
) -> Tree:
    """Read all files below a folder; those that have the stamp from ``before`` are not read again.

    ``read`` is told how many bytes were, again and again: it takes a minute for some 50 GB. Raises
    OSError where one can't be read, or is neither a file nor a folder.
    """
    found = {}
    for name, path, status in sorted(_walk(folder, "")):
        known = (before or {}).get(name)
        if known is not None and known.stamp == stamp_of(status):
            found[name] = known
        else:
            digest = FOLDER if stat.S_ISDIR(status.st_mode) else file_digest(Path(path), read)
            executable = digest != FOLDER and bool(status.st_mode & stat.S_IXUSR)
            found[name] = Content(digest, executable, stamp_of(status))
    return found


def stamp_of(status: os.stat_result) -> tuple[int, ...]:
    """Return the stamp of a file; a folder's is empty, since what is in it is looked at."""
    if stat.S_ISDIR(status.st_mode):
        return ()
    times = status.st_mtime_ns, status.st_ctime_ns
    return (status.st_size, *times, status.st_ino, stat.S_IMODE(status.st_mode))


def digest_of_tree(tree: Mapping[str, Content]) -> str:
    """Name a tree by its names, modes and contents.

    Examples
    --------
    >>> digest_of_tree({"a": Content("0" * 64, False, (1,))})[:8]
    '0dce5f3d'
    """
    whole = hashlib.sha256()
    for name, content in sorted(tree.items()):
        mode = "x" if content.executable else "-"
        line = f"{name}\0{mode}{content.digest}\0"  # no name has that in it
        whole.update(line.encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def file_digest(path: Path, read: Callable[[int], object] = lambda _: None) -> str:
    """Return the SHA-256 of a file, in hex digits; ``read`` is that of :func:`tree_of`."""
    found, buffer = hashlib.sha256(), memoryview(bytearray(CHUNK))
    with path.open("rb", buffering=0) as opened:
        while nbytes := opened.readinto(buffer):
            found.update(buffer[:nbytes])
            read(nbytes)
    return found.hexdigest()


def _walk(folder: Path, above: str) -> Iterator[tuple[str, str, os.stat_result]]:
    for entry in os.scandir(folder):
        name, status = f"{above}{entry.name}", entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            yield from _walk(Path(entry.path), f"{name}/")
        elif not stat.S_ISREG(status.st_mode):
            raise OSError(f"{entry.path} is neither a file nor a folder")
        yield name, entry.path, status
