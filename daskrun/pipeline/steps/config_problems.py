"""What of a :class:`ParallelRunConfig` can't be together, or be at all."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from daskrun.core.plugins import load
from daskrun.core.settings import Trait, settings_with
from daskrun.errors import DaskrunError
from daskrun.pipeline.steps.function_script import PREFIX
from daskrun.pipeline.steps.parameter import PipelineParameter
from daskrun.workspace.compute.targets import ComputeTarget
from daskrun.workspace.environments.environment import Environment

MAY_BE_PARAMETERS = settings_with(Trait.PARAMETER)


def own_problems(config: Any) -> list[str]:
    """Return what is wrong with a config, other than the value of one setting."""
    values = {each.name: getattr(config, each.name) for each in fields(config)}
    problems = [
        f"{name}={value!r} can't be a PipelineParameter. Write its value; those "
        f"that can be are {', '.join(MAY_BE_PARAMETERS)}."
        for name, value in values.items()
        if isinstance(value, PipelineParameter) and name not in MAY_BE_PARAMETERS
    ]
    checks = (
        ("environment", Environment, "environment=Environment(name='batch_environment')"),
        ("compute_target", (ComputeTarget, str), "compute_target=ws.compute_targets['cpu']"),
        ("description", str, "description='some text'"),
    )
    for name, kind, example in checks:
        value = getattr(config, name)
        if value is not None and not isinstance(value, kind):
            problems.append(f"{name}={value!r} is of type {type(value).__name__}. Write {example}.")
    if isinstance(config.environment, Environment):
        problems += _environment_problems(config)
    if config.partition_keys is not None and config.mini_batch_size is not None:
        problems.append(
            f"partition_keys={config.partition_keys!r} and "
            f"mini_batch_size={config.mini_batch_size!r} both say what a mini-batch is. Give one "
            "of them."
        )
    if config.partition_by is not None:
        problems += [
            f"partition_by={config.partition_by!r} and {name}={getattr(config, name)!r} both say "
            "what a mini-batch is. Give one of them."
            for name in ("mini_batch_size", "partition_keys")
            if getattr(config, name) is not None
        ]
    if isinstance(config.locality, str):
        try:
            load(config.locality)
        except (DaskrunError, ImportError) as error:
            problems.append(f"locality={config.locality!r}: {error}")
    if PREFIX in str(config.entry_script) and config.source_directory is not None:
        problems.append(
            f"source_directory={str(config.source_directory)!r} and a function as entry_script: "
            "it is stored with what it uses. Leave source_directory out, or name a file in it."
        )
    if config.append_row_format not in (None, "text") and config.output_action == "summary_only":
        problems.append(
            f"append_row_format={config.append_row_format!r} with output_action='summary_only': "
            "no rows are appended. Leave append_row_format out, or write "
            "output_action='append_row'."
        )
    return problems


def _environment_problems(config: Any) -> list[str]:
    environment: Environment = config.environment
    found = list(environment.problems())
    if not found and config.python_executable is not None:
        says = environment.interpreter or ", ".join(environment.requirements)
        if says:
            found.append(
                f"python_executable={str(config.python_executable)!r} and environment "
                f"{environment.name!r} ({says}) both say which Python is used. Give one."
            )
    return found
