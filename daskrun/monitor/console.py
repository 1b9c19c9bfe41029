"""The progress that ``wait_for_completion(show_output=True)`` shows."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from daskrun.monitor.text import bar_line

if TYPE_CHECKING:
    from daskrun.core.report import Progress

LINE_INTERVAL = 5.0
"""Seconds between two lines where lines can't be drawn over."""


class Display(Protocol):
    """Shows the progress of one step after another."""

    def show(self, step: str, progress: Progress) -> None:
        """Show how far a step is, as often as anybody likes."""

    def say(self, text: str) -> None:
        """Write a line that stays."""

    def close(self) -> None:
        """Leave what is shown as it is."""


def make_display(file: TextIO | None = None) -> Display:
    """Make the display that fits where output goes: a notebook, a terminal, or a file."""
    if file is None and _in_notebook():
        return NotebookDisplay()
    file = file or sys.stdout
    return TerminalDisplay(file) if file.isatty() else LineDisplay(file)


class LineDisplay:
    """Writes a line now and then: for log files, which keep every character."""

    def __init__(self, file: TextIO, interval: float = LINE_INTERVAL) -> None:
        self._file = file
        self._interval = interval
        self._next = 0.0
        self._written: tuple[str, int, int, str] | None = None

    def show(self, step: str, progress: Progress) -> None:
        """Write a line, if the last one is old enough and something has changed."""
        done = progress.succeeded + progress.failed
        state = (step, done, progress.retried, progress.preparing)
        now = time.monotonic()
        if now < self._next or state == self._written:
            return
        self._next, self._written = now + self._interval, state
        self.say(f"{step}: {bar_line(progress)}")

    def say(self, text: str) -> None:
        """Write a line."""
        self._file.write(f"{text}\n")
        self._file.flush()

    def close(self) -> None:
        """Nothing is held."""


class TerminalDisplay:
    """Draws a bar in a terminal.

    Rich is imported when there is something to draw, so that it doesn't slow the run's start.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._bars: Any = None
        self._rows: dict[str, Any] = {}

    def show(self, step: str, progress: Progress) -> None:
        """Draw a bar for each step."""
        if self._bars is None:
            self._bars = _rich_bars(self._file)
            self._bars.start()
        if step not in self._rows:
            self._rows[step] = self._bars.add_task(step, total=None, words="")
        words = bar_line(progress).partition("] ")[2] or bar_line(progress)
        self._bars.update(
            self._rows[step],
            total=progress.total,
            completed=progress.succeeded + progress.failed,
            words=words,
        )

    def say(self, text: str) -> None:
        """Write a line, above the bars while there are any."""
        if self._bars is None:
            self._file.write(f"{text}\n")
            self._file.flush()
        else:
            self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Stop drawing; the bars stay as they are."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


class NotebookDisplay:
    """Writes one line per step into a cell's output, in place."""

    def __init__(self) -> None:
        self._handles: dict[str, Any] = {}

    def show(self, step: str, progress: Progress) -> None:
        """Replace the step's line."""
        from IPython.display import display

        # Plain text in place: a widget's bar would be lost when the notebook is saved.
        content = {"text/plain": f"{step}: {bar_line(progress)}"}
        if step in self._handles:
            self._handles[step].update(content, raw=True)
        else:
            self._handles[step] = display(  # type: ignore[no-untyped-call]
                content, raw=True, display_id=True
            )

    def say(self, text: str) -> None:
        """Write a line."""
        sys.stdout.write(f"{text}\n")

    def close(self) -> None:
        """Nothing is held: the lines stay."""


def _rich_bars(file: TextIO) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[words]}", markup=False),
        console=Console(file=file),
        # What the script prints meanwhile goes where it always goes.
        redirect_stdout=False,
        redirect_stderr=False,
        refresh_per_second=5,
    )


def _in_notebook() -> bool:
    """Return whether output goes to a notebook's cell."""
    ipython = sys.modules.get("IPython")
    if ipython is None:
        return False
    shell = ipython.get_ipython()
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"
