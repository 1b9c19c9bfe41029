"""What the original has in ``azureml.data`` in another form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import original_keywords
from daskrun.data.datasets import Dataset
from daskrun.data.items import DatasetConsumptionConfig
from daskrun.errors import SettingsError
from daskrun.pipeline.steps.written import WrittenFiles
from daskrun.workspace.datastores.datastore_path import DatastorePath

if TYPE_CHECKING:
    from daskrun.data.protocols import Place
    from daskrun.pipeline.steps.outputs import StepOutput


class PromoteHeadersBehavior:
    """Values of ``header=`` of :meth:`TabularDatasetFactory.from_delimited_files`: plain texts.

    Examples
    --------
    >>> PromoteHeadersBehavior.NO_HEADERS == "NO_HEADERS"
    True
    """

    NO_HEADERS = "NO_HEADERS"
    """No file has one."""
    ONLY_FIRST_FILE_HAS_HEADERS = "ONLY_FIRST_FILE_HAS_HEADERS"
    """The first file has, the others have not."""
    COMBINE_ALL_FILES_HEADERS = "COMBINE_ALL_FILES_HEADERS"
    """Each file has its own."""
    ALL_FILES_HAVE_SAME_HEADERS = "ALL_FILES_HAVE_SAME_HEADERS"
    """Each file has the same."""


class DataPath(DatastorePath):
    """A path in a datastore, made with the original's argument names.

    What it makes is what ``datastore.path('relative')`` gives.

    Examples
    --------
    >>> import tempfile
    >>> from daskrun import Workspace
    >>> store = Workspace.create("trial", path=tempfile.mkdtemp()).get_default_datastore()
    >>> DataPath(datastore=store, path_on_datastore="images") == store.path("images")
    True
    """

    __slots__ = ()

    @original_keywords
    def __new__(cls, datastore: Place, path_on_datastore: str = "") -> Any:
        """Name a folder, file or glob in a datastore."""
        return DatastorePath(datastore, path_on_datastore)


class DataReference(DatasetConsumptionConfig):
    """A path in a datastore as an input of a step, made with the original's argument names.

    Examples
    --------
    >>> import tempfile
    >>> from daskrun import Workspace
    >>> store = Workspace.create("trial", path=tempfile.mkdtemp()).get_default_datastore()
    >>> images = DataReference(store, "raw-images", path_on_datastore="images")
    >>> images.name, images.as_download().mode
    ('raw_images', 'download')
    """

    @original_keywords
    def __new__(
        cls,
        datastore: Place,
        data_reference_name: str | None = None,
        path_on_datastore: str | None = None,
        mode: str = "mount",
        path_on_compute: str | None = None,
    ) -> Any:
        """Name a folder, file or glob in a datastore, and how it comes to the script."""
        if mode == "upload":
            advice = "a step writes to an output: OutputFileDatasetConfig(name, (datastore, path))"
            raise SettingsError("DataReference", [f"mode='upload': {advice}."])
        path = DatastorePath(datastore, path_on_datastore or "")
        dataset = Dataset.File.from_files(path, validate=False)
        name = data_reference_name and re.sub(r"\W", "_", data_reference_name)
        return DatasetConsumptionConfig(name, dataset, mode, path_on_compute)


class PipelineOutputFileDataset(WrittenFiles):
    """The files that a step writes, as ``PipelineData.as_dataset()`` gives them.

    Examples
    --------
    >>> from daskrun import PipelineData
    >>> PipelineOutputFileDataset(PipelineData("pages")).kind
    'files'
    """

    def __new__(cls, pipeline_data: StepOutput) -> Any:
        """Return the files of an output."""
        return pipeline_data.as_dataset()
