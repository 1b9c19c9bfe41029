"""What a step writes: named before it has run, found after."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import InitVar, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import OriginalClass, original_keywords
from daskrun.core.report import RunStatus
from daskrun.core.typing import override
from daskrun.data.dataset_codec import places_of
from daskrun.data.datasets import Dataset
from daskrun.data.file_dataset import FileDataset
from daskrun.data.items import DatasetConsumptionConfig
from daskrun.data.protocols import DataPath
from daskrun.errors import DatasetError, SettingsError, StorageError
from daskrun.pipeline.steps.written import (
    ReadAsRows,
    Registration,
    Written,
    WrittenFiles,
    WrittenTable,
)
from daskrun.storage.folders import make_folder, user_path
from daskrun.storage.safe_names import below
from daskrun.workspace.datastores import datastore_transfer as transfer
from daskrun.workspace.datastores.datastore import Datastore

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from daskrun.data.items import Items
    from daskrun.workspace.workspace import Workspace

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", re.ASCII)


@dataclass(eq=False)
class OutputId:
    """Identifies an output, and others that differ from it only in how it is kept."""

    step: object = None
    """The step that writes it: the last one that was made with it; None: there is none yet."""
    registered: dict[str, tuple[Registration, Items]] = field(default_factory=dict)
    """By name the datasets that it becomes when its step has completed."""


class StepOutput(ReadAsRows, OriginalClass, ABC):
    """The output of a step, which a later step of the pipeline may have as its input.

    What is written there is a dataset before the step has run: :meth:`as_dataset` of the files,
    :meth:`read_delimited_files` and the like of the rows in them. These can be narrowed as other
    datasets can (``take``, ``keep_columns``, ...), but hold nothing until the step has run.
    """

    name: str
    """What ``get_output_data`` asks for."""
    link: OutputId

    @abstractmethod
    def _place(self, run_id: str, workspace: Workspace) -> tuple[Datastore, str]:
        """Return where a run of the step writes it: a datastore and the path there."""

    @abstractmethod
    def _destination_text(self, workspace: Workspace) -> str:
        """Return where it is to go, the same for each run."""

    def as_dataset(self) -> WrittenFiles:
        """Return the files that the step writes.

        Examples
        --------
        >>> PipelineData("scores").as_dataset().kind
        'files'
        """
        made: WrittenFiles = as_written(Dataset.File.from_files(self._path(), validate=False))
        return made

    @override
    def _rows(self, form: str, options: Mapping[str, Any]) -> WrittenTable:
        read, given = getattr(Dataset.Tabular, f"from_{form}_files"), dict(options)
        path = self._path(str(given.pop("path_glob", "")))
        made: WrittenTable = as_written(read(path, **given, validate=False))
        return made

    @original_keywords
    def as_input(self, name: str | None = None) -> DatasetConsumptionConfig:
        """Return the files as an input of a later step, under a name."""
        known_by = self.name if name is None and self.name.isidentifier() else name
        return DatasetConsumptionConfig(known_by, self.as_dataset())

    as_named_input = as_input

    def _path(self, inside: str = "") -> DataPath:
        return DataPath(PendingOutput(self), inside)


def as_written(dataset: Items) -> Any:
    """Return a dataset as one of what a step writes."""
    kind = WrittenFiles if isinstance(dataset, FileDataset) else WrittenTable
    return kind(**{each.name: getattr(dataset, each.name) for each in fields(dataset) if each.init})


def output_of(value: Any) -> Any:
    """Return the output of which something is the files or rows; else what it is itself."""
    if isinstance(value, Written):
        (place,) = places_of(value)
        return place.output if isinstance(place, PendingOutput) else value
    return value


@dataclass(frozen=True, eq=False)
class PendingOutput:
    """Where a step will write an output: no folder yet, since no run has been submitted."""

    output: StepOutput

    def __repr__(self) -> str:
        return f"output {self.output.name!r}"

    @property
    def storage_options(self) -> Mapping[str, object]:
        """Nothing is known of it."""
        return MappingProxyType({})

    def url(self, relative: str) -> str:
        """Raise DatasetError: there is none yet."""
        raise DatasetError(
            f"output {self.output.name!r} of a step holds nothing before the step has run"
            f"{f' (asked for {relative!r})' if relative else ''}. Use it as an input of a later "
            "step; what a run has written is run.find_step_run(step)[0].get_output_data(name)."
        )


@original_keywords
@dataclass(frozen=True, eq=False)
class PipelineData(StepOutput):
    """The output of a step, in a folder of its own in a datastore.

    Each run of the step writes to ``azureml/<step run>/<name>``.

    Parameters
    ----------
    name
        What ``get_output_data`` asks for, and the last part of its path.
    datastore
        Where it is written; None: the workspace's default datastore.
    output_name
        What it is called instead of ``name``.

    Raises
    ------
    SettingsError
        With every problem there is.

    Examples
    --------
    >>> PipelineData(name="inferences").name
    'inferences'
    """

    name: str
    datastore: Datastore | None = None
    output_name: InitVar[str | None] = None
    link: OutputId = field(default_factory=OutputId, init=False, repr=False)

    def __post_init__(self, output_name: str | None) -> None:
        if output_name is not None:
            object.__setattr__(self, "name", output_name)
        problems = name_problems(self.name, "inferences")
        if self.datastore is not None and not isinstance(self.datastore, Datastore):
            problems.append(
                f"datastore={self.datastore!r} is of type {type(self.datastore).__name__}. "
                "Write datastore=ws.get_default_datastore()."
            )
        if problems:
            raise SettingsError("PipelineData", problems)

    @override
    def _place(self, run_id: str, workspace: Workspace) -> tuple[Datastore, str]:
        return self.datastore or workspace.get_default_datastore(), f"azureml/{run_id}/{self.name}"

    @original_keywords
    def as_mount(self, path: str | None = None) -> DatasetConsumptionConfig:
        """Return the files as an input of a later step, read in place where that can be."""
        return self.as_input().as_mount(path)

    @original_keywords
    def as_download(self, path: str | None = None) -> DatasetConsumptionConfig:
        """Return the files as an input of a later step, copied to its node."""
        return self.as_input().as_download(path)

    @override
    def _destination_text(self, workspace: Workspace) -> str:
        return self._place("", workspace)[0].name


del PipelineData.output_name  # type: ignore[attr-defined]  # only an argument: its default stays


def name_problems(name: object, example: str) -> list[str]:
    """Return what is wrong with the name of an output."""
    if isinstance(name, str) and NAME.fullmatch(name):
        return []
    rule = "Write letters, digits, '_', '-' and '.'"
    return [f"name={name!r} is not an output's. {rule}, such as name={example!r}."]


class PortDataReference(OriginalClass):
    """An output of a step run."""

    def __init__(
        self, name: str, datastore: Datastore, path_on_datastore: str, status: str
    ) -> None:
        self.name = name
        self.datastore = datastore
        self.path_on_datastore = path_on_datastore
        self._status = status

    def __repr__(self) -> str:
        return f"PortDataReference(name={self.name!r}, path={self.path_on_datastore!r})"

    def download(
        self,
        local_path: str | os.PathLike[str],
        overwrite: bool = False,
        show_progress: bool = False,
        *,
        flat: bool = False,
    ) -> int:
        """Copy the output to ``<local_path>/<path_on_datastore>/``.

        With ``show_progress`` a line is printed every few seconds, and at the end; with ``flat``
        files are in ``local_path`` itself.

        Returns
        -------
        int
            How many files were copied; those that are there stay unless ``overwrite``. 0 where a
            run that is Completed wrote none.

        Raises
        ------
        StorageError
            There is nothing to copy.
        """
        folder, path = user_path(local_path), self.path_on_datastore
        store, done = self.datastore, self._status == RunStatus.COMPLETED
        try:
            place = folder if flat else Path(below(str(folder), [path])[path])  # a record tells it
            make_folder(place)
            store._check_package()
            count = store._count(show_progress)
            where = store.url(path if flat else ""), store.url(self._copied), folder
            return transfer.get(*where, store.storage_options, overwrite, count, done)
        except StorageError as error:
            raise StorageError(f"output {self.name!r} (run {self._status}): {error}") from error

    @property
    def _copied(self) -> str:
        """What of the datastore is downloaded."""
        return self.path_on_datastore
