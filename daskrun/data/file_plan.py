"""The plan of a run over files: how many mini-batches there are and what each one loads."""

from __future__ import annotations

import pickle
from array import array
from bisect import bisect_right
from dataclasses import replace
from hashlib import blake2b
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol, Self

from daskrun.core.minibatch import FilePaths, MiniBatch, PlanInput
from daskrun.core.typing import override
from daskrun.data.listed_plan import ListedPlan
from daskrun.data.paths import PathTable
from daskrun.data.protocols import shown_url
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.data.listing import Listing


class ListedFiles(Protocol):
    """A dataset of files, as far as a plan knows it."""

    @property
    def partition_format(self) -> str | None:
        """How values are read from paths."""

    def listing(self) -> Listing:
        """Find the files, in order."""


class FilePlan(ListedPlan):
    """Mini-batches of files, known whole when the plan is made.

    A mini-batch may mix folders, never inputs; the last of an input may be smaller. What is kept is
    the file names in bytes, and nothing per mini-batch. ``listings``: what the datasets hold, if
    they were listed before; None: they are listed now.
    """

    kind_of_file = "*.png"

    def __init__(
        self,
        inputs: Sequence[tuple[str, ListedFiles]],
        mini_batch_size: int,
        *,
        listings: Sequence[Listing] | None = None,
        partition_keys: Sequence[str] | None = None,
        may_be_empty: bool = False,
    ) -> None:
        whole = isinstance(mini_batch_size, int) and not isinstance(mini_batch_size, bool)
        if not whole or mini_batch_size < 1:
            raise DatasetError(
                f"mini_batch_size={mini_batch_size!r} is not a number of files. Give an int from "
                "1, such as mini_batch_size=10."
            )
        if not inputs:
            raise DatasetError("inputs=[] is empty. Give at least one dataset.")
        if listings is None:
            listings = [dataset.listing() for _, dataset in inputs]
        for (name, dataset), listing in zip(inputs, listings, strict=True):
            if not len(listing.table) and not may_be_empty:
                raise DatasetError(f"input {name!r}: no file is left of {dataset!r}.")
        self._made_of = [
            (name, dataset, each) for (name, dataset), each in zip(inputs, listings, strict=True)
        ]
        self.mini_batch_size = mini_batch_size
        self.partition_keys = tuple(partition_keys or ())
        self._tables = [listing.table for listing in listings]
        self._bounds: list[array[int] | None] = [None] * len(listings)
        """With keys: where each mini-batch begins in its table, whose files are put together."""
        partitions = [
            self._group(number, name, dataset, listing)
            for number, ((name, dataset), listing) in enumerate(zip(inputs, listings, strict=True))
        ]
        self.inputs = tuple(
            PlanInput(name, listing.root, listing.remote, listing.storage_options, table=partition)
            for (name, _), listing, partition in zip(inputs, listings, partitions, strict=True)
        )
        counts = (
            -(-len(table) // mini_batch_size) if bounds is None else len(bounds) - 1
            for table, bounds in zip(self._tables, self._bounds, strict=True)
        )
        self._starts = list(accumulate(counts, initial=0))

    def _group(
        self, number: int, name: str, dataset: ListedFiles, listing: Listing
    ) -> dict[str, Any] | None:
        """Put the files of each combination of values together; say how values are read."""
        groups = self._groups(name, dataset.partition_format, listing)
        if groups is None:
            return None
        from daskrun.data.partition_format import PartitionFormat

        rows = list(listing.table.rows())
        self._tables[number] = PathTable(rows[file] for files in groups for file in files)
        self._bounds[number] = array("q", accumulate(map(len, groups), initial=0))
        text = str(dataset.partition_format)
        partition = {"format": text, "columns": list(PartitionFormat(text).columns)}
        return {"partition": partition, "partition_keys": list(self.partition_keys)}

    @override
    def narrowed(self, tables: Sequence[PathTable]) -> Self:
        return type(self)(
            [(name, dataset) for name, dataset, _ in self._made_of],
            self.mini_batch_size,
            listings=[
                replace(listing, table=table)
                for (_, _, listing), table in zip(self._made_of, tables, strict=True)
            ],
            partition_keys=self.partition_keys,
            may_be_empty=True,
        )

    @property
    @override
    def surveyor(self) -> None:
        return None

    @property
    @override
    def known(self) -> int:
        return self._starts[-1]

    @property
    @override
    def complete(self) -> bool:
        return True

    @property
    @override
    def tables(self) -> list[PathTable]:
        return list(self._tables)

    @property
    def files(self) -> int:
        """How many files there are."""
        return sum(map(len, self._tables))

    @override
    def extend(self, upto: int) -> None:
        """Do nothing: all mini-batches are known."""

    def __getitem__(self, index: int) -> MiniBatch:
        """Return mini-batch ``index``, ``0 <= index < known``; some microseconds."""
        which, names, nbytes = self._look_up(index)
        return MiniBatch(index, which, FilePaths(tuple(names)), len(names), nbytes)

    @override
    def encode(self, index: int) -> bytes:
        which, names, nbytes = self._look_up(index)
        return pickle.dumps((index, which, ("files", *names), len(names), nbytes), 5)

    @override
    def bundle_size(self, start: int, count: int) -> int:
        return count

    def _look_up(self, index: int) -> tuple[int, list[str], int]:
        """Return the input, the names and the bytes of a mini-batch."""
        self._check(index)
        which = bisect_right(self._starts, index) - 1
        table, bounds = self._tables[which], self._bounds[which]
        number = index - self._starts[which]
        if bounds is None:
            start = number * self.mini_batch_size
            stop = start + self.mini_batch_size
        else:
            start, stop = bounds[number : number + 2]
        return which, table[start:stop], table.nbytes(start, stop)

    @override
    def fingerprint(self) -> str:
        head = f"files:{self.mini_batch_size}:{','.join(self.partition_keys)}"
        digest = blake2b(head.encode(), digest_size=16)
        for source, table in zip(self.inputs, self._tables, strict=True):
            # Without the user and password a URL may hold: a new password is not new data.
            root = shown_url(source.root).encode("utf-8", "surrogateescape")
            digest.update(b"\0%d:%d:%s" % (len(table), len(root), root))
            table.update(digest)
        return digest.hexdigest()
