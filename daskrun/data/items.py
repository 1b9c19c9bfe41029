"""What datasets of files and of rows have in common: items, of which some can be taken."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from daskrun.data.registration import Registered
from daskrun.data.selection import as_count, as_fraction, as_seed
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.data.consumption import DatasetConsumptionConfig
    from daskrun.data.listing import Listing
    from daskrun.data.partition_format import PartitionFormat, Value


@dataclass(frozen=True, eq=False, repr=False)
class Items(Registered):
    """A dataset of files or of rows, lazy and immutable: each method gives a new one."""

    unit: ClassVar[str]
    """What an item is, in the plural."""
    how_partitioned: ClassVar[str]
    """What gives it partitions, for those who miss them."""

    def take(self, count: int) -> Self:
        """Take the first ``count`` files, or rows."""
        count = as_count("count", count, self.unit)
        return self._window(0, count, f".take({count})")

    def skip(self, count: int) -> Self:
        """Leave the first ``count`` files, or rows, out."""
        count = as_count("count", count, self.unit)
        return self._window(count, None, f".skip({count})")

    def take_sample(self, probability: float, seed: int | None = None) -> Self:
        """Take each file, or row, with a probability, above 0 and up to 1.

        Without a seed one is drawn now: the sample stays the same whenever it is looked at, for
        every ``mini_batch_size``. A file's draw depends on its path, a row's on its file and its
        place in it.
        """
        as_fraction("probability", probability, upto_one=True)
        seed = as_seed(seed)
        return self._share(0.0, probability, seed, f".take_sample({probability}, seed={seed})")

    def random_split(self, percentage: float, seed: int | None = None) -> tuple[Self, Self]:
        """Split the files, or rows, at random into two datasets.

        Each is in exactly one, about ``percentage`` (0 to 1) of them in the first. Without a seed
        one is drawn now.
        """
        as_fraction("percentage", percentage, upto_one=False)
        seed = as_seed(seed)
        text = f".random_split({percentage}, seed={seed})"
        return (
            self._share(0.0, percentage, seed, f"{text}[0]"),
            self._share(percentage, 1.0, seed, f"{text}[1]"),
        )

    @property
    def partition_keys(self) -> list[str]:
        """Names of the values that come from the path, as ``partition_format`` has them."""
        form = self._form
        return list(form.columns) if form is not None else []

    def get_partition_key_values(
        self, partition_keys: Sequence[str] | None = None
    ) -> list[dict[str, Value]]:
        """List the combinations of values that exist, in the files' order; reads no file.

        Parameters
        ----------
        partition_keys
            Some of :attr:`partition_keys`; None: all of them.

        Raises
        ------
        DatasetError
            If the dataset has no ``partition_format``, a key is not in it, or a path does not fit.
        """
        form = self._form
        if form is None:
            raise DatasetError(f"{self!r} has no partitions. {self.how_partitioned}")
        form.check_keys(partition_keys)
        listing = self._listed()
        return form.combinations(listing.root, listing.table, partition_keys)

    def as_named_input(self, name: str) -> DatasetConsumptionConfig:
        """Return it the name that the entry script knows it by."""
        from daskrun.data.consumption import DatasetConsumptionConfig

        return DatasetConsumptionConfig(name, self)  # type: ignore[arg-type]  # there is no third kind

    @property
    @abstractmethod
    def _form(self) -> PartitionFormat | None:
        """How values are read from paths."""

    @abstractmethod
    def _listed(self) -> Listing:
        """Find the files that are left by all steps."""

    @abstractmethod
    def _window(self, start: int, count: int | None, text: str) -> Self:
        """Take ``count`` items, None: all, from ``start`` on; ``text`` is the call, for repr."""

    @abstractmethod
    def _share(self, low: float, high: float, seed: int, text: str) -> Self:
        """Take the items whose draw is at least ``low`` and below ``high``."""
