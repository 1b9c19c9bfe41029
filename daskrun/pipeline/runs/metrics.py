"""``Run``: what scripts and notebooks log to a run, and what it tells of that."""

from __future__ import annotations

import sys
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from daskrun.core.absent_names import OriginalClass, original_keywords
from daskrun.errors import (
    EntryScriptError,
    SettingsError,
)
from daskrun.pipeline.runs.loggable import check_name, checked, image, many, shown
from daskrun.pipeline.runs.lookup import find_run
from daskrun.pipeline.runs.script_inputs import ScriptInputs, workspace_of
from daskrun.script import context
from daskrun.storage import metric_files as metrics
from daskrun.storage.metric_files import MetricFolder, folded
from daskrun.workspace.run_folders.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskrun.pipeline.runs.experiment import Experiment

NOTED = ("kind", "experiment", "script", "host", "python", "pipeline_run", "name", "entry_script")
"""What of a run's manifest are its properties."""


class Run(OriginalClass, ABC, read_only="description display_name"):
    """A run that is logged to: the one a script is in, or one that was submitted.

    ``Run(experiment, run_id)`` gives one that was submitted, a :class:`PipelineRun` or a
    :class:`StepRun`; :meth:`get_context` the one that a script is in.

    What was logged is on the disk when the method returns: it stays when the process is killed,
    and when the mini-batch fails or is tried again. Any number of threads and processes may log to
    one run at once.

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

    id: str
    """Unique; ids sort by the time of submission."""

    @original_keywords
    def __new__(cls, experiment: Experiment, run_id: str) -> Run:
        """Return a run that was submitted in an experiment, by this process or another.

        Parameters
        ----------
        experiment
            That it was submitted in.
        run_id
            What ``run.id`` gave.

        Raises
        ------
        NameNotFoundError
            There is none of that id.
        SettingsError
            It is another experiment's.
        """
        return find_run(cls.__name__, experiment, run_id)

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
        values = context.current()
        if values is not None and "run_folder" in values:
            return ScriptRun(values)
        if not allow_offline:
            raise EntryScriptError(
                "allow_offline=False: this process runs no entry script of a run. Submit the "
                "script in a ParallelRunStep, or write Run.get_context() to try it by hand."
            )
        return _by_hand if values is None else values.get("by_hand", _by_hand)

    @original_keywords
    def log(self, name: str, value: Any, description: str = "") -> None:
        """Log a number, text or flag; more of one name make a list.

        Parameters
        ----------
        name
            Of the metric.
        value
            numpy's and other arrays of one element count as that.
        description
            Kept with it in the run's folder.

        Raises
        ------
        SettingsError
            That is no such value.
        StorageError
            The run's folder can't be written.
        """
        value = checked("log", name, value, "write log(name, 0.95), log_list() for many")
        self._add(metrics.VALUE, name, value, description)

    def log_list(self, name: str, value: Sequence[Any], description: str = "") -> None:
        """Log values, in their order; more of one name make one list.

        See :meth:`log` for what is raised.
        """
        values = many("log_list", name, "value", value)
        self._add(metrics.LIST, name, values, description)

    def log_row(self, name: str, description: str = "", **columns: Any) -> None:
        """Log a row, a keyword for each column; more of one name make a table.

        See :meth:`log` for what is raised.
        """
        if not columns:
            raise SettingsError("log_row", [f"{name!r} has no column. Write log_row(name, x=1)."])
        hint = "write one value for each column"
        row = {key: checked("log_row", key, value, hint) for key, value in columns.items()}
        check_name("log_row", name)
        self._add(metrics.ROW, name, row, description)

    def log_table(
        self, name: str, value: Mapping[str, Sequence[Any]], description: str = ""
    ) -> None:
        """Log a table, ``{column: values}``; more of one name are put below each other.

        See :meth:`log` for what is raised.
        """
        example = "Write log_table(name, {'x': [1, 2], 'y': [0.6, 0.7]})."
        if not isinstance(value, Mapping) or not value:
            raise SettingsError("log_table", [f"value={shown(value)} has no columns. {example}"])
        table = {
            str(column): many("log_table", name, str(column), values)
            for column, values in value.items()
        }
        if len({len(values) for values in table.values()}) > 1:
            lengths = ", ".join(f"{column!r} has {len(v)}" for column, v in table.items())
            problem = f"the columns of {name!r} differ in length: {lengths}. {example}"
            raise SettingsError("log_table", [problem])
        self._add(metrics.TABLE, name, table, description)

    def log_image(
        self, name: str, path: Any = None, plot: Any = None, description: str = ""
    ) -> None:
        """Log an image: a file, which is copied, or a plot of matplotlib.

        See :meth:`log` for what else is raised.

        Raises
        ------
        SettingsError
            There isn't one of them, or it can't be read.
        """
        check_name("log_image", name)
        data, ending = image(path, plot)
        self._add_image(name, data, ending, description)

    def tag(self, key: str, value: str | None = None) -> None:
        """Set a tag; one of that name is replaced."""
        check_name("tag", key)
        self._add(metrics.TAG, key, None if value is None else str(value), "")

    @original_keywords
    def get_metrics(self, name: str | None = None, recursive: bool = False) -> dict[str, Any]:
        """Return what was logged so far, also while the run goes on.

        What was logged once is its value, an image the path of its file; more are a list in the
        order of time. A row is ``{column: value}``; more rows, and tables, are
        ``{column: values}``.

        Parameters
        ----------
        name
            Of one metric; None: all there are.
        recursive
            Give ``{run id: {name: metric}}``, of this run and the steps it has.

        Raises
        ------
        StorageError
            The run's folder can't be read.

        Examples
        --------
        >>> run = PipelineRun(...)  # doctest: +SKIP
        >>> run.find_step_run("score")[0].get_metrics("rows")  # doctest: +SKIP
        {'rows': [120, 80]}
        """
        if not recursive:
            return self._metrics_of(self.id, name)
        return {run_id: self._metrics_of(run_id, name) for run_id in self._ids_below()}

    def get_tags(self) -> dict[str, str]:
        """Return the tags that were set so far."""
        return metrics.tags(self._records(self.id))

    @property
    def tags(self) -> dict[str, str]:
        """The tags that were set so far."""
        return self.get_tags()

    def _metrics_of(self, run_id: str, name: str | None) -> dict[str, Any]:
        found = folded(self._records(run_id))
        return found if name is None else {key: found[key] for key in (name,) if key in found}

    @abstractmethod
    def _add(self, kind: str, name: str, value: Any, description: str) -> None:
        """Take in what was logged."""

    @abstractmethod
    def _add_image(self, name: str, image: bytes, ending: str, description: str) -> None:
        """Take in an image."""

    @abstractmethod
    def _records(self, run_id: str) -> list[metrics.Record]:
        """Return what was logged to this run or one below it."""

    @abstractmethod
    def _ids_below(self) -> list[str]:
        """Return the ids of this run and its steps."""


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
        manifest = self._kept.manifest()
        return {name: str(manifest[name]) for name in NOTED if manifest.get(name) is not None}

    @property
    def properties(self) -> dict[str, str]:
        """What :meth:`get_properties` gives."""
        return self.get_properties()

    def _add(self, kind: str, name: str, value: Any, description: str) -> None:
        MetricFolder(self._kept.path, self._writer).add(kind, name, value, description)
        self._kept.push_metrics()

    def _add_image(self, name: str, image: bytes, ending: str, description: str) -> None:
        MetricFolder(self._kept.path, self._writer).add_image(name, image, ending, description)
        self._kept.push_metrics()

    def _records(self, run_id: str) -> list[metrics.Record]:
        folder = self._kept.sibling(run_id)
        own = _logged(folder)
        used = (folder.reuse() or {}).get("run_id")
        if used is None:
            return own
        # What was logged goes with the output that is used; tags are of the run that has them.
        earlier = _logged(folder.sibling(used))
        return [*(each for each in earlier if each.kind != metrics.TAG), *own]

    def _ids_below(self) -> list[str]:
        return [self.id, *self._kept.manifest().get("steps", ())]


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

    @property
    @abstractmethod
    def experiment(self) -> Experiment:
        """The experiment; its ``workspace`` has the models, datasets, datastores."""

    @property
    @abstractmethod
    def parent(self) -> ContextRun | None:
        """The pipeline's run that this is a step of."""


class ScriptRun(ContextRun, FolderRun):
    """The run of the step that this script process works for, or of its pipeline.

    Parameters
    ----------
    values
        As :func:`daskrun.script.context.current` gives them.
    whole
        Whether it is the pipeline's.
    """

    @original_keywords
    def __init__(self, values: Mapping[str, Any], whole: bool = False) -> None:
        self._values = values
        self._whole = whole
        self.id = str(values["pipeline_run_id" if whole else "run_id"])
        self._writer = str(values["agent_name"])
        self.input_datasets = ScriptInputs({} if whole else values)

    def __repr__(self) -> str:
        return f"Run.get_context(){'.parent' if self._whole else ''}  # id={self.id!r}"

    @property
    def folder(self) -> Path:
        """Where everything that is known of the run is kept."""
        return self._kept.path

    @property
    def _kept(self) -> RunFolder:
        return RunFolder(Path(self._values["run_folder"]).parent / self.id)

    @property
    def experiment(self) -> Experiment:
        """The experiment the run is of."""
        from daskrun.pipeline.runs.experiment import (
            Experiment,  # it brings the engine's names along
        )

        return Experiment(workspace_of(self._values), self._values["experiment"])

    @property
    def parent(self) -> ScriptRun | None:
        """The pipeline's run that this is a step of; None for that itself."""
        return None if self._whole else ScriptRun(self._values, whole=True)


class OfflineRun(ContextRun):
    """Stands for a run where there is none: it prints what is logged, and remembers it.

    Parameters
    ----------
    input_datasets
        What a script tried by hand finds under that name.
    """

    @original_keywords
    def __init__(self, input_datasets: Mapping[str, Any] | None = None) -> None:
        self.id = f"OfflineRun_{uuid.uuid4()}"
        self.input_datasets = ScriptInputs({"input_datasets": input_datasets or {}})
        self._held: list[metrics.Record] = []

    def __repr__(self) -> str:
        return f"Run.get_context()  # outside a run, id={self.id!r}"

    @property
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
    def parent(self) -> OfflineRun:
        """Itself, so that a script that logs to its pipeline's run can be tried by hand."""
        return self

    def _add(self, kind: str, name: str, value: Any, description: str) -> None:
        self._held.append(metrics.Record(0.0, kind, name, value, description))
        about = f" ({description})" if description else ""
        sys.stdout.write(f"{name}{about}: {value}\n")

    def _add_image(self, name: str, image: bytes, ending: str, description: str) -> None:
        self._add(metrics.IMAGE, name, f"{len(image)} bytes of {ending}", description)

    def _records(self, run_id: str) -> list[metrics.Record]:  # noqa: ARG002  (there is one)
        return list(self._held)

    def _ids_below(self) -> list[str]:
        return [self.id]


_by_hand = OfflineRun()
