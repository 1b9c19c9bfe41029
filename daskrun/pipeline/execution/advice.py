"""What to do about a run that has ended early, or in which something has failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daskrun.core.report import Obstacle, RunStatus
from daskrun.monitor.failed_items import TOLD

if TYPE_CHECKING:
    from daskrun.core.report import Report
    from daskrun.workspace.run_folders.run_folder import RunFolder

RETRY = "run.resume(retry_failed=True)"


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
    elsewhere = (
        f"(in another process Experiment(ws, {manifest.experiment!r})"
        f".get_run({manifest.pipeline_run!r}) gives the run)"
    )
    if report is None:
        return _go_on(manifest.experiment, manifest.pipeline_run)
    if report.status is RunStatus.COMPLETED:
        if not can_retry(folder, report):
            return ""
        return f"What has failed is tried again, into the same output, by {RETRY} {elsewhere}."
    if report.obstacle is Obstacle.INIT:
        return (
            "The code is kept as it was at submit, and its init() would fail again: mend it and "
            "submit again. Only where what it lacked was outside of it does run.resume() go on "
            f"from what is done {elsewhere}."
        )
    if report.obstacle is Obstacle.COLUMNS:
        return (
            "run.resume() alone would end at once: what helps is said above; for code that was "
            f"changed since, submit again {elsewhere}."
        )
    if report.obstacle in (Obstacle.FAILURES, Obstacle.NO_SUCCESS):
        return _about_failures(report, elsewhere)
    return _go_on(manifest.experiment, manifest.pipeline_run)


def _go_on(experiment: str, run_id: str) -> str:
    return (
        "Go on from what is done, with the code as it was at submit, with run.resume(), in another "
        f"process with Experiment(ws, {experiment!r}).get_run({run_id!r}).resume(). For "
        "code that was changed since, submit again."
    )


def _about_failures(report: Report, elsewhere: str) -> str:
    """Return what helps where what has failed is too much already."""
    found = []
    if report.failed:
        found.append(f"{RETRY} tries again what has failed, with the code as it was at submit")
    if report.obstacle is Obstacle.FAILURES:
        found.append(
            "run.resume(error_threshold=...), or another threshold that is named above, raised, "
            "goes on without it"
        )
    text = "; ".join([*found, "for code that was changed since, submit again"])
    return f"run.resume() alone would end at once. {text} {elsewhere}."
