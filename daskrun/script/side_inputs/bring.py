"""Side inputs on a node: linked or copied there, whole before any script is imported."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
import zlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.data.paths import PathTable, local_copies
from daskrun.data.protocols import shown_url
from daskrun.errors import DaskrunError, DatasetError
from daskrun.script.messages import BringSideInputs, Brought, BroughtSoFar, Notice, Unprepared
from daskrun.script.node_folders import ELSEWHERE, base_folder
from daskrun.script.side_inputs.location import FOLDER, in_place, is_absolute, link_at, with_file
from daskrun.script.wire import pack, told_first, write_all
from daskrun.shown.url_secrets import shown_text
from daskrun.storage.content_cache import NotKeptError, open_cache
from daskrun.storage.retry import retry
from daskrun.storage.urls import secrets_of, store_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daskrun.data.remote_files import RemoteFolder
    from daskrun.script.node_spec import SideInputSpec
    from daskrun.script.side_inputs.location import Described
    from daskrun.storage.cache_entries import Entry

THREADS = 8
"""Files on their way at a time: enough to hide round trips of tens of milliseconds."""
FREE = 0.1
"""Part of the disk that stays free."""
LOOK_EVERY = 0.5
"""Seconds between two looks at how far it is."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is to be on the node."""

    side: str
    source: str
    """Path or URL."""
    name: str
    """Below the root of its side input."""
    target: str
    size: int
    """As it was listed; -1 unknown."""


class Bringing:
    """Side inputs on their way to a node.

    What comes from URLs is kept for other nodes and runs on this machine, up to ``cache_limit``
    bytes; ``say`` is told where that can't be.
    """

    def __init__(
        self,
        described: Described,
        folder: Path,
        run_id: str,
        cache_limit: int = 0,
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._there = in_place(described)
        self._described = {name: side for name, side in described.items() if not side.there}
        self._node_folder = folder
        self._folder = folder / FOLDER
        self._run_id = run_id
        self._cache_limit = cache_limit
        self._say = say
        self.entries: list[Entry] = []
        """Of the cache: what scripts find there."""
        self._lock = threading.Lock()
        self._roots: dict[str, RemoteFolder] = {}
        self._made: set[str] = set()
        """Folders that are there."""
        self._under_way: set[str] = set()
        self._files = self._bytes = 0
        self._error: Exception | None = None
        self._over = False

    def bring(self, tell: Callable[[BroughtSoFar], None] | None = None) -> dict[str, str]:
        """Bring all of them, in this thread, and return their paths.

        ``tell`` is called a few times a second with what is here.

        Raises
        ------
        DaskrunError
            One can't be had; it is named, with the file and the reason.
        """
        for name, side in self._described.items():
            if side.remote and self._cache_limit:
                self._described[name] = self._kept(name, side, tell)
        files = [
            file
            for name in self._described
            for file in self._wanted(name, f"{self._folder / name}.partial")
        ]
        if files:
            self._check_room(files)
            self._bring_all(files, tell)
        settled = {name: self._settle(name, side) for name, side in self._described.items()}
        return {**self._there, **settled}

    def let_go(self) -> None:
        """Have the cache remove what was used, when it needs the room."""
        while self.entries:
            self.entries.pop().close()

    def _kept(
        self, name: str, side: SideInputSpec, tell: Callable[[BroughtSoFar], None] | None
    ) -> SideInputSpec:
        """Have the files of a side input in the cache, and return it as one of that folder.

        As it is where the cache can't be used, or the store doesn't tell versions apart.
        """
        table = self._table(name)
        if (versions := self._versions(name, table)) is None:
            return side

        def fetch(folder: Path) -> None:
            self._bring_all(list(self._wanted(name, str(folder))), tell)
            if self._versions(name, table) != versions:
                raise DatasetError(
                    f"side input {name!r}: what is at {shown_url(side.root)!r} has changed while "
                    "it was copied. Submit the pipeline again."
                )

        def waiting(nbytes: int) -> None:
            if tell is not None:
                tell(BroughtSoFar(0, nbytes))

        told = ["side input", shown_url(side.root), store_of(side.options), *versions.items()]
        try:
            entry = open_cache(self._cache_limit, self._say).get(
                json.dumps(told),
                lambda: sum(max(0, size) for size in table.sizes),
                fetch,
                waiting=waiting,
                aside=self._node_folder / ELSEWHERE,
            )
        except NotKeptError as error:
            self._say(f"side input {name!r} is not kept for later runs: {error}")
            return side
        self.entries.append(entry)
        with _named(name):
            for inside, size in zip(table, table.sizes, strict=True):
                here = Path(f"{entry.path}/{inside}").stat().st_size
                _check_size(_source(side, inside), size, here)
        return replace(side, root=str(entry.path), remote=False)

    def _versions(self, name: str, table: PathTable) -> dict[str, str] | None:
        """Return which version there is of each file; None where that can't be told."""
        try:
            found = self._root(name).versions(list(dict.fromkeys(table)))
        except Exception:  # noqa: BLE001  (a file system's own; to fetch them has it told)
            return None
        return found if all(found.values()) else None

    def _bring_all(self, files: list[_File], tell: Callable[[BroughtSoFar], None] | None) -> None:
        queue = iter(files)
        threads = [
            threading.Thread(target=self._work, args=(queue,), daemon=True)
            for _ in range(min(THREADS, len(files)))
        ]
        for each in threads:
            each.start()
        try:
            for each in threads:
                while each.is_alive():
                    each.join(LOOK_EVERY)
                    if tell is not None:
                        tell(self._so_far())
        except BaseException:
            self._over = True
            raise
        error, self._error = self._error, None
        if error is not None:
            self._under_way.clear()
            raise error

    def _table(self, name: str) -> PathTable:
        return PathTable.from_bytes(zlib.decompress(self._described[name].table))

    def _wanted(self, name: str, folder: str) -> Iterator[_File]:
        table, side = self._table(name), self._described[name]
        with _named(name):
            copies = local_copies(folder, table)
        sizes = dict(zip(table, table.sizes, strict=True))
        for inside, target in copies.items():
            source = _source(side, inside)
            yield _File(name, source, inside, target, sizes[inside])

    def _check_room(self, files: list[_File]) -> None:
        """Check that what is copied leaves room on the disk for all else."""
        self._folder.mkdir(parents=True, exist_ok=True)
        sides = self._described
        copied = [each for each in files if sides[each.side].copy or sides[each.side].remote]
        needed = sum(max(0, each.size) for each in copied)
        disk = shutil.disk_usage(self._folder)
        if needed > disk.free - FREE * disk.total:
            names = ", ".join(repr(name) for name in dict.fromkeys(each.side for each in copied))
            raise DatasetError(
                f"side inputs {names} are {needed:,} bytes, and on the node's disk, at "
                f"{base_folder()}, {disk.free:,} are free, of which {FREE * disk.total:,.0f} must "
                "stay so. Set TMPDIR on the node to a folder on a larger disk, or give fewer files."
            )

    def _work(self, queue: Iterator[_File]) -> None:
        while not self._over and self._error is None:
            with self._lock:
                file = next(queue, None)
                if file is None:
                    return
                self._under_way.add(file.target)
            try:
                with _named(file.side):
                    size = self._bring(file)
            except Exception as error:  # noqa: BLE001  (raised in the thread that waits)
                self._error = self._error or error
                return
            with self._lock:
                self._under_way.discard(file.target)
                self._files += 1
                self._bytes += size

    def _bring(self, file: _File) -> int:
        """Link or copy one file; give how many bytes that took."""
        side = self._described[file.side]
        self._make_folder(str(Path(file.target).parent))
        if not (side.copy or side.remote):
            Path(file.target).symlink_to(file.source)
            return 0
        copy: Callable[[], object] = partial(shutil.copyfile, file.source, file.target)
        if side.remote:
            copy = partial(self._root(file.side).fetch, file.name, file.target)
        # Once: stores' own clients try again, for some 10 s.
        retry(
            f"copy {shown_url(file.source)!r} to the node",
            copy,
            secrets_of(side.root, side.options),
            tries=1,
        )
        size = Path(file.target).stat().st_size
        _check_size(file.source, file.size, size)
        return size

    def _make_folder(self, folder: str) -> None:
        if folder not in self._made:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103
            self._made.add(folder)

    def _root(self, name: str) -> RemoteFolder:
        from daskrun.data.remote_files import RemoteFolder

        with self._lock:
            if name not in self._roots:
                side = self._described[name]
                open_root = partial(RemoteFolder, side.root, side.options)
                what = f"open {shown_url(side.root)!r}"
                self._roots[name] = retry(what, open_root, secrets_of(side.root, side.options))
            return self._roots[name]

    def _so_far(self) -> BroughtSoFar:
        with self._lock:
            found, under_way = (self._files, self._bytes), list(self._under_way)
        return BroughtSoFar(found[0], found[1] + sum(map(_size, under_way)))

    def _settle(self, name: str, side: SideInputSpec) -> str:
        """Show a side input, now that it is whole, where it shall be."""
        home = self._folder / name
        home.with_name(f"{name}.partial").rename(home)
        asked = side.path
        if asked is None:
            return with_file(str(home), side)
        if is_absolute(side):
            with _named(name):
                link_at(Path(asked), home, self._run_id)
            return with_file(asked, side)
        place = home.with_name(f"{name}.at") / asked
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(home)
        return with_file(str(place), side)


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Name the side input in errors that are of it."""
    try:
        yield
    except DaskrunError as error:
        raise DatasetError(f"side input {name!r}: {error}") from error
    except OSError as error:
        raise DatasetError(f"side input {name!r}: {type(error).__name__}: {error}") from error


def _check_size(source: str, listed: int, size: int) -> None:
    if listed not in (-1, size):
        raise DatasetError(
            f"{shown_url(source)!r} had {listed:,} bytes when it was listed and has {size:,} now. "
            "Submit the pipeline again."
        )


def _source(side: SideInputSpec, name: str) -> str:
    if side.remote:
        from daskrun.data.remote_files import join_url

        return join_url(side.root, name)
    return f"{side.root.rstrip('/')}/{name}"


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def main() -> None:
    """Bring what the keeper asks for, and tell it how far that is."""
    memory, out = map(int, sys.argv[-2:])
    told: BringSideInputs = told_first(memory, out)

    def tell(message: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # the keeper is gone, and this process with it
            write_all(out, pack(message))

    try:
        bringing = Bringing(
            told.side_inputs,
            Path(told.folder),
            told.run_id,
            told.cache_limit,
            lambda text: tell(Notice(text)),
        )
        paths = bringing.bring(tell)
        tell(Brought(paths, [str(each.lock) for each in bringing.entries]))
    except Exception as error:  # noqa: BLE001  (the keeper tells it)
        text = str(error) if isinstance(error, DaskrunError) else f"{type(error).__name__}: {error}"
        tell(Unprepared(shown_text(text)))
    else:
        signal.pause()  # until the keeper, which ends this process, has the entries for itself
