"""``Run``: what scripts and notebooks log to a run, and what it tells of that."""

from __future__ import annotations

import sys
import uuid
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from daskrun.core.absent_names import original_keywords
from daskrun.core.typing import override
from daskrun.errors import EntryScriptError, SettingsError
from daskrun.pipeline.records.run_details import properties_of
from daskrun.pipeline.runs.run_log import RunLog
from daskrun.pipeline.runs.script_inputs import ScriptInputs, workspace_of
from daskrun.script import context
from daskrun.script.context import ScriptContext
from daskrun.shown.printable import printable
from daskrun.storage import metric_files as metrics
from daskrun.storage.metric_files import MetricFolder
from daskrun.workspace.run_folders.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daskrun.pipeline.runs.experiment import Experiment

Found = TypeVar("Found", bound="Run")


class Run(RunLog, absent="description display_name"):
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
    def __new__(cls, experiment: Experiment, run_id: str) -> Run:
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

    @property
    @abstractmethod
    def experiment(self) -> Experiment:
        """The experiment that it was submitted in."""

    @property
    @abstractmethod
    def parent(self) -> Run | None:
        """The pipeline's run that this is a step of; None for that itself."""


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

    @override
    def _add(self, kind: str, name: str, value: Any, description: str) -> None:
        MetricFolder(self._kept.path, self._writer).add(kind, name, value, description)
        self._kept.push_metrics()

    @override
    def _add_image(self, name: str, image: bytes, ending: str, description: str) -> None:
        MetricFolder(self._kept.path, self._writer).add_image(name, image, ending, description)
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

    def __new__(cls, *_: object, **__: object) -> Self:
        """Make one; runs that were submitted are found instead."""
        return object.__new__(cls)


class ScriptRun(ContextRun, FolderRun):
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
    def experiment(self) -> Experiment:
        from daskrun.pipeline.runs.experiment import Experiment  # brings the engine's names along

        return Experiment(workspace_of(self._run), self._run.experiment)

    @property
    @override
    def parent(self) -> ScriptRun | None:
        return None if self._whole else ScriptRun(self._run, whole=True)


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
    def experiment(self) -> Experiment:
        """Outside a run there is none.

        Raises
        ------
        EntryScriptError
            Always.
        """
        raise EntryScriptError(
            "Run.get_context().experiment: this process runs no entry script of a run. Write "
            "Experiment(Workspace.from_config(), 'name')."
        )

    @property
    @override
    def parent(self) -> OfflineRun:
        return self

    @override
    def _add(self, kind: str, name: str, value: Any, description: str) -> None:
        self._held.append(metrics.Record(0.0, kind, name, value, description))
        about = f" ({description})" if description else ""
        sys.stdout.write(printable(f"{name}{about}: {value}\n"))

    @override
    def _add_image(self, name: str, image: bytes, ending: str, description: str) -> None:
        self._add(metrics.IMAGE, name, f"{len(image)} bytes of {ending}", description)

    @override
    def _records(self, run_id: str) -> list[metrics.Record]:
        return list(self._held)

    @override
    def _ids_below(self) -> list[str]:
        return [self.id]


_by_hand = OfflineRun()


def find_run(kind: type[Found], experiment: object, run_id: object) -> Found:
    """Return a run of an experiment; SettingsError is raised where it isn't of class ``kind``."""
    from daskrun.pipeline.runs.experiment import Experiment  # it brings the engine's names along

    problems = []
    if not isinstance(experiment, Experiment):
        problems.append(f"experiment={experiment!r} is not one. Write Experiment(ws, 'digits').")
    if not isinstance(run_id, str):
        problems.append(f"run_id={run_id!r} is not a run's id. Write the text that run.id gave.")
    if problems or not isinstance(experiment, Experiment):
        raise SettingsError(kind.__name__, problems)
    run: Run = experiment.workspace.get_run(str(run_id))
    name = run.experiment.name
    if name != experiment.name:
        problem = f"run_id={run_id!r} is a run of experiment {name!r}, not of {experiment.name!r}. "
        raise SettingsError(kind.__name__, [f"{problem}Write Experiment(ws, {name!r})."])
    if not isinstance(run, kind):
        problem = f"run_id={run_id!r} is a {type(run).__name__}. "
        advice = f"Write {type(run).__name__}(experiment, run_id), or Run(experiment, run_id)."
        raise SettingsError(kind.__name__, [problem + advice])
    return run
