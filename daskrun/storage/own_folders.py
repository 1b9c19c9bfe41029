"""Folders that are this user's alone, and those that other users could have planted or exchanged.

Temporary folders and the places of workspaces are shared: whoever comes first may make a folder
there, and who may write a folder may exchange what is in it, unless its sticky bit is set.
"""

from __future__ import annotations

import getpass
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.errors import StorageError
from daskrun.storage.folders import user_path

if TYPE_CHECKING:
    from collections.abc import Callable

TRUSTED = "DASKRUN_SAFE_FOLDERS"
"""Environment variable: folders, with ``:`` between them, whose other writers are trusted; ``*``
for all."""
UNMAPPED = 65534
"""The owner of files whose user a user namespace doesn't know, such as root's outside it."""
_said: set[str] = set()


def make_own(folder: Path) -> None:
    """Make a folder that only this user may enter, whatever the umask, or see that it is one.

    Raises
    ------
    StorageError
        It is another user's, a link, no folder, or one that others may write.
    OSError
        It can't be made.
    """
    if problem := _try_own(folder):
        raise StorageError(problem)


def _try_own(folder: Path) -> str:
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if problem := _not_own(found):
        return f"{str(folder)!r} {problem}"
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)
    return ""


def _not_own(found: os.stat_result) -> str:
    if not stat.S_ISDIR(found.st_mode):
        return "is a link" if stat.S_ISLNK(found.st_mode) else "is not a folder"
    if found.st_uid != os.geteuid():
        return f"belongs to {_user(found.st_uid)}"
    return "may be written by other users" if _others_write(found) else ""


def temporary_folder(purpose: str = "") -> Path:
    """Return the folder of this user's runs on this machine, which only this user may enter.

    Or another one for ``purpose``, a word. Where another user has made one of its name, that is
    said, and one is made whose name nobody can foresee; all processes of this user then use that.
    """
    above = Path(tempfile.gettempdir())
    usual = above / f"daskrun-{purpose}{purpose and '-'}{_own_name()}"
    if problem := _try_own(usual):
        other = _other(above, f"{usual.name}-")
        _say(f"{problem}, so it is not used for temporary files: they are in {str(other)!r}.")
        return other
    if problem := exchangeable(usual):
        _say(
            f"{problem}, and temporary files are below it: others could exchange them. Set TMPDIR "
            f"to another folder, or {TRUSTED} to this one where that is meant to be so."
        )
    return usual


def safe_folder(wanted: Path, say: Callable[[str], object] | None = None) -> Path:
    """Return a folder for what is kept to be run or read later: ``wanted``, or another instead.

    That is one in :func:`temporary_folder`, where others could put something into the first. Raises
    StorageError where it can't be made.

    Parameters
    ----------
    wanted
        Made if it isn't there.
    say
        Is told, once in a process, which other folder is used and why; None: the log is.
    """
    place = wanted.resolve()
    problem = exchangeable(wanted)
    if not problem:
        try:
            place.parent.mkdir(0o700, parents=True, exist_ok=True)
            problem = _try_own(place)
        except OSError as error:
            raise StorageError(f"{str(wanted)!r} can't be made: {error}") from error
    if problem:
        other = temporary_folder() / "cache"
        make_own(other)
        _say(f"{problem}: nothing is kept in {str(wanted)!r}, but in {str(other)!r}.", say)
        return other
    return place


def cache_folder(say: Callable[[str], object] | None = None) -> Path:
    """Return the folder of what is kept for later runs of this user; see :func:`safe_folder`."""
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # as of a number without a name, in a container
        user = os.geteuid()
        raise StorageError(
            f"user {user} has no home folder, in which things are kept for later runs: set "
            "XDG_CACHE_HOME to a folder of theirs"
        ) from None
    return safe_folder(Path(cache, "daskrun"), say)


def exchangeable(folder: Path) -> str:
    """Return why others could exchange a folder, or what is in it; ``""`` where they can't.

    That is so where the folder and each that it is in are this user's or root's, and no other user
    may write them; those above it may have the sticky bit instead. So must be links on the way, and
    where they are. Looked at is what there is. The other writers of folders that
    ``DASKRUN_SAFE_FOLDERS`` names are trusted.
    """
    typed = folder.absolute()
    folder = folder.resolve()
    links = [each for each in (typed, *typed.parents) if each.is_symlink()]
    chain = dict.fromkeys((folder, *folder.parents))
    for link in links:
        place = link.parent.resolve()
        chain.update(dict.fromkeys((place, *place.parents)))
    named = os.environ.get(TRUSTED, "").split(os.pathsep)
    if "*" in named or any(user_path(each).resolve() in chain for each in named if each):
        return ""
    for link in links:
        if problem := _of_another(link.lstat().st_uid, itself=False):
            return f"{str(link)!r} is a link that {problem}"
    for each in chain:
        with suppress(OSError):  # what is not there yet
            if problem := _exchangeable(each.stat(), each == folder):
                return f"{str(each)!r} {problem}"
    return ""


def _exchangeable(found: os.stat_result, itself: bool) -> str:
    if problem := _of_another(found.st_uid, itself):
        return problem
    if _others_write(found) and (itself or not found.st_mode & stat.S_ISVTX):
        return "may be written by other users"
    return ""


def _of_another(owner: int, itself: bool) -> str:
    trusted = owner in (os.geteuid(), 0, _became_root()) or (not itself and _unmapped(owner))
    return "" if trusted else f"belongs to {_user(owner)}"


def _others_write(found: os.stat_result) -> bool:
    """Return whether users other than the owner may write, but for those of the own group."""
    by_group = found.st_mode & stat.S_IWGRP and found.st_gid != os.getegid()
    return bool(by_group or found.st_mode & stat.S_IWOTH)


def _became_root() -> int:
    """Return the user who became root by sudo, whose folders are root's then; 0 for nobody."""
    asked = os.environ.get("SUDO_UID", "")
    return int(asked) if os.geteuid() == 0 and asked.isdecimal() else 0


def _unmapped(owner: int) -> bool:
    """Return whether an owner is one that a user namespace, as of a container, doesn't know."""
    with suppress(OSError):
        numbers = Path("/proc/self/uid_map").read_bytes().split()
        return owner == UNMAPPED and numbers != [b"0", b"0", b"4294967295"]
    return False


def _other(above: Path, prefix: str) -> Path:
    """Return a folder whose name others couldn't foresee: one that was made before, or a new one.

    What others make is not this user's, so that the first that is was made by a process of ours.
    """
    for each in sorted(each for each in above.iterdir() if each.name.startswith(prefix)):
        with suppress(OSError):
            if not _try_own(each):
                return each
    return Path(tempfile.mkdtemp(prefix=prefix, dir=above))


def _own_name() -> str:
    with suppress(OSError, KeyError, ImportError):
        if (name := getpass.getuser()) == os.path.basename(name):  # noqa: PTH119  (of a text)
            return name
    return str(os.geteuid())


def _user(number: int) -> str:
    import pwd  # where something is wrong

    try:
        return f"user {pwd.getpwuid(number).pw_name!r}"
    except KeyError:
        return f"user {number}"


def _say(text: str, say: Callable[[str], object] | None = None) -> None:
    if text not in _said:
        _said.add(text)
        if say is None:
            from daskrun.core.logs import get_logger  # not in the keeper, which starts in no time

            say = get_logger("daskrun").warning
        say(text)
