"""``PipelineParameter``: a value that may be another at each submit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from daskrun.core.absent_names import original_keywords
from daskrun.data.datasets import Dataset
from daskrun.data.items import DatasetConsumptionConfig
from daskrun.data.protocols import DataPath
from daskrun.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    ParameterValues: TypeAlias = Mapping[str, object]
    """Values of pipeline parameters by name; the others have their defaults."""

GIVEN = "pipeline_parameters="
"""Begins, in messages, what was given for a parameter."""


@original_keywords
@dataclass(frozen=True, eq=False)
class PipelineParameter:
    """A value of a pipeline that can be set when it is submitted.

    Examples
    --------
    >>> size = PipelineParameter(name="batch_size_param", default_value="5")
    >>> resolve_value(size, {"batch_size_param": "1"})
    '1'
    >>> resolve_value(size, {})
    '5'
    """

    name: str
    """Its key in ``pipeline_parameters``."""
    default_value: Any
    """Used where nothing else is given: text, a number, True or False, or a dataset; a path in a
    datastore is the dataset of its files."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise SettingsError(
                "PipelineParameter",
                [f"name={self.name!r} is not a name. Write name='batch_size_param'."],
            )
        object.__setattr__(self, "default_value", as_value(self.default_value))

    def __repr__(self) -> str:
        return f"PipelineParameter(name={self.name!r}, default_value={self.default_value!r})"


@dataclass(frozen=True)
class DataPathComputeBinding:
    """How the files of a parameter that is a path in a datastore come to the script.

    ``(parameter, DataPathComputeBinding(mode="mount"))`` is an input of a step, and an argument.
    """

    mode: str = "mount"
    path_on_compute: str | None = None


def bound(values: Any) -> Any:
    """Return inputs, or arguments, with such pairs as the uses of datasets that they are."""
    if not isinstance(values, list | tuple):
        return values
    return [_use_of(each) for each in values]


def _use_of(value: Any) -> Any:
    match value:
        case (PipelineParameter() as parameter, DataPathComputeBinding() as binding):
            name = re.sub(r"\W", "_", parameter.name)
            return DatasetConsumptionConfig(name, parameter, binding.mode, binding.path_on_compute)
    return value


def as_value(value: Any) -> Any:
    """Return a value of a parameter; of a path in a datastore its files."""
    return Dataset.File.from_files(value, validate=False) if isinstance(value, DataPath) else value


def with_parameters(
    problems: Iterable[str],
    uses: Iterable[tuple[str, PipelineParameter]],
    given: ParameterValues | None,
) -> list[str]:
    """Return problems with the name of the parameter that a value comes from.

    Problems of values begin with what the value is used for, as in ``uses``, and ``=``. Until the
    pipeline is submitted ``given`` is None.
    """
    by_use = dict(uses)

    def named(problem: str) -> str:
        parameter = by_use.get(problem.partition("=")[0])
        if parameter is None or given is None:
            return problem
        if parameter.name not in given and f"of parameter {parameter.name!r}" in problem:
            return problem
        name = parameter.name
        if name not in given:
            problem = _with_advice(problem, f"PipelineParameter({name!r}, ", ")")
            return f"parameter {name!r} by default: {problem}"
        problem = _with_advice(problem, f"{GIVEN}{{{name!r}: ", "}")
        return f"{GIVEN}{{{name!r}: {given[name]!r}}}: {problem}"

    return [named(problem) for problem in problems]


def _with_advice(problem: str, before: str, after: str) -> str:
    """Return a problem whose advice says where its value is to be written."""
    use, _, rest = problem.partition("=")
    examples = re.compile(rf"\b{re.escape(use)}=('[^']*'|[\d.]*\d|\w+)")
    return f"{use}={examples.sub(lambda match: before + match[1] + after, rest)}"


def resolve_value(value: Any, given: ParameterValues) -> Any:
    """Return what a parameter stands for; anything else is itself."""
    if isinstance(value, PipelineParameter):
        return given.get(value.name, value.default_value)
    return value
