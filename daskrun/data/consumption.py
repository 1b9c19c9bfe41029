"""How a step uses a dataset: under which name, and how its files come to the node."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from daskrun.core.absent_names import OriginalClass
from daskrun.data.file_dataset import FileDataset
from daskrun.data.tabular.tabular_dataset import TabularDataset
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MODES = ("mount", "download")


@runtime_checkable
class DatasetParameter(Protocol):
    """A pipeline parameter whose value is a dataset."""

    @property
    def name(self) -> str:
        """Name in ``pipeline_parameters``."""

    @property
    def default_value(self) -> object:
        """Value where none is given at submit."""


@dataclass(frozen=True, eq=False)
class DatasetConsumptionConfig(OriginalClass):
    """A dataset as an input of a step.

    Examples
    --------
    >>> from daskrun.data import Dataset
    >>> images = Dataset.File.from_files("images", validate=False)
    >>> DatasetConsumptionConfig("images", images).as_download().mode
    'download'
    """

    name: str | None
    """Name the entry script knows it by; None: by its position among the inputs, ``input_<n>``."""

    dataset: FileDataset | TabularDataset | DatasetParameter
    """The dataset, or a pipeline parameter that stands for one until the run is submitted."""

    mode: str = "mount"
    """``mount``: read in place where the node can, else fetched as needed. ``download``: copied to
    the node. For the inputs that mini-batches are cut from both are the same."""

    path_on_compute: str | None = None
    """Folder on the node where the files shall be found; None: anywhere."""

    def __post_init__(self) -> None:
        if self.name is not None and not (
            isinstance(self.name, str) and _NAME.fullmatch(self.name)
        ):
            raise DatasetError(
                f"name={self.name!r} is not a name for an input. Use letters, digits and _, not "
                "beginning with a digit, such as name='images'."
            )
        if not isinstance(self.dataset, (FileDataset, TabularDataset, DatasetParameter)):
            raise DatasetError(
                f"dataset={self.dataset!r} is of type {type(self.dataset).__name__}. Give a "
                "dataset, such as Dataset.File.from_files(path) or "
                "Dataset.Tabular.from_delimited_files(path), or a PipelineParameter."
            )
        if self.mode not in _MODES:
            raise DatasetError(f"mode={self.mode!r} is unknown. Write 'mount' or 'download'.")

    def as_mount(self, path: str | None = None) -> DatasetConsumptionConfig:
        """Read the files in place, as if they were at ``path``."""
        return replace(self, mode="mount", path_on_compute=path)

    def as_download(self, path: str | None = None) -> DatasetConsumptionConfig:
        """Copy the files to the node, into ``path``."""
        return replace(self, mode="download", path_on_compute=path)

    def resolve(self, values: Mapping[str, object]) -> FileDataset | TabularDataset:
        """Return the dataset, from the values of the pipeline's parameters where it is one.

        Parameters
        ----------
        values
            What was given at submit; a parameter that is not in it has its default.

        Raises
        ------
        DatasetError
            If the parameter's value is not a dataset.
        """
        if isinstance(self.dataset, (FileDataset, TabularDataset)):
            return self.dataset
        parameter = self.dataset.name
        value = values.get(parameter, self.dataset.default_value)
        if isinstance(value, (FileDataset, TabularDataset)):
            return value
        raise DatasetError(
            f"pipeline_parameters={{{parameter!r}: {value!r}}}: an input needs a dataset, this is "
            f"of type {type(value).__name__}. Give a dataset, such as "
            "Dataset.File.from_files(path)."
        )
