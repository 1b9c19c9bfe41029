"""``Datastore``: a named place for data, a folder or any URL that fsspec knows."""

from __future__ import annotations

import importlib.util
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.data.protocols import DataPath, shown_url
from daskrun.errors import NameNotFoundError, SettingsError, StorageError
from daskrun.workspace import transfer
from daskrun.workspace.workspace import DEFAULT_DATASTORE

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from daskrun.workspace.workspace import Workspace

KIND = "datastores"
PACKAGES = {"abfs": "adlfs", "abfss": "adlfs", "az": "adlfs", "s3": "s3fs", "gs": "gcsfs"}
"""What must be installed for a protocol, where the protocol's name doesn't say it."""


class Datastore:
    """A named place for data in a workspace.

    Parameters
    ----------
    workspace
        The workspace that remembers it.
    name
        Its name; None: the workspace's default datastore.

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

    def __init__(self, workspace: Workspace, name: str | None = None) -> None:
        self.name: str = workspace.default_datastore_name if name is None else name
        self.workspace = workspace
        record = workspace.records.latest(KIND, self.name)
        if record is not None:
            self._root = str(record[1]["root"])
            self._options = dict(record[1].get("storage_options", {}))
        elif self.name == DEFAULT_DATASTORE:
            self._root, self._options = str(workspace.folder / "datastore"), {}
        else:
            raise NameNotFoundError("datastore", self.name, Datastore.names(workspace))

    @staticmethod
    def get(workspace: Workspace, datastore_name: str) -> Datastore:
        """Give the datastore of a name."""
        return Datastore(workspace, datastore_name)

    @staticmethod
    def names(workspace: Workspace) -> list[str]:
        """Give the names of a workspace's datastores, sorted."""
        return sorted({DEFAULT_DATASTORE, *workspace.records.names(KIND)})

    @staticmethod
    def register_local(
        workspace: Workspace,
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
        path = Path(folder).expanduser().resolve()
        if not path.is_dir():
            raise SettingsError(
                "register_local", [f"folder={str(folder)!r} is not a folder. Create it first."]
            )
        return _register(workspace, datastore_name, str(path), {}, overwrite)

    @staticmethod
    def register_azure_blob_container(
        workspace: Workspace,
        datastore_name: str,
        container_name: str,
        account_name: str,
        sas_token: str | None = None,
        account_key: str | None = None,
        overwrite: bool = False,
    ) -> Datastore:
        """Remember a container of Azure Blob Storage; without token and key it is read as public.

        Token and key are kept in the workspace, in a folder that only this user may read. Reading
        the container needs the package ``adlfs``.
        """
        secrets = {"sas_token": sas_token, "account_key": account_key}
        options: dict[str, Any] = {k: v for k, v in secrets.items() if v is not None}
        if not options:
            options["anon"] = True
        options["account_name"] = account_name
        return _register(workspace, datastore_name, f"abfs://{container_name}", options, overwrite)

    @staticmethod
    def register_s3(
        workspace: Workspace,
        datastore_name: str,
        bucket_name: str,
        key: str | None = None,
        secret: str | None = None,
        token: str | None = None,
        endpoint_url: str | None = None,
        anon: bool = False,
        overwrite: bool = False,
    ) -> Datastore:
        """Remember an S3 bucket, or ``bucket/folder``.

        Without ``key`` the credentials are found where AWS tools look for them (environment,
        profile, role). ``endpoint_url`` names another service that speaks S3.
        """
        given = {"key": key, "secret": secret, "token": token, "endpoint_url": endpoint_url}
        options: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
        if anon:
            options["anon"] = True
        return _register(workspace, datastore_name, f"s3://{bucket_name}", options, overwrite)

    @staticmethod
    def register_url(
        workspace: Workspace,
        datastore_name: str,
        url: str,
        storage_options: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> Datastore:
        """Remember any URL that fsspec knows, with the options its file system takes."""
        if not isinstance(url, str) or "://" not in url:
            problem = (
                f"url={url!r} is not a URL. Write one like 's3://bucket/folder', or use "
                "Datastore.register_local for a folder."
            )
            raise SettingsError("register_url", [problem])
        return _register(workspace, datastore_name, url, dict(storage_options or {}), overwrite)

    def __repr__(self) -> str:
        # Options may be secrets: none is shown.
        return f"Datastore(name={self.name!r}, root={shown_url(self._root)!r})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Datastore)
            and (self.name, self._root) == (other.name, other._root)
            and self.workspace == other.workspace
        )

    def __hash__(self) -> int:
        return hash((self.name, self._root))

    @property
    def is_local(self) -> bool:
        """Whether it is a folder."""
        return "://" not in self._root

    @property
    def folder(self) -> Path | None:
        """The folder it is, None for a URL."""
        return Path(self._root) if self.is_local else None

    @property
    def storage_options(self) -> Mapping[str, Any]:
        """What fsspec needs to open its URLs; may hold secrets."""
        return dict(self._options)

    def path(self, path: str = "") -> DataPath:
        """Name a folder, file or glob in it; nothing is looked up yet."""
        return DataPath(self, path)

    def url(self, relative: str = "") -> str:
        """Give the local path or URL of a path relative to the datastore.

        Raises
        ------
        SettingsError
            ``relative`` leads out of the datastore.
        """
        clean = posixpath.normpath(relative.lstrip("/")) if relative.strip("/") else ""
        if clean == ".." or clean.startswith("../"):
            raise SettingsError(
                "datastore path",
                [f"path={relative!r} leads out of datastore {self.name!r}. Write one inside it."],
            )
        if clean in ("", "."):
            return self._root
        # The slash at the end says that a folder is meant.
        end = "/" if relative.endswith("/") else ""
        if self.is_local:
            return str(Path(self._root, clean)) + end
        return f"{self._root.rstrip('/')}/{clean}{end}"

    def upload(
        self,
        src_dir: str | os.PathLike[str],
        target_path: str = "",
        overwrite: bool = False,
    ) -> DataPath:
        """Copy the files of a folder into the datastore, their relative paths kept.

        Files that are there stay as they are unless ``overwrite``.

        Returns
        -------
        DataPath
            Where they are.
        """
        source = Path(src_dir).expanduser()
        if not source.is_dir():
            raise StorageError(
                f"src_dir={str(src_dir)!r} is not a folder. Write one that is there."
            )
        files = sorted(path for path in source.rglob("*") if path.is_file())
        return self.upload_files(files, str(source), target_path, overwrite)

    def upload_files(
        self,
        files: Sequence[str | os.PathLike[str]],
        relative_root: str | os.PathLike[str] | None = None,
        target_path: str = "",
        overwrite: bool = False,
    ) -> DataPath:
        """Copy files into the datastore.

        Parameters
        ----------
        files
            The files.
        relative_root
            Their paths below it are kept; None: only their names are.
        target_path
            Folder of the datastore they go to.
        overwrite
            Whether a file that is there is replaced; else it stays as it is.
        """
        pairs = []
        for file in map(Path, files):
            if not file.is_file():
                raise StorageError(
                    f"files: {str(file)!r} is not a file. Write ones that are there."
                )
            try:
                name = file.relative_to(relative_root).as_posix() if relative_root else file.name
            except ValueError:
                raise StorageError(
                    f"relative_root={str(relative_root)!r} is not above {str(file)!r}. "
                    "Write a folder that all files are in."
                ) from None
            pairs.append((file, self.url(posixpath.join(target_path, name))))
        self._check_package()
        transfer.put(pairs, self._options, overwrite)
        return self.path(target_path)

    def download(
        self,
        target_path: str | os.PathLike[str],
        prefix: str = "",
        overwrite: bool = False,
    ) -> int:
        """Copy what is under ``prefix`` to ``<target_path>/<path in the datastore>``.

        Files that are there stay as they are unless ``overwrite``. Files of runs that are not
        finished are left out.

        Returns
        -------
        int
            How many files were copied.
        """
        self._check_package()
        root = self.url("")
        return transfer.get(root, self.url(prefix), Path(target_path), self._options, overwrite)

    def _check_package(self) -> None:
        """Say what to install before fsspec fails with less."""
        package = PACKAGES.get(self._root.partition("://")[0])
        if package and importlib.util.find_spec(package) is None:
            raise StorageError(
                f"datastore {self.name!r} is at {shown_url(self._root)}, which needs the package "
                f"{package}. Install it: pip install {package}"
            )


def _register(
    workspace: Workspace, name: str, root: str, options: dict[str, Any], overwrite: bool
) -> Datastore:
    """Remember a datastore, or a new version of it."""
    if not overwrite and name in Datastore.names(workspace):
        problem = (
            f"datastore_name={name!r} is taken in workspace {workspace.name!r}. "
            "Pass overwrite=True to replace it, or write another name."
        )
        raise SettingsError("datastore", [problem])
    workspace.records.numbers(KIND, name)  # refuses a name that can't be one
    if options:
        # Made before the record is, so that nobody else could ever have read a secret in it.
        folder = workspace.folder / KIND / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    workspace.records.create(KIND, name, {"root": root, "storage_options": options})
    return Datastore(workspace, name)
