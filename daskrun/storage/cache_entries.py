"""The entries of a cache: folders that are named by what they hold, and that nobody may write.

``<id>/`` has the files, ``<id>.json`` what they hold, its time is when they were asked for last,
``<id>.lock`` is locked by each process that uses them, so that they are not removed.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from daskrun.storage.durable import write_whole
from daskrun.storage.file_locks import try_lock
from daskrun.storage.folders import remove_tree
from daskrun.storage.trees import FOLDER, Content, Tree, digest_of_tree, tree_of


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

    def is_intact(self, identity: str) -> bool:
        """Return whether the files are what they were; what others have added there goes.

        They are read again where anything tells that they may have been written to, and once after
        each start of the machine: what was not on the disk is lost with the power.
        """
        place, manifest = self._folder / identity, self._manifest(identity)
        try:
            told = _read(manifest)
            before = {n: Content(d, x, tuple(s)) for n, (d, x, s) in told["tree"].items()}
            same_start = told["boot"] == _boot()
            now = tree_of(place, before if same_start else None)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return False
        for name in sorted(now.keys() - before.keys(), reverse=True):
            remove_tree(place / name)
            del now[name]
        if digest_of_tree(now) != identity:
            return False
        if not same_start or now != before:
            _write(manifest, now)
        return True

    def put(self, folder: Path) -> str:
        """Make a folder an entry, and return its id."""
        _seal(folder)
        tree = tree_of(folder)
        identity = digest_of_tree(tree)
        if not (self.is_there(identity) and self.is_intact(identity)):
            self._discard(identity)
            folder.rename(self._folder / identity)
            _write(self._manifest(identity), tree)
        return identity

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


def _seal(folder: Path) -> None:
    """Have nobody write to the files of a folder, or put any into the folders in it."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(place, name)
            path.chmod(0o555 if path.stat().st_mode & 0o100 else 0o444)
        if Path(place) != folder:  # which could not be moved any more
            Path(place).chmod(0o555)


def _write(manifest: Path, tree: Tree) -> None:
    nbytes = sum(each.stamp[0] for each in tree.values() if each.digest != FOLDER)
    value = {"nbytes": nbytes, "boot": _boot(), "tree": tree}
    write_whole(manifest, json.dumps(value).encode("ascii"), mode=0o600)


def _read(manifest: Path) -> Any:
    return json.loads(manifest.read_bytes())


def _boot() -> str:
    """Name the time since this machine was started."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""
