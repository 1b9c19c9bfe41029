"""Datasets: which files there are, in which order, and how they are cut into mini-batches.

The names below are loaded when they are first used: a script process needs only
:mod:`daskrun.data.loading`, and should not wait for the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daskrun.data.consumption import DatasetConsumptionConfig
    from daskrun.data.file_dataset import Dataset, FileDataset
    from daskrun.data.protocols import DataPath
    from daskrun.data.tabular.tabular_dataset import TabularDataset
    from daskrun.data.tabular.values.types import DataType

__all__ = [
    "DataPath",
    "DataType",
    "Dataset",
    "DatasetConsumptionConfig",
    "FileDataset",
    "TabularDataset",
]

_HOME = {
    "DataPath": "protocols",
    "DataType": "tabular.values.types",
    "Dataset": "file_dataset",
    "DatasetConsumptionConfig": "consumption",
    "FileDataset": "file_dataset",
    "TabularDataset": "tabular.tabular_dataset",
}


def __getattr__(name: str) -> object:
    """Load an exported name from its file."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
