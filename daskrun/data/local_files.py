"""Files on file systems of this machine, found with the operating system's own calls."""

# A million paths are walked, and pathlib takes ten times as long.
# ruff: noqa: PTH110, PTH111, PTH112, PTH114, PTH116, PTH118, PTH120

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote

from daskrun.data.patterns import EVERYTHING, HIDDEN, Pattern, State, has_magic, nothing_found
from daskrun.data.protocols import PathElement, shown
from daskrun.errors import DatasetError
from daskrun.storage.folders import HALF, is_writable
from daskrun.storage.pseudo_files import is_made_up

if TYPE_CHECKING:
    from daskrun.data.paths import FileRow

_Identity = tuple[int, int]
_Level = tuple[str, State, tuple[_Identity, ...], Iterator[str]]


def local_path(text: str, folder: str) -> str:
    """Make a local path or ``file://`` URL absolute; a slash at its end stays.

    Raises DatasetError where no file can have it.
    """
    if not is_writable(text):
        raise DatasetError(f"path={text!r} {HALF}")
    if text.startswith(("file:", "local:")):
        plain = text.partition(":")[2]
        plain = plain[2:] if plain.startswith("//") else plain
        # Path.as_uri() quotes, fsspec doesn't: what exists is what was meant.
        text = plain if os.path.lexists(plain) else unquote(plain)
    elif text.startswith("~"):
        text = os.path.expanduser(text)
    path = os.path.normpath(os.path.join(folder, text))
    path = "/" + path.lstrip("/")  # POSIX keeps two slashes at the front
    return f"{path}/" if text.endswith("/") and path != "/" else path


def find_local(
    path: str, element: PathElement, hidden: str = HIDDEN
) -> tuple[str, Iterator[FileRow]]:
    """Find the files that an absolute path means: a file, a folder, or else a glob.

    Returns the folder that the names are relative to, and the files, found as they are asked for.
    Raises DatasetError: at once if nothing is there; while iterating if a folder can't be listed or
    none is found.
    """
    plain = path.rstrip("/") or "/"
    try:
        found = os.stat(plain)
        if os.path.islink(plain) and is_made_up(found):
            raise DatasetError(
                f"path={shown(element)} is a link to what the system makes up, such as /proc: "
                "that is no data. Give a file, a folder or a glob."
            )
        if stat.S_ISREG(found.st_mode):
            root, _, name = plain.rpartition("/")
            return root or "/", iter([(name, found.st_size, found.st_mtime_ns)])
    except (FileNotFoundError, NotADirectoryError):
        if has_magic(plain):
            root, parts = _split(plain)
            pattern = Pattern([*parts, "**"] if path.endswith("/") else parts, hidden)
            return root, _explained(root, pattern, shown(element))
        raise DatasetError(_missing(plain, shown(element))) from None
    except OSError as error:
        what = f"path={shown(element)} can't be read: {error.strerror}: {error.filename!r}"
        raise DatasetError(_failed(what, error)) from error
    if stat.S_ISDIR(found.st_mode):
        return plain, _explained(plain, EVERYTHING[hidden], shown(element))
    raise DatasetError(
        f"path={shown(element)} is neither a file nor a folder. Give one of these, or a glob."
    )


def _split(path: str) -> tuple[str, list[str]]:
    """Cut a glob at its first wildcard; what exists under exactly that name is none."""
    parts = path.split("/")[1:]
    root = ""
    for n, part in enumerate(parts):
        if has_magic(part) and not os.path.lexists(f"{root}/{part}"):
            return root or "/", parts[n:]
        root = f"{root}/{part}"
    raise AssertionError(f"{path} exists")


def _missing(path: str, typed: str) -> str:
    above = path
    while above != "/" and not os.path.exists(above):
        above = os.path.dirname(above)
    what = "is there" if os.path.isdir(above) else "is a file"
    return (
        f"path={typed} does not exist: looked for {path!r}, of which {above!r} {what}. "
        "Give a folder, a file, a glob such as 'images/*.png', or a URL."
    )


def _failed(what: str, error: OSError) -> str:
    """Return what to do about a folder or file that the system refuses: only some is of rights."""
    if isinstance(error, PermissionError):
        return f"{what}. Give this user the right to read it, or a path that leaves it out."
    return f"{what}. See that its disk or network mount works, or give a path that leaves it out."


def _explained(root: str, pattern: Pattern, typed: str) -> Iterator[FileRow]:
    """Walk; say in the user's words what goes wrong, and that nothing was found."""
    empty = True
    try:
        for row in walk(root, pattern):
            empty = False
            yield row
    except (FileNotFoundError, NotADirectoryError) as error:
        if not os.path.isdir(root):
            raise DatasetError(_missing(root, typed)) from None
        raise DatasetError(
            f"path={typed}: {error.filename!r} was removed while its folder was listed. Give the "
            "path again once nothing changes the files below it."
        ) from error
    except OSError as error:
        what = f"path={typed}: the folder {error.filename!r} can't be listed: {error.strerror}"
        raise DatasetError(_failed(what, error)) from error
    if empty:
        raise DatasetError(nothing_found(typed, pattern, repr(root)))


def walk(root: str, pattern: Pattern) -> Iterator[FileRow]:
    """Yield the files below a folder that a pattern means, in code-point order of their paths.

    Links to files and folders are followed, except into a folder that one is already in. A link
    to nothing is a file of unknown size, so that its mini-batch can say that it is missing.
    """
    stack: list[_Level] = [("", pattern.start, (_identity(root),), iter(_entries(root)))]
    while stack:
        prefix, state, above, names = stack[-1]
        base = f"{root.rstrip('/')}/{prefix}"
        for name in names:
            if name[-1] != "/":
                if pattern.takes(state, name):
                    yield (prefix + name, *_size_and_time(base + name))
                continue
            inside = pattern.enter(state, name[:-1])
            if inside and (folder := _identity(base + name)) not in above:
                listed = iter(_entries(base + name))
                stack.append((prefix + name, inside, (*above, folder), listed))
                break
        else:
            stack.pop()


def _identity(folder: str) -> _Identity:
    found = os.stat(folder)
    return found.st_dev, found.st_ino


def _entries(folder: str) -> list[str]:
    """List a folder, folders with a slash: sorted so, a walk is in order of the whole paths.

    Names only: a million ``DirEntry`` objects would take hundreds of megabytes.
    """
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    names.append(entry.name + "/")
                elif entry.is_file(follow_symlinks=False):
                    names.append(entry.name)
                elif entry.is_symlink():
                    names += _linked(entry)
            except OSError:
                continue
    names.sort()
    return names


def _linked(link: os.DirEntry[str]) -> list[str]:
    """Return how a link is listed: not at all where it leads to a device, or into ``/proc``."""
    try:
        found = link.stat()
    except OSError:  # to nothing, to itself, or to where this user may not look
        return [link.name]
    if is_made_up(found):
        return []
    if stat.S_ISDIR(found.st_mode):
        return [link.name + "/"]
    return [link.name] if stat.S_ISREG(found.st_mode) else []


def _size_and_time(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns
