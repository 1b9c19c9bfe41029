"""``PipelineRun`` and ``StepRun``: runs as their users hold them."""

from __future__ import annotations

import time
import weakref
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from daskrun.core.report import RunStatus
from daskrun.errors import (
    NameNotFoundError,
    RunCanceledError,
    RunFailedError,
    SettingsError,
    WaitTimeoutError,
)
from daskrun.monitor.console import make_display
from daskrun.pipeline import lifetime, resume
from daskrun.pipeline.metrics import FolderRun
from daskrun.pipeline.reuse import explain
from daskrun.pipeline.run_output import find_output, outputs_of
from daskrun.pipeline.state import LiveState, way_on

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from daskrun.monitor.console import Display
    from daskrun.pipeline.data import PortDataReference
    from daskrun.pipeline.reuse import Reuse
    from daskrun.pipeline.state import RunState
    from daskrun.storage.metrics import Record
    from daskrun.workspace.compute import ComputeTarget
    from daskrun.workspace.workspace import Workspace

live_runs: weakref.WeakValueDictionary[str, PipelineRun] = weakref.WeakValueDictionary()
"""The runs of this process that go on or that somebody holds, by id; of others the folder tells."""


class SubmittedRun(FolderRun):
    """What runs of pipelines and of steps have in common.

    Parameters
    ----------
    workspace
        Where it is kept.
    state
        How it stands.
    """

    def __init__(self, workspace: Workspace, state: RunState) -> None:
        self.workspace = workspace
        self.id = state.folder.id
        self._state = state
        self._told = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, status={self.status.value!r})"

    @property
    def status(self) -> RunStatus:
        """Which state it is in, as an enum."""
        return self._state.status

    @property
    @abstractmethod
    def parent(self) -> PipelineRun | None:
        """The pipeline's run that this is a step of; None for that itself."""

    @property
    def sentence(self) -> str:
        """What happened, once it has ended."""
        return self._state.sentence

    @property
    def outdated(self) -> bool:
        """Whether another process has gone on with it since it ended here."""
        now = self._state.folder.last_state()["status"]
        return self.status.ended and now != self.status.value

    @property
    def folder(self) -> Path:
        """Where everything that is known of it is kept."""
        return self._state.folder.path

    @property
    def way_on(self) -> str:
        """How it is resumed, once it has failed or was canceled."""
        return way_on(self._state.folder)

    @property
    def failure(self) -> str | None:
        """Why it failed, if it did and nobody was told by a wait or a status."""
        told = any(run._told for run in (self, *self._steps()))
        return None if told or self.status is not RunStatus.FAILED else self._reason()

    def get_status(self) -> str:
        """Say which state it is in, such as ``Running``, ``Completed``, ``Failed``."""
        status = self.status
        self._told = self._told or status.ended
        return status.value

    def ended_within(self, seconds: float) -> bool:
        """Wait for its end, and tell whether it has come."""
        return self._state.wait(seconds)

    def cancel(self, reason: str = "cancel() was called") -> None:
        """Ask the run to end with status Canceled; what it finished is kept. Doesn't wait."""
        self._state.cancel(reason)

    @property
    def ids(self) -> set[str]:
        """Its own id and those of its steps."""
        return {self.id, *(step.id for step in self._steps())}

    def kill(self) -> None:
        """End the script processes that run in this process's nodes, at once."""
        from daskrun.script.node import kill_nodes  # loaded already, where there is one

        kill_nodes(self.ids)

    def give_up(self, reason: str) -> None:
        """Note the end of a run of this process, which ends now."""
        for run in (*self._steps(), self):
            if isinstance(run._state, LiveState):
                run._state.give_up(reason)

    @abstractmethod
    def resume(
        self,
        retry_failed: bool = False,
        compute_target: ComputeTarget | str | None = None,
        **settings: Any,
    ) -> SubmittedRun:
        """Go on with a run that failed, was canceled or lost its process; returns at once.

        Steps that are done stay, the one that ended early goes on after what is committed, later
        ones are started. The code is the snapshot of the run's submit: to run a script that was
        changed since, submit again. The inputs must be what they were. Nothing is changed where
        this raises.

        Parameters
        ----------
        retry_failed
            Whether mini-batches that had used up their tries get new ones. Once the output is
            there it is too late: its rows stay as they are.
        compute_target
            Where to run from now on; None: where the run was. A cluster that was given as an object
            is known to the process alone that attached it.
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
            The run is Completed, is being driven, or its data has changed: what is named.
        SettingsError
            With every problem of the arguments.
        """

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
            Show how far it is: a bar in a terminal, a line in a notebook, some lines in a log file.
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
                self._watch(show_output, timeout_seconds)
            except KeyboardInterrupt as interrupt:
                self._interrupted(interrupt)
                raise
        self._told = True
        return self._conclude(raise_on_error)

    def get_details(self) -> dict[str, Any]:
        """Give what is known of the run as plain values: what was asked, states, report, logs."""
        folder = self._state.folder
        return {
            "runId": self.id,
            "status": self.status.value,
            "sentence": self.sentence,
            "story": folder.story(),
            "states": folder.states(),
            "report": folder.report(),
            "logs": str(folder.logs),
        }

    @abstractmethod
    def _steps(self) -> Sequence[StepRun]:
        """Give what progress is shown of."""

    @abstractmethod
    def _reason(self) -> str:
        """Say why it ended as it did, where the rest is, and the first error's traceback."""

    def _watch(self, show_output: bool, timeout: float | None) -> None:
        display = make_display() if show_output else None
        try:
            self._wait(display, timeout)
        finally:
            if display is not None:
                display.close()

    def _wait(self, display: Display | None, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        if display is not None:
            for step in self._steps():
                display.say(f"run {step.id}, logs in {step.folder / 'logs'}")
        while True:
            left = lifetime.POLL if deadline is None else deadline - time.monotonic()
            ended = self.ended_within(max(0.0, min(lifetime.POLL, left)))
            if display is not None:
                self._show(display)
            if ended:
                break
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeoutError(
                    f"run {self.id} is still {self.status.value} after timeout_seconds="
                    f"{timeout:g}. It goes on: wait again, or call cancel()."
                )
        if display is not None:
            display.close()
            display.say(f"run {self.id}: {self.status.value}. {self.sentence}")

    def _show(self, display: Display) -> None:
        for step in self._steps():
            if step.progress is not None:
                display.show(step.name, step.progress)

    def _interrupted(self, interrupt: KeyboardInterrupt) -> None:
        """Cancel the run and wait for its end; another Ctrl-C ends that wait and the processes."""
        if isinstance(self._state, LiveState):
            lifetime.cancel_and_wait([self], interrupt)
            self._told = True
        else:
            lifetime.say(f"run {self.id} goes on in another process; cancel() ends it")
        lifetime.leave_if_terminated(interrupt)

    def _conclude(self, raise_on_error: bool) -> str:
        status = self.status
        if raise_on_error and status is RunStatus.CANCELED:
            raise RunCanceledError(self.id, self._reason())
        if raise_on_error and status is RunStatus.FAILED:
            raise RunFailedError(self.id, self._reason())
        return status.value


class StepRun(SubmittedRun):
    """One run of one step."""

    def __init__(self, workspace: Workspace, state: RunState) -> None:
        super().__init__(workspace, state)
        self._story = state.folder.story()
        self.name = str(self._story["name"])
        """The step's name."""
        self._whole: PipelineRun | None = None

    @property
    def parent(self) -> PipelineRun | None:
        """The pipeline's run that this is a step of."""
        return self._whole

    @property
    def progress(self) -> Any:
        """How far it is: a :class:`~daskrun.core.report.Progress`, None where that isn't known."""
        return self._state.progress

    @property
    def output_folder(self) -> str | None:
        """Where its output goes, its first if there are several; None when it has none."""
        outputs = outputs_of(self._state.folder)
        return str(outputs[0]["folder"]) if outputs else None

    def get_output_data(self, name: str) -> PortDataReference:
        """Give an output of the step, to download it.

        Raises
        ------
        NameNotFoundError
            The step has no output of that name.
        """
        return find_output(self.workspace, self._state.folder, name, self.status.value)

    @property
    def reused_run_id(self) -> str | None:
        """The step run whose output this one uses; None: it ran itself."""
        return self.explain_reuse().run_id

    def explain_reuse(self) -> Reuse:
        """Say whether it used an earlier run's output, and if not what has changed since.

        Examples
        --------
        >>> print(run.find_step_run("score")[0].explain_reuse())  # doctest: +SKIP
        It ran. What has changed since 20261104-093012-410-9be1c2-score:
          snapshot: score.py has changed
        """
        return explain(self._state.folder)

    def resume(
        self,
        retry_failed: bool = False,
        compute_target: ComputeTarget | str | None = None,
        **settings: Any,
    ) -> StepRun:
        """Resume the pipeline's run that it is a step of; see :meth:`PipelineRun.resume`."""
        assert self._whole is not None
        self._whole.resume(retry_failed, compute_target, **settings)
        return self

    def _steps(self) -> list[StepRun]:
        return [self]

    def _records(self, run_id: str) -> list[Record]:
        used = self.reused_run_id if run_id == self.id else None
        return super()._records(used or run_id)

    def _reason(self) -> str:
        reason = self.sentence.rstrip()
        first = self._state.first_error()
        logs = self._state.folder.logs
        stop = "" if reason.endswith((".", "?", "!")) else "."
        reason = f"{reason}{stop} Each error with its traceback: {logs / 'job_error.txt'}"
        reason = f"{reason}\n{self.way_on}"
        text = first["text"].strip() if first is not None else ""
        return f"{reason}\n\nThe first of them:\n{text}" if text else reason


class PipelineRun(SubmittedRun):
    """One run of a pipeline: of its steps, each when those it depends on are done."""

    def __init__(self, workspace: Workspace, state: RunState, steps: Sequence[StepRun]) -> None:
        super().__init__(workspace, state)
        self._step_runs = list(steps)
        for step in self._step_runs:
            step._whole = self

    @property
    def parent(self) -> None:
        """None: it is a step of no other."""

    def get_steps(self) -> list[StepRun]:
        """Give the runs of the steps, each after those it depends on."""
        return list(self._step_runs)

    def get_children(self) -> list[StepRun]:
        """Give the runs of the steps; the same as :meth:`get_steps`."""
        return self.get_steps()

    def find_step_run(self, name: str) -> list[StepRun]:
        """Give the runs of the step of a name, as a list of one.

        Raises
        ------
        NameNotFoundError
            The pipeline has no such step.
        """
        found = [step for step in self._step_runs if step.name == name]
        if not found:
            raise NameNotFoundError("step", name, [step.name for step in self._step_runs])
        return found

    def explain_reuse(self) -> dict[str, Reuse]:
        """Say of each step by name what :meth:`StepRun.explain_reuse` does."""
        return {step.name: step.explain_reuse() for step in self._step_runs}

    def resume(
        self,
        retry_failed: bool = False,
        compute_target: ComputeTarget | str | None = None,
        **settings: Any,
    ) -> PipelineRun:
        """Go on with a run that has ended early; see :meth:`SubmittedRun.resume`.

        Examples
        --------
        >>> run = Experiment(ws, "digits").get_run(run_id)  # doctest: +SKIP
        >>> run.resume(retry_failed=True).wait_for_completion()  # doctest: +SKIP
        'Completed'
        """
        folder = self._state.folder
        held = resume.hold(folder)
        try:
            driver = resume.make_driver(
                folder,
                held,
                self.workspace,
                retry_failed=retry_failed,
                compute_target=compute_target,
                changes=settings,
            )
            states = driver.states  # it forgets them at its end
            driver.start()
        except BaseException:
            held.close()
            raise
        self._go_on(driver.state, states)
        return self

    def _go_on(self, state: RunState, steps: Mapping[str, RunState]) -> None:
        """Stand for the run that a driver of this process goes on with."""
        self._state = state
        for step in self._step_runs:
            step._state = steps.get(step.id, step._state)
        for run in (self, *self._step_runs):
            run._told = False
        live_runs[self.id] = self
        lifetime.watch(self)

    def _steps(self) -> list[StepRun]:
        return self._step_runs

    def _reason(self) -> str:
        for step in self._step_runs:
            if step.status is self.status:
                return f"step {step.name!r}: {step._reason()}"
        return f"{self.sentence}\n{self.way_on}"
