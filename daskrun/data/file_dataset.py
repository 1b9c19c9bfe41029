"""Datasets of files: lazy, immutable, the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from daskrun.core.absent_names import original_keywords
from daskrun.core.typing import override
from daskrun.data.items import DatasetConsumptionConfig, Items
from daskrun.data.listing import Listing, list_files
from daskrun.data.partition_format import PartitionFormat
from daskrun.data.protocols import PathElement, shown_elements, shown_url
from daskrun.data.selection import Selection, Share, Skip, Take
from daskrun.errors import DaskrunError
from daskrun.shown.html import table_html

if TYPE_CHECKING:
    import os

    from daskrun.core.minibatch import FilePaths
    from daskrun.data.mount import MountContext


FIRST_FILES = 5
"""Of a dataset, that a notebook shows."""


@dataclass(frozen=True, eq=False, repr=False)
class FileDataset(Items):
    """Files, named by folders, globs or lists; listed anew each time they are asked for.

    Made by ``Dataset.File.from_files``. Immutable; each method gives a new dataset.
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
        what = shown_elements(self.elements)
        if self.partition_format is not None:
            what += f", partition_format={self.partition_format!r}"
        return f"Dataset.File.from_files({what}){''.join(map(str, self.selections))}"

    def _repr_html_(self) -> str:
        try:
            table = self.listing().table
        except DaskrunError as error:  # a notebook shows what there is
            return table_html(repr(self), [("can't be read", error)])
        count = len(table)
        first = [(n, table[n]) for n in range(min(FIRST_FILES, count))]
        return table_html(f"{self!r}: {count:,} files", first)

    @override
    def listing(self) -> Listing:
        found = list_files(self._listed, self.folder)
        table = found.table
        for position, selection in enumerate(self.selections):
            table = selection.apply(table, position)
        return replace(found, table=table)

    @property
    def _listed(self) -> tuple[PathElement, ...]:
        return self.elements

    @override
    def fingerprint(self) -> str:
        listing = self.listing()
        digest = blake2b(shown_url(listing.root).encode("utf-8", "surrogateescape"), digest_size=16)
        listing.table.update(digest)
        return digest.hexdigest()

    def to_path(self) -> list[str]:
        """List the files: absolute paths, or URLs for a remote dataset.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> from daskrun.data import Dataset
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "0.txt").write_text("zero")
        >>> [pathlib.Path(p).name for p in Dataset.File.from_files(folder).to_path()]
        ['0.txt']
        """
        listing = self.listing()
        return list(listing.paths(listing.table))

    @original_keywords
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

        return MountContext(self.listing, mount_point)

    @original_keywords
    def as_mount(self, path: str | None = None) -> DatasetConsumptionConfig:
        """Use it as an input without a name; see :class:`DatasetConsumptionConfig`."""
        return DatasetConsumptionConfig(None, self, "mount", path)

    @original_keywords
    def as_download(self, path: str | None = None) -> DatasetConsumptionConfig:
        """Use it as an input without a name; see :class:`DatasetConsumptionConfig`."""
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
    @override
    def _form(self) -> PartitionFormat | None:
        form = self.partition_format
        return None if form is None else PartitionFormat(form)

    @override
    def _window(self, start: int, count: int | None, text: str) -> Self:
        return self._and(Skip(start) if count is None else Take(count))

    @override
    def _share(self, low: float, high: float, seed: int, text: str) -> Self:
        return self._and(Share(float(low), float(high), seed, text))

    def _and(self, selection: Selection) -> Self:
        return replace(self, selections=(*self.selections, selection))
