"""What stands for a datastore that is not there any more."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daskrun.errors import DaskrunError
    from daskrun.storage.urls import StorageOptions


class MissingDatastore:
    """Stands for a datastore that was unregistered, in datasets that name it.

    They can be listed and unregistered; using them says what is missing.
    """

    storage_options: StorageOptions = MappingProxyType({})

    def __init__(self, name: str, error: DaskrunError) -> None:
        self.name = name
        self._error = error

    def __repr__(self) -> str:
        return f"<datastore {self.name!r}, which is gone>"

    def url(self, relative: str = "") -> str:  # noqa: ARG002  (what a datastore takes)
        """Say that it is gone."""
        raise self._error
