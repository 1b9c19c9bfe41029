"""Names that come from outside, such as the keys of a bucket: they never leave their folder.

A key is any text: it may begin with ``/``, hold ``..`` or end where a local path can't. Whatever is
written under such a name, or removed, goes through here first.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from daskrun.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def below(folder: str, names: Iterable[str]) -> dict[str, str]:
    """Return where files of these names belong below a folder, each with a path of its own.

    Raises StorageError where a name leads out of the folder, is no file's, or means the same path
    as another, or a folder of it: keys of objects are no paths.

    Examples
    --------
    >>> below("/to", ["a/b", "/etc/passwd"])
    {'a/b': '/to/a/b', '/etc/passwd': '/to//etc/passwd'}
    """
    places: dict[str, str] = {}
    odd: list[str] = []
    base = folder.rstrip("/")
    for name in names:
        if not is_plain(name):
            _refuse(name, ".." in name.split("/") or name.endswith("/") or "\0" in name)
            odd.append(name)
        # Joined as text: os.path.join would follow a name that begins with '/'.
        places[name] = f"{base}/{name}"
    folders = {name.rpartition("/")[0] for name in places} - {""}
    while folders:
        for name in folders & places.keys():
            other = next(each for each in places if each.startswith(f"{name}/"))
            raise StorageError(
                f"the file names {name!r} and {other!r} can't both be local: the first would be a "
                "folder, too. Rename one, or have them in mini-batches of their own."
            )
        folders = {name.rpartition("/")[0] for name in folders} - {""}
    owners: dict[str, str] = {}
    for name in odd:
        path = posixpath.normpath(f"/{name}").lstrip("/")
        _refuse(name, not path)
        other = path if path in places else owners.setdefault(path, name)
        if other != name:
            raise StorageError(
                f"the file names {other!r} and {name!r} are the same local path: rename one."
            )
    return places


def inside(folder: Path, name: str) -> Path:
    """Return the path of a name that daskrun has given below a folder, as a record or key tells it.

    Raises StorageError where it can't be one: others have written it.
    """
    _refuse(name, not is_plain(name))
    return folder / name


def is_plain(name: str) -> bool:
    """Return whether a name is a path of a file below a folder, in its one way to write it."""
    framed = f"/{name}/"
    return not ("//" in framed or "/../" in framed or "/./" in framed or "\0" in framed)


def is_part(name: str) -> bool:
    """Return whether a name is that of a file in a folder, and of none in another."""
    return "/" not in name and is_plain(name)


def _refuse(name: str, wrong: bool) -> None:
    if wrong:
        raise StorageError(
            f"the file name {name!r} can't be a path below a local folder: rename the object."
        )
