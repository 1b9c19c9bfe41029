"""The bundles that are out, and those that take so long that their mini-batches run once more."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from itertools import count
from math import ceil
from typing import TYPE_CHECKING

from daskrun.core.events import Bundle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from daskrun.core.events import SlotsIdle

LEAST_KNOWN = 2
"""Mini-batches that must have ended before one can be told to take long. Not more: where they are
short, the first bundle that is no trial may have all that are left."""
MOST_KNOWN = 1000
"""The last so many say how long one takes."""
SHARE = 0.95
TIMES = 4
"""A mini-batch that takes so many times as long as that share of them is late."""
LEAST_LATE = 1.0
"""Seconds below which nothing is late: as much as a bundle holds, 50 times a round trip."""


class BundlesOut:
    """Bundles by number, each from when it is sent until it is back.

    A mini-batch may be in two of them: what the first that is back has of it counts, the other then
    owes it no more. One that owes nothing is spent: its slot may be busy for long, and nobody waits
    for it.
    """

    def __init__(self) -> None:
        self.numbers = count()
        self._owing: dict[int, Bundle] = {}
        self._spent: dict[int, Bundle] = {}
        self.pairs: dict[int, tuple[int, int]] = {}
        """By mini-batch the two bundles that have it."""
        self._since: dict[int, float] = {}
        """By number when a slot was free to begin with a bundle; those that wait have none."""
        self._busy: dict[str, int] = {}
        self._queues: dict[str, dict[int, None]] = {}
        """By node the bundles that wait for a slot, in order."""
        self._took: deque[float] = deque(maxlen=MOST_KNOWN)

    def __bool__(self) -> bool:
        return bool(self._owing)

    def __iter__(self) -> Iterator[int]:
        return iter(self._owing)

    def get(self, number: int) -> Bundle | None:
        """Return a bundle with what it owes; None where it isn't out."""
        return self._owing.get(number) or self._spent.get(number)

    @property
    def mini_batches(self) -> int:
        """How many are out."""
        return sum(len(each.entries) for each in self._owing.values()) - len(self.pairs)

    def send(self, bundle: Bundle, slots: int, now: float, first: int | None = None) -> None:
        """Note that a bundle goes to a node of so many slots; ``first`` is the one it repeats."""
        number, node = bundle.number, bundle.node
        self._owing[number] = bundle
        if first is not None:
            self.pairs.update((index, (first, number)) for index, _ in bundle.entries)
        if self._busy.get(node, 0) < slots:
            self._busy[node] = self._busy.get(node, 0) + 1
            self._since[number] = now
        else:
            self._queues.setdefault(node, {})[number] = None

    def back(self, number: int, now: float) -> Bundle | None:
        """Return a bundle that is back, with what it owed."""
        bundle = self._owing.pop(number, None) or self._spent.pop(number, None)
        if bundle is None:
            return None
        queue = self._queues.get(bundle.node)
        if self._since.pop(number, None) is None:
            if queue:
                queue.pop(number, None)
        elif queue:
            following = next(iter(queue))
            del queue[following]
            self._since[following] = now
        else:
            self._busy[bundle.node] -= 1
        return bundle

    def settle(self, index: int, number: int) -> bool:
        """Note that a bundle's outcome of a mini-batch counts; True where it is the second run."""
        pair = self.pairs.pop(index)
        [other] = {*pair} - {number}
        left = self._owing.pop(other)
        entries = tuple(each for each in left.entries if each[0] != index)
        (self._owing if entries else self._spent)[other] = replace(left, entries=entries)
        return number == pair[1]

    def give_up(self, index: int) -> bool:
        """Note that a bundle is back without a mini-batch; True where no other has it."""
        return self.pairs.pop(index, None) is None

    def took(self, seconds: float) -> None:
        """Note how long a mini-batch took."""
        self._took.append(seconds)

    @property
    def usual(self) -> float | None:
        """Seconds that all but a few mini-batches take at most; None while too few are known."""
        if len(self._took) < LEAST_KNOWN:
            return None
        return sorted(self._took)[ceil(SHARE * len(self._took)) - 1]

    def repeat(self, idle: SlotsIdle, slots: Mapping[str, int]) -> Iterator[tuple[Bundle, str]]:
        """Send what is late a second time to idle slots, on other nodes first; each with why."""
        free = dict(idle.free)
        for late, seconds in self.late(idle.now):
            for at in range(0, len(late.entries), idle.limit):
                some = [(node != late.node, n, node) for node, n in free.items() if n > 0]
                if not some:
                    return
                node = max(some)[2]
                free[node] -= 1
                entries = late.entries[at : at + idle.limit]
                bundle = Bundle(next(self.numbers), node, entries, backup=True)
                self.send(bundle, slots.get(node, 1), idle.now, late.number)
                yield bundle, self._told(bundle, late, seconds)

    def _told(self, bundle: Bundle, late: Bundle, seconds: float) -> str:
        indices = [str(index) for index, _ in bundle.entries]
        what = f"mini-batch {indices[0]} runs"
        if len(indices) > 1:
            what = f"mini-batches {', '.join(indices)} run"
        why = f"has had it for {seconds:.1f} s" if seconds else "has not begun with it"
        most = TIMES * (self.usual or 0.0)
        return (
            f"{what} a second time, on {bundle.node}, as {late.node} {why}; {TIMES} times the 95th "
            f"percentile is {most:.1f} s. What ends first counts"
        )

    def late(self, now: float) -> list[tuple[Bundle, float]]:
        """Return the bundles that take too long, each with what runs once only, and for how long.

        A mini-batch is late after :data:`TIMES` the usual time; one of several in a bundle, which
        may be the last, when each before it may have taken the usual time too. What waits for a
        slot behind such ones alone is late with them.
        """
        if (usual := self.usual) is None:
            return []
        late: dict[int, float] = {}
        moving = set()
        for number, since in self._since.items():
            bundle = self._owing.get(number)
            length = len(bundle.entries) if bundle is not None else 0
            if bundle is None or now - since > max(LEAST_LATE, usual * (length - 1 + TIMES)):
                late[number] = now - since
            else:
                moving.add(bundle.node)
        for node, queue in self._queues.items():
            if node not in moving:
                late.update(dict.fromkeys(queue, 0.0))
        found = []
        for number in late:
            if (bundle := self._owing.get(number)) is not None:
                once = tuple(each for each in bundle.entries if each[0] not in self.pairs)
                if once:
                    found.append((replace(bundle, entries=once), late[number]))
        return found
