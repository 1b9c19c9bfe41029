"""Cutting a query's rows by keys: the conditions of a piece, and the one query that finds them.

Rows are ordered by key columns, missing values first; a key is a tuple of their values. Two pieces
that meet share a key, and each row is either below it or not: each is in exactly one piece, also
where values compare in a way of the database's own (collations, NaN).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from daskrun.core.typing import override
from daskrun.data.tabular.formats.contract import Cut, Splitter
from daskrun.data.tabular.formats.sql.database import Database, shown_query
from daskrun.data.tabular.formats.sql.values import pack_key
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.data.tabular.formats.sql.spec import SqlSpec

_BIND = re.compile(r"(?<![:\w\\]):(?=\w+(?![:\w]))")
"""What SQLAlchemy takes for a parameter in a text, such as ``:name``."""


def rows_of(query: str) -> Any:
    """Return a query as something to select from."""
    import sqlalchemy

    plain = _BIND.sub(r"\\:", re.sub(r"\\(?=:)", r"\\\\", query))
    # A line break, for a query that ends in a comment; Oracle knows no AS here.
    return sqlalchemy.text(f"({plain}\n) daskrun_rows")


def ordering(keys: Sequence[str]) -> list[Any]:
    """Return what rows are ordered by: databases don't agree on where missing values belong."""
    from sqlalchemy import case, column

    order: list[Any] = []
    for name in keys:
        order += [case((column(name).is_(None), 0), else_=1), column(name)]
    return order


def below(keys: Sequence[str], key: Sequence[Any]) -> Any:
    """Return the condition that a row comes before a key; true or false, never NULL."""
    from sqlalchemy import and_, column, false, or_

    condition: Any = false()
    for name, value in reversed(list(zip(keys, key, strict=True))):
        this: Any = column(name)
        if value is None:
            condition = and_(this.is_(None), condition)
        else:
            equal = and_(this.is_not(None), this == _bound(value), condition)
            condition = or_(this.is_(None), this < _bound(value), equal)
    return condition


def from_on(keys: Sequence[str], key: Sequence[Any]) -> Any:
    """Return the condition that a row does not come before a key; false or NULL where it does."""
    from sqlalchemy import and_, column, or_, true

    condition: Any = true()
    for name, value in reversed(list(zip(keys, key, strict=True))):
        this: Any = column(name)
        if value is None:
            condition = or_(this.is_not(None), condition)
        else:
            condition = or_(this > _bound(value), and_(this == _bound(value), condition))
    return condition


def between(keys: Sequence[str], low: Sequence[Any] | None, high: Sequence[Any] | None) -> Any:
    """Return the condition of a piece; None: no bound on that side."""
    from sqlalchemy import and_, column, true

    conditions: list[Any] = [true()]
    if low is not None:
        conditions.append(from_on(keys, low))
        if low[0] is not None:  # said once more in the form that an index is used for
            conditions.append(column(keys[0]) >= _bound(low[0]))
            if high is not None and high[0] is not None:
                conditions.append(column(keys[0]) <= _bound(high[0]))
    if high is not None:
        conditions.append(below(keys, high))
    return and_(*conditions)


def _bound(value: Any) -> Any:
    """Return a parameter: SQLAlchemy makes constants of True and False, which can't be compared."""
    from sqlalchemy import bindparam

    return bindparam(None, value, unique=True)


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
        from sqlalchemy import column, func, select

        order = ordering(self._keys)
        named: list[Any] = [column(name).label(f"daskrun_{n}") for n, name in enumerate(self._keys)]
        numbered = (
            select(
                *named,
                func.row_number().over(order_by=order).label("daskrun_row"),
                func.rank().over(order_by=order).label("daskrun_first"),
                func.count().over().label("daskrun_count"),
            )
            .select_from(rows_of(self._query))
            .subquery("daskrun_numbered")
        )
        row = numbered.c.daskrun_row
        nth = select(numbered).where((row - 1) % self._rows == 0).order_by(row)
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
        from sqlalchemy import func, select

        count = select(func.count()).select_from(rows_of(self._query))
        with self._database.query(count, f"counting the rows of {shown_query(self._query)}") as got:
            return int(got.scalar())
