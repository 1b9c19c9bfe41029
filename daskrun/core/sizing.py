"""How many mini-batches travel as one bundle."""

from __future__ import annotations

from math import ceil

ROUND_TRIP = 0.005
"""Seconds one Dask task costs, here 2 to 11 ms: a bundle must outweigh one for each slot."""
LEAST = 1.0
"""Seconds of work a bundle aims at where slots are few. A slot that owes two then has the 2 s in
hand that a killed driver may lose. With 0.5 the driver takes 0.1 s more CPU for 14 s of work."""
WORTH = 5.0
"""Seconds of work for which another slot is asked for."""
LEAST_TAIL = 0.05
"""Seconds of work below which a bundle is not made smaller near the end: a bundle takes 10 ms
of the driver's CPU, and 20,000 no-op mini-batches 10 % less time than with 0.02."""
GROWTH = 32
"""A bundle is at most this many times as large as one that has been seen to work."""


class BundleSizer:
    """Finds, while the run goes on, the bundle that takes about ``aim`` seconds.

    Starts at one mini-batch. Near the end bundles shrink so that no slot idles while another still
    has a long one.

    Examples
    --------
    >>> sizer = BundleSizer()
    >>> sizer.size(remaining=1000, slots=2)
    1
    >>> sizer.observe(count=1, seconds=0.001)
    >>> sizer.size(remaining=1000, slots=2)
    32
    """

    def __init__(self) -> None:
        self._mean: float | None = None
        self._largest = 0

    def aim(self, slots: int) -> float:
        """Seconds of work a bundle should hold."""
        return max(LEAST, ROUND_TRIP * slots)

    def budget(self, slots: int) -> float:
        """Seconds after which a script process hands back what it has not started."""
        return 2 * self.aim(slots)

    def size(self, remaining: int | None, slots: int) -> int:
        """Return how many mini-batches the next bundle has, at least 1.

        ``remaining`` is how many are left to hand out, None while the plan is incomplete.
        """
        if self._mean is None:
            return 1
        wanted = self.aim(slots) / max(self._mean, 1e-6)
        size = min(wanted, GROWTH * max(1, self._largest))
        if remaining is not None:
            tail = LEAST_TAIL / max(self._mean, 1e-6)
            size = min(size, max(tail, ceil(remaining / (2 * max(1, slots)))))
        return max(1, int(size))

    def window(self, slots: int, remaining: int | None) -> int:
        """Bundles a slot may owe at once, a second one so that it need not wait for a round trip.

        Near the end a second one is given only where bundles are short: a long one waiting on one
        node would keep the run going while another node idles.
        """
        if self._mean is None:
            return 1
        far = remaining is None or remaining > 2 * slots
        return 2 if far or self._mean < self.aim(slots) / 2 else 1

    def slots(self, remaining: int, busy: int) -> int:
        """Return how many slots the work can fill, ``busy`` of which have some.

        Another is of use only while there is work for about as long as it takes to come.
        """
        if self._mean is None:
            return busy + remaining
        return busy + min(remaining, ceil(remaining * self._mean / WORTH))

    def observe(self, count: int, seconds: float) -> None:
        """Record that ``count`` mini-batches took ``seconds``."""
        if count <= 0:
            return
        mean = seconds / count
        self._mean = mean if self._mean is None else (self._mean + mean) / 2
        self._largest = max(self._largest, count)
