"""Reading rows of a dataframe in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.data.tabular.formats.contract import Reader, Rows
from daskrun.data.tabular.formats.frames.arrow import whole_categories

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from daskrun.data.tabular.formats.contract import Piece, PieceFile
    from daskrun.data.tabular.formats.frames.spec import FrameSpec
    from daskrun.data.tabular.formats.node_cache import NodeCache


class FrameReader(Reader):
    """Reads rows of a table in memory, which is among the secrets."""

    @override
    def __init__(self, spec: FrameSpec, secrets: Mapping[str, Any], cache: NodeCache) -> None:
        self._table = whole_categories(secrets["table"].table)

    @property
    @override
    def warnings(self) -> list[str]:
        return []

    @override
    def read(self, piece: Piece, file: PieceFile, columns: Sequence[str], ids: bool) -> Rows:
        import numpy as np

        stop = self._table.num_rows if piece.stop is None else int(piece.stop)
        start = int(piece.start)
        table = self._select(columns).slice(start, stop - start)
        return Rows(table, np.arange(start, stop, dtype=np.uint64) if ids else None)

    def empty(self, columns: Sequence[str]) -> pa.Table:
        """Return a table of these columns without rows."""
        return self._select(columns).slice(0, 0)

    def _select(self, columns: Sequence[str]) -> pa.Table:
        wanted = set(columns)
        return self._table.select([name for name in self._table.column_names if name in wanted])
