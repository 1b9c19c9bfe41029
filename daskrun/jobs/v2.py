"""The names of ``azure.ai.ml`` that make jobs: what they build is what a job file says.

Values are kept as the keys of a file, so that they are read, checked and told as a file's are.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from daskrun.errors import SettingsError
from daskrun.jobs import job as files
from daskrun.jobs.located import LITERALS, At, Node, Problems, read

if TYPE_CHECKING:
    import os

_OPEN: list[Steps] = []
"""Pipelines whose functions run now, the innermost last."""
_RESOURCES = ("instance_count", "instance_type", "docker_args", "shm_size", "locations")


class AssetTypes:
    """Types of inputs and outputs: files, a table, and a model's files as each of these has them.

    Examples
    --------
    >>> AssetTypes.URI_FOLDER
    'uri_folder'
    """

    URI_FILE, URI_FOLDER, MLTABLE = "uri_file", "uri_folder", "mltable"
    CUSTOM_MODEL, MLFLOW_MODEL, TRITON_MODEL = "custom_model", "mlflow_model", "triton_model"


class InputOutputModes:
    """How data comes to a script, and goes: in place or copied; of a table its rows or files."""

    MOUNT, RO_MOUNT, RW_MOUNT = "mount", "ro_mount", "rw_mount"
    DOWNLOAD, UPLOAD, DIRECT = "download", "upload", "direct"
    EVAL_MOUNT, EVAL_DOWNLOAD = "eval_mount", "eval_download"


Value: TypeAlias = Any
"""Of a key: a text, a number, a list, a mapping, what a step writes."""


class Said(dict[str, Value]):
    """Keys of a file and their values, which are attributes too."""

    def __getattr__(self, name: str) -> Any:
        """Return the value of a key; a mapping is such an object, one that is not there empty."""
        if name.startswith("__"):
            raise AttributeError(name)
        value = self.get(name)
        if value is None and name not in _SCALARS:
            value = self[name] = Said()
        elif isinstance(value, Mapping) and not isinstance(value, Said):
            value = self[name] = Said(value)
        return value

    def __setattr__(self, name: str, value: object) -> None:
        self[name] = value


_SCALARS = {
    *("name", "version", "id", "type", "path", "mode", "description", "display_name", "compute"),
    *("default_compute", "experiment_name", "mini_batch_size"),
}
"""Keys whose values are no mappings."""


def Entity(**said: Any) -> Said:  # noqa: N802  (a class of the original)
    """Return an environment, retry settings, a resource configuration, as a file writes them."""
    return Said({name: value for name, value in said.items() if value is not None})


def Input(**said: Any) -> Said:  # noqa: N802
    """Return an input: its keywords are the keys that it has in a file."""
    return Entity(**said)


def Output(**said: Any) -> Said:  # noqa: N802
    """Return an output: its keywords are the keys that it has in a file."""
    return Entity(**said)


def RunFunction(**said: Any) -> Said:  # noqa: N802
    """Return the task of a parallel job: its keywords are the keys that it has in a file."""
    return Entity(type="run_function", **said)


class Registered(Said):
    """Something that is registered: where a job has it, its ``azureml:<name>:<version>``."""


class Bound(Said):
    """An output of a step, or an input of a pipeline, as an input of another step."""

    def __init__(self, name: Callable[[], str], said: Mapping[str, Any] | None = None) -> None:
        super().__init__(said or {})
        object.__setattr__(self, "_name", name)

    def __str__(self) -> str:
        return f"${{{{{object.__getattribute__(self, '_name')()}}}}}"


class Outputs(dict[str, "Bound"]):
    """The outputs of a step, by name or as attributes."""

    def __init__(self, step: Step, given: Mapping[str, Any]) -> None:
        super().__init__()
        object.__setattr__(self, "_step", step)
        for name, said in given.items():
            self[name] = said

    def __missing__(self, name: str) -> Bound:
        self[name] = {}
        return self[name]

    def __setitem__(self, name: str, said: Any) -> None:
        step: Step = object.__getattribute__(self, "_step")
        super().__setitem__(
            name, Bound(lambda: f"parent.jobs.{step.key}.outputs.{name}", _mapping(said))
        )

    def __getattr__(self, name: str) -> Bound:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __setattr__(self, name: str, said: Any) -> None:
        self[name] = said


def _mapping(said: Any) -> Mapping[str, Any]:
    return said if isinstance(said, Mapping) else {"path": said}


class Step:
    """A job: called inside a pipeline's function it is one of its steps, with the inputs given."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self.key = ""
        """Its name in the pipeline."""
        self.said = Said(said)
        """The keys of a file."""
        self.outputs = Outputs(self, self.said.pop("outputs", None) or {})

    def __repr__(self) -> str:
        return f"Step({dict(self.said)!r})"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "said":
            raise AttributeError(name)
        return getattr(self.said, "version" if name == "latest_version" else name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in ("key", "said", "outputs"):
            object.__setattr__(self, name, value)
        else:
            self.said[name] = value

    def __call__(self, *given: Any, **inputs: Any) -> Step:
        """Return a step of the pipeline that is being made."""
        made = type(self)({**self.said, "outputs": dict(self.outputs)})
        names = [name for name in self._declared() if name not in inputs]
        values = {**dict(zip(names, given, strict=False)), **inputs}
        known = self.said.get("inputs") or {}
        joined = {name: _given(known.get(name), value) for name, value in values.items()}
        made.said["inputs"] = {**known, **joined}
        if _OPEN:
            _OPEN[-1].add(made)
        return made

    def set_resources(self, **said: Any) -> None:
        """Say how many nodes it has: ``instance_count``."""
        self.said["resources"] = {**(self.said.get("resources") or {}), **Entity(**said)}

    def _declared(self) -> list[str]:
        said = self.said.get("component")
        if said is not None:
            return list(_component(said).get("inputs", Node({})).table())
        return list(self.said.get("inputs") or {})

    def plain(self) -> Mapping[str, Any]:
        """Return it as a file has it."""
        return {**self.said, "outputs": self.outputs}

    def as_job(self) -> files.Job:
        """Return the job that it is; SettingsError has all that is wrong with it."""
        return files.job_of(Node.of(_plain(self.plain()), At("azure.ai.ml")), Problems())


def _given(declared: Any, value: Any) -> Any:
    """Return the value of an input, with what was declared of it."""
    if not isinstance(declared, Mapping):
        return value
    if isinstance(value, Bound):
        return {**declared, "path": str(value)} if _is_data(declared) else value
    if isinstance(value, Mapping):
        return {**declared, **value}
    return {**declared, "path" if _is_data(declared) else "default": value}


def _is_data(declared: Mapping[str, Any]) -> bool:
    return declared.get("type", "string") not in LITERALS


def _plain(value: Any) -> Any:
    """Return builtins."""
    if isinstance(value, Step):
        return _plain(value.plain())
    if isinstance(value, Bound) and not dict(value):
        return str(value)
    if isinstance(value, Outputs):
        return {name: _plain(dict(said)) for name, said in value.items()}
    if isinstance(value, Registered):
        return value["id"]
    if isinstance(value, Mapping):
        own = str(value) if isinstance(value, Bound) else None
        made = {name: _plain(each) for name, each in value.items() if each is not None}
        return own if own is not None else made
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.value if isinstance(value, Enum) else value


def _job(kind: str, said: Mapping[str, Any]) -> Step:
    given = {name: value for name, value in said.items() if value is not None}
    resources = {name: given.pop(name) for name in _RESOURCES if name in given}
    if resources:
        given["resources"] = resources
    return Step({"type": kind, **given})


def parallel_run_function(**said: Any) -> Step:
    """Return a parallel job: its keywords are the keys that it has in a file, flat.

    Examples
    --------
    >>> score = parallel_run_function(
    ...     name="score", inputs={"images": Input(type="uri_folder")}, outputs={"rows": Output()},
    ...     input_data="${{inputs.images}}", mini_batch_size="5", instance_count=1,
    ...     task=RunFunction(code="src", entry_script="score.py"))
    >>> score(images=Input(type="uri_folder", path="images")).as_job()
    Job('score')
    """
    return _job("parallel", said)


def command(**said: Any) -> Step:
    """Return a command job: its keywords are the keys that it has in a file, flat."""
    return _job("command", said)


def load_component(source: str | os.PathLike[str] | None = None, **said: Any) -> Step:
    """Return the job of a component file, called with its inputs in a pipeline.

    With ``client`` and ``name`` it is one that was given to ``client.components``.
    """
    source = said.get("path") if source is None else source
    if source is None and "client" in said:
        found: Step = said["client"].components.get(said.get("name"), said.get("version"))
        return found
    if source is None:
        raise SettingsError("load_component", ["source=None: write the path of a file."])
    path = Path(source).absolute()
    table = _component(path)
    name = table["name"].text if "name" in table else path.stem
    kind = table["type"].text if "type" in table else None
    return Step(Entity(type=kind, name=name, component=str(path)))


def _component(path: str | os.PathLike[str]) -> Mapping[str, Node]:
    problems = Problems()
    node = read(path, problems)
    problems.raise_any("load_component")
    assert node is not None
    return node.table()


def load_job(source: str | os.PathLike[str] | None = None, **said: Any) -> files.Job:
    """Return the job of a file; see :func:`daskrun.load_job`."""
    return files.load_job(said.get("path", "") if source is None else source)


class Steps:
    """The steps of a pipeline that is being made."""

    def __init__(self) -> None:
        self.jobs: dict[str, Step] = {}

    def add(self, step: Step) -> None:
        """Add a step, under a name of its own."""
        base = str(step.said.get("name") or step.said.get("type") or "job")
        number, step.key = 1, base
        while step.key in self.jobs:
            step.key = f"{base}_{number}"
            number += 1
        self.jobs[step.key] = step


SETTINGS = ("continue_on_step_failure", "default_compute", "default_datastore", "force_rerun")


def pipeline(function: Any = None, /, **said: Any) -> Any:
    """Make pipeline jobs of a function that calls components: ``@pipeline`` of ``azure.ai.ml.dsl``.

    What it returns, a dict of outputs of steps, are the pipeline's outputs.
    """
    if function is None:
        return lambda function: pipeline(function, **said)

    @functools.wraps(function)
    def made(*given: Any, **inputs: Any) -> Step:
        known = _signature(function)
        bound = known.bind_partial(*given, **inputs)
        bound.apply_defaults()
        declared = {
            name: each.annotation.get("default")
            for name, each in known.parameters.items()
            if isinstance(each.annotation, Said)
        }
        values = {**declared, **bound.arguments}  # what is missing is told when it is submitted
        steps = Steps()
        names = {
            name: Bound(functools.partial("parent.inputs.{}".format, name))
            for name in known.parameters
        }
        _OPEN.append(steps)
        try:
            results = function(**names)
        finally:
            _OPEN.pop()
        own = {k: v for k, v in said.items() if k not in SETTINGS and v is not None}
        settings = {k: v for k, v in said.items() if k in SETTINGS and v is not None}
        job = Step(
            {
                "type": "pipeline",
                "display_name": function.__name__,
                **own,
                "settings": Said(settings),
                "inputs": {k: v for k, v in values.items() if v is not None},
                "jobs": steps.jobs,
                "outputs": {name: dict(each) for name, each in (results or {}).items()},
            }
        )
        for name, each in (results or {}).items():
            _bind(steps, each, name)
        if _OPEN:
            _OPEN[-1].add(job)
        return job

    return made


def _signature(function: Any) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except Exception:  # noqa: BLE001  (whatever an annotation that is a text raises)
        return inspect.signature(function)


def _bind(steps: Steps, output: Bound, name: str) -> None:
    """Have an output of a step written where the pipeline's is."""
    for step in steps.jobs.values():
        for own, bound in step.outputs.items():
            if bound is output:
                step.outputs[own] = {"path": f"${{{{parent.outputs.{name}}}}}"}
                return
