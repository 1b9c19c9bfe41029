"""``Experiment``: a name under which pipelines are submitted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import OriginalClass, original_keywords
from daskrun.core.notices import say_once
from daskrun.core.report import RunStatus
from daskrun.core.tags import has_tags, tag_problems, wanted_problems
from daskrun.errors import DaskrunError, NameNotFoundError, SettingsError, StorageError
from daskrun.pipeline.execution import lifetime
from daskrun.pipeline.execution.detached import hand_over, place_of
from daskrun.pipeline.execution.drive import PipelineDriver
from daskrun.pipeline.execution.new_run import new_run, new_run_id, undo
from daskrun.pipeline.execution.state import StoredState, note_end
from daskrun.pipeline.runs import logged
from daskrun.pipeline.runs.pipeline import Pipeline
from daskrun.pipeline.runs.published import PublishedPipeline
from daskrun.pipeline.runs.run import PipelineRun, StepRun
from daskrun.pipeline.runs.run import live_runs as _live
from daskrun.pipeline.submission.check import observer_problems, prepare
from daskrun.pipeline.submission.parameters import told as told_parameters
from daskrun.pipeline.submission.publish import ACTIVE
from daskrun.pipeline.submission.since import earlier_run, without_processed
from daskrun.workspace.run_folders.run_folder import left_out
from daskrun.workspace.run_folders.run_records import EXPERIMENT
from daskrun.workspace.workspace import workspace_problems

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterator, Sequence

    from daskrun.core.tags import Wanted
    from daskrun.engine.observers import MakesObserver
    from daskrun.pipeline.execution.new_run import NewRun
    from daskrun.pipeline.runs.logged import LoggedRun
    from daskrun.pipeline.runs.metrics import Run
    from daskrun.pipeline.steps.parameter import ParameterValues
    from daskrun.workspace.run_folders.run_records import Manifest
    from daskrun.workspace.workspace import Workspace

RECORDS = "experiments"
"""Kind of their records."""


class Experiment(OriginalClass):
    """A name that runs are kept under.

    Parameters
    ----------
    workspace
        Where.
    name
        Letters, digits, ``_`` and ``-``.

    Raises
    ------
    SettingsError
        With every problem there is.
    """

    def __init__(self, workspace: Workspace, name: str) -> None:
        problems = workspace_problems(workspace)
        if not isinstance(name, str) or not EXPERIMENT.fullmatch(name):
            problems.append(
                f"name={name!r} is not an experiment's. Write letters, digits, '_' and '-', a "
                "letter or digit first, such as name='digits'."
            )
        if problems:
            raise SettingsError("Experiment", problems)
        self.workspace = workspace
        self.name = name

    @property
    def id(self) -> str:
        """Its name: there is one of that in a workspace."""
        return self.name

    def __repr__(self) -> str:
        return f"Experiment(name={self.name!r}, workspace={self.workspace.name!r})"

    @original_keywords
    def submit(
        self,
        pipeline: Pipeline | PublishedPipeline,
        pipeline_parameters: ParameterValues | None = None,
        regenerate_outputs: bool = False,
        continue_on_step_failure: bool | None = None,
        since: PipelineRun | str | None = None,
        tags: Mapping[str, str] | None = None,
        *,
        observers: Sequence[MakesObserver] | None = None,
        detached: bool = False,
    ) -> PipelineRun:
        """Check everything, start a run of the pipeline, and return at once.

        A thread of this process drives the run; the end of the script waits for it. With
        ``detached`` another process drives it, and it goes on when this one has ended.

        Parameters
        ----------
        pipeline
            What to run; also one that was published.
        pipeline_parameters
            Values by the names of pipeline parameters; the others have their defaults.
        regenerate_outputs
            Whether to run also steps for which an earlier run's output could be used.
        continue_on_step_failure
            Whether steps that don't depend on one that failed are run all the same; the run fails
            in any case. False: they end with it; so does None, unless the pipeline was published
            with another choice.
        since
            A Completed run, or its id: files that its step of the same name has processed, or left
            out because of its own ``since``, are left out, unless their size or time has changed.
            With ``partition_keys`` a combination is so whole or not. Where nothing is new the run
            is Completed at once, its output empty.
        tags
            Texts by name, which the run can be found by; see :meth:`get_runs`.
        observers
            Each a :class:`daskrun.Observer`, or what makes one when it is called, for each step
            that is run. They are not kept: a resume is given its own.
        detached
            Whether the run is driven by a process of its own: where it runs on a cluster by one of
            a worker's, which another follows if it dies, else by one on this machine.

        Raises
        ------
        SettingsError
            With all problems of all steps; nothing was started.
        DatasetError
            An input holds nothing or can't be read; nothing was started.
        ComputeTargetException
            With ``detached``: no worker of the cluster can drive the run.
        """
        if continue_on_step_failure is None:
            continue_on_step_failure = getattr(pipeline, "continue_on_step_failure", False)
        switches = {
            "regenerate_outputs": regenerate_outputs,
            "continue_on_step_failure": continue_on_step_failure,
        }
        if problems := observer_problems(observers, detached):
            raise SettingsError("submit", problems)
        self._check(pipeline, pipeline_parameters, {**switches, "detached": detached}, tags)
        given, published = dict(pipeline_parameters or {}), {}
        if isinstance(pipeline, PublishedPipeline):
            published = {"published": {"id": pipeline.id, "name": pipeline.name}}
            pipeline = pipeline.pipeline()
        since = since.id if isinstance(since, PipelineRun | StepRun) else since
        earlier = earlier_run(self.workspace, since) if since is not None else None
        prepared = prepare(pipeline.steps, pipeline.workspace, given)
        if earlier is not None:
            prepared = without_processed(prepared, earlier)
        place = place_of({each.step.name: each.target for each in prepared}) if detached else None
        for note in dict.fromkeys(note for step in prepared for note in step.notes):
            say_once(note)
        self._note()
        run_id = new_run_id()
        try:
            told = {"parameters": told_parameters(pipeline.steps, given), **switches, **published}
            with new_run(
                self.workspace, self.name, run_id, prepared, pipeline.dependencies, told
            ) as made:
                if detached:
                    run = self._hand_over(made, place)
                else:
                    run = self._drive(made, tuple(observers or ()))
        except BaseException:
            undo(self.workspace, run_id, prepared)
            raise
        for name, text in (tags or {}).items():
            run.tag(name, text)
        return run

    @original_keywords
    def start_logging(self, name: str | None = None) -> LoggedRun:
        """Begin a run of a notebook, which ``complete()``, or a ``with`` block, ends.

        Parameters
        ----------
        name
            Any text; None: its id.
        """
        return self._begin(None, name)

    def _begin(self, parent: Run | None, name: str | None) -> LoggedRun:
        """Begin a run that is logged to, below another or by itself."""
        self._note()
        return logged.begin(self.workspace, self.name, parent.id if parent else None, name)

    def _children(self, run_id: str) -> Iterator[LoggedRun]:
        """Return the runs that were begun below another, one by one."""
        return logged.children(self.workspace, run_id)

    def get_run(self, run_id: str) -> Any:
        """Return a run of this experiment, also one of another process.

        Returns
        -------
        PipelineRun or LoggedRun
            Which it is.

        Raises
        ------
        NameNotFoundError
            There is none of that id.
        """
        live = _live.get(run_id)
        if live is not None and live.workspace == self.workspace and not live._outdated:
            return live
        folder = self.workspace.site.find_run(run_id)
        if folder is None or not self._has(folder.manifest()):
            raise NameNotFoundError("run", run_id, self._run_ids()[::-1])
        if folder.manifest().kind == logged.KIND:
            return logged.found(self.workspace, folder)
        whole = StoredState(folder)
        steps = [
            StepRun._made(self.workspace, StoredState(each, whole))
            for each in map(self.workspace.site.run_folder, folder.manifest().steps)
            if each.is_run  # else: killed in submit
        ]
        return PipelineRun._made(self.workspace, whole, steps)

    @original_keywords
    def get_runs(self, tags: Wanted = None, properties: Wanted = None) -> Iterator[Any]:
        """Return the runs of this experiment one by one, the newest first.

        Parameters
        ----------
        tags
            Those with all of these only: names, ``['name', 'value']`` pairs, or a dict.
        properties
            Likewise; see :meth:`~daskrun.pipeline.runs.metrics.FolderRun.get_properties`.

        Examples
        --------
        >>> newest = next(Experiment(ws, "digits").get_runs())  # doctest: +SKIP
        """
        problems = wanted_problems("tags", tags) + wanted_problems("properties", properties)
        if problems:
            raise SettingsError("get_runs", problems)
        return self._runs(tags, properties)

    def _runs(self, tags: Wanted, properties: Wanted) -> Iterator[Any]:
        for run_id in reversed(self._run_ids()):
            try:
                run = self.get_run(run_id)
                wanted = (not tags or has_tags(run.tags, tags)) and (
                    not properties or has_tags(run.properties, properties)
                )
            except NameNotFoundError:  # its folder was removed meanwhile
                continue
            except StorageError as error:
                left_out(error)
                continue
            if wanted:
                yield run

    @staticmethod
    @original_keywords
    def list(workspace: Workspace, experiment_name: str | None = None) -> builtins.list[Experiment]:
        """Return the experiments that something was submitted to, sorted by name.

        Parameters
        ----------
        workspace
            Where.
        experiment_name
            That one only, if there is one.

        Examples
        --------
        >>> import tempfile
        >>> from daskrun import Workspace
        >>> Experiment.list(Workspace.create("trial", path=tempfile.mkdtemp()))
        []
        """
        if problems := workspace_problems(workspace):
            raise SettingsError("Experiment.list", problems)
        names = workspace.records.names(RECORDS)
        return [Experiment(workspace, name) for name in names if experiment_name in (None, name)]

    def _check(
        self, pipeline: object, parameters: object, switches: Mapping[str, bool], tags: object
    ) -> None:
        problems = tag_problems("tags", tags)
        if isinstance(tags, Mapping) and any(not str(name).strip() for name in tags):
            problems.append(f"tags={dict(tags)!r} has one without a name. Write one.")
        if not isinstance(pipeline, Pipeline | PublishedPipeline):
            problems.append(f"pipeline={pipeline!r} is not one. Write Pipeline(ws, steps=[step]).")
        elif pipeline.workspace != self.workspace:
            problems.append(
                f"the pipeline is of {pipeline.workspace!r}, the experiment of {self.workspace!r}. "
                "Make both with the same workspace."
            )
        elif isinstance(pipeline, PublishedPipeline) and pipeline.status != ACTIVE:
            problems.append(f"{pipeline!r} is disabled. Write published.enable() first.")
        if parameters is not None and not isinstance(parameters, Mapping):
            problems.append(
                f"pipeline_parameters={parameters!r} is not a dict. Write "
                "pipeline_parameters={'batch_size_param': 5}."
            )
        problems += [
            f"{name}={value!r}: write True or False."
            for name, value in switches.items()
            if not isinstance(value, bool)
        ]
        if problems:
            raise SettingsError("submit", problems)

    def _note(self) -> None:
        """Keep that there is such an experiment."""
        if not self.workspace.records.numbers(RECORDS, self.name):
            self.workspace.records.create(RECORDS, self.name, {"created": time.time()})

    def _hand_over(self, made: NewRun, place: object) -> PipelineRun:
        """Have another process drive a new run."""
        try:
            hand_over(made.folder, made.steps, self.workspace, place)
            run: PipelineRun = self.get_run(made.folder.id)
        except BaseException:
            # First: the other process drives what has not ended as soon as it is let go of.
            with suppress(DaskrunError, OSError):
                note_end(made.folder, RunStatus.CANCELED, "its submit was interrupted")
            raise
        run._held = made.kept
        made.held.close()
        return run

    def _drive(self, made: NewRun, observers: tuple[MakesObserver, ...]) -> PipelineRun:
        """Start the thread that drives a new run."""
        ready = [replace(each, observers=observers) for each in made.steps]
        driver = PipelineDriver(made.folder, made.held, self.workspace, ready)
        steps = [StepRun._made(self.workspace, driver.states[each.folder.id]) for each in ready]
        run = PipelineRun._made(self.workspace, driver.state, steps)
        run._held = made.kept
        driver.start()
        _live[run.id] = run
        lifetime.watch(run)
        return run

    def _has(self, manifest: Manifest) -> bool:
        """Return whether a run is a pipeline's, or one that is logged to, of this experiment."""
        return manifest.kind in ("pipeline", logged.KIND) and manifest.experiment == self.name

    def _run_ids(self) -> builtins.list[str]:
        """Return the ids of this experiment's runs that are below no other, the oldest first."""
        site = self.workspace.site
        found = ((run_id, site.run_folder(run_id).readable()) for run_id in site.run_ids())
        return [
            run_id for run_id, each in found if each is not None and each.is_top and self._has(each)
        ]
