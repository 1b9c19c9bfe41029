"""What a table's format has to do, from listing to rows; each format is a file that does it.

::

    Source.listing() ─▶ names and sizes            in the process that submits
    Source.describe() ─▶ the reader, builtins only  one schema, inferred once
    Splitter.begin(name, size) ─▶ cuts, or surveys  lazily, in the driver
    bring(...) ─▶ a local file                      remote data: in the fetcher
    Reader.read(piece, file) ─▶ Rows                in the script process
    dataset steps ─▶ pandas.DataFrame               in the script process
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from daskrun.data.listing import Listing
    from daskrun.data.remote_files import RemoteFolder
    from daskrun.data.tabular.formats.node_cache import NodeCache


class Piece(NamedTuple):
    """Rows of one file (or query) that a mini-batch loads. Builtins only: it travels."""

    name: str
    """The file, relative to the input's root; ``"query"`` for SQL."""
    start: Any
    """First byte (delimited, JSON lines), first row (Parquet), lowest key as a tuple (SQL)."""
    stop: Any
    """One past the last of these; None: to the end. ``start=0, stop=None`` is the whole file."""
    trouble: str = ""
    """Why it can't be read, where that is known already: loading it raises just this."""


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
        """Take what the next survey (0, 1, 2, … in order) found; give the cuts now certain.

        After the last one all of the file has been given. It is fed again, from the journal, on
        resume: the same surveys give the same cuts.
        """

    def give_up(self, trouble: str) -> list[Cut]:
        """Return what is not given yet as one piece that can't be read, for this reason."""


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
    """What a reader gives for a piece."""

    table: pa.Table
    """The reader's columns, or those of ``columns`` asked for, in the reader's order and types."""
    ids: NDArray[np.uint64] | None
    """For each row a number that is its own within the file and the same for every mini-batch
    size (byte offset of the record, row number): what samples are drawn by. None: not asked for."""


class Reader(Protocol):
    """Reads pieces of one input; one per script process and input.

    Made with the ``reader`` that :meth:`Source.describe` gave and the node's cache.
    """

    def read(self, piece: Piece, file: PieceFile, columns: list[str], ids: bool) -> Rows:
        """Read the rows of a piece: these columns only, with ids if they are asked for.

        Raises
        ------
        TableError
            What is wrong with the data: file, line (or row), column, value. Its ``items`` is how
            many records the piece holds where that could be counted.
        """

    def empty(self, columns: list[str]) -> pa.Table:
        """Return a table of these columns, with their types and no row."""

    def survey(self, request: tuple[Any, ...], file: PieceFile) -> Any:
        """Look at what a :class:`FileSplit` asked for; builtins, small."""

    def lines(self, piece: Piece, file: PieceFile) -> int:
        """Count what may be records in a piece with trouble; 0 where nothing tells."""

    @property
    def warnings(self) -> list[str]:
        """What was changed to make data fit, in words that name the column; each text once."""


class Bring(Protocol):
    """Brings what a remote piece or survey needs to a local file; a function of each format."""

    def __call__(
        self,
        folder: RemoteFolder,
        reader: dict[str, Any],
        what: Piece | tuple[Any, ...],
        target: str,
        cache: NodeCache,
    ) -> None:
        """Write ``target``; ``what`` is a piece, or ``(name, *request)`` for a survey."""


class Source(Protocol):
    """Where a tabular dataset's rows are; frozen, made by ``Dataset.Tabular.from_*``."""

    format: str
    """Key of :data:`daskrun.data.tabular.formats.registry.FORMATS`."""

    def __repr__(self) -> str:
        """Return the call that makes it: ``Dataset.Tabular.from_delimited_files('x.csv')``."""

    def check(self) -> None:
        """Check now what ``validate=True`` promises: something is there, and can be read."""

    def listing(self) -> Listing:
        """Find the files, in order. SQL: no root, one name ``"query"`` of size -1."""

    def describe(self, listing: Listing) -> dict[str, Any]:
        """Infer the one schema and give the reader, builtins only, without secrets.

        Keys all formats have: ``format``, ``columns`` (list of ``[name, type]`` in order, type as
        :mod:`daskrun.data.tabular.values.types` writes it), ``strict_types``, ``warnings`` (list
        of texts to be told once, such as ambiguous dates). Others are the format's own. The
        reader is part of the plan's fingerprint.

        Raises
        ------
        DatasetError
            Nothing can be read, or what was asked for can't be (an unknown column, encoding, …).
        """

    def splitter(self, reader: dict[str, Any], listing: Listing, mini_batch_size: int) -> Splitter:
        """Return what cuts the listing's files into pieces of about ``mini_batch_size`` bytes."""


@dataclass(frozen=True)
class TableInput:
    """A tabular dataset with all that can be known before its rows are read."""

    listing: Listing
    """The files that are left after conditions on partition columns have dropped others."""
    splitter: Callable[[Listing, int], Splitter]
    """From files of ``listing`` and ``mini_batch_size`` in bytes."""
    spec: dict[str, Any]
    """What script processes need to make its mini-batches; builtins only, no secret. Keys:
    ``reader`` (:meth:`Source.describe`), ``columns`` (names to read from the files),
    ``partition`` (None, or what :mod:`daskrun.data.partition_format` needs to give each
    file's values), ``include_path``, ``steps`` (list for
    :class:`daskrun.data.tabular.conditions.row_steps.Steps`)."""
    partition_columns: tuple[str, ...] = ()
    """Columns that come from the path."""
    secrets: dict[str, Any] = field(default_factory=dict, repr=False)
    """``storage_options`` of the listing; for SQL the connection. Never logged or journalled."""
