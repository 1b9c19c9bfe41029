"""What of a run is left to be handed out: fresh mini-batches, and those that are to run again."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from daskrun.core.homes import Homes

FRESH, OUT, WAITING, SUCCEEDED, FAILED = range(5)
"""States of a mini-batch; one that is fresh was never handed out."""
LOOKED_AT = 1000
"""Of those that are to run again, so many are looked at for one that is near a node."""


class WorkLeft:
    """Chooses what a node gets: what ran before first, then in order; near it, where that is told.

    ``states`` has the state of each mini-batch that is known, and grows.
    """

    def __init__(self, states: bytearray, homes: Homes | None) -> None:
        self._states = states
        self._homes = homes
        self.next_fresh = 0
        """No mini-batch before it is fresh."""
        self._ahead = 0
        """How many behind that aren't, either."""
        self._ready: list[tuple[int, int]] = []
        """Heap of (index, attempt): came back not started, or their delay is over."""
        self._waiting: list[tuple[float, int, int]] = []
        """Heap of (due, index, attempt)."""
        self.alone: set[int] = set()
        """Those that are handed out in bundles of their own."""
        if homes is not None:
            homes.rewind()

    def recall(self, again: Iterable[tuple[int, int]], touched: int) -> None:
        """Add what is to run again by an earlier account, which handed out none from ``touched``.

        What of the others it had out, and is fresh therefore, comes first too.
        """
        self._ready += again
        if self._homes is not None:
            self._ahead = touched - self._states.count(FRESH, 0, touched)
        else:
            self.next_fresh = max(self.next_fresh, touched)
            index = self._states.find(FRESH, 0, touched)
            while index >= 0:
                self._ready.append((index, 1))
                index = self._states.find(FRESH, index + 1, touched)
        heapify(self._ready)

    @property
    def fresh(self) -> int:
        """How many are fresh."""
        return len(self._states) - self.next_fresh - self._ahead

    @property
    def handed_out(self) -> int:
        """How many aren't."""
        return self.next_fresh + self._ahead

    @property
    def next_due(self) -> float | None:
        """When the next that waits may be tried again."""
        return self._waiting[0][0] if self._waiting else None

    def __len__(self) -> int:
        return self.fresh + len(self._ready) + len(self._waiting)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield index and attempt of what is to run again."""
        yield from self._ready
        yield from (entry[1:] for entry in self._waiting)

    def is_any(self, now: float) -> bool:
        """Return whether some may be handed out now."""
        due = bool(self._waiting) and self._waiting[0][0] <= now
        return bool(self._ready) or due or self.fresh > 0

    def wait(self, due: float, index: int, attempt: int) -> None:
        """Add a mini-batch that is to be tried again later."""
        self._states[index] = WAITING
        heappush(self._waiting, (due, index, attempt))

    def put_back(self, index: int, attempt: int) -> None:
        """Add a mini-batch that came back not started."""
        self._states[index] = WAITING
        heappush(self._ready, (index, attempt))

    def take(self, node: str, limit: int, now: float) -> list[tuple[int, int]]:
        """Return index and attempt of up to ``limit`` mini-batches for a node, which are out then.

        There is none where all that are left are near others, and the node is to wait.
        """
        while self._waiting and self._waiting[0][0] <= now:
            _, index, attempt = heappop(self._waiting)
            heappush(self._ready, (index, attempt))
        entries = self._near(node, limit) if self._homes is not None else []
        if self._homes is None or (not entries and self._homes.waited(node, now)):
            entries = self._first(self._ready, limit)
            if not self._ready and not self._is_alone(entries):
                entries += self._next(limit - len(entries))
        for index, _ in entries:
            self._states[index] = OUT
        return entries

    def _is_alone(self, entries: list[tuple[int, int]]) -> bool:
        return bool(entries) and entries[0][0] in self.alone

    def _first(self, ready: list[tuple[int, int]], limit: int) -> list[tuple[int, int]]:
        """Take what is to run again; one that is to be alone comes by itself."""
        entries: list[tuple[int, int]] = []
        while ready and len(entries) < limit:
            if ready[0][0] in self.alone:
                return entries or [heappop(ready)]
            entries.append(heappop(ready))
        return entries

    def _next(self, count: int) -> Iterable[tuple[int, int]]:
        """Take fresh ones in order."""
        if self._ahead == 0:  # as without homes: a million are not looked at one by one
            first = self.next_fresh
            self.next_fresh = min(first + count, len(self._states))
            return [(index, 1) for index in range(first, self.next_fresh)]
        return self._next_between(count)

    def _next_between(self, count: int) -> Iterator[tuple[int, int]]:
        """Take fresh ones in order, some of which were taken before."""
        while count > 0 and self.next_fresh < len(self._states):
            index = self.next_fresh
            self.next_fresh += 1
            if self._states[index] == FRESH:
                count -= 1
                yield index, 1
            else:
                self._ahead -= 1

    def _near(self, node: str, limit: int) -> list[tuple[int, int]]:
        """Take what is near a node, or near no other."""
        homes = self._homes
        assert homes is not None
        seen = [heappop(self._ready) for _ in range(min(LOOKED_AT, len(self._ready)))]
        near = [each for each in seen if homes.is_near(node, each[0])]
        entries = self._first(near, limit)  # in order, as a heap is then
        for each in seen:
            if each not in entries:
                heappush(self._ready, each)
        if not self._is_alone(entries):
            for index in homes.fresh(node, lambda index: self._states[index] == FRESH):
                if len(entries) >= limit:
                    break
                entries.append((index, 1))
                self._states[index] = OUT
                self._ahead += 1
        if entries:
            homes.found(node)
        return entries
