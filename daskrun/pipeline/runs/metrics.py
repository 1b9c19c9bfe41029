"""``Run``: what scripts and notebooks log to a run, and what it tells of that."""

from __future__ import annotations

import sys
import uuid
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from daskrun.core.absent_names import original_keywords
from daskrun.core.plugins import linked
from daskrun.core.report import RunStatus
from daskrun.core.typing import override
from daskrun.errors import EntryScriptError, SettingsError
from daskrun.pipeline.records.run_details import properties_of
from daskrun.pipeline.runs.asked import AskedRun
from daskrun.pipeline.runs.run_files import RunFiles
from daskrun.pipeline.runs.script_inputs import ScriptInputs, workspace_of
from daskrun.script import context
from daskrun.script.context import ScriptContext
from daskrun.script.entry_script import EntryScript
from daskrun.shown.printable import one_line
from daskrun.storage import metric_files as metrics
from daskrun.storage.metric_files import MetricFolder
from daskrun.workspace.run_folders.run_folder import RunFolder
from daskrun.workspace.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


Found = TypeVar("Found", bound="Run")


class Run(RunFiles, absent="description display_name"):
    """A run that is logged to: the one a script is in, or one that was submitted.

    ``Run(experiment, run_id)`` gives one that was submitted, a :class:`PipelineRun` or a
    :class:`StepRun`; :meth:`get_context` the one that a script is in.

    Examples
    --------
    >>> run = Run.get_context()  # here outside a run: it prints what is logged
    >>> run.log("accuracy", 0.95)
    accuracy: 0.95
    >>> run.log_row("sizes", fruit="lemon", size=7)
    sizes: {'fruit': 'lemon', 'size': 7}
    >>> run.log_row("sizes", fruit="lime", size=3)
    sizes: {'fruit': 'lime', 'size': 3}
    >>> run.get_metrics()
    {'accuracy': 0.95, 'sizes': {'fruit': ['lemon', 'lime'], 'size': [7, 3]}}
    """

    @original_keywords
    def __new__(cls, experiment: Any, run_id: str) -> Run:
        """Return a run that was submitted in an experiment, by this process or another.

        Raises
        ------
        NameNotFoundError
            There is none of that id.
        SettingsError
            It is another experiment's.
        """
        return find_run(cls, experiment, run_id)

    @staticmethod
    def get_context(allow_offline: bool = True) -> ContextRun:
        """Return the run that this process is a script process of.

        Parameters
        ----------
        allow_offline
            Whether a process that is none gets a run that prints what is logged.

        Raises
        ------
        EntryScriptError
            It is none, and that is not allowed.
        """
        current = context.current()
        if current is not None and current.run_folder:
            return ScriptRun(current)
        if not allow_offline:
            raise EntryScriptError(
                "allow_offline=False: this process runs no entry script of a run. Submit the "
                "script in a ParallelRunStep, or write Run.get_context() to try it by hand."
            )
        stand_in = current.by_hand if current is not None else None
        return stand_in if isinstance(stand_in, ContextRun) else _by_hand

    @staticmethod
    def get(workspace: Workspace, run_id: str) -> Run:
        """Return a run of a workspace; see :meth:`Workspace.get_run`."""
        found: Run = workspace.get_run(run_id)
        return found

    @property
    @abstractmethod
    def experiment(self) -> Any:
        """The experiment that it was submitted in."""

    @property
    @abstractmethod
    def parent(self) -> Run | None:
        """The pipeline's run that this is a step of; None for that itself."""

    @abstractmethod
    def child_run(self, name: str | None = None) -> Run:
        """Begin a run of its own below this one, which is logged to; see :class:`LoggedRun`."""


class FolderRun(Run):
    """A run that has a folder."""

    _writer = "driver"

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Where everything that is known of it is kept."""

    @property
    @abstractmethod
    def _kept(self) -> RunFolder:
        """Its folder, as runs know it."""

    def get_properties(self) -> dict[str, str]:
        """Return what was noted of the run when it was submitted, as texts; it never changes.

        That is what kind of run it is, its experiment, program, host and Python, and the entry
        script of a step.
        """
        return properties_of(self._kept.manifest())

    @property
    def properties(self) -> dict[str, str]:
        """What :meth:`get_properties` gives."""
        return self.get_properties()

    def get_portal_url(self) -> str:
        """Return where all that is kept of the run is: there is no portal."""
        return self._kept.shown()

    @override
    def child_run(self, name: str | None = None) -> Run:
        made: Run = self.experiment._begin(self, name)
        return made

    def get_children(self) -> Iterator[Run]:
        """Return the runs below this one, one by one: those of :meth:`child_run`."""
        found: Iterator[Run] = self.experiment._children(self.id)
        return found

    @property
    @override
    def _file_folder(self) -> Path:
        self._kept.fetch(metrics.FOLDER)
        return self._kept.path / metrics.FOLDER / metrics.FILES

    @override
    def _files(self) -> dict[str, Path]:
        self._kept.fetch("logs")
        logs = {name: self._kept.path / name for name in self._kept.log_names()}
        return {**logs, **super()._files()}

    @property
    @override
    def _registry(self) -> Workspace:
        home: Workspace = self.experiment.workspace
        return home

    @override
    def _push_files(self) -> None:
        self._kept.push_metrics()

    @property
    def _metric_folder(self) -> MetricFolder:
        return MetricFolder(self._kept.path, self._writer, context.in_hand())

    @override
    def _add(self, kind: str, name: str, value: Any, description: str) -> None:
        self._metric_folder.add(kind, name, value, description)
        self._kept.push_metrics()

    @override
    def _add_image(self, name: str, image: bytes, ending: str, description: str) -> None:
        self._metric_folder.add_image(name, image, ending, description)
        self._kept.push_metrics()

    @override
    def _records(self, run_id: str) -> list[metrics.Record]:
        folder = self._kept.sibling(run_id)
        own = _logged(folder)
        used = (folder.reuse() or {}).get("run_id")
        if used is None:
            return own
        # What was logged goes with the output that is used; tags are of the run that has them.
        earlier = _logged(folder.sibling(used))
        return [*(each for each in earlier if each.kind != metrics.TAG), *own]

    @override
    def _ids_below(self) -> list[str]:
        return [self.id, *self._kept.manifest().steps]


def _logged(folder: RunFolder) -> list[metrics.Record]:
    folder.fetch(metrics.FOLDER)
    return MetricFolder(folder.path).records()


class ContextRun(Run):
    """What :meth:`Run.get_context` gives: the run a script is in, or none."""

    input_datasets: Mapping[str, Any]
    """The inputs by name: of files the folder or URL they are in, of tables the dataset."""

    _is_here = True

    def complete(self) -> None:
        """Do nothing: a run ends by itself when its script, or its mini-batches, are done."""

    def fail(self, error_details: object = None, error_code: object = None) -> None:
        """Raise an error, by which a script fails: its step, or its mini-batch, fails with it.

        Raises EntryScriptError always, with what is given.
        """
        told = ": ".join(str(each) for each in (error_code, error_details) if each is not None)
        raise EntryScriptError(f"Run.fail() was called{f': {told}' if told else ''}")

    def __new__(cls, *_: object, **__: object) -> Self:
        """Make one; runs that were submitted are found instead."""
        return object.__new__(cls)


class ScriptRun(AskedRun, ContextRun, FolderRun):
    """The run of the step that this script process works for, or of its pipeline (``whole``).

    ``run`` is as :func:`daskrun.script.context.current` gives it.
    """

    @original_keywords
    def __init__(self, run: ScriptContext, whole: bool = False) -> None:
        self._run = run
        self._whole = whole
        self.id = run.pipeline_run_id if whole else run.run_id
        self._writer = run.agent_name
        self.input_datasets = ScriptInputs(ScriptContext() if whole else run)

    def __repr__(self) -> str:
        return f"Run.get_context(){'.parent' if self._whole else ''}  # id={self.id!r}"

    @property
    @override
    def folder(self) -> Path:
        return self._kept.path

    @property
    @override
    def _kept(self) -> RunFolder:
        return RunFolder(Path(self._run.run_folder).parent / self.id)

    @property
    @override
    def experiment(self) -> Any:
        return linked("experiments")(workspace_of(self._run), self._run.experiment)

    @property
    @override
    def parent(self) -> ScriptRun | None:
        return None if self._whole else ScriptRun(self._run, whole=True)

    @property
    def name(self) -> str:
        """The step's; of the pipeline's run its id."""
        return self.id if self._whole else self._run.step_name

    @override
    def get_children(self) -> Iterator[Run]:
        found: Iterator[Run] = self._submitted.get_children()
        return found

    @property
    @override
    def _submitted(self) -> Any:
        return workspace_of(self._run).get_run(self.id)


class OfflineRun(ContextRun):
    """Stands for a run where there is none: it prints what is logged, and remembers it."""

    @original_keywords
    def __init__(self, input_datasets: Mapping[str, Any] | None = None) -> None:
        self.id = f"OfflineRun_{uuid.uuid4()}"
        self.input_datasets = ScriptInputs(ScriptContext(input_datasets=input_datasets or {}))
        self._held: list[metrics.Record] = []

    def __repr__(self) -> str:
        return f"Run.get_context()  # outside a run, id={self.id!r}"

    @property
    @override
    def experiment(self) -> Any:
        """An experiment of the workspace that is found here.

        Raises EntryScriptError where there is none.
        """
        return linked("experiments")(self._registry, OFFLINE)

    @property
    @override
    def _registry(self) -> Workspace:
        found = Workspace.find()
        if found is None:
            raise EntryScriptError(
                "Run.get_context().experiment: this process runs no entry script of a run, and "
                "there is no workspace here. Write Experiment(Workspace.from_config(), 'name')."
            )
        return found

    @property
    def status(self) -> RunStatus:
        """Running: this process goes on."""
        return RunStatus.RUNNING

    def get_status(self) -> str:
        """Return ``Running``."""
        return self.status.value

    @override
    def child_run(self, name: str | None = None) -> OfflineRun:
        return OfflineRun()

    @property
    @override
    def _file_folder(self) -> Path:
        return Path(EntryScript().log_dir).parent / "files"

    @property
    @override
    def parent(self) -> OfflineRun:
        return self

    @override
    def _add(self, kind: str, name: str, value: Any, description: str) -> None:
        self._held.append(metrics.Record(0.0, kind, name, value, description))
        about = f" ({description})" if description else ""
        sys.stdout.write(one_line(f"{name}{about}: {value}") + "\n")

    @override
    def _add_image(self, name: str, image: bytes, ending: str, description: str) -> None:
        self._add(metrics.IMAGE, name, f"{len(image)} bytes of {ending}", description)

    @override
    def _records(self, run_id: str) -> list[metrics.Record]:
        return list(self._held)

    @override
    def _ids_below(self) -> list[str]:
        return [self.id]


OFFLINE = "offline"
"""Name of the experiment of a process that is in no run."""
_by_hand = OfflineRun()


def find_run(kind: type[Found], experiment: Any, run_id: Any) -> Found:
    """Return a run of an experiment; SettingsError is raised where it isn't of class ``kind``."""
    problems = []
    if not isinstance(experiment, linked("experiments")):
        problems.append(f"experiment={experiment!r} is not one. Write Experiment(ws, 'digits').")
    if not isinstance(run_id, str):
        problems.append(f"run_id={run_id!r} is not a run's id. Write the text that run.id gave.")
    if problems:
        raise SettingsError(kind.__name__, problems)
    run: Run = experiment.workspace.get_run(run_id)
    name = run.experiment.name
    if name != experiment.name:
        problem = f"run_id={run_id!r} is a run of experiment {name!r}, not of {experiment.name!r}. "
        raise SettingsError(kind.__name__, [f"{problem}Write Experiment(ws, {name!r})."])
    if not isinstance(run, kind):
        problem = f"run_id={run_id!r} is a {type(run).__name__}. "
        advice = f"Write {type(run).__name__}(experiment, run_id), or Run(experiment, run_id)."
        raise SettingsError(kind.__name__, [problem + advice])
    return run
