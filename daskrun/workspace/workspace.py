"""``Workspace``: the folder everything else is remembered in."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.errors import WorkspaceError
from daskrun.storage.records import Records

if TYPE_CHECKING:
    from daskrun.workspace.clean import Found
    from daskrun.workspace.compute import ComputeTarget
    from daskrun.workspace.datastore import Datastore
    from daskrun.workspace.model import Model

FOLDER = ".daskrun"
"""Name of a workspace folder beside the work."""
CONFIG = "config.json"
DEFAULT_DATASTORE = "workspaceblobstore"
"""Name of the datastore every workspace has: its own folder ``datastore``. The original's name."""


class Workspace:
    """A folder that holds datastores, models, compute targets, experiments and runs.

    Made by :meth:`from_config` or :meth:`create`. Everything in it is a small file that is created
    whole and never changed, so that any number of processes can use it at once.

    Examples
    --------
    >>> import tempfile
    >>> ws = Workspace.create("trial", path=tempfile.mkdtemp())
    >>> ws.name
    'trial'
    >>> ws.get_default_datastore().name
    'workspaceblobstore'
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).resolve()
        """The workspace's own folder."""
        self.name = _read_name(self.folder)
        """The name it was created with."""
        self.records = Records(self.folder)
        """What it remembers, as numbered records."""

    @staticmethod
    def from_config(path: str | os.PathLike[str] | None = None) -> Workspace:
        """Find the workspace of a folder, or make one there.

        Parameters
        ----------
        path
            Where to look: a folder, a workspace folder or its ``config.json``; None: the current
            folder. The nearest ``.daskrun`` in it or above it is taken; when there is none,
            ``<path>/.daskrun`` is created.

        Raises
        ------
        WorkspaceError
            ``path`` isn't there, or the folder can't be used.
        """
        found = Workspace.find(path)
        if found is not None:
            return found
        start = _start(path)
        return Workspace.create(start.name or "workspace", path=start)

    @staticmethod
    def find(path: str | os.PathLike[str] | None = None) -> Workspace | None:
        """Find a workspace as :meth:`from_config` does, but create none: then give None."""
        start = _start(path)
        if (start / CONFIG).is_file() and start.name == FOLDER:
            return Workspace(start)
        for folder in (start, *start.parents):
            if (folder / FOLDER / CONFIG).is_file():
                return Workspace(folder / FOLDER)
        return None

    @staticmethod
    def create(
        name: str, path: str | os.PathLike[str] | None = None, exist_ok: bool = True
    ) -> Workspace:
        """Create a workspace in the folder ``<path>/.daskrun``.

        Parameters
        ----------
        name
            Any text that isn't empty.
        path
            The folder beside which the workspace is kept; None: the current folder.
        exist_ok
            Whether a workspace that is there already, under whatever name, is given as it is.

        Raises
        ------
        WorkspaceError
            The folder can't be written, can't create files exclusively, or, without ``exist_ok``,
            holds a workspace.
        """
        if not isinstance(name, str) or not name.strip():
            raise WorkspaceError(
                f"name={name!r} is not a name. Write some text, such as name='ws'."
            )
        folder = _local(path) / FOLDER
        if not (folder / CONFIG).is_file():
            _make(folder, name)
        elif not exist_ok:
            raise WorkspaceError(
                f"path={str(path)!r}: there is a workspace in {folder}. Open it with "
                "Workspace.from_config(path), or pass exist_ok=True."
            )
        return Workspace(folder)

    def __repr__(self) -> str:
        return f"Workspace(name={self.name!r}, folder={str(self.folder)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Workspace) and other.folder == self.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    @property
    def runs_folder(self) -> Path:
        """Holds a folder for each run."""
        return self.folder / "runs"

    @property
    def datastores(self) -> dict[str, Datastore]:
        """The datastores by name."""
        from daskrun.workspace.datastore import Datastore  # the two know each other

        return {name: Datastore(self, name) for name in Datastore.names(self)}

    def get_default_datastore(self) -> Datastore:
        """Give the datastore that outputs go to when nothing else is said."""
        from daskrun.workspace.datastore import Datastore

        return Datastore(self)

    @property
    def default_datastore_name(self) -> str:
        """The name of the default datastore."""
        chosen = self.records.latest("settings", "default_datastore")
        return str(chosen[1]["name"]) if chosen else DEFAULT_DATASTORE

    def set_default_datastore(self, name: str | Datastore) -> None:
        """Make a datastore the default one.

        Raises
        ------
        NameNotFoundError
            There is no datastore of that name.
        """
        from daskrun.workspace.datastore import Datastore

        chosen = name if isinstance(name, Datastore) else Datastore(self, name)
        self.records.create("settings", "default_datastore", {"name": chosen.name})

    @property
    def compute_targets(self) -> dict[str, ComputeTarget]:
        """The compute targets by name."""
        from daskrun.workspace.compute import ComputeTarget

        return {name: ComputeTarget(self, name) for name in self.records.names("compute_targets")}

    @property
    def models(self) -> dict[str, Model]:
        """The newest version of each model by name."""
        from daskrun.workspace.model import Model

        return {name: Model(self, name) for name in self.records.names("models")}

    def clean(self, older_than_days: float = 7, runs: bool = False) -> Found:
        """Look for what old and dead runs have left; ``remove()`` of what this gives frees it.

        That are the parts of runs that failed, were canceled or lost their process (kept for
        :meth:`PipelineRun.resume`), hidden outputs and uploads they began, and on this machine the
        node folders of killed runs and records half made. Outputs are never touched, nor runs that
        are being driven.

        Parameters
        ----------
        older_than_days
            For how long nothing may have happened to a run; what no run can use is found at any
            age.
        runs
            Whether whole run folders are found too, of completed runs as well: their code, states,
            logs and reports.

        Raises
        ------
        SettingsError
            An argument can't be used.

        Examples
        --------
        >>> import tempfile
        >>> ws = Workspace.create("trial", path=tempfile.mkdtemp())
        >>> found = ws.clean(older_than_days=30)
        >>> sum(each.bytes for each in found if each.run == "none")
        0
        """
        from daskrun.workspace.clean import find  # the two know each other

        return find(self, older_than_days, runs)

    @property
    def experiments(self) -> list[str]:
        """The names of the experiments that something was submitted to."""
        return self.records.names("experiments")


def workspace_problems(value: object) -> list[str]:
    """Say so if an argument ``workspace`` isn't one."""
    if isinstance(value, Workspace):
        return []
    return [f"workspace={value!r} is not a Workspace. Write Workspace.from_config()."]


def _local(path: str | os.PathLike[str] | None) -> Path:
    """Give the absolute folder that ``path`` means."""
    if isinstance(path, str) and "://" in path:
        raise WorkspaceError(
            f"path={path!r} is a URL. A workspace is a local folder: write its path."
        )
    return Path.cwd() if path is None else Path(path).expanduser().resolve()


def _start(path: str | os.PathLike[str] | None) -> Path:
    """Give the folder that a search begins in."""
    start = _local(path)
    if start.is_dir():
        return start
    if start.name == CONFIG and start.is_file():
        return start.parent
    raise WorkspaceError(
        f"path={str(path)!r} is not a folder. Write an existing folder, or leave path out for the "
        "current one."
    )


def _make(folder: Path, name: str) -> None:
    """Make a workspace's folder; of two processes that do so at once, the first gives the name."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_exclusive(folder)
        # Whatever version control the work is under, its results are not part of it.
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        text = json.dumps({"name": name, "created": time.time(), "layout": 1}, indent=1)
        # Records have their own way of being whole; this one file is looked for by its path.
        from daskrun.storage.durable import publish_new, write_aside

        temporary = write_aside(folder, text.encode())
        try:
            publish_new(temporary, folder / CONFIG)
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError:
        if not (folder / CONFIG).is_file():
            raise WorkspaceError(
                f"{folder} is a file, so no workspace can be made there."
            ) from None
    except OSError as error:
        raise WorkspaceError(
            f"can't make a workspace in {folder}: {error}. Give a folder in which this user may "
            "create files: Workspace.create(name, path=...)."
        ) from error


def _check_exclusive(folder: Path) -> None:
    """Refuse a file system on which two processes can both create the same file."""
    probe = folder / f".exclusive-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        for _ in range(2):
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        return
    finally:
        with suppress(OSError):
            probe.unlink()
    raise WorkspaceError(
        f"{folder} is on a file system without exclusive create (a second O_EXCL create of one "
        "file succeeded), so two processes could take the same version number. Put the workspace "
        "elsewhere: Workspace.create(name, path=...)."
    )


def _read_name(folder: Path) -> str:
    file = folder / CONFIG
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["name"])
    except FileNotFoundError:
        raise WorkspaceError(
            f"{folder} is not a workspace: it has no {CONFIG}. Write Workspace.from_config() to "
            "find or make one."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(f"{file} can't be read as a workspace's: {error!r}") from error
