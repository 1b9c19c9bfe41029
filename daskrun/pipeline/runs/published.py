"""``PublishedPipeline``: a pipeline that is kept, with its code, to be submitted again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from daskrun.core.absent_names import OriginalClass, original_keywords
from daskrun.core.codec import from_record
from daskrun.errors import NameNotFoundError, SettingsError, WorkspaceError
from daskrun.pipeline.records.kept_pipeline import steps_with_code
from daskrun.pipeline.runs.pipeline import Pipeline
from daskrun.pipeline.submission.publish import ACTIVE, CODE, DISABLED, LAYOUT, PublishedRecord
from daskrun.storage.records import each_readable
from daskrun.workspace.layout import PIPELINES
from daskrun.workspace.workspace import workspace_problems

if TYPE_CHECKING:
    import builtins
    from collections.abc import Sequence

    from daskrun.engine.observers import MakesObserver
    from daskrun.pipeline.runs.run import PipelineRun
    from daskrun.pipeline.steps.parameter import ParameterValues, PipelineParameter
    from daskrun.workspace.workspace import Workspace


class PublishedPipeline(OriginalClass):
    """A pipeline as it was when it was published: steps, parameters, data by definition, code.

    Made by :meth:`Pipeline.publish`, found again by :meth:`get` and :meth:`list`, in any process.
    Files of the code that are changed or removed later make no difference to it. What a script
    imports from its own folder without a ``source_directory`` is not part of its code, and stays
    where it was. ``Experiment.submit`` takes it as it takes a :class:`Pipeline`.

    Examples
    --------
    >>> import tempfile
    >>> from daskrun import Workspace
    >>> PublishedPipeline.list(Workspace.create("trial", path=tempfile.mkdtemp()))
    []
    """

    def __init__(self, workspace: Workspace, id: str) -> None:
        self.workspace = workspace
        self.id = id
        """What :meth:`get` finds it by."""
        try:
            record = workspace.records.get(PIPELINES, id, 1)
        except (NameNotFoundError, SettingsError):
            known = workspace.records.names(PIPELINES)
            raise NameNotFoundError("published pipeline", id, known) from None
        self._record = from_record(PublishedRecord, record, known_only=True)  # of other layouts too
        self.name = self._record.name
        self.description = self._record.description
        self.version = self._record.version
        self.continue_on_step_failure = self._record.continue_on_step_failure
        """What holds at submit where nothing else is said."""

    def __repr__(self) -> str:
        return f"PublishedPipeline(name={self.name!r}, id={self.id!r}, status={self.status!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublishedPipeline) and (
            (other.workspace, other.id) == (self.workspace, self.id)
        )

    def __hash__(self) -> int:
        return hash((self.workspace, self.id))

    @staticmethod
    def get(workspace: Workspace, id: str) -> PublishedPipeline:
        """Return a published pipeline.

        Raises
        ------
        NameNotFoundError
            There is none of that id.
        """
        problems = workspace_problems(workspace)
        if not isinstance(id, str):
            problems.append(f"id={id!r} is not a text. Write the id that published.id gave.")
        if problems:
            raise SettingsError("PublishedPipeline.get", problems)
        return PublishedPipeline(workspace, id)

    @staticmethod
    def list(workspace: Workspace, active_only: bool = True) -> builtins.list[PublishedPipeline]:
        """Return the published pipelines of a workspace, the newest first.

        Parameters
        ----------
        workspace
            Where.
        active_only
            Whether those that are disabled are left out.
        """
        if problems := workspace_problems(workspace):
            raise SettingsError("PublishedPipeline.list", problems)
        names = workspace.records.names(PIPELINES)
        made = each_readable(names, lambda name: PublishedPipeline(workspace, name))
        found = [each for _, each in made]
        found.sort(key=lambda each: (-each._record.created, each.id))
        return [each for each in found if not active_only or each.status == ACTIVE]

    @property
    def status(self) -> str:
        """``Active``, or ``Disabled``: then it can't be submitted."""
        newest = self.workspace.records.latest(PIPELINES, self.id)
        return str(newest[1]["status"]) if newest is not None else DISABLED

    @property
    def endpoint(self) -> str:
        """What there is in the place of an address that requests could start it at."""
        submit = f"PublishedPipeline.get(ws, {self.id!r}).submit(ws, 'experiment')"
        return f"no address: it is submitted from Python, {submit}"

    def enable(self) -> None:
        """Allow it to be submitted again."""
        self._set(ACTIVE)

    def disable(self) -> None:
        """Refuse it at submit from now on, and leave it out of :meth:`list`."""
        self._set(DISABLED)

    @property
    def parameters(self) -> dict[str, PipelineParameter]:
        """The parameters that can be given at submit, by name."""
        return self.pipeline().parameters

    def pipeline(self) -> Pipeline:
        """Return its steps as a new pipeline, which can be looked at, changed and submitted.

        DaskrunError is raised where what they are made of isn't there any more.
        """
        kept = self._record
        if kept.layout != LAYOUT:
            raise WorkspaceError(
                f"{self!r} was kept in layout {kept.layout!r}, and this daskrun knows layout "
                f"{LAYOUT}. Use the version that published it, or publish it again."
            )
        folder = self.workspace.site.file(f"{PIPELINES}/{self.id}/{CODE}")
        codes = [(folder / str(number), code) for number, code in enumerate(kept.code)]
        private = self.workspace.private
        definition = private.read(kept.private) if kept.private else kept.definition
        return Pipeline(self.workspace, steps_with_code(self.workspace, definition or {}, codes))

    @original_keywords
    def submit(
        self,
        workspace: Workspace,
        experiment_name: str,
        pipeline_parameters: ParameterValues | None = None,
        continue_on_step_failure: bool | None = None,
        regenerate_outputs: bool = False,
        *,
        observers: Sequence[MakesObserver] | None = None,
        detached: bool = False,
    ) -> PipelineRun:
        """Start a run of it; see :meth:`Experiment.submit`."""
        from daskrun.pipeline.runs.experiment import Experiment  # the two know each other

        return Experiment(workspace, experiment_name).submit(
            self,
            pipeline_parameters=pipeline_parameters,
            regenerate_outputs=regenerate_outputs,
            continue_on_step_failure=continue_on_step_failure,
            observers=observers,
            detached=detached,
        )

    def _set(self, status: str) -> None:
        if self.status != status:
            value = {"status": status, "changed": time.time()}
            self.workspace.records.create(PIPELINES, self.id, value)
