"""From what was put together to what the driver is asked: everything looked up, nothing started."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from daskrun.core.settings import ASIDE, RunSettings
from daskrun.data.protocols import shown_url
from daskrun.engine.request import StepRequest
from daskrun.engine.target import INLINE
from daskrun.errors import ComputeTargetException, SettingsError
from daskrun.output.encode import read_settings
from daskrun.output.formats import contradictions
from daskrun.output.place import output_place
from daskrun.pipeline.inputs import make_plan, size_notes, stored, wait_for_rows, with_size
from daskrun.pipeline.parameter import resolve_value
from daskrun.pipeline.recipe import Recipe
from daskrun.pipeline.snapshot import Snapshot, find_code
from daskrun.pipeline.target import NOT_INLINE, find_target, inline_note
from daskrun.storage.urls import OWN_MEMORY
from daskrun.workspace.model import model_paths

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from daskrun.core.minibatch import Plan
    from daskrun.output.place import OutputPlace
    from daskrun.pipeline.inputs import AnyDataset
    from daskrun.pipeline.pipeline import Pipeline
    from daskrun.pipeline.step import ParallelRunStep
    from daskrun.workspace.datastore import Datastore
    from daskrun.workspace.run_folder import RunFolder
    from daskrun.workspace.workspace import Workspace


@dataclass(frozen=True)
class PreparedStep:
    """A step whose every value is known and good."""

    step: ParallelRunStep
    settings: RunSettings
    plan: Plan | None
    """None: it can be made only of :meth:`with_stored_inputs`."""
    code: Snapshot
    target: object
    """As :attr:`StepRequest.target`."""
    output_store: Datastore | None
    """None: the step has no output."""
    inputs: tuple[tuple[str, AnyDataset], ...]
    """Name and dataset of what the mini-batches are cut from, parameters resolved."""
    notes: tuple[str, ...]
    """What was asked for and is not used, in words."""

    def output(self, step_run_id: str) -> dict[str, Any] | None:
        """Say where the output of a run goes: datastore, path there, folder."""
        if self.step.output is None or self.output_store is None:
            return None
        path = f"azureml/{step_run_id}/{self.step.output.name}"
        return {
            "name": self.step.output.name,
            "datastore": self.output_store.name,
            "path_on_datastore": path,
            "folder": shown_url(self.output_store.url(path)),
        }

    def check_output(self, step_run_id: str) -> None:
        """See that the output can be written, or say why that can't be.

        Raises
        ------
        SettingsError
            It can't be written, or the output is there.
        """
        place = self._output_place(step_run_id)
        if place is not None:
            name = self.settings.append_row_file_name if self.settings.appends else None
            place.prepare(name, self.settings.overwrite)

    def undo_output(self, step_run_id: str) -> None:
        """Remove what :meth:`check_output` and :meth:`with_stored_inputs` have made."""
        folder = self.output_folder(step_run_id)
        if folder is not None:
            shutil.rmtree(folder.parent, ignore_errors=True)

    def output_folder(self, step_run_id: str) -> Path | None:
        """Give the folder that the output of a run goes to; None where that is a URL."""
        output = self.output(step_run_id)
        if output is None or self.output_store is None or self.output_store.folder is None:
            return None
        return self.output_store.folder / str(output["path_on_datastore"])

    def output_url(self, step_run_id: str) -> str:
        """Give the URL that the output of a run goes to, ``""`` where that is a folder."""
        output = self.output(step_run_id)
        if output is None or self.output_store is None or self.output_store.is_local:
            return ""
        return self.output_store.url(str(output["path_on_datastore"]))

    def _output_place(self, step_run_id: str) -> OutputPlace | None:
        location = self.output_url(step_run_id) or self.output_folder(step_run_id)
        if not location or self.output_store is None:
            return None
        return output_place(location, self._output_options, step_run_id)

    def with_stored_inputs(self, run_folder: Path) -> PreparedStep:
        """Write dataframes among the inputs to files, and plan over these from then on.

        They lie beside the output, as parts do, and go with them when the run has completed; where
        that is no folder, in the run's own.

        Parameters
        ----------
        run_folder
            The step run's.

        Raises
        ------
        DatasetError
            They can't be computed or written.
        StorageError
            The cluster that is to compute them doesn't answer.
        """
        output = self.output_folder(run_folder.name)
        aside = run_folder if output is None else output / ASIDE / run_folder.name
        written = stored(self.inputs, aside / "inputs", self.settings, self.target)
        if written is None:
            return self
        return replace(self, inputs=tuple(written), plan=make_plan(written, self.settings))

    @property
    def _roots(self) -> list[str]:
        """Where each input is; ``""`` for a dataframe."""
        planned = self.plan.inputs if self.plan is not None else ()
        return [each.root for each in planned] or [""] * len(self.inputs)

    @property
    def _output_options(self) -> dict[str, Any]:
        return dict(self.output_store.storage_options) if self.output_store is not None else {}

    def story(self, step_run_id: str) -> dict[str, Any]:
        """Tell what was asked, as JSON that holds no secret."""
        plan = self.plan
        settings = asdict(self.settings)
        settings["environment_variables"] = sorted(settings["environment_variables"])
        config = self.step.parallel_run_config
        return {
            "kind": "step",
            "name": self.step.name,
            "settings": settings,
            "entry_script": str(self.code.root / self.code.entry_script),
            "inputs": [
                {"name": name, "dataset": repr(dataset), "root": shown_url(root)}
                | ({"registered": dataset.id} if dataset.id else {})
                for root, (name, dataset) in zip(self._roots, self.inputs, strict=True)
            ],
            "mini_batches": plan.known if plan is not None and plan.complete else None,
            "output": self.output(step_run_id),
            "compute_target": repr(config.compute_target),
            "environment": config.environment.as_record() if config.environment else None,
            "description": config.description,
        }

    def request(
        self, run: RunFolder, pipeline_run_id: str, workspace: Workspace, experiment: str
    ) -> StepRequest:
        """Copy the code into the run's folder and give what the driver is asked."""
        assert self.plan is not None
        context = {
            "workspace": str(workspace.folder),
            "experiment": experiment,
            "run_id": run.id,
            "pipeline_run_id": pipeline_run_id,
            "step_name": self.step.name,
            "models": model_paths(workspace),
            "input_datasets": {each.name: shown_url(each.root) for each in self.plan.inputs},
            "tables": [name for name, each in self.inputs if each.kind == "tabular"],
        }
        return StepRequest(
            run_id=run.id,
            step_name=self.step.name,
            run_folder=run.path,
            output_folder=self.output_folder(run.id),
            settings=self.settings,
            plan=self.plan,
            script=self.code.copy(run.path / "snapshot"),
            target=self.target,
            context=context,
            output_url=self.output_url(run.id),
            output_options=self._output_options,
        )

    def recipe(self, request: StepRequest) -> Recipe:
        """Give what its run can be made of again by another process."""
        output = self.output(request.run_id)
        return Recipe(
            step_name=self.step.name,
            settings=self.settings,
            inputs=self.inputs,
            script=request.script,
            store=self.output_store if output else None,
            path=str(output["path_on_datastore"]) if output else "",
            target=self.step.parallel_run_config.compute_target,
            context=request.context,
        )


def prepare(pipeline: Pipeline, given: Mapping[str, Any]) -> list[PreparedStep]:
    """Look up and check everything of a pipeline.

    Raises
    ------
    SettingsError
        With all problems of all steps.
    DatasetError
        An input holds nothing, or can't be read.
    """
    if os.name == "nt":
        problem = "daskrun runs on Linux and macOS. On Windows use it inside WSL: wsl --install"
        raise SettingsError("submit", [problem])
    pipeline.check_parameters(given)
    problems: list[str] = []
    checked = [_check_step(step, pipeline.workspace, given, problems) for step in pipeline.steps]
    if problems:
        raise SettingsError("submit", problems)
    # Files are listed last: that may take long, and a mistake is better told at once.
    return [_plan(step, found, given) for step, found in zip(pipeline.steps, checked, strict=True)]


@dataclass(frozen=True)
class _Checked:
    settings: RunSettings
    code: Snapshot
    target: object
    store: Datastore | None
    notes: tuple[str, ...]


def _check_step(
    step: ParallelRunStep, workspace: Workspace, given: Mapping[str, Any], problems: list[str]
) -> _Checked:
    """Check all of a step but its data; problems are added to the list."""
    # A step may have been changed since it was made, as the original's samples do.
    found = step.problems(given)
    settings = code = store = None
    target: object = None
    notes: list[str] = []
    try:
        settings = step.resolve(given, {})
        code = find_code(settings, workspace.folder)
        settings = step.resolve(given, _read_settings(code.script_folder))
        found += contradictions(settings.append_row_format, settings.append_row_settings)
    except SettingsError as error:
        found += error.problems
    try:
        config = step.parallel_run_config
        count = resolve_value(config.node_count, given)
        target, notes = find_target(config.compute_target, count, workspace)
    except (SettingsError, ComputeTargetException) as error:
        found += error.problems if isinstance(error, SettingsError) else [str(error)]
    if step.output is not None:
        store = step.output.datastore or workspace.get_default_datastore()
        found += _output_problems(step.output.name, store, settings, target)
    problems += [f"step {step.name!r}: {text}" for text in dict.fromkeys(found)]
    if settings is not None and target == INLINE:
        notes += _inline_notes(step, settings, given)
    environment = step.parallel_run_config.environment
    if environment is not None and environment.unused:
        notes.append(
            f"environment {environment.name!r}: {', '.join(environment.unused)} recorded and not "
            "used; script processes use the Python of the node they are on."
        )
    return _Checked(settings, code, target, store, tuple(notes))  # type: ignore[arg-type]


def _output_problems(
    name: str, store: Datastore, settings: RunSettings | None, target: object
) -> list[str]:
    """Say why an output can't go to a datastore that is a URL."""
    if store.is_local or settings is None:
        return []
    shown = f"output={name!r} is in datastore {store.name!r} at {shown_url(store.url())}"
    if store.url().partition("://")[0] in OWN_MEMORY and target != INLINE:
        problem = (
            f"{shown}, which is this process's own memory: script processes can't write there. "
            "Write compute_target='inline', or give another datastore."
        )
        return [problem]
    return []


def _inline_notes(
    step: ParallelRunStep, settings: RunSettings, given: Mapping[str, Any]
) -> list[str]:
    """Say which settings were given and mean nothing in this process."""
    config = step.parallel_run_config
    usual = RunSettings(entry_script="")
    unused = [
        f"{name}={resolve_value(getattr(config, name), given)!r}"
        for name in NOT_INLINE
        if getattr(settings, name) not in (getattr(usual, name), 1 if "count" in name else None)
    ]
    return [inline_note(unused)] if unused else []


def _read_settings(script_folder: Path) -> dict[str, Any]:
    """Read the settings file beside the script; each problem names it."""
    try:
        return read_settings(script_folder)
    except SettingsError as error:
        named = [f"{error.subject}: {problem}" for problem in error.problems]
        raise SettingsError(error.subject, named) from error


def _plan(step: ParallelRunStep, found: _Checked, given: Mapping[str, Any]) -> PreparedStep:
    inputs = tuple((name, each.resolve(given)) for name, each in step.named_inputs)
    settings = with_size(found.settings, inputs[0][1].kind)
    plan = None if wait_for_rows(inputs) else make_plan(inputs, settings)
    size = resolve_value(step.parallel_run_config.mini_batch_size, given)
    small = size_notes(found.settings, inputs[0][1].kind, size)
    planned = plan.inputs if plan is not None else ()
    notes = (*found.notes, *small, *(text for each in planned for text in each.warnings))
    return PreparedStep(step, settings, plan, found.code, found.target, found.store, inputs, notes)
