"""Steps as plain values: what can be kept in a file and be the same steps in another process.

A step is kept as the arguments that its class makes it of. What several steps share (an output, a
dataset, a parameter) stands in a list of its own, once, so that it is one object again when it is
read: by that a step is known to use what another writes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar, cast

from daskrun.core.codec import KIND, JsonObject, Reader, Writer, to_record
from daskrun.data.dataset_codec import from_plain, registered_name, to_plain
from daskrun.data.items import DatasetConsumptionConfig
from daskrun.data.registration import Registration as Named
from daskrun.data.registration import named
from daskrun.errors import (
    ComputeTargetException,
    DaskrunError,
    DatasetError,
    SettingsError,
    WorkspaceError,
    WrongArgumentsError,
)
from daskrun.pipeline.steps.arguments import WithText
from daskrun.pipeline.steps.base import DATASETS
from daskrun.pipeline.steps.config import ParallelRunConfig
from daskrun.pipeline.steps.output_config import OutputFileDatasetConfig
from daskrun.pipeline.steps.outputs import (
    OutputId,
    PendingOutput,
    PipelineData,
    StepOutput,
    as_written,
)
from daskrun.pipeline.steps.parallel_step import ParallelRunStep
from daskrun.pipeline.steps.parameter import PipelineParameter
from daskrun.pipeline.steps.script_step import PythonScriptStep
from daskrun.pipeline.steps.written import Written, registration
from daskrun.workspace.compute.targets import ComputeTarget
from daskrun.workspace.datastores.datastore import Datastore
from daskrun.workspace.environments.environment import Environment
from daskrun.workspace.environments.run_configuration import RunConfiguration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from daskrun.data.items import Items
    from daskrun.data.protocols import Place
    from daskrun.pipeline.steps.base import PipelineStep
    from daskrun.workspace.workspace import Workspace

Output = TypeVar("Output", bound=StepOutput)
STEPS: dict[str, Callable[..., PipelineStep]] = {
    "ParallelRunStep": ParallelRunStep,
    "PythonScriptStep": PythonScriptStep,
}
"""Every class that a step may be of. No other is ever made."""


def steps_to_plain(
    steps: Sequence[PipelineStep],
    after: Mapping[PipelineStep, Sequence[PipelineStep]],
    workspace: Workspace,
) -> JsonObject:
    """Return steps as JSON values; they may hold secrets, such as those in URLs.

    Each comes after those it depends on. SettingsError names what only this process knows.
    """
    writer = _Writer(workspace)
    made = [
        {
            KIND: writer.class_of(step),
            "values": writer.mapping(step._arguments_of_class(), f"step {step.name!r}: "),
            "after": [steps.index(each) for each in after[step]],
        }
        for step in steps
    ]
    if writer.problems:
        raise SettingsError("publish", list(dict.fromkeys(writer.problems)))
    return {
        "parameters": writer.parameters,
        "outputs": writer.outputs,
        "datasets": writer.datasets,
        "steps": made,
    }


def steps_from_plain(value: JsonObject, workspace: Workspace) -> list[PipelineStep]:
    """Make the steps that :func:`steps_to_plain` was given.

    DaskrunError is raised where what they are made of isn't there any more, or was kept by another
    version.
    """
    reader = _Reader(value, workspace)
    made: list[PipelineStep] = []
    try:
        for each in value["steps"]:
            step = STEPS[each[KIND]](**reader.mapping(each["values"]))
            for number in each["after"]:
                step.run_after(made[number])
            made.append(step)
    except (DaskrunError, TypeError, KeyError) as error:
        if isinstance(error, DaskrunError) and not isinstance(error, WrongArgumentsError):
            raise
        raise WorkspaceError(
            f"the pipeline was kept by another version of daskrun ({error!r} is unknown). Use that "
            "version, or publish it again."
        ) from error
    return made


class _Writer(Writer):
    """Turns what a step is made of into JSON values, and notes what can't be."""

    def __init__(self, workspace: Workspace) -> None:
        own = (
            (os.PathLike, lambda value, _: os.fspath(value)),
            (PipelineParameter, self._parameter),
            (DATASETS, self._dataset),
            (StepOutput, self._output),
            (DatasetConsumptionConfig, lambda value, where: self._values("use", value, where)),
            (WithText, lambda value, where: self._values("text", value, where)),
            (ParallelRunConfig, lambda value, where: self._values("config", value, where)),
            (Environment, lambda value, _: {KIND: "environment", "record": value.as_record()}),
            (RunConfiguration, lambda value, _: {KIND: "runconfig", "record": value.as_record()}),
            (Datastore, lambda value, _: self._reference("datastore", value)),
            (ComputeTarget, self._target),
        )
        super().__init__({}, own, self._note)
        self._workspace = workspace
        self.parameters: dict[str, object] = {}
        self.outputs: list[JsonObject] = []
        self.datasets: list[JsonObject] = []
        self.problems: list[str] = []
        self._numbers: dict[int, int] = {}
        self._links: dict[int, int] = {}
        self._held: list[object] = []  # else an id could become another object's

    def class_of(self, step: PipelineStep) -> str:
        name = type(step).__name__
        if STEPS.get(name) is not type(step):
            known = " or ".join(STEPS)
            self.problems.append(
                f"step {step.name!r} is of class {name}, which can't be kept. Write {known}."
            )
        return name

    def _values(self, kind: str, value: object, where: str) -> Any:
        return {KIND: kind, "values": self.fields(value, f"{where}: ")}

    def _reference(self, kind: str, value: Datastore | ComputeTarget) -> Any:
        return {KIND: kind, "reference": self._workspace.reference_to(value)}

    def _target(self, value: ComputeTarget, where: str) -> Any:
        if value.for_this_process:
            self.problems.append(
                f"{where}: compute target {value.name!r} is a cluster object of this process, "
                "which no other can use. Attach it by its address: ComputeTarget.attach(ws, "
                f"{value.name!r}, address='tcp://...')."
            )
        return self._reference("target", value)

    def _note(self, value: object, where: str) -> None:
        self.problems.append(
            f"{where} is of type {type(value).__name__}, which can't be kept. Write text or a "
            "number, such as str(value)."
        )

    def _parameter(self, parameter: PipelineParameter, _: str) -> Any:
        name = parameter.name
        if name not in self.parameters:
            where = f"parameter {name!r}: default_value"
            self.parameters[name] = self.plain(parameter.default_value, where)
        return {KIND: "parameter", "name": name}

    def _dataset(self, dataset: Items, where: str) -> Any:
        return {KIND: "dataset", "number": self._dataset_number(dataset, where)}

    def _dataset_number(self, dataset: Items, where: str) -> int:
        if id(dataset) not in self._numbers:

            def name_of(place: Place) -> Any:
                if isinstance(place, PendingOutput):
                    return {"output": self._output_number(place.output, where)}
                registered_name(place)  # refuses one that only this process knows
                return self._workspace.reference_to(place)

            try:
                plain = to_plain(dataset, name_of)
            except DatasetError as error:
                self.problems.append(f"{where}: {error}")
                return -1
            self._held.append(dataset)
            kept = {"definition": plain, "registered": self._name_of(dataset)}
            self.datasets.append({**kept, "written": isinstance(dataset, Written)})
            self._numbers[id(dataset)] = len(self.datasets) - 1
        return self._numbers[id(dataset)]

    def _name_of(self, dataset: Items) -> JsonObject | None:
        """Return what is known of a dataset by its name in this workspace."""
        known = dataset.registration
        if known is None or known.registry != self._workspace:
            return None
        return {
            "name": known.name,
            "version": known.version,
            "description": known.description,
            "tags": dict(known.tags),
        }

    def _output(self, output: StepOutput, where: str) -> Any:
        return {KIND: "output", "number": self._output_number(output, where)}

    def _output_number(self, output: StepOutput, where: str) -> int:
        if id(output) not in self._numbers:
            link = self._links.setdefault(id(output.link), len(self._links))
            plain = {"link": link, **self._output_values(output, where)}
            self._held.append(output)
            self.outputs.append(plain)
            self._numbers[id(output)] = len(self.outputs) - 1  # its tables come back to it
            plain["registered"] = [
                {"as": to_record(noted), "dataset": self._dataset(dataset, where)}
                for noted, dataset in output.link.registered.values()
            ]
        return self._numbers[id(output)]

    def _output_values(self, output: StepOutput, where: str) -> JsonObject:
        if isinstance(output, PipelineData):
            own = {"name": output.name, "datastore": output.datastore}
            return {KIND: "PipelineData", "values": self.mapping(own, f"{where}: ")}
        assert isinstance(output, OutputFileDatasetConfig)
        given: JsonObject = {"name": output.name, "destination": output.destination}
        noted = output.registration
        return {
            KIND: "OutputFileDatasetConfig",
            "values": self.mapping(given, f"{where}: "),
            "registration": to_record(noted),
            "overwrite": output.overwrite,
        }


class _Reader(Reader):
    """The way back."""

    def __init__(self, plain: JsonObject, workspace: Workspace) -> None:
        kinds: Mapping[str, Callable[[JsonObject], Any]] = {
            "config": lambda plain: ParallelRunConfig(**self.mapping(plain["values"])),
            "dataset": self._dataset,
            "datastore": self._datastore,
            "environment": lambda plain: Environment.from_record(plain["record"]),
            "output": self._output,
            "parameter": self._parameter,
            "runconfig": lambda plain: RunConfiguration.from_record(plain["record"]),
            "target": self._target,
            "text": lambda plain: WithText(**self.mapping(plain["values"])),
            "use": lambda plain: DatasetConsumptionConfig(**self.mapping(plain["values"])),
        }
        super().__init__({}, kinds, sequence=list)
        self._plain = plain
        self._workspace = workspace
        self._links: dict[int, OutputId] = {}
        self._outputs: dict[int, StepOutput] = {}
        self._datasets: dict[int, Items] = {}
        self._parameters: dict[str, PipelineParameter] = {}

    def _datastore(self, plain: JsonObject) -> Datastore:
        reference = plain["reference"]
        return Datastore(self._workspace.home_of(reference), reference["name"])

    def _target(self, plain: JsonObject) -> ComputeTarget | str:
        reference = plain["reference"]
        try:
            return ComputeTarget(self._workspace.home_of(reference), reference["name"])
        except ComputeTargetException:
            return str(reference["name"])  # that it is gone is said at submit

    def _parameter(self, plain: JsonObject) -> PipelineParameter:
        name = plain["name"]
        if name not in self._parameters:
            default = self.value(self._plain["parameters"][name])
            self._parameters[name] = PipelineParameter(name, default)
        return self._parameters[name]

    def _dataset(self, plain: JsonObject) -> Items:
        number = plain["number"]
        if number not in self._datasets:
            kept = self._plain["datasets"][number]
            made = cast("Items", from_plain(kept["definition"], self._place))
            if kept.get("written"):
                made = as_written(made)
            if kept["registered"] is not None:
                named(made, Named(self._workspace, **kept["registered"]))
            self._datasets[number] = made
        return self._datasets[number]

    def _place(self, reference: JsonObject) -> Place:
        if "output" in reference:
            return PendingOutput(self._output({"number": reference["output"]}))
        return self._workspace.place_of(reference)

    def _output(self, plain: JsonObject) -> StepOutput:
        number = plain["number"]
        if number not in self._outputs:
            kept = self._plain["outputs"][number]
            made = self._outputs[number] = self._made_output(kept)
            for each in kept.get("registered", ()):
                noted = registration(**each["as"])
                made.link.registered.setdefault(noted.name, (noted, self._dataset(each["dataset"])))
        return self._outputs[number]

    def _made_output(self, plain: JsonObject) -> StepOutput:
        values = self.mapping(plain["values"])
        link = self._links.setdefault(plain["link"], OutputId())
        if plain[KIND] == "PipelineData":
            return _joined(PipelineData(**values), link)
        destination = values["destination"]
        if isinstance(destination, list):
            values["destination"] = tuple(destination)
        made = _joined(OutputFileDatasetConfig(**values), link)
        noted = plain["registration"]
        if noted is not None:
            made = made.register_on_complete(**noted)
        return made.as_upload(plain["overwrite"])


def _joined(output: Output, link: OutputId) -> Output:
    object.__setattr__(output, "link", link)  # a new one that nobody has seen
    return output
