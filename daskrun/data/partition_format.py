"""Columns that come from the path of a file: ``'{Department}/{Date:yyyy/MM/dd}/*.csv'``.

Standard library only: file datasets have them too, and load neither numpy nor pandas.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from daskrun.data.path_pieces import MOST_CHOICES, CutFirst, Piece, choices
from daskrun.data.protocols import shown_url
from daskrun.data.remote_files import is_url, split_url
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Match = Callable[[str], re.Match[str] | None]

Value = str | datetime | None
"""What a path can hold: a text, or a date and time; None where Hive writes that it is missing."""
_MISSING = "__HIVE_DEFAULT_PARTITION__"
"""What Hive, Spark, Dask and others name the folder of rows whose value is missing."""

_FIELD = re.compile(r"\{([^{}]*)\}")
_DATE_PART = re.compile(r"yyyy|MM|dd|HH|mm|ss|[A-Za-z]+")
_DATE_PARTS = {"yyyy": "year", "MM": "month", "dd": "day", "HH": "hour", "mm": "minute"}
_DATE_PARTS["ss"] = "second"
_FINEST_FIRST = tuple(reversed(_DATE_PARTS.values()))
_EXAMPLE = "'{Department}/{PartitionDate:yyyy/MM/dd}/*.csv'"


class PartitionFormat:
    """Reads values from the end of paths.

    ``{name}`` is a text column: at least one character, within one folder or file name.
    ``{name:yyyy/MM/dd/HH/mm/ss}`` is a date and time, from as many of these parts as are written.
    ``*`` is any text within a name. What follows a ``=``, as in ``City={City}``, is read as Hive
    escapes it: ``New%20York``; ``__HIVE_DEFAULT_PARTITION__`` is a missing value. The rest stands
    for itself. The format is held against the whole path, from its end: how much of it the
    dataset's own path names does not matter. Raises DatasetError where it is not such a format.

    Examples
    --------
    >>> PartitionFormat("/{Department}/{Day:yyyy/MM/dd}/data.csv").values(
    ...     "/data", "Accounts/2019/01/31/data.csv"
    ... )
    ('Accounts', datetime.datetime(2019, 1, 31, 0, 0))
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.columns: tuple[str, ...] = ()
        """Names, in the format's order."""
        self._hive: set[str] = set()
        """Columns of folders such as ``City={City}``, whose values are escaped."""
        self._dates: dict[str, tuple[str, ...]] = {}
        """Of the columns that are dates, the parts in the format's order."""
        if not isinstance(text, str) or not text.strip("/"):
            raise _wrong(text, "is not a format")
        if "**" in text:
            raise _wrong(
                text, "has '**', but a format says how deep the files are. Write '*' for one name"
            )
        pieces = self._pieces(text.lstrip("/"))
        pattern = "".join(piece.pattern for piece in pieces)
        self._match: Match = re.compile(f"(?:.*/)?{pattern}", re.DOTALL).fullmatch
        if choices(pieces) > MOST_CHOICES:
            self._match = CutFirst(pieces).match
        if not self.columns:
            raise _wrong(text, "names no column")

    def __repr__(self) -> str:
        return f"PartitionFormat({self.text!r})"

    def is_date(self, column: str) -> bool:
        """Return whether a column is a date and time; else it is text."""
        return column in self._dates

    def finest(self, column: str) -> str:
        """Return the smallest unit that a date column tells, such as ``"day"``."""
        return next(part for part in _FINEST_FIRST if part in self._dates[column])

    def values(self, root: str, name: str) -> tuple[Value, ...]:
        """Read the values of one file, in the order of :attr:`columns`.

        Raises DatasetError where the path does not fit; it is named.
        """
        found = self._match(f"{base_path(root)}/{name}")
        if found is None:
            raise self._unfit(root, name, "does not fit it")
        return tuple(
            self._date(column, found, root, name)
            if column in self._dates
            else self._text(column, found[f"c{n}"])
            for n, column in enumerate(self.columns)
        )

    def combinations(
        self, root: str, names: Iterable[str], keys: Sequence[str] | None = None
    ) -> list[dict[str, Value]]:
        """List the existing combinations of values of ``keys``; errors as of :meth:`grouped`."""
        chosen = self.check_keys(keys)
        found = self.grouped(root, names, chosen)
        return [dict(zip(chosen, each, strict=True)) for each in found]

    def grouped(
        self, root: str, names: Iterable[str], keys: Sequence[str]
    ) -> dict[tuple[Value, ...], list[int]]:
        """Return the numbers of the files of each existing combination of values, in order.

        Raises DatasetError where a key is no column of the format, or a path does not fit.
        """
        places = [self.columns.index(key) for key in self.check_keys(keys)]
        groups: dict[tuple[Value, ...], list[int]] = {}
        for number, name in enumerate(names):
            values = self.values(root, name)
            groups.setdefault(tuple(values[place] for place in places), []).append(number)
        return groups

    def check_keys(self, keys: Sequence[str] | None) -> tuple[str, ...]:
        """Check that all keys are columns of the format; None means all of them."""
        if keys is None:
            return self.columns
        if isinstance(keys, str) or not keys:
            raise DatasetError(
                f"partition_keys={keys!r} is not a list of names. Write "
                f"partition_keys={list(self.columns)!r}."
            )
        for key in keys:
            if key not in self.columns:
                raise DatasetError(
                    f"partition_keys={list(keys)!r}: {key!r} is not in "
                    f"partition_format={self.text!r}. Give some of {list(self.columns)!r}."
                )
        return tuple(dict.fromkeys(keys))

    def _pieces(self, text: str) -> list[Piece]:
        pieces, end = list[Piece](), 0
        for field in _FIELD.finditer(text):
            before = text[end : field.start()]
            pieces += [*self._literal(before), self._field(field[1], before.endswith("="))]
            end = field.end()
        return [*pieces, *self._literal(text[end:])]

    def _literal(self, text: str) -> list[Piece]:
        if "{" in text or "}" in text:
            raise _wrong(self.text, "has a brace without its partner")
        between = [Piece("[^/]*", 0)] * (2 * text.count("*") + 1)
        between[::2] = [Piece(re.escape(part)) for part in text.split("*")]
        return between

    def _field(self, text: str, escaped: bool) -> Piece:
        column, colon, date = text.partition(":")
        if not column:
            raise _wrong(self.text, "has a column without a name")
        if column in self.columns:
            raise _wrong(self.text, f"names the column {column!r} twice")
        number = len(self.columns)
        self.columns += (column,)
        if escaped:
            self._hive.add(column)
        if not colon:
            return Piece(f"(?P<c{number}>[^/]+?)", 1)
        between = _or_escaped if escaped else re.escape
        pattern, end, parts = "", 0, []
        for part in _DATE_PART.finditer(date):
            if part[0] not in _DATE_PARTS or _DATE_PARTS[part[0]] in parts:
                raise _wrong(
                    self.text,
                    f"has {part[0]!r} in {{{text}}}: a date is written with yyyy, MM, dd, HH, mm "
                    "and ss, each once",
                )
            parts.append(_DATE_PARTS[part[0]])
            pattern += between(date[end : part.start()]) + rf"([0-9]{{{len(part[0])}}})"
            end = part.end()
        if "year" not in parts:
            raise _wrong(self.text, f"has no year, yyyy, in {{{text}}}")
        self._dates[column] = tuple(parts)
        missing = f"|{_MISSING}" if escaped else ""
        return Piece(f"(?P<c{number}>{pattern}{between(date[end:])}{missing})")

    def _text(self, column: str, found: str) -> str | None:
        if column not in self._hive:
            return found
        if found == _MISSING:
            return None
        return unquote(found, errors="surrogateescape")

    def _date(self, column: str, found: re.Match[str], root: str, name: str) -> datetime | None:
        if found[f"c{self.columns.index(column)}"] == _MISSING:
            return None
        # The groups of a date's parts come right behind the date's own.
        first = found.re.groupindex[f"c{self.columns.index(column)}"] + 1
        parts = self._dates[column]
        given = {part: int(found[first + n]) for n, part in enumerate(parts)}
        try:
            return datetime(**{"month": 1, "day": 1, **given})  # type: ignore[arg-type]  # noqa: DTZ001  (a path has no time zone)
        except ValueError as error:
            text = found[f"c{self.columns.index(column)}"]
            raise self._unfit(
                root, name, f"has {text!r} for {column!r}, which is no date: {error}"
            ) from None

    def _unfit(self, root: str, name: str, why: str) -> DatasetError:
        return DatasetError(
            f"partition_format={self.text!r}: the path {shown_url(f'{root}/{name}')!r} {why}. Give "
            "a format that all paths end with, or a path=... that leaves this file out."
        )


def base_path(root: str) -> str:
    """Return the path in a root, without what makes it a URL, that names are below."""
    return (split_url(root).path if is_url(root) else root).rstrip("/")


def _or_escaped(text: str) -> str:
    """Return what matches a text whose characters may be escaped: ``:`` as ``%3A``."""
    return "".join(f"(?:{re.escape(c)}|%{ord(c):02X})" if c != "/" else c for c in text)


def _wrong(text: object, why: str) -> DatasetError:
    return DatasetError(f"partition_format={text!r} {why}. Write, for example, {_EXAMPLE}.")
