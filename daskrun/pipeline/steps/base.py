"""``PipelineStep``: what all steps are, and how they depend on each other."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from daskrun.core.absent_names import OriginalClass
from daskrun.data.dataset_codec import places_of
from daskrun.data.file_dataset import FileDataset
from daskrun.data.items import DatasetConsumptionConfig, Items
from daskrun.data.tabular.tabular_dataset import TabularDataset
from daskrun.errors import SettingsError
from daskrun.pipeline.steps.outputs import PendingOutput, StepOutput
from daskrun.pipeline.steps.parameter import PipelineParameter, resolve_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from daskrun.core.settings import RunSettings
    from daskrun.pipeline.steps.config import ParallelRunConfig
    from daskrun.pipeline.steps.outputs import OutputId
    from daskrun.pipeline.steps.parameter import ParameterValues
    from daskrun.pipeline.steps.snapshot import Snapshot

    NamedInput = tuple[str, DatasetConsumptionConfig]

DATASETS = (FileDataset, TabularDataset)
USABLE = (FileDataset, TabularDataset, DatasetConsumptionConfig, StepOutput)
"""What may be an input of a step."""


class PipelineStep(OriginalClass, ABC):
    """A step of a pipeline: it uses datasets, and writes outputs that others may use."""

    name: str
    """Its runs are found by it."""
    inputs: Sequence[object] | None
    """Its datasets, as they are used."""
    allow_reuse: bool
    """Whether the output of an earlier run is used where nothing it depends on has changed."""
    _published_code: Snapshot | None = None
    """Its code as it was kept when it was published; None: as it is at submit."""
    _is_program: bool = False
    """Whether its script is run once, as the program it is, not mini-batch by mini-batch."""

    def __init__(self) -> None:
        self._after: list[PipelineStep] = []

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"

    @property
    def _id_part(self) -> str:
        """What stands for it in the ids of its runs."""
        return self.name

    @property
    @abstractmethod
    def outputs(self) -> list[StepOutput]:
        """What it writes."""

    @property
    def named_inputs(self) -> list[NamedInput]:
        """The inputs with the name each has, ``input_<n>`` where none was given."""
        return named(self.inputs or [], "input")

    @property
    def parameters(self) -> list[PipelineParameter]:
        """The pipeline parameters it uses."""
        return [parameter for _, parameter in self._parameter_uses]

    @abstractmethod
    def problems(self, given: ParameterValues | None = None) -> list[str]:
        """Return everything that is wrong with it as it is now.

        ``given`` are values of pipeline parameters, at submit; until then they are not looked at.
        """

    @property
    @abstractmethod
    def _config(self) -> ParallelRunConfig:
        """What its settings come from."""

    @property
    def _split_inputs(self) -> list[NamedInput]:
        """The inputs that mini-batches are cut from."""
        return [] if self._is_program else self.named_inputs

    @property
    @abstractmethod
    def _side_inputs(self) -> list[NamedInput]:
        """The inputs that are whole on each node."""

    @property
    def _result(self) -> StepOutput | None:
        """Where what ``run()`` returns goes; None: it returns nothing."""
        return None

    @property
    @abstractmethod
    def _parameter_uses(self) -> list[tuple[str, PipelineParameter]]:
        """The pipeline parameters it uses, each with what it is used for."""

    def _arguments_of_class(self) -> dict[str, object]:
        """Return the arguments that its class makes the same step of, as they are now."""
        mine = {*vars(self), *vars(type(self))}
        names = inspect.signature(type(self).__init__).parameters
        given = {name: self if name in mine else self._config for name in names if name != "self"}
        return {name: getattr(owner, name) for name, owner in given.items()}

    @abstractmethod
    def _resolve(
        self, given: ParameterValues, append_row_settings: Mapping[str, object] | None = None
    ) -> RunSettings:
        """Return the settings of a run of this step.

        ``append_row_settings`` are those of the file beside the script.
        """

    @abstractmethod
    def _unused_inline(self, settings: RunSettings, given: ParameterValues) -> list[str]:
        """Return the settings that were given and mean nothing in this process, as typed."""

    @property
    def _recorded(self) -> Mapping[str, object]:
        """What is kept with its runs, and not used."""
        return {}

    def _own_notes(self) -> list[str]:
        """Return what its own class takes and does not use."""
        return []

    def _in_own_words(self, problem: str) -> str:
        """Return a problem with the names that the arguments of its class have."""
        return problem

    def _used(self) -> list[DatasetConsumptionConfig]:
        """Return everything that is a dataset, an output or a parameter, however it is used."""
        return [each for _, each in (*self._split_inputs, *self._side_inputs)]

    def run_after(self, step: PipelineStep) -> None:
        """Make it wait for another step that it uses nothing of."""
        if not isinstance(step, PipelineStep):
            raise SettingsError("run_after", [f"step={step!r} is no step. Write run_after(first)."])
        self._after.append(step)

    def _upstream(self, producers: Mapping[OutputId, PipelineStep]) -> list[PipelineStep]:
        """Return the steps that must have run before: whose outputs it uses, or that it waits for.

        An output that is not in ``producers`` is written by the step that was last made with it.
        """
        found = list(self._after)
        own = [each.link for each in self.outputs]
        for output in (place.output for place in places_used(self._used(), {})):
            if output.link in own:  # told to its script in the arguments
                continue
            step = producers.get(output.link) or output.link.step
            if not isinstance(step, PipelineStep):
                problem = f"step {self.name!r} uses output {output.name!r}, which no step writes. "
                advice = "Give it to the step that does, such as output=..."
                raise SettingsError("Pipeline", [problem + advice])
            found.append(step)
        return list(dict.fromkeys(found))


def as_consumption(each: object) -> DatasetConsumptionConfig:
    """Return an input as the way it is used."""
    if isinstance(each, DatasetConsumptionConfig):
        return each
    if isinstance(each, StepOutput):
        return each.as_input()
    assert isinstance(each, DATASETS)
    return DatasetConsumptionConfig(None, each)


def named(given: Iterable[object], prefix: str) -> list[NamedInput]:
    """Return inputs as they are used, with their names, ``<prefix>_<n>`` where none is said."""
    uses = [as_consumption(each) for each in given]
    return [(each.name or f"{prefix}_{n}", each) for n, each in enumerate(uses)]


def dataset_of(each: object, given: ParameterValues) -> Items | None:
    """Return the dataset that something stands for; None where it is no dataset."""
    each = resolve_value(each, given)
    if isinstance(each, StepOutput):
        return each.as_dataset()
    if isinstance(each, DatasetConsumptionConfig):
        each = resolve_value(each.dataset, given)
    return each if isinstance(each, DATASETS) else None


def places_used(used: Iterable[object], given: ParameterValues) -> list[PendingOutput]:
    """Return the outputs of steps among datasets, outputs, parameters and other values."""
    datasets = (dataset_of(each, given) for each in used)
    places = (place for each in datasets if each is not None for place in places_of(each))
    return [place for place in places if isinstance(place, PendingOutput)]


def in_order(steps: Sequence[PipelineStep]) -> dict[PipelineStep, list[PipelineStep]]:
    """Return steps and all they depend on, each after those, with what it waits for.

    SettingsError is raised where steps wait for each other, or for an output that no step writes,
    or where two write one output.
    """
    producers = {output.link: step for step in steps for output in step.outputs}
    found: dict[PipelineStep, list[PipelineStep]] = {}

    def visit(step: PipelineStep, path: tuple[PipelineStep, ...]) -> None:
        if step in path:
            ring = " → ".join(each.name for each in (*path[path.index(step) :], step))
            problem = f"steps wait for each other: {ring}. Take out one run_after() or input."
            raise SettingsError("Pipeline", [problem])
        if step in found:
            return
        before = step._upstream(producers)
        for each in before:
            visit(each, (*path, step))
        found[step] = before

    for step in steps:
        visit(step, ())
    _check_outputs(found)
    return found


def _check_outputs(steps: Iterable[PipelineStep]) -> None:
    """Check that each output is written by one step: of two, nobody knew whose is read."""
    writers: dict[OutputId, PipelineStep] = {}
    for step in steps:
        for output in step.outputs:
            first = writers.setdefault(output.link, step)
            if first is not step:
                problem = (
                    f"output {output.name!r} is written by steps {first.name!r} and "
                    f"{step.name!r}. Give each an output of its own."
                )
                raise SettingsError("Pipeline", [problem])
