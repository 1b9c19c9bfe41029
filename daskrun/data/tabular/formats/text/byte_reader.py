"""The bytes of pieces of delimited and JSON-lines files, and where in the file they are."""

from __future__ import annotations

import math
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.data.tabular.formats.contract import Look, Piece
from daskrun.data.tabular.formats.text.lines import (
    BytePiece,
    bring_bytes,
    line_number,
    lines_between,
    pack_piece,
    read_header,
    unpack_piece,
)
from daskrun.data.tabular.formats.text.source import MemoryBytes, open_bytes
from daskrun.data.tabular.formats.text.split import (
    bring_survey,
    fits_memory,
    is_whole,
    survey_bytes,
    survey_file,
)
from daskrun.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daskrun.data.remote_files import RemoteFolder
    from daskrun.data.tabular.formats.contract import PieceFile
    from daskrun.data.tabular.formats.node_cache import NodeCache
    from daskrun.data.tabular.formats.text.dialect import Dialect
    from daskrun.data.tabular.formats.text.source import ByteSource

_OPEN_FILES = 8


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


class ByteReader:
    """Reads bytes of pieces and keeps a few files open."""

    def __init__(self, dialect: Dialect, cache: NodeCache, *, exact: bool) -> None:
        self._dialect = dialect
        self._cache = cache
        self._exact = exact
        self._open: OrderedDict[str, _OpenFile] = OrderedDict()

    def read(self, piece: Piece, file: PieceFile, *, header: bool) -> RawPiece:
        """Read a piece; ``header``: the file's first record is one.

        Raises
        ------
        TableError
            If the file can't be read, or its header is no header.
        """
        with _explained(file):
            if file.brought:
                found = unpack_piece(Path(file.path).read_bytes())
                return RawPiece(file.shown, *found, True, None)
            opened = self._opened(file, piece)
            if is_whole(piece, opened.source.packed):
                piece = piece._replace(stop=None)
            found = self._bytes(opened, piece, header)
        last = piece.stop is None or piece.stop >= opened.source.size
        return RawPiece(file.shown, *found, last, opened.source)

    def survey(self, request: tuple[Any, ...], file: PieceFile) -> Any:
        """Find where records begin in a block."""
        separator = self._dialect.grammar
        with _explained(file):
            if file.brought:
                return survey_file(file.path, request, separator)
            return survey_bytes(self._opened(file, Look("", request)).source, request, separator)

    def lines(self, piece: Piece, file: PieceFile) -> int:
        """Count the lines of a piece; 0 where it can't be read here."""
        if file.brought:
            return 0  # of a piece with trouble nothing is brought
        try:
            source = self._opened(file, piece).source
        except (OSError, TableError):
            return 0
        return lines_between(source, piece.start, piece.stop)

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


def bring_piece(
    folder: RemoteFolder,
    what: Piece | Look,
    target: str,
    cache: NodeCache,
    dialect: Dialect,
    *,
    exact: bool,
    header: bool,
) -> None:
    """Write the bytes of a remote piece, or of a survey's block, to a local file."""
    source = _open(what.name, folder, dialect, cache, what)
    if isinstance(what, Piece):
        if is_whole(what, source.packed):
            what = what._replace(stop=None)
        found = bring_bytes(source, what, exact, header, dialect.grammar)
        Path(target).write_bytes(pack_piece(found))
    else:
        bring_survey(source, what.request, target, dialect.grammar)


def _open(
    name: str,
    where: str | RemoteFolder,
    dialect: Dialect,
    cache: NodeCache,
    what: Piece | Look,
) -> ByteSource:
    """Open a file's plain bytes; those of a small one that isn't plain are made in memory."""
    memory, most = partial(fits_memory, what), dialect.max_unpacked
    return open_bytes(name, where, dialect.encoding, cache, in_memory=memory, max_unpacked=most)
