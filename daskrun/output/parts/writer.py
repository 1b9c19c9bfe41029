"""What a script process writes results with: the sink encodes, the part keeps."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from daskrun.output.sinks.sink import EncodedRows

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from daskrun.output.parts.part import Part
    from daskrun.output.sinks.sink import Sink


class Written(NamedTuple):
    """Which bytes of the part are the rows of a mini-batch."""

    offset: int = -1
    length: int = 0
    header: int = 0
    """How many of them, at their front, are a header."""
    crc: int = 0
    """CRC-32 of them, without a header that stays aside."""


NO_ROWS = Written()


class ResultWriter:
    """Writes the results of the mini-batches of one process.

    Parameters
    ----------
    sink
        Encodes them.
    part
        Keeps the bytes; None where results are only counted.
    """

    def __init__(self, sink: Sink, part: Part | None) -> None:
        self._sink = sink
        self._part = part
        self.count = sink.count
        self.new_warnings = sink.new_warnings

    def write(self, result: Any, guard: AbstractContextManager[object]) -> Written:
        """Write the rows of one mini-batch.

        Parameters
        ----------
        result
            What ``run()`` returned.
        guard
            Encloses the sink's code, which calls the user's: ``str(element)``.

        Raises
        ------
        WrongResultError
            The sink can't encode it.
        PartError
            The bytes can't be kept, which is no fault of the mini-batch.
        """
        if self._part is None:
            return NO_ROWS
        with guard:
            encoded = self._sink.encode(result)
        if not isinstance(encoded, EncodedRows) or type(encoded.data) is not bytes:
            kind = type(self._sink).__name__
            raise TypeError(f"{kind}.encode() returned no EncodedRows of bytes: {encoded!r:.200}")
        data, header = encoded
        if not data:
            return NO_ROWS
        if not 0 <= header <= len(data):
            raise ValueError(f"a header of {header} bytes in rows of {len(data)}")
        checked = memoryview(data)[header:] if self._sink.header_aside else data
        return Written(self._part.write(data), len(data), header, zlib.crc32(checked))
