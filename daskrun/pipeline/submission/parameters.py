"""The pipeline parameters of steps: which there are, and whether values can be given for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daskrun.data.items import DatasetConsumptionConfig
from daskrun.errors import SettingsError
from daskrun.pipeline.steps.base import DATASETS, places_used
from daskrun.pipeline.steps.outputs import StepOutput
from daskrun.pipeline.steps.parameter import PipelineParameter
from daskrun.shown.url_secrets import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from daskrun.pipeline.steps.base import PipelineStep
    from daskrun.pipeline.steps.parameter import ParameterValues

KINDS = {"files": "file", "tabular": "tabular"}
EXAMPLES = {
    "files": "such as Dataset.File.from_files('images')",
    "tabular": "such as Dataset.Tabular.from_delimited_files('*.csv')",
}
"""By kind, how a dataset of it is written."""


def by_name(steps: Iterable[PipelineStep]) -> dict[str, PipelineParameter]:
    """Return the parameters of steps by name; SettingsError where two have one name."""
    found: dict[str, PipelineParameter] = {}
    for step in steps:
        for parameter in step.parameters:
            other = found.setdefault(parameter.name, parameter)
            if other is not parameter and other.default_value != parameter.default_value:
                problem = (
                    f"two parameters have the name {parameter.name!r}: {other!r} and "
                    f"{parameter!r}. Use one object in both places, or two names."
                )
                raise SettingsError("Pipeline", [problem])
    return found


def problems(steps: Sequence[PipelineStep], given: ParameterValues) -> dict[str, str]:
    """Return by name what is wrong with values for parameters, before they are used."""
    found = {}
    known = by_name(steps)
    inputs = [use.dataset for step in steps for use in step._used()]
    data = {each.name for each in inputs if isinstance(each, PipelineParameter)}
    for name, value in given.items():
        if name not in known:
            wrong = "the pipeline has no such parameter."
        elif name in data:
            wrong = _dataset_problem(known[name].default_value, value)
        else:
            wrong = _value_problem(known[name].default_value, value)
        if wrong:
            found[name] = f"pipeline_parameters={{{name!r}: {value!r}}}: {wrong}"
    return found


def text(steps: Sequence[PipelineStep]) -> str:
    """Return which parameters there are, with their defaults and what they are used for."""
    parameters, uses = by_name(steps), _uses(steps)
    if not uses:
        return "The pipeline has no parameters."
    lines = [
        f"{name!r}, default {parameters[name].default_value!r}: {', '.join(uses[name])}"
        for name in sorted(uses)
    ]
    return "\n  ".join(["The pipeline's parameters:", *lines])


def told(steps: Sequence[PipelineStep], given: ParameterValues) -> dict[str, str]:
    """Return values for parameters as the run's record tells them: no text that scripts get."""
    uses = _uses(steps)
    of_scripts = ("arguments[", "params[")
    hidden = {
        name for name, each in uses.items() if any(use.startswith(of_scripts) for use in each)
    }
    return {
        name: HIDDEN if name in hidden and isinstance(value, str | list | tuple) else repr(value)
        for name, value in given.items()
    }


def _uses(steps: Iterable[PipelineStep]) -> dict[str, list[str]]:
    """Return by a parameter's name what it is used for."""
    found: dict[str, dict[str, None]] = {}
    for step in steps:
        for what, parameter in step._parameter_uses:
            found.setdefault(parameter.name, {})[f"{what} of step {step.name!r}"] = None
    return {name: [*uses] for name, uses in found.items()}


def _value_problem(default: object, value: object) -> str:
    """Return why a value can't be given for a parameter that is no input, else ``""``."""
    data = (*DATASETS, DatasetConsumptionConfig, StepOutput)
    if isinstance(value, data) and not isinstance(default, data):
        return f"this parameter is no dataset. Give text or a number, such as {default!r}."
    return ""


def _dataset_problem(default: object, value: object) -> str:
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
