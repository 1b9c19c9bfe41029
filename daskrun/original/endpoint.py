"""``PipelineEndpoint``: one name for published pipelines, of which one is the default."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import OriginalClass, original_keywords
from daskrun.errors import NameNotFoundError, SettingsError
from daskrun.pipeline.runs.pipeline import Pipeline
from daskrun.pipeline.runs.published import PublishedPipeline
from daskrun.pipeline.submission.publish import ACTIVE, DISABLED
from daskrun.storage.records import each_readable
from daskrun.workspace.layout import PIPELINE_ENDPOINTS

if TYPE_CHECKING:
    import builtins

    from daskrun.pipeline.runs.run import PipelineRun
    from daskrun.workspace.workspace import Workspace


class PipelineEndpoint(OriginalClass):
    """Published pipelines under one name, each a version of it: "0", "1" and so on.

    ``Experiment.submit`` takes it as it takes a :class:`PublishedPipeline`; it has no address.
    Raises NameNotFoundError where there is none of that name.
    """

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace = workspace
        self.name = self.id = name
        """The same: no two have one name."""
        self._read()

    def __repr__(self) -> str:
        return f"PipelineEndpoint(name={self.name!r}, default_version={self._default!r})"

    def _read(self) -> None:
        found = self.workspace.records.latest(PIPELINE_ENDPOINTS, self.name)
        if found is None:
            known = self.workspace.records.names(PIPELINE_ENDPOINTS)
            raise NameNotFoundError("pipeline endpoint", self.name, known)
        value = found[1]
        self._pipelines: list[str] = value["pipelines"]
        self._default = str(value["default"])
        self.description: str | None = value["description"]
        self.status = str(value["status"])

    def _write(self, **changed: object) -> None:
        value = {
            "pipelines": self._pipelines,
            "default": self._default,
            "description": self.description,
            "status": self.status,
            "changed": time.time(),
        }
        self.workspace.records.create(PIPELINE_ENDPOINTS, self.name, {**value, **changed})
        self._read()

    @staticmethod
    def publish(
        workspace: Workspace,
        name: str,
        pipeline: Pipeline | PublishedPipeline,
        description: str | None = None,
    ) -> PipelineEndpoint:
        """Give a pipeline, which is published if it is not, a name: version "0" of it.

        Raises SettingsError where the name is taken, or the pipeline can't be published.
        """
        if workspace.records.latest(PIPELINE_ENDPOINTS, name) is not None:
            problem = f"name={name!r} is taken. Write PipelineEndpoint.get(ws, name={name!r})"
            raise SettingsError("PipelineEndpoint.publish", [f"{problem}.add_default(pipeline)."])
        kept = _published(pipeline, name)
        value = {"pipelines": [kept.id], "default": "0", "status": ACTIVE}
        whole = {**value, "description": description, "changed": time.time()}
        workspace.records.create(PIPELINE_ENDPOINTS, name, whole)
        return PipelineEndpoint(workspace, name)

    @staticmethod
    def get(
        workspace: Workspace, id: str | None = None, name: str | None = None
    ) -> PipelineEndpoint:
        """Return the endpoint of a name."""
        return PipelineEndpoint(workspace, str(name if name is not None else id))

    @staticmethod
    def list(workspace: Workspace, active_only: bool = True) -> builtins.list[PipelineEndpoint]:
        """Return those of a workspace; with ``active_only`` those that are not disabled."""
        names = workspace.records.names(PIPELINE_ENDPOINTS)
        made = each_readable(names, lambda name: PipelineEndpoint(workspace, name))
        return [each for _, each in made if not active_only or each.status == ACTIVE]

    @property
    def endpoint(self) -> str:
        """What there is in the place of an address that requests could start it at."""
        submit = f"PipelineEndpoint.get(ws, name={self.name!r}).submit('experiment')"
        return f"no address: it is submitted from Python, {submit}"

    def add(self, pipeline: Pipeline | PublishedPipeline) -> None:
        """Add a pipeline as the next version."""
        self._read()
        self._write(pipelines=[*self._pipelines, _published(pipeline, self.name).id])

    def add_default(self, pipeline: Pipeline | PublishedPipeline) -> None:
        """Add a pipeline as the next version, which is the default from now on."""
        self.add(pipeline)
        self.set_default_version(str(len(self._pipelines) - 1))

    def set_default(self, pipeline: PublishedPipeline) -> None:
        """Make one of its pipelines the default."""
        if pipeline.id not in self._pipelines:
            raise NameNotFoundError("pipeline of the endpoint", pipeline.id, self._pipelines)
        self.set_default_version(str(self._pipelines.index(pipeline.id)))

    def set_default_version(self, version: str) -> None:
        """Make a version the default."""
        self.get_pipeline(version)
        self._write(default=str(version))

    def get_default_version(self) -> str:
        """Return which version is the default."""
        return self._default

    def list_versions(self) -> builtins.list[str]:
        """Return its versions, the first one first."""
        return [str(number) for number in range(len(self._pipelines))]

    get_all_versions = list_versions

    def get_pipeline(self, version: str | None = None) -> PublishedPipeline:
        """Return the pipeline of a version; None: of the default.

        Raises NameNotFoundError where there is no such version.
        """
        asked = self._default if version is None else str(version)
        if asked not in self.list_versions():
            raise NameNotFoundError("version of the endpoint", asked, self.list_versions())
        return PublishedPipeline(self.workspace, self._pipelines[int(asked)])

    def list_pipelines(self, active_only: bool = True) -> builtins.list[PublishedPipeline]:
        """Return its pipelines; with ``active_only`` those that are not disabled."""
        made = [PublishedPipeline(self.workspace, each) for each in self._pipelines]
        return [each for each in made if not active_only or each.status == ACTIVE]

    @original_keywords
    def submit(
        self, experiment_name: str, *args: Any, pipeline_version: str | None = None, **given: Any
    ) -> PipelineRun:
        """Start a run of a version, None: of the default; see ``PublishedPipeline.submit``."""
        found = self._active(pipeline_version)
        return found.submit(self.workspace, experiment_name, *args, **given)

    def _active(self, version: str | None) -> PublishedPipeline:
        if self.status != ACTIVE:
            problem = f"{self!r} is disabled. Write its enable() first."
            raise SettingsError("PipelineEndpoint.submit", [problem])
        return self.get_pipeline(version)

    def enable(self) -> None:
        """Allow it to be submitted again."""
        self._write(status=ACTIVE)

    def disable(self) -> None:
        """Refuse it at submit from now on, and leave it out of :meth:`list`."""
        self._write(status=DISABLED)

    archive, reactivate = disable, enable


def _published(pipeline: Any, name: str) -> PublishedPipeline:
    """Return a pipeline as it is kept: published now, where it was not."""
    if isinstance(pipeline, Pipeline):
        return pipeline.publish(name)
    if isinstance(pipeline, PublishedPipeline):
        return pipeline
    problem = f"pipeline={pipeline!r} is not one. Write pipeline.publish(name) of a Pipeline."
    raise SettingsError("PipelineEndpoint", [problem])
