"""What a run is made of: mini-batches, what each one loads, and the plan that lists them."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from daskrun.core.warned import of_input

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self


@dataclass(frozen=True, slots=True)
class FilePaths:
    """Whole files; ``run()`` gets their local paths."""

    names: tuple[str, ...]
    """Paths relative to the input's root, with ``/``."""

    def plain(self) -> tuple[Any, ...]:
        """Return the fields as a tuple of builtins, the first of them the kind."""
        return ("files", *self.names)


@dataclass(frozen=True, slots=True)
class TablePieces:
    """Rows of a table; ``run()`` gets them as one ``pandas.DataFrame`` with index 0..n-1."""

    pieces: tuple[tuple[Any, ...], ...]
    """What to read, in order: each the fields of
    :class:`daskrun.data.tabular.formats.contract.Piece`. One, unless the run has
    ``partition_keys``: then all files of a combination of values."""
    slices: tuple[tuple[int, int], ...] = ()
    """For each ``take`` or ``skip`` of the dataset the rows, of those that reach it here, that it
    keeps: first and one past the last."""
    first_row: int | None = None
    """Index of its first row in the whole input; None where the source does not give it."""

    def plain(self) -> tuple[Any, ...]:
        """Return the fields as a tuple of builtins, the first of them the kind."""
        return ("table", self.pieces, self.slices, self.first_row)


Load = FilePaths | TablePieces
"""What a mini-batch loads."""


class Survey(NamedTuple):
    """A look at the data that later mini-batches wait for, made where mini-batches are run.

    It travels like a mini-batch, with an encoded descriptor of the same fields, and its load
    begins with ``"survey"``; it calls no user code and is not counted.
    """

    number: int
    """From 0, in the order in which they were begun."""
    descriptor: bytes
    key: tuple[Any, ...]
    """What it looks at, as JSON can hold it: the same in every run over the same data."""


class Surveyor(Protocol):
    """The part of a lazy plan that needs the data itself to be looked at. One thread calls it."""

    def begin(self, most: int) -> list[Survey]:
        """Return up to ``most`` surveys to be made now; they may end in any order."""

    def learn(self, number: int, found: Any) -> None:
        """Add what a survey found; :attr:`Plan.known` may grow."""

    def give_up(self, number: int, trouble: str) -> None:
        """Note that a survey can't be made: mini-batches that need it fail with this text."""


@dataclass(frozen=True, slots=True)
class MiniBatch:
    """What one call of ``run()`` gets: small, plain, and the unit of retry and accounting."""

    index: int
    """Position in the plan, from 0, over all inputs."""
    input: int
    """Which of the run's inputs it is cut from, from 0."""
    load: Load
    items: int | None
    """How many items it holds; None where only reading tells."""
    nbytes: int
    """Bytes to read, -1 where the source does not say."""

    def encode(self) -> bytes:
        """Return the descriptor as bytes of builtins: what travels, and what the digest is of."""
        return pickle.dumps((self.index, self.input, self.load.plain(), self.items, self.nbytes), 5)


class Descriptor(NamedTuple):
    """A mini-batch or survey as it travels: the fields of :class:`MiniBatch`, its load as builtins.

    Made once for each attempt: a named tuple takes a third of the time of a dataclass.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nothing here uses
    input: int
    load: tuple[Any, ...]
    items: int | None
    nbytes: int

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        """Read what :meth:`MiniBatch.encode` gave."""
        return tuple.__new__(cls, pickle.loads(encoded))  # _make() takes twice as long


def digest(descriptor: bytes) -> str:
    """Digest an encoded descriptor (16 hex digits), to know on resume that the plan is the same."""
    return hashlib.blake2b(descriptor, digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class PlanInput:
    """One input of a run, as the script processes need to know it."""

    name: str
    """Name the user gave, else ``input_<n>``."""
    root: str
    """Folder (absolute path) or URL that the names of its mini-batches are relative to."""
    remote: bool
    """True: its files are brought to local paths by the fetcher."""
    storage_options: dict[str, Any]
    """fsspec options for a remote root. May hold secrets: never logged, never journalled."""
    kind: str = "files"
    """``files`` or ``tabular``."""
    table: dict[str, Any] | None = None
    """How script processes read it: ``TableInput.spec``; None for files."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was found when its schema was inferred, such as dates that stay text."""
        return tuple((self.table or {}).get("reader", {}).get("warnings", ()))


@dataclass(frozen=True)
class NodePath:
    """Stands among a script's arguments for a path that is known on its node only."""

    kind: str
    """``input``: of a step's input or side input; ``output``: of what the step writes."""
    name: str
    """The input's or output's."""
    before: str = ""
    after: str = ""
    """Texts that the argument has around the path."""


class Plan(Protocol):
    """The mini-batches of a run, found lazily, in an order that is the same every time.

    Indices run on over all inputs. ``plan[i]`` is cheap and may be asked again, for a retry.
    """

    inputs: tuple[PlanInput, ...]

    @property
    def surveyor(self) -> Surveyor | None:
        """What has the data looked at; None where names and sizes are enough."""

    @property
    def known(self) -> int:
        """How many mini-batches have been found so far."""

    @property
    def complete(self) -> bool:
        """Whether ``known`` is all there are."""

    def extend(self, upto: int) -> None:
        """Look on until ``upto`` mini-batches are known, the data ends, or a survey is needed."""

    def __getitem__(self, index: int) -> MiniBatch:
        """Return mini-batch ``index``, ``0 <= index < known``."""

    def encode(self, index: int) -> bytes:
        """Return ``plan[index].encode()``, in half time: the driver asks for each mini-batch."""

    def bundle_size(self, start: int, count: int) -> int:
        """Return how many mini-batches from ``start`` on go well together, about ``count``."""

    def fingerprint(self) -> str:
        """Digest what the plan was made from: paths, sizes, times, mini-batch size."""


def warnings_of(inputs: Sequence[PlanInput]) -> list[str]:
    """Return what is to be told of the inputs of a run before it begins."""
    return [of_input(text, each.name, len(inputs)) for each in inputs for text in each.warnings]
