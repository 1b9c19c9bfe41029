"""The output of a run that has one mini-batch, without a run."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from daskrun.output.sinks.sink import CommittedRows

if TYPE_CHECKING:
    from pathlib import Path

    from daskrun.output.sinks.sink import EncodedRows, Sink


def output_of_one(sink: Sink, encoded: EncodedRows, index: int, folder: Path) -> bytes:
    """Return the output that has the rows of mini-batch ``index`` and no others.

    ``folder`` is made here, for the sink's own use.
    """
    header, rows = encoded.data[: encoded.header], encoded.data[encoded.header :]
    folder.mkdir()
    if sink.assembles:
        sink.assemble(
            iter([CommittedRows(index, header, rows)] if encoded.data else []), folder / "output"
        )
        return (folder / "output").read_bytes()
    with contextlib.closing(sink.headers(str(folder))) as headers:
        kept = bool(header) and headers.take(index, header, len(rows))
        return b"".join([headers.begins, header if kept else b"", rows, *headers.end()])
