"""Time filters: from times to conditions on the columns that tell the time.

A table may have two: a *timestamp*, exact for each row, and a *partition timestamp*, which comes
from the path and says in which year, month, day, … a file's rows are. The second drops files
without reading them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any

from daskrun.data.tabular.conditions.expression import Column, Condition
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Collection

    from daskrun.data.partition_format import PartitionFormat

_UNITS = ("year", "month", "day", "hour", "minute", "second")
_LEAST = {"month": 1, "day": 1, "hour": 0, "minute": 0, "second": 0}


def as_time(argument: str, value: object) -> datetime:
    """Check a time."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001  (as the columns are)
    raise DatasetError(
        f"{argument}={value!r} is of type {type(value).__name__}. Give a datetime, such as "
        f"{argument}=datetime(2026, 1, 31, 12, 0)."
    )


def as_delta(value: object) -> timedelta:
    """Check a time span."""
    if isinstance(value, timedelta) and value >= timedelta():
        return value
    raise DatasetError(
        f"time_delta={value!r} is not a span of time. Give a timedelta, such as timedelta(days=7)."
    )


@dataclass(frozen=True, slots=True)
class Times:
    """The columns of a dataset that tell the time."""

    timestamp: str | None = None
    """Column with each row's time."""
    partition_timestamp: str | None = None
    """Column of the path with the time that a file's rows begin at."""
    unit: str = ""
    """How long a file's rows last, such as ``"day"``."""

    @classmethod
    def of(cls, timestamp: Any, partition: Any, form: PartitionFormat | None) -> Times:
        """Check what the user gave.

        Raises DatasetError: neither is given, or one is no name, or the second is no date column of
        ``form``.
        """
        if timestamp is None and partition is None:
            raise DatasetError("with_timestamp_columns() names no column. Give timestamp='...'.")
        for argument, name in (("timestamp", timestamp), ("partition_timestamp", partition)):
            if name is not None and not isinstance(name, str):
                raise DatasetError(
                    f"{argument}={name!r} is not the name of a column. Give a text, such as "
                    f"{argument}='time'."
                )
        if timestamp == partition:
            raise DatasetError(
                f"timestamp={timestamp!r} and partition_timestamp={partition!r} are the same "
                "column. Give partition_timestamp only."
            )
        if partition is None:
            return cls(timestamp)
        if form is None or not form.is_date(partition):
            raise DatasetError(
                f"partition_timestamp={partition!r} is no date column of the path. Give "
                f"partition_format='{{{partition}:yyyy/MM/dd}}/*.csv' where the dataset is made, "
                "or timestamp= for a column of the files."
            )
        return cls(timestamp, partition, form.finest(partition))

    def __str__(self) -> str:
        given = {"timestamp": self.timestamp, "partition_timestamp": self.partition_timestamp}
        text = ", ".join(f"{key}={value!r}" for key, value in given.items() if value is not None)
        return f".with_timestamp_columns({text})"

    def without(self, names: Collection[str]) -> Times:
        """Return what is left when these columns are dropped."""
        timestamp = None if self.timestamp in names else self.timestamp
        if self.partition_timestamp is None or self.partition_timestamp in names:
            return Times(timestamp)
        return replace(self, timestamp=timestamp)

    def among(self, names: Collection[str]) -> Times:
        """Return what is left when only these columns are kept."""
        both = {self.timestamp, self.partition_timestamp} - {None}
        return self.without([name for name in both if name not in names])  # type: ignore[misc]

    def condition(
        self, start: datetime | None, end: datetime | None, include_boundary: bool, call: str
    ) -> Condition:
        """Return the condition that keeps the rows between two times, one of which may be None.

        ``start``, ``end``: a time with a zone is compared in UTC with columns that have none.
        """
        found: list[Condition] = []
        if self.partition_timestamp is not None:
            column = Column(self.partition_timestamp)
            if start is not None:
                found.append(column >= _floor(start, self.unit))
            if end is not None:
                last = _naive(end)
                found.append(column <= last if include_boundary else column < last)
        if self.timestamp is not None:
            column = Column(self.timestamp)
            if start is not None:
                found.append(column >= start if include_boundary else column > start)
            if end is not None:
                found.append(column <= end if include_boundary else column < end)
        if not found:
            raise DatasetError(
                f"{call}() needs to know which column tells the time. Write "
                "dataset.with_timestamp_columns('column') first."
            )
        return reduce(and_, found)


def _floor(time: datetime, unit: str) -> datetime:
    """Return the beginning of the year, month, day, … that a time is in."""
    finer = _UNITS[_UNITS.index(unit) + 1 :]
    return _naive(time).replace(microsecond=0, **{part: _LEAST[part] for part in finer})  # type: ignore[arg-type]


def _naive(time: datetime) -> datetime:
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)
