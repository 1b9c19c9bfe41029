"""The entries of a cache: folders that are named by what they hold, and that nobody may write.

``<id>/`` has the files, ``<id>.json`` what they hold, its time is when they were asked for last,
``<id>.lock`` is locked by each process that uses them, so that they are not removed.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from daskrun.storage.durable import write_whole
from daskrun.storage.file_locks import try_lock
from daskrun.storage.folders import remove_tree
from daskrun.storage.trees import FOLDER, Content, Tree, digest_of_tree, tree_of

if TYPE_CHECKING:
    from collections.abc import Callable

MACHINES = 1000
"""So many starts of machines are noted for an entry: those that share a folder use it in turn."""


class Entry(NamedTuple):
    """Files in the cache, which stay there while the lock is held."""

    path: Path
    """The folder that they are in."""
    lock: Path
    """To be locked, shared, by whom it shall stay for."""
    fd: int
    """Holds that lock."""

    def close(self) -> None:
        """Let it go."""
        os.close(self.fd)


class Kept(NamedTuple):
    """What :meth:`CacheEntries.kept` tells of an entry."""

    id: str
    used: float
    """When it was asked for last, in seconds since the epoch."""
    nbytes: int


class CacheEntries:
    """Entries in ``folder``; what goes is put into ``trash``, since it takes long to remove.

    Whoever calls :meth:`use`, :meth:`put`, :meth:`drop` or :meth:`sweep` has the lock of all.
    """

    def __init__(self, folder: Path, trash: Path) -> None:
        self._folder = folder
        self._trash = trash

    def kept(self) -> list[Kept]:
        """Return what is kept, that which was asked for longest ago first."""
        found = []
        for file in self._folder.glob("*.json"):
            with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
                used, nbytes = file.stat().st_mtime, int(_read(file)["nbytes"])
                found.append(Kept(file.stem, used, nbytes))
        return sorted(found, key=lambda each: (each.used, each.id))

    def is_there(self, identity: str) -> bool:
        """Return whether there is an entry, intact or not."""
        return self._manifest(identity).exists() and (self._folder / identity).is_dir()

    def use(self, identity: str) -> Entry | None:
        """Return an entry, which stays until it is closed; None where there is none."""
        lock = self._folder / f"{identity}.lock"
        fd = try_lock(lock, shared=True) if self.is_there(identity) else None
        if fd is None:
            return None
        os.utime(self._manifest(identity))
        return Entry(self._folder / identity, lock, fd)

    def is_intact(self, identity: str, read: Callable[[int], object]) -> bool:
        """Return whether the files are what they were; what others have added there goes.

        They are read again where anything tells that they may have been written to, and once after
        each start of the machine: what was not on the disk is lost with the power. That takes long;
        the caller uses the entry, and hasn't the lock of all. ``read``: see :func:`tree_of`.
        """
        place, manifest = self._folder / identity, self._manifest(identity)
        try:
            told = _read(manifest)
            before = {n: Content(d, x, tuple(s)) for n, (d, x, s) in told["tree"].items()}
            same_start = _boot() in (starts := list(told["starts"]))
            now = tree_of(place, before if same_start else None, read)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return False
        for name in sorted(now.keys() - before.keys(), reverse=True):
            remove_tree(place / name)
            del now[name]
        if digest_of_tree(now) != identity:
            return False
        if not same_start or now != before:
            others = starts if now == before else []  # else they are to read them too
            with contextlib.suppress(OSError):  # as on a full disk: they are read again then
                _write(manifest, now, others)
        return True

    def put(self, folder: Path, identity: str, tree: Tree) -> None:
        """Make a folder that nobody may write an entry, in the place of one that is spoilt."""
        self._discard(identity)
        folder.rename(self._folder / identity)
        _write(self._manifest(identity), tree)

    def drop(self, identity: str) -> bool:
        """Remove an entry; False where it is in use."""
        lock = self._folder / f"{identity}.lock"
        if (fd := try_lock(lock)) is None:
            return False
        try:
            self._discard(identity)
            lock.unlink(missing_ok=True)
        finally:
            os.close(fd)
        return True

    def sweep(self) -> None:
        """Remove entries that processes which were killed have not finished."""
        for each in self._folder.iterdir():
            if not each.suffix and not self._manifest(each.name).exists():
                self.drop(each.name)

    def _discard(self, identity: str) -> None:
        self._manifest(identity).unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (self._folder / identity).rename(self._trash / os.urandom(8).hex())

    def _manifest(self, identity: str) -> Path:
        return self._folder / f"{identity}.json"


def hold(lock: str) -> int | None:
    """Have an entry stay while the descriptor that is returned is open; another has it now."""
    with contextlib.suppress(OSError):
        return try_lock(Path(lock), shared=True)
    return None


def seal(folder: Path) -> None:
    """Have nobody write to the files of a folder, or put any into the folders in it."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(place, name)
            path.chmod(0o555 if path.stat().st_mode & 0o100 else 0o444)
        if Path(place) != folder:  # which could not be moved any more
            Path(place).chmod(0o555)


def _write(manifest: Path, tree: Tree, others: list[str] | None = None) -> None:
    nbytes = sum(each.stamp[0] for each in tree.values() if each.digest != FOLDER)
    starts = [*(each for each in others or () if each != _boot()), _boot()][-MACHINES:]
    value = {"nbytes": nbytes, "starts": starts, "tree": tree}
    write_whole(manifest, json.dumps(value).encode("ascii"), mode=0o600)


def _read(manifest: Path) -> Any:
    return json.loads(manifest.read_bytes())


def _boot() -> str:
    """Name the time since this machine was started."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""
