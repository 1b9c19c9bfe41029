"""What a notebook, or whoever opens a page, is shown of a run; made of what is kept beside it."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Protocol

from daskrun.monitor.snapshot import read_snapshot
from daskrun.monitor.words import pipeline_summary, summary
from daskrun.shown.printable import printable
from daskrun.storage.durable import open_regular

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from daskrun.core.report import RunStatus
    from daskrun.monitor.snapshot import Snapshot

INTERVAL = 1.0
"""Seconds between two looks at what is kept of a step that goes on."""
PAGE, RESULT = "logs/report.html", "logs/job_result.txt"


class Shown(Protocol):
    """What of a run, or of one of its steps, is shown."""

    id: str

    @property
    def status(self) -> RunStatus:
        """How it stands."""

    @property
    def message(self) -> str:
        """What there is to say of that."""

    def get_metrics(self) -> Mapping[str, object]:
        """Return what was logged to it."""


class Placed(Protocol):
    """What a step writes."""

    @property
    def path(self) -> str:
        """Where it is: its file, if it is one."""


class ShownStep(Shown, Protocol):
    """What of a step's run is shown."""

    name: str

    @property
    def _waited_for(self) -> Sequence[str]:
        """Ids of the steps' runs that had to end before it began."""

    @property
    def outputs(self) -> Mapping[str, Placed]:
        """What it writes, its results first."""

    def place_of(self, name: str = "") -> str:
        """Return the path or URL of a file among what is kept of it."""

    @property
    def folder(self) -> Path:
        """What is kept of it."""

    @property
    def reused_run_id(self) -> str | None:
        """The step run whose output it uses."""


class Snapshots:
    """Reads the snapshots of steps that go on, each again when there may be a newer one."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[float, Snapshot | None]] = {}

    def of(self, step: ShownStep) -> Snapshot | None:
        """Return how a step stood a second ago; None before there is anything."""
        now = time.monotonic()
        due, found = self._read.get(step.id, (0.0, None))
        if now >= due:
            found = snapshot_of(step) or found
            self._read[step.id] = now + INTERVAL, found
        return found


def snapshot_of(step: ShownStep) -> Snapshot | None:
    """Return what is kept of a step's run; where its driver was killed, with the end it has."""
    found = read_snapshot(step.folder / "logs")
    if found is None or found.status.ended or not step.status.ended:
        return found
    found.status, found.message, found.waiting_for = step.status, step.message, ""
    found.slots, found.in_flight = 0, []
    found.progress = replace(found.progress, in_flight=0, eta=None)
    return found


def summary_of(step: ShownStep) -> list[str]:
    """Return what a step's run has come to, as lines, beside its outcome."""
    snapshot = snapshot_of(step)
    if snapshot is None or snapshot.status is not step.status:  # it could not be written
        return [f"how it went is told in {step.place_of(RESULT)}"]
    return summary(snapshot, _written(step), step.place_of(PAGE))


def _written(step: ShownStep) -> str | None:
    return next((each.path for each in step.outputs.values()), None)


def summary_lines(steps: Sequence[ShownStep], hint: str) -> list[str]:
    """Return what a run has come to: of a single step all, of several how each has ended.

    ``hint``, what helps it, comes last.
    """
    if len(steps) == 1:
        lines = summary_of(steps[0]) if steps[0].reused_run_id is None else []
    else:
        found = [(step, snapshot_of(step)) for step in steps]
        lines = pipeline_summary([(s.name, s.status, each, _written(s)) for s, each in found])
    return [*lines, hint] if hint else lines


def write_reports(steps: Sequence[ShownStep]) -> list[Path]:
    """Write the report of each step as it stands now; return the files, in the steps' order."""
    from daskrun.monitor.report import REPORT, report_html

    made: list[Path] = []
    for step in steps:
        snapshot = snapshot_of(step)
        if snapshot is not None:
            made.append(step.folder / "logs" / REPORT)
            made[-1].write_text(report_html(snapshot), encoding="utf-8", errors="replace")
    return made


def html_of(run: Shown, steps: Sequence[ShownStep]) -> str:
    """Return how a run stands, and what was logged to it, as a part of a page without scripts."""
    from daskrun.monitor.report import StepView, details_html

    names = {step.id: step.name for step in steps}
    views = [
        StepView(
            step.name,
            step.status.value,
            step.message,
            tuple(names[each] for each in step._waited_for if each in names),
            snapshot_of(step),
            step.place_of(PAGE) if (step.folder / PAGE).is_file() else "",
        )
        for step in steps
    ]
    return details_html(run.id, run.status.value, run.message, views, run.get_metrics())


LOGS = {
    "Errors": "job_error.txt",
    "What happened": "sys/happenings.txt",
    "Result": "job_result.txt",
}
"""What a notebook shows of the logs, by the title of its tab."""
LOG_END = 20_000
"""Bytes at the end of a log that are shown."""


def log_html(steps: Sequence[ShownStep], name: str) -> str:
    """Return the end of a log of each step."""
    parts = []
    for step in steps:
        path = step.folder / "logs" / name
        text = ""
        if path.is_file():
            with open_regular(path) as file:
                file.seek(max(file.seek(0, os.SEEK_END) - LOG_END, 0))
                text = file.read().decode("utf-8", "replace")
        if text.strip():
            shown = escape(printable(text))
            parts.append(f"<b>{escape(printable(step.name))}</b><pre>{shown}</pre>")
    return "".join(parts) or "<p>Nothing yet.</p>"
