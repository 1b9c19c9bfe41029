"""What a notebook, or whoever opens a page, is shown of a run; made of what is kept beside it."""

from __future__ import annotations

import time
from html import escape
from typing import TYPE_CHECKING, Protocol

from daskrun.monitor.snapshot import read_snapshot
from daskrun.monitor.words import summary
from daskrun.shown.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from daskrun.core.report import RunStatus
    from daskrun.monitor.snapshot import Snapshot

INTERVAL = 1.0
"""Seconds between two looks at what is kept of a step that goes on."""
PAGE = "logs/report.html"


class Shown(Protocol):
    """What of a run, or of one of its steps, is shown."""

    id: str

    @property
    def status(self) -> RunStatus:
        """How it stands."""

    @property
    def message(self) -> str:
        """What there is to say of that."""


class ShownStep(Shown, Protocol):
    """What of a step's run is shown."""

    name: str

    @property
    def output_folder(self) -> str | None:
        """Where its results are."""

    def place_of(self, name: str = "") -> str:
        """Return the path or URL of a file among what is kept of it."""

    @property
    def folder(self) -> Path:
        """What is kept of it."""


class Snapshots:
    """Reads the snapshots of steps that go on, each again when there may be a newer one."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[float, Snapshot | None]] = {}

    def of(self, step: ShownStep) -> Snapshot | None:
        """Return how a step stood a second ago; None before there is anything."""
        now = time.monotonic()
        due, found = self._read.get(step.id, (0.0, None))
        if now >= due:
            found = read_snapshot(step.folder / "logs") or found
            self._read[step.id] = now + INTERVAL, found
        return found


def summary_of(step: ShownStep) -> list[str]:
    """Return what a step's run has come to, as lines, beside its outcome."""
    snapshot = read_snapshot(step.folder / "logs")
    return [] if snapshot is None else summary(snapshot, step.output_folder, step.place_of(PAGE))


def write_reports(steps: Sequence[ShownStep]) -> list[Path]:
    """Write the report of each step as it stands now; return the files, in the steps' order."""
    from daskrun.monitor.report import REPORT, report_html

    made: list[Path] = []
    for step in steps:
        logs = step.folder / "logs"
        snapshot = read_snapshot(logs)
        if snapshot is not None:
            made.append(logs / REPORT)
            made[-1].write_text(report_html(snapshot), encoding="utf-8", errors="replace")
    return made


def html_of(run: Shown, steps: Sequence[ShownStep]) -> str:
    """Return how a run stands, as a part of a page without scripts."""
    shown = "".join(map(_step_html, steps))
    message = f": {_escaped(run.message)}" if run.message else ""
    return (
        f"<p>Run <code>{_escaped(run.id)}</code> {_escaped(run.status.value)}{message}</p>{shown}"
    )


def _step_html(step: ShownStep) -> str:
    from daskrun.monitor.report import summary_html

    snapshot = read_snapshot(step.folder / "logs")
    if snapshot is not None:
        return summary_html(snapshot)
    message = f": {_escaped(step.message)}" if step.message else ""
    return f"<p><b>{_escaped(step.name)}</b> {_escaped(step.status.value)}{message}</p>"


def _escaped(text: str) -> str:
    return escape(printable(text))
