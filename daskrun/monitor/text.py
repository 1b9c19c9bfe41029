"""Progress as a line of text, for log files, notebooks and terminals without a bar."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daskrun.core.report import Progress

WIDTH = 30
"""Characters of the bar."""


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


def share(progress: Progress) -> float | None:
    """Return the part that is done, from 0 to 1; None while the total is unknown."""
    if not progress.total:
        return None
    return (progress.succeeded + progress.failed) / progress.total


def bar_line(progress: Progress) -> str:
    """Return a progress as one line of text.

    Examples
    --------
    >>> from daskrun.core.report import Progress
    >>> bar_line(Progress(4, 2, 1, 1, 0, 0, 8, 4, 2.0, 2.0))
    '[###############...............] 2/4 mini-batches (50 %), 1 failed, 2.0 s, 2.0 s left'
    """
    done = progress.succeeded + progress.failed
    part = share(progress)
    if progress.script:
        head = f"{progress.script} has ended" if done else f"{progress.script} runs"
    elif progress.total is None and not done:
        head = "finding mini-batches"
    elif part is None:
        head = f"{done:,} mini-batches"
    else:
        filled = int(WIDTH * part)
        bar = "#" * filled + "." * (WIDTH - filled)
        # Rounded down, so that 100 % is said only when all is done.
        head = f"[{bar}] {done:,}/{progress.total:,} mini-batches ({int(100 * part)} %)"
    words = [head]
    if progress.failed and not progress.script:
        words.append(f"{progress.failed:,} failed")
    if progress.retried:
        words.append(f"{progress.retried:,} tried again")
    if progress.preparing:
        words.append(progress.preparing.partition(": ")[0])
    if progress.elapsed or not progress.preparing:
        words.append(duration(progress.elapsed))
    if progress.eta is not None and done != progress.total:
        words.append(f"{duration(progress.eta)} left")
    return ", ".join(words)
