"""Cutting a query's rows by keys: the conditions of a piece, and the one query that finds them.

Rows are ordered by key columns, missing values first; a key is a tuple of their values. Two pieces
that meet share a key, and each row is either below it or not: each is in exactly one piece, also
where values compare in a way of the database's own (collations, NaN).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.data.libraries import np, sa
from daskrun.data.tabular.formats.contract import Cut, ReaderSpec, Splitter
from daskrun.data.tabular.formats.sql.database import Database, shown_query
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ORDERED = frozenset({int, float, Decimal, str, bool, date, datetime, bytes})
"""Python types of columns that rows can be ordered and cut by."""
_MASK = 2**64 - 1
_SPREAD = 0x9E3779B97F4A7C15
"""Odd, so that equal rows get numbers that differ in all bits (Fibonacci hashing)."""
_BIND = re.compile(r"(?<![:\w\\]):(?=\w+(?![:\w]))")
"""What SQLAlchemy takes for a parameter in a text, such as ``:name``."""


@dataclass(frozen=True, kw_only=True)
class SqlSpec(ReaderSpec):
    """The schema of a query, and the keys that its rows are cut by."""

    format = "sql"
    of_files = False
    packages = ("sqlalchemy>=2",)

    query: str
    keys: tuple[str, ...]
    """Columns that rows are cut by."""
    order: tuple[str, ...]
    """Columns that rows are ordered by; the keys come first."""
    timeout: float
    """Seconds for a query."""
    row_bytes: float
    """Bytes of a row in Arrow, on average."""


def rows_of(query: str) -> Any:
    """Return a query as something to select from."""
    plain = _BIND.sub(r"\\:", re.sub(r"\\(?=:)", r"\\\\", query))
    # A line break, for a query that ends in a comment; Oracle knows no AS here.
    return sa.text(f"({plain}\n) daskrun_rows")


def ordering(keys: Sequence[str]) -> list[Any]:
    """Return what rows are ordered by: databases don't agree on where missing values belong."""
    order: list[Any] = []
    for name in keys:
        order += [sa.case((sa.column(name).is_(None), 0), else_=1), sa.column(name)]
    return order


def below(keys: Sequence[str], key: Sequence[Any]) -> Any:
    """Return the condition that a row comes before a key; true or false, never NULL."""
    condition: Any = sa.false()
    for name, value in reversed(list(zip(keys, key, strict=True))):
        this: Any = sa.column(name)
        if value is None:
            condition = sa.and_(this.is_(None), condition)
        else:
            equal = sa.and_(this.is_not(None), this == _bound(value), condition)
            condition = sa.or_(this.is_(None), this < _bound(value), equal)
    return condition


def from_on(keys: Sequence[str], key: Sequence[Any]) -> Any:
    """Return the condition that a row does not come before a key; false or NULL where it does."""
    condition: Any = sa.true()
    for name, value in reversed(list(zip(keys, key, strict=True))):
        this: Any = sa.column(name)
        if value is None:
            condition = sa.or_(this.is_not(None), condition)
        else:
            condition = sa.or_(this > _bound(value), sa.and_(this == _bound(value), condition))
    return condition


def between(keys: Sequence[str], low: Sequence[Any] | None, high: Sequence[Any] | None) -> Any:
    """Return the condition of a piece; None: no bound on that side."""
    conditions: list[Any] = [sa.true()]
    if low is not None:
        conditions.append(from_on(keys, low))
        if low[0] is not None:  # said once more in the form that an index is used for
            conditions.append(sa.column(keys[0]) >= _bound(low[0]))
            if high is not None and high[0] is not None:
                conditions.append(sa.column(keys[0]) <= _bound(high[0]))
    if high is not None:
        conditions.append(below(keys, high))
    return sa.and_(*conditions)


def _bound(value: Any) -> Any:
    """Return a parameter: SQLAlchemy makes constants of True and False, which can't be compared."""
    return sa.bindparam(None, value, unique=True)


class SqlSplitter(Splitter):
    """Finds the pieces of a query by one query more.

    A piece's ``start`` is how many rows it holds and its lowest key (None: no lower bound), its
    ``stop`` the key that the next one begins with.
    """

    def __init__(self, spec: SqlSpec, connection: str, mini_batch_size: int) -> None:
        self._query, self._keys = spec.query, spec.keys
        self._row_bytes = float(spec.row_bytes)
        self._rows = max(1, int(mini_batch_size / self._row_bytes))
        self._database = Database(connection, spec.timeout)

    @override
    def begin(self, name: str, size: int) -> list[Cut]:
        try:
            firsts, total = self._firsts() if self._keys else ([(0, None)], self._count())
        except DatasetError as error:
            return [Cut(0, None, -1, -1, str(error))]
        finally:
            self._database.close()
        if not total:
            return []
        ends = [*firsts[1:], (total, None)]
        cuts = []
        for (first, key), (end, above) in zip(firsts, ends, strict=True):
            rows = end - first
            cuts.append(Cut((rows, key), above, rows, int(rows * self._row_bytes)))
        return cuts

    def _firsts(self) -> tuple[list[tuple[int, tuple[Any, ...] | None]], int]:
        """Return the number and the key of each piece's first row, and how many rows there are."""
        order = ordering(self._keys)
        named: list[Any] = [
            sa.column(name).label(f"daskrun_{n}") for n, name in enumerate(self._keys)
        ]
        numbered = (
            sa.select(
                *named,
                sa.func.row_number().over(order_by=order).label("daskrun_row"),
                sa.func.rank().over(order_by=order).label("daskrun_first"),
                sa.func.count().over().label("daskrun_count"),
            )
            .select_from(rows_of(self._query))
            .subquery("daskrun_numbered")
        )
        row = numbered.c.daskrun_row
        nth = sa.select(numbered).where((row - 1) % self._rows == 0).order_by(row)
        firsts: list[tuple[int, tuple[Any, ...] | None]] = []
        total = 0
        what = f"the query that cuts {shown_query(self._query)} into mini-batches"
        with self._database.query(nth, what) as result:
            for found in result:
                *key, _, first, total = found
                # Rows with the same key stay together: the piece begins with the first of them.
                if not firsts or first - 1 != firsts[-1][0]:
                    firsts.append((first - 1, pack_key(key) if firsts else None))
        return firsts, int(total)

    def _count(self) -> int:
        count = sa.select(sa.func.count()).select_from(rows_of(self._query))
        with self._database.query(count, f"counting the rows of {shown_query(self._query)}") as got:
            return int(got.scalar())


def row_ids(rows: Sequence[Sequence[Any]]) -> NDArray[np.uint64]:
    """Return each row a number made from all its values; of rows that are the same, each its own.

    These have the same key, so that they are in one piece whatever its size.
    """
    seen: dict[int, int] = {}
    ids = np.empty(len(rows), np.uint64)
    for n, row in enumerate(rows):
        told = repr([bytes(v) if isinstance(v, memoryview) else v for v in row])
        digest = blake2b(told.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        number = int.from_bytes(digest, "little")
        times = seen[number] = seen.get(number, -1) + 1
        ids[n] = (number + times * _SPREAD) & _MASK
    return ids


def pack_key(key: Sequence[Any]) -> tuple[Any, ...]:
    """Make a key of builtins, which travels and is journalled.

    Examples
    --------
    >>> from datetime import date
    >>> pack_key([1, date(2024, 5, 31), None])
    (1, ('date', '2024-05-31'), None)
    """
    packed: list[Any] = []
    for value in key:
        if isinstance(value, datetime):
            packed.append(("datetime", value.isoformat()))
        elif isinstance(value, date):
            packed.append(("date", value.isoformat()))
        elif isinstance(value, Decimal):
            packed.append(("decimal", str(value)))
        elif isinstance(value, (bytearray, memoryview)):
            packed.append(bytes(value))
        else:
            packed.append(value)
    return tuple(packed)


def unpack_key(packed: Sequence[Any]) -> list[Any]:
    """Make the values of a packed key."""
    made: dict[str, Any] = {
        "datetime": datetime.fromisoformat,
        "date": date.fromisoformat,
        "decimal": Decimal,
    }
    return [made[v[0]](v[1]) if isinstance(v, (tuple, list)) else v for v in packed]
