"""``SubmittedRun``: what runs of pipelines and of steps have in common."""

from __future__ import annotations

import time
from abc import abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from daskrun.core.absent_names import original_keywords
from daskrun.core.report import RunStatus
from daskrun.core.typing import override
from daskrun.errors import (
    DaskrunError,
    RunCanceledError,
    RunFailedError,
    SettingsError,
    WaitTimeoutError,
)
from daskrun.monitor.console import NotebookDisplay, make_display
from daskrun.pipeline.execution import lifetime
from daskrun.pipeline.execution.advice import advice, exit_code, ways
from daskrun.pipeline.execution.state import LiveState
from daskrun.pipeline.records import run_details
from daskrun.pipeline.runs import views
from daskrun.pipeline.runs.awaited import AwaitedRun
from daskrun.pipeline.runs.metrics import FolderRun
from daskrun.shown.printable import continued, safe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from daskrun.core.report import Report
    from daskrun.engine.observers import MakesObserver
    from daskrun.monitor.console import Display
    from daskrun.pipeline.execution.state import RunState
    from daskrun.pipeline.runs.experiment import Experiment
    from daskrun.pipeline.runs.run import StepRun
    from daskrun.workspace.compute.targets import ComputeTarget
    from daskrun.workspace.run_folders.run_folder import RunFolder
    from daskrun.workspace.workspace import Workspace


class SubmittedRun(AwaitedRun, FolderRun, lifetime.WatchedRun):
    """What runs of pipelines and of steps have in common.

    Who calls one of its classes finds a run that is there; ``_made`` of each makes the objects.
    """

    # There is no __init__: Python would call it again of each run that is found.
    def _set_up(self, workspace: Workspace, state: RunState) -> None:
        self.workspace = workspace
        self.id = state.folder.id
        self._state = state
        self._told = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, status={self.status.value!r})"

    @property
    @override
    def status(self) -> RunStatus:
        return self._state.status

    @property
    @override
    def experiment(self) -> Experiment:
        from daskrun.pipeline.runs.experiment import Experiment  # the two know each other

        return Experiment(self.workspace, self._state.folder.manifest().experiment)

    @property
    @override
    def message(self) -> str:
        return continued(safe(self._state.message))

    @property
    def exit_code(self) -> int | None:
        """What a program exits with for it, a :class:`daskrun.ExitCode`; None before its end."""
        failed = (each._kept for each in self._steps() if each.status is RunStatus.FAILED)
        return exit_code(self._kept.manifest().kind, self.status, failed)

    @property
    def sentence(self) -> str:
        """The same as :attr:`message`, which had this name."""
        return self.message

    @property
    def _outdated(self) -> bool:
        """Whether another process has gone on with it since it ended here."""
        now = self._state.folder.last_state().status
        return self.status.ended and now is not self.status

    @property
    @override
    def folder(self) -> Path:
        self._state.folder.fetch()
        return self._state.folder.path

    @property
    @override
    def _kept(self) -> RunFolder:
        return self._state.folder

    def place_of(self, name: str = "") -> str:
        """Return the path or URL of a file or folder among what is kept of it."""
        return self._state.folder.shown(name)

    @property
    @override
    def _resume_hint(self) -> str:
        return advice(self._state.folder, self._ending)

    @property
    def _ending(self) -> Report | None:
        """How it ended, as a step's run; None before, and of a pipeline's."""
        state = self._state
        return state.report if isinstance(state, LiveState) else state.folder.report()

    @property
    @override
    def _failure(self) -> str | None:
        told = any(run._told for run in (self, *self._steps()))
        return None if told or self.status is not RunStatus.FAILED else self._reason()

    def get_status(self) -> str:
        """Return which state it is in, such as ``Running``, ``Completed``, ``Failed``."""
        status = self.status
        self._told = self._told or status.ended
        return status.value

    @override
    def _ended_within(self, seconds: float) -> bool:
        return self._state.wait(seconds)

    @override
    def _closed_within(self, seconds: float) -> bool:
        return self._state.wait_until_closed(seconds)

    @override
    def cancel(self, reason: str = "cancel() was called") -> None:
        self._state.cancel(reason)

    @property
    @override
    def _ids(self) -> set[str]:
        return {self.id, *(step.id for step in self._steps())}

    @override
    def _kill(self) -> None:
        from daskrun.script.node import kill_nodes  # loaded already, where there is one

        kill_nodes(self._ids)

    @override
    def _give_up(self, reason: str) -> None:
        for run in (*self._steps(), self):
            if isinstance(run._state, LiveState):
                run._state.give_up(reason)

    def resume(
        self,
        retry_failed: bool = False,
        compute_target: ComputeTarget | str | None = None,
        *,
        observers: Sequence[MakesObserver] | None = None,
        **settings: Any,
    ) -> Self:
        """Go on with a run that failed, was canceled or lost its process; returns at once.

        With ``retry_failed`` also with one that is Completed: what has failed runs again, and gets
        into the same output, in its place.

        Steps that are done stay, the one that ended early goes on after what is committed, later
        ones are started. The code is the snapshot of the run's submit: to run a script that was
        changed since, submit again. The inputs must be what they were. Nothing is changed where
        this raises.

        Parameters
        ----------
        retry_failed
            Whether mini-batches that had used up their tries get new ones, and those with items
            that ``run()`` returned :class:`daskrun.Failed` for; where these fail again, what they
            had stays. An output that is there is replaced whole, when all is done.
        compute_target
            Where to run from now on; None: where the run was. A cluster that was given as an object
            is known to the process alone that attached it.
        observers
            As of :meth:`Experiment.submit`.
        settings
            Settings of the steps that are not done: counts, time limits, thresholds and others that
            no result depends on; refused are those that shape results.

        Returns
        -------
        SubmittedRun
            The same object, Running again.

        Raises
        ------
        ResumeError
            The run is Completed and nothing of it has failed, or another step has used what it
            wrote; it is being driven; its data has changed: what is named.
        SettingsError
            With every problem of the arguments.

        Examples
        --------
        >>> run = Experiment(ws, "digits").get_run(run_id)  # doctest: +SKIP
        >>> run.resume(retry_failed=True).wait_for_completion()  # doctest: +SKIP
        'Completed'
        """
        self._resume(retry_failed, compute_target, observers, settings)
        return self

    @original_keywords
    def wait_for_completion(
        self,
        show_output: bool = False,
        timeout_seconds: float | None = None,
        raise_on_error: bool = True,
    ) -> str:
        """Wait for the run's end and give its status.

        Ctrl-C (and SIGTERM, SIGHUP) during the wait cancel the run.

        Parameters
        ----------
        show_output
            Show how far it is: a bar in a terminal, a line in a notebook, some lines in a log file;
            and at its end which steps used the output of an earlier run, and of which.
        timeout_seconds
            How long to wait at most; None: as long as it takes.
        raise_on_error
            Whether a run that fails or is canceled raises.

        Raises
        ------
        RunFailedError
            With the first error of the user's code, its file and line, and where the rest is.
        RunCanceledError
            Somebody canceled it.
        WaitTimeoutError
            ``timeout_seconds`` are over. The run goes on.
        """
        if timeout_seconds is not None and not timeout_seconds >= 0:
            problem = f"timeout_seconds={timeout_seconds!r} is not a time. Write 60, or None."
            raise SettingsError("wait_for_completion", [problem])
        with lifetime.signals_as_interrupts():
            try:
                self._watch(show_output, timeout_seconds, raise_on_error)
            except KeyboardInterrupt as interrupt:
                self._interrupted(interrupt)
                raise
        return self._end_told(raise_on_error)

    @override
    def _end_told(self, raise_on_error: bool) -> str:
        self._told = True
        return self._conclude(raise_on_error)

    def report(self) -> list[Path]:
        """Write how it stands, or went, as pages: where the time went, errors, what to change.

        Returns
        -------
        list of pathlib.Path
            ``logs/report.html`` of each step that has begun. It is also written when a step ends.
        """
        return views.write_reports(self._steps())

    def _repr_html_(self) -> str | None:
        try:
            return views.html_of(self, self._steps())
        except (DaskrunError, OSError):
            return None  # then a notebook shows the text

    def get_details(self) -> dict[str, Any]:
        """Return what is known of the run, as plain values under the original's keys.

        Returns
        -------
        dict
            ``runId``, ``target``, ``status``; ``startTimeUtc`` and ``endTimeUtc``, None before;
            ``properties``, ``inputDatasets``; ``outputDatasets``, once it is Completed;
            ``logFiles``, where each log file is, by its path; ``warnings``; ``error``, where it
            failed. Under ``daskrun`` what only daskrun has: ``message``, ``manifest`` (what was
            asked), ``states``, ``report``, ``logs``.
        """
        details = run_details.details_of(self._kept, self.status, self.message)
        details["logFiles"] = {
            path: shown for folder in self._folders for path, shown in run_details.logs(folder)
        }
        return details

    def get_details_with_logs(self) -> dict[str, Any]:
        """Return :meth:`get_details`, and text of each log file by its path in the run's folder.

        Of a run of a pipeline that are the logs of its steps. Of a file of more than 1 MB the last
        megabyte is given.
        """
        texts = {path: text for each in self._folders for path, text in run_details.log_texts(each)}
        return {**self.get_details(), "logFiles": texts}

    @property
    def _folders(self) -> list[RunFolder]:
        """Its folder and those of its steps."""
        return [run._kept for run in {run.id: run for run in (self, *self._steps())}.values()]

    @abstractmethod
    def _resume(
        self,
        retry_failed: bool,
        compute_target: ComputeTarget | str | None,
        observers: Sequence[MakesObserver] | None,
        settings: Mapping[str, object],
    ) -> None:
        """Drive the pipeline's run on."""

    @abstractmethod
    def _steps(self) -> Sequence[StepRun]:
        """Return what progress is shown of."""

    @abstractmethod
    def _apart(self) -> tuple[str, str]:
        """Return the first error's traceback, and :meth:`_reason` without that error."""

    @abstractmethod
    def _reason(self) -> str:
        """Return why it ended as it did, where the rest is, and the first error's traceback."""

    def _watch(self, show_output: bool, timeout: float | None, raises: bool) -> None:
        display = make_display() if show_output else None
        try:
            self._wait(display, timeout, raises)
        finally:
            if display is not None:
                display.close()

    def _wait(self, display: Display | None, timeout: float | None, raises: bool) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        if display is not None:
            for step in self._steps():
                display.say(f"run {step.id}, logs in {step.place_of('logs')}")
        snapshots = views.Snapshots()
        while True:
            left = lifetime.POLL if deadline is None else deadline - time.monotonic()
            ended = self._ended_within(max(0.0, min(lifetime.POLL, left)))
            if display is not None:
                self._show(display, views.Snapshots() if ended else snapshots)
            if ended:
                break
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeoutError(
                    f"run {self.id} is still {self.status.value} after timeout_seconds="
                    f"{timeout:g}. It goes on: wait again, or call cancel()."
                )
        if display is not None:
            display.close()
            for step in self._steps():
                if step.reused_run_id is not None and step.message != self.message:
                    display.say(f"{step.name} {step.message}")
            if raises and self.status is RunStatus.FAILED and isinstance(display, NotebookDisplay):
                return  # what is raised tells all of it, below in the same cell
            display.say(f"run {self.id} {self.status.value}: {self.message}")
            with suppress(DaskrunError, OSError):  # its folder is gone, or its store
                hint = self._resume_hint if self.status is not RunStatus.COMPLETED else ""
                for line in views.summary_lines(self._steps(), hint):
                    display.say(f"  {line}")

    def _show(self, display: Display, snapshots: views.Snapshots) -> None:
        for step in self._steps():
            progress = step._state.progress
            if progress is None and isinstance(step._state, LiveState):
                continue  # what is kept is an earlier driver's
            snapshot = snapshots.of(step)
            progress = progress or getattr(snapshot, "progress", None)
            if progress is not None:
                display.show(step.name, progress, snapshot)

    def _interrupted(self, interrupt: KeyboardInterrupt) -> None:
        """Cancel the run and wait for its end; another Ctrl-C ends that wait and the processes."""
        if isinstance(self._state, LiveState):
            limit = self.workspace.site.intervals.cancel_limit
            lifetime.cancel_and_wait([self], interrupt, limit)
            self._told = True
        else:
            ends = ways(self._kept.manifest().pipeline_run).cancel
            lifetime.say(f"run {self.id} goes on in another process; {ends} ends it")
        lifetime.leave_if_terminated(interrupt)

    def _conclude(self, raise_on_error: bool) -> str:
        status = self.status
        if raise_on_error and status is RunStatus.CANCELED:
            raise RunCanceledError(self.id, self._reason())
        if raise_on_error and status is RunStatus.FAILED:
            raise RunFailedError(self.id, self._reason(), *self._apart())
        return status.value
