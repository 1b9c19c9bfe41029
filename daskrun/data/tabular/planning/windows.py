"""Which rows ``take`` and ``skip`` keep of each mini-batch: found from counts, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Slices = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Arrival:
    """A mini-batch that has come to a window."""

    index: int
    """Which, before any was left out."""
    slices: Slices
    """What the windows before this one keep of it."""
    rows: int
    """How many of its rows reach the window; -1 until they are counted."""
    asked: bool = False
    """Whether they are being counted."""


class Windows:
    """The windows of a dataset, one after the other; a mini-batch goes through all of them.

    ``bounds``: first row kept and one past the last (None: to the end) of each window, in order,
    counted among the rows that reach it. ``known``: whether the number of rows that reach it
    follows from what came before, for each window: no step between drops rows by what is in them.
    """

    def __init__(self, bounds: Sequence[tuple[int, int | None]], known: Sequence[bool]) -> None:
        self._bounds = list(bounds)
        self._known = list(known)
        self._queues: list[deque[Arrival]] = [deque() for _ in bounds]
        self._passed = [0] * len(bounds)
        """Rows that have reached each window so far."""
        self._kept: deque[Arrival] = deque()
        self._closed = -1
        """The last window that has all it keeps: what has not passed it is not wanted."""

    def __len__(self) -> int:
        """Count the mini-batches that wait for a count."""
        return sum(map(len, self._queues))

    @property
    def width(self) -> int:
        """Count the windows."""
        return len(self._bounds)

    @property
    def full(self) -> bool:
        """Whether no further mini-batch can be kept."""
        return self._closed >= 0

    def enter(self, index: int, rows: int) -> None:
        """Let the next mini-batch come, with its number of rows or -1."""
        if not self.full:
            self._queues[0].append(Arrival(index, (), rows if self._known[0] else -1))
            self._move()

    def uncounted(self) -> Iterator[tuple[int, Arrival]]:
        """Yield the arrivals whose rows must be counted and are not yet, with their window."""
        for window, queue in enumerate(self._queues):
            for arrival in queue:
                if arrival.rows < 0 and not arrival.asked:
                    yield window, arrival

    def count(self, arrival: Arrival, rows: int) -> None:
        """Take the count of an arrival's rows."""
        arrival.rows = rows
        self._move()

    def kept(self) -> Iterator[Arrival]:
        """Yield, once, the mini-batches of which all windows keep something, in order."""
        while self._kept:
            yield self._kept.popleft()

    def _move(self) -> None:
        for window, queue in enumerate(self._queues):
            while queue and queue[0].rows >= 0 and window > self._closed:
                self._pass(window, queue.popleft())
            for unwanted in self._queues[: self._closed + 1]:
                unwanted.clear()

    def _pass(self, window: int, arrival: Arrival) -> None:
        start, stop = self._bounds[window]
        before, rows = self._passed[window], arrival.rows
        low = min(rows, max(0, start - before))
        high = rows if stop is None else min(rows, max(0, stop - before))
        self._passed[window] = before + rows
        if stop is not None and before + rows >= stop:
            self._closed = max(self._closed, window)
        if high <= low:
            return
        slices = (*arrival.slices, (low, high))
        if window + 1 == len(self._bounds):
            self._kept.append(Arrival(arrival.index, slices, high - low))
            return
        known = high - low if self._known[window + 1] else -1
        self._queues[window + 1].append(Arrival(arrival.index, slices, known))
