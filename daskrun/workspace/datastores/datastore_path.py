"""``DatastorePath``: what ``datastore.path('relative')`` gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daskrun.data.datasets import Dataset
from daskrun.data.protocols import DataPath

if TYPE_CHECKING:
    from daskrun.data.items import DatasetConsumptionConfig


class DatastorePath(DataPath):
    """A path in a datastore, which datasets are made of, and which may be an input as it is."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DataPath):
            return False
        return (self.place, self.relative) == (other.place, other.relative)

    def __hash__(self) -> int:
        return hash((self.place, self.relative))

    def as_mount(self, path: str | None = None) -> DatasetConsumptionConfig:
        """Return its files as an input, read in place where that can be."""
        return Dataset.File.from_files(self, validate=False).as_mount(path)

    def as_download(self, path: str | None = None) -> DatasetConsumptionConfig:
        """Return its files as an input, copied to its node."""
        return Dataset.File.from_files(self, validate=False).as_download(path)
