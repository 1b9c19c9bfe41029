"""What readers of text files have in common, whatever a line of them means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.data.tabular.formats.text.byte_reader import ByteReader
from daskrun.data.tabular.values.fitting import Warnings
from daskrun.data.tabular.values.types import arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

    from daskrun.data.tabular.formats.contract import Piece, PieceFile
    from daskrun.data.tabular.formats.node_cache import NodeCache
    from daskrun.data.tabular.formats.text.dialect import Dialect


class TextReader:
    """The part of a :class:`daskrun.data.tabular.formats.contract.Reader` that does not read rows.

    Parameters
    ----------
    reader
        What the source's ``describe`` gave.
    dialect
        How its files are to be understood.
    cache
        Of this node.
    exact
        Whether pieces begin and end where records do; else one holds the lines that begin in it.
    """

    def __init__(
        self, reader: dict[str, Any], dialect: Dialect, cache: NodeCache, *, exact: bool
    ) -> None:
        self._reader = reader
        self._dialect = dialect
        self._types: dict[str, str] = dict(reader["columns"])
        self._bytes = ByteReader(dialect, cache, exact=exact)
        self._warnings = Warnings()

    @property
    def warnings(self) -> list[str]:
        """What was changed or left out to make data fit."""
        return self._warnings.texts

    def empty(self, columns: list[str]) -> pa.Table:
        """Return a table of these columns without rows."""
        return arrow_schema([[name, self._types[name]] for name in columns]).empty_table()

    def survey(self, request: tuple[Any, ...], file: PieceFile) -> Any:
        """Find where records end in a block, or in a file that has to be decompressed."""
        return self._bytes.survey(request, file)

    def lines(self, piece: Piece, file: PieceFile) -> int:
        """Count the line ends of a piece that can't be read."""
        return self._bytes.lines(piece, file)
