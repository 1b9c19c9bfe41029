"""Datasets as users make them: lazy, immutable, the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from daskrun.core.absent_names import OriginalClass
from daskrun.data.items import Items
from daskrun.data.listing import Listing, check_files, list_files
from daskrun.data.partition_format import PartitionFormat
from daskrun.data.protocols import AnyPath, PathElement, as_elements, shown, shown_url
from daskrun.data.registration import LATEST, get_all, get_by_name
from daskrun.data.selection import Selection, Share, Skip, Take

if TYPE_CHECKING:
    import os

    from daskrun.core.minibatch import FilePaths
    from daskrun.data.consumption import DatasetConsumptionConfig
    from daskrun.data.mount import MountContext
    from daskrun.data.protocols import Registry
    from daskrun.data.tabular.factory import TabularDatasetFactory
    from daskrun.data.tabular.tabular_dataset import TabularDataset


@dataclass(frozen=True, eq=False, repr=False)
class FileDataset(Items):
    """Files, named by folders, globs or lists; listed anew each time they are asked for.

    Made by :meth:`FileDatasetFactory.from_files`. Immutable; each method gives a new dataset.
    """

    kind: ClassVar = "files"
    unit = "files"
    how_partitioned = "Give partition_format='{name}/*.png' where it is made."

    elements: tuple[PathElement, ...]
    """What ``path`` listed."""
    folder: str
    """What relative local paths are relative to: the working directory when it was made."""
    selections: tuple[Selection, ...] = ()
    """Steps applied to the files, in order."""
    partition_format: str | None = None
    """How values are read from the end of each path."""

    def __repr__(self) -> str:
        if len(self.elements) == 1:
            what = shown(self.elements[0])
        else:
            more = f", … {len(self.elements) - 3} more" if len(self.elements) > 3 else ""
            what = f"[{', '.join(map(shown, self.elements[:3]))}{more}]"
        if self.partition_format is not None:
            what += f", partition_format={self.partition_format!r}"
        return f"Dataset.File.from_files({what}){''.join(map(str, self.selections))}"

    def listing(self) -> Listing:
        """Find the files, in order.

        Raises
        ------
        DatasetError
            If the path means no file or can't be read. A selection may leave nothing; that is
            an error only for a run.
        """
        found = list_files(self.elements, self.folder)
        table = found.table
        for position, selection in enumerate(self.selections):
            table = selection.apply(table, position)
        return replace(found, table=table)

    def fingerprint(self) -> str:
        """Digest root, names, sizes and times of the files (32 hex digits)."""
        listing = self.listing()
        digest = blake2b(shown_url(listing.root).encode("utf-8", "surrogateescape"), digest_size=16)
        listing.table.update(digest)
        return digest.hexdigest()

    def to_path(self) -> list[str]:
        """List the files: absolute paths, or URLs for a remote dataset.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "0.txt").write_text("zero")
        >>> [pathlib.Path(p).name for p in Dataset.File.from_files(folder).to_path()]
        ['0.txt']
        """
        listing = self.listing()
        return list(listing.paths(listing.table))

    def download(self, target_path: str | os.PathLike[str], overwrite: bool = False) -> list[str]:
        """Copy the files into a local folder, below it as they are below the dataset's root.

        Each copy appears whole or not at all. Remote files are fetched eight at a time.

        Parameters
        ----------
        target_path
            Folder; made if it isn't there.
        overwrite
            Replace files that exist. False: an error before anything is copied.

        Returns
        -------
        list
            Local paths, in the dataset's order.

        Raises
        ------
        DatasetError
            If a file exists, or can't be copied.
        """
        from daskrun.data.file_transfer import download

        return download(self.listing(), target_path, overwrite)

    def mount(self, mount_point: str | os.PathLike[str] | None = None) -> MountContext:
        """Return the files as a folder, while a ``with`` block lasts.

        Parameters
        ----------
        mount_point
            Where; empty or not there. None: a temporary folder.

        Raises
        ------
        DatasetError
            There is something at ``mount_point``.
        """
        from daskrun.data.mount import MountContext

        return MountContext(self, mount_point)

    def as_mount(self, path: str | None = None) -> DatasetConsumptionConfig:
        """Use it as an input without a name; see :class:`DatasetConsumptionConfig`."""
        from daskrun.data.consumption import DatasetConsumptionConfig

        return DatasetConsumptionConfig(None, self, "mount", path)

    def as_download(self, path: str | None = None) -> DatasetConsumptionConfig:
        """Use it as an input without a name; see :class:`DatasetConsumptionConfig`."""
        from daskrun.data.consumption import DatasetConsumptionConfig

        return DatasetConsumptionConfig(None, self, "download", path)

    def to_dask_bag(self, mini_batch_size: int = 10) -> Any:
        """Return a :class:`dask.bag.Bag` of paths, or of URLs for a remote dataset.

        Partition ``i`` holds what mini-batch ``i`` of a run with that size would. The whole graph
        is made at once, one node per partition: a run over very many files does not use it.

        Parameters
        ----------
        mini_batch_size
            Files in a partition, at least 1.
        """
        from dask.bag import Bag
        from dask.task_spec import DataNode

        from daskrun.data.file_plan import FilePlan

        listing = self.listing()
        plan = FilePlan([("input_0", self)], mini_batch_size, listings=[listing])
        # Named by what is in it: the same files are the same keys, other files never are.
        name = f"daskrun-files-{plan.fingerprint()}"
        graph: dict[Any, Any] = {
            (name, i): DataNode(
                (name, i), list(listing.paths(cast("FilePaths", plan[i].load).names))
            )
            for i in range(plan.known)
        }
        return Bag(graph, name, plan.known)

    @property
    def _form(self) -> PartitionFormat | None:
        form = self.partition_format
        return None if form is None else PartitionFormat(form)

    def _listed(self) -> Listing:
        return self.listing()

    def _window(self, start: int, count: int | None, text: str) -> Self:  # noqa: ARG002  (a Skip and a Take write themselves)
        return self._and(Skip(start) if count is None else Take(count))

    def _share(self, low: float, high: float, seed: int, text: str) -> Self:
        return self._and(Share(float(low), float(high), seed, text))

    def _and(self, selection: Selection) -> Self:
        return replace(self, selections=(*self.selections, selection))


class FileDatasetFactory(OriginalClass):
    """Makes file datasets; ``Dataset.File``."""

    @staticmethod
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
        return get_by_name(workspace, name, version)

    @staticmethod
    def get_all(workspace: Registry) -> dict[str, FileDataset | TabularDataset]:
        """Return the newest version of each registered dataset by name."""
        return get_all(workspace)
