"""What plans of files and of tables have in common: the files that they were made from."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Self

from daskrun.core.minibatch import Plan
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.data.listing import Listing
    from daskrun.data.paths import PathTable


class ListedPlan(Plan):
    """A plan of files or of tables."""

    mini_batch_size: int
    partition_keys: tuple[str, ...]
    """Columns of the path: a mini-batch is then all files of one combination of their values, in
    the order in which the combinations come."""
    kind_of_file: str
    """Glob that an example shows."""

    @property
    @abstractmethod
    def tables(self) -> list[PathTable]:
        """The files of each input."""

    @abstractmethod
    def narrowed(self, tables: Sequence[PathTable]) -> Self:
        """Return the plan of some of the files of each input, or of none."""

    def _groups(self, name: str, form: str | None, listing: Listing) -> list[list[int]] | None:
        """Return the numbers of the files of each combination of values; None without keys."""
        if not self.partition_keys:
            return None
        from daskrun.data.partition_format import PartitionFormat  # few runs have keys

        if form is None:
            raise DatasetError(
                f"input {name!r} is not partitioned, and "
                f"partition_keys={list(self.partition_keys)} asks for its parts. Give "
                f"partition_format='{{key}}/{self.kind_of_file}' where the dataset is made, "
                "or leave partition_keys out. For a table whose columns hold the keys write "
                f"partition_by={list(self.partition_keys)}: its rows are put together first."
            )
        names = listing.table
        return [*PartitionFormat(form).grouped(listing.root, names, self.partition_keys).values()]

    def _check(self, index: int) -> None:
        if not 0 <= index < self.known:
            raise IndexError(f"index={index} is not below the number of mini-batches, {self.known}")
