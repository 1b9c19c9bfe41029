"""Reading rows of a dataframe in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.data.libraries import np
from daskrun.data.tabular.formats.contract import Piece, PieceFile, Reader, ReaderSpec, Rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from daskrun.data.tabular.formats.node_cache import NodeCache


@dataclass(frozen=True, kw_only=True)
class FrameSpec(ReaderSpec):
    """The schema of a dataframe; its rows come with the secrets, which are never written down."""

    format = "frame"
    of_files = False
    in_memory = True


class FrameReader(Reader):
    """Reads rows of a table in memory, which is among the secrets."""

    @override
    def __init__(self, spec: FrameSpec, secrets: Mapping[str, Any], cache: NodeCache) -> None:
        self._table = secrets["table"].table.unify_dictionaries()  # parts have the frame's own

    @property
    @override
    def warnings(self) -> list[str]:
        return []

    @override
    def read(self, piece: Piece, file: PieceFile, columns: Sequence[str], ids: bool) -> Rows:
        stop = self._table.num_rows if piece.stop is None else int(piece.stop)
        start = int(piece.start)
        table = self._select(columns).slice(start, stop - start)
        return Rows(table, np.arange(start, stop, dtype=np.uint64) if ids else None)

    @override
    def empty(self, columns: Sequence[str]) -> pa.Table:
        return self._select(columns).slice(0, 0)

    def _select(self, columns: Sequence[str]) -> pa.Table:
        wanted = set(columns)
        return self._table.select([name for name in self._table.column_names if name in wanted])
