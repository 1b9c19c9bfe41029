"""The log files of a step run: how far it is, how it ended, what went wrong."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from daskrun.core.events import Observer
from daskrun.core.logs import get_logger
from daskrun.core.tally import Tally
from daskrun.core.typing import override
from daskrun.monitor.attempts import AttemptTable
from daskrun.monitor.failed_items import LISTED, FailedItems
from daskrun.monitor.pace import duration
from daskrun.monitor.words import bar_line
from daskrun.shown.printable import continued, one_line, safe
from daskrun.shown.url_secrets import shown_text
from daskrun.storage.durable import write_whole
from daskrun.storage.folders import make_folder, open_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from daskrun.core import events
    from daskrun.core.minibatch import Plan
    from daskrun.core.outcome import Outcome, ProcessInfo
    from daskrun.core.report import ErrorGroup, Progress, Report

    Past = tuple[Outcome, ProcessInfo | None]
    """An attempt, and who has made it."""
    Advice = Callable[[Report], str]

logger = get_logger(__name__)
INTERVAL = 1.0
"""Seconds between two writes of the overview."""


class LogWriter(Observer):
    """Keeps the log files of a step run.

    ``job_progress_overview.txt`` and ``job_error.txt`` are at most a second old while the run goes
    on; ``job_result.txt`` is written at its end. ``failed_items.txt`` and ``.jsonl`` name what has
    failed, see :class:`~daskrun.monitor.failed_items.FailedItems`. ``sys/happenings.txt``
    has a line for each node and process that came or went. Without a ``plan`` failed items are not
    listed. ``advice`` says what is to be done after an end.
    """

    def __init__(
        self, logs: Path, plan: Plan | None = None, tries: int = 1, advice: Advice | None = None
    ) -> None:
        self._logs = logs
        self._failed_items = FailedItems(logs, plan, tries) if plan is not None else None
        self._past: Callable[[], Iterable[Past]] = tuple
        self._advice = advice
        make_folder(logs)
        table = logs / "sys" / "job_report" / "processed_mini-batches.csv"
        self._table = AttemptTable(table, plan)
        self._errors = Tally()
        self._errors_changed = False
        self._next = 0.0
        self._last: Progress | None = None

    def go_on(self, past: Callable[[], Iterable[Past]]) -> None:
        """Continue the files of earlier drivers; ``past`` gives the attempts they journalled."""
        self._past = past
        for outcome, process in past():
            self._count_error(outcome, process)
        self._happened(f"process {os.getpid()} goes on with the run")

    @override
    def notify(self, event: events.Event) -> None:
        with self._writing():
            super().notify(event)

    @override
    def on_bundle_returned(self, event: events.BundleReturned) -> None:
        self._table.on_bundle_returned(event)
        odd = [o for o in event.outcomes if o.status or o.results < o.items]
        for outcome in odd:
            self._count_error(outcome, event.process)
        if odd and self._failed_items is not None:
            self._failed_items.add(odd)

    @override
    def on_resumed(self, event: events.Resumed) -> None:
        if self._failed_items is not None:
            attempts = self._past
            self._failed_items.begin_again(
                event.failed, event.again, lambda: (outcome for outcome, _ in attempts())
            )

    @override
    def on_node_ready(self, event: events.NodeReady) -> None:
        processes = f"{event.slots} script processes"
        self._happened(f"{event.node} is ready on {event.where} with {processes}")

    @override
    def on_node_preparing(self, event: events.NodePreparing) -> None:
        self._happened(f"{event.node}: {event.text}")

    @override
    def on_node_lost(self, event: events.NodeLost) -> None:
        self._happened(f"{event.node} is lost: {event.reason}")

    @override
    def on_process_ready(self, event: events.ProcessReady) -> None:
        after = f"is past init() after {event.init_seconds:.3f} s"
        gpu = f", on GPU {event.gpu}" if event.gpu else ""
        self._happened(f"{_named(event.process)} {after}{gpu}")

    @override
    def on_init_failed(self, event: events.InitFailed) -> None:
        self._errors.init_failure(event.error, event.process)
        self._errors_changed = True
        self._happened(f"{_named(event.process)} failed: {event.error.message}")

    @override
    def on_stop_asked(self, event: events.StopAsked) -> None:
        self._happened(f"the run stops: {event.reason}")

    @override
    def on_note(self, event: events.Note) -> None:
        if event.text:
            self._happened(event.text)

    @override
    def on_run_ended(self, event: events.RunEnded) -> None:
        report = event.report
        self._table.flush()
        if self._last is not None:
            self._write("job_progress_overview.txt", overview(self._last))
        self._write("job_error.txt", errors_text(report.errors))
        next_step = self._advice(report) if self._advice is not None else ""
        self._write("job_result.txt", result_text(report, self._logs, next_step))

    @override
    def progress(self, progress: Progress) -> None:
        self._last = progress
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + INTERVAL
        with self._writing():
            self._table.flush()
            self._write("job_progress_overview.txt", overview(progress))
            if self._errors_changed:
                self._errors_changed = False
                self._write("job_error.txt", errors_text(self._errors.groups()))

    @override
    def close(self) -> None:
        with self._writing():
            self._table.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Ignore that the disk is full or gone, which may pass; warn of it once."""
        try:
            yield
        except OSError as error:
            if not self.warning:
                self.warning = f"what is told of the run in its logs is not whole: {error}"
                logger.warning("%s: %s", self._logs, self.warning)

    def _happened(self, words: str) -> None:
        path = self._logs / "sys" / "happenings.txt"
        with open_kept(path, "a", encoding="utf-8") as file:
            stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
            file.write(f"{stamp} UTC  {one_line(shown_text(words))}\n")

    def _count_error(self, outcome: Outcome, process: ProcessInfo | None) -> None:
        if outcome.status:
            self._errors.failure(outcome, process, final=False)
            self._errors_changed = True
        elif outcome.results < outcome.items:
            self._errors.note_items(outcome, process)
            self._errors_changed = True

    def _write(self, name: str, text: str) -> None:
        """Replace a file whole; not synced, as it holds nothing that the journal has not."""
        write_whole(self._logs / name, safe(text).encode(), synced=False)


def _named(process: ProcessInfo) -> str:
    return f"{process.node}/{process.name} (pid {process.pid})"


def overview(progress: Progress) -> str:
    """Return how far a run is."""
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
    """Return each distinct error once, with its count and first example.

    Tracebacks are indented: what an exception says may look like the headline of another error.
    """
    parts = []
    for number, group in enumerate(groups, 1):
        lines = [f"    {line}".rstrip() for line in group.text.rstrip().splitlines()]
        text = "\n".join(["", *lines, ""]) if lines else ""
        parts.append(f"{number}. {_headline(group)}\n{_first_in(group)}{text}")
    return "\n".join(parts) or "No errors.\n"


def _first_in(group: ErrorGroup) -> str:
    if group.index < 0 and not group.process:  # the step could not begin
        return ""
    place = "init()" if group.index < 0 else f"mini-batch {group.index}, attempt {group.attempt}"
    on = f" on {group.process}" if group.process else ""
    return f"first in {place}{on}\n"


def _headline(group: ErrorGroup) -> str:
    """Return what went wrong, where and how often."""
    where = f"{group.where}: " if group.where else ""
    if group.count == 1:
        return f"{where}{group.message}"
    such = " such as" if group.where else ""
    return f"{where}{group.count:,} times{such} {group.message}"


def result_text(report: Report, logs: Path, next_step: str = "") -> str:
    """Return what happened, what to do about it, and where to look."""
    total = "not all known" if report.total is None else f"{report.total:,}"
    warnings = "".join(f"Warning: {continued(text)}\n" for text in report.warnings)
    errors = backups = ""
    if report.backups:
        backups = f"Run twice      {report.backups:,} that took long, at once with the first run: "
        backups += f"for {report.backups_first:,} the second ended first\n"
    listed = logs / LISTED
    failed = f"Items that failed, a line each  {listed}\n" if listed.exists() else ""
    if report.errors:
        groups = sorted(report.errors, key=lambda each: -each.count)
        shown = "".join(f"  {_headline(group)}\n" for group in groups[:5])
        more = f"  and {len(report.errors) - 5:,} more\n" if len(report.errors) > 5 else ""
        errors = f"\nErrors:\n{shown}{more}"
    next_step = f"{next_step}\n" if next_step else ""
    return (
        f"{report.status.value}: {continued(report.message)}\n"
        f"{next_step}"
        f"{warnings}"
        f"\n"
        f"Mini-batches   {total}: {report.succeeded:,} succeeded, {report.failed:,} failed, "
        f"{report.unfinished:,} unfinished\n"
        f"Items          {report.items:,}: {report.items_succeeded:,} succeeded, "
        f"{report.items_failed:,} failed\n"
        f"Attempts       {report.attempts:,}, {report.retried:,} of them repeated\n"
        f"{backups}"
        f"Took           {duration(report.seconds)}\n"
        f"{errors}"
        f"\n"
        f"Each error with its traceback   {logs / 'job_error.txt'}\n"
        f"{failed}"
        f"Each attempt                    "
        f"{logs / 'sys' / 'job_report' / 'processed_mini-batches.csv'}\n"
        f"What the script wrote           {logs / 'user'}\n"
    )
