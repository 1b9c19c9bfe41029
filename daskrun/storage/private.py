"""Secrets of a workspace: files that only their user may read, named by records that hold none."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn, Protocol

from daskrun.core.json_text import parsed
from daskrun.core.typing import override
from daskrun.errors import SettingsError, StorageError
from daskrun.storage.durable import abandoned, read_file, sync_folder, write_whole
from daskrun.storage.own_folders import make_own

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from daskrun.core.codec import JsonObject

NAME = re.compile(r"[0-9a-f]{32}\.json", re.ASCII)


class SecretStore(Protocol):
    """Where a workspace keeps secrets, if it does."""

    keeps: bool
    """Whether it does."""

    def keep(self, value: JsonObject) -> str:
        """Keep a value, and give the name that it is read by."""

    def read(self, name: str) -> JsonObject:
        """Return what was kept."""

    def remove(self, name: str) -> None:
        """Remove a value, if it is there."""

    def sweep(self, known: Callable[[], Collection[str]]) -> None:
        """Remove what no record names: ``known`` returns the names that records have."""


class NoSecrets(SecretStore):
    """In the place of :class:`SecretFiles` where whoever may read records could read all."""

    keeps = False

    def __init__(self, shown: str) -> None:
        self._shown = shown

    @override
    def keep(self, value: JsonObject) -> NoReturn:
        problem = (
            f"{self._shown} is behind a URL and keeps no secrets: whoever may read it could read "
            "them. Write daskrun.EnvironmentVariable('NAME') in the place of each, or leave them "
            "out where the store finds its credentials itself. For a URL with a password or query "
            "register a datastore."
        )
        raise SettingsError("workspace", [problem])

    @override
    def read(self, name: str) -> NoReturn:
        raise StorageError(f"{self._shown} keeps no secrets, and {name!r} is to be one.")

    @override
    def remove(self, name: str) -> None:
        """Nothing is there."""

    @override
    def sweep(self, known: Callable[[], Collection[str]]) -> None:
        """Nothing is there."""


class SecretFiles(SecretStore):
    """Values in files of mode 0600, in a folder of mode 0700.

    ``folder``: made when the first value is kept.
    """

    keeps = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @override
    def keep(self, value: JsonObject) -> str:
        """Keep a value, and give the name of its file for a record that is written after it.

        Raises StorageError where it can't be written.
        """
        name = f"{os.urandom(16).hex()}.json"
        try:
            is_new = not self.folder.exists()
            make_own(self.folder)
            if is_new:
                sync_folder(self.folder.parent)
            write_whole(self.folder / name, json.dumps(value).encode(), mode=0o600)
        except OSError as error:
            raise StorageError(
                f"can't keep a secret in {self.folder}: {error}. Use a workspace of your own, or "
                "write daskrun.EnvironmentVariable('NAME') in its place."
            ) from error
        return name

    @override
    def read(self, name: str) -> JsonObject:
        """Return what was kept.

        Raises StorageError where it is gone, or this user may not read it.
        """
        path = self.folder / name
        try:
            value = parsed(read_file(path)) if NAME.fullmatch(name) else None
        except FileNotFoundError as error:
            raise StorageError(
                f"{path} is gone: what needs it was registered anew or unregistered. "
                "Get it from the workspace again."
            ) from error
        except PermissionError as error:
            raise StorageError(
                f"{path} holds secrets that only the user who registered them may read. Register "
                "it with your own, or with daskrun.EnvironmentVariable(name) in their place."
            ) from error
        except (OSError, ValueError) as error:
            raise StorageError(f"{path} can't be read: {error}") from error
        if not isinstance(value, dict):
            raise StorageError(f"{path} is not what a workspace keeps there.")
        return value

    @override
    def remove(self, name: str) -> None:
        if NAME.fullmatch(name):
            with suppress(OSError):
                (self.folder / name).unlink()

    @override
    def sweep(self, known: Callable[[], Collection[str]]) -> None:
        for path in abandoned(self.folder, known):
            if NAME.fullmatch(path.name) or path.suffix == ".tmp":  # or was being written
                with suppress(OSError):
                    path.unlink()
