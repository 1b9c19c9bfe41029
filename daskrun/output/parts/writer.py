"""What a script process writes results with: the sink encodes, the part keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

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
    """Writes the results of the mini-batches of one process: to no part, where they only count."""

    def __init__(self, sink: Sink, part: Part | None) -> None:
        self._encode = sink.encode
        self._aside = sink.header_aside
        self._part = part
        self.count = sink.count
        self.new_warnings = sink.new_warnings

    def write(self, result: Any, guard: AbstractContextManager[object]) -> Written:
        """Write the rows of what ``run()`` returned for one mini-batch.

        ``guard`` encloses the sink's code, which calls the user's: ``str(element)``.

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
            encoded = self._encode(result)
        if type(encoded) is not EncodedRows:
            raise TypeError(
                f"{self._encode.__qualname__}() returned no EncodedRows: {encoded!r:.99}"
            )
        data, header = encoded
        if not data:
            return NO_ROWS
        if not header:
            crc = crc32(data)
        elif 0 < header <= len(data):
            crc = crc32(memoryview(data)[header:] if self._aside else data)
        else:
            raise ValueError(f"a header of {header} bytes in rows of {len(data)}")
        return Written(self._part.write(data), len(data), header, crc)
