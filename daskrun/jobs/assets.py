"""What ``MLClient`` has of one kind, by name: ``client.models``, ``client.data`` and the like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.data.datasets import Dataset
from daskrun.errors import NameNotFoundError, OriginalNameError
from daskrun.jobs.v2 import Entity, Registered, Said, Step
from daskrun.workspace.environments.dependencies import conda_of
from daskrun.workspace.environments.environment import Environment
from daskrun.workspace.models.model import Model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from daskrun.workspace.workspace import Workspace

OF_JOB = re.compile(r"azureml://jobs/(?P<run>[^/]+)/outputs/(?P<output>[^/]+)(/paths)?/?(?P<in>.*)")


class OfClient:
    """Base of what ``MLClient`` has: names that it lacks are told with those there are."""

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            there = ", ".join(each for each in dir(self) if not each.startswith("_"))
            raise OriginalNameError(
                f"daskrun has no {type(self).__name__}.{name}. It has {there}. Jobs are files too: "
                "daskrun run job.yml."
            )


class Assets(OfClient):
    """What is registered of one kind, by name."""

    def __init__(self, kind: str, workspace: Workspace) -> None:
        self._kind = kind
        self._workspace = workspace
        self._components: dict[str, Step] = {}
        """Those that this client was given: a component is registered nowhere here."""

    def get(self, name: str, version: Any = None, label: str | None = None) -> Any:
        """Return what stands for something registered: ``path`` of an input, or environment."""
        del label  # the latest
        number = int(version) if str(version or "").isdecimal() else None
        if self._kind == "compute":
            return Entity(name=name, id=name, type="amlcompute")
        if self._kind == "components":
            if name not in self._components:
                raise NameNotFoundError("component", name, list(self._components))
            return self._components[name]
        found: Any = None
        if self._kind == "data":
            found = Dataset.get_by_name(self._workspace, name, number or "latest")
        elif self._kind == "environments":
            found = Environment.get(self._workspace, name, version)
        else:
            found = Model(self._workspace, name, number)
        return _standing_for(name, found)

    def list(self, name: str | None = None, **more: Any) -> Iterable[Any]:
        """Return what there is, the newest of each name; of one name where that is given."""
        del more
        if self._kind == "components":
            found: Mapping[str, Any] = dict(self._components)
        elif self._kind == "models":
            found = {each.name: each for each in reversed(Model.list(self._workspace, name))}
        else:
            found = dict(getattr(self._workspace, _IN_WORKSPACE[self._kind]))
        wanted = found if name is None else {name: found[name]} if name in found else {}
        if self._kind == "components":
            return list(wanted.values())
        return [_standing_for(each, it) for each, it in wanted.items()]

    def create_or_update(self, said: Any, **more: Any) -> Any:
        """Register an environment, model or data; anything else is returned as it is."""
        del more
        name = (said.said if isinstance(said, Step) else said).get("name")
        if not isinstance(name, str):
            return said
        if self._kind == "components" and isinstance(said, Step):
            self._components[name] = said
            return said
        made = _REGISTER.get(self._kind)
        return said if made is None else _standing_for(name, made(self._workspace, name, said))

    def begin_create_or_update(self, said: Any, **more: Any) -> Said:
        """Return what has it as ``result()``."""
        made = self.create_or_update(said, **more)
        return Entity(result=lambda: made)


def _standing_for(name: str, found: Any) -> Said:
    at = str(getattr(found, "version", None) or "latest")
    id_ = f"azureml:{name}:{at}"
    told = {each: getattr(found, each, None) for each in ("description", "tags")}
    return Registered(name=name, version=at, latest_version=at, id=id_, path=id_, **told)


def _environment(workspace: Workspace, name: str, said: Said) -> Environment:
    conda = said.get("conda_file")
    made = Environment(name)
    if isinstance(conda, Mapping):
        found = conda_of(conda, Path.cwd())
        made.python = replace(made.python, conda_dependencies=found)
    elif conda is not None:
        made = Environment.from_conda_specification(name, conda)
    return made.register(workspace)


def _data(workspace: Workspace, name: str, said: Said) -> Any:
    path = _place(workspace, said)
    if said.get("type") == "mltable":
        made: Any = Dataset.Tabular.from_mltable(path)
    else:
        made = Dataset.File.from_files(path)
    told = {"description": said.get("description"), "tags": said.get("tags")}
    return made.register(workspace, name, create_new_version=True, **told)


def _model(workspace: Workspace, name: str, said: Said) -> Model:
    told = {"description": said.get("description"), "tags": said.get("tags")}
    return Model.register(workspace, _place(workspace, said), name, **told)


def _place(workspace: Workspace, said: Said) -> str:
    """Return where something is: an output of a job is where its run has it."""
    path = str(said.get("path"))
    found = OF_JOB.fullmatch(path)
    if found is None:
        return path
    output = workspace.get_run(found["run"]).outputs[found["output"]]
    return str(Path(output.path, found["in"])) if found["in"] else output.path


_IN_WORKSPACE = {
    "compute": "compute_targets",
    "data": "datasets",
    "environments": "environments",
}
_REGISTER: Mapping[str, Callable[[Workspace, str, Said], Any]] = {
    "environments": _environment,
    "data": _data,
    "models": _model,
}
