"""What the steps of a submitted run write, and where it really is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from daskrun.core.codec import KIND, from_record, record
from daskrun.core.json_text import parsed
from daskrun.core.report import RunStatus
from daskrun.data.dataset_codec import from_plain, to_plain
from daskrun.data.datasets import Dataset
from daskrun.data.protocols import shown_url
from daskrun.data.registration import register_once
from daskrun.errors import DaskrunError, NameNotFoundError
from daskrun.pipeline.records.output_data import OutputData
from daskrun.pipeline.steps.written import Registration
from daskrun.workspace.datastores.datastore import Datastore
from daskrun.workspace.run_folders.run_records import OutputRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from daskrun.data.items import Items
    from daskrun.pipeline.steps.outputs import StepOutput
    from daskrun.workspace.run_folders.run_folder import RunFolder
    from daskrun.workspace.workspace import Workspace


def output_record(output: StepOutput, step_run_id: str, workspace: Workspace) -> OutputRecord:
    """Return where an output of a run goes."""
    store, path = output._place(step_run_id, workspace)
    return OutputRecord(output.name, store.name, path, shown_url(store.url(path)))


@record
@dataclass(frozen=True, kw_only=True)
class OutputRegistration(Registration):
    """Which output becomes a registered dataset, and under which name."""

    output: str
    dataset: str = ""
    """What it is read as, as JSON of :func:`to_plain`; ``""``: all its files."""


def registrations(outputs: Iterable[StepOutput]) -> tuple[OutputRegistration, ...]:
    """Return which outputs are registered when their step has completed."""
    found = []
    for output in outputs:
        noted = [(getattr(output, "registration", None), "")]
        noted += [
            (each, json.dumps(to_plain(dataset, lambda _: "")))
            for each, dataset in output.link.registered.values()
        ]
        found += [
            OutputRegistration(
                each.name, each.description, each.tags, output=output.name, dataset=dataset
            )
            for each, dataset in noted
            if each is not None
        ]
    return tuple(found)


def register(workspace: Workspace, folder: RunFolder, wanted: Iterable[OutputRegistration]) -> None:
    """Register outputs of a completed step run as datasets, each a new version.

    It changes nothing where it is done again, by a driver that goes on after another was killed.
    """
    for each in wanted:
        found = find_output(workspace, folder, each.output, RunStatus.COMPLETED.value)
        dataset: Items
        if each.dataset:
            below = _below(found.path_on_datastore, parsed(each.dataset))
            dataset = cast("Items", from_plain(below, {"": found.datastore}.__getitem__))
        else:
            path = found.datastore.path(found.path_on_datastore)
            dataset = Dataset.File.from_files(path)
        try:
            register_once(
                dataset,
                workspace,
                each.name,
                owner=f"output {each.output} of {folder.id}",
                description=each.description,
                tags=each.tags,
            )
        except DaskrunError as error:
            raise DaskrunError(
                f"its output {each.output!r} is there, but can't be registered as dataset "
                f"{each.name!r}: {error}"
            ) from error


def _below(folder: str, plain: Any) -> Any:
    """Return a dataset of an output, as JSON, as one of a datastore in which that is a folder."""
    if isinstance(plain, list):
        return [_below(folder, each) for each in plain]
    if not isinstance(plain, dict):
        return plain
    if plain.get(KIND) == "DataPath":
        return {**plain, "path": "/".join(part for part in (folder, plain["path"]) if part)}
    return {name: _below(folder, each) for name, each in plain.items()}


def outputs_of(folder: RunFolder) -> tuple[OutputRecord, ...]:
    """Return the outputs of a step run, or those it uses instead."""
    used = (folder.reuse() or {}).get("outputs") or ()
    return tuple(from_record(OutputRecord, each) for each in used) or folder.manifest().outputs


def find_output(workspace: Workspace, folder: RunFolder, name: str, status: str) -> OutputData:
    """Return an output of a step run; NameNotFoundError is raised where there is none."""
    records = {each.name: each for each in outputs_of(folder)}
    if name not in records:
        raise NameNotFoundError("output", name, sorted(records))
    found = records[name]
    store = Datastore(workspace, found.datastore)
    return OutputData(name, store, found.path_on_datastore, status, folder)


@dataclass(frozen=True, eq=False)
class KeptPlace:
    """A folder among what is kept of a run behind a URL, as a place of datasets."""

    workspace: Workspace
    run_id: str
    name: str
    """The folder's, in the run's."""

    @property
    def storage_options(self) -> Mapping[str, object]:
        """What opens its URLs."""
        return self.workspace.site.options

    def url(self, relative: str) -> str:
        """Return the URL of a path in it."""
        kept = self.workspace.site.run_folder(self.run_id).url
        return "/".join(part for part in (kept, self.name, relative) if part)


@dataclass(frozen=True, eq=False)
class RunOutputPlace:
    """An output, by name, of a step run that goes on or is still to come, as a place of datasets.

    It holds something once that run is Completed.
    """

    workspace: Workspace
    run_id: str
    name: str

    def __repr__(self) -> str:
        return f"output {self.name!r} of {self.run_id}"

    @property
    def storage_options(self) -> Mapping[str, object]:
        """What opens its URLs."""
        return self._reference().datastore.storage_options

    def url(self, relative: str) -> str:
        """Return the local path or URL of a path in it."""
        found = self._reference()
        return found.datastore.url("/".join(p for p in (found.path_on_datastore, relative) if p))

    def _reference(self) -> OutputData:
        folder = self.workspace.site.run_folder(self.run_id)
        return find_output(self.workspace, folder, self.name, "")
