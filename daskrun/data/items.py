"""What datasets of files and of rows have in common, and how a step uses one as an input."""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, runtime_checkable

from daskrun.core.absent_names import OriginalClass, original_keywords
from daskrun.data.registration import Registered
from daskrun.data.selection import as_count, as_fraction, as_seed
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskrun.data.listing import Listing
    from daskrun.data.partition_format import PartitionFormat, Value

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MODES = ("mount", "download", "direct")


@dataclass(frozen=True, eq=False, repr=False)
class Items(Registered):
    """A dataset of files or of rows, lazy and immutable: each method gives a new one."""

    kind: ClassVar[str]
    """``files`` or ``tabular``."""
    unit: ClassVar[str]
    """What an item is, in the plural."""
    how_partitioned: ClassVar[str]
    """What gives it partitions, for those who miss them."""

    @property
    def in_memory(self) -> bool:
        """Whether it is a dataframe, which a run needs in a folder first."""
        return False

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
        listing = self.listing()
        return form.combinations(listing.root, listing.table, partition_keys)

    def as_named_input(self, name: str) -> DatasetConsumptionConfig:
        """Use it as an input under this name, which the entry script knows it by."""
        return DatasetConsumptionConfig(name, self)

    @abstractmethod
    def listing(self) -> Listing:
        """Find the files that are left by all steps, in order.

        Raises
        ------
        DatasetError
            If the path means no file or can't be read. A selection may leave nothing; that is
            an error only for a run.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """Digest all that says which items there are (32 hex digits)."""

    @property
    @abstractmethod
    def _form(self) -> PartitionFormat | None:
        """How values are read from paths."""

    @abstractmethod
    def _window(self, start: int, count: int | None, text: str) -> Self:
        """Take ``count`` items, None: all, from ``start`` on; ``text`` is the call, for repr."""

    @abstractmethod
    def _share(self, low: float, high: float, seed: int, text: str) -> Self:
        """Take the items whose draw is at least ``low`` and below ``high``."""


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

    dataset: Items | DatasetParameter
    """The dataset, or a pipeline parameter that stands for one until the run is submitted."""

    mode: str = "mount"
    """``mount``: read in place where the node can, else fetched as needed. ``download``: copied to
    the node. For the inputs that mini-batches are cut from both are the same. ``direct``, the
    original's for datasets that the script reads itself, is kept as ``mount``."""

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
        if not isinstance(self.dataset, (Items, DatasetParameter)):
            raise DatasetError(
                f"dataset={self.dataset!r} is of type {type(self.dataset).__name__}. Give a "
                "dataset, such as Dataset.File.from_files(path) or "
                "Dataset.Tabular.from_delimited_files(path), or a PipelineParameter."
            )
        if self.mode not in _MODES:
            raise DatasetError(f"mode={self.mode!r} is unknown. Write 'mount' or 'download'.")
        if self.mode == "direct":
            object.__setattr__(self, "mode", "mount")

    @original_keywords
    def as_mount(self, path: str | None = None) -> DatasetConsumptionConfig:
        """Read the files in place, as if they were at ``path``."""
        return replace(self, mode="mount", path_on_compute=path)

    @original_keywords
    def as_download(self, path: str | None = None) -> DatasetConsumptionConfig:
        """Copy the files to the node, into ``path``."""
        return replace(self, mode="download", path_on_compute=path)

    def resolve(self, values: Mapping[str, object]) -> Items:
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
        if isinstance(self.dataset, Items):
            return self.dataset
        parameter = self.dataset.name
        value = values.get(parameter, self.dataset.default_value)
        if isinstance(value, Items):
            return value
        raise DatasetError(
            f"pipeline_parameters={{{parameter!r}: {value!r}}}: an input needs a dataset, this is "
            f"of type {type(value).__name__}. Give a dataset, such as "
            "Dataset.File.from_files(path)."
        )
