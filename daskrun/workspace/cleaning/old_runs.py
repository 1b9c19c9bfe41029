"""Runs that nobody drives: what they have beside their outputs, removed under their locks."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.core.report import RunStatus
from daskrun.core.settings import ASIDE
from daskrun.errors import DaskrunError, StorageError
from daskrun.output.destination import destination_of
from daskrun.output.folder import temporary_file
from daskrun.storage.folders import size_of
from daskrun.storage.urls import is_url, shown_url
from daskrun.workspace.datastores.datastore import Datastore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daskrun.storage.urls import StorageOptions
    from daskrun.workspace.home import Home
    from daskrun.workspace.run_folders.run_folder import RunFolder
    from daskrun.workspace.run_folders.run_records import Manifest

PARTS = "parts"
"""How what a run has among its parts is called."""
DATAFRAMES = ("inputs", "side_inputs")
"""Folders among the parts that hold dataframes as they were stored."""


class OldStep:
    """A step's run, and its parts."""

    def __init__(self, workspace: Home, folder: RunFolder, manifest: Manifest) -> None:
        self.folder = folder
        self.id = folder.id
        self._workspace = workspace
        outputs = manifest.outputs
        # A script that is run as a whole has no parts; of a step's outputs the first has them.
        parallel = manifest.values.get("type") == "ParallelRunStep"
        self._output = outputs[0] if outputs and (parallel or len(outputs) == 1) else None
        self._file = manifest.output_file
        self.status = status_of(folder)

    @property
    def place(self) -> str:
        """Where its parts are, as messages show it."""
        return shown_url(f"{self._location()[0]}/{ASIDE}/{self.id}")

    def size(self) -> tuple[int, str]:
        """Return the bytes of its parts, and what they are; ``""`` where there are none.

        Raises DaskrunError where it can't be looked at.
        """
        if self._output is None:
            return 0, ""
        location, options = self._location()
        if is_url(location):
            if self.status == RunStatus.COMPLETED.value:
                return 0, ""  # it removed them; asking for each run of years would take minutes
            from daskrun.storage.stores import open_url_folder

            sizes = open_url_folder(location, options).sizes(f"{ASIDE}/{self.id}")
            return sum(sizes.values()), PARTS if sizes else ""
        parts = Path(location, ASIDE, self.id)
        hidden = temporary_file(parts, Path(location))
        if not parts.exists() and not hidden.exists():
            return 0, ""
        stored = any((parts / name).exists() for name in DATAFRAMES)
        what = f"{PARTS}, stored dataframes" if stored else PARTS
        return size_of(parts) + size_of(hidden), what

    def free(self) -> None:
        """Remove its parts, and what was begun beside them and never published."""
        if self._output is None:
            return
        location, options = self._location()
        if is_url(location) and self._file:
            from daskrun.storage.stores import open_url_folder

            folder = open_url_folder(location, options)
            folder.forget_begun(self._file, f"{ASIDE}/{self.id}/upload")
        destination_of(location, options, self.id).sweep()

    def _location(self) -> tuple[str, StorageOptions]:
        assert self._output is not None
        store = Datastore(self._workspace, self._output.datastore)
        path = self._output.path_on_datastore
        return store.url(path).rstrip("/"), dict(store.storage_options)


class OldRun:
    """A pipeline's run with those of its steps; ``whole`` is None where its folder is gone."""

    def __init__(self, whole: RunFolder | None, steps: list[OldStep]) -> None:
        self._whole = whole
        self.steps = steps
        self._folders = [each.folder for each in steps] + ([whole] if whole is not None else [])
        self.id = (whole or self._folders[0]).id
        self.place = (whole or self._folders[0]).shown()
        self.status = status_of(whole or self._folders[0])
        self._seen = self._states()
        self.last = max(folder.last_change() for folder in self._folders)

    def is_driven(self) -> bool:
        """Return whether a process has it, or is to have it soon."""
        if any(folder.is_driven() for folder in self._folders):
            return True
        return self._whole is not None and not _ended(self._whole) and self._whole.awaits_driver()

    def guarded(self, free: Callable[[], None]) -> Callable[[], None]:
        """Do something under the run's locks, so that it can't be resumed meanwhile."""

        def guarded() -> None:
            # A run folder that was removed just before took the rest with it.
            folders = [folder for folder in self._folders if folder.is_run]
            with ExitStack() as stack:
                for folder in reversed(folders):  # the whole run's first, as who resumes it does
                    stack.enter_context(folder.lock())
                if folders and self._states() != self._seen:
                    raise StorageError("it has gone on since it was looked at. Look again.")
                free()

        return guarded

    def folder_size(self) -> int:
        """Return the bytes of its folders: manifest, states, code, journal, logs."""
        return sum(folder.size() for folder in self._folders)

    def free(self) -> None:
        """Remove its parts and its folders; outputs stay."""
        for step in self.steps:
            step.free()
        for folder in reversed(self._folders):  # the whole run's first: the others are of none then
            folder.remove()

    def _states(self) -> list[float]:
        return [folder.last_state().time for folder in self._folders]


def all_runs(workspace: Home) -> Iterator[tuple[str, Callable[[], OldRun]]]:
    """Yield the ids of all runs, the oldest first, and what looks at each; it may raise.

    Those whose folder can't be read are left out.
    """
    wholes: dict[str, RunFolder | None] = {}
    steps: dict[str, list[OldStep]] = {}
    for folder in map(workspace.site.run_folder, workspace.site.run_ids()):
        with suppress(DaskrunError):
            manifest = folder.manifest()
            folder.last_state()
            if manifest.kind != "step":
                wholes[folder.id] = folder
            else:
                step = OldStep(workspace, folder, manifest)
                steps.setdefault(manifest.pipeline_run, []).append(step)
                wholes.setdefault(manifest.pipeline_run, None)
    for name, found in wholes.items():
        yield name, partial(OldRun, found, steps.get(name, []))


def status_of(folder: RunFolder) -> str:
    """Return how a run stands that nobody drives."""
    return folder.last_state().status.value if _ended(folder) else "interrupted"


def _ended(folder: RunFolder) -> bool:
    return folder.last_state().status.ended
