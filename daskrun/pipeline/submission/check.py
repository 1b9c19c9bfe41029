"""What steps need but their data: looked up and checked, nothing listed yet."""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from daskrun.core.events import Observer
from daskrun.core.minibatch import warnings_of
from daskrun.core.source import parser_options
from daskrun.core.told import secret_problems
from daskrun.data.protocols import shown_url
from daskrun.engine.request import INLINE, ORIGINAL_OPTIONS
from daskrun.errors import ComputeTargetException, SettingsError
from daskrun.output.sinks.registry import format_notes, sink_of, sink_problems
from daskrun.output.sinks.settings_file import read_settings
from daskrun.pipeline.steps.base import places_used
from daskrun.pipeline.steps.compute_target import find_target, inline_note
from daskrun.pipeline.steps.inputs import make_plan, risks_of, size_notes, wait_for_rows, with_size
from daskrun.pipeline.steps.output_config import OutputFileDatasetConfig
from daskrun.pipeline.steps.parameter import GIVEN, as_value, resolve_value, with_parameters
from daskrun.pipeline.steps.side_inputs import check_files, look_at_sides, paths_asked
from daskrun.pipeline.steps.snapshot import Snapshot, find_code
from daskrun.pipeline.submission import parameters
from daskrun.pipeline.submission.preflight import here_problems
from daskrun.pipeline.submission.prepare import PreparedStep
from daskrun.storage.urls import OWN_MEMORY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from daskrun.core.settings import RunSettings
    from daskrun.pipeline.steps.base import PipelineStep
    from daskrun.pipeline.steps.outputs import StepOutput
    from daskrun.pipeline.steps.parameter import ParameterValues
    from daskrun.workspace.workspace import Workspace


@dataclass(frozen=True)
class CheckedStep:
    """A step whose every value but its data is known and good."""

    step: PipelineStep
    workspace: Workspace
    given: ParameterValues
    settings: RunSettings
    code: Snapshot
    target: object
    """As :attr:`StepRequest.target`."""
    notes: tuple[str, ...]

    def plan(self) -> PreparedStep:
        """List its data, which may take long; outputs of other steps when these have run."""
        step, config, settings = self.step, self.step._config, self.settings
        inputs = tuple((name, each.resolve(self.given)) for name, each in step._split_inputs)
        plan, notes = None, list(self.notes)
        if inputs:
            kind = inputs[0][1].kind
            check_files(inputs, paths_asked(settings))
            settings = with_size(settings, kind)
            if not wait_for_rows(inputs) and not places_used([each for _, each in inputs], {}):
                plan = make_plan(inputs, settings)
                notes += risks_of(plan, kind)
            size = resolve_value(config.mini_batch_size, self.given)
            of_size = size_notes(self.settings, kind, size)
            notes += with_parameters(of_size, step._parameter_uses, self.given)
        planned = plan.inputs if plan is not None else ()
        return PreparedStep(
            step=step,
            workspace=self.workspace,
            settings=settings,
            code=self.code,
            target=self.target,
            inputs=inputs,
            plan=plan,
            notes=(*notes, *warnings_of(planned)),
            side_inputs=look_at_sides(step._side_inputs, self.given, self.settings, planned),
        )


def prepare(
    steps: Sequence[PipelineStep], workspace: Workspace, given: ParameterValues
) -> list[PreparedStep]:
    """Look up and check everything of the steps of a pipeline.

    SettingsError has all problems of all steps; then DatasetError says what can't be read.
    """
    if os.name == "nt":
        problem = "daskrun runs on Linux and macOS. On Windows use it inside WSL: wsl --install"
        raise SettingsError("submit", [problem])
    given = {name: as_value(value) for name, value in given.items()}
    checked, problems = check_steps(steps, workspace, given)
    if problems:
        raise SettingsError("submit", problems)
    # Files are listed last: that may take long, and a mistake is better told at once.
    return [each.plan() for each in checked]


def check_steps(
    steps: Sequence[PipelineStep],
    workspace: Workspace,
    given: ParameterValues,
    *,
    to_run: bool = True,
) -> tuple[list[CheckedStep], list[str]]:
    """Look up all that steps need but their data, and return everything that is wrong.

    ``to_run`` says that they run now, and so on this machine where nothing else is said.
    """
    wrong = parameters.problems(steps, given)
    good = {name: value for name, value in given.items() if name not in wrong}
    problems = list(wrong.values())
    checked = [_check_step(step, workspace, good, problems) for step in steps]
    if any(GIVEN in problem for problem in problems):
        problems[-1] += f"\n  {parameters.text(steps)}"  # once, below what is wrong
    if to_run and not problems:
        for each in checked:
            found = here_problems(each.settings, each.target)
            problems += [f"step {each.step.name!r}: {text}" for text in found]
    return checked, problems


def _check_step(
    step: PipelineStep, workspace: Workspace, given: ParameterValues, problems: list[str]
) -> CheckedStep:
    """Check all of a step but its data; problems are added to the list."""
    # A step may have been changed since it was made, as the original's samples do.
    found, config = step.problems(given), step._config
    settings = code = None
    target: object = None
    notes: list[str] = []
    try:
        settings = step._resolve(given)
        code = step._published_code or find_code(settings, workspace.folder)
        found += _language_problems(code)
        if not step._is_program:
            settings = step._resolve(given, _read_settings(code.script_folder))
            settings = replace(settings, argv_options=_options_of(code, settings))
            found += sink_problems(settings)
    except SettingsError as error:
        found += error.problems
    try:
        counts = (config.node_count, config.process_count_per_node)
        nodes, processes = (resolve_value(count, given) for count in counts)
        target, notes = find_target(config.compute_target, nodes, workspace, processes)
    except (SettingsError, ComputeTargetException) as error:
        found += error.problems if isinstance(error, SettingsError) else [str(error)]
    for output in step.outputs:
        found += _output_problems(output, workspace, target)
    if settings is not None and not workspace.private.keeps:
        where = shown_url(workspace.location)
        found += secret_problems(settings.environment_variables, settings.arguments, where)
    result = step._result
    if settings is not None and isinstance(result, OutputFileDatasetConfig) and result.overwrite:
        settings = replace(settings, overwrite=True)
    found = [step._in_own_words(text) for text in dict.fromkeys(found)]
    found = with_parameters(found, step._parameter_uses, given)
    problems += [f"step {step.name!r}: {text}" for text in found]
    if settings is not None and not found:
        notes = [*notes, *_notes(step, settings, given, inline=target == INLINE)]
    # Where there are problems nobody asks for more.
    return CheckedStep(step, workspace, given, settings, code, target, tuple(notes))  # type: ignore[arg-type]


def _language_problems(code: Snapshot) -> list[str]:
    """Return why a script whose name is not of Python's can't be run."""
    if not code.entry_script.endswith(".py"):
        try:
            ast.parse((code.root / code.entry_script).read_bytes(), code.entry_script)
        except (SyntaxError, ValueError) as error:
            why = f"entry_script={code.entry_script!r} is not Python: {error}"
            return [f"{why}. Write the name of a Python file."]
        except OSError:  # said elsewhere
            pass
    return []


def _options_of(code: Snapshot, settings: RunSettings) -> tuple[str, ...]:
    """Return those of the original's options that a script looks for and is not given."""
    if settings.argv_compat is not None:
        return ()
    given = {str(each).partition("=")[0] for each in settings.arguments}
    try:
        known = parser_options((code.root / code.entry_script).read_bytes())
    except OSError:  # said elsewhere
        return ()
    return tuple(each for each in ORIGINAL_OPTIONS if each in known and each not in given)


def _notes(
    step: PipelineStep, settings: RunSettings, given: ParameterValues, *, inline: bool
) -> list[str]:
    """Return what was asked for and is not used, and what may not be what was meant."""
    unused = step._unused_inline(settings, given) if inline else []
    name, by_name = settings.append_row_file_name, step._config.append_row_format is None
    chosen = by_name and settings.appends and not settings.append_row_settings
    return [
        *([inline_note(unused)] if unused else []),
        *(format_notes(name) if chosen else []),
        *sink_of(settings).notes(name),
        *step._config._python_notes(inline=inline),
        *step._own_notes(),
    ]


def observer_problems(observers: object, detached: object = False) -> list[str]:
    """Return what of the observers of a run is none, or why it can't have any."""
    example = "Write observers=[Failures()], of a class that inherits daskrun.Observer."
    if observers is None:
        return []
    if not isinstance(observers, list | tuple):
        return [f"observers={observers!r} is not a list. {example}"]
    if observers and detached:
        elsewhere = (
            "observers= with detached=True: they are objects of this process, and another drives "
            "the run. Leave one of the two out, or install them where the run is driven, as entry "
            "points of the group 'daskrun.observers'."
        )
        return [elsewhere]
    return [
        f"observers[{number}]={each!r} is no observer, nor what makes one. {example}"
        for number, each in enumerate(observers)
        if not isinstance(each, Observer) and not callable(each)
    ]


def _output_problems(output: StepOutput, workspace: Workspace, target: object) -> list[str]:
    """Return why an output can't go to a datastore that is a URL."""
    store, _ = output._place("", workspace)
    if store.is_local or store.url().partition("://")[0] not in OWN_MEMORY or target == INLINE:
        return []
    problem = (
        f"output={output.name!r} is in datastore {store.name!r} at {shown_url(store.url())}, which "
        "is this process's own memory: script processes can't write there. Write "
        "compute_target='inline', or give another datastore."
    )
    return [problem]


def _read_settings(script_folder: Path) -> dict[str, object]:
    """Read the settings file beside the script; each problem names it."""
    try:
        return read_settings(script_folder)
    except SettingsError as error:
        named = [f"{error.subject}: {problem}" for problem in error.problems]
        raise SettingsError(error.subject, named) from error
