"""What was fetched once is kept on this machine, for all processes and runs of this user.

In the cache's folder:

``entries/``
    Files, by the SHA-256 of their names, modes and contents, see :mod:`.cache_entries`.
``keys/<digest of a key>``
    A link that names what was fetched for that key; ``….lock``: it is being fetched or verified,
    and holds the number of bytes that were.
``making/``, ``trash/``
    What is on its way, and what goes.
``lock``
    Held, for milliseconds, to use, add or remove an entry.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.storage.cache_entries import CacheEntries, seal
from daskrun.storage.file_locks import try_lock, wait_for_lock
from daskrun.storage.folders import remove_tree, size_of
from daskrun.storage.own_folders import cache_folder, make_own, safe_folder
from daskrun.storage.trees import digest_of_tree, tree_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daskrun.storage.cache_entries import Entry, Kept

VARIABLE = "DASKRUN_CACHE"
"""Environment variable of a node: the folder of its cache."""
FREE = 0.1
"""Part of the disk that stays free."""
BRIEF = 30.0
"""Seconds in which the lock of all entries is got."""
LOOK_EVERY = 0.5
"""Seconds between two looks at how far another process's fetch is."""
STALLED = 120.0
"""Seconds without a byte after which another process's fetch is not waited for any more."""
PARTS = ("entries", "keys", "making", "trash")
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class NotKeptError(Exception):
    """The cache can't be used, and why; all goes on without it."""


def open_cache(limit: int, say: Callable[[str], object] | None = None) -> ContentCache:
    """Return this user's cache on this machine.

    ``say`` is told where it is in another folder than was meant, as others could fill that. Raises
    NotKeptError where there is none.
    """
    try:
        named = os.environ.get(VARIABLE)
        folder = safe_folder(Path(named), say) if named else cache_folder(say)
    except OSError as error:
        raise NotKeptError(str(error)) from error
    return cache_in(folder / "content", limit)


def cache_in(folder: Path, limit: int = sys.maxsize) -> ContentCache:
    """Return a cache in a folder, which is made; NotKeptError where it can't be."""
    with _of_cache():
        make_own(folder)
        for each in PARTS:
            make_own(folder / each)
    return ContentCache(folder, limit)


class ContentCache:
    """Fetches what is asked for once, and keeps it up to ``limit`` bytes, least used first to go.

    Any process may use it at any time. What is read of it is what was fetched: an entry that anyone
    has changed since is noticed and fetched anew.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._trash = folder / "trash"
        self._entries = CacheEntries(folder / "entries", self._trash)

    def get(
        self,
        key: str,
        size: Callable[[], int],
        make: Callable[[Path], object],
        *,
        waiting: Callable[[int], object] = lambda _: None,
        aside: Path | None = None,
    ) -> Entry:
        """Return the files of a key, fetched if they are not here; no other process does so too.

        Parameters
        ----------
        key
            Says which files they are: what is elsewhere, in which version.
        size
            Returns their bytes; asked where they must be fetched.
        make
            Puts them into the folder it is given. What it raises is raised here, and nothing stays.
        waiting
            Told twice a second how many bytes are here while another process fetches them, and how
            many were verified while that is done.
        aside
            A folder with a link to what is on its way: who removes that for a process that was
            killed is to remove what it leads to.

        Raises
        ------
        NotKeptError
            They can't be kept here.
        """
        name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        with self._fetching(name, waiting) as read:
            if (found := self._find(name, read)) is not None:
                return found
            with self._new_folder(name, size(), aside) as folder:
                try:
                    make(folder)
                except Exception as error:
                    if is_full(error):
                        raise NotKeptError(f"the disk of {self.folder} is full") from error
                    raise
                return self._add(name, folder, read)

    def kept(self) -> list[Kept]:
        """Return what is kept, that which was asked for longest ago first."""
        return self._entries.kept()

    def remove(self, identity: str) -> bool:
        """Remove an entry; False where it is in use."""
        with self._brief():
            gone = self._entries.drop(identity)
        self._empty_trash()
        return gone

    @contextlib.contextmanager
    def _fetching(
        self, name: str, waiting: Callable[[int], object]
    ) -> Iterator[Callable[[int], None]]:
        """Hold the lock of a key, which who fetches its files has; give what is told of reading."""
        path = self.folder / "keys" / f"{name}.lock"
        progress = _Progress(path, self.folder / "making", waiting)
        with _of_cache():
            fd = wait_for_lock(path, progress.goes_on)
        if fd is None:
            raise NotKeptError(f"another process fetches the same, and is stuck for {STALLED:g} s")
        try:
            yield _Verifying(fd, waiting).read
        finally:
            with contextlib.suppress(OSError):
                path.unlink()  # who waits for it makes another
            os.close(fd)

    def _find(self, name: str, read: Callable[[int], None]) -> Entry | None:
        """Return what is here for a key, if it is what was fetched."""
        with _of_cache():
            try:
                identity = str((self.folder / "keys" / name).readlink())
            except FileNotFoundError:
                return None
            return self._intact(identity, read)

    def _intact(self, identity: str, read: Callable[[int], None]) -> Entry | None:
        with self._brief():
            entry = self._entries.use(identity)
        if entry is None:
            return None
        try:
            intact = self._entries.is_intact(identity, read)
        except BaseException:
            entry.close()
            raise
        if not intact:
            entry.close()
        return entry if intact else None

    @contextlib.contextmanager
    def _new_folder(self, name: str, size: int, aside: Path | None) -> Iterator[Path]:
        """Make a folder for what is fetched, with room for it; it is gone when this is left."""
        folder = self.folder / "making" / f"{name}-{os.urandom(8).hex()}"
        link = aside / folder.name if aside is not None else None
        with _of_cache():
            for left in (self.folder / "making").glob(f"{name}-*"):  # of one that was killed
                remove_tree(left)
            if trouble := self._make_room(size):
                raise NotKeptError(f"they are {size:,} bytes, and {trouble}")
            if link is not None:
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(folder)
            make_own(folder)
        try:
            yield folder
        finally:
            remove_tree(folder)
            if link is not None:
                link.unlink(missing_ok=True)

    def _add(self, name: str, folder: Path, read: Callable[[int], None]) -> Entry:
        with _of_cache():
            seal(folder)
            identity = digest_of_tree(tree := tree_of(folder, None, read))
            entry = self._intact(identity, read)  # for another key
            with self._brief():
                if entry is None:
                    self._entries.put(folder, identity, tree)
                    entry = self._entries.use(identity)
                link = folder.with_suffix(".link")
                link.symlink_to(identity)
                link.replace(self.folder / "keys" / name)
            if entry is None:
                raise NotKeptError(f"{identity} was removed from {self.folder}")
            with contextlib.suppress(NotKeptError, OSError):  # who comes next makes room
                self._make_room(0)
            return entry

    def _make_room(self, size: int) -> str:
        """Remove what was asked for longest ago until there is room for so many bytes more.

        Returns why there is none.
        """
        with self._brief():
            self._sweep()
            kept = self.kept()
            total = sum(each.nbytes for each in kept)
            disk = shutil.disk_usage(self.folder)
            free = disk.free - int(FREE * disk.total)
            if size > self.limit or size > free + total:
                kept = []  # nothing would help
            for each in kept:
                if total + size <= self.limit and size <= free:
                    break
                if self._entries.drop(each.id):
                    total, free = total - each.nbytes, free + each.nbytes
        self._empty_trash()
        if size > self.limit:
            return f"the limit is {self.limit:,}"
        if total + size > self.limit:
            return f"of the limit of {self.limit:,} runs have {total:,} in use"
        if size > free:
            return f"on the disk of {self.folder} {max(0, free):,} may be used"
        return ""

    def _sweep(self) -> None:
        """Put into the trash what processes that were killed have left."""
        for each in (self.folder / "making").iterdir():
            lock = self.folder / "keys" / f"{each.name.partition('-')[0]}.lock"
            if (fd := try_lock(lock)) is not None:
                with contextlib.suppress(FileNotFoundError):
                    each.rename(self._trash / os.urandom(8).hex())
                lock.unlink(missing_ok=True)
                os.close(fd)
        for each in (self.folder / "keys").iterdir():
            if each.is_symlink() and not self._entries.is_there(str(each.readlink())):
                each.unlink(missing_ok=True)
        self._entries.sweep()

    def _empty_trash(self) -> None:
        for each in self._trash.iterdir():
            remove_tree(each)

    @contextlib.contextmanager
    def _brief(self) -> Iterator[None]:
        """Hold the lock of all entries."""
        until = time.monotonic() + BRIEF
        fd = wait_for_lock(self.folder / "lock", lambda: time.monotonic() < until)
        if fd is None:
            raise NotKeptError(f"{self.folder / 'lock'} is held by another process")
        try:
            yield
        finally:
            os.close(fd)


class _Verifying:
    """How many bytes were verified: told to who asked, and in the lock of the key to others."""

    def __init__(self, fd: int, waiting: Callable[[int], object]) -> None:
        self._fd = fd
        self._waiting = waiting
        self._here = 0
        self._next = 0.0

    def read(self, nbytes: int) -> None:
        """Add what was read."""
        self._here += nbytes
        if (now := time.monotonic()) >= self._next:
            self._next = now + LOOK_EVERY
            os.pwrite(self._fd, b"%d" % self._here, 0)
            self._waiting(self._here)


class _Progress:
    """How another process goes on that fetches or verifies what a key stands for."""

    def __init__(self, lock: Path, folder: Path, waiting: Callable[[int], object]) -> None:
        self._lock = lock
        self._folder = folder
        self._pattern = f"{lock.stem}-*"
        self._waiting = waiting
        self._here = -1
        self._since = time.monotonic()
        self._next_look = self._since + LOOK_EVERY

    def goes_on(self) -> bool:
        """Return whether it is worth waiting longer."""
        now = time.monotonic()
        if now < self._next_look:
            return True
        self._next_look = now + LOOK_EVERY
        here = sum(map(size_of, self._folder.glob(self._pattern)))
        with contextlib.suppress(OSError, ValueError):
            here = int(self._lock.read_bytes())
        if here != self._here:
            self._here, self._since = here, now
        self._waiting(here)
        return now < self._since + STALLED


def is_full(error: BaseException | None) -> bool:
    """Return whether an error is that a disk is full, or comes of that."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def _of_cache() -> Iterator[None]:
    """Turn errors of the cache's own folder into NotKeptError."""
    try:
        yield
    except OSError as error:
        raise NotKeptError(str(error)) from error
