"""How fast a run goes, how long it may take yet, and durations as text."""

from __future__ import annotations

import math
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from daskrun.core.report import Progress
    from daskrun.monitor.snapshot import Snapshot

RECENT = 10.0
"""Seconds that count as now."""
BASIS = 2.0
"""Seconds at work before anything is said of what is left."""


class Pace(NamedTuple):
    """Mini-batches per second, and the seconds left; each None before there is a basis."""

    now: float | None
    overall: float | None
    left: tuple[float, float] | None
    """From what the most hopeful estimate says to what the least hopeful one does."""


def pace(snapshot: Snapshot, progress: Progress | None = None) -> Pace:
    """Return how fast a run goes; ``progress`` where a newer one is known than the snapshot's.

    What is left is estimated by the pace since the first mini-batch came back, by that of the last
    seconds, and by what a mini-batch takes a slot. Three tries for each slot, and two seconds, have
    to be over: the first ones are no basis. Nor is there one once nothing has come back for longer
    than all should have taken: what is left is not like what was done.
    """
    progress = progress or snapshot.progress
    times, attempts = snapshot.times, sum(snapshot.latency.values())
    own = attempts - snapshot.attempts_before  # this driver's, in its time as of the snapshot
    elapsed = snapshot.progress.elapsed
    overall = own / elapsed if elapsed > 0 and own else None
    recent = _recent(snapshot)
    done = progress.succeeded + progress.failed
    if (
        progress.total is None
        or snapshot.status.ended
        or progress.elapsed < BASIS
        or own < 3 * max(snapshot.slots, 1)
        or done >= progress.total
    ):
        return Pace(recent, overall, None)
    todo = progress.total - done
    busy = times.run + times.load + times.write + times.failed
    estimates = [todo * busy / attempts / max(snapshot.slots, 1)]
    if progress.eta is not None:
        estimates.append(progress.eta)
    if recent:
        estimates.append(todo / recent)
    quiet = snapshot.updated - snapshot.returned if snapshot.returned else 0.0
    left = (min(estimates), max(estimates)) if quiet <= max(estimates) else None
    return Pace(recent, overall, left)


def _recent(snapshot: Snapshot) -> float | None:
    """Return the pace of the last seconds; of one that has ended, or has only begun, None."""
    series = snapshot.series
    whole = int((snapshot.updated - series.start) / series.width)  # intervals that are over
    count = max(round(RECENT / series.width), 1)
    begun = ceil(max(snapshot.driver_started - series.start, 0.0) / series.width)
    if snapshot.status.ended or series.width > RECENT or not any(series.succeeded[begun:whole]):
        return None
    first = next(n for n in range(begun, whole) if series.succeeded[n])
    since = max(whole - count, first)
    return sum(series.succeeded[since:whole]) / ((whole - since) * series.width)


def duration(seconds: float) -> str:
    """Return seconds as text.

    Examples
    --------
    >>> duration(0.42), duration(75), duration(3700)
    ('0.4 s', '1 min 15 s', '1 h 1 min')
    """
    if not math.isfinite(seconds):
        return "unknown time"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
