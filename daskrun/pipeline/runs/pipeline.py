"""``Pipeline``: the steps that are submitted together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import OriginalClass
from daskrun.core.validation import same_name_problems
from daskrun.data.items import DatasetConsumptionConfig
from daskrun.errors import DaskrunError, SettingsError
from daskrun.pipeline.steps.base import DATASETS, PipelineStep, in_order, places_used
from daskrun.pipeline.steps.outputs import StepOutput
from daskrun.pipeline.steps.parameter import GIVEN
from daskrun.pipeline.submission.preflight import here_problems
from daskrun.workspace.workspace import workspace_problems

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskrun.pipeline.runs.published import PublishedPipeline
    from daskrun.pipeline.runs.run import PipelineRun
    from daskrun.pipeline.steps.base import CheckedStep
    from daskrun.pipeline.steps.parameter import PipelineParameter
    from daskrun.workspace.workspace import Workspace

KINDS = {"files": "file", "tabular": "tabular"}
EXAMPLES = {
    "files": "such as Dataset.File.from_files('images')",
    "tabular": "such as Dataset.Tabular.from_delimited_files('*.csv')",
}
"""By kind, how a dataset of it is written."""


class Pipeline(OriginalClass):
    """Steps, each run when all it depends on has run; those that depend on none side by side.

    A step depends on those whose outputs it uses, and on those it is told to ``run_after``.

    Parameters
    ----------
    workspace
        Where models, datastores and runs are kept.
    steps
        At least one; no two have the same name. Steps that they depend on and that are not among
        them are taken in.

    Raises
    ------
    SettingsError
        With every problem there is.
    """

    def __init__(self, workspace: Workspace, steps: Sequence[PipelineStep]) -> None:
        problems = workspace_problems(workspace)
        if not isinstance(steps, list | tuple) or not steps:
            problems.append(f"steps={steps!r} is not a list with at least one step. Write [step].")
            steps = []
        problems += [
            f"steps[{number}]={step!r} is not a step. Write ParallelRunStep(...)."
            for number, step in enumerate(steps)
            if not isinstance(step, PipelineStep)
        ]
        ordered = in_order(steps) if not problems else {}
        problems += same_name_problems("steps", [step.name for step in ordered])
        if problems:
            raise SettingsError("Pipeline", problems)
        self.workspace = workspace
        self.steps = list(ordered)
        """Each after those it depends on."""
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
        found: dict[str, PipelineParameter] = {}
        for step in self.steps:
            for parameter in step.parameters:
                other = found.setdefault(parameter.name, parameter)
                if other is not parameter and other.default_value != parameter.default_value:
                    problem = (
                        f"two parameters have the name {parameter.name!r}: {other!r} and "
                        f"{parameter!r}. Use one object in both places, or two names."
                    )
                    raise SettingsError("Pipeline", [problem])
        return found

    def parameter_problems(self, given: Mapping[str, Any]) -> dict[str, str]:
        """Say by name what is wrong with values for parameters, before they are used.

        Parameters
        ----------
        given
            The values by name.
        """
        found = {}
        known, uses = self.parameters, self._uses()
        for name, value in given.items():
            if name not in known:
                wrong = "the pipeline has no such parameter."
            elif any("input " in use for use in uses[name]):
                wrong = dataset_problem(known[name].default_value, value)
            else:
                wrong = value_problem(known[name].default_value, value)
            if wrong:
                found[name] = f"pipeline_parameters={{{name!r}: {value!r}}}: {wrong}"
        return found

    def parameters_text(self) -> str:
        """Return which parameters there are, with their defaults and what they are used for."""
        parameters, uses = self.parameters, self._uses()
        if not uses:
            return "The pipeline has no parameters."
        lines = [
            f"{name!r}, default {parameters[name].default_value!r}: {', '.join(uses[name])}"
            for name in sorted(uses)
        ]
        return "\n  ".join(["The pipeline's parameters:", *lines])

    def _uses(self) -> dict[str, list[str]]:
        """Return by a parameter's name what it is used for."""
        found: dict[str, dict[str, None]] = {}
        for step in self.steps:
            for what, parameter in step.parameter_uses:
                found.setdefault(parameter.name, {})[f"{what} of step {step.name!r}"] = None
        return {name: [*uses] for name, uses in found.items()}

    def check(
        self, given: Mapping[str, Any], *, to_run: bool = True
    ) -> tuple[list[CheckedStep], list[str]]:
        """Look up all that the steps need but their data, and say everything that is wrong.

        Parameters
        ----------
        given
            Values of pipeline parameters; the others have their defaults.
        to_run
            Whether it is to run now, and so on this machine where nothing else is said.
        """
        wrong = self.parameter_problems(given)
        good = {name: value for name, value in given.items() if name not in wrong}
        problems = list(wrong.values())
        checked = [step.check(self.workspace, good, problems) for step in self.steps]
        if any(GIVEN in problem for problem in problems):
            problems[-1] += f"\n  {self.parameters_text()}"  # once, below what is wrong
        if to_run and not problems:
            for step, each in zip(self.steps, checked, strict=True):
                found = here_problems(each.settings, each.target)
                problems += [f"step {step.name!r}: {text}" for text in found]
        return checked, problems

    def validate(self) -> list[str]:
        """Return everything that submit would refuse, data included; [] if it would nothing.

        Parameters have their defaults. Nothing is started or written.
        """
        checked, problems = self.check({})
        if problems:
            return problems
        for step, each in zip(self.steps, checked, strict=True):
            try:
                each.plan()
            except DaskrunError as error:
                problems.append(f"step {step.name!r}: {error}")
        return problems

    def submit(
        self,
        experiment_name: str,
        pipeline_parameters: Mapping[str, Any] | None = None,
        continue_on_step_failure: bool = False,
        regenerate_outputs: bool = False,
    ) -> PipelineRun:
        """Start a run of it in an experiment of its workspace; see :meth:`Experiment.submit`."""
        from daskrun.pipeline.runs.experiment import Experiment  # the two know each other

        return Experiment(self.workspace, experiment_name).submit(
            self,
            pipeline_parameters=pipeline_parameters,
            regenerate_outputs=regenerate_outputs,
            continue_on_step_failure=continue_on_step_failure,
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
            Any texts.
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
        from daskrun.pipeline.runs.published import publish  # the two know each other

        return publish(self, name, description, version, continue_on_step_failure)


def value_problem(default: object, value: object) -> str:
    """Return why a value can't be given for a parameter that is no input, else ``""``."""
    data = (*DATASETS, DatasetConsumptionConfig, StepOutput)
    if isinstance(value, data) and not isinstance(default, data):
        return f"this parameter is no dataset. Give text or a number, such as {default!r}."
    return ""


def dataset_problem(default: object, value: object) -> str:
    """Return why a value can't be given for a parameter that is an input, else ``""``."""
    wanted = default.kind if isinstance(default, DATASETS) else "files"
    example = EXAMPLES[wanted]
    if not isinstance(value, DATASETS):
        of = type(value).__name__
        return f"an input needs a dataset, this is of type {of}. Give a dataset, {example}."
    if isinstance(default, DATASETS) and value.kind != wanted:
        return (
            f"this is a {KINDS[value.kind]} dataset, and the pipeline is made for "
            f"{KINDS[wanted]} ones. Give another of these, {example}."
        )
    if places_used([value], {}):
        return f"it is what a step writes once it has run. Give a dataset that is there, {example}."
    return ""
