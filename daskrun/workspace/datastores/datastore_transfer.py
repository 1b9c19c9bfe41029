"""Copying files between a datastore and local folders."""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from daskrun.core.logs import get_logger
from daskrun.core.settings import ASIDE  # parts of unfinished runs: no result, never copied
from daskrun.errors import StorageError
from daskrun.shown.counted import many
from daskrun.storage.folders import make_folder
from daskrun.storage.pseudo_files import is_data
from daskrun.storage.retry import retry
from daskrun.storage.safe_names import below
from daskrun.storage.staged import is_flat
from daskrun.storage.urls import install, is_url, package_of, protocols_of, secrets_of, shown_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from daskrun.storage.urls import StorageOptions

Result = TypeVar("Result")
Say: TypeAlias = "Callable[[str], None] | None"
logger = get_logger("daskrun")


def missing_package(root: str) -> str | None:
    """Return what must be installed to use a URL, None where nothing is missing."""
    packages = map(package_of, protocols_of(root)) if is_url(root) else ()
    for package in filter(None, packages):
        if importlib.util.find_spec(package) is None:
            return f"{root}, which needs the package {package}. Install it: {install(package)}"
    return None


class Count:
    """Counts what is copied, and says so every few seconds and at the end.

    ``say``: takes a line; None: nothing is said but a warning of what was not copied. ``interval``:
    seconds between two lines.
    """

    def __init__(self, say: Say, interval: float) -> None:
        self._interval = interval
        self.copied = self.kept = 0
        self._say = say
        self._next = time.monotonic() + interval

    def add(self, copied: bool) -> None:
        """Count a file, one that was there already as kept."""
        self.copied += copied
        self.kept += not copied
        if self._say is not None and time.monotonic() >= self._next:
            self._next = time.monotonic() + self._interval
            self._say(f"{many(self.copied, 'file')} copied so far")

    def close(self) -> None:
        """Say how many there were."""
        if self._say is not None:
            self._say(f"{many(self.copied, 'file')} copied")
        if self.kept:
            logger.warning(
                "%s there already and kept as before (overwrite=False).", many(self.kept, "file")
            )


def named_below(
    files: Sequence[str | os.PathLike[str]], relative_root: str | os.PathLike[str] | None
) -> list[tuple[Path, str]]:
    """Return each file with its path below ``relative_root``; without one, with its name alone.

    Raises StorageError where one is no file, or not below that folder.
    """
    named = []
    for file in map(Path, files):
        if not file.is_file():
            raise StorageError(f"files: {str(file)!r} is not a file. Write ones that are there.")
        try:
            name = file.relative_to(relative_root).as_posix() if relative_root else file.name
        except ValueError:
            raise StorageError(
                f"relative_root={str(relative_root)!r} is not above {str(file)!r}. "
                "Write a folder that all files are in."
            ) from None
        named.append((file, name))
    return named


def put(
    pairs: Iterable[tuple[Path, str]], options: StorageOptions, overwrite: bool, count: Count
) -> int:
    """Copy local files to paths or URLs; give how many were copied."""
    for source, target in pairs:
        if is_url(target):
            count.add(_upload(source, target, options, overwrite))
        else:
            count.add(_copy(source, Path(target), overwrite))
    count.close()
    return count.copied


def get(
    root: str,
    start: str,
    target: Path,
    options: StorageOptions,
    overwrite: bool,
    count: Count,
    may_lack: bool = False,
) -> int:
    """Copy a file, or all files of a folder, to ``target``, with their paths below ``root``.

    Raises StorageError where there is no file, unless the folder ``may_lack`` them.
    """
    files = _remote_files(root, start, target, options) if is_url(root) else None
    secret = secrets_of(start, options)
    for place, copy in files or _local_files(root, start, target):
        if place.exists() and not overwrite:
            count.add(False)
            continue
        _make_whole(place, partial(_copied, f"copy {shown_url(start)} to {place}", copy, secret))
        count.add(True)
    may_lack = may_lack and (is_url(start) or Path(start).is_dir())
    if not count.copied and not count.kept and not may_lack:
        raise StorageError(
            f"there is no file in {shown_url(start)}, so there is nothing to download."
        )
    count.close()
    return count.copied


def _local_files(root: str, start: str, target: Path) -> Iterable[tuple[Path, Any]]:
    if Path(start).is_file():
        yield target / Path(start).relative_to(root), lambda to: shutil.copyfile(start, to)
        return
    for folder, folders, files in os.walk(start):
        folders[:] = sorted(name for name in folders if name != ASIDE)
        for name in sorted(files):
            path = Path(folder, name)
            if is_data(path):
                yield target / path.relative_to(root), lambda to, p=path: shutil.copyfile(p, to)


def _remote_files(
    root: str, start: str, target: Path, options: StorageOptions
) -> Iterable[tuple[Path, Any]]:
    def find() -> tuple[Any, str, list[str]]:
        fs, path = _remote(start, options)
        return fs, _remote(root, options)[1].rstrip("/") + "/", sorted(fs.find(path))

    fs, base, names = _explained(f"list {shown_url(start)}", find, secrets_of(start, options))
    # Without the objects that some tools have for folders.
    found = {name.removeprefix(base): name for name in names if not name.endswith("/")}
    wanted = [name for name in found if ASIDE not in name.split("/")]
    for name, place in below(str(target), wanted).items():
        yield Path(place), lambda to, n=found[name]: fs.get_file(n, str(to))


def _remote(url: str, options: StorageOptions) -> tuple[Any, str]:
    import fsspec  # 50 ms, and no local datastore needs it

    fs, path = fsspec.url_to_fs(url, **options)
    fs.invalidate_cache()  # what was listed before may have changed
    return fs, str(path)


def _upload(source: Path, target: str, options: StorageOptions, overwrite: bool) -> bool:
    """Copy a local file to a URL; False when there was one."""

    def put() -> bool:
        fs, path = _remote(target, options)
        if fs.exists(path) and not overwrite:
            return False
        if not is_flat(fs):
            fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        fs.put_file(str(source), path)
        return True

    return _explained(f"copy {source} to {shown_url(target)}", put, secrets_of(target, options))


def _explained(what: str, call: Callable[[], Result], options: StorageOptions) -> Result:
    """Do something with a store; what fails is one error of ours, without secrets."""
    return retry(what, call, options, tries=1)  # stores' own clients try again


def _copy(source: Path, target: Path, overwrite: bool) -> bool:
    """Copy one local file whole; False when it was there."""
    if target.exists() and not overwrite:
        return False
    _make_whole(target, partial(shutil.copyfile, source))
    return True


def _copied(what: str, copy: Callable[[Path], Any], options: StorageOptions, to: Path) -> None:
    _explained(what, partial(copy, to), options)


def _make_whole(target: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside first: a copy that is broken off must not look like a whole one."""
    make_folder(target.parent)
    aside = target.parent / f".daskrun-{os.urandom(8).hex()}.partial"
    try:
        write(aside)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
