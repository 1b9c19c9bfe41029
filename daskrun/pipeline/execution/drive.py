"""The threads of this process that drive a pipeline's run."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from daskrun.core.events import RunEnded
from daskrun.core.logs import get_logger
from daskrun.core.report import ErrorGroup, Report, RunStatus
from daskrun.engine.request import INLINE
from daskrun.errors import DaskrunError, DatasetError
from daskrun.pipeline.execution.advice import advice, can_retry
from daskrun.pipeline.execution.reuse import decide, explain, note_completed, reused_report
from daskrun.pipeline.execution.shuffling import shuffled
from daskrun.pipeline.execution.state import LiveState, ProgressKeeper
from daskrun.pipeline.records import changes, processed, step_spec
from daskrun.pipeline.records.cancel import CancelWatch
from daskrun.pipeline.records.run_output import register
from daskrun.workspace.models.model import models_told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daskrun.core.minibatch import Plan
    from daskrun.engine.driver import RunControl
    from daskrun.engine.observers import MakesObserver
    from daskrun.engine.request import StepRequest
    from daskrun.pipeline.records.step_spec import StepSpec
    from daskrun.storage.lock_handle import LockHandle
    from daskrun.workspace.run_folders.run_folder import RunFolder
    from daskrun.workspace.workspace import Workspace

logger = get_logger("daskrun")
POLL = 0.2
"""Seconds between two looks at whether a wait for a turn was canceled."""
_inline = threading.Lock()
"""Held by the step that runs in this process itself: there is one ``sys.argv`` and one working
directory."""


@dataclass(frozen=True)
class StepToRun:
    """A step run that waits for its turn."""

    folder: RunFolder
    spec: StepSpec
    target: object
    """As :attr:`StepRequest.target`."""
    plan: Plan | None
    """None: it is made when its turn comes, since its inputs are others' outputs."""
    resumed: bool = False
    """Whether an earlier driver has had it."""
    retry_failed: bool = False
    observers: tuple[MakesObserver, ...] = ()
    """The user's."""

    @property
    def name(self) -> str:
        """The step's name."""
        return self.spec.step

    @property
    def begun(self) -> bool:
        """Whether anything of it may be done already."""
        return changes.begun_with(self.folder.path) is not None

    def request(self, workspace: Workspace) -> StepRequest:
        """Return the request for the driver, now that the steps before are done."""
        made = self.spec
        if made.after and not self.begun:
            # The steps before it may have registered some.
            made = replace(made, context={**made.context, **models_told(workspace)})
            made.keep(self.folder, workspace)
        try:
            plan = self.plan or processed.as_begun(made.plan(), self.folder)
        except DatasetError as error:
            if not made.waits:
                raise
            raise DatasetError(
                f"what an earlier step was to write can't be used as an input: {error}"
            ) from error
        if self.begun and self.plan is None:
            changes.check_unchanged(self.folder, plan, made.side_input_changes(self.folder))
        request = made.request(
            self.folder, plan, self.target, resumed=self.resumed, retry_failed=self.retry_failed
        )
        whole = self.folder.sibling(self.folder.manifest().pipeline_run)
        return replace(
            request,
            observers=self.observers,
            nothing_new=processed.nothing_new(self.folder),
            kept_at=self.folder.url,
            kept_options=dict(workspace.site.options),
            intervals=workspace.site.intervals,
            before_commit=partial(_push_metrics, self.folder, whole),
            context=replace(request.context, workspace_options=workspace.site.options),
        )


class PipelineDriver:
    """Runs each step, in a thread of its own, as soon as those before it are done.

    ``held`` is the lock of the pipeline's run. Steps that an earlier driver has completed are not
    among ``steps``.
    """

    def __init__(
        self, folder: RunFolder, held: LockHandle, workspace: Workspace, steps: Sequence[StepToRun]
    ) -> None:
        self.state = LiveState(folder, self.cancel)
        self.states = {step.folder.id: LiveState(step.folder, self.cancel) for step in steps}
        """How the runs of the steps stand, by id; canceling one cancels the pipeline's run."""
        manifest = folder.manifest()
        self._held = held
        self._workspace = workspace
        self._steps_in_all = len(manifest.steps)
        self._step_folders = [folder.sibling(name) for name in manifest.steps]
        self._go_on = manifest.continue_on_step_failure
        self._waiting = list(steps)
        self._running: set[str] = set()
        self._ended: queue.SimpleQueue[StepToRun] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._controls: dict[str, RunControl] = {}
        self._canceled: str | None = None

    def start(self, *, heeds_before: bool = False) -> None:
        """Start the thread and return at once.

        ``heeds_before`` where a driver before was asked to cancel and this one is in its place.
        """
        status = self.state.folder.last_state().status
        if status is not RunStatus.NOT_STARTED and not heeds_before:
            # It was asked of a driver that is gone, not of this one.
            self.state.folder.forget_cancel()
        self.state.enter(RunStatus.RUNNING)
        _thread(self._run, self.state.folder.id).start()

    def cancel(self, reason: str) -> None:
        """End the steps that run and start no other."""
        with self._lock:
            self._canceled = self._canceled or reason
            for control in self._controls.values():
                control.cancel(self._canceled)  # what ended the first step is no reason by itself

    def _run(self) -> None:
        try:
            # The lock goes last: who sees it free must see the end too.
            with self._held:
                try:
                    look = self._workspace.site.intervals.cancel_look
                    with CancelWatch(self.state.folder, self.cancel, look):
                        status, message = self._run_steps()
                except Exception as error:
                    logger.exception("run %s: its driver failed", self.state.folder.id)
                    status, message = RunStatus.FAILED, _told(error)
                self._end_all(status, message)
        finally:
            self.state.closed.set()

    def _run_steps(self) -> tuple[RunStatus, str]:
        """Run the steps; give how the run ended and what there is to say."""
        failed: list[StepToRun] = []
        while self._start_ready() or self._running:
            step = self._ended.get()
            self._running.discard(step.folder.id)
            state = self.states[step.folder.id]
            if state.status is RunStatus.COMPLETED:
                continue
            failed.append(step)
            if self._go_on and self._canceled is None:
                self._leave_out(step)
            else:
                self._waiting.clear()
                self.cancel(f"step {step.name!r} ended as {state.status.value}")
        return self._conclusion(failed)

    def _start_ready(self) -> bool:
        """Start the steps that wait for none of these; tell whether there was one."""
        if self._canceled is not None:
            self._waiting.clear()
        open_ids = self._running | {step.folder.id for step in self._waiting}
        ready = [each for each in self._waiting if not open_ids.intersection(each.spec.after)]
        for step in ready:
            self._waiting.remove(step)
            self._running.add(step.folder.id)
            _thread(self._run_and_tell, step.folder.id, step).start()
        return bool(ready)

    def _leave_out(self, failed: StepToRun) -> None:
        """Start none of the steps that wait for one that failed, or for one of those."""
        gone = {failed.folder.id}
        for step in list(self._waiting):  # each is behind those it waits for
            if gone.intersection(step.spec.after):
                gone.add(step.folder.id)
                self._waiting.remove(step)
                reason = f"not started: it needs step {failed.name!r}, which failed"
                self.states[step.folder.id].enter(RunStatus.CANCELED, reason)

    def _conclusion(self, failed: Sequence[StepToRun]) -> tuple[RunStatus, str]:
        states = [(step.name, self.states[step.folder.id]) for step in failed]
        bad = [each for each in states if each[1].status is RunStatus.FAILED] or states
        if bad:
            messages = [f"step {name!r}: {state.message}" for name, state in bad]
            return bad[0][1].status, " ".join(messages)
        done = all(each.status is RunStatus.COMPLETED for each in self.states.values())
        if self._canceled is not None and not done:
            return RunStatus.CANCELED, self._canceled
        for each in self._step_folders:
            _forget(each)  # a killed driver's too
        if self._steps_in_all == 1 and self.states:
            return RunStatus.COMPLETED, next(iter(self.states.values())).message
        used = sum(explain(each).run_id is not None for each in self._step_folders)
        more = f" {used} used the output of an earlier run." if used else ""
        return RunStatus.COMPLETED, f"all {self._steps_in_all} steps are done.{more}"

    def _run_and_tell(self, step: StepToRun) -> None:
        state = self.states[step.folder.id]
        try:
            with step.folder.drive():
                step.folder.forget_report()
                state.enter(RunStatus.RUNNING)
                report = self._run_step(step)
                state.end(report)
            if report.status is RunStatus.COMPLETED:
                _forget(step.folder)
        except BaseException as error:  # who waits for the run is told, whatever ends its thread
            logger.exception("run %s: its driver failed", step.folder.id)
            if not state.status.ended:
                state.end(_failed(error))
        finally:
            self._ended.put(step)

    def _run_step(self, step: StepToRun) -> Report:
        try:
            # Here, in the thread: submit returns before the engine is imported.
            from daskrun.engine.driver import RunControl

            control = RunControl()
            with self._lock:
                self._controls[step.folder.id] = control
                if self._canceled is not None:
                    control.cancel(self._canceled)
            request = step.request(self._workspace)
            if not step.begun:
                found = decide(self._workspace, step.folder, step.spec, request)
                if found.run_id is not None:
                    return self._reuse(step, found.run_id)
                if step.spec.settings.partition_by is not None:
                    spec = shuffled(step.spec, step.folder, step.target, self._workspace)
                    step = replace(step, spec=spec, plan=None)
                    request = step.request(self._workspace)
            return self._execute(step, request, control)
        except Exception as error:
            if not isinstance(error, DaskrunError):
                logger.exception("run %s: its driver failed", step.folder.id)
            report = _failed(error)
            if not step.begun:
                with suppress(OSError):  # the run's end is told all the same
                    _log_end(step.folder, report)
            return report
        finally:
            with self._lock:
                self._controls.pop(step.folder.id, None)

    def _reuse(self, step: StepToRun, run_id: str) -> Report:
        """Return what an earlier run has made as what this one has."""
        report = reused_report(self._workspace, run_id)
        step.spec.leave_output(step.folder.id)
        register(self._workspace, step.folder, step.spec.registrations)
        _log_end(step.folder, report)
        return report

    def _execute(self, step: StepToRun, request: StepRequest, control: RunControl) -> Report:
        from daskrun.engine.driver import execute
        from daskrun.engine.journal_records import read_attempts
        from daskrun.monitor.dask_pages import RunPages
        from daskrun.monitor.event_log import EVENTS, EventLog
        from daskrun.monitor.logs import LogWriter
        from daskrun.monitor.mlflow_log import MlflowLog, is_wanted
        from daskrun.monitor.report import REPORT, ReportFile
        from daskrun.monitor.snapshot import STATISTICS

        folder = step.folder
        changes.keep_listings(request.run_folder, request.plan)
        changes.keep_side_inputs(request.run_folder, step.spec.side_inputs, request.side_inputs)
        folder.push()  # before anything is committed: who goes on holds its data against these
        logs = LogWriter(
            folder.logs, request.plan, request.settings.run_max_try, partial(advice, folder)
        )
        pages = RunPages(folder.id, folder.logs / STATISTICS)
        request = replace(request, pages=pages)
        journal = folder.path / "journal"
        report_file = ReportFile(folder.logs, request.plan)
        if request.resumed and journal.exists():
            logs.go_on(lambda: (each[1:3] for each in read_attempts(journal)))
            report_file.counted.go_on(each.outcome for each in read_attempts(journal))
        observers = [
            ProgressKeeper(self.states[folder.id]),
            EventLog(folder.logs / EVENTS),
            logs,
            report_file,
            *([MlflowLog(folder.logs, folder.logs / REPORT)] if is_wanted() else []),
        ]
        with self._turn(control) if request.target == INLINE else nullcontext():
            report = execute(request, observers, control)
        if report.status is RunStatus.COMPLETED:
            if report.failed or request.resumed:
                processed.note_failed(folder, request.plan)
            register(self._workspace, folder, step.spec.registrations)
            note_completed(self._workspace, folder, step.spec.settings)
        return report

    @contextmanager
    def _turn(self, control: RunControl) -> Iterator[None]:
        """Wait until no other step runs in this process itself, or a cancel ends them all."""
        held = False
        while not held and self._canceled is None:
            held = _inline.acquire(timeout=POLL)
        if not held:
            control.cancel(self._canceled or "")  # it is on its way; nothing may start meanwhile
        try:
            yield
        finally:
            if held:
                _inline.release()

    def _end_all(self, status: RunStatus, message: str) -> None:
        """Note an end of everything without one, of the steps before that of their pipeline."""
        for state in self.states.values():
            if not state.status.ended:
                state.enter(RunStatus.CANCELED, f"not started: {message}")
        if not self.state.status.ended:
            self.state.enter(status, message)
        # Users keep runs, runs reach their driver, and a request holds the names of all files.
        self._waiting.clear()


def _told(error: BaseException) -> str:
    """Return what a run failed with that its engine didn't tell, such as a store's words."""
    own = isinstance(error, DaskrunError)
    return str(error) if own else f"daskrun itself failed: {type(error).__name__}: {error}"


def _thread(target: object, run_id: str, *arguments: object) -> threading.Thread:
    # Not a daemon: the process must not end under a run.
    name = f"daskrun-{run_id}"
    return threading.Thread(target=target, name=name, args=arguments, daemon=False)  # type: ignore[arg-type]


def _push_metrics(*folders: RunFolder) -> None:
    """Put what scripts have logged where it is kept; nodes elsewhere do it themselves."""
    for folder in folders:
        folder.push_metrics()


def _forget(folder: RunFolder) -> None:
    """Remove what only a resume needs, secrets among it, where it is noted that none will come."""
    try:
        if folder.last_state().status is RunStatus.COMPLETED and not can_retry(folder):
            step_spec.forget(folder)
    except (DaskrunError, OSError) as error:  # it is Completed all the same
        logger.warning(
            "run %s: what only a resume needs could not be removed: %s", folder.id, error
        )


def _log_end(folder: RunFolder, report: Report) -> None:
    """Write the logs of a step that nothing was run of."""
    from daskrun.monitor.logs import LogWriter

    logs = LogWriter(folder.logs, advice=partial(advice, folder))
    logs.notify(RunEnded(report, time.monotonic()))
    logs.close()


def _failed(error: BaseException) -> Report:
    """Return what kept a step from running as the end of its run."""
    message = f"{type(error).__name__}: {error}"
    known = isinstance(error, DaskrunError)
    text = message if known else "".join(traceback.format_exception(error))
    group = ErrorGroup(message, "", 1, -1, 1, "", text)
    return Report(RunStatus.FAILED, _told(error), errors=(group,))
