"""What to do about a run that has ended early, or in which something has failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from daskrun.core.report import ExitCode, Obstacle, RunStatus
from daskrun.monitor.failed_items import TOLD

if TYPE_CHECKING:
    from collections.abc import Iterable

    from daskrun.core.report import Report
    from daskrun.workspace.run_folders.run_folder import RunFolder


class Ways(NamedTuple):
    """How a user says what to do; ``{run}`` and ``{experiment}`` are put in."""

    resume: str
    go_on: str
    """The same, and how it is done in another process."""
    retry: str
    threshold: str
    submit: str
    elsewhere: str
    """How another process has the run, ``""`` where that need not be said."""
    cancel: str


PYTHON = Ways(
    "run.resume()",
    "run.resume(), in another process with "
    "Experiment(ws, {experiment!r}).get_run({run!r}).resume()",
    "run.resume(retry_failed=True)",
    "run.resume(error_threshold=...)",
    "submit again",
    " (in another process Experiment(ws, {experiment!r}).get_run({run!r}) gives the run)",
    "cancel()",
)
COMMANDS = Ways(
    "daskrun resume {run}",
    "daskrun resume {run}",
    "daskrun resume {run} --retry-failed",
    "daskrun resume {run} --set error_threshold=...",
    "run the job again",
    "",
    "daskrun cancel {run}",
)
LOGGED = "logged"
"""Kind of a run that only its program drives."""
_told = PYTHON


def speak_commands() -> None:
    """Have this process, which is a command's, say what to do in commands from now on."""
    global _told
    _told = COMMANDS


def ways(run_id: str, experiment: str = "") -> Ways:
    """Return how the user of this process says what to do about a pipeline's run."""
    return Ways(*(each.format(run=run_id, experiment=experiment) for each in _told))


def exit_code(kind: str, status: RunStatus, failed: Iterable[RunFolder]) -> ExitCode | None:
    """Return what a program exits with for a run of a kind; None before its end.

    ``failed`` are the steps' that have failed.
    """
    if status is not RunStatus.FAILED:
        ends = {RunStatus.COMPLETED: ExitCode.DONE, RunStatus.CANCELED: ExitCode.CANCELED}
        return ends.get(status)
    if kind == LOGGED:
        return ExitCode.FAILED
    for folder in failed:
        report = folder.report()
        if report is None:  # its driver was killed
            continue
        if report.obstacle is Obstacle.FAILURES:
            return ExitCode.THRESHOLD
        program = folder.manifest().values.get("type") == "PythonScriptStep"
        if report.obstacle is not Obstacle.NONE or (program and report.failed):
            return ExitCode.FAILED
    return ExitCode.RESUMABLE


def can_retry(folder: RunFolder, report: Report | None = None) -> bool:
    """Return whether new tries may help a step's run: its own mini-batches or items have failed.

    Items that ``run()`` has returned nothing for are not tried again.
    """
    report = report or folder.report()
    if report is None or not report.items_failed or (folder.reuse() or {}).get("run_id"):
        return False
    folder.fetch(f"logs/{TOLD}")
    return report.failed > 0 or (folder.logs / TOLD).exists()


def advice(folder: RunFolder, report: Report | None = None) -> str:
    """Return what helps a run, a pipeline's or a step's, that has ended; never what can't.

    ``report`` is the step's, as far as it has one; else its folder is asked.
    """
    report = report or folder.report()
    manifest = folder.manifest()
    if manifest.kind == LOGGED:
        return ""
    told = ways(manifest.pipeline_run, manifest.experiment)
    go_on = (
        f"Go on from what is done, with the code as it was at submit, with {told.go_on}. For code "
        f"that was changed since, {told.submit}."
    )
    if report is None:
        return go_on
    if report.status is RunStatus.COMPLETED:
        if not can_retry(folder, report):
            return ""
        how = f"{told.retry}{told.elsewhere}"
        return f"What has failed is tried again, into the same output, by {how}."
    if report.obstacle is Obstacle.INIT:
        return (
            "The code is kept as it was at submit, and its init() would fail again: mend it and "
            f"{told.submit}. Only where what it lacked was outside of it does {told.resume} go on "
            f"from what is done{told.elsewhere}."
        )
    if report.obstacle is Obstacle.COLUMNS:
        return (
            f"{told.resume} alone would end at once: what helps is said above; for code that was "
            f"changed since, {told.submit}{told.elsewhere}."
        )
    if report.obstacle in (Obstacle.FAILURES, Obstacle.NO_SUCCESS):
        return _about_failures(report, told)
    return go_on


def _about_failures(report: Report, told: Ways) -> str:
    """Return what helps where what has failed is too much already."""
    found = []
    if report.failed:
        found.append(f"{told.retry} tries again what has failed, with the code as it was at submit")
    if report.obstacle is Obstacle.FAILURES:
        found.append(
            f"{told.threshold}, or another threshold that is named above, raised, goes on "
            "without it"
        )
    text = "; ".join([*found, f"for code that was changed since, {told.submit}"])
    return f"{told.resume} alone would end at once. {text}{told.elsewhere}."
