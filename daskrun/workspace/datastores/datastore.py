"""``Datastore``: a named place for data, a folder or any URL that fsspec knows."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from daskrun.core.absent_names import OriginalClass, original_keywords
from daskrun.core.logs import get_logger
from daskrun.errors import NameNotFoundError, SettingsError, StorageError
from daskrun.monitor.console import make_display
from daskrun.storage.folders import HALF, is_writable, user_path
from daskrun.storage.pseudo_files import is_data
from daskrun.storage.urls import protocol_problem, shown_url
from daskrun.workspace.datastores import datastore_transfer as transfer
from daskrun.workspace.datastores.datastore_options import EnvironmentVariable, KeptOptions, keep
from daskrun.workspace.datastores.datastore_path import DatastorePath
from daskrun.workspace.layout import DATASTORE, DATASTORES, DEFAULT_DATASTORE

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from daskrun.storage.urls import StorageOptions
    from daskrun.workspace.home import Home

Secret: TypeAlias = str | EnvironmentVariable

logger = get_logger("daskrun")


class Datastore(OriginalClass):
    """A named place for data in a workspace.

    Parameters
    ----------
    workspace
        The workspace that remembers it.
    name
        Its name; None: the workspace's default datastore. A URL such as ``s3://bucket`` (or
        ``file:///``: this machine's files) is that place itself, which nobody has registered.

    Raises
    ------
    NameNotFoundError
        There is no datastore of that name.

    Examples
    --------
    >>> import tempfile
    >>> from daskrun.workspace.workspace import Workspace
    >>> ws = Workspace.create("trial", path=tempfile.mkdtemp())
    >>> images = Datastore.register_local(ws, "images", tempfile.mkdtemp())
    >>> Datastore.get(ws, "images") == images
    True
    """

    def __init__(self, workspace: Home, name: str | None = None) -> None:
        self.name: str = workspace.default_datastore_name if name is None else name
        self.workspace = workspace
        is_url = "://" in self.name  # no record can be named so
        record = None if is_url else workspace.records.latest(DATASTORES, self.name)
        if record is not None:
            value, foreign = record[1], workspace.site.foreign
        elif is_url:
            value, foreign = {"root": self.name.removeprefix("file://")}, ""
        elif self.name == DEFAULT_DATASTORE:
            root, options = f"{workspace.location}/{DATASTORE}", workspace.site.options
            value, foreign = {"root": root, "storage_options": options}, ""
        else:
            kind = "datastore" if name is not None else "default datastore"
            raise NameNotFoundError(kind, self.name, Datastore.names(workspace))
        self._kept = KeptOptions(self.name, value, workspace.private, foreign)

    @staticmethod
    def get(workspace: Home, datastore_name: str) -> Datastore:
        """Return the datastore of a name."""
        return Datastore(workspace, datastore_name)

    @staticmethod
    def get_default(workspace: Home) -> Datastore:
        """Return the datastore that outputs go to when nothing else is said."""
        return Datastore(workspace)

    @staticmethod
    def names(workspace: Home) -> list[str]:
        """Return the names of a workspace's datastores, sorted."""
        return sorted({DEFAULT_DATASTORE, *workspace.records.names(DATASTORES)})

    @staticmethod
    def register_local(
        workspace: Home,
        datastore_name: str,
        folder: str | os.PathLike[str],
        overwrite: bool = False,
    ) -> Datastore:
        """Remember a folder of this machine, or of a file system all nodes share.

        Raises
        ------
        SettingsError
            The folder isn't there, or the name is taken and ``overwrite`` isn't True.
        """
        path = user_path(folder).resolve()
        if not path.is_dir():
            raise SettingsError(
                "register_local", [f"folder={str(folder)!r} is not a folder. Create it first."]
            )
        return _register(workspace, datastore_name, str(path), {}, overwrite)

    @staticmethod
    @original_keywords
    def register_azure_blob_container(
        workspace: Home,
        datastore_name: str,
        container_name: str,
        account_name: str,
        sas_token: Secret | None = None,
        account_key: Secret | None = None,
        overwrite: bool = False,
    ) -> Datastore:
        """Remember a container of Azure Blob Storage; without token and key it is read as public.

        Its URLs are ``abfs://``, which need the package ``adlfs``. For that, token and key see
        :meth:`register_url`.

        Examples
        --------
        >>> import tempfile
        >>> from daskrun import EnvironmentVariable, Workspace
        >>> ws = Workspace.create("trial", path=tempfile.mkdtemp())
        >>> key = EnvironmentVariable("BLOB_KEY")
        >>> Datastore.register_azure_blob_container(ws, "blob", "box", "me", account_key=key)
        Datastore(name='blob', root='abfs://box')
        """
        secrets = {"sas_token": sas_token, "account_key": account_key}
        given: StorageOptions = {k: v for k, v in secrets.items() if v is not None}
        options = {**(given or {"anon": True}), "account_name": account_name}
        root = f"abfs://{container_name}"
        return _register(workspace, datastore_name, root, options, overwrite)

    @staticmethod
    def register_s3(
        workspace: Home,
        datastore_name: str,
        bucket_name: str,
        key: Secret | None = None,
        secret: Secret | None = None,
        token: Secret | None = None,
        endpoint_url: str | None = None,
        anon: bool = False,
        overwrite: bool = False,
    ) -> Datastore:
        """Remember an S3 bucket, or ``bucket/folder``.

        Without ``key`` the credentials are found where AWS tools look for them (environment,
        profile, role), each time it is used. ``endpoint_url`` names another service that speaks S3.
        For the secrets see :meth:`register_url`.
        """
        if "://" in bucket_name:
            shown = shown_url(bucket_name)
            problem = f"bucket_name={shown!r} is a URL. Write bucket or bucket/folder, such as "
            raise SettingsError("register_s3", [f"{problem}{shown.partition('://')[2]!r}."])
        given = {"key": key, "secret": secret, "token": token, "endpoint_url": endpoint_url}
        options: StorageOptions = {
            **{k: v for k, v in given.items() if v is not None},
            **({"anon": True} if anon else {}),
        }
        return _register(workspace, datastore_name, f"s3://{bucket_name}", options, overwrite)

    @staticmethod
    def register_url(
        workspace: Home,
        datastore_name: str,
        url: str,
        storage_options: StorageOptions | None = None,
        overwrite: bool = False,
    ) -> Datastore:
        """Remember any URL that fsspec knows, with the options its file system takes.

        Options may be secrets: they are kept in a file of the workspace's private folder that only
        this user may read, as is a URL with a password. An :class:`EnvironmentVariable` in the
        place of one is kept as that name. Where a package that the URL needs is missing, a warning
        says so, and using the datastore is an error.
        """
        shown, problem = url, "is not a URL. Write 's3://bucket/folder', or use register_local."
        if isinstance(url, str) and "://" in url:
            problem, shown = protocol_problem(url), shown_url(url)
        if problem:
            raise SettingsError("register_url", [f"url={shown!r} {problem}"])
        return _register(workspace, datastore_name, url, dict(storage_options or {}), overwrite)

    def __repr__(self) -> str:
        # Options may be secrets: none is shown.
        return f"Datastore(name={self.name!r}, root={self._kept.shown_root!r})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Datastore)
            and (self.name, self._kept.shown_root) == (other.name, other._kept.shown_root)
            and self.workspace == other.workspace
        )

    def __hash__(self) -> int:
        return hash((self.name, self._kept.shown_root))

    @property
    def is_local(self) -> bool:
        """Whether it is a folder."""
        return "://" not in self._kept.shown_root

    @property
    def folder(self) -> Path | None:
        """The folder it is, None for a URL."""
        return Path(self._kept.root) if self.is_local else None

    @property
    def storage_options(self) -> StorageOptions:
        """What fsspec needs to open its URLs; may hold secrets.

        Raises
        ------
        SettingsError
            They are in an environment variable that is not set.
        StorageError
            They are in a file that this user can't read.
        """
        return self._kept.options

    def path(self, path: str = "") -> DatastorePath:
        """Name a folder, file or glob in it; nothing is looked up yet."""
        return DatastorePath(self, path)

    def url(self, relative: str = "") -> str:
        """Return the local path or URL of a path relative to the datastore.

        Raises
        ------
        SettingsError
            ``relative`` leads out of the datastore.
        """
        clean = posixpath.normpath(relative.lstrip("/")) if relative.strip("/") else ""
        outside = clean == ".." or clean.startswith("../") or "\0" in clean
        wrong = f"leads out of datastore {self.name!r}. Write one inside it." if outside else ""
        if wrong or not is_writable(clean):
            raise SettingsError("datastore path", [f"path={relative!r} {wrong or HALF}"])
        root = self._kept.root
        if clean in ("", "."):
            return root
        # The slash at the end says that a folder is meant.
        end = "/" if relative.endswith("/") else ""
        if self.is_local:
            return str(Path(root, clean)) + end
        return f"{root.rstrip('/')}/{clean}{end}"

    def upload(
        self,
        src_dir: str | os.PathLike[str],
        target_path: str | None = None,
        overwrite: bool = False,
        show_progress: bool = True,
    ) -> DatastorePath:
        """Copy the files of a folder into the datastore, their relative paths kept.

        Files that are there stay as they are unless ``overwrite``. Returned is where they are.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> from daskrun.workspace.workspace import Workspace
        >>> ws = Workspace.create("trial", path=tempfile.mkdtemp())
        >>> texts = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (texts / "a.txt").write_text("a")
        >>> store = ws.get_default_datastore()
        >>> store.upload(texts, "texts", show_progress=False).relative
        'texts'
        >>> store.download(tempfile.mkdtemp(), "texts")
        1 file copied
        1
        """
        source = user_path(src_dir)
        if not source.is_dir():
            raise StorageError(f"src_dir={str(src_dir)!r} is not a folder. Write one that is.")
        files = sorted(path for path in source.rglob("*") if is_data(path))
        return self.upload_files(files, str(source), target_path, overwrite, show_progress)

    def upload_files(
        self,
        files: Sequence[str | os.PathLike[str]],
        relative_root: str | os.PathLike[str] | None = None,
        target_path: str | None = None,
        overwrite: bool = False,
        show_progress: bool = True,
    ) -> DatastorePath:
        """Copy files into the datastore.

        Parameters
        ----------
        relative_root
            Their paths below it are kept; None: only their names are.
        target_path
            Folder of the datastore they go to; None: its root.
        overwrite
            Whether a file that is there is replaced; else it stays as it is.
        show_progress
            Whether a line is printed every few seconds, and at the end.
        """
        folder = target_path or ""
        named = transfer.named_below(files, relative_root)
        pairs = [(file, self.url(posixpath.join(folder, name))) for file, name in named]
        self._check_package()
        transfer.put(pairs, self._kept.options, overwrite, self._count(show_progress))
        return self.path(folder)

    def download(
        self,
        target_path: str | os.PathLike[str],
        prefix: str | None = None,
        overwrite: bool = False,
        show_progress: bool = True,
    ) -> int:
        """Copy what is under ``prefix`` to ``<target_path>/<path in the datastore>``.

        Files that are there stay as they are unless ``overwrite``. Files of runs that are not
        finished are left out. ``show_progress`` is that of :meth:`upload_files`.

        Returns
        -------
        int
            How many files were copied.
        """
        self._check_package()
        root, start, target = self.url(""), self.url(prefix or ""), Path(target_path)
        options, count = self._kept.options, self._count(show_progress)
        return transfer.get(root, start, target, options, overwrite, count)

    def unregister(self) -> None:
        """Remove it from the workspace, with its secrets; the data in it stays.

        What uses it says that it is gone when it is used: datasets in it, or, if it is the
        workspace's default, outputs for which no other is named.

        Raises
        ------
        SettingsError
            It is the workspace's own folder, which every workspace has.
        """
        records = self.workspace.records
        if self.name == DEFAULT_DATASTORE and not records.numbers(DATASTORES, self.name):
            problem = f"{self.name!r} is a folder of the workspace itself and can't be unregistered"
            raise SettingsError("unregister", [f"{problem}. Unregister one that was registered."])
        files = records.values_of(DATASTORES, [self.name], "private")
        records.delete(DATASTORES, self.name)
        for file in files:
            self.workspace.private.remove(file)

    def missing_package(self) -> str | None:
        """Return what must be installed before it can be used, None where nothing is missing."""
        missing = transfer.missing_package(self._kept.shown_root)
        return f"datastore {self.name!r} is at {missing}" if missing else None

    def _count(self, show_progress: bool) -> transfer.Count:
        """Return what counts copied files, and says so where that is wanted."""
        say = make_display().say if show_progress else None
        return transfer.Count(say, self.workspace.site.intervals.copying_told)

    def _check_package(self) -> None:
        if missing := self.missing_package():
            raise StorageError(missing)


def _register(
    workspace: Home, name: str, root: str, options: StorageOptions, overwrite: bool
) -> Datastore:
    """Remember a datastore, or a new version of it."""
    problem = f"datastore_name={name!r} is taken in workspace {workspace.name!r}. "
    problem += "Pass overwrite=True to replace it, or write another name."
    if not overwrite and name in Datastore.names(workspace):
        raise SettingsError("datastore", [problem])
    workspace.records.numbers(DATASTORES, name)  # refuses a name that can't be one
    files = workspace.private
    before = workspace.records.latest(DATASTORES, name)
    record = keep(root, options, files)
    try:
        workspace.records.create(DATASTORES, name, record, None if overwrite else 1)
    except BaseException as error:
        files.remove(record.get("private", ""))
        if isinstance(error.__cause__, FileExistsError):  # another process was quicker
            raise SettingsError("datastore", [problem]) from None
        raise
    if before is not None:
        files.remove(before[1].get("private", ""))
    workspace.sweep_private()
    store = Datastore(workspace, name)
    if missing := store.missing_package():
        logger.warning(missing)
    return store
