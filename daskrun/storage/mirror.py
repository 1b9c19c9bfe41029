"""A folder here and its like behind a URL: what one writes here is put there, and brought back."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.core.json_text import parsed
from daskrun.errors import StorageError
from daskrun.storage.durable import write_whole
from daskrun.storage.folders import make_folder
from daskrun.storage.safe_names import inside

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from daskrun.storage.url_folder import UrlFolder

AT_ONCE = 8
"""Files put or read at once: round trips of tens of milliseconds are hidden, few sockets used."""
SENT_A_SECOND, GROWTH = 2**18, 1.25
"""A file that grows is put whole each time, unless the store can add to it. One of so many bytes is
every second, larger ones more seldom, or when they have grown so many times."""
READ_A_SECOND = 2**24
"""Of a file that the store adds to: all of it is read, to see that it has only grown."""
LARGE = 2**20
"""Bytes of a file of which it is noted what is there."""
MODES = ".modes.json"
"""Of a folder there: what its objects can't say of themselves."""
TEMPORARY = re.compile(r"\.\d+-[0-9a-f]{16}\.tmp", re.ASCII)
Version = tuple[int, int]
"""Bytes and ``mtime_ns``."""


class Mirror:
    """Keeps a folder behind a URL as it is here. Any thread may call anything.

    Files that ``write_whole`` is writing are left out. Of modes it is kept which files of ``code``
    may be executed.

    ``folder``: here; need not be there. ``remote``: its like. ``leave_out``: whether what is at a
    name is neither put nor brought. ``code``: a folder in it, ``""`` for all of it, whose
    executable files and empty folders are kept as such; it is written once. None: there is none.
    ``once``: a folder in it whose files never change: of two who put one of a name the first is
    heard.
    """

    def __init__(
        self,
        folder: Path,
        remote: UrlFolder,
        leave_out: Callable[[str], bool] = lambda _: False,
        code: str | None = None,
        once: str = "",
    ) -> None:
        self.folder = folder
        self.remote = remote
        self._leave_out = leave_out
        self._code = code
        self._once = once
        self._modes: dict[str, list[str]] = {}
        """What ``MODES`` says there."""
        self._modes_due = False
        self._lock = threading.RLock()
        self._put: dict[str, Version] = {}
        """Which version of each file is there."""
        self._crcs: dict[str, int] = {}
        """Of large files, what is there."""
        self._added_to: set[str] = set()
        """Files that the store has added to."""
        self._put_at: dict[str, float] = {}
        self._brought: dict[str, str] = {}
        """Which version of each object is here."""
        self._mine: set[str] = set()
        """What was put from here, and so is newest here."""

    def put(
        self, last: str = "", *, below: str = "", all_of_it: bool = True, code: bool = True
    ) -> None:
        """Put every file that is new or changed.

        What is gone here stays there until :meth:`delete`: who tidies up temporary folders knows
        nothing of what is kept. ``last``: names that begin so are put when the others are.
        ``below``: only what is in this folder, the others are not looked at. ``all_of_it``: whether
        also large files are put that were put a moment ago. ``code``: whether to look at the code
        too, which may be 20,000 files. Raises StorageError where the store fails; what could be put
        is.
        """
        if self._code == "" and (self.folder / MODES).exists():
            raise StorageError(
                f"{self.folder} holds a file {MODES}, and daskrun keeps one of that name beside "
                "such folders. Rename yours."
            )
        with self._lock:
            here = self._look(code, below)
            now = time.monotonic()
            changed = [
                name
                for name, version in here.items()
                if self._put.get(name) != version
                and (all_of_it or self._is_due(name, version[0], now))
            ]
            late = [name for name in changed if last and name.startswith(last)]
            self._modes_due |= any(self._is_code(name) for name in changed)
            self._put_all([name for name in changed if name not in late])
            if self._modes_due:
                self._put_modes()
            self._put_all(late)

    def delete(self, *names: str) -> None:
        """Delete files, and all of folders, here and there."""
        with self._lock:
            for name in names:
                below = [f"{name}/{each}" for each in self.remote.names(name) if each]
                self.remote.delete([name, *below])
                path = self.folder / name
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
                for each in [each for each in self._put if _is_below(each, (name,))]:
                    del self._put[each]

    def bring(self, *below: str, over: bool, keep: str = "") -> None:
        """Have here what is there of some folders or files.

        ``below``: their names; none for all. ``over``: whether that goes over what was written
        here, which then is old: files that are not there are removed too. ``keep``: a folder of
        which no file is removed, since any process may write new ones at any time. Raises
        StorageError where the store or the disk fails.
        """
        with self._lock:
            there: dict[str, str] = {}
            for name in below or ("",):
                versions = self.remote.versions(name)
                # of a single file the store tells under no name
                there.update(
                    (f"{name}/{each}".strip("/") if each else name, version)
                    for each, version in versions.items()
                )
            there = {
                name: version
                for name, version in there.items()
                if name
                and name[-1] != "/"  # some tools have objects for folders
                and not self._skips(name)
                and (over or name not in self._mine)
            }
            for name in there:  # all, before the first is written
                inside(self.folder, name)
            wanted = [
                name
                for name, version in there.items()
                if self._brought.get(name) != version or not (self.folder / name).exists()
            ]
            if any(self._is_code(name) for name in wanted):
                self._bring_modes()
            self._bring_all(wanted)
            self._brought.update(there)
            if over:
                self._mine.clear()
                gone = [n for n in self._look() if n not in there and _is_below(n, below)]
                self._remove([n for n in gone if not (keep and _is_below(n, (keep,)))])

    def forget(self) -> None:
        """Delete all there, and here."""
        with self._lock:
            self.remote.delete(self.remote.names())
            shutil.rmtree(self.folder, ignore_errors=True)
            self._put.clear()
            self._brought.clear()

    def _remove(self, names: list[str]) -> None:
        for name in names:
            (self.folder / name).unlink(missing_ok=True)
            self._brought.pop(name, None)
            self._put.pop(name, None)

    def _look(self, code: bool = True, below: str = "") -> dict[str, Version]:
        """Return the files that are here."""
        found: dict[str, Version] = {}
        for place, folders, names in os.walk(self.folder / below):
            within = Path(place).relative_to(self.folder)
            if not code:
                folders[:] = [each for each in folders if (within / each).as_posix() != self._code]
            for each in names:
                name = (within / each).as_posix()
                if not self._skips(name):
                    with suppress(FileNotFoundError):
                        now = Path(place, each).stat()
                        found[name] = now.st_size, now.st_mtime_ns
        return found

    def _is_code(self, name: str) -> bool:
        return self._code is not None and _is_below(name, (self._code,) if self._code else ())

    def _put_modes(self) -> None:
        """Put what objects can't say of themselves, where there is such."""
        executable, empty = [], []
        for place, folders, names in os.walk(self.folder / (self._code or "")):
            within = Path(place).relative_to(self.folder)
            if not folders and not names:
                empty.append(within.as_posix())
            for each in names:
                with suppress(FileNotFoundError):
                    if Path(place, each).stat().st_mode & stat.S_IXUSR:
                        executable.append((within / each).as_posix())
        modes = {"executable": executable, "empty_folders": empty}
        if modes != self._modes and (executable or empty or self._modes):
            self.remote.put(MODES, json.dumps(modes).encode())
            self._modes = modes
        self._modes_due = False

    def _bring_modes(self) -> None:
        """Read that, and make the folders that no object is in."""
        with suppress(FileNotFoundError):
            self._modes = self._modes_of(self.remote.read_whole(MODES))
        for name in self._modes.get("empty_folders", ()):
            if name != ".":
                make_folder(inside(self.folder, name))

    def _modes_of(self, data: bytes) -> dict[str, list[str]]:
        try:
            told = parsed(data)
            return {key: [*map(str, told[key])] for key in ("executable", "empty_folders")}
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            place = self.remote.shown(MODES)
            raise StorageError(f"{place} is not what was put there: {error!r}") from error

    def _skips(self, name: str) -> bool:
        temporary = TEMPORARY.fullmatch(name.rpartition("/")[2]) is not None
        return temporary or name == MODES or self._leave_out(name)

    def _is_due(self, name: str, size: int, now: float) -> bool:
        there = self._put.get(name, (0, 0))[0]
        added, last = name in self._added_to, self._put_at.get(name, float("-inf"))
        due = last + there / (READ_A_SECOND if added else SENT_A_SECOND)
        return now > due or (size > GROWTH * there and not added)

    def _put_all(self, names: list[str]) -> None:
        if len(names) < 2:
            for name in names:
                self._put_one(name)
            return
        with ThreadPoolExecutor(min(AT_ONCE, len(names)), "daskrun-put") as pool:
            puts = [pool.submit(self._put_one, name) for name in names]
            trouble = [error for put in puts if (error := put.exception()) is not None]
        if trouble:
            raise trouble[0]

    def _put_one(self, name: str) -> None:
        try:
            file = (self.folder / name).open("rb")
        except FileNotFoundError:  # removed meanwhile
            return
        with file:
            now = os.fstat(file.fileno())
            if self._once and _is_below(name, (self._once,)):
                self._create(name, file.read())
            else:
                self._send(name, file, now.st_size)
        self._put[name] = now.st_size, now.st_mtime_ns
        self._put_at[name] = time.monotonic()
        self._mine.add(name)

    def _send(self, name: str, file: IO[bytes], size: int) -> None:
        """Put a file; where it has only grown since it was put, the store may keep what it has."""
        there, crc = min(self._put.get(name, (0, 0))[0], size), 0
        if size > LARGE:
            crc = _crc(file, there)
            there = there if crc == self._crcs.get(name) else 0
        sent, _ = self.remote.put_file(name, file, size, there)
        if size > LARGE:
            file.seek(there)
            self._crcs[name] = _crc(file, size - there, crc if there else 0)
            (self._added_to.add if sent < size else self._added_to.discard)(name)

    def _create(self, name: str, data: bytes) -> None:
        try:
            self.remote.create(name, data)
        except FileExistsError:
            if self.remote.read_whole(name) != data:
                raise StorageError(
                    f"{self.remote.shown(name)} was written by another process."
                ) from None

    def _bring_all(self, names: list[str]) -> None:
        if names:
            with ThreadPoolExecutor(min(AT_ONCE, len(names)), "daskrun-bring") as pool:
                for _ in pool.map(self._bring_one, names):
                    pass

    def _bring_one(self, name: str) -> None:
        path = self.folder / name
        with suppress(FileNotFoundError):  # removed meanwhile
            data = self.remote.read_whole(name)
            try:
                make_folder(path.parent)
                executable = name in self._modes.get("executable", ())
                write_whole(path, data, mode=0o700 if executable else 0o600)
                now = path.stat()
            except OSError as error:
                raise StorageError(f"can't write {path}: {error}") from error
            self._put[name] = now.st_size, now.st_mtime_ns


def _is_below(name: str, places: tuple[str, ...]) -> bool:
    return not places or any(name == each or name.startswith(f"{each}/") for each in places)


def _crc(file: IO[bytes], size: int, crc: int = 0) -> int:
    """Return the CRC of the bytes that follow in a file, where ``crc`` is that of those before."""
    while size > 0 and (data := file.read(min(size, LARGE))):
        crc, size = zlib.crc32(data, crc), size - len(data)
    return crc


def bring_whole(folder: UrlFolder, name: str, target: Path) -> None:
    """Have a file or folder behind a URL here too: whole, or not at all.

    ``folder``: that it is in, and that was put as one, as code. ``name``: its name there.
    ``target``: where it goes; what is there already is taken for it. Raises StorageError where
    there is nothing, or the store or the disk fails.
    """
    inside(target.parent, name)  # it may come from a record
    if target.exists():
        return
    aside = target.with_name(f".{target.name}-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        make_folder(aside, exist_ok=False)
        Mirror(aside, folder, code="").bring(name, over=True)
        if not (aside / name).exists():
            raise StorageError(f"{folder.shown(name)} is not there")
        with suppress(FileExistsError):
            (aside / name).rename(target)
    except OSError as error:
        if target.exists():  # another process was quicker: a folder can't be put over its
            return
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"can't bring {folder.shown(name)} to {target}: {error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
