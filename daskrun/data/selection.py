"""What of a dataset's files is taken: lazy steps, applied when it is listed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from daskrun.data.paths import PathTable
from daskrun.errors import DatasetError


class Selection(Protocol):
    """One step."""

    def apply(self, table: PathTable, position: int) -> PathTable:
        """Return the files that are left; ``position`` is that of the step in its dataset."""


@dataclass(frozen=True, slots=True)
class Take:
    """The first ``count`` files."""

    count: int

    def __str__(self) -> str:
        return f".take({self.count})"

    def apply(self, table: PathTable, position: int) -> PathTable:  # noqa: ARG002
        """Cut the table."""
        return table.part(0, self.count)


@dataclass(frozen=True, slots=True)
class Skip:
    """All but the first ``count`` files."""

    count: int

    def __str__(self) -> str:
        return f".skip({self.count})"

    def apply(self, table: PathTable, position: int) -> PathTable:  # noqa: ARG002
        """Cut the table."""
        return table.part(self.count, len(table))


@dataclass(frozen=True, slots=True)
class Share:
    """The files whose draw, a number in 0..1, is at least ``low`` and below ``high``.

    A file's draw depends on the seed, the step's position and its own relative path: it stays
    the same when other files come or go, and a step is independent of an earlier one of its seed.
    """

    low: float
    high: float
    seed: int
    written: str
    """The call that made it, for ``repr``."""

    def __str__(self) -> str:
        return self.written

    def apply(self, table: PathTable, position: int) -> PathTable:
        """Draw for each file."""
        start = blake2b(f"{self.seed}:{position}:".encode(), digest_size=8)

        def drawn(name: str) -> bool:
            draw = start.copy()
            draw.update(name.encode("utf-8", "surrogateescape"))
            return self.low <= int.from_bytes(draw.digest()) / 2**64 < self.high

        return PathTable(row for row in table.rows() if drawn(row[0]))


def as_count(argument: str, value: object, what: str) -> int:
    """Check how many files or rows (``what``) are to be taken or left out."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise DatasetError(f"{argument}={value!r} is not a number of {what}. Give an int from 0.")
    return value


def as_fraction(argument: str, value: float, *, upto_one: bool) -> None:
    """Check a probability or percentage: above 0, and below 1 or up to it."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and (0 < value < 1 or (upto_one and value == 1)):
        return
    most = "up to 1" if upto_one else "below 1"
    raise DatasetError(
        f"{argument}={value!r} is not a fraction. Give a number above 0 and {most}, such as 0.3."
    )


def as_seed(seed: int | None) -> int:
    """Draw a seed where none is given."""
    return random.randrange(2**32) if seed is None else seed


def as_names(argument: str, value: object) -> tuple[str, ...]:
    """Check a name, or a list of different names."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(each, str) for each in names):
        raise DatasetError(f"{argument}={value!r} is not a list of names. Write {argument}=['a'].")
    if not names:
        raise DatasetError(f"{argument}=[] names no column. Give at least one.")
    if len(set(names)) < len(names):
        raise DatasetError(f"{argument}={list(names)!r} names a column twice.")
    return tuple(names)
