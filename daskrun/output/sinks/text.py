"""The format ``text``: one ``str(element)`` a line, byte for byte as the original does."""

from __future__ import annotations

from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.output.sinks.settings_file import TO_CSV
from daskrun.output.sinks.sink import BLOCK, EncodedRows, Sink

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LINE_BREAKS = (
    "run() returned elements whose text has line breaks. They are written as they are: the output "
    "has more lines than rows."
)


class TextSink(Sink):
    r"""Writes ``str(element) + "\n"`` for each element, and a DataFrame as ``to_csv`` does.

    A DataFrame has one space between fields, no header and no index, unless the settings file
    beside the entry script says otherwise. Text is UTF-8 without lone surrogates (a file name that
    is not text brings one): such a character becomes its escape, ``\udc80``, so that it is not lost
    and the output can still be read by everything that reads UTF-8.

    Examples
    --------
    >>> TextSink().encode(["0.png: 7", 2])
    EncodedRows(data=b'0.png: 7\n2\n', header=0)
    """

    layout: Mapping[str, Any] = {
        "sep": " ",
        "header": False,
        "index": False,
        "lineterminator": "\n",
    }

    @override
    def configure(self, file_settings: Mapping[str, Any]) -> list[str]:
        self.layout = {**self.layout, **file_settings.get(TO_CSV, {})}
        return []

    @override
    def encode_elements(self, elements: Sequence[Any]) -> EncodedRows:
        count = len(elements)
        if count <= BLOCK:
            return EncodedRows(self._encode_block(elements))
        blocks, left = BytesIO(), iter(elements)
        for _ in range(0, count, BLOCK):
            blocks.write(self._encode_block(islice(left, BLOCK)))
        return EncodedRows(blocks.getvalue())

    def _encode_block(self, elements: Iterable[Any]) -> bytes:
        # What "%s" makes of an object is its str(). For whole numbers and texts it takes half the
        # time of "\n".join(map(str, ...)): 0.5 ms of the 10 that a million bytes of CSV take.
        values = tuple(elements)
        lines = "%s\n" * len(values) % values
        if lines.count("\n") > len(values):
            self.warn(LINE_BREAKS)
        return self.utf8(lines)

    @override
    def encode_frame(self, frame: Any) -> EncodedRows:
        text = frame.to_csv(**self.layout)
        data = self.utf8(text)
        if self.layout["header"] is False:
            return EncodedRows(data)
        # An empty frame of the same columns gives the header alone, however many lines it has.
        header = frame.iloc[:0].to_csv(**self.layout)
        return EncodedRows(data, len(self.utf8(header)) if text.startswith(header) else 0)
