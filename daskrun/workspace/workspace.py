"""``Workspace``: the folder everything else is remembered in."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from daskrun.core.absent_names import OriginalClass, original_keywords
from daskrun.core.intervals import USUAL
from daskrun.core.logs import get_logger
from daskrun.core.plugins import linked
from daskrun.data.datasets import Dataset
from daskrun.errors import DaskrunError, NameNotFoundError, WorkspaceError
from daskrun.script import context
from daskrun.storage.records import each_readable
from daskrun.storage.urls import shown_url
from daskrun.workspace.datastores.datastore import Datastore
from daskrun.workspace.datastores.missing_datastore import MissingDatastore
from daskrun.workspace.home import Home
from daskrun.workspace.layout import COMPUTE_TARGETS, DATASTORE, MODELS
from daskrun.workspace.sites import opening

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    from daskrun.core.codec import JsonObject
    from daskrun.core.intervals import Intervals
    from daskrun.data.file_dataset import FileDataset
    from daskrun.data.protocols import Place
    from daskrun.data.tabular.tabular_dataset import TabularDataset
    from daskrun.storage.urls import StorageOptions
    from daskrun.workspace.cleaning.clean import CleanupPlan
    from daskrun.workspace.compute.targets import ComputeTarget
    from daskrun.workspace.environments.environment import Environment
    from daskrun.workspace.models.model import Model

# Environments, models and compute targets are imported where they are asked for: 12 files that
# most programs do without.
Thing = TypeVar("Thing")
logger = get_logger("daskrun")


class Workspace(Home, OriginalClass):
    """A folder that holds datastores, models, compute targets, experiments and runs.

    Made by :meth:`from_config` or :meth:`create`. Everything in it is a small file that is created
    whole and never changed, so that any number of processes can use it at once. The folder may be
    behind a URL such as ``s3://bucket/team``, for nodes and users who share no file system.

    Examples
    --------
    >>> import tempfile
    >>> ws = Workspace.create("trial", path=tempfile.mkdtemp())
    >>> ws.name
    'trial'
    >>> ws.get_default_datastore().name
    'workspaceblobstore'
    """

    @original_keywords
    def __init__(
        self,
        folder: str | os.PathLike[str],
        storage_options: StorageOptions | None = None,
        *,
        intervals: Intervals = USUAL,
    ) -> None:
        # has the original's keywords explained
        super().__init__(folder, storage_options, intervals)

    @staticmethod
    @original_keywords
    def from_config(
        path: str | os.PathLike[str] | None = None, storage_options: StorageOptions | None = None
    ) -> Workspace:
        """Find the workspace of a folder, or make one there.

        Parameters
        ----------
        path
            Where to look: a folder, a workspace folder or its ``config.json``; None: the current
            folder, or in a script of a run the workspace of that. The nearest ``.daskrun`` in it or
            above it is taken; when there is none, ``<path>/.daskrun`` is created. Behind a URL only
            there is looked.
        storage_options
            Of a URL: what its file system of fsspec takes, such as ``{"endpoint_url": ...}``. They
            are kept nowhere: each process gives them, or lets them be found in its environment.

        Raises
        ------
        WorkspaceError
            ``path`` isn't there, the folder can't be used, or other users of this machine could
            have planted what was found; the documentation says whom to trust.
        """
        found = Workspace.find(path, storage_options)
        if found is not None:
            return found
        name, place = opening.default_name(path)
        return Workspace.create(name, place, storage_options=storage_options)

    @staticmethod
    def find(
        path: str | os.PathLike[str] | None = None, storage_options: StorageOptions | None = None
    ) -> Workspace | None:
        """Find a workspace as :meth:`from_config` does, but create none: then give None."""
        run = context.current()
        if path is None and run is not None and run.workspace:
            return Workspace(run.workspace, run.workspace_options)
        found = opening.find_site(path, storage_options)
        return None if found is None else Workspace(found, storage_options)

    @staticmethod
    @original_keywords
    def create(
        name: str,
        path: str | os.PathLike[str] | None = None,
        exist_ok: bool = True,
        storage_options: StorageOptions | None = None,
    ) -> Workspace:
        """Create a workspace in the folder ``<path>/.daskrun``.

        Parameters
        ----------
        name
            Any text that isn't empty.
        path
            The folder beside which the workspace is kept, or its URL; None: the current folder.
        exist_ok
            Whether a workspace that is there already is given as it is; where it has another name,
            a warning says so.
        storage_options
            As those of :meth:`from_config`.

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
        made, where = opening.make_site(path, storage_options, name)
        opened = Workspace(where, storage_options)
        if made or (exist_ok and opened.name == name):
            return opened
        typed, from_config = f"name={name!r}", "from_config()"
        if path is not None:
            shown = repr(shown_url(str(path)))
            typed, from_config = f"{typed}, path={shown}", f"from_config({shown})"
        there = f"{typed}: there is a workspace in {shown_url(where)}, named {opened.name!r}"
        other = "or give another path to make one"
        if not exist_ok:
            advice = f"Open it with Workspace.{from_config}, pass exist_ok=True, {other}"
            raise WorkspaceError(f"{there}. {advice}.")
        logger.warning("%s, which is used. Write Workspace.%s, %s", there, from_config, other)
        return opened

    @property
    def datastores(self) -> dict[str, Datastore]:
        """The datastores by name."""
        return _there(partial(Datastore, self), Datastore.names(self))

    def get_default_datastore(self) -> Datastore:
        """Return the datastore that outputs go to when nothing else is said."""
        return Datastore(self)

    def set_default_datastore(self, name: str | Datastore) -> None:
        """Make a datastore the default one.

        Raises
        ------
        NameNotFoundError
            There is no datastore of that name.
        """
        chosen = name if isinstance(name, Datastore) else Datastore(self, name)
        self.records.create("settings", "default_datastore", {"name": chosen.name})

    @property
    def compute_targets(self) -> dict[str, ComputeTarget]:
        """The compute targets by name."""
        from daskrun.workspace.compute.targets import ComputeTarget

        return _there(partial(ComputeTarget, self), self.records.names(COMPUTE_TARGETS))

    @property
    def models(self) -> dict[str, Model]:
        """The newest version of each model by name."""
        from daskrun.workspace.models.model import Model

        return _there(partial(Model, self), self.records.names(MODELS))

    def clean(self, older_than_days: float = 7, runs: bool = False) -> CleanupPlan:
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
        from daskrun.workspace.cleaning.clean import find  # loads output/: 50 ms

        return find(self, older_than_days, runs)

    @property
    def datasets(self) -> dict[str, FileDataset | TabularDataset]:
        """The newest version of each registered dataset by name."""
        return Dataset.get_all(self)

    @property
    def environments(self) -> dict[str, Environment]:
        """The newest version of each registered environment by name."""
        from daskrun.workspace.environments.environment import Environment

        return Environment.list(self)

    @property
    def experiments(self) -> dict[str, Any]:
        """The experiments that something was submitted to, by name."""
        experiment = linked("experiments")
        return {name: experiment(self, name) for name in self.records.names("experiments")}

    def get_run(self, run_id: str) -> Any:
        """Return a run, of a pipeline or of a step, whatever its experiment.

        Raises
        ------
        NameNotFoundError
            There is none of that id.
        """
        folder = self.site.find_run(run_id)
        if folder is None:
            raise NameNotFoundError("run", run_id, self.site.run_ids()[::-1])
        manifest = folder.manifest()
        experiment = linked("experiments")(self, manifest.experiment)
        whole = experiment.get_run(manifest.pipeline_run)
        return next(each for each in (whole, *whole.get_steps()) if each.id == run_id)

    def run_ids(self) -> list[str]:
        """Return the ids of all runs, of their steps too, the oldest first."""
        return self.site.run_ids()

    def get_runs(self) -> Iterator[Any]:
        """Return the runs of all experiments one by one, the newest first, without their steps.

        Examples
        --------
        >>> import tempfile
        >>> list(Workspace.create("trial", path=tempfile.mkdtemp()).get_runs())
        []
        """
        experiment = linked("experiments")
        for run_id in reversed(self.site.run_ids()):
            manifest = self.site.run_folder(run_id).readable()
            if manifest is not None and manifest.is_top:
                with suppress(NameNotFoundError):  # its folder was removed meanwhile
                    yield experiment(self, manifest.experiment).get_run(run_id)

    def get_details(self) -> JsonObject:
        """Return what is known of the workspace as plain values.

        Examples
        --------
        >>> import tempfile
        >>> details = Workspace.create("trial", path=tempfile.mkdtemp()).get_details()
        >>> details["name"], details["defaultDatastore"]
        ('trial', 'workspaceblobstore')
        """
        shown = shown_url(self.location)
        return {
            "id": shown,
            "name": self.name,
            "type": "daskrun",
            "location": shown,
            "creationTime": datetime.fromtimestamp(self.site.config.created, UTC).isoformat(),
            "defaultDatastore": self.default_datastore_name,
            "storageAccount": f"{shown}/{DATASTORE}",
        }

    def reference_to(self, named: Any) -> dict[str, str]:
        """Return what a datastore or compute target is found by, also one of another workspace."""
        home = getattr(named, "workspace", self)
        other = {} if home == self else {"workspace": home.location}
        return {"name": named.name, **other}

    def home_of(self, reference: dict[str, str]) -> Workspace:
        """Return the workspace that :meth:`reference_to` speaks of."""
        if "workspace" not in reference or reference["workspace"] == self.location:
            return self
        return Workspace(reference["workspace"], intervals=self.site.intervals)

    def place_of(self, reference: dict[str, str]) -> Place:
        """Return the datastore of a reference; one that is gone says so when it is used."""
        try:
            return Datastore(self.home_of(reference), reference["name"])
        except DaskrunError as error:
            return MissingDatastore(reference["name"], error)


def _there(make: Callable[[str], Thing], names: Iterable[str]) -> dict[str, Thing]:
    """Return what there is of each name, as far as it can be read."""
    return dict(each_readable(names, make))


def workspace_problems(value: object) -> list[str]:
    """Say so if an argument ``workspace`` isn't one."""
    if isinstance(value, Workspace):
        return []
    return [f"workspace={value!r} is not a Workspace. Write Workspace.from_config()."]
