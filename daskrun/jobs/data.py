"""What the paths of a job file mean: files, tables, models, environments and compute targets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from daskrun.data.datasets import Dataset
from daskrun.data.items import DatasetConsumptionConfig, Items
from daskrun.data.mltable_files import MLTableFiles
from daskrun.data.protocols import DataPath, as_elements
from daskrun.data.remote_files import is_url
from daskrun.data.tabular.formats.mltable.definition import (
    DATASTORE,
    as_fsspec,
    datastores_in,
    definition_of,
    is_defined,
)
from daskrun.errors import ComputeTargetException, DatasetError, NameNotFoundError
from daskrun.jobs import located
from daskrun.jobs.kinds import REGISTERED, EnvironmentSaid, ModelSaid
from daskrun.jobs.schema import WrittenPath, read_as
from daskrun.workspace.compute.targets import ComputeTarget
from daskrun.workspace.datastores.datastore import Datastore
from daskrun.workspace.environments.dependencies import conda_of
from daskrun.workspace.environments.environment import Environment
from daskrun.workspace.models.model import Model

if TYPE_CHECKING:
    from daskrun.data.file_dataset import FileDataset
    from daskrun.data.tabular.tabular_dataset import TabularDataset
    from daskrun.jobs.located import Problems
    from daskrun.workspace.workspace import Workspace

NAMED = re.compile(r"azureml:(?P<name>[^:@/]+)(?:[:@](?P<version>[^:@/]+))?")
CURATED = re.compile(
    r"azureml://registries/.*/environments/(?P<name>[^/]+)/(?:versions|labels)/(.+)"
)
OWN = ("local", "serverless", "azureml:local", "azureml:serverless")
"""Compute that is this machine."""
DOWNLOAD = ("download", "eval_download")
MODELS = ("custom_model", "mlflow_model", "triton_model")
READERS: Mapping[str, tuple[Callable[..., TabularDataset], Mapping[str, str]]] = {
    ".csv": (Dataset.Tabular.from_delimited_files, {}),
    ".tsv": (Dataset.Tabular.from_delimited_files, {"separator": "\t"}),
    ".jsonl": (Dataset.Tabular.from_json_lines_files, {}),
    ".parquet": (Dataset.Tabular.from_parquet_files, {}),
}
"""How files are read that are a table without an MLTable file, by ending."""


@dataclass(frozen=True)
class Data:
    """Data that an input is."""

    files: Items
    """What a script has the path of."""
    rows: Items
    """What mini-batches are cut from."""
    mode: str = ""

    def use(self, name: str, *, split: bool = False) -> DatasetConsumptionConfig:
        """Return it as an input of a step: ``split`` into mini-batches, or whole."""
        used = DatasetConsumptionConfig(
            re.sub(r"\W", "_", name), self.rows if split else self.files
        )
        return used.as_download() if self.mode in DOWNLOAD and not split else used


def data_of(text: WrittenPath, kind: str, mode: str, workspace: Workspace) -> Data:
    """Return the data of a path: ``azureml:NAME:VERSION``, a URL, or a local path.

    DaskrunError is raised where there is none of that name.
    """
    path = path_of(text, kind, workspace)
    if not text.startswith(REGISTERED) and not is_url(text):
        check_there(text, "path")
    if isinstance(path, Items):
        return Data(path, path, mode)
    if kind != "mltable":
        return of_files(path, mode)
    if is_defined(path):
        stores = {name: Datastore(workspace, name) for name in datastores_in(path)}
        return data_at(path, mode, stores)
    reader = READERS.get(Path(str(text).rstrip("/")).suffix.lower())
    if reader is None:
        raise DatasetError(
            f"path={str(text)!r} has no file named MLTable in it. Write one that says how the "
            "table is read, or the path of .csv, .tsv, .jsonl or .parquet files; of files write "
            "type: uri_folder"
        )
    read, options = reader
    return Data(of_files(path, mode).files, read(path, validate=False, **options), mode)


def of_files(path: str | DataPath, mode: str) -> Data:
    """Return the files of a path."""
    files = Dataset.File.from_files(path, validate=False)
    return Data(files, files, mode)


def data_at(
    path: str | DataPath, mode: str, datastores: Mapping[str, Datastore] | None = None
) -> Data:
    """Return what a file named MLTable defines: files where the mode is one of files, else rows.

    It need not be there yet: then what it says is known when it is.
    """
    places = {name: DataPath(store, "") for name, store in (datastores or {}).items()}
    rows: Items = Dataset.Tabular.from_mltable(path, validate=False, datastores=datastores)
    if mode.startswith("eval_") or (is_defined(path) and not definition_of(path, places).is_table):
        known = tuple(places.items())
        rows = MLTableFiles(as_elements(path), str(Path.cwd()), datastores=known)
    return Data(of_files(path, mode).files, rows, mode)


def path_of(text: WrittenPath, kind: str, workspace: Workspace) -> str | DataPath | Items:
    """Return what a written path means: local path, URL, path in a datastore, registered data."""
    if found := DATASTORE.fullmatch(text):
        return DataPath(Datastore(workspace, found["store"]), found["path"])
    if text.startswith(REGISTERED):
        found = NAMED.fullmatch(text)
        if found is None:
            raise DatasetError(
                f"path={str(text)!r} is of no workspace here. Write azureml:NAME:VERSION for what "
                "is registered, azureml://datastores/NAME/paths/PATH, a local path or a URL."
            )
        version = found["version"] if found["version"] not in (None, "latest") else None
        if kind in MODELS:
            return str(Model(workspace, found["name"], int(version) if version else None).path)
        number = int(version) if version and version.isdecimal() else version or "latest"
        return cast("Items", Dataset.get_by_name(workspace, found["name"], number))
    if is_url(text):
        return as_fsspec(text)
    return str(text.local) + ("/" if text.endswith("/") else "")


def check_there(path: WrittenPath, name: str) -> None:
    """Raise DatasetError where a local path isn't there; a glob is looked at when it is used."""
    if not path.strip():
        raise DatasetError(f"{name}={str(path)!r} names nothing. Write a file, folder or glob.")
    if not path.local.exists() and not set("*?[") & set(path):
        raise DatasetError(f"{name}={str(path)!r} is not there ({path.local}). Write one that is.")


def model_folder(said: WrittenPath | ModelSaid, workspace: Workspace) -> FileDataset:
    """Return the folder that a deployment's model is in, which ``AZUREML_MODEL_DIR`` tells."""
    text = said.path if isinstance(said, ModelSaid) else said
    if text is None:
        raise DatasetError("model has no path. Write path: ./model")
    path = path_of(text, "custom_model", workspace)
    if not isinstance(path, str) or is_url(path):
        raise DatasetError(
            f"model={str(text)!r} is on no disk of this machine. Register it: Model.register(ws, "
            "path, name), and write model: azureml:NAME@latest"
        )
    place = Path(path)
    if not place.exists():
        raise DatasetError(f"model={str(text)!r} is not there ({place}). Write a file or folder.")
    return Dataset.File.from_files(place.parent, validate=False)


def target_of(text: str, workspace: Workspace, notes: list[str]) -> ComputeTarget | str | None:
    """Return the compute target of a name; this machine, and a note, where there is none."""
    if text in OWN:
        return None
    name = text.removeprefix(REGISTERED)
    if name == "inline" or "://" in name:
        return name
    try:
        return ComputeTarget(workspace, name)
    except ComputeTargetException:
        notes.append(f"compute {name!r} isn't in this workspace, so this machine is used")
        return None


def environment_of(
    said: str | EnvironmentSaid | None,
    at: located.At,
    workspace: Workspace,
    problems: Problems,
    notes: list[str],
) -> Environment | None:
    """Return the environment that is written, or named; None, with a note, where none is known."""
    if isinstance(said, str):
        return _named(said, at, workspace, problems, notes)
    if said is None or (said.conda_file is None and said.image is None and said.build is None):
        return None
    made = Environment(said.name or "job-environment")
    if isinstance(said.conda_file, Mapping):
        try:
            found = conda_of(said.conda_file, said.node.at.folder)
        except ValueError as error:
            raise DatasetError(
                f"conda_file {error}. Write dependencies: [python, {{pip: [pandas]}}]."
            ) from None
        made.python = replace(made.python, conda_dependencies=found)
    elif said.conda_file is not None:
        made = Environment.from_conda_specification(made.name, said.conda_file.local)
    return None if made.is_blank else made


def _named(
    text: str, at: located.At, workspace: Workspace, problems: Problems, notes: list[str]
) -> Environment | None:
    file = WrittenPath.at(text.removeprefix("file:"), at.folder)
    if file.endswith((".yml", ".yaml")):
        node = located.read(file.local, problems, at)
        if node is None:
            return None
        said = read_as(EnvironmentSaid, node, problems)
        return environment_of(said, node.at, workspace, problems, notes)
    curated = CURATED.fullmatch(text)
    found = NAMED.fullmatch(text if text.startswith(REGISTERED) else f"{REGISTERED}{text}")
    name = curated["name"] if curated else found["name"] if found else text
    version = found["version"] if found and found["version"] != "latest" else None
    try:
        return Environment.get(workspace, name, version)
    except NameNotFoundError:
        notes.append(f"environment {name!r} isn't registered here: the Python of each node is used")
        return None
