"""Progress as a line of text, and what ``wait_for_completion(show_output=True)`` shows."""

from __future__ import annotations

import math
import sys
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TextIO

from daskrun.core.typing import override
from daskrun.shown.printable import one_line, safe

if TYPE_CHECKING:
    from IPython.display import DisplayHandle
    from rich.progress import TaskID

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


def bar_line(progress: Progress) -> str:
    """Return a progress as one line of text.

    Examples
    --------
    >>> from daskrun.core.report import Progress
    >>> bar_line(Progress(4, 2, 1, 1, 0, 0, 8, 4, 2.0, 2.0))
    '[###############...............] 2/4 mini-batches (50 %), 1 failed, 2.0 s, 2.0 s left'
    """
    done = progress.succeeded + progress.failed
    if progress.script:
        head = f"{progress.script} has ended" if done else f"{progress.script} runs"
    elif progress.total is None and not done:
        head = "finding mini-batches"
    elif not progress.total:
        head = f"{done:,} mini-batches"
    else:
        part = done / progress.total
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
    return one_line(", ".join(words))


LINE_INTERVAL = 5.0
"""Seconds between two lines where lines can't be drawn over."""


class Display(ABC):
    """Shows the progress of steps; what comes from outside reaches no terminal as it is."""

    @abstractmethod
    def show(self, step: str, progress: Progress) -> None:
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
    if file is None and _in_notebook():
        return NotebookDisplay()
    file = file or sys.stdout
    return TerminalDisplay(file) if file.isatty() else LineDisplay(file)


class LineDisplay(Display):
    """Writes a line now and then: for log files, which keep every character."""

    def __init__(self, file: TextIO, interval: float = LINE_INTERVAL) -> None:
        self._file = file
        self._interval = interval
        self._next = 0.0
        self._written: tuple[str, int, int, str] | None = None

    @override
    def show(self, step: str, progress: Progress) -> None:
        done = progress.succeeded + progress.failed
        state = (step, done, progress.retried, progress.preparing)
        now = time.monotonic()
        if now < self._next or state == self._written:
            return
        self._next, self._written = now + self._interval, state
        self._say(f"{step}: {bar_line(progress)}")

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

    @override
    def show(self, step: str, progress: Progress) -> None:
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
            self._bars.stop()
            self._bars = None


class NotebookDisplay(Display):
    """Writes a line for each step, replaced in place."""

    def __init__(self) -> None:
        self._handles: dict[str, DisplayHandle] = {}

    @override
    def show(self, step: str, progress: Progress) -> None:
        from IPython.display import display

        # Plain text in place: a widget's bar would be lost when the notebook is saved.
        content = {"text/plain": f"{step}: {bar_line(progress)}"}
        if step in self._handles:
            self._handles[step].update(content, raw=True)  # type: ignore[no-untyped-call]
        else:
            self._handles[step] = display(  # type: ignore[no-untyped-call]
                content, raw=True, display_id=True
            )

    @override
    def _say(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")


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
    ipython = sys.modules.get("IPython")
    return ipython is not None and type(ipython.get_ipython()).__name__ == "ZMQInteractiveShell"
