"""``MLClient``: submits jobs, and looks at their runs, in a workspace here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.notices import say_once
from daskrun.data.datasets import Dataset
from daskrun.errors import SettingsError
from daskrun.jobs.assets import Assets, OfClient
from daskrun.jobs.job import Job
from daskrun.jobs.v2 import Entity, Said, Step
from daskrun.original.absent import Unused
from daskrun.workspace.workspace import Workspace

if TYPE_CHECKING:
    import os

    from daskrun.pipeline.runs.run import PipelineRun


class Credential(Unused):
    """An account, which nothing is signed in to."""

    _why = "there is no account to sign in to: jobs run here."

    def get_token(self, *scopes: str) -> Said:
        """Return a token that opens nothing."""
        del scopes
        return Entity(token="", expires_on=0)


class Submitted(OfClient):
    """A job that was submitted."""

    def __init__(self, run: PipelineRun) -> None:
        self.run = run
        self.name = run.id
        """What ``jobs.get(name)`` asks for."""
        self.studio_url = run.place_of()
        """Where the run is kept: there is no studio."""

    def __repr__(self) -> str:
        return f"Submitted({self.name!r}, status={self.status!r})"

    @property
    def status(self) -> str:
        """How it is now."""
        return self.run.get_status()

    @property
    def experiment_name(self) -> str:
        """What the run is kept under."""
        return self.run.experiment.name


class Jobs(OfClient):
    """The jobs of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def create_or_update(
        self,
        job: Step | Job,
        *,
        experiment_name: str | None = None,
        compute: str | None = None,
        tags: Any = None,
        **more: Any,
    ) -> Submitted:
        """Submit a job; it runs in threads of this process."""
        if more:
            say_once(f"jobs.create_or_update: {', '.join(more)} not used here")
        if isinstance(job, Step):
            if compute is not None:
                job.compute = compute
            job = job.as_job()
        if not isinstance(job, Job):
            problem = f"job={job!r} is no job. Write load_job(source) or what a pipeline returns."
            raise SettingsError("jobs.create_or_update", [problem])
        return Submitted(job.submit(self._workspace, experiment_name=experiment_name, tags=tags))

    def get(self, name: str) -> Submitted:
        """Return a job by its name."""
        return Submitted(self._workspace.get_run(name))

    def stream(self, name: str) -> None:
        """Show how a job goes on, and wait for its end; RunFailedError where it failed."""
        self.get(name).run.wait_for_completion(show_output=True)

    def download(
        self,
        name: str,
        *,
        download_path: str | os.PathLike[str] = ".",
        output_name: str | None = None,
        all: bool = False,
    ) -> None:
        """Copy outputs of a job to ``<download_path>/named-outputs/<output>``.

        Without ``output_name`` all of them, as with ``all``: logs stay where they are.
        """
        del all
        outputs = self.get(name).run.outputs
        for each in [output_name] if output_name is not None else list(outputs):
            folder = Path(download_path, "named-outputs", each)
            outputs[each].download(folder, overwrite=True, flat=True)

    def cancel(self, name: str) -> None:
        """Cancel a job."""
        self.get(name).run.cancel()

    begin_cancel = cancel


class MLClient(OfClient):
    """Jobs in a workspace: ``Workspace.from_config()``, whatever cloud is named.

    Examples
    --------
    >>> client = MLClient.from_config()  # doctest: +SKIP
    >>> run = client.jobs.create_or_update(job, experiment_name="digits")  # doctest: +SKIP
    >>> client.jobs.stream(run.name)  # doctest: +SKIP
    """

    def __init__(
        self,
        credential: object = None,
        subscription_id: str | None = None,
        resource_group_name: str | None = None,
        workspace_name: str | None = None,
        *,
        workspace: Workspace | None = None,
        **more: Any,
    ) -> None:
        del credential, more
        named = {
            "subscription_id": subscription_id,
            "resource_group_name": resource_group_name,
            "workspace_name": workspace_name,
        }
        if any(named.values()):
            given = ", ".join(name for name, value in named.items() if value)
            say_once(f"MLClient: {given} not used here: the workspace is the one of this folder")
        self.workspace = workspace if workspace is not None else Workspace.from_config()
        """Where runs are kept."""
        self.workspace_name = self.workspace.name
        self.jobs = Jobs(self.workspace)
        self.compute = Assets("compute", self.workspace)
        self.data = Assets("data", self.workspace)
        self.environments = Assets("environments", self.workspace)
        self.models = Assets("models", self.workspace)
        self.components = Assets("components", self.workspace)
        """Components that this client was given."""

    @staticmethod
    def from_config(credential: object = None, path: object = None, **more: Any) -> MLClient:
        """Return the client of the workspace of this folder."""
        del path  # names a workspace of a cloud
        return MLClient(credential, **more)

    def create_or_update(self, said: Any, **more: Any) -> Any:
        """Submit a job; anything else is returned as it is."""
        if isinstance(said, Step | Job):
            return self.jobs.create_or_update(said, **more)
        return said

    def begin_create_or_update(self, said: Any, **more: Any) -> Said:
        """Return what has it as ``result()``."""
        made = self.create_or_update(said, **more)
        return Entity(result=lambda: made)


def load_table(uri: str) -> Any:
    """Return the table of an MLTable file: ``mltable.load``."""
    return Dataset.Tabular.from_mltable(uri)
