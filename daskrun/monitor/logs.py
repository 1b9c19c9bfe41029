"""The text logs of a step run: how far it is, how it ended, what went wrong."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from daskrun.core.events import BundleReturned, InitFailed, RunEnded
from daskrun.core.tally import Tally
from daskrun.monitor.attempts import AttemptTable
from daskrun.monitor.text import bar_line, duration

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from daskrun.core.events import Event
    from daskrun.core.report import ErrorGroup, Progress, Report

INTERVAL = 1.0
"""Seconds between two writes of the overview."""


class LogWriter:
    """Keeps the log files of a step run; an :class:`~daskrun.core.observer.Observer`.

    ``job_progress_overview.txt`` and ``job_error.txt`` are true within a second while the run goes
    on, ``job_result.txt`` comes with its end. Each is replaced whole.

    Parameters
    ----------
    logs
        The run's folder ``logs``.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        logs.mkdir(parents=True, exist_ok=True)
        self._table = AttemptTable(logs / "sys" / "job_report" / "processed_mini-batches.csv")
        self._errors = Tally()
        self._errors_changed = False
        self._next = 0.0
        self._last: Progress | None = None

    def notify(self, event: Event) -> None:
        """Take in an event."""
        if isinstance(event, BundleReturned):
            self._table.add(event)
            for outcome in event.outcomes:
                if outcome.status:
                    self._errors.failure(outcome, event.process, final=False)
                    self._errors_changed = True
        elif isinstance(event, InitFailed):
            self._errors.init_failure(event.error, event.process)
            self._errors_changed = True
        elif isinstance(event, RunEnded):
            self._end(event.report)

    def progress(self, progress: Progress) -> None:
        """Take in how far the run is."""
        self._last = progress
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + INTERVAL
        self._table.flush()
        self._write("job_progress_overview.txt", overview(progress))
        if self._errors_changed:
            self._errors_changed = False
            self._write("job_error.txt", errors_text(self._errors.groups()))

    def close(self) -> None:
        """Finish the files."""
        self._table.close()

    def _end(self, report: Report) -> None:
        self._table.flush()
        if self._last is not None:
            self._write("job_progress_overview.txt", overview(self._last))
        self._write("job_error.txt", errors_text(report.errors))
        self._write("job_result.txt", result_text(report, self._logs))

    def _write(self, name: str, text: str) -> None:
        """Replace a file whole. Not synced: it only tells what the journal keeps."""
        path = self._logs / name
        aside = path.with_name(f".{name}.{os.getpid()}")
        aside.write_text(text, encoding="utf-8", errors="backslashreplace")
        aside.replace(path)


def overview(progress: Progress) -> str:
    """Say how far a run is."""
    total = "not known yet" if progress.total is None else f"{progress.total:,}"
    eta = "not known yet" if progress.eta is None else duration(progress.eta)
    return (
        f"{bar_line(progress)}\n"
        f"\n"
        f"Mini-batches         {total}\n"
        f"  handed out         {progress.handed_out:,}\n"
        f"  in flight          {progress.in_flight:,}\n"
        f"  succeeded          {progress.succeeded:,}\n"
        f"  failed             {progress.failed:,}\n"
        f"Attempts to repeat   {progress.retried:,}\n"
        f"Items processed      {progress.items:,}\n"
        f"  failed             {progress.items_failed:,}\n"
        f"Elapsed              {duration(progress.elapsed)}\n"
        f"Left, about          {eta}\n"
        f"Written              {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC\n"
    )


def errors_text(groups: Iterable[ErrorGroup]) -> str:
    """Tell each distinct error once, with its count and first example."""
    parts = []
    for number, group in enumerate(groups, 1):
        place = "init()" if group.index < 0 else f"mini-batch {group.index}, try {group.attempt}"
        where = f" at {group.where}" if group.where else ""
        on = f" on {group.process}" if group.process else ""
        times = "once" if group.count == 1 else f"{group.count:,} times"
        text = f"\n{group.text.rstrip()}\n" if group.text.strip() else ""
        parts.append(f"{number}. {group.message}{where}\n{times}, first in {place}{on}\n{text}")
    return "\n".join(parts) or "No errors.\n"


def result_text(report: Report, logs: Path) -> str:
    """Tell at one glance what happened and where to look."""
    total = "not all known" if report.total is None else f"{report.total:,}"
    warnings = "".join(f"Warning: {text}\n" for text in report.warnings)
    errors = ""
    if report.errors:
        shown = "".join(f"  {group.count:,} × {group.message}\n" for group in report.errors[:5])
        more = f"  and {len(report.errors) - 5:,} more\n" if len(report.errors) > 5 else ""
        errors = f"\nErrors, each once:\n{shown}{more}"
    return (
        f"{report.status.value}: {report.sentence}\n"
        f"{warnings}"
        f"\n"
        f"Mini-batches   {total}: {report.succeeded:,} succeeded, {report.failed:,} failed, "
        f"{report.unfinished:,} unfinished\n"
        f"Items          {report.items:,}: {report.items_succeeded:,} succeeded, "
        f"{report.items_failed:,} failed\n"
        f"Attempts       {report.attempts:,}, {report.retried:,} of them repeated\n"
        f"Took           {duration(report.seconds)}\n"
        f"{errors}"
        f"\n"
        f"Each error with its traceback   {logs / 'job_error.txt'}\n"
        f"Each attempt                    "
        f"{logs / 'sys' / 'job_report' / 'processed_mini-batches.csv'}\n"
        f"What the script wrote           {logs / 'user'}\n"
    )
