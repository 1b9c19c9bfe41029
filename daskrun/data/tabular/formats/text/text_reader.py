"""What readers of text files have in common, whatever a line of them means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.data.tabular.formats.contract import Reader
from daskrun.data.tabular.formats.text.byte_reader import ByteReader
from daskrun.data.tabular.values.fitting import Fitter
from daskrun.data.tabular.values.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from daskrun.data.tabular.formats.contract import Piece, PieceFile
    from daskrun.data.tabular.formats.node_cache import NodeCache
    from daskrun.data.tabular.formats.text.dialect import Dialect
    from daskrun.data.tabular.formats.text.text_spec import TextSpec
    from daskrun.data.tabular.values.coercion import Warnings


class TextReader(Reader):
    """The part of a reader that does not read rows.

    ``exact``: whether pieces begin and end where records do; else one holds the lines that begin
    in it.
    """

    def __init__(
        self,
        spec: TextSpec,
        secrets: Mapping[str, Any],  # noqa: ARG002  (what is read is local)
        cache: NodeCache,
        dialect: Dialect,
        *,
        exact: bool,
    ) -> None:
        self._dialect = dialect
        self._fitter = Fitter(spec.columns, spec.declared, spec.strict_types, spec.on_type_conflict)
        self._types = self._fitter.types
        self._bytes = ByteReader(dialect, cache, exact=exact)

    @property
    def _warnings(self) -> Warnings:
        return self._fitter.warnings

    @property
    @override
    def warnings(self) -> list[str]:
        return self._warnings.texts

    @override
    def empty(self, columns: Sequence[str]) -> pa.Table:
        return arrow_schema([(name, self._types[name]) for name in columns]).empty_table()

    @override
    def survey(self, request: tuple[Any, ...], file: PieceFile) -> Any:
        return self._bytes.survey(request, file)

    @override
    def lines(self, piece: Piece, file: PieceFile) -> int:
        return self._bytes.lines(piece, file)

    def _not_encoded(self, where: str) -> str:
        return f"{where}: the bytes are not {self._dialect.encoding}. {FIX_ENCODING}"


FIX_ENCODING = (
    "Write the encoding the file has, such as encoding='latin1' or encoding='windows1252'."
)
