"""What a process has on its own disk of a workspace behind a URL."""

from __future__ import annotations

import atexit
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from daskrun.script.node_folders import base_folder, claim, clear_left, left, remove
from daskrun.storage.durable import write_whole
from daskrun.storage.folders import make_folder
from daskrun.storage.mirror import Mirror
from daskrun.storage.safe_names import inside
from daskrun.storage.stores import open_url_folder
from daskrun.storage.url_folder import READS, UrlFolder
from daskrun.workspace.layout import RUNS
from daskrun.workspace.run_folders.run_folder import MANIFEST, SNAPSHOT, STATES
from daskrun.workspace.run_folders.run_lease import RunLease, left_out

if TYPE_CHECKING:
    from daskrun.core.intervals import Intervals
    from daskrun.storage.urls import StorageOptions


NAME = "workspace-"
"""How the names of copies begin."""


class WorkingCopy:
    """A folder of this process, with what it has written to, or read from, a workspace.

    The truth is behind the URL. Here is what this process is writing, and what it has looked at: of
    a run that it drives all, of others what was asked for. It is removed with the process; where
    that was killed, by the next one on the machine that has one, or by the next run. ``options``
    are for fsspec, and may hold secrets.
    """

    def __init__(self, url: str, options: StorageOptions, intervals: Intervals) -> None:
        self.url = url.rstrip("/")
        self.options = dict(options)
        self.intervals = intervals
        self.remote = open_url_folder(self.url, options)
        self.pid = os.getpid()
        self.folder = base_folder() / f"{NAME}{self.pid}-{os.urandom(4).hex()}"
        for folder in left(base_folder()):
            if folder.name.startswith(NAME):
                clear_left(folder)
        self._claim = claim(self.folder)  # held until this process ends, however it does
        self._lock = threading.Lock()
        self._mirrors: dict[str, Mirror] = {}
        self._leases: dict[str, RunLease] = {}
        self._known: set[str] = set()
        """Ids of runs whose ``run.json`` is here."""

    def below(self, name: str) -> UrlFolder:
        """Open a folder or file of the workspace."""
        return open_url_folder(f"{self.url}/{name}", self.options)

    def mirror(self, run_id: str) -> Mirror:
        """Return what brings a run here and there."""
        with self._lock:
            if run_id not in self._mirrors:
                folder = inside(self.folder / RUNS, run_id)
                remote = self.below(f"{RUNS}/{run_id}")
                self._mirrors[run_id] = Mirror(folder, remote, left_out, SNAPSHOT, once=STATES)
            return self._mirrors[run_id]

    def lease(self, run_id: str) -> RunLease:
        """Return this process's lease of a pipeline's run."""
        mirror = self.mirror(run_id)
        with self._lock:
            if run_id not in self._leases:
                self._leases[run_id] = RunLease(mirror, self.intervals)
            return self._leases[run_id]

    def run_ids(self) -> list[str]:
        """Return the ids of all runs that are whole, sorted; their ``run.json`` is here then."""
        found = self.remote.folders(RUNS)
        new = [run_id for run_id in found if run_id not in self._known]
        if new:
            with ThreadPoolExecutor(min(READS, len(new)), "daskrun-runs") as pool:
                self._known |= {run for run in pool.map(self._with_manifest, new) if run}
        return [run_id for run_id in found if run_id in self._known]

    def _with_manifest(self, run_id: str) -> str:
        """Bring a run's ``run.json``, and give its id; ``""`` where it has none (yet)."""
        path = self.folder / RUNS / run_id / MANIFEST
        if not path.is_file():
            try:
                data = self.remote.read_whole(f"{RUNS}/{run_id}/{MANIFEST}")
            except FileNotFoundError:
                return ""
            make_folder(path.parent)
            write_whole(path, data)
        return run_id

    def remove(self) -> None:
        """Remove the folder; for the end of the process."""
        if os.getpid() == self.pid:  # one that was forked has it too
            remove(self.folder)


_copies: dict[str, WorkingCopy] = {}
_made: list[WorkingCopy] = []
_lock = threading.Lock()


@atexit.register
def remove_copies() -> None:
    """Remove what this process has on its disk of workspaces: it ends now."""
    while _made:
        _made.pop().remove()
    _copies.clear()


def working_copy(url: str, options: StorageOptions, intervals: Intervals) -> WorkingCopy:
    """Return this process's copy of a workspace, a new one for other options or intervals."""
    url, asked = url.rstrip("/"), (os.getpid(), dict(options), intervals)
    with _lock:
        found = _copies.get(url)
        if found is None or (found.pid, found.options, found.intervals) != asked:
            found = _copies[url] = WorkingCopy(url, options, intervals)
            _made.append(found)
        return found
