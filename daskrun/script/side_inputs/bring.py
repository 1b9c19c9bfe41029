"""Side inputs on a node: linked or copied there, whole before any script is imported."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.data.paths import PathTable, local_copies
from daskrun.data.protocols import shown_url
from daskrun.errors import DaskrunError, DatasetError
from daskrun.script.messages import BringSideInputs, Brought, BroughtSoFar, Unprepared
from daskrun.script.node_folders import base_folder
from daskrun.script.side_inputs.location import FOLDER, in_place, is_absolute, link_at, with_file
from daskrun.script.wire import pack, told_first, write_all
from daskrun.shown.url_secrets import shown_text
from daskrun.storage.retry import retry
from daskrun.storage.urls import secrets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daskrun.data.remote_files import RemoteFolder
    from daskrun.script.node_spec import SideInputSpec
    from daskrun.script.side_inputs.location import Described

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


def bring_here(described: Described, folder: Path, run_id: str) -> dict[str, str]:
    """Bring side inputs to this node, in this thread, and return their paths.

    Raises
    ------
    DaskrunError
        One can't be had; it is named, with the file and the reason.
    """
    rest = {name: side for name, side in described.items() if not side.there}
    return {**in_place(described), **(Bringing(rest, folder, run_id).bring() if rest else {})}


class Bringing:
    """Side inputs on their way to a node."""

    def __init__(self, described: Described, folder: Path, run_id: str) -> None:
        self._described = described
        self._folder = folder / FOLDER
        self._run_id = run_id
        self._lock = threading.Lock()
        self._roots: dict[str, RemoteFolder] = {}
        self._made: set[str] = set()
        """Folders that are there."""
        self._under_way: set[str] = set()
        self._files = self._bytes = 0
        self._error: Exception | None = None
        self._over = False

    def bring(self, tell: Callable[[BroughtSoFar], None] | None = None) -> dict[str, str]:
        """Bring all of them, and return their paths.

        ``tell`` is called a few times a second with what is here.
        """
        files = list(self._wanted())
        self._check_room(files)
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
        finally:
            self._over = True
        if self._error is not None:
            raise self._error
        return {name: self._settle(name, side) for name, side in self._described.items()}

    def _wanted(self) -> Iterator[_File]:
        for name, side in self._described.items():
            table = PathTable.from_bytes(zlib.decompress(side.table))
            with _named(name):
                copies = local_copies(f"{self._folder / name}.partial", table)
            sizes = dict(zip(table, table.sizes, strict=True))
            for inside, target in copies.items():
                source = _source(side, inside)
                yield _File(name, source, inside, target, sizes[inside])

    def _check_room(self, files: list[_File]) -> None:
        """Check that what is copied leaves room on the disk for all else."""
        self._folder.mkdir(parents=True, exist_ok=True)
        copied = [each for each in files if self._described[each.side].copy]
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
        if not side.copy:
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
        if file.size not in (-1, size):
            raise DatasetError(
                f"{shown_url(file.source)!r} had {file.size:,} bytes when it was listed and has "
                f"{size:,} now. Submit the pipeline again."
            )
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
        bringing = Bringing(told.side_inputs, Path(told.folder), told.run_id)
        tell(Brought(bringing.bring(tell)))
    except Exception as error:  # noqa: BLE001  (the keeper tells it)
        text = str(error) if isinstance(error, DaskrunError) else f"{type(error).__name__}: {error}"
        tell(Unprepared(shown_text(text)))
