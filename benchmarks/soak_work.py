"""What each item of the soak is: a short wait, or a fault, the same for daskrun and its peers."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from daskrun.testing.inside import BEFORE, OK

if TYPE_CHECKING:
    from collections.abc import Iterable

EACH = 0.01
"""Seconds an item takes: it waits, so that a machine with few cores can have four at a time, and
what is measured is what the faults cost, not how busy the machine is."""
INIT = 0.2
"""Seconds that ``init()`` takes, where there is one."""
TRIES = 3
SEED = 4
SCRIPT = """
import sys
from pathlib import Path

sys.path.insert(0, {root!r})
from benchmarks.soak_work import Work

work = Work(Path({place!r}), {items})


def init():
    work.get_ready()


def run(mini_batch):
    return [work.do(int(Path(path).stem)) for path in mini_batch]
"""


class Ready(NamedTuple):
    """A script process whose ``init()`` has ended."""

    worker: int
    """The Dask worker, by process id."""
    keeper: int
    """Likewise; each driver has keepers of its own."""
    end: float
    seconds: float


class Found(NamedTuple):
    """What an output holds, beside what it should."""

    rows: int
    lost: int
    """Rows that should be there and are not."""
    doubled: int
    """How many times too often rows are there."""
    strange: int
    """Lines that are nobody's row: torn, merged, or of an item that never succeeds."""


class Work:
    """The items of a soak, from 0.

    Parameters
    ----------
    place
        Where each call is noted before anything else happens, so that nothing is forgotten.
    items
        How many there are; which of them have faults depends on nothing else.
    """

    def __init__(self, place: Path, items: int) -> None:
        self.items = items
        self._faults = _faults(items)
        self._place = place
        (place / "turns").mkdir(parents=True, exist_ok=True)

    def get_ready(self) -> None:
        """Be the entry script's ``init()``; note whose script process is ready, and when."""
        began = time.time()
        time.sleep(INIT)
        # the parent of a script process is the keeper, whose parent is the Dask worker
        keeper = os.getppid()
        worker = Path(f"/proc/{keeper}/stat").read_text().rpartition(")")[2].split()[1]
        line = f"{worker} {keeper} {time.time()} {time.time() - began}\n"
        _append(self._place / "ready", line.encode())

    def do(self, index: int) -> str:
        """Do one item, and give its row."""
        _append(self._place / "calls", b".")
        fault = self._faults.get(index, OK)
        if not isinstance(fault, str):
            turn = _append(self._place / "turns" / str(index), b".")
            fault = fault[turn - 1] if turn <= len(fault) else OK
        if fault in BEFORE:
            BEFORE[fault]()
        time.sleep(EACH)
        return row_of(index)

    def do_patiently(self, index: int) -> str | None:
        """Do one item, again where it raises; None where it goes on raising."""
        for _ in range(TRIES):
            try:
                return self.do(index)
            except RuntimeError:
                continue
        return None

    @property
    def calls(self) -> int:
        """How often an item was begun, by whichever process."""
        path = self._place / "calls"
        return path.stat().st_size if path.exists() else 0

    def ready(self) -> list[Ready]:
        """Give what each ``init()`` has noted, in the order of their ends."""
        lines = [line.split() for line in (self._place / "ready").read_text().splitlines()]
        found = [Ready(int(a), int(b), float(c), float(d)) for a, b, c, d in lines]
        return sorted(found, key=lambda one: one.end)

    def seconds_each(self, count: int = 300) -> float:
        """Measure an item without faults, alone in this process."""
        bare = Work(self._place / "bare", self.items)
        whole = [index for index in range(self.items) if index not in self._faults][:count]
        times = []
        for index in whole:
            began = time.perf_counter()
            bare.do(index)
            times.append(time.perf_counter() - began)
        return mean(times)

    @property
    def given_up(self) -> int:
        """How many items fail each time, and so have no row."""
        return sum(isinstance(fault, str) for fault in self._faults.values())

    def hold(self, lines: Iterable[str]) -> Found:
        """Hold the lines of an output against the rows that should be there."""
        never = {index for index, fault in self._faults.items() if isinstance(fault, str)}
        expected = {row_of(index) for index in range(self.items) if index not in never}
        seen = Counter(lines)
        return Found(
            sum(seen.values()),
            len(expected - seen.keys()),
            sum(count - 1 for row, count in seen.items() if row in expected),
            sum(count for row, count in seen.items() if row not in expected),
        )


def row_of(index: int) -> str:
    """Give an item's row: two that are merged, or half of one, are nobody's."""
    return f"{index:06d} {crc32(str(index).encode()):08x}"


def index_of(row: str) -> int | None:
    """Give the item that a line is the row of; None where it is not one."""
    text = row.partition(" ")[0]
    return int(text) if text.isdecimal() and row_of(int(text)) == row else None


def _faults(items: int) -> dict[int, str | tuple[str, ...]]:
    """Deal the faults out: half of each kind strikes each time, the other half once or twice.

    A worker that is killed takes attempts with it that were not charged. Those that strike once or
    twice leave a try over, and those that don't end strike in any: the same items fail each time.
    """
    raising, killing = items // 100, max(1, items // 1000)
    drawn = iter(random.Random(SEED).sample(range(items), raising + 2 * killing))
    kinds: list[tuple[str, int]] = [("raise", raising), ("segfault", killing)]
    kinds += [("hang", killing - killing // 2), ("hang_in_c", killing // 2)]
    table: dict[int, str | tuple[str, ...]] = {}
    for kind, count in kinds:
        some: list[str | tuple[str, ...]] = [kind, (kind,)]
        if kind == "raise":
            some += [kind, (kind, kind)]
        table.update({next(drawn): some[n % len(some)] for n in range(count)})
    return table


def _append(path: Path, line: bytes) -> int:
    """Append by one ``write``, which outlives the process; give the size after it."""
    descriptor = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o666)
    try:
        os.write(descriptor, line)
        return os.lseek(descriptor, 0, os.SEEK_CUR)
    finally:
        os.close(descriptor)
