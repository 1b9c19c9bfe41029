"""A ``ParallelRunConfig`` as a YAML file: written whole, read with every problem by its line."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from daskrun.core.settings import close_to
from daskrun.errors import ComputeTargetException, DaskrunError, SettingsError, StorageError
from daskrun.pipeline.steps.parameter import PipelineParameter
from daskrun.shown.url_secrets import shown_text
from daskrun.storage.durable import write_whole
from daskrun.storage.yaml_text import read_yaml
from daskrun.workspace.compute.targets import ComputeTarget
from daskrun.workspace.environments.environment import Environment
from daskrun.workspace.environments.kept import may_be_secret
from daskrun.workspace.environments.original_file import as_ours
from daskrun.workspace.workspace import Workspace, workspace_problems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import DataclassInstance
    from yaml import Node

    from daskrun.core.codec import JsonObject

TOP = "parallel_run_config"
STR = "tag:yaml.org,2002:str"
NAME, VERSION = "environment_name", "environment_version"
PARAMETER = "pipeline_parameter"
"""Key of a mapping that stands for a parameter."""
DIRECTORY, INPUT_FORMAT = "environment_dir_path", "input_format"
ORIGINAL_KEYS = {
    "compute_target_name": "compute_target",
    NAME: "environment",
    DIRECTORY: "environment",
}
"""By a key of the original's files what it is called here."""
Config = TypeVar("Config", bound="DataclassInstance")
REQUIRED = {"entry_script": "score.py", "error_threshold": -1, "output_action": "append_row"}
"""The fields without a default; what is said of the others doesn't depend on these values."""


def save(config: DataclassInstance, path: str | os.PathLike[str]) -> None:
    """Write a config to a file; see ``ParallelRunConfig.save_to_yaml``."""
    problems: list[str] = []
    given = {field.name: getattr(config, field.name) for field in fields(config)}
    values = {
        name: _plain(name, value, problems) for name, value in given.items() if value is not None
    }
    if problems:
        raise SettingsError("save_to_yaml", problems)
    text = yaml.dump({TOP: values}, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    try:
        write_whole(
            Path(path), text.encode(), mode=0o600 if _may_be_secret(config, text) else 0o666
        )
    except OSError as error:
        raise StorageError(f"path={str(path)!r} can't be written: {error}") from error


def _may_be_secret(config: Any, text: str) -> bool:
    """Return whether others should not read the file."""
    environment = config.environment
    of_environment = environment is not None and may_be_secret(environment.as_record())
    return bool(config.environment_variables or of_environment or shown_text(text) != text)


def load(kind: type[Config], workspace: Workspace, path: str | os.PathLike[str]) -> Config:
    """Return the config of a file, an object of ``kind``; see ``ParallelRunConfig.load_yaml``."""
    known = {field.name: field for field in fields(kind)}
    assert REQUIRED.keys() == {name for name, each in known.items() if each.default is MISSING}
    if problems := workspace_problems(workspace):
        raise SettingsError("load_yaml", problems)
    written = _as_ours(_read(path), Path(path).parent)
    problems = list(written.problems)
    values: dict[str, object] = {}
    for name, value in written.values.items():
        if name in known:
            try:
                values[name] = _value(name, value, workspace)
            except SettingsError as error:
                problems += [written.at(name, problem) for problem in error.problems]
        else:
            hint = close_to(name, known)
            problems.append(written.at(name, f"{name} is not a setting. {hint}"))
    for name, example in REQUIRED.items():
        if name not in written.values:
            problems.append(f"{name} is missing. Write {name}: {example}")
    try:
        config = kind(**{**REQUIRED, **values})
    except SettingsError as error:
        of_values = [written.at(problem.partition("=")[0], problem) for problem in error.problems]
        raise SettingsError(str(path), [*problems, *of_values]) from None
    if problems:
        raise SettingsError(str(path), problems)
    return config


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes text so that it is read as it was: unquoted, some line breaks would be others."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar(STR, data, style=None if data.isprintable() else '"')


_Dumper.add_representer(str, _Dumper.represent_str)


@dataclass(frozen=True)
class _Folder:
    """The folder of an environment, as a file names it: relative to where one is, or to itself."""

    beside: Path
    name: str

    def load(self) -> Environment:
        """Return the environment in it."""
        here = Path(self.name)
        return Environment.load_from_directory(here if here.is_dir() else self.beside / here)


@dataclass(frozen=True)
class _Written:
    """What a file says."""

    values: Mapping[Any, Any]
    lines: Mapping[Any, int]
    """By key, where it stands, from 1."""
    problems: tuple[str, ...]

    def at(self, name: Any, problem: str) -> str:
        """Return where the value is that a problem speaks of."""
        return f"line {self.lines[name]}: {problem}" if name in self.lines else problem


def _plain(name: str, value: Any, problems: list[str]) -> Any:
    """Return a value as YAML has it."""
    if isinstance(value, PipelineParameter):
        default = _plain(name, value.default_value, problems)
        return {PARAMETER: {"name": value.name, "default_value": default}}
    if isinstance(value, Environment):
        return value.as_record()
    if isinstance(value, ComputeTarget):
        return value.name
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list | tuple):
        return [_plain(name, each, problems) for each in value]
    if isinstance(value, Mapping):
        return {key: _plain(name, each, problems) for key, each in value.items()}
    # Subclasses, such as numpy's and those of enum, have a type that no file knows.
    for kind, method in ((str, None), (bool, None), (int, "__index__"), (float, "__float__")):
        if isinstance(value, kind) or (method is not None and hasattr(value, method)):
            return kind(value)
    if value is not None:
        given = type(value).__name__
        problems.append(f"{name}={value!r} is of type {given}. Write text or a number.")
    return None


def _read(path: str | os.PathLike[str]) -> _Written:
    """Read a file, and note where each key stands."""
    example = f"Write `{TOP}:` and the settings below it, as save_to_yaml(path) does."
    try:
        node, value = read_yaml(Path(path))
        inside = _inside(node)
        lines, twice = dict(inside), _twice(inside)
    except OSError as error:
        problem = f"path={str(path)!r} can't be read: {error.strerror or error}. Write the path of "
        problem += "a file such as save_to_yaml(path) makes."
        raise SettingsError("load_yaml", [problem]) from error
    except (ValueError, yaml.YAMLError) as error:
        said = " ".join(str(error).split()).rstrip(".")
        problem = f"path={str(path)!r} can't be read as YAML: {said}. {example}"
        raise SettingsError("load_yaml", [problem]) from error
    if isinstance(value, dict) and "entry_script" in value:
        value = {TOP: value}  # as some of the original's are
    if not isinstance(value, dict) or not isinstance(value.get(TOP), dict):
        raise SettingsError(str(path), [f"it holds no settings. {example}"])
    problems = [f"{key} is not known here. {example}" for key in value if key != TOP]
    return _Written(value[TOP], lines, (*problems, *twice))


def _inside(node: Node | None) -> list[tuple[str, int]]:
    """Return the keys below the top one, each with its line."""
    if not isinstance(node, yaml.MappingNode):
        return []
    inner = next((each for key, each in node.value if key.value == TOP), node)
    if not isinstance(inner, yaml.MappingNode):
        return []
    return [(str(key.value), key.start_mark.line + 1) for key, _ in inner.value]


def _as_ours(written: _Written, folder: Path) -> _Written:
    """Return what a file of the original says under the names that settings have here."""
    values = dict(written.values)
    problems, lines = list(written.problems), dict(written.lines)
    given = values.pop(INPUT_FORMAT, None)
    if given is not None and str(given).lower() not in ("file", "tabular"):
        problem = f"{INPUT_FORMAT}={given!r}: the inputs' kind is seen from these. Leave it out."
        problems.append(written.at(INPUT_FORMAT, problem))
    if values.get("profiling_module", 1) is None:
        del values["profiling_module"]
    if (version := values.pop(VERSION, None)) is not None and isinstance(values.get(NAME), str):
        values[NAME] = {"name": values[NAME], "version": version}
    for original, here in ORIGINAL_KEYS.items():
        if original not in values:
            continue
        value, lines[here] = values.pop(original), lines.get(original, 1)
        if values.get(here) is not None and value is not None:
            problem = f"{original}={value!r}: {here} says the same. Leave one of them out."
            problems.append(written.at(original, problem))
        elif value is not None:
            values[here] = _Folder(folder, str(value)) if original == DIRECTORY else value
    return _Written(values, lines, tuple(problems))


def _twice(keys: Sequence[tuple[str, int]]) -> list[str]:
    """Return which keys stand there more than once: YAML would take the last."""
    counts = Counter(key for key, _ in keys)
    lines = dict(keys)
    return [
        f"line {lines[key]}: {key} is written {count} times. Leave one."
        for key, count in counts.items()
        if count > 1
    ]


def _value(name: str, value: Any, workspace: Workspace) -> Any:
    """Return the value that something written stands for."""
    if isinstance(value, dict) and PARAMETER in value:
        return _parameter(name, value)
    if name == "environment" and value is not None:
        return _environment(value, workspace)
    if name == "compute_target" and isinstance(value, str):
        try:
            return ComputeTarget(workspace, value)
        except (ComputeTargetException, SettingsError):
            return value  # inline, or an address, or it is yet to be made
    return value


def _parameter(name: str, value: JsonObject) -> PipelineParameter:
    given = value[PARAMETER]
    if len(value) > 1 or not isinstance(given, dict) or set(given) != {"name", "default_value"}:
        example = f"{{{PARAMETER}: {{name: batch_size_param, default_value: '5'}}}}"
        problem = f"{name}={value!r} is not a parameter. Write {name}: {example}"
        raise SettingsError(name, [problem])
    return PipelineParameter(**given)


def _environment(value: Any, workspace: Workspace) -> Environment:
    """Return an environment that is written out, or the registered one that is named."""
    example = "Write the name of a registered one, or {name: mine, version: '1'}."
    if isinstance(value, _Folder):
        return value.load()
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise SettingsError("environment", [f"environment={value!r} is not one. {example}"])
    try:
        if set(value) <= {"name", "version"}:
            return Environment.get(workspace, value["name"], value.get("version"))
        return Environment.from_record({"version": None, **as_ours(value)})
    except (DaskrunError, KeyError, TypeError, ValueError) as error:
        said = str(error).rstrip(".")
        problem = f"environment={value['name']!r} can't be used: {said}. {example}"
        raise SettingsError("environment", [problem]) from error
