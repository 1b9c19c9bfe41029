"""Datasets: which files there are, in which order, and how they are cut into mini-batches.

The names below are loaded when they are first used: a script process needs only
:mod:`daskrun.data.loading`, and should not wait for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from daskrun.core.plugins import lazy

if TYPE_CHECKING:
    from daskrun.data.datasets import Dataset
    from daskrun.data.file_dataset import FileDataset
    from daskrun.data.items import DatasetConsumptionConfig
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

__getattr__, __dir__ = lazy(
    __name__,
    {
        "DataPath": "daskrun.data.protocols",
        "DataType": "daskrun.data.tabular.values.types",
        "Dataset": "daskrun.data.datasets",
        "DatasetConsumptionConfig": "daskrun.data.items",
        "FileDataset": "daskrun.data.file_dataset",
        "TabularDataset": "daskrun.data.tabular.tabular_dataset",
    },
)
