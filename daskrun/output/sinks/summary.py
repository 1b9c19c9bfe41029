"""The action ``summary_only``: results are counted, and the script writes files of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.output.sinks.sink import EncodedRows, Sink

if TYPE_CHECKING:
    from collections.abc import Sequence


class SummarySink(Sink):
    """Counts results and writes none of them."""

    writes_rows = False

    @override
    def configure(self, file_settings: object) -> list[str]:
        return []

    @override
    def encode_elements(self, elements: Sequence[Any]) -> EncodedRows:
        return EncodedRows(b"")
