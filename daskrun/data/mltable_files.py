"""``MLTableFiles``: the files that a file named MLTable lists, as files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from daskrun.core.typing import override
from daskrun.data.file_dataset import FileDataset
from daskrun.data.tabular.formats.mltable.definition import definition_of

if TYPE_CHECKING:
    from daskrun.data.protocols import DataPath, PathElement


@dataclass(frozen=True, eq=False, repr=False)
class MLTableFiles(FileDataset):
    """The files of a table's paths, however it is read; looked up anew each time."""

    datastores: tuple[tuple[str, DataPath], ...] = ()
    """Those that its paths name, by name."""

    @property
    @override
    def _listed(self) -> tuple[PathElement, ...]:
        (folder,) = self.elements
        return definition_of(folder, dict(self.datastores)).elements
