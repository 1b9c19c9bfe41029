"""The format ``csv``: CSV of RFC 4180."""

from __future__ import annotations

import csv
from io import StringIO
from itertools import islice
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.output.sinks.columns import is_missing, table_of
from daskrun.output.sinks.plain import PLAIN, holds_array, one_line, whole_arrays
from daskrun.output.sinks.sink import BLOCK, EncodedRows, Sink
from daskrun.output.sinks.text import TextSink

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


READY_LINES = (
    "run() returned texts that hold commas: in CSV each is one field, in quotes, of the column "
    "result. Return tuples or dicts for columns, or write append_row_format='text' for lines that "
    "are written as they are."
)


class CsvSink(TextSink):
    """Writes CSV of RFC 4180: one header, quotes where they are needed, CRLF.

    A DataFrame has its columns, without the index. Of lists the elements are all dicts (columns are
    their keys; a key that one lacks is an empty field there), all rows (tuples, lists: columns
    ``result_0``, ...; named tuples: their names), or all values (column ``result``, of a Series its
    name). None and NaN are empty fields.
    """

    layout: Mapping[str, Any] = {
        "sep": ",",
        "header": True,
        "index": False,
        # with LF alone, Python before 3.13 leaves a CR in a field unquoted
        "lineterminator": "\r\n",
        "quoting": csv.QUOTE_MINIMAL,
        "quotechar": '"',
        "doublequote": True,
    }
    configure = Sink.configure

    @override
    def encode_elements(self, elements: Sequence[Any]) -> EncodedRows:
        if not len(elements):
            return EncodedRows(b"")
        first = elements[0]
        if isinstance(first, str) and "," in first:
            self.warn(READY_LINES)
        names, rows = table_of(list(elements), getattr(elements, "name", None))
        header = self.utf8(_csv_text([names]))
        blocks = [header]
        with whole_arrays():
            while block := list(islice(rows, BLOCK)):
                blocks.append(self.utf8(_csv_text(block)))
        return EncodedRows(b"".join(blocks), len(header))


def _csv_text(rows: Iterable[Sequence[Any]]) -> str:
    text = StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerows([_field(value) for value in row] for row in rows)
    return text.getvalue()


def _field(value: Any) -> Any:
    """Return what a field shows of a value: nothing of a missing one, as ``to_csv`` does."""
    if type(value) in PLAIN:  # these first: they are nearly all
        return "" if is_missing(value) else value
    return one_line(value) if holds_array(value) else "" if is_missing(value) else value
