"""What a pipeline's run would be: how much there is to do, and its first mini-batch done aside."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from daskrun.core.events import Observer
from daskrun.core.minibatch import Plan
from daskrun.core.outcome import Status
from daskrun.core.report import RunStatus
from daskrun.core.typing import override
from daskrun.data.paths import PathTable
from daskrun.engine.request import INLINE
from daskrun.pipeline.records.step_spec import OutputFolder, StepOutputFolder
from daskrun.script.keeper.gpus import gpus, processes_per_node
from daskrun.workspace.datastores.datastore import Datastore
from daskrun.workspace.run_folders.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daskrun.core.events import BundleReturned, ProcessReady
    from daskrun.core.minibatch import MiniBatch, Surveyor
    from daskrun.core.outcome import Outcome
    from daskrun.core.report import Report
    from daskrun.data.listed_plan import ListedPlan
    from daskrun.engine.request import StepRequest
    from daskrun.pipeline.submission.prepare import PreparedStep

LATER = "what it reads is known once the steps before it have run"
STORED = "its dataframes are stored at submit"
SHUFFLED = "its table is shuffled by partition_by first"
PROGRAM = "it is a program, which is run once"


@dataclass(frozen=True)
class FirstMiniBatch:
    """What became of the first mini-batch, tried once on this machine; its results are gone."""

    status: str
    """``succeeded``, or why it failed, such as ``raised``."""
    items: int = 0
    results: int = 0
    """Elements that ``run()`` returned."""
    init_seconds: float | None = None
    """In ``init()``; None where that was not reached."""
    load_seconds: float = 0.0
    run_seconds: float = 0.0
    seconds: float = 0.0
    """In all, without ``init()``."""
    message: str = ""
    """What is wrong, ``""`` where nothing is."""
    warning: str = ""
    """Why not all of its items have succeeded, where it has not failed for that."""
    text: str = ""
    """The script's own traceback, or what else is known."""


@dataclass(frozen=True)
class StepCheck:
    """What is known of a step before it is run."""

    name: str
    kind: str
    """``files``, ``tabular``, or ``program``."""
    mini_batches: int | None
    """None where that is not known; about so many where not :attr:`complete`."""
    complete: bool
    files: int | None
    """Files that mini-batches are cut from."""
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of each tabular input the columns, with their types."""
    slots: int | None = None
    """Script processes at work at once; None: the cluster decides."""
    notes: tuple[str, ...] = ()
    first: FirstMiniBatch | None = None
    not_tried: str = ""
    """Why there is no :attr:`first`."""

    @property
    def seconds(self) -> float | None:
        """About how long it takes, all mini-batches being like the first; None: not known."""
        if self.first is None or self.first.message or self.mini_batches is None:
            return None
        if self.slots is None:
            return None
        rounds = -(-self.mini_batches // self.slots)
        return (self.first.init_seconds or 0.0) + rounds * self.first.seconds


def look(prepared: PreparedStep, *, try_first: bool) -> StepCheck:
    """Return what is known of a step; with ``try_first`` also how its first mini-batch goes.

    SettingsError is raised where its output can't be written, or is there.
    """
    plan, settings = prepared.plan, prepared.settings
    _check_output(prepared)
    program = prepared.step._is_program
    reason = PROGRAM if program else ""
    if not program and plan is None:
        lazy = any(each.in_memory for _, each in prepared.inputs)
        reason = STORED if lazy else LATER
    elif settings.partition_by is not None:
        reason = SHUFFLED
    count, complete = (1, True) if program else (None, False)
    if plan is not None and not reason:
        plan.extend(1)
        count, complete = _count(cast("ListedPlan", plan)), plan.complete
    slots = None
    if program or prepared.target == INLINE:
        slots = 1
    elif prepared.target is None:
        slots = (settings.node_count or 1) * processes_per_node(
            settings.process_count_per_node, gpus()
        )
    checked = StepCheck(
        prepared.step.name,
        "program" if program else prepared.inputs[0][1].kind,
        count,
        complete,
        None if plan is None else sum(map(len, cast("ListedPlan", plan).tables)),
        _columns(plan),
        slots,
        prepared.notes,
        not_tried=reason or ("" if try_first else "it was not asked for"),
    )
    if checked.not_tried or plan is None:
        return checked
    return replace(checked, first=_tried(prepared, _First(plan)))


def _check_output(prepared: PreparedStep) -> None:
    """Raise SettingsError where the output can't be written; leave nothing there."""
    name = f"check-{os.urandom(4).hex()}"
    where = prepared._output(name)
    folder = where.folder if where is not None else None
    new = [] if folder is None else [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        prepared.check_output(name)
    finally:
        prepared.undo_output(name)
        for each in new:
            with suppress(OSError):
                each.rmdir()


def _count(plan: ListedPlan) -> int:
    """Return how many mini-batches there are; about how many, where files have to be read first."""
    if plan.complete or plan.partition_keys:
        return plan.known
    sizes = (size for table in plan.tables for size in table.sizes)
    return max(plan.known, sum(max(1, -(-size // plan.mini_batch_size)) for size in sizes))


def _columns(plan: Plan | None) -> Mapping[str, Mapping[str, str]]:
    return {
        each.name: dict(each.table["reader"]["columns"])
        for each in (plan.inputs if plan is not None else ())
        if each.kind == "tabular" and each.table is not None
    }


class _First(Plan):
    """The first mini-batch of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.inputs = plan.inputs
        self._plan = plan
        self.tables = [PathTable() for _ in plan.inputs]
        """Files that are looked at for changes at the end: none."""

    @property
    @override
    def surveyor(self) -> Surveyor | None:
        return None if self._plan.known else self._plan.surveyor

    @property
    @override
    def known(self) -> int:
        return min(self._plan.known, 1)

    @property
    @override
    def complete(self) -> bool:
        return bool(self._plan.known) or self._plan.complete

    @override
    def extend(self, upto: int) -> None:
        self._plan.extend(1)

    def __getitem__(self, index: int) -> MiniBatch:
        return self._plan[index]

    @override
    def encode(self, index: int) -> bytes:
        return self._plan.encode(index)

    @override
    def bundle_size(self, start: int, count: int) -> int:
        return 1

    @override
    def fingerprint(self) -> str:
        return self._plan.fingerprint()


class _Watcher(Observer):
    """Keeps what is told of the first mini-batch."""

    outcome: Outcome | None = None
    init_seconds: float | None = None

    @override
    def on_process_ready(self, event: ProcessReady) -> None:
        self.init_seconds = event.init_seconds

    @override
    def on_bundle_returned(self, event: BundleReturned) -> None:
        self.outcome = next(iter(event.outcomes), self.outcome)


def _tried(prepared: PreparedStep, plan: Plan) -> FirstMiniBatch:
    """Run the first mini-batch on this machine, in folders that are then removed."""
    from daskrun.engine.driver import RunControl, execute  # loads Dask

    watcher = _Watcher()
    with tempfile.TemporaryDirectory(prefix="daskrun-check-") as name:
        request = _request(prepared, plan, Path(name))
        report = execute(request, [watcher], RunControl())
    return _told(report, watcher)


def _request(prepared: PreparedStep, plan: Plan, folder: Path) -> StepRequest:
    """Return what the engine is to run, with nothing of it outside of a folder."""
    settings = replace(
        prepared.settings,
        node_count=1,
        process_count_per_node=1,
        run_max_try=1,
        error_threshold=-1,
        allowed_failed_count=None,
        allowed_failed_percent=None,
        resource_monitor_interval=0,
    )
    run = RunFolder(folder / f"check-{os.urandom(4).hex()}")
    run.logs.mkdir(parents=True)
    here = replace(prepared, settings=settings)
    spec = here.spec(run, run.id, "check", ())
    store = Datastore(prepared.workspace, "file:///")
    place = str(folder / "output").lstrip("/")
    spec = replace(
        spec,
        output=None if spec.output is None else OutputFolder(store, place),
        outputs=tuple(
            StepOutputFolder(store, f"{place}/{n}" if n else place, each.name)
            for n, each in enumerate(spec.outputs)
        ),
    )
    (folder / "output").mkdir()
    spec.prepare_output(run.id)
    target = INLINE if prepared.target == INLINE else None
    request = spec.request(run, plan, target)
    options = prepared.workspace.site.options
    return replace(
        request,
        intervals=prepared.workspace.site.intervals,
        context=replace(request.context, workspace_options=options),
    )


def _told(report: Report, watcher: _Watcher) -> FirstMiniBatch:
    outcome, error = watcher.outcome, next(iter(report.errors), None)
    failed = outcome is None or outcome.status != Status.SUCCEEDED
    failed = failed or report.status is not RunStatus.COMPLETED
    said = error.message if error is not None else ""
    told = FirstMiniBatch(
        "not run",
        init_seconds=watcher.init_seconds,
        message=(said or report.message) if failed else "",
        warning="" if failed else said,
        text=error.text if error is not None else "",
    )
    if outcome is None:
        return told
    return replace(
        told,
        status=Status(outcome.status).name.lower(),
        items=outcome.items,
        results=outcome.results,
        load_seconds=outcome.load_seconds,
        run_seconds=outcome.run_seconds,
        seconds=outcome.elapsed,
    )
