"""What a format of tables has to do, from listing to rows; each format is a folder that does it.

::

    Source.listing() ─▶ names and sizes              in the process that submits
    Source.describe() ─▶ ReaderSpec                  one schema, inferred once
    Splitter.begin(name, size) ─▶ cuts, or surveys   lazily, in the driver
    Reader.bring(...) ─▶ a local file                remote data: in the fetcher
    Reader.read(piece, file) ─▶ Rows                 in the script process
    steps of the dataset ─▶ pandas.DataFrame         in the script process

A new format is one folder with these five classes (of which most need no splitter of their own) and
one line in :data:`daskrun.data.tabular.formats.registry.FORMATS`, or an entry point.
:mod:`daskrun.testing.contracts.formats` tests it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self, TypeAlias

from daskrun.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from daskrun.data.listing import Listing
    from daskrun.data.remote_files import RemoteFolder
    from daskrun.data.tabular.formats.node_cache import NodeCache

Plain: TypeAlias = "dict[str, Any]"
"""Builtins that a specification is encoded as: what travels, and what fingerprints are of."""


class Piece(NamedTuple):
    """Rows of one file (or query) that a mini-batch loads. Builtins only: it travels."""

    name: str
    """The file, relative to the input's root; ``"query"`` for SQL."""
    start: Any
    """First byte (delimited, JSON lines), first row (Parquet), lowest key as a tuple (SQL);
    of another format what its splitter and reader agree on."""
    stop: Any
    """One past the last of these; None: to the end. ``start=0, stop=None`` is the whole file."""
    trouble: str = ""
    """Why it can't be read, where that is known already: loading it raises just this."""


class Look(NamedTuple):
    """What a survey looks at."""

    name: str
    """The file."""
    request: tuple[Any, ...]
    """Of :meth:`FileSplit.request`."""


class Cut(NamedTuple):
    """A piece as a splitter finds it."""

    start: Any
    stop: Any
    rows: int
    """How many rows it holds, -1 where only reading tells."""
    nbytes: int
    """Bytes to read, -1 where that is unknown."""
    trouble: str = ""
    goes_on: bool = False
    """Whether what is before it in the file must be gone through to read it, so that it costs less
    behind the cut before it (a part of a large row group)."""


class FileSplit(Protocol):
    """The cuts of one file that must be looked at by the workers first (*surveys*)."""

    surveys: int
    """How many there are, at least 1; any number may run at a time."""

    def request(self, number: int) -> tuple[Any, ...]:
        """Return what survey ``number`` is to look at: builtins, for :meth:`Reader.survey`."""

    def feed(self, found: Any) -> list[Cut]:
        """Take what the next survey (0, 1, 2, … in order) found; return the cuts now certain.

        After the last one all cuts of the file have been returned. It is fed again, from the
        journal, on resume: the same surveys give the same cuts.
        """

    def give_up(self, trouble: str) -> list[Cut]:
        """Return what is left of the file as one piece that can't be read, for this reason."""


class Splitter(Protocol):
    """Cuts the files of one input. Deterministic; calls come from one thread."""

    def begin(self, name: str, size: int) -> list[Cut] | FileSplit:
        """Cut a file of ``size`` bytes (-1 unknown): its pieces in order, or what finds them.

        A file that can't be read is one piece with ``trouble``; a file without rows has no piece
        or an empty one. Never raises for what is wrong with the file.
        """


class PieceFile(NamedTuple):
    """Where a reader finds the bytes of a piece."""

    path: str
    """A local file."""
    brought: bool
    """True: made by ``bring``, in whatever layout the format's ``bring`` and reader share. False:
    it is the dataset's own file."""
    shown: str
    """Path or URL for messages, without secrets."""


class Rows(NamedTuple):
    """What a reader returns for a piece."""

    table: pa.Table
    """The reader's columns, or those of ``columns`` asked for, in the reader's order and types."""
    ids: NDArray[np.uint64] | None
    """For each row a number that is its own within the file and the same for every mini-batch
    size (byte offset of the record, row number): what samples are drawn by. None: not asked for."""


class Reader(ABC):
    """Reads pieces of one input; one per script process and input."""

    @abstractmethod
    def __init__(self, spec: Any, secrets: Mapping[str, Any], cache: NodeCache) -> None: ...

    @classmethod
    def bring(
        cls,
        spec: Any,  # noqa: ARG003  (of the seam, as those below)
        folder: RemoteFolder,  # noqa: ARG003
        columns: Sequence[str],  # noqa: ARG003
        what: Piece | Look,
        target: str,  # noqa: ARG003
        cache: NodeCache,  # noqa: ARG003
    ) -> None:
        """Write what a remote piece or survey needs of these columns to a local file ``target``."""
        raise TableError(f"{what.name}: rows of this format are never fetched.")

    @abstractmethod
    def read(self, piece: Piece, file: PieceFile, columns: Sequence[str], ids: bool) -> Rows:
        """Read the rows of a piece: these columns only, with ids if they are asked for.

        ``columns`` may be empty: the number of rows is what counts then.

        Raises
        ------
        TableError
            What is wrong with the data: file, line (or row), column, value. Its ``items`` is how
            many records the piece holds where that could be counted.
        """

    @abstractmethod
    def empty(self, columns: Sequence[str]) -> pa.Table:
        """Return a table of these columns, with their types and no row."""

    @property
    @abstractmethod
    def warnings(self) -> list[str]:
        """What was changed to make data fit, in words that name the column; each text once."""

    def survey(self, request: tuple[Any, ...], file: PieceFile) -> Any:
        """Look at what a :class:`FileSplit` asked for; builtins, small. Most formats have none."""
        raise TableError(f"{file.shown}: its format has no surveys, but one was asked: {request!r}")

    def trouble(self, piece: Piece, file: PieceFile) -> str:  # noqa: ARG002  (of the seam)
        """Return why a piece with trouble can't be read, in more words where the file tells."""
        return piece.trouble

    def lines(self, piece: Piece, file: PieceFile) -> int:  # noqa: ARG002  (of the seam)
        """Count what may be records in a piece with trouble; 0 where nothing tells."""
        return 0

    def close(self) -> None:  # noqa: B027  (most hold nothing)
        """Let go of what is held open; it is opened again when it is needed."""


@dataclass(frozen=True, kw_only=True)
class ReaderSpec(ABC):
    """How script processes read an input: a dataclass of builtins, without secrets.

    Its module imports neither pandas nor pyarrow: it is loaded in the process that submits and in
    the fetcher. It is part of the plan's fingerprint. A field that has a default is left out of
    the plain form where it has that value: a field that is new changes no fingerprint.
    """

    format: ClassVar[str]
    """Key of :data:`daskrun.data.tabular.formats.registry.FORMATS`."""
    of_files: ClassVar[bool] = True
    """Whether rows are in files that are listed, so that a run can be of those added since."""
    in_memory: ClassVar[bool] = False
    """Whether rows are in this process only."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Requirements of the reader beside pandas and pyarrow, such as ``sqlalchemy>=2``."""

    columns: tuple[tuple[str, str], ...]
    """Name and type of each, in order; types as :mod:`daskrun.data.tabular.values.types` writes
    them."""
    strict_types: bool
    """Whether a value that changes a column's dtype in its mini-batch is an error."""
    warnings: tuple[str, ...]
    """Texts to be told once, such as that dates are ambiguous."""
    declared: tuple[str, ...] = ()
    """Columns whose type is no guess: ``set_column_types`` says it, or it is text since the sample
    has values of several kinds."""

    def plain(self) -> Plain:
        """Return the fields as builtins."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        kept = (f.name for f in fields(self) if f.default is MISSING or values[f.name] != f.default)
        return {"format": self.format, **{name: _lists(values[name]) for name in kept}}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """Make the specification that :meth:`plain` was asked of."""
        return cls(**{name: _tuples(v) for name, v in plain.items() if name != "format"})


def _lists(value: Any) -> Any:
    return [_lists(each) for each in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(each) for each in value) if isinstance(value, list | tuple) else value


class Source(ABC):
    """Where a tabular dataset's rows are; a frozen dataclass, made by ``Dataset.Tabular.from_*``.

    Its fields are builtins, paths and ``DataType``, so that it can be kept (``core/codec.py``).
    """

    include_path: bool = False
    """Whether the dataset has a column for the path, which the loader adds."""
    packages: ClassVar[tuple[str, ...]] = ()
    """As those of its :class:`ReaderSpec`."""
    partition_format: str | None = None
    """How the loader reads columns from the path."""

    @property
    def steps(self) -> tuple[tuple[Any, ...], ...]:
        """Steps that come before those of the dataset."""
        return ()

    @abstractmethod
    def __repr__(self) -> str:
        """Return the call that makes it: ``Dataset.Tabular.from_delimited_files('x.csv')``."""

    @abstractmethod
    def check(self) -> None:
        """Check now what ``validate=True`` promises: something is there, and can be read."""

    @abstractmethod
    def listing(self) -> Listing:
        """Find the files, in order. SQL: no root, one name ``"query"`` of size -1."""

    @abstractmethod
    def describe(self, listing: Listing) -> ReaderSpec:
        """Infer the one schema and return how rows are read.

        Raises DatasetError where nothing can be read, or what was asked for can't be (an unknown
        column, encoding, …).
        """

    def risks(self, listing: Listing, spec: Any, columns: Sequence[str]) -> list[str]:  # noqa: ARG002
        """Look at more rows than :meth:`describe`, for a second at most, when a run is submitted.

        Returns
        -------
        list
            Warnings of those of the columns that hold what their inferred type does not.
        """
        return []

    @abstractmethod
    def splitter(self, spec: Any, listing: Listing, mini_batch_size: int) -> Splitter:
        """Return what cuts the listing's files into pieces of about ``mini_batch_size`` bytes.

        ``spec`` is what :meth:`describe` returned.
        """


class FrameSource(ABC):
    """A dataframe, which a run needs written to files first."""

    @abstractmethod
    def check(self) -> None:
        """Check what can be checked now."""

    @abstractmethod
    def as_source(self, mini_batch_size: int) -> Source:
        """Return a source that can be read now, and cut to this size."""

    @abstractmethod
    def write(
        self, folder: str, mini_batch_size: int, storage_options: Mapping[str, Any] | None = None
    ) -> Source:
        """Write the frame to Parquet files whose row groups are its mini-batches.

        ``folder``: local, or a URL; made if it isn't there, else empty. All workers must reach it.
        ``mini_batch_size``: bytes of a row group, about: as many rows as have this size in Arrow on
        average. Raises DatasetError where the frame can't be computed or can't be a table, or
        the folder can't be written, is not empty, or is another one for the workers.
        """

    def computed_by(self, scheduler: Any) -> FrameSource:  # noqa: ARG002  (Dask's)
        """Return the same dataframe, computed by another scheduler of Dask where it is Dask's."""
        return self
