"""Where datasets are made and found: ``Dataset``, above the classes that it makes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from daskrun.core.absent_names import OriginalClass, original_keywords
from daskrun.data.dataset_codec import from_plain
from daskrun.data.file_dataset import FileDataset
from daskrun.data.listing import check_files
from daskrun.data.partition_format import PartitionFormat
from daskrun.data.protocols import AnyPath, Registry, as_elements
from daskrun.data.registration import (
    KIND,
    LATEST,
    Registration,
    definition_of,
    named,
    workspace_problems,
)
from daskrun.errors import DatasetError, NameNotFoundError, SettingsError
from daskrun.storage.records import as_number, each_readable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daskrun.data.tabular.factory import TabularDatasetFactory
    from daskrun.data.tabular.tabular_dataset import TabularDataset


class FileDatasetFactory(OriginalClass):
    """Makes file datasets; ``Dataset.File``."""

    @staticmethod
    @original_keywords
    def from_files(
        path: AnyPath, validate: bool = True, partition_format: str | None = None
    ) -> FileDataset:
        """Make a dataset of files.

        Parameters
        ----------
        path
            A folder (all files below it), a file, a glob with ``*``, ``?``, ``[..]`` and ``**``,
            each a local path, a URL of any file system fsspec knows, ``(datastore, 'relative')``
            or ``datastore.path('relative')``; or a list of these. What exists under exactly that
            name is meant before it is a glob. Files and folders whose name begins with ``.``
            (``.DS_Store``, ``.ipynb_checkpoints/``, a ``.daskrun/`` workspace) are left out of
            folders and globs, unless that part of the glob begins with ``.`` itself.
        validate
            Check now that each path means at least one file. False: when it is used.
        partition_format
            How the end of each path is read: ``'{label}/{name}.png'`` gives every file a label
            and a name, for ``partition_keys`` of a run;
            ``'{user}/{day:yyyy/MM/dd}/*.png'`` a date too. ``*`` is any text within a name.

        Raises
        ------
        DatasetError
            If ``path`` is of another kind, or nothing is there.

        Examples
        --------
        >>> Dataset.File.from_files("images/**/*.png", validate=False).take(100)
        Dataset.File.from_files('images/**/*.png').take(100)
        """
        if partition_format is not None:
            PartitionFormat(partition_format)  # a wrong one is said now
        dataset = FileDataset(as_elements(path), str(Path.cwd()), partition_format=partition_format)
        if validate:
            check_files(dataset.elements, dataset.folder)
        return dataset


class _TabularFactory:
    """Loads what makes tables when it is asked for: most of it is for readers of files."""

    def __get__(self, instance: object, owner: type) -> type[TabularDatasetFactory]:
        from daskrun.data.tabular.factory import TabularDatasetFactory

        return TabularDatasetFactory


class Dataset(OriginalClass):
    """Where datasets are made and found: ``Dataset.File.from_files``, ``Dataset.get_by_name``."""

    File = FileDatasetFactory
    Tabular = _TabularFactory()

    @staticmethod
    def get_by_name(
        workspace: Registry, name: str, version: int | str = LATEST
    ) -> FileDataset | TabularDataset:
        """Return a registered dataset.

        Parameters
        ----------
        workspace
            Where it is registered.
        name
            Under which name.
        version
            A number, or ``'latest'``.

        Raises
        ------
        NameNotFoundError
            There is none of that name or version.

        Examples
        --------
        >>> import tempfile
        >>> from daskrun import Workspace
        >>> ws = Workspace.create("trial", path=tempfile.mkdtemp())
        >>> texts = Dataset.File.from_files("texts", validate=False)
        >>> _ = texts.register(ws, "texts", description="all of them")
        >>> _ = texts.take(3).register(ws, "texts", create_new_version=True)
        >>> Dataset.get_by_name(ws, "texts", version=1).description
        'all of them'
        >>> Dataset.get_by_name(ws, "texts")
        Dataset.File.from_files('texts').take(3)
        """
        problems = workspace_problems(workspace)
        number = None
        try:
            number = as_number(None if version == LATEST else version)
        except ValueError as error:
            problems.append(f"version={version!r} {error}. Write 1 or more, or 'latest'.")
        if problems:
            raise SettingsError("Dataset.get_by_name", problems)
        found = workspace.records.latest(KIND, name)
        if found is None:
            raise NameNotFoundError("dataset", name, workspace.records.names(KIND))
        if number is not None:
            try:
                found = number, workspace.records.get(KIND, name, number)
            except NameNotFoundError as error:
                raise NameNotFoundError("dataset", error.name, error.known) from None
        return _made(workspace, name, *found)

    @staticmethod
    def get_all(workspace: Registry) -> dict[str, FileDataset | TabularDataset]:
        """Return the newest version of each registered dataset by name."""
        if problems := workspace_problems(workspace):
            raise SettingsError("Dataset.get_all", problems)
        names = workspace.records.names(KIND)
        return dict(each_readable(names, lambda name: Dataset.get_by_name(workspace, name)))


def _made(
    workspace: Registry, name: str, number: int, record: Mapping[str, Any]
) -> FileDataset | TabularDataset:
    plain = definition_of(workspace, record)
    try:
        dataset = from_plain(plain, workspace.place_of)
    except DatasetError as error:
        raise DatasetError(f"dataset {name}:{number}: {error}") from error
    registration = Registration(
        workspace, name, number, record["description"], dict(record["tags"])
    )
    return cast("FileDataset | TabularDataset", named(dataset, registration))
