"""How a run stands and how it ended, as lines of text that are printable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daskrun.core.report import RunStatus
from daskrun.monitor.findings import efficiency, findings, shortened
from daskrun.monitor.pace import duration, pace
from daskrun.shown.counted import many
from daskrun.shown.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.core.report import ErrorGroup, Progress
    from daskrun.monitor.snapshot import Snapshot

WIDTH = 30
"""Characters of the bar."""
MOST_ERRORS, MOST_STEPS = 3, 6


def bar_line(progress: Progress, snapshot: Snapshot | None = None) -> str:
    """Return a progress as one line of text; with a ``snapshot`` what is left is a range.

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
        head = many(done, "mini-batch", "es")
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
    words += _left(progress, snapshot)
    return one_line(", ".join(words))


def state_line(progress: Progress, snapshot: Snapshot | None) -> str:
    """Return how fast it goes, how many slots work, what it waits for; ``""``: not known."""
    if snapshot is None:
        return ""
    found, words = pace(snapshot, progress), []
    if progress.items:
        failed = f" ({progress.items_failed:,} failed)" if progress.items_failed else ""
        words.append(f"{many(progress.items, 'item')}{failed}")
    if found.overall is not None and not progress.script:
        now = f"{found.now:.1f}/s now, " if found.now is not None else ""
        words.append(f"{now}{found.overall:.1f}/s overall")
    if snapshot.slots:
        words.append(f"{snapshot.busy:,} of {snapshot.slots:,} slots busy")
    if progress.in_flight and not progress.script:
        words.append(f"{many(progress.in_flight, 'mini-batch', 'es')} in flight")
    done, known = progress.succeeded + progress.failed, snapshot.progress
    # What it waited for when less was done than all is known no more.
    if snapshot.waiting_for and (done != progress.total or done == known.succeeded + known.failed):
        words.append(f"waits for {snapshot.waiting_for}")
    return one_line(", ".join(words))


def error_lines(snapshot: Snapshot, most: int = MOST_ERRORS) -> list[str]:
    """Return the most frequent errors, each with its count, file and line."""
    return [one_line(_error(each)) for each in snapshot.errors[:most]]


def status_lines(progress: Progress, snapshot: Snapshot | None) -> list[str]:
    """Return all that a terminal shows of a step beside its bar."""
    if snapshot is None:
        return []
    lines = [state_line(progress, snapshot), *error_lines(snapshot)]
    if snapshot.dashboard and not snapshot.status.ended:
        lines.append(snapshot.dashboard)
    return [line for line in lines if line]


def summary(snapshot: Snapshot, output: str | None, report: str) -> list[str]:
    """Return what a step's run has come to, beside its outcome: at most eight lines.

    ``output`` is where its results are, None where there are none; ``report`` is its page.
    """
    now, lines = snapshot.progress, []
    if output is not None and snapshot.status is RunStatus.COMPLETED:
        lines.append(f"written: {snapshot.results:,} rows, in {output}")
    elif output is not None and snapshot.results:
        lines.append(f"{snapshot.results:,} rows are kept; no output is made of them yet")
    share = efficiency(snapshot)
    known = share is not None and not now.script
    useful = f", {100 * (share or 0):.0f} % of the processes' time in run()" if known else ""
    lines.append(f"took {duration(snapshot.seconds)}{useful}")
    if now.failed and not now.script:
        lost = f"{many(now.failed, 'mini-batch', 'es')}, {many(now.items_failed, 'item')}"
        lines.append(f"failed: {lost}; {many(now.retried, 'attempt')} retried")
    lines += [f"  {line}" for line in error_lines(snapshot)]
    lines += [f"to change: {text}" for text in findings(snapshot)[:1]]
    lines.append(f"report: {report}")
    return [one_line(line) for line in lines]


def pipeline_summary(
    steps: Sequence[tuple[str, RunStatus, Snapshot | None, str | None]],
) -> list[str]:
    """Return what the runs of several steps have come to: at most nine lines.

    Each with its name, how it ended, what is known of it and where its results are.
    """
    lines, errors = [], []
    for name, status, snapshot, output in steps:
        words = [f"{name}: {status.value}"]
        if snapshot is not None and snapshot.status is status:
            if output is not None and status is RunStatus.COMPLETED:
                written = "" if snapshot.progress.script else f"{snapshot.results:,} rows "
                words.append(f"{written}in {output}")
            if snapshot.progress.failed:
                words.append(f"{many(snapshot.progress.failed, 'mini-batch', 'es')} failed")
            errors += [(each.count, name, each) for each in snapshot.errors[:MOST_ERRORS]]
        lines.append(", ".join(words))
    if len(lines) > MOST_STEPS:
        lines[MOST_STEPS - 1 :] = [f"and {len(lines) - MOST_STEPS + 1:,} more steps"]
    errors.sort(key=lambda each: -each[0])
    lines += [f"  {name}: {_error(group)}" for _, name, group in errors[:MOST_ERRORS]]
    return [one_line(line) for line in lines]


def _left(progress: Progress, snapshot: Snapshot | None) -> list[str]:
    if snapshot is None:
        done = progress.succeeded + progress.failed
        known = progress.eta is not None and done != progress.total
        return [f"{duration(progress.eta or 0.0)} left"] if known else []
    left = pace(snapshot, progress).left
    if left is None:
        return []
    low, high = map(duration, left)
    return [f"{low} left" if low == high else f"{low} to {high} left"]


def _error(group: ErrorGroup) -> str:
    where = f" ({group.where})" if group.where else ""
    return f"{group.count:,} × {shortened(group.message)}{where}"
