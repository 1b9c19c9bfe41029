"""``Job``: a job file of Azure ML v2, as daskrun runs it."""

from __future__ import annotations

import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.core.notices import say_once
from daskrun.errors import SettingsError
from daskrun.jobs import located
from daskrun.jobs.building import UNSAID, Builder
from daskrun.jobs.kinds import Deployment, PipelineJob, read_job
from daskrun.jobs.located import At, Node, Problems
from daskrun.jobs.scope import Context
from daskrun.pipeline.runs.experiment import Experiment
from daskrun.pipeline.runs.pipeline import Pipeline
from daskrun.workspace.workspace import Workspace

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from daskrun.engine.observers import MakesObserver
    from daskrun.jobs.kinds import AnyJob
    from daskrun.pipeline.runs.run import PipelineRun
    from daskrun.workspace.compute.targets import ComputeTarget

SET = "--set"
"""Where a value is from that stands in no file."""

OVERWRITTEN = (
    "overwrite changes nothing of a job file: outputs are replaced where it says their path, and "
    "else go to folders of the run's own"
)


class Job:
    """A job of a file: checked, and not yet bound to a workspace.

    Made by :func:`load_job`.
    """

    def __init__(self, said: AnyJob | Deployment, path: str = "") -> None:
        self.said = said
        """What the file says."""
        self.path = path
        """The file; ``""`` where there is none."""
        self.notes: list[str] = []
        """What of the file is not used, known once it was checked or submitted."""

    def __repr__(self) -> str:
        return f"Job({self.name!r})"

    @property
    def name(self) -> str:
        """What it is called."""
        display = getattr(self.said, "display_name", None)
        return display or self.said.name or (Path(self.path).stem if self.path else "job")

    @property
    def experiment_name(self) -> str:
        """The experiment that its runs are kept under, if nothing else is said at submit."""
        wanted = self.said.experiment_name or Path(self.said.node.at.folder).name
        return re.sub(r"[^A-Za-z0-9_-]+", "-", wanted).strip("-_")[:100] or "jobs"

    def pipeline(
        self,
        workspace: Workspace,
        *,
        compute_target: ComputeTarget | str | None = None,
        overwrite: bool = False,
    ) -> Pipeline:
        """Return the pipeline that it is run as.

        Parameters
        ----------
        workspace
            Where registered data, models, environments and compute targets are looked for.
        compute_target
            Where all its jobs run; None: where the file says.
        overwrite
            Changes nothing, which is noted: an output is replaced where the file says its path, and
            else in a folder of the run's own.

        Raises
        ------
        SettingsError
            With every problem there is, and its file, line and column.
        """
        problems = Problems()
        context = Context(workspace, problems, [])
        builder = Builder(context, UNSAID if compute_target is None else compute_target)
        builder.add(self.said)
        problems.raise_any(self.path or self.name)
        unused = ", ".join(dict.fromkeys(name for _, name in self.said.unused()))
        unused = f"{unused}: kept with the run, and not used" if unused else ""
        told = [unused, OVERWRITTEN if overwrite else ""]
        self.notes = list(dict.fromkeys([*filter(None, told), *context.notes]))
        description = self.said.description
        try:
            return Pipeline(workspace, builder.steps, description=description)
        except SettingsError as error:
            raise SettingsError(self.path or self.name, error.problems) from None

    def check(
        self,
        workspace: Workspace | None = None,
        *,
        compute_target: ComputeTarget | str | None = None,
    ) -> None:
        """Check everything that submit would, data included; nothing is started or kept.

        Parameters
        ----------
        workspace
            None: the one that is found here; where there is none, an empty one that is not kept.

        Raises
        ------
        SettingsError
            With every problem there is.
        """
        with some_workspace(workspace or Workspace.find()) as found:
            problems = self.pipeline(found, compute_target=compute_target).validate()
        if problems:
            raise SettingsError(self.path or self.name, problems)

    def submit(
        self,
        workspace: Workspace | None = None,
        *,
        compute_target: ComputeTarget | str | None = None,
        experiment_name: str | None = None,
        overwrite: bool = False,
        regenerate_outputs: bool = False,
        since: PipelineRun | str | None = None,
        tags: Mapping[str, str] | None = None,
        observers: Sequence[MakesObserver] | None = None,
        detached: bool = False,
    ) -> PipelineRun:
        """Start a run of it, and return at once; see :meth:`Experiment.submit`.

        Parameters
        ----------
        workspace
            None: ``Workspace.from_config()``.
        compute_target
            Where all its jobs run; None: where the file says.
        experiment_name
            What the run is kept under; None: what the file says, else the name of its folder.
        overwrite
            As of :meth:`pipeline`.
        regenerate_outputs, since, observers, detached
            As of :meth:`Experiment.submit`.
        tags
            Texts by name, beside those of the file.

        Raises
        ------
        SettingsError
            With every problem there is; nothing was started.
        """
        workspace = workspace if workspace is not None else Workspace.from_config()
        pipeline = self.pipeline(workspace, compute_target=compute_target, overwrite=overwrite)
        for note in self.notes:
            say_once(f"{self.path or self.name}: {note}.")
        settings = self.said.settings if isinstance(self.said, PipelineJob) else None
        goes_on = settings.continue_on_step_failure if settings is not None else None
        run = Experiment(workspace, experiment_name or self.experiment_name).submit(
            pipeline,
            regenerate_outputs=regenerate_outputs,
            continue_on_step_failure=bool(goes_on),
            since=since,
            tags={**self.said.tags, **(tags or {})},
            observers=observers,
            detached=detached,
        )
        if self.path and workspace.private.keeps:  # it may have secrets, as arguments have
            run._keep_file(f"job/{Path(self.path).name}", self.path, 0o600)
        return run


def load_job(path: str | os.PathLike[str], overrides: Mapping[str, str] | None = None) -> Job:
    """Return the job of a YAML file of Azure ML v2: a pipeline, one job, a batch deployment.

    Parameters
    ----------
    path
        The file. Relative paths in it are relative to its folder.
    overrides
        Values by the path of their keys, such as ``{"inputs.images": "photos/*.png"}``: in the
        place of those of the file. Relative paths in these are relative to the current folder.

    Raises
    ------
    SettingsError
        With every problem there is, and its file, line and column.

    Examples
    --------
    >>> load_job("score.yml", {"inputs.images": "photos"})  # doctest: +SKIP
    Job('score')
    """
    problems = Problems()
    node = located.read(path, problems)
    problems.raise_any("load_job")
    assert node is not None
    for name, value in (overrides or {}).items():
        where = At(f"{SET} {name}={value}")
        if not all(name.split(".")):
            problems.add(where, f"{name!r} is no path of keys. Write inputs.NAME=VALUE.")
            continue
        node = node.with_value(tuple(name.split(".")), Node.of(value, where))
    return job_of(node, problems, str(path))


def job_of(node: Node, problems: Problems, path: str = "") -> Job:
    """Return the job that a node is; SettingsError has every problem of it."""
    said = read_job(node, problems)
    if problems:  # what else is wrong is said at once
        found = Workspace.find()
        problems.knows_names = found is not None
        with some_workspace(found) as workspace:
            Builder(Context(workspace, problems, [])).add(said)
    problems.raise_any(path or said.name or "job")
    return Job(said, path)


@contextmanager
def some_workspace(found: Workspace | None) -> Iterator[Workspace]:
    """Yield a workspace that was found; else an empty one that is not kept."""
    if found is not None:
        yield found
        return
    with tempfile.TemporaryDirectory(prefix="daskrun-check-") as folder:
        yield Workspace.create("check", path=folder)
