"""Going on with a run that has ended early: checked first, driven after."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from daskrun.core.logs import get_logger
from daskrun.core.report import RunStatus
from daskrun.core.settings import Trait, resolve_settings, settings_with
from daskrun.engine.past import read_past
from daskrun.engine.request import INLINE
from daskrun.errors import (
    ComputeTargetException,
    DatasetError,
    ResumeError,
    SettingsError,
    StorageError,
)
from daskrun.output.sinks.registry import sink_of
from daskrun.pipeline.execution.advice import can_retry, ways
from daskrun.pipeline.execution.drive import PipelineDriver, StepToRun
from daskrun.pipeline.records.changes import check_unchanged
from daskrun.pipeline.records.processed import as_begun
from daskrun.pipeline.records.step_spec import AGAIN, StepSpec
from daskrun.pipeline.steps.compute_target import NOT_INLINE, find_target, inline_note
from daskrun.pipeline.submission.check import observer_problems
from daskrun.workspace.compute.targets import ComputeTarget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskrun.engine.observers import MakesObserver
    from daskrun.storage.lock_handle import LockHandle
    from daskrun.workspace.run_folders.run_folder import RunFolder
    from daskrun.workspace.workspace import Workspace

logger = get_logger("daskrun")
SUBJECT = "resume"
CHANGEABLE = frozenset(settings_with(Trait.RESUME))
NOTHING: Mapping[str, object] = MappingProxyType({})
SECRET = frozenset({"arguments", "environment_variables"})
"""Settings whose values are not shown."""


def hold(folder: RunFolder, retry_failed: bool) -> LockHandle:
    """Take the lock of a pipeline's run that can be resumed.

    Raises
    ------
    ResumeError
        Another process drives it (the message names process and host), or it is Completed.
    """
    _check_unfinished(folder, retry_failed)  # to take a run over leaves a trace
    try:
        return folder.drive()
    except StorageError as error:
        raise ResumeError(f"run {folder.id} can't be resumed now: {error}") from error


def make_driver(
    folder: RunFolder,
    held: LockHandle,
    workspace: Workspace,
    retry_failed: bool = False,
    compute_target: ComputeTarget | str | None = None,
    observers: Sequence[MakesObserver] | None = None,
    changes: Mapping[str, object] = NOTHING,
    target: object = None,
) -> PipelineDriver:
    """Check that a run can go on, and return the driver that does it; what is new is kept.

    ``changes`` are the settings that are to change, ``target`` is what the engine runs on in the
    place of what the steps name; the others are as of ``run.resume``, and so is what is raised.
    """
    _check_unfinished(folder, retry_failed)
    problems = _problems(retry_failed, compute_target) + observer_problems(observers)
    if problems:
        raise SettingsError(SUBJECT, problems)
    unfinished = _unfinished_steps(folder, retry_failed)
    specs = [StepSpec.load(each, workspace) for each in unfinished]
    for step, spec in zip(unfinished, specs, strict=True):
        _check_output(step, spec)
    ready = [
        (each, target) if target else _changed(each, compute_target, changes, workspace)
        for each in specs
    ]
    steps = [
        _again(each, *found, retry_failed) for each, found in zip(unfinished, ready, strict=True)
    ]
    if changes or compute_target is not None:
        for each in steps:
            each.spec.keep(each.folder, workspace)  # a later resume begins with it
    steps = [replace(each, observers=tuple(observers or ())) for each in steps]
    return PipelineDriver(folder, held, workspace, steps)


def _check_unfinished(folder: RunFolder, retry_failed: bool) -> None:
    if not _is_completed(folder):
        return
    failed = [each for each in _steps(folder) if can_retry(each)]
    if not failed:
        raise ResumeError(
            f"run {folder.id} is Completed, and no mini-batch of it has failed: there is nothing "
            f"to do. {AGAIN}"
        )
    if not retry_failed:
        raise ResumeError(
            f"run {folder.id} is Completed. What of it has failed is tried again, and gets into "
            f"the output, with {ways(folder.id).retry}. Or: {AGAIN}"
        )
    ids = {each.id for each in failed}
    for step in _steps(folder):
        if used := ids.intersection(step.manifest().values.get("after") or ()):
            raise ResumeError(
                f"run {folder.id} is Completed, and step {step.manifest().name!r} has used what "
                f"{', '.join(sorted(used))} wrote, which would change now. {AGAIN}"
            )


def _unfinished_steps(folder: RunFolder, retry_failed: bool) -> list[RunFolder]:
    """Return the runs of the steps that are not Completed, in their order.

    With ``retry_failed``, of a run that is Completed, those in which something has failed.
    """
    steps = [folder.sibling(name) for name in folder.manifest().steps]
    missing = [each.id for each in steps if not each.is_run]
    if missing:
        raise ResumeError(
            f"run {folder.id} can't go on: it was interrupted while it was being submitted, before "
            f"{', '.join(missing)} was there. {AGAIN}"
        )
    if retry_failed and _is_completed(folder):
        return [each for each in steps if can_retry(each)]
    return [each for each in steps if not _is_completed(each)]


def _steps(folder: RunFolder) -> list[RunFolder]:
    return [folder.sibling(name) for name in folder.manifest().steps]


def _is_completed(folder: RunFolder) -> bool:
    return folder.last_state().status is RunStatus.COMPLETED


def _check_output(folder: RunFolder, spec: StepSpec) -> None:
    """Raise ResumeError where a run is Completed, and nothing more can get into its output."""
    if not spec.settings.appends or not _is_completed(folder):
        return
    sink, past = sink_of(spec.settings), read_past(folder.path / "journal")
    why = ""
    if sink.assembles:
        why = f"append_row_format={sink.reference!r} has made it of rows that are no more"
    elif past is not None and past.by_name:
        why = "its columns were put together by name, so that it hasn't the rows of mini-batches"
    if why:
        raise ResumeError(
            f"run {folder.id} is Completed, and what has failed can't get into its output: {why}. "
            f"{AGAIN}"
        )


def _problems(retry_failed: object, compute_target: object) -> list[str]:
    problems = []
    if not isinstance(retry_failed, bool):
        problems.append(f"retry_failed={retry_failed!r}: write True or False.")
    if not isinstance(compute_target, ComputeTarget | str | None):
        problems.append(
            f"compute_target={compute_target!r} is of type {type(compute_target).__name__}. Write "
            "compute_target=ws.compute_targets['cpu'], a scheduler's address or 'inline'."
        )
    return problems


def _changed(
    spec: StepSpec,
    compute_target: ComputeTarget | str | None,
    changes: Mapping[str, object],
    workspace: Workspace,
) -> tuple[StepSpec, object]:
    """Return what a step runs with now, and what the engine runs on."""
    settings = spec.settings
    # The rules also turn text into numbers, as they do at submit.
    asked = resolve_settings({**changes, "entry_script": settings.entry_script}, SUBJECT)
    given = {name: getattr(asked, name) for name in changes}
    problems = [
        _refusal(name, changes[name], getattr(settings, name))
        for name, value in given.items()
        if name not in CHANGEABLE and value != getattr(settings, name)
    ]
    if "entry_script" in changes and changes["entry_script"] != settings.entry_script:
        shown = changes["entry_script"]
        problems.append(_refusal("entry_script", shown, settings.entry_script))
    if problems:
        raise SettingsError(SUBJECT, problems)
    settings = replace(settings, **{name: given[name] for name in given if name in CHANGEABLE})
    wanted = spec.target if compute_target is None else compute_target
    try:
        target, _ = find_target(
            wanted, settings.node_count, workspace, settings.process_count_per_node
        )
    except SettingsError as error:
        raise SettingsError(SUBJECT, error.problems) from None
    except ComputeTargetException as error:
        raise ComputeTargetException(
            f"{error} Or resume elsewhere: run.resume(compute_target=...)."
        ) from error
    unused = [f"{name}={changes[name]!r}" for name in changes if name in NOT_INLINE]
    if target == INLINE and unused:
        logger.warning(inline_note(unused))
    return replace(spec, settings=settings, target=wanted), target


def _refusal(name: str, given: object, own: object) -> str:
    shown = f"{name}={'...' if name in SECRET else repr(given)}"
    was = "another" if name in SECRET else repr(own)
    return (
        f"{shown}: the run has {was}, and its results depend on it: what is finished would not fit "
        f"what comes. Leave it out. {AGAIN} Those that may be changed: "
        f"{', '.join(sorted(CHANGEABLE))}."
    )


def _again(folder: RunFolder, spec: StepSpec, target: object, retry_failed: bool) -> StepToRun:
    """Plan a step again where that can be done, and see that the plan is what it was."""
    spec.prepare_output(folder.id)
    step = StepToRun(folder, spec, target, None, resumed=True, retry_failed=retry_failed)
    before = [folder.sibling(name) for name in spec.after]
    if any(each.last_state().status is not RunStatus.COMPLETED for each in before):
        return step
    try:
        plan = as_begun(spec.plan(), folder)
    except DatasetError as error:
        raise ResumeError(
            f"run {folder.id} can't go on: its data can't be read as at submit: {error}"
        ) from error
    check_unchanged(folder, plan, spec.side_input_changes(folder))
    return replace(step, plan=plan)
