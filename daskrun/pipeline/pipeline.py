"""``Pipeline``: the steps that are submitted together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.core.validation import same_name_problems
from daskrun.errors import SettingsError
from daskrun.pipeline.base import PipelineStep, in_order
from daskrun.workspace.workspace import workspace_problems

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskrun.pipeline.parameter import PipelineParameter
    from daskrun.workspace.workspace import Workspace


class Pipeline:
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

    def check_parameters(self, given: Mapping[str, Any]) -> None:
        """Refuse values for parameters that the pipeline doesn't have.

        Raises
        ------
        SettingsError
            Naming those there are.
        """
        known = sorted(self.parameters)
        there = f"There are {', '.join(map(repr, known))}." if known else "It has none."
        problems = [
            f"pipeline_parameters={{{name!r}: {value!r}}}: the pipeline has no such parameter. "
            f"{there}"
            for name, value in given.items()
            if name not in known
        ]
        if problems:
            raise SettingsError("submit", problems)
