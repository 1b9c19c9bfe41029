"""From what was put together to what can be driven: everything looked up, nothing started."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from daskrun.core.codec import JsonObject, to_record
from daskrun.core.settings import ASIDE, told_settings
from daskrun.data.dataset_codec import places_of, with_places
from daskrun.data.protocols import shown_url
from daskrun.output.destination import destination_of
from daskrun.pipeline.records.run_output import (
    KeptPlace,
    RunOutputPlace,
    output_record,
    registrations,
)
from daskrun.pipeline.records.step_spec import OutputFolder, StepOutputFolder, StepSpec, itself
from daskrun.pipeline.steps.base import places_used
from daskrun.pipeline.steps.compute_target import target_name
from daskrun.pipeline.steps.inputs import Input, make_plan, stored
from daskrun.pipeline.steps.outputs import PendingOutput
from daskrun.pipeline.steps.side_inputs import stored_sides
from daskrun.shown.url_secrets import shown_text
from daskrun.workspace.models.model import models_told
from daskrun.workspace.run_folders.run_folder import SNAPSHOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskrun.core.minibatch import Plan
    from daskrun.core.settings import RunSettings
    from daskrun.data.items import Items
    from daskrun.data.protocols import Place
    from daskrun.pipeline.records.processed import LeftOut
    from daskrun.pipeline.steps.base import PipelineStep
    from daskrun.pipeline.steps.outputs import OutputId
    from daskrun.pipeline.steps.side_inputs import SideInput
    from daskrun.pipeline.steps.snapshot import Snapshot
    from daskrun.workspace.run_folders.run_folder import RunFolder
    from daskrun.workspace.workspace import Workspace


@dataclass(frozen=True)
class PreparedStep:
    """A step whose every value is known and good."""

    step: PipelineStep
    workspace: Workspace
    settings: RunSettings
    code: Snapshot
    target: object
    """As :attr:`StepRequest.target`."""
    inputs: tuple[tuple[str, Items], ...]
    """Name and dataset of what the mini-batches are cut from, parameters resolved."""
    plan: Plan | None
    """None: it can be made only of :meth:`with_stored_inputs`, or after other steps."""
    notes: tuple[str, ...]
    """What was asked for and is not used, in words."""
    side_inputs: tuple[SideInput, ...] = ()
    """What is whole on each node, parameters resolved."""
    left_out: LeftOut | None = None
    """With ``since``: the files that the plan is without."""

    def run_id(self, pipeline_run: str) -> str:
        """Return the id of the step's run, which sorts behind its pipeline's."""
        return f"{pipeline_run}-{self.step._id_part}"

    def bound(self, runs: Mapping[OutputId, str]) -> PreparedStep:
        """Return it with outputs of other steps among its inputs as those of their runs.

        ``runs`` has the id of the step run that writes an output.
        """

        def of_run(place: Place) -> Place:
            if not isinstance(place, PendingOutput):
                return place
            output = place.output
            return RunOutputPlace(self.workspace, runs[output.link], output.name)

        def bound(dataset: Items) -> Items:
            return with_places(dataset, of_run) if places_used([dataset], {}) else dataset

        inputs = tuple((name, bound(each)) for name, each in self.inputs)
        sides = tuple(replace(each, dataset=bound(each.dataset)) for each in self.side_inputs)
        return replace(self, inputs=inputs, side_inputs=sides)

    def check_output(self, step_run_id: str) -> None:
        """Raise SettingsError where the output can't be written, or is there."""
        where = self._output(step_run_id)
        if where is not None:
            options = dict(where.datastore.storage_options)
            destination = destination_of(where.folder or where.url, options, step_run_id)
            destination.prepare(self.settings.output_file, self.settings.overwrite)

    def undo_output(self, step_run_id: str) -> None:
        """Remove what :meth:`check_output` and :meth:`with_stored_inputs` have made."""
        where = self._output(step_run_id)
        folder = where.folder if where is not None else None
        if folder is None:
            return
        if step_run_id in folder.parts:
            while folder.name != step_run_id:
                folder = folder.parent
            shutil.rmtree(folder, ignore_errors=True)
            return
        shutil.rmtree(folder / ASIDE / step_run_id, ignore_errors=True)
        with suppress(OSError):  # other runs write to that folder too
            (folder / ASIDE).rmdir()

    def _output(self, step_run_id: str) -> OutputFolder | None:
        """Return where the result of a run goes; None: there is none."""
        result = self.step._result
        return None if result is None else OutputFolder(*result._place(step_run_id, self.workspace))

    @property
    def waits(self) -> bool:
        """Whether some inputs are outputs of other steps, so that no plan can be made yet."""
        places = (place for _, each in self.inputs for place in places_of(each))
        return any(isinstance(each, RunOutputPlace) for each in places)

    def with_stored_inputs(self, run: RunFolder) -> PreparedStep:
        """Write dataframes among the inputs to files, and plan over these from then on.

        They lie beside the output, as parts do, and go with them when the run has completed; where
        that is no folder, in the run's own, which may be behind a URL.
        """
        where = self._output(run.id)
        output = where.folder if where is not None else None
        aside = run.url or str(run.path) if output is None else str(output / ASIDE / run.id)
        how = self.settings, self.target, self.workspace.site.options
        sides = stored_sides(self.side_inputs, f"{aside}/side_inputs", *how)
        written = stored(self.inputs, f"{aside}/inputs", *how)
        if run.url and aside == run.url:
            sides = tuple(
                each
                if each in self.side_inputs
                else replace(each, dataset=self._kept(each.dataset, run))
                for each in sides
            )
            written = written and [
                (name, each if (name, each) in self.inputs else self._kept(each, run))
                for name, each in written
            ]
        if written is None:
            return replace(self, side_inputs=sides)
        plan = None if self.waits else make_plan(written, self.settings)
        return replace(self, inputs=tuple(written), side_inputs=sides, plan=plan)

    def _kept(self, dataset: Items, run: RunFolder) -> Items:
        """Return a dataset that was written among the run's files as one of these."""
        start = len(run.url) + 1
        return with_places(
            dataset, lambda place: KeptPlace(self.workspace, run.id, place.url("")[start:])
        )

    @property
    def _roots(self) -> list[str]:
        """Where each input is; ``""`` for what isn't there yet."""
        planned = self.plan.inputs if self.plan is not None else ()
        return [each.root for each in planned] or [""] * len(self.inputs)

    def manifest(self, step_run_id: str) -> JsonObject:
        """Return what was asked, as JSON that holds no secret."""
        plan, left_out, config = self.plan, self.left_out, self.step._config
        return {
            "kind": "step",
            "name": self.step.name,
            "type": type(self.step).__name__,
            "settings": told_settings(self.settings),
            "entry_script": str(self.code.root / self.code.entry_script),
            "inputs": [
                {"name": name, "dataset": repr(dataset), "root": shown_url(root)}
                | ({"registered": dataset.id} if dataset.id else {})
                for root, (name, dataset) in zip(self._roots, self.inputs, strict=True)
            ],
            "side_inputs": [
                {"name": each.name, "dataset": repr(each.dataset), "mode": each.mode}
                | ({"registered": each.dataset.id} if each.dataset.id else {})
                for each in self.side_inputs
            ],
            "mini_batches": plan.known if plan is not None and plan.complete else None,
            "outputs": [
                to_record(output_record(each, step_run_id, self.workspace))
                for each in self.step.outputs
            ],
            "destinations": {
                each.name: each._destination_text(self.workspace) for each in self.step.outputs
            },
            "compute_target": shown_text(repr(config.compute_target)),
            "target": target_name(config.compute_target),
            "environment": config.environment.as_told() if config.environment else None,
            "description": config.description,
            **self.step._recorded,
            **({"since": left_out.as_told()} if left_out is not None else {}),
        }

    def spec(
        self, run: RunFolder, pipeline_run_id: str, experiment: str, after: Sequence[str]
    ) -> StepSpec:
        """Copy the code into the run's folder, and return what the run is made of.

        ``after`` has the ids of the step runs that come before it.
        """
        step = self.step
        script = self.code.copy(run.path / SNAPSHOT)
        inputs = tuple(Input(name, dataset) for name, dataset in self.inputs)
        if step._is_program:
            script = replace(script, whole=True)
            inputs = itself(script)
        context = {
            "workspace": self.workspace.location,
            "experiment": experiment,
            "run_id": run.id,
            "pipeline_run_id": pipeline_run_id,
            "step_name": self.step.name,
            **models_told(self.workspace),
        }
        return StepSpec(
            step=self.step.name,
            settings=self.settings,
            inputs=inputs,
            script=script,
            output=self._output(run.id),
            target=step._config.compute_target,
            context=context,
            after=tuple(after),
            side_inputs=self.side_inputs,
            outputs=tuple(
                StepOutputFolder(*each._place(run.id, self.workspace), each.name)
                for each in self.step.outputs
            ),
            registrations=registrations(self.step.outputs),
        )
