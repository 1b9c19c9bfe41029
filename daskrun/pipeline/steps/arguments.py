"""What a script finds in ``sys.argv``: texts, and places for paths that its node knows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from daskrun.core.minibatch import NodePath
from daskrun.data.file_dataset import FileDataset
from daskrun.data.items import DatasetConsumptionConfig
from daskrun.data.protocols import DataPath
from daskrun.pipeline.steps.base import DATASETS, USABLE
from daskrun.pipeline.steps.output_config import OutputFileDatasetConfig
from daskrun.pipeline.steps.outputs import PendingOutput, StepOutput, output_of
from daskrun.pipeline.steps.parameter import PipelineParameter, resolve_value
from daskrun.pipeline.steps.written import WrittenTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from daskrun.pipeline.steps.parameter import ParameterValues

    Named = tuple[str, object]
    """Name of an input, and the input as it was given to the step."""


@dataclass(frozen=True)
class WithText:
    """An argument that has text around a path, such as ``--model=`` before that of an input."""

    before: str
    value: Any
    """What may stand among the arguments alone."""
    after: str = ""


def resolve_arguments(
    arguments: Sequence[object],
    given: ParameterValues | None,
    inputs: Sequence[Named],
    outputs: Sequence[StepOutput],
) -> tuple[list[str | NodePath], list[str]]:
    """Return the arguments of a script, and what is wrong with them.

    A list among them becomes several arguments. Of two ``inputs`` that a value may be, it is the
    first. ``given`` is None while values of parameters are not known; they are not checked then.
    """
    resolved: list[str | NodePath] = []
    problems: list[str] = []
    for number, each in enumerate(arguments):
        values = each if isinstance(each, list | tuple) else [each]
        for place, value in enumerate(values):
            made = argument_of(value, given, inputs, outputs)
            if made is None:
                where = f"[{number}]" if values is not each else f"[{number}][{place}]"
                problems.append(f"arguments{where}={_problem(value, given)}")
            else:
                resolved += made
    return resolved, problems


def flattened(arguments: Iterable[object]) -> list[tuple[str, object]]:
    """Return arguments, and what is in lists among them, each with where it stands."""
    found: list[tuple[str, object]] = []
    for number, each in enumerate(arguments):
        where = f"arguments[{number}]"
        if isinstance(each, list | tuple):
            found += [(f"{where}[{place}]", value) for place, value in enumerate(each)]
        else:
            found.append((where, each))
    return [(where, each.value if isinstance(each, WithText) else each) for where, each in found]


def implied(
    arguments: object, inputs: object, outputs: object
) -> tuple[list[Any], list[StepOutput]]:
    """Return the inputs and outputs that stand in arguments alone.

    An :class:`OutputFileDatasetConfig` is written there, what a dataset is used as is read. What
    is wrong with the arguments is said elsewhere.
    """
    read: list[Any] = []
    written: list[StepOutput] = []
    if not isinstance(arguments, list | tuple):
        return read, written
    known = [*_listed(inputs), *_listed(outputs)]
    links = [each.link for each in map(output_of, _listed(outputs)) if isinstance(each, StepOutput)]
    for _, value in flattened(arguments):
        output = output_of(value)
        own = isinstance(output, StepOutput) and output.link in (*links, *(o.link for o in written))
        if own or any(_same(value, each) for each in (*known, *read)):
            continue
        if isinstance(output, OutputFileDatasetConfig):
            written.append(output)
        elif isinstance(value, DatasetConsumptionConfig):
            read.append(value)
    return read, written


def _listed(given: object) -> Sequence[object]:
    return given if isinstance(given, list | tuple) else ()


def argument_of(
    value: object,
    given: ParameterValues | None,
    inputs: Iterable[Named],
    outputs: Iterable[StepOutput],
) -> list[str | NodePath] | None:
    """Return one argument, or several for a parameter whose value is a list; None: it can't be one.

    It is text, a number, a pipeline parameter, or a dataset or output that the step uses.
    """
    if isinstance(value, WithText):
        inside = argument_of(value.value, given, inputs, outputs) or []
        texts = {"before": value.before, "after": value.after}
        return [
            replace(each, **texts)
            if isinstance(each, NodePath)
            else f"{value.before}{each}{value.after}"
            for each in inside
        ] or None
    own = output_of(value)
    for output in outputs:
        if isinstance(own, StepOutput) and own.link is output.link:
            return [NodePath("output", output.name)]
    for name, used in inputs:
        if _same(value, used):
            return [NodePath("input", name)]
    if given is None and isinstance(value, PipelineParameter):
        return [str(value.default_value)]
    plain = resolve_value(value, given or {})
    if isinstance(plain, list | tuple) and isinstance(value, PipelineParameter):
        return None if any(isinstance(each, USABLE) for each in plain) else [*map(str, plain)]
    known = plain is None or isinstance(plain, (list, tuple, dict, set, PipelineParameter, *USABLE))
    return None if known else [str(plain)]


def _same(value: object, used: object) -> bool:
    """Return whether what stands in the arguments is an input, however it is wrapped."""
    if value is used:
        return True
    one, other = _inmost(value), _inmost(used)
    if isinstance(one, StepOutput) and isinstance(other, StepOutput):
        return one.link is other.link
    if isinstance(one, PipelineParameter) and isinstance(other, PipelineParameter):
        return one.name == other.name and isinstance(one.default_value, DATASETS)
    if isinstance(value, DatasetConsumptionConfig) and isinstance(used, DatasetConsumptionConfig):
        named = None not in (value.name, used.name)
        return one is other and (value.name == used.name or not named)
    return one is other and isinstance(one, DATASETS)


def _inmost(value: object) -> object:
    """Return dataset or parameter that something is a use of; of all of an output, the output."""
    value = value.dataset if isinstance(value, DatasetConsumptionConfig) else value
    if isinstance(value, FileDataset) and len(value.elements) == 1 and not value.selections:
        element = value.elements[0]
        if isinstance(element, DataPath) and isinstance(element.place, PendingOutput):
            return value if element.relative else element.place.output
    if isinstance(value, WrittenTable) and not value.steps:
        return output_of(value)
    return value


def _problem(value: object, given: ParameterValues | None) -> str:
    plain = resolve_value(value, given or {})
    of = f" (of parameter {value.name!r})" if isinstance(value, PipelineParameter) else ""
    if isinstance(plain, USABLE):
        what, own = ("output", "as output=... if the step writes it, else ")
        if not isinstance(plain, StepOutput):
            what, own = ("dataset", "")
        return (
            f"{plain!r}{of}: the step uses no such {what}. Give the same object {own}in "
            "side_inputs=[...] too, to have it on each node and its path here."
        )
    return (
        f"{plain!r}{of} is of type {type(plain).__name__}. Write text, a number, a pipeline "
        "parameter, a list of these, or one of the datasets in inputs and side_inputs."
    )
