"""The format ``text``: one ``str(element)`` a line, byte for byte as the original does."""

from __future__ import annotations

from contextlib import nullcontext
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.output.sinks.plain import holds_array, may_hold_arrays, one_line, whole_arrays
from daskrun.output.sinks.settings_file import TO_CSV
from daskrun.output.sinks.sink import BLOCK, EncodedRows, Sink

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from daskrun.output.sinks.sink import CommittedRows, Headers

LINE_BREAKS = (
    "run() returned elements whose text has line breaks. They are written as they are: the output "
    "has more lines than rows."
)

OTHER_COLUMNS = (
    "run() returned DataFrames with other columns, or in another order. Text without a header has "
    "them as they are, and nothing tells which is which: append_row_file_name='rows.csv' writes "
    "them by name."
)


class TextSink(Sink):
    r"""Writes ``str(element) + "\n"`` for each element, and a DataFrame as ``to_csv`` does.

    Arrays are whole and in one line, also inside of tuples, lists and dicts; numpy's numbers there
    are plain ones.

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
    def headers(self, spool: str | None) -> Headers:
        if self.layout["header"] is not True:  # there is none, or one for all
            return super().headers(spool)
        from daskrun.output.sinks.by_name import ColumnHeaders  # in the driver only

        return ColumnHeaders(self.layout, self.columns == "union")

    @override
    def join_by_name(self, mini_batches: Iterable[CommittedRows], file: Path) -> None:
        from daskrun.output.sinks.by_name import join_by_name  # in the driver only

        join_by_name(mini_batches, file, self.layout, self.columns == "union")

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
        with whole_arrays() if may_hold_arrays(values) else nullcontext():
            lines = "%s\n" * len(values) % values
            if lines.count("\n") > len(values):
                lines = "%s\n" * len(values) % tuple(map(one_line, values))
        if lines.count("\n") > len(values):
            self.warn(LINE_BREAKS)
        return self.utf8(lines)

    @override
    def encode_frame(self, frame: Any) -> EncodedRows:
        headed = self.layout["header"] is not False
        if not len(frame) and not (headed and len(frame.columns)):
            return EncodedRows(b"")
        with whole_arrays():
            text = frame.to_csv(**self.layout)
            if text.count("\n") > len(frame) + headed:
                text = _flat(frame).to_csv(**self.layout)
        data = self.utf8(text)
        if not headed:
            self._look_at_columns(frame.columns)
            return EncodedRows(data)
        # An empty frame of the same columns gives the header alone, however many lines it has.
        header = frame.iloc[:0].to_csv(**self.layout)
        return EncodedRows(data, len(self.utf8(header)) if text.startswith(header) else 0)

    def _look_at_columns(self, columns: Any) -> None:
        """Warn where columns are others than before in this process: no name tells it later."""
        first = vars(self).setdefault("_columns", columns)
        if columns is not first and not columns.equals(first):
            self.warn(OTHER_COLUMNS)


def _flat(frame: Any) -> Any:
    """Return a frame with each array in it as a text of one line."""
    columns = [frame.iloc[:, number] for number in range(frame.shape[1])]
    if not any(column.dtype == object and any(map(holds_array, column)) for column in columns):
        return frame
    flat = frame.copy(deep=False)
    for number, column in enumerate(columns):
        if column.dtype == object:
            flat.isetitem(number, column.map(lambda v: one_line(v) if holds_array(v) else v))
    return flat
