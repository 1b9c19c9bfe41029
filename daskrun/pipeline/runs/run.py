"""``PipelineRun`` and ``StepRun``: runs as their users hold them."""

from __future__ import annotations

import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import original_keywords
from daskrun.core.tally import first_of, place_of
from daskrun.core.typing import override
from daskrun.errors import NameNotFoundError, SettingsError
from daskrun.monitor.snapshot import read_snapshot
from daskrun.pipeline.execution import lifetime, resume
from daskrun.pipeline.execution.reuse import explain
from daskrun.pipeline.records.kept_pipeline import kept_steps
from daskrun.pipeline.records.output_data import OutputData, failed_items
from daskrun.pipeline.records.run_output import find_output, outputs_of
from daskrun.pipeline.runs.metrics import find_run
from daskrun.pipeline.runs.submitted import SubmittedRun
from daskrun.workspace.run_folders import handover

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from daskrun.core.codec import JsonObject
    from daskrun.pipeline.execution.reuse import Reuse
    from daskrun.pipeline.execution.state import RunState
    from daskrun.pipeline.runs.experiment import Experiment
    from daskrun.pipeline.runs.published import PublishedPipeline
    from daskrun.workspace.workspace import Workspace


class Outputs(dict[str, OutputData]):
    """Outputs by name; asking for another names those there are."""

    def __missing__(self, name: str) -> OutputData:
        raise NameNotFoundError("output", name, sorted(self))


live_runs: weakref.WeakValueDictionary[str, PipelineRun] = weakref.WeakValueDictionary()
"""The runs of this process that go on or that somebody holds, by id; of others the folder tells."""


class StepRun(SubmittedRun):
    """One run of one step.

    Parameters
    ----------
    experiment
        That it was submitted in.
    step_run_id
        What ``step_run.id`` gave.
    pipeline_run_id
        Of the pipeline's run that it is a step of; it needs not be said.
    node_id
        Means nothing here: a pipeline has no graph of its own.

    Raises
    ------
    NameNotFoundError
        There is no run of that id.
    SettingsError
        It is a pipeline's, or of another experiment or pipeline.
    """

    @original_keywords
    def __new__(
        cls,
        experiment: Experiment,
        step_run_id: str,
        pipeline_run_id: str | None = None,
        node_id: str | None = None,  # noqa: ARG004
    ) -> StepRun:
        """Return a step's run that is there."""
        run = find_run(StepRun, experiment, step_run_id)
        whole = run._manifest.pipeline_run
        if pipeline_run_id not in (None, whole):
            problem = f"pipeline_run_id={pipeline_run_id!r} is not that of {step_run_id}: that is "
            raise SettingsError("StepRun", [f"{problem}{whole!r}. Leave it out."])
        return run

    @classmethod
    def _made(cls, workspace: Workspace, state: RunState) -> StepRun:
        """Make the object of a step's run, which is part of a pipeline's."""
        run: StepRun = object.__new__(cls)
        run._set_up(workspace, state)
        return run

    @override
    def _set_up(self, workspace: Workspace, state: RunState) -> None:
        super()._set_up(workspace, state)
        self._manifest = state.folder.manifest()
        self.name = self._manifest.name
        """The step's name."""
        self._whole: PipelineRun | None = None

    @property
    @override
    def parent(self) -> PipelineRun | None:
        return self._whole

    @property
    def progress(self) -> Any:
        """How far it is: a :class:`~daskrun.core.report.Progress`, None where that isn't known.

        Of a run that another process drives it is a second old.
        """
        snapshot = self._state.progress or read_snapshot(self.folder / "logs")
        return getattr(snapshot, "progress", snapshot)

    @property
    def dashboard(self) -> str:
        """Address of the Dask dashboard while it runs; ``""`` where there is none."""
        snapshot = None if self.status.ended else read_snapshot(self.folder / "logs")
        return snapshot.dashboard if snapshot is not None else ""

    @property
    def _waited_for(self) -> Sequence[str]:
        """Ids of the steps' runs that had to end before it began."""
        return tuple(self._kept.manifest().values.get("after", ()))

    @property
    def output_folder(self) -> str | None:
        """Where its output goes, its first if there are several; None when it has none."""
        outputs = outputs_of(self._state.folder)
        return outputs[0].folder if outputs else None

    @property
    def outputs(self) -> Mapping[str, OutputData]:
        """The outputs of the step by name."""
        names = [each.name for each in outputs_of(self._state.folder)]
        return Outputs({name: self.get_output_data(name) for name in names})

    def output(self, name: str | None = None) -> OutputData:
        """Return the output of a name, to read it; None: the first, where results go.

        Raises
        ------
        NameNotFoundError
            The step has no output, or none of that name.

        Examples
        --------
        >>> run.find_step_run("score")[0].output().to_pandas_dataframe()  # doctest: +SKIP
        """
        return self.outputs[next(iter(self.outputs), "") if name is None else name]

    def failed_items(self) -> pd.DataFrame:
        """Return the items that have failed; see :meth:`OutputData.failed_items`."""
        return failed_items(self._kept)

    def get_output_data(self, name: str) -> OutputData:
        """Return an output of the step, to download it.

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
        """Return whether it used an earlier run's output, and if not what has changed since.

        Examples
        --------
        >>> print(run.find_step_run("score")[0].explain_reuse())  # doctest: +SKIP
        It ran. What has changed since 20261104-093012-410-9be1c2-score:
          snapshot: score.py has changed
        """
        return explain(self._state.folder)

    @override
    def _resume(self, *given: Any) -> None:
        assert self._whole is not None
        self._whole._resume(*given)

    @override
    def _steps(self) -> list[StepRun]:
        return [self]

    @override
    def _reason(self) -> str:
        reason = self.message.rstrip()
        errors = self.place_of("logs/job_error.txt")
        stop = "" if reason.endswith((".", "?", "!")) else "."
        reason = f"{reason}{stop} Each error with its traceback: {errors}"
        reason = f"{reason}\n{self._resume_hint}"
        text = self._state.first_error().strip("\n").rstrip()
        return f"{reason}\n\nThe first of them:\n{text}" if text else reason

    @override
    def _apart(self) -> tuple[str, str]:
        report = self._ending
        text, reason = self._state.first_error().strip("\n").rstrip(), self._reason()
        if report is None or not report.errors or not text:
            return "", reason
        first = report.errors[0]
        reason = reason.removesuffix(f"\n\nThe first of them:\n{text}")
        reason = reason.replace(f" First error: {first_of(first)}.", "")
        return f"{text}\nin {place_of(first)}", reason


class PipelineRun(SubmittedRun):
    """One run of a pipeline: of its steps, each when those it depends on are done.

    Parameters
    ----------
    experiment
        That it was submitted in.
    run_id
        What ``run.id`` gave.

    Raises
    ------
    NameNotFoundError
        There is no run of that id.
    SettingsError
        It is a step's, or of another experiment.

    Examples
    --------
    >>> PipelineRun(Experiment(ws, "digits"), run_id).get_status()  # doctest: +SKIP
    'Completed'
    """

    _step_runs: list[StepRun]
    _held: JsonObject | None = None
    """Its pipeline, where this process alone may have it; see :func:`kept_steps`."""

    @original_keywords
    def __new__(cls, experiment: Experiment, run_id: str) -> PipelineRun:
        """Return a pipeline's run that is there."""
        return find_run(PipelineRun, experiment, run_id)

    @classmethod
    def _made(cls, workspace: Workspace, state: RunState, steps: Sequence[StepRun]) -> PipelineRun:
        """Make the object of a pipeline's run, with those of its steps."""
        run: PipelineRun = object.__new__(cls)
        run._set_up(workspace, state)
        run._step_runs = list(steps)
        for step in run._step_runs:
            step._whole = run
        return run

    @property
    @override
    def parent(self) -> None:
        """None: it is a step of no other."""

    def get_steps(self) -> list[StepRun]:
        """Return the runs of the steps, each after those it depends on."""
        return list(self._step_runs)

    @original_keywords
    def get_children(self) -> Iterator[StepRun]:
        """Return the runs of the steps one by one: those of :meth:`get_steps`."""
        return iter(self.get_steps())

    @property
    def outputs(self) -> Mapping[str, OutputData]:
        """The outputs of all steps by name, as ``<step>.<name>`` where two steps have one of it.

        Examples
        --------
        >>> run.outputs["counts"].path  # doctest: +SKIP
        '/work/.daskrun/datastore/azureml/20261104-093012-410-9be1c2-count/counts/counts.csv'
        """
        found = [(step.name, *each) for step in self._step_runs for each in step.outputs.items()]
        times = Counter(name for _, name, _ in found)
        outputs = {f"{step}.{n}" if times[n] > 1 else n: output for step, n, output in found}
        return Outputs(outputs)

    def find_step_run(self, name: str) -> list[StepRun]:
        """Return the runs of the step of a name, as a list of one.

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
        """Return by name of each step what :meth:`StepRun.explain_reuse` returns."""
        return {step.name: step.explain_reuse() for step in self._step_runs}

    def publish_pipeline(
        self,
        name: str,
        description: str | None = None,
        version: str | None = None,
        continue_on_step_failure: bool | None = None,
    ) -> PublishedPipeline:
        """Publish the pipeline that was submitted, with its code as it was then.

        Parameters have their defaults, whatever values the run was given.

        Parameters
        ----------
        name, description, version
            As those of :meth:`Pipeline.publish`.
        continue_on_step_failure
            Likewise; None: as the run has it.

        Raises
        ------
        SettingsError
            Its pipeline isn't kept with the run, and why: it holds what only one process knows, or
            what may be secret and this isn't the process that submitted it.
        DaskrunError
            What it is made of isn't there any more.
        """
        from daskrun.pipeline.runs.pipeline import Pipeline  # few runs are asked

        folder = self._state.folder
        if continue_on_step_failure is None:
            continue_on_step_failure = folder.manifest().continue_on_step_failure
        steps = kept_steps(folder, self.workspace, self._held)
        pipeline = Pipeline(self.workspace, steps)
        return pipeline.publish(name, description, version, continue_on_step_failure)

    @override
    def _resume(self, retry_failed: bool, *given: Any) -> None:
        folder = self._state.folder
        held = resume.hold(folder, retry_failed)
        try:
            driver = resume.make_driver(folder, held, self.workspace, retry_failed, *given)
            folder.drop(handover.FILE)  # from now on this process has it
            states = driver.states  # it forgets them at its end
            driver.start()
        except BaseException:
            held.close()
            raise
        self._go_on(driver.state, states)

    def _go_on(self, state: RunState, steps: Mapping[str, RunState]) -> None:
        """Stand for the run that a driver of this process goes on with."""
        self._state = state
        for step in self._step_runs:
            step._state = steps.get(step.id, step._state)
        for run in (self, *self._step_runs):
            run._told = False
        live_runs[self.id] = self
        lifetime.watch(self)

    @override
    def _steps(self) -> list[StepRun]:
        return self._step_runs

    @override
    def _reason(self) -> str:
        for step in self._step_runs:
            if step.status is self.status:
                return f"step {step.name!r}: {step._reason()}"
        return f"{self.message}\n{self._resume_hint}"

    @override
    def _apart(self) -> tuple[str, str]:
        for step in self._step_runs:
            if step.status is self.status:
                text, reason = step._apart()
                return text, f"step {step.name!r}: {reason}"
        return "", self._reason()

    @property
    @override
    def _resume_hint(self) -> str:
        alike = [step for step in self._step_runs if step.status is self.status]
        return alike[0]._resume_hint if alike else super()._resume_hint
