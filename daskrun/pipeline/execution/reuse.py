"""Using the output of an earlier run of the same step, or saying why not.

Two runs of one identity (:mod:`daskrun.pipeline.records.identity`) have the same results, so the
second need not run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from daskrun.core.codec import from_record, record, to_record
from daskrun.core.json_text import parsed
from daskrun.core.logs import get_logger
from daskrun.core.report import Report, RunStatus
from daskrun.data.datasets import Dataset
from daskrun.data.tabular.tabular_dataset import TabularDataset
from daskrun.errors import DaskrunError, DatasetError
from daskrun.pipeline.records.identity import digest_of, identity_of, result_settings
from daskrun.pipeline.records.run_output import outputs_of
from daskrun.shown.url_secrets import without_url_secrets
from daskrun.storage.durable import read_file, write_whole
from daskrun.workspace.datastores.datastore import Datastore
from daskrun.workspace.models.models_used import digests_used, newer_models
from daskrun.workspace.run_folders.run_folder import NOTED, REUSE
from daskrun.workspace.run_folders.run_records import OutputRecord, read_report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daskrun.core.minibatch import Plan
    from daskrun.core.settings import RunSettings
    from daskrun.data.items import Items
    from daskrun.data.listed_plan import ListedPlan
    from daskrun.data.paths import PathTable
    from daskrun.engine.request import StepRequest
    from daskrun.pipeline.records.identity import Identity
    from daskrun.pipeline.records.step_spec import StepSpec
    from daskrun.workspace.run_folders.run_folder import RunFolder
    from daskrun.workspace.workspace import Workspace

logger = get_logger("daskrun")
IDENTITY = "identity.json"
"""In a step run's folder: what its results come from. For this user alone: values may be secret."""
RECORDS = "results"
"""Kind of the records that find a completed run by the digest of its identity."""
UNKNOWN = -1
"""Time of a file whose store tells none."""
DIGEST = re.compile(r" ?\b[0-9a-f]{32,}\b")
"""What tells nobody how a thing has changed."""
SHOWN = 5
"""Differences that are told of each part."""


@record
@dataclass(frozen=True)
class Completed:
    """What is kept of a step run that has completed, under the digest of its identity."""

    run: str
    """Its id."""
    outputs: dict[str, str]
    """The fingerprint of each output by name, ``""`` where nothing was written."""
    models: Mapping[str, str] = field(default_factory=dict)
    """As :func:`digests_used` gives them."""


@record
@dataclass(frozen=True)
class Reuse:
    """Whether a step run used the output of an earlier one, and why not."""

    run_id: str | None
    """The step run whose output is used; None: it ran itself."""
    nearest: str | None = None
    """The newest completed run of the step that it was held against; None: there is none."""
    differences: dict[str, list[str]] = field(default_factory=dict)
    """What differs from that, by part: ``snapshot``, ``script``, ``settings``, ``arguments``,
    ``inputs``, ``side_inputs``, ``environment``, ``outputs``, ``models``."""
    message: str = ""
    """In words."""
    outputs: tuple[OutputRecord, ...] = field(default=(), repr=False)
    """Those of ``run_id``."""

    @property
    def sentence(self) -> str:
        """The same as :attr:`message`, which had this name."""
        return self.message

    def __str__(self) -> str:
        lines = [f"  {part}: {text}" for part, each in self.differences.items() for text in each]
        return "\n".join([self.message, *lines])


def decide(workspace: Workspace, folder: RunFolder, spec: StepSpec, request: StepRequest) -> Reuse:
    """Look for a run whose output this one can use, and note the result in its folder."""
    identity = identity_of(folder, spec, request.plan)
    write_whole(folder.path / IDENTITY, json.dumps(identity).encode(), mode=0o600)
    models = request.context.models or {}
    refused = spec.no_reuse or _unsure(folder, spec, request.plan)
    if refused:
        found = Reuse(None, message=f"It ran, whatever there was: {refused}.")
    else:
        found = _decision(workspace, folder, spec, identity, models)
    if found.run_id is not None:
        outputs = outputs_of(workspace.site.run_folder(found.run_id))
        found = replace(found, outputs=outputs)
    write_whole(folder.path / REUSE, json.dumps(without_url_secrets(to_record(found))).encode())
    return found


def explain(folder: RunFolder) -> Reuse:
    """Return what :func:`decide` noted of a step run."""
    noted = folder.reuse()
    if noted is None:
        return Reuse(None, message="Nothing was looked for: the step has not begun.")
    return from_record(Reuse, noted)


def note_completed(workspace: Workspace, folder: RunFolder, settings: RunSettings) -> None:
    """Keep a completed step run where later ones look for it.

    ``settings`` are those it has completed with: a resume may have changed them. Where this fails
    later runs just don't use its output.
    """
    folder.fetch(*NOTED)
    try:
        identity = parsed(read_file(folder.path / IDENTITY))
    except FileNotFoundError:  # of an earlier daskrun
        return
    try:
        identity["settings"] = result_settings(settings)
        write_whole(folder.path / IDENTITY, json.dumps(identity).encode(), mode=0o600)
        models = digests_used(workspace.records, folder.path)
        kept = Completed(folder.id, _output_digests(workspace, folder), models)
        workspace.records.create(RECORDS, digest_of(identity), to_record(kept))
    except (DaskrunError, OSError) as error:  # the run has completed all the same
        logger.warning("run %s: later runs can't use its output again: %s", folder.id, error)


def reused_report(workspace: Workspace, run_id: str) -> Report:
    """Return the report of a run that uses the output of an earlier one."""
    earlier = workspace.site.run_folder(run_id).report() or read_report({"status": "Completed"})
    failed = earlier.items_failed
    more = f" {failed} items had failed there." if failed else ""
    return replace(
        earlier,
        status=RunStatus.COMPLETED,
        message=f"used the output of {run_id}: nothing it depends on has changed.{more}",
        unfinished=0,
        attempts=0,
        retried=0,
        errors=(),
        seconds=0.0,
    )


def _decision(
    workspace: Workspace,
    folder: RunFolder,
    spec: StepSpec,
    identity: Identity,
    models: Mapping[str, Mapping[str, str]],
) -> Reuse:
    newest: Reuse | None = None
    for completed in _completed(workspace, identity):
        run_id, stale = completed.run, _stale(workspace, completed, models)
        if not stale:
            message = f"It uses the output of {run_id}: nothing it depends on has changed."
            return Reuse(run_id, run_id, message=message)
        message = f"It ran. What has changed since {run_id}:"
        newest = newest or Reuse(None, run_id, stale, message)
    if newest is not None:
        return newest
    nearest, before = _nearest(workspace, folder, spec.step)
    if nearest is None:
        return Reuse(None, message="It ran: no run of the step has completed before.")
    found = {
        part: list(_differences(before.get(part, {}), now, hide=part == "arguments"))
        for part, now in identity.items()
    }
    differences = {part: _first(texts) for part, texts in found.items() if texts}
    if not differences:  # it was not noted when it completed, or its folder is a copy
        gone = (nearest.reuse() or {}).get("run_id")
        why = (
            f"used the output of {gone}, which was removed" if gone else "is not known to be whole"
        )
        return Reuse(None, nearest.id, message=f"It ran: {nearest.id} {why}.")
    return Reuse(None, nearest.id, differences, f"It ran. What has changed since {nearest.id}:")


def _unsure(folder: RunFolder, spec: StepSpec, plan: Plan) -> str:
    """Return why it can't be known whether results would be the same, ``""`` where it can."""
    if not folder.manifest().outputs:
        return "the step has no output that could be used"
    sides = [(each.name, each.dataset) for each in spec.side_inputs]
    for each in (*spec.inputs, *spec.side_inputs):
        rows = each.dataset
        if isinstance(rows, TabularDataset) and getattr(rows.source, "changes_unseen", False):
            return f"input {each.name!r} is a query, whose rows may be others now"
    planned = zip(plan.inputs, cast("ListedPlan", plan).tables, strict=True)
    listed = [] if spec.script.whole else [(each.name, each.root, t) for each, t in planned]
    for name, root, table in (*listed, *(_listed(*each) for each in sides)):
        if folder.id in Path(root).parts:
            return f"input {name!r} is a dataframe, whose rows are not held against earlier ones"
        if UNKNOWN in table.times:
            return f"input {name!r} is in a store that doesn't tell when a file was changed"
    return ""


def _listed(name: str, dataset: Items) -> tuple[str, str, PathTable]:
    listing = dataset.listing()
    return name, listing.root, listing.table


def _completed(workspace: Workspace, identity: Identity) -> Iterator[Completed]:
    """Yield what :func:`note_completed` kept of the runs of an identity, the newest first."""
    name, records = digest_of(identity), workspace.records
    for number in reversed(records.numbers(RECORDS, name)):
        with suppress(DaskrunError):  # removed meanwhile
            found = from_record(Completed, records.get(RECORDS, name, number))
            folder = workspace.site.run_folder(found.run)
            # Its end is noted after it was: the process may have been killed between.
            if folder.is_run and _is_completed(folder):
                yield found


def _stale(
    workspace: Workspace, completed: Completed, models: Mapping[str, Mapping[str, str]]
) -> dict[str, list[str]]:
    """Return what has changed since a run of the same identity: its output, or models it used."""
    folder, found = workspace.site.run_folder(completed.run), {}
    folder.fetch(*NOTED)
    try:
        same = _output_digests(workspace, folder) == completed.outputs
        wrong = [] if same else ["what it wrote has been changed since"]
    except DaskrunError as error:
        wrong = [f"what it wrote can't be read: {error}"]
    if wrong:
        found["outputs"] = wrong
    later = newer_models(workspace.records, folder.path, completed.models, models)
    return {**found, **({"models": later} if later else {})}


def _output_digests(workspace: Workspace, folder: RunFolder) -> dict[str, str]:
    found = {}
    for each in outputs_of(folder):
        path = Datastore(workspace, each.datastore).path(each.path_on_datastore)
        try:
            found[each.name] = Dataset.File.from_files(path, validate=False).fingerprint()
        except DatasetError:
            found[each.name] = ""  # nothing was written
    return found


def _nearest(
    workspace: Workspace, folder: RunFolder, step: str
) -> tuple[RunFolder | None, Identity]:
    """Return the newest completed run of a step of that name, and its identity."""
    ids = (run_id for run_id in workspace.site.run_ids() if run_id.endswith(f"-{step}"))
    for each in map(workspace.site.run_folder, sorted(ids, reverse=True)):
        with suppress(DaskrunError, OSError, ValueError):  # removed meanwhile, or damaged
            others = each.id != folder.id and each.manifest().name == step
            if others and _is_completed(each):
                each.fetch(IDENTITY)
                return each, parsed(read_file(each.path / IDENTITY))
    return None, {}


def _is_completed(folder: RunFolder) -> bool:
    return folder.last_state().status is RunStatus.COMPLETED


def _differences(
    before: Mapping[str, object], now: Mapping[str, object], *, hide: bool = False
) -> Iterator[str]:
    """Yield what differs, without the values where these are to ``hide``."""
    for name in {**before, **now}:
        if name not in now:
            yield f"{name} is gone"
        elif name not in before:
            yield f"{name} is new"
        elif before[name] != now[name]:
            was, is_now = (DIGEST.sub("", json.dumps(each[name])) for each in (before, now))
            label = f"[{name}]" if name.isdigit() else name  # of an argument
            same = was == is_now or hide
            yield f"{label} has changed" if same else f"{label} was {was} and is {is_now}"


def _first(texts: list[str]) -> list[str]:
    more = len(texts) - SHOWN
    return texts if more <= 0 else [*texts[:SHOWN], f"and {more} more"]
