"""Records of a workspace: small JSON files, created whole and exclusively, superseded by number."""

from __future__ import annotations

import json
import os
import re
import shutil
from typing import TYPE_CHECKING, Any

from daskrun.errors import NameNotFoundError, SettingsError, StorageError
from daskrun.storage.durable import publish_new, sync_folder, write_aside, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Records", "write_whole"]

NUMBERED = re.compile(r"([1-9][0-9]{0,17})\.json", re.ASCII)
LONGEST_NAME = 200
"""Bytes; file systems allow 255."""
TRIES = 20
"""How often a folder that others delete is made again."""


class Records:
    """The one mechanism for what a workspace remembers.

    A record is the file ``<folder>/<kind>/<name>/<number>.json``. It is never changed: the next
    number supersedes it. There is no lock: two processes that create at once both try the same
    number, the second create of it fails and takes the next. An empty file is a number that is
    taken and holds nothing: its record has been deleted, or is about to appear.

    Parameters
    ----------
    folder
        Where the records are kept; made at the first ``create``.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> records = Records(pathlib.Path(tempfile.mkdtemp()))
    >>> records.create("models", "mnist", {"path": "a"})
    1
    >>> records.create("models", "mnist", {"path": "b"})
    2
    >>> records.latest("models", "mnist")
    (2, {'path': 'b'})
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, kind: str, name: str, value: dict[str, Any], number: int | None = None) -> int:
        """Keep ``value`` under the next free number, or under ``number``; give the number.

        Raises
        ------
        SettingsError
            The name can't be a record's.
        StorageError
            ``number`` is taken, or the folder can't be written.
        """
        if number is not None and number < 1:
            raise SettingsError(kind, [f"number={number} is not a record's. Write 1 or more."])
        folder = self._place(kind, name)
        text = json.dumps(value, ensure_ascii=False, indent=1)
        # A lone surrogate becomes \udc80, which is its JSON escape: it is read back as it was.
        data = text.encode("utf-8", "backslashreplace") + b"\n"
        try:
            return self._publish(folder, data, number)
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(f"can't keep {kind} {name!r} in {self.folder}: {error}") from error

    def latest(self, kind: str, name: str) -> tuple[int, dict[str, Any]] | None:
        """Give the highest number and its value, None when there is no such record."""
        folder = self._place(kind, name)
        for number in reversed(self._numbers(folder)):
            value = self._read(folder, number)
            if value is not None:
                return number, value
        return None

    def get(self, kind: str, name: str, number: int) -> dict[str, Any]:
        """Give the value of one record.

        Raises
        ------
        NameNotFoundError
            There is none of that name and number.
        """
        folder = self._place(kind, name)
        value = self._read(folder, number)
        if value is None:
            known = [f"{name}:{n}" for n in self.numbers(kind, name)]
            raise NameNotFoundError(kind, f"{name}:{number}", known)
        return value

    def numbers(self, kind: str, name: str) -> list[int]:
        """Give the numbers that ``name`` has, ascending; empty when it has none."""
        folder = self._place(kind, name)
        return [number for number in self._numbers(folder) if _holds(folder, number)]

    def values_of(self, kind: str, names: Iterable[str], key: str) -> list[str]:
        """Give what all records of some names have under a key, where they have it."""
        found = []
        for name in names:
            for number in self.numbers(kind, name):
                value = self._read(self._place(kind, name), number)
                if value is not None and key in value:
                    found.append(str(value[key]))
        return found

    def names(self, kind: str) -> list[str]:
        """Give the names that have a record, sorted."""
        folder = self._place(kind)
        try:
            with os.scandir(folder) as entries:
                found = [e.name for e in entries if not e.name.startswith(".") and e.is_dir()]
        except FileNotFoundError:
            return []
        return sorted(
            name
            for name in found
            if any(_holds(folder / name, n) for n in reversed(self._numbers(folder / name)))
        )

    def delete_one(self, kind: str, name: str, number: int) -> bool:
        """Remove one record, whose number is never given again; False when there is none."""
        folder = self._place(kind, name)
        if not _holds(folder, number):
            return False
        try:
            write_whole(folder / f"{number}.json", b"")
        except FileNotFoundError:  # all were deleted meanwhile
            return False
        except OSError as error:
            raise StorageError(f"can't delete {kind} {name}:{number}: {error}") from error
        return True

    def delete(self, kind: str, name: str) -> bool:
        """Remove all records of ``name``, at once for every reader; False when there were none."""
        folder = self._place(kind, name)
        # Renamed first: a process killed on the way leaves all of them or none.
        gone = folder.parent / f".deleted-{os.getpid()}-{os.urandom(8).hex()}"
        try:
            folder.rename(gone)
            sync_folder(folder.parent)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError(f"can't delete {kind} {name!r} in {self.folder}: {error}") from error
        shutil.rmtree(gone, ignore_errors=True)
        return True

    def _publish(self, folder: Path, data: bytes, number: int | None) -> int:
        """Write aside, then take ``number`` or the first free one."""
        chances = TRIES
        while True:
            try:
                self._make(folder)
                temporary = write_aside(folder, data)
                try:
                    return self._claim(folder, temporary, number)
                finally:
                    temporary.unlink(missing_ok=True)
            except FileNotFoundError:  # deleted by another process meanwhile: make it again
                chances -= 1
                if not chances:
                    raise

    def _claim(self, folder: Path, temporary: Path, number: int | None) -> int:
        """Give the temporary file its number, the next one as often as another was quicker."""
        wanted = number or self._next(folder)
        while True:
            try:
                publish_new(temporary, folder / f"{wanted}.json")
            except FileExistsError as error:
                if number is not None:
                    raise StorageError(
                        f"number={number} is taken: there is {folder / f'{number}.json'}. "
                        "Leave number out to take the next."
                    ) from error
                wanted = max(wanted + 1, self._next(folder))
            else:
                return wanted

    def _make(self, folder: Path) -> None:
        """Make the folder of a name; what is new is put on the disk, names and all."""
        new = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for path in new:
            sync_folder(path.parent)

    def _next(self, folder: Path) -> int:
        return max(self._numbers(folder), default=0) + 1

    def _numbers(self, folder: Path) -> list[int]:
        """Give the numbers in one folder; what else is there (a temporary file) is no record."""
        try:
            found = os.listdir(folder)  # noqa: PTH208 - names only, and there may be thousands
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(f"can't read the records in {folder}: {error}") from error
        return sorted(int(match[1]) for text in found if (match := NUMBERED.fullmatch(text)))

    def _read(self, folder: Path, number: int) -> dict[str, Any] | None:
        """Give one value, None when it isn't there (or only claimed: see ``publish_new``)."""
        path = folder / f"{number}.json"
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError(f"can't read {path}: {error}") from error
        if not data:
            return None
        try:
            value = json.loads(data)
        except ValueError as error:
            raise StorageError(f"{path} is not the JSON that was written there: {error}") from error
        if not isinstance(value, dict):
            raise StorageError(f"{path} holds {type(value).__name__}, not the dict written there")
        return value

    def _place(self, kind: str, name: str | None = None) -> Path:
        """Give the folder of a kind or a name, which can't lie outside :attr:`folder`."""
        problems = []
        for argument, text in (("kind", kind), ("name", name)):
            if text is not None and (wrong := wrong_name(text)):
                problems.append(f"{argument}={text!r} {wrong}")
        if problems:
            raise SettingsError(kind if wrong_name(kind) is None else "record", problems)
        return self.folder / kind if name is None else self.folder / kind / name


def _holds(folder: Path, number: int) -> bool:
    """Tell whether a number holds a record."""
    try:
        return (folder / f"{number}.json").stat().st_size > 0
    except OSError:
        return False


def wrong_name(text: str) -> str | None:
    """Say what keeps ``text`` from being the name of a record, None if nothing does."""
    if not text:
        return "is empty. Write a name."
    if text.startswith("."):
        return "begins with a dot. Write a name that begins with a letter or digit."
    if any(char in "/\\" or ord(char) < 32 or ord(char) == 127 for char in text):
        return "has a slash, backslash or control character. Use letters, digits, '-' and '_'."
    if len(text.encode("utf-8", "surrogatepass")) > LONGEST_NAME:
        return f"is longer than {LONGEST_NAME} bytes. Write a shorter name."
    return None
