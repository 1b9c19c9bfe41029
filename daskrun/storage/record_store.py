"""Where records are kept: in a folder, or behind a URL. Each is created whole and exclusively."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from daskrun.core.typing import override
from daskrun.errors import StorageError
from daskrun.storage.durable import publish_new, read_file, sync_folder, write_aside, write_whole
from daskrun.storage.folders import make_folder

if TYPE_CHECKING:
    from pathlib import Path

    from daskrun.storage.url_folder import UrlFolder

NUMBERED = re.compile(r"([1-9][0-9]{0,17})\.json", re.ASCII)
TRIES = 20
"""How often a folder that others delete is made again."""


class RecordStore(Protocol):
    """Keeps the files ``<kind>/<name>/<number>.json``. An empty one holds nothing.

    Every method raises ``StorageError`` where the place can't be used, but for those of a folder
    that write, which raise ``OSError``.
    """

    def shown(self, kind: str, name: str, number: int) -> str:
        """Return the place of a file as messages show it."""

    def names(self, kind: str) -> list[str]:
        """Return the names that have a file which holds something, sorted."""

    def numbers(self, kind: str, name: str) -> list[int]:
        """Return all numbers of a name, ascending, with those that hold nothing."""

    def holding(self, kind: str, name: str) -> list[int]:
        """Return the numbers of a name that hold something, ascending."""

    def read(self, kind: str, name: str, number: int) -> bytes | None:
        """Return what a file holds; None where there is none."""

    def create(self, kind: str, name: str, number: int, data: bytes) -> None:
        """Make a file; it appears whole. Raises ``FileExistsError`` where there is one."""

    def empty(self, kind: str, name: str, number: int) -> None:
        """Have a file that is there hold nothing."""

    def delete(self, kind: str, name: str) -> bool:
        """Remove all files of a name; False where there was none."""


class FolderRecordStore(RecordStore):
    """Records in a folder, which is made when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    @override
    def shown(self, kind: str, name: str, number: int) -> str:
        return str(self._path(kind, name, number))

    @override
    def names(self, kind: str) -> list[str]:
        try:
            with os.scandir(self._folder / kind) as entries:
                found = [e.name for e in entries if not e.name.startswith(".") and e.is_dir()]
        except FileNotFoundError:
            return []
        return sorted(name for name in found if self._any_holds(kind, name))

    @override
    def numbers(self, kind: str, name: str) -> list[int]:
        folder = self._folder / kind / name
        try:
            found = os.listdir(folder)  # noqa: PTH208 - names only, and there may be thousands
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(f"can't read the records in {folder}: {error}") from error
        return sorted(int(match[1]) for text in found if (match := NUMBERED.fullmatch(text)))

    @override
    def holding(self, kind: str, name: str) -> list[int]:
        return [n for n in self.numbers(kind, name) if self._holds(kind, name, n)]

    @override
    def read(self, kind: str, name: str, number: int) -> bytes | None:
        path = self._path(kind, name, number)
        try:
            return read_file(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError(f"can't read {path}: {error}") from error

    @override
    def create(self, kind: str, name: str, number: int, data: bytes) -> None:
        path, chances = self._path(kind, name, number), TRIES
        while True:
            try:
                self._make(path.parent)
                temporary = write_aside(path.parent, data)
                try:
                    publish_new(temporary, path)
                finally:
                    temporary.unlink(missing_ok=True)
            except FileNotFoundError:  # deleted by another process meanwhile: make it again
                chances -= 1
                if not chances:
                    raise
            else:
                return

    @override
    def empty(self, kind: str, name: str, number: int) -> None:
        with suppress(FileNotFoundError):  # all were deleted meanwhile
            write_whole(self._path(kind, name, number), b"")

    @override
    def delete(self, kind: str, name: str) -> bool:
        folder = self._folder / kind / name
        # Renamed first: a process killed on the way leaves all of them or none.
        gone = folder.parent / f".deleted-{os.getpid()}-{os.urandom(8).hex()}"
        try:
            folder.rename(gone)
        except FileNotFoundError:
            return False
        sync_folder(folder.parent)
        shutil.rmtree(gone, ignore_errors=True)
        return True

    def _make(self, folder: Path) -> None:
        """Make the folder of a name; what is new is put on the disk, names and all."""
        new = [path for path in (folder, *folder.parents) if not path.exists()]
        make_folder(folder)
        for path in new:
            sync_folder(path.parent)

    def _any_holds(self, kind: str, name: str) -> bool:
        return any(self._holds(kind, name, n) for n in reversed(self.numbers(kind, name)))

    def _holds(self, kind: str, name: str, number: int) -> bool:
        try:
            return self._path(kind, name, number).stat().st_size > 0
        except OSError:
            return False

    def _path(self, kind: str, name: str, number: int) -> Path:
        return self._folder / kind / name / f"{number}.json"


class UrlRecordStore(RecordStore):
    """Records behind a URL, in a store that can create an object exclusively.

    All of a name are deleted by one request where the store has such (S3: a thousand).
    """

    def __init__(self, folder: UrlFolder) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return self._folder.shown()

    @override
    def shown(self, kind: str, name: str, number: int) -> str:
        return self._folder.shown(_object(kind, name, number))

    @override
    def names(self, kind: str) -> list[str]:
        sizes = self._folder.sizes(kind).items()
        found = (path.split("/") for path, size in sizes if size > 0)
        return sorted({each[0] for each in found if len(each) == 2 and NUMBERED.fullmatch(each[1])})

    @override
    def numbers(self, kind: str, name: str) -> list[int]:
        return [number for number, _ in self._sizes(kind, name)]

    @override
    def holding(self, kind: str, name: str) -> list[int]:
        return [number for number, size in self._sizes(kind, name) if size > 0]

    @override
    def read(self, kind: str, name: str, number: int) -> bytes | None:
        try:
            return self._folder.read_whole(_object(kind, name, number))
        except FileNotFoundError:
            return None

    @override
    def create(self, kind: str, name: str, number: int, data: bytes) -> None:
        self._folder.create(_object(kind, name, number), data)

    @override
    def empty(self, kind: str, name: str, number: int) -> None:
        self._folder.put(_object(kind, name, number), b"")

    @override
    def delete(self, kind: str, name: str) -> bool:
        found = [_object(kind, name, number) for number, _ in self._sizes(kind, name)]
        self._folder.delete(found)
        return bool(found)

    def _sizes(self, kind: str, name: str) -> list[tuple[int, int]]:
        found = self._folder.sizes(f"{kind}/{name}").items()
        matches = ((NUMBERED.fullmatch(path), size) for path, size in found)
        return sorted((int(match[1]), size) for match, size in matches if match)


def _object(kind: str, name: str, number: int) -> str:
    return f"{kind}/{name}/{number}.json"
