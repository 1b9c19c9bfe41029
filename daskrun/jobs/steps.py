"""From a job of a file to the step that it is run as."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.data.datasets import Dataset
from daskrun.errors import DaskrunError, SettingsError
from daskrun.jobs import shell_command
from daskrun.jobs.arguments import Flags, arguments_of, flags_of
from daskrun.jobs.data import environment_of, model_folder
from daskrun.jobs.expressions import Reference, only, pieces, without_absent, words
from daskrun.jobs.scope import Given, Written
from daskrun.pipeline.steps.config import ParallelRunConfig
from daskrun.pipeline.steps.parallel_step import ParallelRunStep
from daskrun.pipeline.steps.script_step import PythonScriptStep

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from daskrun.jobs.arguments import Word
    from daskrun.jobs.kinds import AnyJob, CommandJob, EnvironmentSaid, ModelSaid, ParallelJob
    from daskrun.jobs.located import At
    from daskrun.jobs.schema import WrittenPath
    from daskrun.jobs.scope import Scope
    from daskrun.pipeline.steps.base import PipelineStep

MODEL = "AZUREML_MODEL_DIR"
"""Variable that tells a deployment's script the folder that its model is in."""
PYTHON = re.compile(r"python3?(\.\d+)?")
SHELL = frozenset("|&;<>()$`\\\n*?[]#~{}")
"""What a shell acts on: a command without is run as Python runs it."""
KEYS = {
    "entry_script": "entry_script",
    "source_directory": "code",
    "mini_batch_size": "mini_batch_size",
    "partition_keys": "partition_keys",
    "error_threshold": "error_threshold",
    "allowed_failed_count": "mini_batch_error_threshold",
    "allowed_failed_percent": "allowed_failed_percent",
    "node_count": "resources.instance_count",
    "process_count_per_node": "max_concurrency_per_instance",
    "run_max_try": "retry_settings.max_retries",
    "run_invocation_timeout": "retry_settings.timeout",
    "logging_level": "logging_level",
    "environment_variables": "environment_variables",
    "timeout": "limits.timeout",
    "script_name": "command",
}
"""By setting, the key that says it in a job file."""
IN_TASK = ("entry_script", "code", "program_arguments")


@dataclass(frozen=True)
class Deployed:
    """What a deployment says that a parallel job has no key for."""

    model: WrittenPath | ModelSaid | None = None
    file_name: str = ""


def step_name(text: str, taken: Collection[str]) -> str:
    """Return the name of the step of a job: small letters, digits and ``-``.

    Examples
    --------
    >>> step_name("Batch_Prediction", ["batch-prediction"])
    'batch-prediction-2'
    """
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    name = name if re.match("[a-z]", name) else f"job-{name}".strip("-")
    base = name = (name if len(name) > 2 else f"job-{name}")[:32].strip("-")
    number = 1
    while name in taken:
        number += 1
        name = f"{base[:29]}-{number}"
    return name


def parallel_step(
    job: ParallelJob, scope: Scope, name: str, compute: object, reuse: bool, deployed: Deployed
) -> PipelineStep | None:
    """Return the step of a parallel job; None where something is wrong, which was added."""
    problems, task, at = scope.context.problems, job.task, job.where("task")
    if deployed.model is not None and (task is None or not task.entry_script):
        at = job.where("code_configuration")
        example = "Write code_configuration: {code: ./src, scoring_script: score.py}"
        problems.add(at, f"a deployment needs a scoring_script, one of MLflow's too. {example}")
        return None
    if task is None or not task.entry_script:
        example = "Write task: {type: run_function, code: ./src, entry_script: score.py}"
        problems.add(
            at, f"{'task' if task is None else 'entry_script of task'} is missing. {example}"
        )
        return None
    before = len(problems)
    split = _split_input(job, scope)
    said_at = task.where("program_arguments")
    text = without_absent(task.program_arguments or task.args or "", scope.is_absent)
    try:
        flags = flags_of(text)
        arguments = arguments_of(flags.words, lambda each: scope.value(each, said_at))
    except ValueError as error:
        problems.add(said_at, f"program_arguments: {str(error).rstrip('.')}.")
        flags, arguments = Flags([], {}, []), []
    if flags.unused:
        scope.context.notes.append(f"{', '.join(flags.unused)} of program_arguments: not used here")
    result, action = _result(job, scope)
    for name_of, each in scope.outputs.items():
        if each is not result and f"outputs.{name_of}" not in text:
            told = f"output {name_of!r}: no text names it, so nothing is written to it"
            scope.context.notes.append(told)
    code = task.code or job.code
    folder, script = _script(code, task.entry_script, job)
    _check_script(code, folder, script, scope, task.where("entry_script"))
    settings = {
        **_settings(job, scope),
        **{k: scope.text("".join(map(str, v)), said_at) for k, v in flags.settings.items()},
        "entry_script": script,
        "source_directory": folder,
        "environment": _environment(task.environment or job.environment, job, scope, "task"),
        "compute_target": compute,
        "output_action": action,
        "append_row_file_name": deployed.file_name or (result and result.file) or None,
        "environment_variables": _variables(job, scope),
        "description": job.description,
    }
    sides = []
    if deployed.model is not None:
        try:
            sides.append(
                model_folder(deployed.model, scope.context.workspace).as_named_input(MODEL)
            )
        except DaskrunError as error:
            problems.add_all(job.where("model"), error)
    if split is None or len(problems) > before:
        return None
    try:
        config = ParallelRunConfig(**{k: v for k, v in settings.items() if v is not None})
        output = result.output if result is not None else None
        return ParallelRunStep(name, config, [split], output, sides, arguments, reuse)
    except DaskrunError as error:
        _add(job, scope, error, dict.fromkeys(flags.settings, said_at))
        return None


def command_step(
    job: CommandJob, scope: Scope, name: str, compute: object, reuse: bool
) -> PipelineStep | None:
    """Return the step of a command job; None where something is wrong, which was added."""
    problems, at = scope.context.problems, job.where("command")
    if not job.command:
        problems.add(at, "command is missing. Write command: python prepare.py")
        return None
    before = len(problems)
    line = without_absent(job.command, scope.is_absent).strip()
    folder = str(job.code.local) if job.code is not None else None
    inputs: list[Any] = []
    try:
        plain = _plain(line, scope, at)
    except ValueError as error:
        problems.add(at, f"command: {error}.")
        return None
    if plain is not None:
        (first, *rest) = plain
        script = str(first[0])
        script = script if folder is not None else str(job.where("command").folder / script)
        _check_script(job.code, folder, script, scope, at)
        try:
            made = arguments_of(rest, lambda each: scope.value(each, at))
        except ValueError as error:
            problems.add(at, f"command: {error}")
            made = []
    else:  # joined on the node: paths are known there
        script = shell_command.__file__
        parts = [scope.value(e, at) if isinstance(e, Reference) else e for e in pieces(line)]
        made = [each.replace("\\\n", " ") if isinstance(each, str) else each for each in parts]
        _check_script(job.code, None, script, scope, at)
        code = [] if folder is None else [Dataset.File.from_files(folder, validate=False)]
        inputs = [each.as_named_input("daskrun_code") for each in code]
        made = [*(inputs or [""]), *made]
        folder = None
    environment = _environment(job.environment, job, scope, "")
    variables = _variables(job, scope)
    if len(problems) > before:
        return None
    try:
        return PythonScriptStep(
            script,
            name,
            made,
            compute,  # type: ignore[arg-type]
            inputs=inputs,
            outputs=[each.output for each in scope.outputs.values()],
            source_directory=folder,
            allow_reuse=reuse,
            environment=environment,
            environment_variables=variables or None,
            timeout=job.limits.timeout if job.limits is not None else None,
        )
    except DaskrunError as error:
        _add(job, scope, error)
        return None


def _plain(line: str, scope: Scope, at: At) -> list[Word] | None:
    """Return script and arguments of a line that is ``python x.py …``; None: a shell's."""
    literal: list[str] = []
    for part in pieces(line):
        value = scope.value(part, at) if isinstance(part, Reference) else part
        literal.append(value if isinstance(value, str) else str(part))
    text = "".join(literal)
    rest = re.sub(r"\$\{\{.*?\}\}", "", text)
    if SHELL & set(rest.replace("\\\n", " ")):
        return None
    found = words(text.replace("\\\n", " "))
    while len(found) > 1 and found[1] == ["-u"]:
        del found[1]
    first, script = (found[0], found[1]) if len(found) > 1 else ([""], [""])
    python = len(first) == 1 and isinstance(first[0], str) and PYTHON.fullmatch(first[0])
    is_file = len(script) == 1 and isinstance(script[0], str) and script[0].endswith(".py")
    return found[1:] if python and is_file else None


def _split_input(job: ParallelJob, scope: Scope) -> Any:
    at = job.where("input_data")
    example = "Write input_data: ${{inputs.NAME}}"
    reference = only(job.input_data or "")
    name = reference.text.removeprefix("inputs.") if reference is not None else ""
    if isinstance(scope.inputs.get(name), Given):
        return scope.split(name)
    data = [each for each, value in scope.inputs.items() if isinstance(value, Given)]
    there = f", of {', '.join(data)}." if data else "."
    if job.input_data is None:
        scope.context.problems.add(at, f"input_data is missing. {example}{there}")
    elif name not in scope.inputs or scope.inputs[name]:  # else that is said there
        given = f"input_data={job.input_data!r} names no input that is data"
        scope.context.problems.add(at, f"{given}. {example}{there}")
    return None


def _result(job: ParallelJob, scope: Scope) -> tuple[Written | None, str]:
    """Return the output that the step's own is, and what becomes of results."""
    assert job.task is not None
    append = job.task.append_row_to
    if append is None:
        used = list(scope.outputs.values())
        return (used[0] if used else None), "summary_only"
    at = job.task.where("append_row_to")
    reference = only(append)
    name = reference.text.removeprefix("outputs.") if reference is not None else ""
    if name not in scope.outputs:
        known = ", ".join(f"${{{{outputs.{each}}}}}" for each in scope.outputs) or "an output"
        text = f"append_row_to={append!r} names no output of the job. Write {known}."
        scope.context.problems.add(at, text)
        return None, "append_row"
    return scope.outputs[name], "append_row"


def _settings(job: ParallelJob, scope: Scope) -> dict[str, object]:
    retry, resources = job.retry_settings, job.resources
    said: Mapping[str, object] = {
        "error_threshold": job.error_threshold,
        "allowed_failed_count": job.mini_batch_error_threshold,
        "allowed_failed_percent": job.allowed_failed_percent,
        "node_count": resources.instance_count if resources is not None else None,
        "process_count_per_node": job.max_concurrency_per_instance,
        "run_max_try": retry.max_retries if retry is not None else None,
        "run_invocation_timeout": retry.timeout if retry is not None else None,
        "logging_level": job.logging_level,
        "mini_batch_size": job.mini_batch_size,
    }
    made: dict[str, object] = {}
    for name, value in said.items():
        at = job.where(*KEYS[name].split("."))
        made[name] = scope.text(value, at) if isinstance(value, str) else value
    if made["error_threshold"] is None:
        made["error_threshold"] = -1
    if made["run_max_try"] in (0, "0"):
        made["run_max_try"] = 1  # tries in all
    if isinstance(made["logging_level"], str):
        made["logging_level"] = made["logging_level"].upper()
    if isinstance(made["mini_batch_size"], str):
        made["mini_batch_size"] = made["mini_batch_size"].replace(" ", "")
    keys = job.partition_keys
    if isinstance(keys, str):
        keys = tuple(
            each
            for each in re.split(r"[,\s]+", scope.text(keys, job.where("partition_keys")))
            if each
        )
    made["partition_keys"] = list(keys) if keys else None
    if keys and made["mini_batch_size"] is not None:
        made["mini_batch_size"] = None
        scope.context.notes.append("mini_batch_size is not used beside partition_keys")
    return made


def _script(code: WrittenPath | None, entry: str, job: AnyJob) -> tuple[str | None, str]:
    """Return source folder and script; a dotted name is a module's."""
    folder = code.local if code is not None else None
    base = folder if folder is not None else job.where("task").folder
    if not (base / entry).exists() and not entry.endswith(".py"):
        entry = f"{entry.replace('.', '/')}.py"
    if folder is not None and folder.is_file():
        return str(folder.parent), entry
    return (str(folder), entry) if folder is not None else (None, str(base / entry))


def _check_script(
    code: WrittenPath | None, folder: str | None, script: str, scope: Scope, at: At
) -> None:
    """Add what is wrong with the folder and the script."""
    problems = scope.context.problems
    if code is not None and not code.local.exists():
        problems.add(at, f"code={str(code)!r} is not there ({code.local}). Write a folder that is.")
    elif not Path(folder or "", script).is_file():
        where = f"in {folder}" if folder is not None else "there"
        problems.add(at, f"{script!r} is not {where}. Write the path of a script.")


def _environment(said: str | EnvironmentSaid | None, job: AnyJob, scope: Scope, above: str) -> Any:
    at = job.where(above, "environment") if above else job.where("environment")
    context = scope.context
    try:
        return environment_of(said, at, context.workspace, context.problems, context.notes)
    except (DaskrunError, ValueError) as error:
        context.problems.add_all(at, error)
        return None


def _variables(job: AnyJob, scope: Scope) -> dict[str, str]:
    return {
        name: scope.text(text, job.where("environment_variables", name))
        for name, text in job.environment_variables.items()
    }


def _add(
    job: AnyJob, scope: Scope, error: DaskrunError, places: Mapping[str, At] | None = None
) -> None:
    """Add the problems of a step by the keys, or ``places``, that say what they are about."""
    for text in error.problems if isinstance(error, SettingsError) else [str(error)]:
        setting = re.split(r"[=: ]", text, maxsplit=1)[0]
        path = KEYS.get(setting, "").split(".")
        if path[0] in IN_TASK:
            path = ["task", *path]
        for name, own in KEYS.items():
            text = re.sub(rf"\b{name}=", f"{own}=", text)
        scope.context.problems.add((places or {}).get(setting) or job.where(*path), text)
