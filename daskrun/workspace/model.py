"""``Model``: registered versions of a model's files."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.errors import NameNotFoundError, SettingsError, WorkspaceError
from daskrun.script import context

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daskrun.workspace.workspace import Workspace

KIND = "models"
FILES = "models_files"
ABANDONED = 24 * 3600
"""Seconds after which a copy that was never finished is taken for a killed process's."""


class Model:
    """A version of a registered model.

    Parameters
    ----------
    workspace
        The workspace it is registered in.
    name
        Its name.
    version
        Which version; None: the newest.

    Raises
    ------
    NameNotFoundError
        There is no such model.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from daskrun.workspace.workspace import Workspace
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> ws = Workspace.create("trial", path=folder)
    >>> file = folder / "weights.bin"
    >>> _ = file.write_bytes(b"1")
    >>> model = Model.register(ws, file, "mnist", tags={"trained": "today"})
    >>> model.id
    'mnist:1'
    """

    def __init__(self, workspace: Workspace, name: str, version: int | None = None) -> None:
        record = workspace.records.latest(KIND, name)
        if record is None:
            raise NameNotFoundError("model", name, workspace.records.names(KIND))
        self.workspace = workspace
        self.name = name
        self.version = record[0] if version is None else version
        value = record[1] if version is None else workspace.records.get(KIND, name, version)
        self._path = workspace.folder / str(value["path"])
        self.tags: dict[str, str] = dict(value.get("tags", {}))
        self.description: str | None = value.get("description")
        self.created_time = float(value["created"])
        """Seconds since the epoch."""

    def __repr__(self) -> str:
        return f"Model(name={self.name!r}, version={self.version})"

    @property
    def id(self) -> str:
        """Name and version, such as ``mnist:1``."""
        return f"{self.name}:{self.version}"

    @property
    def path(self) -> Path:
        """The file if a file was registered, else the folder."""
        return self._path

    @staticmethod
    def register(
        workspace: Workspace,
        model_path: str | os.PathLike[str],
        model_name: str,
        tags: Mapping[str, str] | None = None,
        description: str | None = None,
    ) -> Model:
        """Copy a file or folder into the workspace as the next version of a model.

        Raises
        ------
        SettingsError
            ``model_path`` isn't there, or the name or the tags can't be a model's.
        """
        source = Path(model_path).expanduser().resolve()
        _check(source, model_path, tags)
        stored = _store(workspace, source, model_name)
        value: dict[str, Any] = {
            "path": stored.relative_to(workspace.folder).as_posix(),
            "tags": dict(tags or {}),
            "description": description,
            "created": time.time(),
        }
        try:
            version = workspace.records.create(KIND, model_name, value)
        except BaseException:
            shutil.rmtree(stored.parent, ignore_errors=True)
            raise
        return Model(workspace, model_name, version)

    @staticmethod
    def list(workspace: Workspace, name: str | None = None) -> list[Model]:
        """Give every version of every model, or of one, the newest of each first."""
        names = workspace.records.names(KIND) if name is None else [name]
        return [
            Model(workspace, each, version)
            for each in names
            for version in reversed(workspace.records.numbers(KIND, each))
        ]

    @staticmethod
    def get_model_path(model_name: str, version: int | None = None) -> str:
        """Give the path of a model: the file if a file was registered, else the folder.

        Inside a script process the models are those there were at submit; elsewhere those of the
        workspace that :meth:`Workspace.from_config` finds.

        Raises
        ------
        NameNotFoundError
            There is no such model.
        """
        values = context.current()
        if values is not None and "models" in values:
            return _path_in_run(values["models"], model_name, version)
        from daskrun.workspace.workspace import Workspace  # not needed in a script process

        workspace = Workspace.find()
        if workspace is None:
            raise WorkspaceError(
                f"model_name={model_name!r}: {Path.cwd()} and the folders above it hold no "
                "workspace. Call Model.get_model_path in a run, or where the workspace is."
            )
        return str(Model(workspace, model_name, version).path)

    def delete(self) -> None:
        """Remove all versions of the model, with their files."""
        if self.workspace.records.delete(KIND, self.name):
            shutil.rmtree(self.workspace.folder / FILES / self.name, ignore_errors=True)


def model_paths(workspace: Workspace) -> dict[str, dict[str, str]]:
    """Give the path of every version of every model, as script processes are told them."""
    found: dict[str, dict[str, str]] = {}
    for model in Model.list(workspace):
        found.setdefault(model.name, {})[str(model.version)] = str(model.path)
    return found


def _path_in_run(models: Mapping[str, Mapping[Any, str]], name: str, version: int | None) -> str:
    """Look a model up among those the run was told of."""
    versions = {int(number): path for number, path in models.get(name, {}).items()}
    if not versions:
        raise NameNotFoundError("model", name, sorted(models))
    wanted = max(versions) if version is None else version
    if wanted not in versions:
        known = [f"{name}:{number}" for number in sorted(versions)]
        raise NameNotFoundError("model", f"{name}:{version}", known)
    return versions[wanted]


def _check(
    source: Path, model_path: str | os.PathLike[str], tags: Mapping[str, str] | None
) -> None:
    problems = []
    if not source.exists():
        problems.append(
            f"model_path={os.fspath(model_path)!r} is not there. Write a file or folder that is."
        )
    for key, text in dict(tags or {}).items():
        if not isinstance(key, str) or not isinstance(text, str):
            problems.append(f"tags: {key!r}: {text!r} is not text. Write tags={{'name': 'text'}}.")
    if problems:
        raise SettingsError("Model.register", problems)


def _store(workspace: Workspace, source: Path, name: str) -> Path:
    """Copy a model into the workspace, whole or not at all, and give its path there."""
    workspace.records.numbers(KIND, name)  # refuses a name that can't be one, before any copying
    folder = workspace.folder / FILES / name
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    unique = f"{time.time_ns():x}-{os.urandom(4).hex()}"
    aside = folder / f".{unique}.partial"
    aside.mkdir()
    try:
        target = aside / source.name
        if source.is_dir():
            # A workspace inside the folder is no part of the model, and would hold the copy itself.
            shutil.copytree(source, target, ignore=_leave_out(workspace.folder))
        else:
            shutil.copy2(source, target)
        aside.rename(folder / unique)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return folder / unique / source.name


def _leave_out(workspace_folder: Path) -> Any:
    def ignored(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if Path(folder, name) == workspace_folder]

    return ignored


def _sweep(folder: Path) -> None:
    """Remove what killed processes left of copies they never finished."""
    for path in folder.glob(".*.partial"):
        try:
            old = time.time() - path.stat().st_mtime > ABANDONED
        except FileNotFoundError:
            continue
        if old:
            shutil.rmtree(path, ignore_errors=True)
