"""Where progress is shown: what ``wait_for_completion(show_output=True)`` draws or writes."""

from __future__ import annotations

import os
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

from daskrun.core.typing import override
from daskrun.monitor.words import bar_line, error_lines, state_line, status_lines
from daskrun.shown.printable import safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from IPython.display import DisplayHandle
    from rich.progress import TaskID

    from daskrun.core.report import Progress
    from daskrun.monitor.snapshot import Snapshot

BAR_WIDTH, NARROW = 20, 80
"""Characters of a bar, and of a window that has no room for one."""
STEP_WIDTH = 12
"""Characters of a step's name that also a narrow window shows."""
LINE_INTERVAL = 5.0
"""Seconds between two lines where lines can't be drawn over."""


class Display(ABC):
    """Shows the progress of steps; what comes from outside reaches no terminal as it is."""

    @abstractmethod
    def show(self, step: str, progress: Progress, snapshot: Snapshot | None = None) -> None:
        """Show how far a step is; may be called as often as anybody likes."""

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self._say(safe(text))

    @abstractmethod
    def _say(self, text: str) -> None:
        """Write a line that is printable."""

    def close(self) -> None:  # noqa: B027  (most hold nothing)
        """Leave what is shown as it is."""


def make_display(file: TextIO | None = None) -> Display:
    """Make the display that fits where output goes: a notebook, a terminal, or a file."""
    if file is None and in_notebook():
        return NotebookDisplay()
    file = file or sys.stdout
    draws = file.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    return TerminalDisplay(file) if draws else LineDisplay(file)


class LineDisplay(Display):
    """Writes a line now and then: for log files, which keep every character."""

    def __init__(self, file: TextIO, interval: float = LINE_INTERVAL) -> None:
        self._file = file
        self._interval = interval
        self._next = 0.0
        self._written: tuple[str, int, int, str] | None = None
        self._addresses = {""}
        """Of dashboards that it has told of."""

    @override
    def show(self, step: str, progress: Progress, snapshot: Snapshot | None = None) -> None:
        done = progress.succeeded + progress.failed
        more = [state_line(progress, snapshot)]
        if snapshot is not None:
            more += error_lines(snapshot, 1)
            if not snapshot.status.ended and snapshot.dashboard not in self._addresses:
                self._addresses.add(snapshot.dashboard)
                self._say(f"{step}: dashboard at {snapshot.dashboard}")
        state = (step, done, progress.retried, progress.preparing)
        now = time.monotonic()
        if now < self._next or state == self._written:
            return
        self._next, self._written = now + self._interval, state
        self._say(f"{step}: {'; '.join(filter(None, [bar_line(progress, snapshot), *more]))}")

    @override
    def _say(self, text: str) -> None:
        self._file.write(f"{text}\n")
        self._file.flush()


class TerminalDisplay(Display):
    """Draws a bar for each step; rich is imported when there is something to draw."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._bars: Any = None
        self._rows: dict[str, TaskID] = {}
        self._below: dict[str, list[str]] = {}
        """By step what is shown beside its bar."""

    @override
    def show(self, step: str, progress: Progress, snapshot: Snapshot | None = None) -> None:
        if self._bars is None:
            self._bars = _rich_bars(self._file, self._below)
            self._bars.start()
        if step not in self._rows:
            self._rows[step] = self._bars.add_task(step, total=None, words="")
        line = bar_line(progress, snapshot)
        words = line.partition("] ")[2] or line
        self._below[step] = status_lines(progress, snapshot)
        self._bars.update(
            self._rows[step],
            total=progress.total,
            completed=progress.succeeded + progress.failed,
            words=words,
        )

    @override
    def _say(self, text: str) -> None:
        if self._bars is None:
            self._file.write(f"{text}\n")
            self._file.flush()
        else:
            self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @override
    def close(self) -> None:
        if self._bars is not None:
            self._below.clear()  # the summary follows
            self._bars.stop()
            self._bars = None


class NotebookDisplay(Display):
    """Writes a line for each step, replaced in place."""

    def __init__(self) -> None:
        self._handles: dict[str, DisplayHandle] = {}

    @override
    def show(self, step: str, progress: Progress, snapshot: Snapshot | None = None) -> None:
        from IPython.display import display

        # No widget: it would be lost when the notebook is saved.
        content = {"text/plain": f"{step}: {bar_line(progress, snapshot)}"}
        if snapshot is not None:
            from daskrun.monitor.report import summary_html

            content["text/html"] = summary_html(replace(snapshot, progress=progress))
        if step in self._handles:
            self._handles[step].update(content, raw=True)  # type: ignore[no-untyped-call]
        else:
            self._handles[step] = display(  # type: ignore[no-untyped-call]
                content, raw=True, display_id=True
            )

    @override
    def _say(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")


def _rich_bars(file: TextIO, below: Mapping[str, Iterable[str]]) -> Any:
    """Return bars with lines of text below them, which narrow windows cut off."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
    from rich.table import Column
    from rich.text import Text

    class Bars(Progress):
        def get_renderables(self) -> Iterator[Any]:
            yield self.make_tasks_table(self.tasks)
            for step, lines in list(below.items()):
                head = f"  {step}: " if len(below) > 1 else "  "
                for line in lines:
                    style = f"link {line}" if line.startswith("http") else "dim"
                    yield Text(head + line, style=style, no_wrap=True, overflow="ellipsis")

    console = Console(file=file)
    name = Column(max_width=STEP_WIDTH if console.width < NARROW else None, no_wrap=True)
    return Bars(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False, table_column=name),
        *([] if console.width < NARROW else [BarColumn(bar_width=BAR_WIDTH)]),
        TextColumn("{task.fields[words]}", markup=False, table_column=Column(ratio=1)),
        console=console,
        expand=True,
        # What the script prints meanwhile goes where it always goes.
        redirect_stdout=False,
        redirect_stderr=False,
        refresh_per_second=5,
    )


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and type(ipython.get_ipython()).__name__ == "ZMQInteractiveShell"
