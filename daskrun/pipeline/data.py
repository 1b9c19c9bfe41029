"""What a step writes: ``PipelineData`` names it before, ``PortDataReference`` finds it after."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.errors import SettingsError, StorageError
from daskrun.workspace.datastore import Datastore

if TYPE_CHECKING:
    import os

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", re.ASCII)


@dataclass(frozen=True, eq=False)
class PipelineData:
    """The output of a step, in a folder of its own in a datastore.

    Examples
    --------
    >>> PipelineData(name="inferences").name
    'inferences'
    """

    name: str
    """What ``get_output_data`` asks for, and the last part of its path."""
    datastore: Datastore | None = None
    """Where it is written; None: the workspace's default datastore."""

    def __post_init__(self) -> None:
        problems = []
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            problems.append(
                f"name={self.name!r} is not an output's. Write letters, digits, '_', '-' and '.', "
                "such as name='inferences'."
            )
        if self.datastore is not None and not isinstance(self.datastore, Datastore):
            problems.append(
                f"datastore={self.datastore!r} is of type {type(self.datastore).__name__}. "
                "Write datastore=ws.get_default_datastore()."
            )
        if problems:
            raise SettingsError("PipelineData", problems)


class PortDataReference:
    """An output of a step run.

    Parameters
    ----------
    name
        The output's name.
    datastore
        Where it is.
    path_on_datastore
        Its folder there, ``azureml/<step run id>/<name>``.
    status
        How the run stands, for what is said when there is nothing yet.
    """

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
    ) -> int:
        """Copy the output to ``<local_path>/<path_on_datastore>/``.

        With ``show_progress`` a line is printed every few seconds, and at the end.

        Returns
        -------
        int
            How many files were copied; those that are there stay unless ``overwrite``.

        Raises
        ------
        StorageError
            There is nothing to copy.
        """
        folder = Path(local_path).expanduser()
        try:
            path = self.path_on_datastore
            return self.datastore.download(folder, path, overwrite, show_progress)
        except StorageError as error:
            raise StorageError(f"output {self.name!r} (run {self._status}): {error}") from error
