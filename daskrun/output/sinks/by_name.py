"""Tables of text whose columns are not the same, or not in one order, written by name."""

from __future__ import annotations

import csv
import sys
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.errors import WrongResultError
from daskrun.output.sinks.sink import FirstHeader, PutByName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from daskrun.output.sinks.sink import CommittedRows

WAY_OUT = (
    "columns='union' in ParallelRunConfig, or run.resume(columns='union') now, writes all columns "
    "there are and leaves empty what a mini-batch lacks"
)
DIALECT = {"delimiter": "sep"} | {
    name: name for name in ("quotechar", "doublequote", "escapechar", "quoting", "lineterminator")
}
"""Keywords of the module ``csv``, and what ``to_csv`` calls them."""


class ColumnHeaders(FirstHeader):
    """The header of a table: others have its columns, in whatever order.

    ``layout`` are keywords of ``to_csv``; with ``union`` others may have other columns.
    """

    by_name = True

    def __init__(self, layout: Mapping[str, Any], union: bool) -> None:
        super().__init__()
        self._layout = layout
        self._union = union
        self._first = 0

    @override
    def take(self, index: int, header: bytes, nbytes: int) -> bool:
        if not nbytes or self.first is None or header == self.first:
            if nbytes and self.first is None:
                self._first = index
            return super().take(index, header, nbytes)
        names, own = (names_of(each, self._layout) for each in (header, self.first))
        if not _go_together(names, own, self._union):
            raise other_columns(index, names, self._first, own)
        raise PutByName


def other_columns(
    index: int, names: Sequence[str], first: int, own: Sequence[str]
) -> WrongResultError:
    """Return the error that two mini-batches have other columns."""
    more = [name for name in names if name not in own]
    less = [name for name in own if name not in names]
    what = "; ".join(
        f"{', '.join(map(repr, some))} only in mini-batch {number}"
        for number, some in ((index, more), (first, less))
        if some
    )
    problem = f"other columns for mini-batch {index} than for mini-batch {first}: {what or names}"
    return WrongResultError("columns", f"{problem}. Give all the same; {WAY_OUT}")


def _go_together(names: Sequence[str], own: Sequence[str], union: bool) -> bool:
    if names == own:
        return True
    twice = any(len(set(each)) < len(each) for each in (names, own))
    return not twice and (union or sorted(names) == sorted(own))


def names_of(header: bytes, layout: Mapping[str, Any]) -> list[str]:
    """Return the names in a header."""
    return next(csv.reader(StringIO(header.decode(), newline=""), **_dialect(layout)), [])


def join_by_name(
    mini_batches: Iterable[CommittedRows], file: Path, layout: Mapping[str, Any], union: bool
) -> None:
    """Write the rows of all mini-batches, each value below its column's name.

    Columns are in the order of the first mini-batch that has them. ``mini_batches`` is gone through
    twice. WrongResultError: some have other columns, or rows are written so that they can't be read
    again.
    """
    first = -1
    own: list[str] = []
    wanted: dict[str, None] = {}
    for each in mini_batches:
        if each.header and each.rows:
            names = names_of(each.header, layout)
            if first >= 0 and not _go_together(names, own, union):
                raise other_columns(each.mini_batch, names, first, own)
            if first < 0:
                first, own = each.mini_batch, names
            wanted.update(dict.fromkeys(names))
    columns = list(wanted)
    header = _lines([columns], layout)
    with file.open("wb") as to, _long_fields():
        to.write(header)
        for each in mini_batches:
            if each.header and each.header != header:
                to.write(_by_name(each, columns, layout))
            else:
                to.write(each.rows)


def _by_name(each: CommittedRows, columns: Sequence[str], layout: Mapping[str, Any]) -> bytes:
    places = {name: place for place, name in enumerate(names_of(each.header, layout))}
    order = [places.get(name, -1) for name in columns]
    missing = layout.get("na_rep", "")
    rows = csv.reader(StringIO(each.rows.decode(), newline=""), **_dialect(layout))
    return _lines(([missing if n < 0 else row[n] for n in order] for row in rows), layout)


def _lines(rows: Iterable[Sequence[str]], layout: Mapping[str, Any]) -> bytes:
    text = StringIO(newline="")
    csv.writer(text, **_dialect(layout)).writerows(rows)
    return text.getvalue().encode()


def _dialect(layout: Mapping[str, Any]) -> Any:
    found = {own: layout[name] for own, name in DIALECT.items() if name in layout}
    odd = found.get("quoting") == csv.QUOTE_NONNUMERIC
    if odd or found.get("lineterminator", "\n") not in ("\n", "\r\n"):
        raise WrongResultError(
            "columns",
            "columns in more than one order, and quoting=2 or such line ends can't be read again "
            "to write them by name. Return frame[[...]], with the columns in one order",
        )
    return found


@contextmanager
def _long_fields() -> Iterator[None]:
    """Read fields of any length meanwhile."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)
