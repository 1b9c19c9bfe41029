"""``Pipeline``: the steps that are submitted together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import OriginalClass, original_keywords
from daskrun.core.settings import same_name_problems
from daskrun.errors import DaskrunError, SettingsError
from daskrun.pipeline.steps.base import PipelineStep, in_order
from daskrun.pipeline.submission import parameters
from daskrun.pipeline.submission.check import check_steps, prepare
from daskrun.workspace.workspace import workspace_problems

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from daskrun.engine.observers import MakesObserver
    from daskrun.pipeline.runs.published import PublishedPipeline
    from daskrun.pipeline.runs.run import PipelineRun
    from daskrun.pipeline.steps.parameter import ParameterValues, PipelineParameter
    from daskrun.pipeline.submission.trial import StepCheck
    from daskrun.workspace.datastores.datastore import Datastore
    from daskrun.workspace.workspace import Workspace


class Pipeline(OriginalClass):
    """Steps, each run when all it depends on has run; those that depend on none side by side.

    A step depends on those whose outputs it uses, and on those it is told to ``run_after``.

    Parameters
    ----------
    workspace
        Where models, datastores and runs are kept.
    steps
        At least one, also lists of them; no two have the same name. Steps that they depend on and
        that are not among them are taken in.
    description
        Kept with what it is published as, if nothing else is said there.
    default_datastore
        That of the workspace: other datastores are said of each output.
    default_source_directory
        ``source_directory`` of the steps that have none.

    Raises
    ------
    SettingsError
        With every problem there is.
    """

    @original_keywords
    def __init__(
        self,
        workspace: Workspace,
        steps: PipelineStep | Sequence[PipelineStep | Sequence[Any]],
        description: str | None = None,
        default_datastore: Datastore | None = None,
        default_source_directory: str | os.PathLike[str] | None = None,
    ) -> None:
        problems = workspace_problems(workspace)
        if not problems and default_datastore not in (None, workspace.get_default_datastore()):
            problems.append(
                f"default_datastore={default_datastore!r} is not the workspace's. Say it of each "
                "output, PipelineData(name, datastore), or of all: ws.set_default_datastore(it)."
            )
        given: Any = _flat(steps)
        if not isinstance(given, list | tuple) or not given:
            problems.append(f"steps={given!r} is not a list with at least one step. Write [step].")
            given = []
        problems += [
            f"steps[{number}]={step!r} is not a step. Write ParallelRunStep(...)."
            for number, step in enumerate(given)
            if not isinstance(step, PipelineStep)
        ]
        ordered = in_order(given) if not problems else {}
        same = same_name_problems("steps", [step.name for step in ordered])
        problems += same or same_name_problems("steps", [step._id_part for step in ordered])
        if problems:
            raise SettingsError("Pipeline", problems)
        self.workspace = workspace
        self.description = description
        self.steps = list(ordered)
        """Each after those it depends on."""
        for config in (step._config for step in self.steps):
            if config.source_directory is None:
                config.source_directory = default_source_directory
        self.parameters  # noqa: B018 - raises where two parameters have one name

    def __repr__(self) -> str:
        return f"Pipeline(steps={[step.name for step in self.steps]!r})"

    @property
    def dependencies(self) -> dict[PipelineStep, list[PipelineStep]]:
        """The steps, each with those that must have run before."""
        return in_order(self.steps)

    @property
    def parameters(self) -> dict[str, PipelineParameter]:
        """The parameters that can be given at submit, by name.

        Raises
        ------
        SettingsError
            Two parameters have one name.
        """
        return parameters.by_name(self.steps)

    def _set_experiment_name(self, *_: object) -> None:
        """Do nothing: many pipelines that were made of one public template speak of it."""

    def validate(self) -> list[str]:
        """Return everything that submit would refuse, data included; [] if it would nothing.

        Parameters have their defaults. Nothing is started or written.
        """
        checked, problems = check_steps(self.steps, self.workspace, {})
        if problems:
            return problems
        for each in checked:
            try:
                each.plan()
            except DaskrunError as error:
                problems.append(f"step {each.step.name!r}: {error}")
        return problems

    def check(self, try_first: bool = True) -> list[StepCheck]:
        """Check everything that submit would, and return what its run would be, step by step.

        Parameters
        ----------
        try_first
            Whether the first mini-batch of each step that waits for no other is run, once, on this
            machine. What it returns or writes to its output folder is thrown away.

        Raises
        ------
        SettingsError
            With all problems of all steps.
        DatasetError
            An input holds nothing or can't be read.

        Examples
        --------
        >>> pipeline.check()[0].mini_batches  # doctest: +SKIP
        100000
        """
        from daskrun.pipeline.submission.trial import look  # few are asked

        prepared = prepare(self.steps, self.workspace, {})
        return [look(each, try_first=try_first) for each in prepared]

    @original_keywords
    def submit(
        self,
        experiment_name: str,
        pipeline_parameters: ParameterValues | None = None,
        continue_on_step_failure: bool = False,
        regenerate_outputs: bool = False,
        *,
        observers: Sequence[MakesObserver] | None = None,
        detached: bool = False,
    ) -> PipelineRun:
        """Start a run of it in an experiment of its workspace; see :meth:`Experiment.submit`."""
        from daskrun.pipeline.runs.experiment import Experiment  # the two know each other

        return Experiment(self.workspace, experiment_name).submit(
            self,
            pipeline_parameters=pipeline_parameters,
            regenerate_outputs=regenerate_outputs,
            continue_on_step_failure=continue_on_step_failure,
            observers=observers,
            detached=detached,
        )

    def publish(
        self,
        name: str,
        description: str | None = None,
        version: str | None = None,
        continue_on_step_failure: bool = False,
    ) -> PublishedPipeline:
        """Keep it in its workspace, with a copy of its code, to be submitted again and again.

        Parameters
        ----------
        name
            Any text; several may have the same.
        description, version
            Any texts; without a description it is the pipeline's.
        continue_on_step_failure
            What holds at submit where nothing else is said.

        Raises
        ------
        SettingsError
            With all problems of all steps, and with what only this process knows, such as
            dataframes; nothing was kept.
        StorageError
            The code can't be copied; nothing was kept.

        Examples
        --------
        >>> nightly = pipeline.publish("nightly scores", version="1.0")  # doctest: +SKIP
        >>> nightly.submit(ws, "digits", {"batch_size_param": 20})  # doctest: +SKIP
        """
        from daskrun.pipeline.runs.published import PublishedPipeline  # the two know each other
        from daskrun.pipeline.submission.publish import publish

        about = self.description if description is None else description
        told = name, about, version, continue_on_step_failure
        return PublishedPipeline(self.workspace, publish(self.workspace, self.dependencies, *told))


def _flat(steps: Any) -> Any:
    """Return one step as a list, and lists in a list as their steps; what is neither as it is."""
    if isinstance(steps, PipelineStep):
        return [steps]
    if not isinstance(steps, list | tuple):
        return steps
    return [
        own for each in steps for own in (_flat(each) if isinstance(each, list | tuple) else [each])
    ]
