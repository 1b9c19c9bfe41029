"""``Model``: registered versions of a model's files."""

from __future__ import annotations

import itertools
import os
import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import OriginalClass, original_keywords
from daskrun.core.settings import RunSettings
from daskrun.core.tags import has_tags, tag_problems, wanted_problems
from daskrun.errors import NameNotFoundError, SettingsError, StorageError, WorkspaceError
from daskrun.script import context
from daskrun.script.reaper import MARK
from daskrun.storage.folders import user_path
from daskrun.storage.records import as_number, each_readable
from daskrun.storage.safe_names import is_plain
from daskrun.storage.urls import is_url
from daskrun.workspace.layout import MODEL_FILES, MODELS
from daskrun.workspace.models.fetched import fetched
from daskrun.workspace.models.model_files import copy_in, copy_out, sweep
from daskrun.workspace.models.models_used import note_used

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from daskrun.core.codec import JsonObject
    from daskrun.core.tags import Wanted
    from daskrun.workspace.home import Home

PLACE = re.compile(rf"{MODEL_FILES}/[^/]+/[^/]+/[^/]+")
"""Where the files of a version are, in its workspace."""
ID = re.compile(r"(.+):([1-9][0-9]{0,17})", re.ASCII)


class Model(OriginalClass):
    """A version of a registered model.

    Parameters
    ----------
    workspace
        The workspace it is registered in.
    name
        Its name.
    version
        Which version; None: the newest, of those with the ``tags``.
    id
        Name and version in one, such as ``mnist:1``, instead of these.
    tags
        As those of :meth:`list`.

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
    >>> pathlib.Path(model.download(tempfile.mkdtemp())).name
    'weights.bin'
    """

    @original_keywords
    def __init__(
        self,
        workspace: Home,
        name: str | None = None,
        version: int | str | None = None,
        *,
        id: str | None = None,
        tags: Wanted = None,
    ) -> None:
        self.workspace = workspace
        self.name, wanted = _asked(name, version, id, tags)
        if wanted is None:
            note_used(self.name, workspace.records.numbers(MODELS, self.name))
        self.version, value = _record(workspace, self.name, wanted, tags)
        self._place = str(value["path"])
        self._digest = str(value.get("digest", ""))
        self.tags: dict[str, str] = dict(value.get("tags", {}))
        self.properties: dict[str, str] = dict(value.get("properties", {}))
        self.description: str | None = value.get("description")
        self.created_time = datetime.fromtimestamp(float(value["created"]), UTC)

    def __repr__(self) -> str:
        return f"Model(name={self.name!r}, version={self.version})"

    @property
    def id(self) -> str:
        """Name and version, such as ``mnist:1``."""
        return f"{self.name}:{self.version}"

    @property
    def path(self) -> Path:
        """The file if a file was registered, else the folder."""
        site, place = self.workspace.site, self._checked_place()
        if not is_url(site.location):
            return site.file(place)
        limit = RunSettings.node_cache_limit
        return fetched(f"{site.location}/{place}", self._digest, site.options, limit, site.folder)

    @staticmethod
    @original_keywords
    def register(
        workspace: Home,
        model_path: str | os.PathLike[str],
        model_name: str,
        tags: Mapping[str, str] | None = None,
        description: str | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> Model:
        """Copy a file or folder into the workspace as the next version of a model.

        Any number of processes may do so at once. One that is killed on the way has registered all
        of it or nothing.

        Raises
        ------
        SettingsError
            ``model_path`` isn't there, or the name or the tags can't be a model's.
        StorageError
            It can't be copied.
        """
        source = user_path(model_path).resolve()
        problems = [*tag_problems("tags", tags), *tag_problems("properties", properties)]
        if not source.exists():
            problem = f"model_path={os.fspath(model_path)!r} is not there. Write a file or folder "
            problems.append(f"{problem}that is.")
        if problems:
            raise SettingsError("Model.register", problems)
        records = workspace.records
        records.numbers(MODELS, model_name)  # refuses a name that can't be one, before any copying
        folder = workspace.folder / MODEL_FILES / model_name
        sweep(folder, lambda: _folders(records.values_of(MODELS, [model_name], "path")))
        stored, digest = copy_in(source, folder, workspace.folder)
        value: JsonObject = {
            "path": stored.relative_to(workspace.folder).as_posix(),
            "digest": digest,
            "tags": dict(tags or {}),
            "properties": dict(properties or {}),
            "description": description,
            "created": time.time(),
        }
        kept = stored.parent.relative_to(workspace.folder).as_posix()
        try:
            workspace.site.publish(kept)
            version = records.create(MODELS, model_name, value)
        except BaseException:
            workspace.site.discard(kept)
            raise
        return Model(workspace, model_name, version)

    @staticmethod
    @original_keywords
    def list(
        workspace: Home,
        name: str | None = None,
        tags: Wanted = None,
        properties: Wanted = None,
        latest: bool = False,
    ) -> list[Model]:
        """Return every version of every model, or of one, the newest of each first.

        Parameters
        ----------
        workspace
            Where they are registered.
        name
            Of this name only.
        tags
            With all of these only: names, ``['name', 'value']`` pairs, or a dict.
        properties
            Likewise.
        latest
            Only the newest of each name that has these.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> from daskrun.workspace.workspace import Workspace
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> ws = Workspace.create("trial", path=folder)
        >>> for accuracy in ("0.9", "0.8"):
        ...     _ = (folder / "weights").write_text(accuracy)
        ...     _ = Model.register(ws, folder / "weights", "mnist", tags={"accuracy": accuracy})
        >>> Model.list(ws, tags=[["accuracy", "0.9"]])
        [Model(name='mnist', version=1)]
        """
        problems = wanted_problems("tags", tags) + wanted_problems("properties", properties)
        if problems:
            raise SettingsError("Model.list", problems)
        for each in workspace.records.names(MODELS) if name is None else [name]:
            note_used(each, workspace.records.numbers(MODELS, each))

        def wanted(name: str) -> list[Model]:
            models = (
                model
                for model in _versions(workspace, name)
                if has_tags(model.tags, tags) and has_tags(model.properties, properties)
            )
            return [*itertools.islice(models, 1 if latest else None)]

        if name is not None:
            return wanted(name)
        found = each_readable(workspace.records.names(MODELS), wanted)
        return [model for _, models in found for model in models]

    @staticmethod
    def get_model_path(
        model_name: str, version: int | str | None = None, _workspace: Home | None = None
    ) -> str:
        """Return the path of a model: the file if a file was registered, else the folder.

        Inside a script process the models are those there were at submit; elsewhere those of
        ``_workspace``, or of the workspace that :meth:`Workspace.from_config` finds.

        Raises
        ------
        NameNotFoundError
            There is no such model.
        """
        model_name, number = _asked(model_name, version, None, None)
        run = context.current()
        if run is not None and run.models is not None:
            if number is None:
                versions = map(int, run.models.get(model_name, ()))
                note_used(model_name, versions, only_path=True)
            version, path = _version_in_run(run.models, model_name, number)
            if not is_url(path):
                return path
            digest = run.model_digests.get(f"{model_name}:{version}", "")
            own = Path(os.environ.get(MARK) or run.working_dir)
            options = run.workspace_options or {}
            return str(fetched(path, digest, options, run.cache_limit, own))
        if _workspace is not None:
            return str(Model(_workspace, model_name, number).path)
        from daskrun.workspace.home import Home  # not needed in a script process
        from daskrun.workspace.sites.opening import find_site

        found = find_site(None, None)
        if found is None:
            raise WorkspaceError(
                f"model_name={model_name!r}: {Path.cwd()} and the folders above it hold no "
                "workspace. Call Model.get_model_path in a run, or where the workspace is."
            )
        return str(Model(Home(found), model_name, number).path)

    @original_keywords
    def download(self, target_dir: str | os.PathLike[str] = ".", exist_ok: bool = False) -> str:
        """Copy the model's file or folder into a folder, and give the path of the copy.

        Parameters
        ----------
        target_dir
            Made if it isn't there.
        exist_ok
            Whether a copy that is there is replaced.

        Raises
        ------
        SettingsError
            There is a copy, and ``exist_ok`` isn't True.
        StorageError
            It can't be copied.
        """
        source = self.path
        target = user_path(target_dir) / source.name
        copy_out(source, target, exist_ok)
        return str(target)

    def delete(self) -> None:
        """Remove this version of the model, with its files; its number is not given again."""
        if self.workspace.records.delete_one(MODELS, self.name, self.version):
            self.workspace.site.discard(self._checked_place().rpartition("/")[0])

    def _checked_place(self) -> str:
        """Return where its files are in the workspace; a record may tell any text.

        Raises StorageError where that is no model's place.
        """
        if not is_plain(self._place) or PLACE.fullmatch(self._place) is None:
            raise StorageError(f"{self!r} can't be at {self._place!r}. Register the model anew.")
        return self._place


def models_told(workspace: Home) -> dict[str, Any]:
    """Return what script processes are told of models: each version's path or URL, and digest."""
    paths: dict[str, dict[str, str]] = {}
    digests: dict[str, str] = {}
    names = workspace.records.names(MODELS)
    for model in (each for name in names for each in _versions(workspace, name)):
        with suppress(StorageError):  # as if it weren't there
            place = f"{workspace.location}/{model._checked_place()}"
            paths.setdefault(model.name, {})[str(model.version)] = place
            if is_url(place):
                digests[model.id] = model._digest
    return {"models": paths, "model_digests": digests}


def _version_in_run(
    models: Mapping[str, Mapping[Any, str]], name: str, version: int | None
) -> tuple[int, str]:
    """Look a model up among those the run was told of; return its version and path."""
    versions = {int(number): path for number, path in models.get(name, {}).items()}
    if not versions:
        raise NameNotFoundError("model", name, sorted(models))
    wanted = max(versions) if version is None else version
    if wanted not in versions:
        known = [f"{name}:{number}" for number in sorted(versions)]
        raise NameNotFoundError("model", f"{name}:{version}", known)
    return wanted, versions[wanted]


def _asked(name: object, version: object, given_id: object, tags: object) -> tuple[str, int | None]:
    """Check what a model is looked for by, and give name and version."""
    problems = wanted_problems("tags", tags)
    if given_id is not None:
        form = ID.fullmatch(given_id) if isinstance(given_id, str) else None
        if form is None:
            problems.append(f"id={given_id!r} is not a model's. Write id='mnist:1'.")
        elif name is not None or version is not None:
            problems.append(f"id={given_id!r} says name and version. Leave these two out.")
        else:
            name, version = form[1], int(form[2])
    if not isinstance(name, str) and not problems:
        problems.append(f"name={name!r} is not a name. Write name='mnist'.")
    number = None
    try:
        number = as_number(version)
    except ValueError as error:
        problems.append(f"version={version!r} {error}. Write version=1, or None.")
    if problems:
        raise SettingsError("Model", problems)
    assert isinstance(name, str)
    return name, number


def _record(
    workspace: Home, name: str, version: int | None, tags: Wanted
) -> tuple[int, JsonObject]:
    """Return the newest version that has the tags, or the one that is asked for."""
    records = workspace.records
    newest = records.latest(MODELS, name)
    if newest is None:
        raise NameNotFoundError("model", name, records.names(MODELS))
    numbers = [version] if version is not None else reversed(records.numbers(MODELS, name))
    for number in numbers:
        try:
            value = newest[1] if number == newest[0] else records.get(MODELS, name, number)
        except NameNotFoundError as error:
            raise NameNotFoundError("model", error.name, error.known) from None
        if has_tags(value.get("tags", {}), tags):
            return number, value
    raise NameNotFoundError("model", f"{name} with tags={tags!r}", records.names(MODELS))


def _versions(workspace: Home, name: str) -> Iterator[Model]:
    """Yield the versions of a model, the newest first."""
    for version in reversed(workspace.records.numbers(MODELS, name)):
        with suppress(NameNotFoundError):  # deleted meanwhile
            yield Model(workspace, name, version)


def _folders(paths: Iterable[str]) -> set[str]:
    """Return the names of the folders that hold the files at some paths."""
    return {Path(path).parent.name for path in paths}
