"""``sys/statistics.json``: the statistics of a run, kept for views elsewhere and later."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from daskrun.core.logs import get_logger
from daskrun.core.typing import override
from daskrun.monitor.event_log import EVENTS, read_events
from daskrun.monitor.snapshot import STATISTICS, read_snapshot
from daskrun.monitor.statistics import RunStatistics
from daskrun.storage.durable import write_whole
from daskrun.storage.folders import make_folder

if TYPE_CHECKING:
    from pathlib import Path

    from daskrun.core.events import RunEnded
    from daskrun.core.minibatch import Plan
    from daskrun.core.report import Progress
    from daskrun.monitor.snapshot import Snapshot

logger = get_logger(__name__)
INTERVAL = 1.0
"""Seconds between two writings of the file, at least."""
SHARE, WAITING_SHARE = 0.01, 0.05
"""Of the driver's time that writing it may take, of a processor and with its waits for a disk."""


class StatisticsFile(RunStatistics):
    """Keeps what is gathered in a file below the run's ``logs``, for views elsewhere and later.

    The run's log of events is told each event before this is.
    """

    def __init__(self, logs: Path, plan: Plan | None = None) -> None:
        super().__init__(plan, gathered(logs))
        self._path = logs / STATISTICS
        self._events = logs / EVENTS
        self._due = 0.0
        self._done = False

    @override
    def progress(self, progress: Progress) -> None:
        super().progress(progress)
        now, done = time.monotonic(), progress.succeeded + progress.failed == progress.total
        if now >= self._due or done != self._done:  # the last figures are never late
            self._done, worked = done, time.thread_time()
            self.write()
            # On a machine that has much to do it takes long, and costs no more.
            worked, took = time.thread_time() - worked, time.monotonic() - now
            self._due = now + max(INTERVAL, worked / SHARE, took / WAITING_SHARE)

    @override
    def on_run_ended(self, event: RunEnded) -> None:
        super().on_run_ended(event)
        self.write()

    def write(self) -> None:
        """Replace the file; not synced, as the journal holds all that counts."""
        try:
            make_folder(self._path.parent, parents=False)  # not the run's, where that is gone
            events = self._events.stat().st_size if self._events.is_file() else -1
            text = replace(self.snapshot(), events=events).as_json()
            write_whole(self._path, text.encode("utf-8", "replace"), synced=False)
            self.warning = ""
        except OSError as error:
            self.warning = f"what views show of the run is not kept: {error}"


def gathered(logs: Path) -> Snapshot | None:
    """Return what the drivers of a run have gathered: what is kept, and the events after that.

    None where there is nothing.
    """
    kept, path = read_snapshot(logs), logs / EVENTS
    start, epoch = (0, 0.0) if kept is None else (kept.events, kept.epoch)
    if start < 0 or not path.is_file() or path.stat().st_size <= start:
        return kept
    again = RunStatistics(None, kept, epoch)
    try:
        for again.epoch, event in read_events(path, start, epoch):
            again.notify(event)
        return again.snapshot(again.now)
    except (ValueError, TypeError, ArithmeticError, LookupError, OSError) as error:
        logger.warning("%s: what happened can't be read: %r", path, error)
        return kept
