"""What a ``ParallelRunStep`` needs but its data: looked up and checked, nothing listed yet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from daskrun.core.settings import RunSettings
from daskrun.data.protocols import shown_url
from daskrun.engine.request import INLINE
from daskrun.errors import ComputeTargetException, SettingsError
from daskrun.output.encode import read_settings
from daskrun.output.row_formats import contradictions
from daskrun.pipeline.steps.base import CheckedStep, places_used
from daskrun.pipeline.steps.compute_target import NOT_INLINE, find_target, inline_note
from daskrun.pipeline.steps.inputs import make_plan, size_notes, wait_for_rows, with_size
from daskrun.pipeline.steps.parameter import resolve_value, with_parameters
from daskrun.pipeline.steps.side_inputs import check_files, look_at_sides, paths_asked
from daskrun.pipeline.steps.snapshot import Snapshot, find_code
from daskrun.pipeline.submission.prepare import PreparedStep
from daskrun.storage.urls import OWN_MEMORY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from daskrun.pipeline.steps.outputs import StepOutput
    from daskrun.pipeline.steps.parallel_step import ParallelRunStep
    from daskrun.workspace.workspace import Workspace


@dataclass(frozen=True)
class CheckedParallelStep(CheckedStep):
    """A ``ParallelRunStep`` whose data is to be listed."""

    step: ParallelRunStep
    workspace: Workspace
    given: Mapping[str, Any]
    settings: RunSettings
    code: Snapshot
    target: object
    """As :attr:`StepRequest.target`."""
    notes: tuple[str, ...]

    def plan(self) -> PreparedStep:
        """List its inputs; those that are outputs of other steps when these have run.

        Raises
        ------
        DatasetError
            An input holds nothing, or can't be read.
        """
        step = self.step
        inputs = tuple((name, each.resolve(self.given)) for name, each in step.named_inputs)
        kind = inputs[0][1].kind
        check_files(inputs, paths_asked(self.settings))
        settings = with_size(self.settings, kind)
        later = wait_for_rows(inputs) or places_used([each for _, each in inputs], {})
        plan = None if later else make_plan(inputs, settings)
        config = step.parallel_run_config
        size = resolve_value(config.mini_batch_size, self.given)
        planned = plan.inputs if plan is not None else ()
        of_size = with_parameters(
            size_notes(self.settings, kind, size), step.parameter_uses, self.given
        )
        notes = [*self.notes, *of_size]
        return PreparedStep(
            step=step,
            workspace=self.workspace,
            settings=settings,
            code=self.code,
            target=self.target,
            wanted_target=config.compute_target,
            inputs=inputs,
            plan=plan,
            result=step.output,
            about={
                "environment": config.environment.as_told() if config.environment else None,
                "description": config.description,
            },
            notes=(*notes, *(text for each in planned for text in each.warnings)),
            side_inputs=look_at_sides(step.named_side_inputs, self.given, self.settings, planned),
        )


def check_parallel_step(
    step: ParallelRunStep, workspace: Workspace, given: Mapping[str, Any], problems: list[str]
) -> CheckedParallelStep:
    """Check all of a step but its data; problems are added to the list."""
    # A step may have been changed since it was made, as the original's samples do.
    found = step.problems(given)
    settings = code = None
    target: object = None
    notes: list[str] = []
    try:
        settings = step.resolve(given, {})
        code = step.code or find_code(settings, workspace.folder)
        settings = step.resolve(given, _read_settings(code.script_folder))
        found += contradictions(settings.append_row_format, settings.append_row_settings)
    except SettingsError as error:
        found += error.problems
    try:
        config = step.parallel_run_config
        counts = (config.node_count, config.process_count_per_node)
        nodes, processes = (resolve_value(count, given) for count in counts)
        target, notes = find_target(config.compute_target, nodes, workspace, processes)
    except (SettingsError, ComputeTargetException) as error:
        found += error.problems if isinstance(error, SettingsError) else [str(error)]
    if step.output is not None:
        found += output_problems(step.output, workspace, target)
        if settings is not None and getattr(step.output, "overwrite", False):
            settings = replace(settings, overwrite=True)
    found = with_parameters(dict.fromkeys(found), step.parameter_uses, given)
    problems += [f"step {step.name!r}: {text}" for text in found]
    if settings is not None and target == INLINE:
        notes += _inline_notes(step, settings, given)
    if settings is not None:
        notes += name_notes(settings)
    if not found:
        notes += step.parallel_run_config.python_notes(inline=target == INLINE)
    # Where there are problems nobody asks for more.
    return CheckedParallelStep(step, workspace, given, settings, code, target, tuple(notes))  # type: ignore[arg-type]


def output_problems(output: StepOutput, workspace: Workspace, target: object) -> list[str]:
    """Return why an output can't go to a datastore that is a URL."""
    store, _ = output.place("", workspace)
    if store.is_local:
        return []
    shown = f"output={output.name!r} is in datastore {store.name!r} at {shown_url(store.url())}"
    if store.url().partition("://")[0] in OWN_MEMORY and target != INLINE:
        problem = (
            f"{shown}, which is this process's own memory: script processes can't write there. "
            "Write compute_target='inline', or give another datastore."
        )
        return [problem]
    return []


def name_notes(settings: RunSettings) -> list[str]:
    """Say so where a Parquet file will have a name by which nothing knows it as one."""
    name = settings.append_row_file_name
    if settings.append_row_format != "parquet" or not name.endswith(".txt"):
        return []
    better = f"{name.removesuffix('.txt')}.parquet"
    note = f"append_row_file_name={name!r}: a Parquet file is written under this name. Write"
    return [f"{note} append_row_file_name={better!r} for others to know it as one."]


def _inline_notes(
    step: ParallelRunStep, settings: RunSettings, given: Mapping[str, Any]
) -> list[str]:
    """Return which settings were given and mean nothing in this process."""
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
