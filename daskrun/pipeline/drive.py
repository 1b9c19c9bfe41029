"""The thread of this process that drives a pipeline's run."""

from __future__ import annotations

import logging
import threading
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daskrun.core.report import ErrorGroup, Report, RunStatus
from daskrun.pipeline import changes, recipe
from daskrun.pipeline.cancel import CancelWatch
from daskrun.pipeline.state import LiveState, ProgressKeeper, way_on
from daskrun.workspace.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.core.observer import Observer
    from daskrun.engine.driver import RunControl
    from daskrun.engine.request import StepRequest
    from daskrun.storage.lock import RunLock

logger = logging.getLogger("daskrun")


@dataclass(frozen=True)
class StepToRun:
    """A step run that waits for its turn."""

    request: StepRequest
    state: LiveState


class PipelineDriver:
    """Runs steps one after another in a thread of its own, until one of them doesn't complete.

    Parameters
    ----------
    folder
        The pipeline run's.
    held
        Its lock.
    steps
        How many steps the pipeline has; those that an earlier driver has done are not added.
    """

    def __init__(self, folder: RunFolder, held: RunLock, steps: int) -> None:
        self.state = LiveState(folder, self.cancel)
        self._held = held
        self._steps_in_all = steps
        self._lock = threading.Lock()
        self._control: RunControl | None = None
        self._canceled: str | None = None
        self._steps: list[StepToRun] = []

    def add(self, request: StepRequest, folder: RunFolder) -> LiveState:
        """Take in a step; canceling it cancels the pipeline's run."""
        state = LiveState(folder, self.cancel)
        self._steps.append(StepToRun(request, state))
        return state

    @property
    def states(self) -> dict[str, LiveState]:
        """How the runs of the steps that were added stand, by id."""
        return {step.state.folder.id: step.state for step in self._steps}

    def start(self) -> None:
        """Start the thread and return at once."""
        if self.state.folder.last_state()["status"] != RunStatus.NOT_STARTED.value:
            # It was asked of a driver that is gone, not of this one.
            self.state.folder.forget_cancel()
        self.state.enter(RunStatus.RUNNING)
        # Not a daemon: the process must not end under a run.
        name = f"daskrun-{self.state.folder.id}"
        threading.Thread(target=self._run, name=name, daemon=False).start()

    def cancel(self, reason: str) -> None:
        """End the step that runs and start no other."""
        with self._lock:
            self._canceled = self._canceled or reason
            if self._control is not None:
                self._control.cancel(reason)

    def _run(self) -> None:
        # The lock goes last: who sees it free must see the end too.
        with self._held:
            try:
                with CancelWatch(self.state.folder, self.cancel):
                    status, sentence = self._run_steps()
            except Exception as error:
                logger.exception("run %s: its driver failed", self.state.folder.id)
                status = RunStatus.FAILED
                sentence = f"daskrun itself failed: {type(error).__name__}: {error}"
            self._end_all(status, sentence)

    def _run_steps(self) -> tuple[RunStatus, str]:
        """Run the steps; give how the run ended and what there is to say."""
        for step in self._steps:
            if self._canceled is not None:
                return RunStatus.CANCELED, self._canceled
            folder = step.state.folder
            with folder.drive():
                folder.forget_report()
                step.state.enter(RunStatus.RUNNING)
                report = self._run_step(step)
                step.state.end(report)
            if report.status is not RunStatus.COMPLETED:
                return report.status, f"step {step.request.step_name!r}: {report.sentence}"
            _forget(folder)
        for name in self.state.folder.story()["steps"]:
            _forget(RunFolder(self.state.folder.path.parent / name))  # a killed driver's too
        if self._steps_in_all == 1 and self._steps:
            return RunStatus.COMPLETED, self._steps[0].state.sentence
        return RunStatus.COMPLETED, f"all {self._steps_in_all} steps are done."

    def _run_step(self, step: StepToRun) -> Report:
        try:
            # Here, in the thread: submit returns before the engine is imported.
            from daskrun.engine.commit import told_again
            from daskrun.engine.driver import RunControl, execute
            from daskrun.monitor.logs import LogWriter

            control = RunControl()
            with self._lock:
                self._control = control
                if self._canceled is not None:
                    control.cancel(self._canceled)
            request = step.request
            changes.keep_listings(request.run_folder, request.plan)
            folder, tries = step.state.folder, request.settings.run_max_try
            logs = LogWriter(folder.logs, request.plan, tries, way_on(folder))
            journal = folder.path / "journal"
            if request.resumed and journal.exists():
                past = ((outcome, process) for _, outcome, process, _ in told_again(journal))
                logs.go_on(past, request.retry_failed)
            observers: Sequence[Observer] = [ProgressKeeper(step.state), logs]
            return execute(step.request, observers, control)
        except Exception as error:
            logger.exception("run %s: its driver failed", step.request.run_id)
            return _failed(error)
        finally:
            with self._lock:
                self._control = None

    def _end_all(self, status: RunStatus, sentence: str) -> None:
        """Give an end to everything without one, to the steps before the whole of them."""
        for step in self._steps:
            if not step.state.status.ended:
                reason = f"not started: {sentence}"
                step.state.enter(RunStatus.CANCELED, reason)
        if not self.state.status.ended:
            self.state.enter(status, sentence)
        # Users keep runs, runs reach their driver, and a request holds the names of all files.
        self._steps.clear()


def _forget(folder: RunFolder) -> None:
    """Remove what only a resume needs, secrets among it, where it is noted that none will come."""
    if folder.last_state()["status"] == RunStatus.COMPLETED.value:
        recipe.forget(folder)
        changes.forget(folder)


def _failed(error: Exception) -> Report:
    """Tell a failure of daskrun itself as a run's end."""
    message = f"{type(error).__name__}: {error}"
    group = ErrorGroup(message, "", 1, -1, 1, "", "".join(traceback.format_exception(error)))
    return Report(
        status=RunStatus.FAILED,
        sentence=f"daskrun itself failed: {message}",
        total=None,
        succeeded=0,
        failed=0,
        unfinished=0,
        items=0,
        items_succeeded=0,
        items_failed=0,
        attempts=0,
        retried=0,
        errors=(group,),
        warnings=(),
        seconds=0.0,
    )
