"""What a step run is made of, kept in its folder: another process can drive it from there."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from daskrun.core.settings import ASIDE, NodePath, RunSettings
from daskrun.data.dataset_codec import from_plain, places_of, registered_name, to_plain
from daskrun.data.datasets import Dataset
from daskrun.data.file_dataset import FileDataset
from daskrun.data.protocols import shown_url
from daskrun.data.registration import has_secret
from daskrun.engine.request import ScriptSource, StepRequest
from daskrun.errors import DatasetError, ResumeError, StorageError
from daskrun.output.destination import output_place
from daskrun.pipeline.records import side_changes
from daskrun.pipeline.records.run_output import KeptPlace, RunOutputPlace
from daskrun.pipeline.steps.inputs import ScriptPlan, make_plan
from daskrun.pipeline.steps.side_inputs import (
    SideInput,
    by_name,
    check_whole,
    described,
    packages,
    paths_asked,
)
from daskrun.storage.durable import write_whole
from daskrun.workspace.compute.targets import ComputeTarget
from daskrun.workspace.datastores.datastore import Datastore
from daskrun.workspace.run_folders.run_folder import SNAPSHOT

if TYPE_CHECKING:
    from pathlib import Path

    from daskrun.core.minibatch import Plan
    from daskrun.data.protocols import Place
    from daskrun.pipeline.steps.inputs import AnyDataset
    from daskrun.workspace.run_folders.run_folder import RunFolder
    from daskrun.workspace.workspace import Workspace

SCRIPT = "script"
"""Name of what a script that is run as a whole is run over: itself."""
FILE = "resume.json"
"""In the step run's folder, until it is Completed. For this user's eyes only: environment
variables, URLs and connections may hold secrets."""
OF_DATA = ("inputs", "side_inputs")
"""What of it tells where data are."""
SECRET = (
    "an input's URL holds a password or query, which everybody could read who may read the "
    "workspace. Register a datastore with EnvironmentVariable('NAME') in the place of what is "
    "secret, and use that."
)
STORED = ("inputs", "side_inputs")
"""Folders of dataframes, in the step run's where it has no output folder."""
LAYOUT = 2
"""Raised when what was kept before can't be read any more."""
AGAIN = "Submit the pipeline again for a new run."


@dataclass(frozen=True)
class Recipe:
    """All that a request is made of, but the plan and what the engine runs on."""

    step_name: str
    settings: RunSettings
    inputs: tuple[tuple[str, AnyDataset], ...]
    """Dataframes as the files they were stored in."""
    script: ScriptSource
    store: Datastore | None
    """Where the output goes; None: there is none."""
    path: str
    """The output's folder in ``store``."""
    target: ComputeTarget | str | None
    """As ``ParallelRunConfig.compute_target``."""
    context: dict[str, Any]
    """As in ``StepRequest``, without what the plan tells."""
    after: tuple[str, ...] = ()
    """Ids of the step runs that come before it."""
    side_inputs: tuple[SideInput, ...] = ()
    """What is whole on each node."""
    outputs: tuple[tuple[str, Datastore, str], ...] = ()
    """Name, datastore and folder there of all that the step writes."""
    registrations: tuple[dict[str, Any], ...] = ()
    """What is registered as a dataset when it has completed; see :func:`run_output.register`."""
    no_reuse: str = ""
    """Why no earlier run's output may be used, ``""`` where one may."""

    @property
    def waits(self) -> bool:
        """Whether its plan can be made only when others have run."""
        return any(isinstance(place, RunOutputPlace) for place in self._places)

    @property
    def _places(self) -> list[Place]:
        return [place for _, each in self.inputs for place in places_of(each)]

    def plan(self) -> Plan:
        """Make the plan of its inputs.

        Raises
        ------
        DatasetError
            They hold nothing, or can't be read.
        """
        if self.script.whole:
            [(name, script)] = self.inputs
            assert isinstance(script, FileDataset)
            return ScriptPlan([(name, script)], 1)
        return make_plan(self.inputs, self.settings)

    def side_input_changes(self, folder: RunFolder) -> list[str]:
        """Return what of the side inputs is not what a run has begun with; see there."""
        asked = paths_asked(self.settings)
        return side_changes.side_input_changes(folder, self.side_inputs, asked)

    def keep(self, folder: RunFolder, workspace: Workspace) -> None:
        """Keep it in the folder of its run.

        What only this process knows can't be kept; the file then says so.
        """
        try:
            value = self._as_plain(workspace)
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
    def load(cls, folder: RunFolder, workspace: Workspace) -> Recipe:
        """Return what was kept in the folder of a run.

        Raises
        ------
        ResumeError
            It isn't there, or can't be used.
        """
        value = _read(folder)
        script = _script(value["script"], folder.path / SNAPSHOT)
        try:
            inputs, side_inputs = _inputs(value, workspace), _side_inputs(value, workspace)
        except DatasetError as error:
            raise ResumeError(f"run {folder.id} can't go on here: {error}") from error
        output, target = value["output"], value["target"]
        if isinstance(target, dict):
            target = ComputeTarget(workspace.home_of(target), target["name"])
        return cls(
            step_name=value["step"],
            settings=_settings(value["settings"]),
            inputs=((SCRIPT, itself(script)),) if script.whole else tuple(inputs),
            script=script,
            store=_store(output["datastore"], workspace) if output else None,
            path=output["path"] if output else "",
            target=target,
            context={**value["context"], "workspace": workspace.location},
            after=tuple(value["after"]),
            side_inputs=tuple(side_inputs),
            outputs=tuple(
                (each["name"], _store(each["datastore"], workspace), each["path"])
                for each in value.get("outputs", ())
            ),
            registrations=tuple(value["registrations"]),
            no_reuse=value["no_reuse"],
        )

    def prepare_output(self, run_id: str) -> None:
        """See that the output can still be written.

        Raises
        ------
        SettingsError
            It can't.
        """
        if self.store is not None:
            location = self._url or self._folder
            assert location
            # An output that is there may be this run's own: the driver finds that out.
            output_place(location, self.store.storage_options, run_id).prepare(None, True)

    def request(
        self,
        folder: RunFolder,
        plan: Plan,
        target: object,
        *,
        resumed: bool = False,
        retry_failed: bool = False,
    ) -> StepRequest:
        """Return what the driver is asked.

        Parameters
        ----------
        folder
            The step run's.
        plan
            Of ``inputs``.
        target
            What the engine makes of :attr:`target`.
        resumed, retry_failed
            As in ``StepRequest``.

        Raises
        ------
        DatasetError
            A side input holds nothing, or can't be read.
        """
        asked = paths_asked(self.settings)
        check_whole(asked, plan.inputs)
        return StepRequest(
            run_id=folder.id,
            step_name=self.step_name,
            run_folder=folder.path,
            output_folder=self._folder,
            settings=self.settings,
            plan=plan,
            script=self.script,
            target=target,
            context={
                **self.context,
                "input_datasets": {
                    **{each.name: shown_url(each.root) for each in plan.inputs},
                    **dict.fromkeys((each.name for each in self.side_inputs), ""),
                },
                "tables": [
                    name
                    for name, each in (*self.inputs, *by_name(self.side_inputs).items())
                    if each.kind == "tabular"
                ],
            },
            side_inputs=described(self.side_inputs, asked),
            packages=tuple(packages(self.side_inputs)),
            outputs={name: _where(store, path) for name, store, path in self.outputs},
            output_url=self._url,
            output_options=dict(self.store.storage_options) if self.store is not None else {},
            resumed=resumed,
            retry_failed=retry_failed,
        )

    def leave_output(self, run_id: str) -> None:
        """Remove the folders that were made for the output, which another run's is used for."""
        if self._folder is None:
            return
        folder = self._folder / ASIDE / run_id
        with suppress(OSError):  # others use it too
            while folder.name == ASIDE or run_id in folder.parts:
                folder.rmdir()
                folder = folder.parent

    @property
    def _folder(self) -> Path | None:
        root = self.store.folder if self.store is not None else None
        return root / self.path if root is not None else None

    @property
    def _url(self) -> str:
        store = self.store
        return "" if store is None or store.is_local else store.url(self.path)

    def _as_plain(self, workspace: Workspace) -> dict[str, Any]:
        target: Any = self.target
        if isinstance(target, ComputeTarget):
            target = workspace.reference_to(target)

        def name_of(place: Place) -> Any:
            if isinstance(place, RunOutputPlace):
                return {"run": place.run_id, "output": place.name}
            if isinstance(place, KeptPlace):
                return {"run": place.run_id, "kept": place.name}
            registered_name(place)
            return workspace.reference_to(place)

        script = asdict(self.script)
        script.pop("snapshot")
        return {
            "step": self.step_name,
            "settings": asdict(self.settings),
            "inputs": [
                {"name": name, "dataset": to_plain(each, name_of)} for name, each in self.inputs
            ],
            "side_inputs": [
                {
                    "name": each.name,
                    "dataset": to_plain(each.dataset, name_of),
                    "mode": each.mode,
                    "path_on_compute": each.path_on_compute,
                }
                for each in self.side_inputs
            ],
            "outputs": [
                {"name": name, "datastore": name_of(store), "path": path}
                for name, store, path in self.outputs
            ],
            "script": script,
            "output": self.store and {"datastore": name_of(self.store), "path": self.path},
            "target": target,
            "context": self.context,
            "after": self.after,
            "registrations": self.registrations,
            "no_reuse": self.no_reuse,
        }


def itself(script: ScriptSource) -> FileDataset:
    """Return what a script that is run as a whole is run over."""
    return Dataset.File.from_files(str(script.snapshot / script.file), validate=False)


def forget(folder: RunFolder) -> None:
    """Remove what was kept: the run is Completed."""
    folder.drop(FILE, side_changes.FOLDER, *STORED)


def kept_inputs(folder: RunFolder, workspace: Workspace) -> dict[str, AnyDataset]:
    """Return the inputs and side inputs of a run that goes on, by name.

    Raises
    ------
    ResumeError
        They were not kept, as what only the process that submitted the run knows.
    DatasetError
        They can't be made again here.
    """
    value = _read(folder)
    return {**dict(_inputs(value, workspace)), **by_name(_side_inputs(value, workspace))}


def _inputs(value: dict[str, Any], workspace: Workspace) -> list[tuple[str, AnyDataset]]:
    return [(each["name"], _dataset(each, workspace)) for each in value["inputs"]]


def _dataset(value: dict[str, Any], workspace: Workspace) -> AnyDataset:
    made = from_plain(value["dataset"], lambda reference: _place(reference, workspace))
    return cast("AnyDataset", made)


def _side_inputs(value: dict[str, Any], workspace: Workspace) -> list[SideInput]:
    return [
        SideInput(
            each["name"],
            _dataset(each, workspace),
            each["mode"],
            each["path_on_compute"],
        )
        for each in value.get("side_inputs", ())
    ]


def _read(folder: RunFolder) -> dict[str, Any]:
    try:
        value = json.loads((folder.path / FILE).read_bytes())
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
    return dict(value)


def _place(reference: dict[str, str], own: Workspace) -> Place:
    if "kept" in reference:
        return KeptPlace(own, reference["run"], reference["kept"])
    if "run" in reference:
        return RunOutputPlace(own, reference["run"], reference["output"])
    return _store(reference, own)


def _store(reference: dict[str, str], own: Workspace) -> Datastore:
    return Datastore(own.home_of(reference), reference["name"])


def _where(store: Datastore, path: str) -> dict[str, Any]:
    if store.is_local:
        return {"folder": store.url(path)}
    return {"url": store.url(path), "options": dict(store.storage_options)}


def _settings(value: dict[str, Any]) -> RunSettings:
    keys = value["partition_keys"]
    return RunSettings(
        **{
            **value,
            "partition_keys": tuple(keys) if keys is not None else None,
            "arguments": tuple(
                NodePath(**each) if isinstance(each, dict) else each for each in value["arguments"]
            ),
            "requirements": tuple(value.get("requirements", ())),
        }
    )


def _script(value: dict[str, Any], snapshot: Path) -> ScriptSource:
    # Where the workspace has been moved since, a script in the snapshot has moved with it.
    inside = value["extra_path"] is None
    shown_as = str(snapshot / value["file"]) if inside else value["shown_as"]
    return ScriptSource(snapshot, value["file"], shown_as, value["extra_path"], value["whole"])
