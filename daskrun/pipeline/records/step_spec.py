"""What a step run is made of, kept in its folder: another process can drive it from there."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from daskrun.core.codec import JsonObject, from_record, record, to_record
from daskrun.core.json_text import parsed
from daskrun.core.settings import ASIDE, RunSettings
from daskrun.data.dataset_codec import from_plain, places_of, registered_name, to_plain
from daskrun.data.datasets import Dataset
from daskrun.data.file_dataset import FileDataset
from daskrun.data.items import Items
from daskrun.data.protocols import shown_url
from daskrun.data.registration import has_secret
from daskrun.engine.request import ScriptSource, StepRequest
from daskrun.errors import DatasetError, ResumeError, StorageError
from daskrun.output.destination import destination_of
from daskrun.pipeline.records import changes
from daskrun.pipeline.records.run_output import KeptPlace, OutputRegistration, RunOutputPlace
from daskrun.pipeline.steps.inputs import Input, ScriptPlan, make_plan
from daskrun.pipeline.steps.side_inputs import (
    SideInput,
    check_whole,
    described,
    packages,
    paths_asked,
)
from daskrun.script.context import ScriptContext
from daskrun.script.process_spec import ScriptOutput
from daskrun.storage.durable import read_file, write_whole
from daskrun.workspace.compute.targets import ComputeTarget
from daskrun.workspace.datastores.datastore import Datastore
from daskrun.workspace.run_folders.run_folder import SNAPSHOT

if TYPE_CHECKING:
    from pathlib import Path

    from daskrun.core.codec import Converters, Made
    from daskrun.core.minibatch import Plan
    from daskrun.data.protocols import Place
    from daskrun.workspace.run_folders.run_folder import RunFolder
    from daskrun.workspace.workspace import Workspace

SCRIPT = "script"
"""Name of what a script that is run as a whole is run over: itself."""
FILE = "resume.json"
"""In the step run's folder, until it is Completed. For this user's eyes only: environment
variables, URLs and connections may hold secrets."""
OF_DATA = ("inputs", "side_inputs")
"""What of it tells where data are; folders of dataframes, in the step run's where it has no output
folder, have these names too."""
SECRET = (
    "an input's URL holds a password or query, which everybody could read who may read the "
    "workspace. Register a datastore with EnvironmentVariable('NAME') in the place of what is "
    "secret, and use that."
)
LAYOUT = 2
"""Raised when what was kept before can't be read any more."""
AGAIN = "Submit it again for a new run."


@record
@dataclass(frozen=True)
class OutputFolder:
    """Where results go."""

    datastore: Datastore
    path: str

    @property
    def folder(self) -> Path | None:
        """The folder; None for a URL."""
        root = self.datastore.folder
        return root / self.path if root is not None else None

    @property
    def url(self) -> str:
        """The URL; ``""`` for a folder."""
        return "" if self.datastore.is_local else self.datastore.url(self.path)

    @property
    def as_told(self) -> ScriptOutput:
        """What nodes are told; see ``StepRequest.outputs``."""
        if self.datastore.is_local:
            return ScriptOutput(folder=self.datastore.url(self.path))
        return ScriptOutput(url=self.url, options=dict(self.datastore.storage_options))


@record
@dataclass(frozen=True)
class StepOutputFolder(OutputFolder):
    """Where an output of a step goes."""

    name: str


@record
@dataclass(frozen=True, kw_only=True)
class StepData:
    """The data that a step run uses."""

    inputs: tuple[Input, ...]
    side_inputs: tuple[SideInput, ...] = ()
    """What is whole on each node."""


@record
@dataclass(frozen=True, kw_only=True)
class StepSpec(StepData):
    """All that a request is made of, but the plan and what the engine runs on.

    This is what ``resume.json`` holds, by the names of the fields.
    """

    step: str
    """The step's name."""
    settings: RunSettings
    script: ScriptSource
    output: OutputFolder | None
    """Where the results go; None: nowhere."""
    target: ComputeTarget | str | None
    """As ``ParallelRunConfig.compute_target``."""
    context: dict[str, Any]
    """As in ``StepRequest``, without what the plan tells."""
    after: tuple[str, ...] = ()
    """Ids of the step runs that come before it."""
    outputs: tuple[StepOutputFolder, ...] = ()
    """All that the step writes."""
    registrations: tuple[OutputRegistration, ...] = ()
    """What is registered as a dataset when it has completed."""
    no_reuse: str = ""
    """Why no earlier run's output may be used, ``""`` where one may."""

    @property
    def waits(self) -> bool:
        """Whether its plan can be made only when others have run."""
        return any(isinstance(place, RunOutputPlace) for place in self._places)

    @property
    def _places(self) -> list[Place]:
        return [place for each in self.inputs for place in places_of(each.dataset)]

    def plan(self) -> Plan:
        """Make the plan of its inputs."""
        if self.script.whole:
            script = self.inputs[0].dataset
            assert isinstance(script, FileDataset)
            return ScriptPlan([(SCRIPT, script)], 1)
        shuffled = all(each.is_shuffled for each in self.inputs)
        inputs = [(each.name, each.dataset) for each in self.inputs]
        return make_plan(inputs, self.settings, shuffled)

    def side_input_changes(self, folder: RunFolder) -> list[str]:
        """Return what of the side inputs is not what a run has begun with; see there."""
        asked = paths_asked(self.settings)
        return changes.side_input_changes(folder, self.side_inputs, asked)

    def keep(self, folder: RunFolder, workspace: Workspace) -> None:
        """Keep it in the folder of its run; of what only this process knows the file says so."""
        try:
            value = to_record(self, _converters(workspace))
        except DatasetError as error:
            value = {"unkept": str(error)}
        if not workspace.private.keeps and has_secret([value.get(name) for name in OF_DATA]):
            value = {"unkept": SECRET}
        try:
            data = json.dumps({"layout": LAYOUT, **value}).encode()
            write_whole(folder.path / FILE, data, mode=0o600)
        except OSError as error:
            raise StorageError(f"can't write {folder.path / FILE}: {error}") from error
        folder.push()

    @classmethod
    def load(cls, folder: RunFolder, workspace: Workspace) -> StepSpec:
        """Return what was kept in the folder of a run; ResumeError where it can't be used."""
        value = _read(folder)
        value["context"]["workspace"] = workspace.location
        try:
            spec = from_record(cls, value, _made(folder, workspace))
        except DatasetError as error:
            raise ResumeError(f"run {folder.id} can't go on here: {error}") from error
        return replace(spec, inputs=itself(spec.script)) if spec.script.whole else spec

    def prepare_output(self, run_id: str) -> None:
        """Raise SettingsError where the output can't be written any more."""
        if self.output is not None:
            location = self.output.url or self.output.folder
            assert location
            # An output that is there may be this run's own: the driver finds that out.
            options = self.output.datastore.storage_options
            destination_of(location, options, run_id).prepare(None, True)

    def request(
        self,
        folder: RunFolder,
        plan: Plan,
        target: object,
        *,
        resumed: bool = False,
        retry_failed: bool = False,
    ) -> StepRequest:
        """Return the request for the driver; ``target`` is what the engine makes of the spec's."""
        asked, output = paths_asked(self.settings), self.output
        check_whole(asked, plan.inputs)
        return StepRequest(
            run_id=folder.id,
            step_name=self.step,
            run_folder=folder.path,
            output_folder=output.folder if output is not None else None,
            settings=self.settings,
            plan=plan,
            script=self.script,
            target=target,
            context=ScriptContext(
                **self.context,
                input_datasets={
                    **{each.name: shown_url(each.root) for each in plan.inputs},
                    **dict.fromkeys((each.name for each in self.side_inputs), ""),
                },
                tables=tuple(
                    each.name
                    for each in (*self.inputs, *self.side_inputs)
                    if each.dataset.kind == "tabular"
                ),
            ),
            side_inputs=described(self.side_inputs, asked),
            packages=tuple(packages(self.side_inputs)),
            outputs={each.name: each.as_told for each in self.outputs},
            output_url=output.url if output is not None else "",
            output_options=dict(output.datastore.storage_options) if output is not None else {},
            resumed=resumed,
            retry_failed=retry_failed,
        )

    def leave_output(self, run_id: str) -> None:
        """Remove the folders that were made for the output, which another run's is used for."""
        if self.output is None or self.output.folder is None:
            return
        folder = self.output.folder / ASIDE / run_id
        with suppress(OSError):  # others use it too
            while folder.name == ASIDE or run_id in folder.parts:
                folder.rmdir()
                folder = folder.parent


def itself(script: ScriptSource) -> tuple[Input, ...]:
    """Return what a script that is run as a whole is run over."""
    dataset = Dataset.File.from_files(str(script.snapshot / script.file), validate=False)
    return (Input(SCRIPT, dataset),)


def forget(folder: RunFolder) -> None:
    """Remove what was kept: the run is Completed."""
    folder.drop(FILE, changes.SIDE_FOLDER, *OF_DATA)


def why_unkept(folder: RunFolder) -> str:
    """Return why no other process can drive a run that was just submitted; ``""`` if one can."""
    return str(parsed(read_file(folder.path / FILE)).get("unkept", ""))


def kept_inputs(folder: RunFolder, workspace: Workspace) -> dict[str, Items]:
    """Return the inputs and side inputs of a run that goes on, by name.

    ResumeError is raised where they were not kept, DatasetError where they can't be made again
    here.
    """
    value = _read(folder)
    data = {name: value[name] for name in OF_DATA if name in value}
    used = from_record(StepData, data, _made(folder, workspace))
    return {each.name: each.dataset for each in (*used.inputs, *used.side_inputs)}


def _read(folder: RunFolder) -> JsonObject:
    try:
        value = parsed(read_file(folder.path / FILE))
    except FileNotFoundError:
        raise ResumeError(
            f"run {folder.id} can't go on: its folder has no {FILE}, so it was interrupted while "
            f"it was being submitted, or an older daskrun made it. {AGAIN}"
        ) from None
    except (OSError, ValueError) as error:
        raise ResumeError(f"run {folder.id}: {FILE} can't be read: {error}. {AGAIN}") from error
    if value.get("layout") != LAYOUT:
        raise ResumeError(
            f"run {folder.id}: {FILE} has layout {value.get('layout')!r}, and this daskrun knows "
            f"layout {LAYOUT}. Resume it with the version that has made it. {AGAIN}"
        )
    if "unkept" in value:
        raise ResumeError(f"run {folder.id} can't go on: {value['unkept']} {AGAIN}")
    value.pop("layout")
    return dict(value)


def _converters(workspace: Workspace) -> Converters:
    """Return how what is no record is written."""

    def reference_to(place: Place) -> JsonObject:
        if isinstance(place, RunOutputPlace):
            return {"run": place.run_id, "output": place.name}
        if isinstance(place, KeptPlace):
            return {"run": place.run_id, "kept": place.name}
        registered_name(place)
        return workspace.reference_to(place)

    return (
        (Items, lambda dataset, _: to_plain(dataset, reference_to)),
        (Datastore, lambda store, _: reference_to(store)),
        (ComputeTarget, lambda target, _: workspace.reference_to(target)),
        (ScriptSource, lambda script, _: {**vars(script), "snapshot": None}),
    )


def _made(folder: RunFolder, workspace: Workspace) -> Made:
    """Return how what is no record is made again."""

    def place(reference: JsonObject) -> Place:
        if "kept" in reference:
            return KeptPlace(workspace, reference["run"], reference["kept"])
        if "run" in reference:
            return RunOutputPlace(workspace, reference["run"], reference["output"])
        return store(reference)

    def store(reference: JsonObject) -> Datastore:
        return Datastore(workspace.home_of(reference), reference["name"])

    def target(reference: JsonObject) -> ComputeTarget:
        return ComputeTarget(workspace.home_of(reference), reference["name"])

    def script(value: JsonObject) -> ScriptSource:
        # Where the workspace has been moved since, a script in the snapshot has moved with it.
        snapshot = folder.path / SNAPSHOT
        inside = value["extra_path"] is None
        shown_as = str(snapshot / value["file"]) if inside else value["shown_as"]
        return ScriptSource(**{**value, "snapshot": snapshot, "shown_as": shown_as})

    return {
        Items: lambda plain: from_plain(plain, place),
        Datastore: store,
        ComputeTarget: target,
        ScriptSource: script,
    }
