"""Reading the bytes of pieces of text files, whatever a line of them means."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.data.tabular.formats.contract import Look, Piece, PieceFile, ReaderSpec
from daskrun.data.tabular.formats.text import split
from daskrun.data.tabular.formats.text.lines import (
    BytePiece,
    bring_bytes,
    line_number,
    lines_between,
    pack_piece,
    read_header,
    unpack_piece,
)
from daskrun.data.tabular.formats.text.source import ByteSource, MemoryBytes, TextFile
from daskrun.data.tabular.formats.typed_columns import TypedReader
from daskrun.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from daskrun.data.remote_files import RemoteFolder
    from daskrun.data.tabular.formats.node_cache import NodeCache
    from daskrun.data.tabular.formats.text.dialect import Dialect

_OPEN_FILES = 8

FIX_ENCODING = (
    "Write the encoding the file has, such as encoding='latin1' or encoding='windows1252'."
)


@dataclass(frozen=True, kw_only=True)
class TextSpec(ReaderSpec):
    """The schema of files of text."""

    encoding: str
    """A key of :data:`daskrun.data.tabular.formats.text.dialect.ENCODINGS`."""
    exact: bool
    """Whether pieces begin and end where records do; else one holds the lines that begin in it."""
    on_type_conflict: str = "fail"
    """What becomes of values that don't fit an inferred type: as
    :mod:`daskrun.data.tabular.values.fitting` names it."""

    max_unpacked: int | None = None
    """As of :class:`~daskrun.data.tabular.formats.text.dialect.Dialect`."""

    @property
    @abstractmethod
    def dialect(self) -> Dialect:
        """How the files are written."""

    def has_header(self, name: str) -> bool:  # noqa: ARG002  (of those that may have one)
        """Return whether a file's first record is a header."""
        return False

    def guessed(self, among: Collection[str]) -> list[tuple[str, str]]:
        """Return name and type of those of the columns whose type later values may not fit."""
        known = {*self.declared, *(name for name, kind in self.columns if kind == "text")}
        return [(name, kind) for name, kind in self.columns if name in among and name not in known]


@dataclass(frozen=True, slots=True)
class RawPiece:
    """The bytes of a piece."""

    shown: str
    offset: int
    """Of ``data`` in the file's plain bytes."""
    header: bytes
    """The file's first record where that is a header; of the file's encoding."""
    data: bytes
    last: bool
    """False: the file goes on behind it for certain."""
    source: ByteSource | None
    """What it was read from; None where only these bytes are here."""

    def at(self, position: int) -> str:
        """Return where a position in ``data`` is, by its line where lines can be counted."""
        offset = self.offset + position
        if self.source is None:
            return f"{self.shown}, byte {offset}"
        return f"{self.shown}, line {line_number(self.source, offset)}"


class TextReader(TypedReader):
    """Reads the bytes of pieces, and keeps a few files open; what lines mean is its formats'."""

    def __init__(self, spec: TextSpec, secrets: Mapping[str, Any], cache: NodeCache) -> None:
        super().__init__(spec, secrets, cache, spec.on_type_conflict)
        self._dialect = spec.dialect
        self._cache = cache
        self._exact = spec.exact
        self._open: OrderedDict[str, _OpenFile] = OrderedDict()

    @classmethod
    @override
    def bring(
        cls,
        spec: TextSpec,
        folder: RemoteFolder,
        columns: Sequence[str],
        what: Piece | Look,
        target: str,
        cache: NodeCache,
    ) -> None:
        dialect = spec.dialect
        source = _open(what.name, folder, dialect, cache, what)
        if isinstance(what, Look):
            split.bring_survey(source, what.request, target, dialect.grammar)
            return
        if split.is_whole(what, source.packed):
            what = what._replace(stop=None)
        header = spec.has_header(what.name)
        found = bring_bytes(source, what, spec.exact, header, dialect.grammar)
        Path(target).write_bytes(pack_piece(found))

    @override
    def survey(self, request: tuple[Any, ...], file: PieceFile) -> Any:
        separator = self._dialect.grammar
        with _explained(file):
            if file.brought:
                return split.survey_file(file.path, request, separator)
            return split.survey_bytes(
                self._opened(file, Look("", request)).source, request, separator
            )

    @override
    def lines(self, piece: Piece, file: PieceFile) -> int:
        if file.brought:
            return 0  # of a piece with trouble nothing is brought
        try:
            source = self._opened(file, piece).source
        except (OSError, TableError):
            return 0
        return lines_between(source, piece.start, piece.stop)

    def _raw(self, piece: Piece, file: PieceFile, *, header: bool) -> RawPiece:
        """Read the bytes of a piece; ``header``: the file's first record is one.

        TableError if the file can't be read, or its header is no header.
        """
        with _explained(file):
            if file.brought:
                found = unpack_piece(Path(file.path).read_bytes())
                return RawPiece(file.shown, *found, True, None)
            opened = self._opened(file, piece)
            if split.is_whole(piece, opened.source.packed):
                piece = piece._replace(stop=None)
            found = self._bytes(opened, piece, header)
        last = piece.stop is None or piece.stop >= opened.source.size
        return RawPiece(file.shown, *found, last, opened.source)

    def _bytes(self, opened: _OpenFile, piece: Piece, header: bool) -> BytePiece:
        separator = self._dialect.grammar
        if header and piece.start >= opened.after:
            found = bring_bytes(opened.source, piece, self._exact, False, separator)
            return found._replace(header=opened.header)
        found = bring_bytes(opened.source, piece, self._exact, header, separator)
        if header:
            # Read once more, checked now, to spare the file's other pieces 0.1 ms each.
            opened.header, opened.after = read_header(opened.source, separator)
        return found

    def _opened(self, file: PieceFile, what: Piece | Look) -> _OpenFile:
        opened = self._open.get(file.path)
        if opened is not None:
            self._open.move_to_end(file.path)
            return opened
        opened = _OpenFile(_open(file.path, file.path, self._dialect, self._cache, what))
        if isinstance(opened.source, MemoryBytes):
            return opened  # is looked at once, and would cost its size while it is kept
        self._open[file.path] = opened
        if len(self._open) > _OPEN_FILES:
            self._open.popitem(last=False)[1].source.close()
        return opened

    def _not_encoded(self, where: str) -> str:
        return f"{where}: the bytes are not {self._dialect.encoding}. {FIX_ENCODING}"


@dataclass(slots=True)
class _OpenFile:
    source: ByteSource
    header: bytes = b""
    after: float = math.inf
    """Where data begins behind the header; infinite until that is known."""


@contextmanager
def _explained(file: PieceFile) -> Iterator[None]:
    """Turn an error of the operating system into one that names the file."""
    try:
        yield
    except OSError as error:
        raise TableError(
            f"{file.shown} can't be read: {error.strerror or error}. Check that the file is there "
            "and may be read on every node."
        ) from error


def _open(
    name: str, where: str | RemoteFolder, dialect: Dialect, cache: NodeCache, what: Piece | Look
) -> ByteSource:
    """Open a file's plain bytes; those of a small one that isn't plain are made in memory."""
    memory, most = partial(split.fits_memory, what), dialect.max_unpacked
    return TextFile(name, where, dialect.encoding).open(cache, in_memory=memory, max_unpacked=most)
