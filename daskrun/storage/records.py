"""Records of a workspace: small JSON files, created whole and exclusively, superseded by number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from daskrun.core.json_text import parsed
from daskrun.core.notices import say_once
from daskrun.errors import DaskrunError, NameNotFoundError, SettingsError, StorageError
from daskrun.shown.url_secrets import without_url_secrets
from daskrun.storage.durable import write_whole
from daskrun.storage.folders import HALF, is_writable
from daskrun.storage.forms import wrong_form
from daskrun.storage.record_store import FolderRecordStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from daskrun.core.codec import JsonObject
    from daskrun.storage.record_store import RecordStore

Made = TypeVar("Made")
__all__ = ["Records", "write_whole"]

LONGEST_NAME = 200
"""Bytes; file systems allow 255."""


class Records:
    """The one mechanism for what a workspace remembers.

    A record is the file ``<place>/<kind>/<name>/<number>.json``. It is never changed: the next
    number supersedes it. There is no lock: two processes that create at once both try the same
    number, the second create of it fails and takes the next. An empty file is a number that is
    taken and holds nothing: its record has been deleted, or is about to appear. ``place``: where
    the records are kept: a folder, made at the first ``create``, or another store.
    """

    def __init__(self, place: Path | RecordStore) -> None:
        self._store: RecordStore = FolderRecordStore(place) if isinstance(place, Path) else place

    def create(self, kind: str, name: str, value: JsonObject, number: int | None = None) -> int:
        """Keep ``value`` under the next free number, or under ``number``; give the number.

        Raises SettingsError where the name can't be a record's; StorageError where ``number`` is
        taken, or the place can't be written.
        """
        if number is not None and number < 1:
            raise SettingsError(kind, [f"number={number} is not a record's. Write 1 or more."])
        _check(kind, name)
        # What is secret was put aside before; this holds texts that no check was made for, such as
        # descriptions and tags.
        text = json.dumps(without_url_secrets(value), ensure_ascii=False, indent=1)
        # A lone surrogate becomes \udc80, which is its JSON escape: it is read back as it was.
        data = text.encode("utf-8", "backslashreplace") + b"\n"
        try:
            return self._claim(kind, name, data, number)
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(f"can't keep {kind} {name!r} in {self._store}: {error}") from error

    def latest(self, kind: str, name: str) -> tuple[int, JsonObject] | None:
        """Return the highest number and its value, None when there is no such record."""
        _check(kind, name)
        for number in reversed(self._store.numbers(kind, name)):
            value = self._read(kind, name, number)
            if value is not None:
                return number, value
        return None

    def get(self, kind: str, name: str, number: int) -> JsonObject:
        """Return the value of one record.

        Raises NameNotFoundError where there is none of that name and number.
        """
        _check(kind, name)
        value = self._read(kind, name, number)
        if value is None:
            known = [f"{name}:{n}" for n in self.numbers(kind, name)]
            raise NameNotFoundError(kind, f"{name}:{number}", known)
        return value

    def numbers(self, kind: str, name: str) -> list[int]:
        """Return the numbers that ``name`` has, ascending; empty when it has none."""
        _check(kind, name)
        return self._store.holding(kind, name)

    def values_of(self, kind: str, names: Iterable[str], key: str) -> list[str]:
        """Return what all records of some names have under a key, where they have it."""
        found = []
        for name in names:
            for number in self.numbers(kind, name):
                value = self._read(kind, name, number)
                if value is not None and key in value:
                    found.append(str(value[key]))
        return found

    def names(self, kind: str) -> list[str]:
        """Return the names that have a record, sorted."""
        _check(kind)
        return [name for name in self._store.names(kind) if wrong_name(name) is None]

    def delete_one(self, kind: str, name: str, number: int) -> bool:
        """Remove one record, whose number is never given again; False when there is none."""
        if number not in self.numbers(kind, name):
            return False
        try:
            self._store.empty(kind, name, number)
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(f"can't delete {kind} {name}:{number}: {error}") from error
        return True

    def delete(self, kind: str, name: str) -> bool:
        """Remove all records of ``name``, at once for every reader; False when there were none."""
        _check(kind, name)
        try:
            return self._store.delete(kind, name)
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(f"can't delete {kind} {name!r} in {self._store}: {error}") from error

    def _claim(self, kind: str, name: str, data: bytes, number: int | None) -> int:
        """Take a number, the next one as often as another was quicker."""
        wanted = number or self._next(kind, name)
        while True:
            try:
                self._store.create(kind, name, wanted, data)
            except FileExistsError as error:
                if number is not None:
                    raise StorageError(
                        f"number={number} is taken: there is "
                        f"{self._store.shown(kind, name, number)}. "
                        "Leave number out to take the next."
                    ) from error
                wanted = max(wanted + 1, self._next(kind, name))
            else:
                return wanted

    def _next(self, kind: str, name: str) -> int:
        return max(self._store.numbers(kind, name), default=0) + 1

    def _read(self, kind: str, name: str, number: int) -> JsonObject | None:
        """Return one value, None when it isn't there (or only claimed: see ``publish_new``)."""
        data = self._store.read(kind, name, number)
        if not data:
            return None
        path = self._store.shown(kind, name, number)
        try:
            value = parsed(data)
        except ValueError as error:
            raise StorageError(f"{path} is not the JSON that was written there: {error}") from error
        if not isinstance(value, dict):
            raise StorageError(f"{path} holds {type(value).__name__}, not the dict written there")
        if wrong := wrong_form(value):
            raise StorageError(f"{path} {wrong}, not what was written there")
        return value


def as_number(version: object) -> int | None:
    """Return the number that a version is, also as text such as an argument of a script.

    None stands for None, and ValueError is raised for what is no version.
    """
    if version is None or (isinstance(version, int) and not isinstance(version, bool)):
        return version
    if isinstance(version, str) and version.isdecimal():
        return int(version)
    raise ValueError("is not a version")


def each_readable(names: Iterable[str], make: Callable[[str], Made]) -> Iterator[tuple[str, Made]]:
    """Yield names with what is made of each, without those of which it can't be.

    What others delete meanwhile is left out, and so is a broken record, which is said once: it
    hides no other.
    """
    for name in names:
        try:
            made = make(name)
        except NameNotFoundError:
            continue
        except (DaskrunError, TypeError, KeyError, ValueError, AttributeError) as error:
            say_once(f"{name!r} is left out, since its record can't be used: {error}")
            continue
        yield name, made


def _check(kind: str, name: str | None = None) -> None:
    """Refuse what can't be a record's place, such as one outside its folder."""
    problems = []
    for argument, text in (("kind", kind), ("name", name)):
        if text is not None and (wrong := wrong_name(text)):
            problems.append(f"{argument}={text!r} {wrong}")
    if problems:
        raise SettingsError(kind if wrong_name(kind) is None else "record", problems)


def wrong_name(text: str) -> str | None:
    """Return what keeps ``text`` from being the name of a record, None if nothing does."""
    if not text:
        return "is empty. Write a name."
    if text.startswith("."):
        return "begins with a dot. Write a name that begins with a letter or digit."
    if any(char in "/\\" or ord(char) < 32 or ord(char) == 127 for char in text):
        return "has a slash, backslash or control character. Use letters, digits, '-' and '_'."
    if not is_writable(text):
        return HALF
    if len(text.encode("utf-8", "surrogatepass")) > LONGEST_NAME:
        return f"is longer than {LONGEST_NAME} bytes. Write a shorter name."
    return None
