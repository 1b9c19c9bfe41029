"""The folder of a run that is kept behind a URL."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from daskrun.errors import StorageError
from daskrun.storage.journal import encoded
from daskrun.storage.metric_files import FOLDER as METRICS
from daskrun.storage.segments import FOLDER as JOURNAL
from daskrun.storage.segments import Segments
from daskrun.workspace.layout import RUNS
from daskrun.workspace.run_folders.run_folder import (
    CANCEL,
    MANIFEST,
    NOTED,
    REPORT,
    REUSE,
    STATES,
    RunFolder,
)
from daskrun.workspace.run_folders.run_lease import RunLease, StepLock

if TYPE_CHECKING:
    from daskrun.storage.lock_handle import LockHandle
    from daskrun.workspace.run_folders.working_copy import WorkingCopy

CANCEL_LOOK = 2.0
"""Seconds between two looks whether others want the run to end."""
OTHERS = ("logs", METRICS, *NOTED)
"""What nodes on other machines put, while this process drives the run."""


class UrlRunFolder(RunFolder):
    """A run behind a URL; :attr:`path` is this process's copy of it.

    Where this process drives the run its copy is the newest: it is written first and then put.
    Else what is asked for is brought first. The runs of steps are held with their pipeline's.

    Parameters
    ----------
    copy
        Of the workspace.
    run_id
        The run's.
    """

    def __init__(self, copy: WorkingCopy, run_id: str) -> None:
        super().__init__(copy.folder / RUNS / run_id)
        self._copy = copy
        self._mirror = copy.mirror(run_id)
        self._whole = ""
        self._next_look = 0.0

    def begin(self, manifest: dict[str, Any]) -> LockHandle:
        """Make the folder of a new run, here and there."""
        self._whole = str(manifest.get("pipeline_run", self.id))
        held = super().begin(manifest)
        try:
            self.push()
        except BaseException:
            held.close()
            raise
        return held

    @property
    def url(self) -> str:
        """Where it is kept."""
        return self._mirror.remote.url

    def sibling(self, run_id: str) -> RunFolder:
        """Return the folder of another run of the workspace."""
        return UrlRunFolder(self._copy, run_id)

    def shown(self, name: str = "") -> str:
        """Return the URL of a file in it."""
        return self._mirror.remote.shown(name)

    def fetch(self, *names: str) -> None:
        """Bring what others have written."""
        if self._ours:
            if wanted := [name for name in OTHERS if not names or name in names]:
                self._mirror.bring(*wanted, over=False)
            return
        if METRICS in names:
            self._mirror.bring(METRICS, over=False)  # this process may log to it too
        files = [name for name in names if name not in (JOURNAL, METRICS)]
        if files or not names:
            self._mirror.bring(*files, over=True, keep=METRICS)
        if not names or JOURNAL in names:
            Segments(self._mirror.remote).bring(self.path / JOURNAL)

    def push(self) -> None:
        """Put what was written here."""
        self._lease.check()
        self._mirror.put(MANIFEST)

    def size(self) -> int:
        """Return the bytes of all that is there of it."""
        return sum(self._mirror.remote.sizes().values())

    def last_change(self) -> float:
        """Return when something was last noted of the run, in seconds since the epoch."""
        times = self._mirror.remote.times(JOURNAL).values()
        return max([float(self.last_state()["time"]), *times])

    def drop(self, *names: str) -> None:
        """Remove files and folders of it, here and there."""
        self._lease.check()
        self._mirror.delete(*names)

    def push_metrics(self) -> None:
        """Put what was logged here."""
        self._mirror.put(below=METRICS)

    def remove(self) -> None:
        """Remove all of it, here and there."""
        if self.is_run:  # else it was never held
            self._lease.forget(self._mirror)
        self._mirror.remote.delete([MANIFEST])
        self._mirror.forget()

    def log_names(self) -> list[str]:
        """Return the paths of its log files, here and there."""
        there = (f"logs/{name}" for name in self._mirror.remote.names("logs"))
        return sorted({*super().log_names(), *there})

    @property
    def is_run(self) -> bool:
        """Whether there is a run, and all of its folder was made."""
        return super().is_run or self._has_story()

    def manifest(self) -> dict[str, Any]:
        """Return what was asked."""
        self._has_story()
        return super().manifest()

    def add_state(self, status: str, message: str = "") -> None:
        """Note that the run has entered a state, after all that was written before it."""
        super().add_state(status, message)  # first: where the store fails it is put later
        if self._lease.trouble:  # it would be asked for a minute, while somebody waits
            raise StorageError(self._lease.trouble)
        self._lease.check()
        if self.is_run:  # else it is being made
            self._mirror.put(f"{STATES}/")

    def states(self) -> list[dict[str, Any]]:
        """Return the states so far."""
        self._bring(STATES)
        return super().states()

    def last_state(self) -> dict[str, Any]:
        """Return the state it is in."""
        self._bring(STATES)
        return super().last_state()

    def report(self) -> dict[str, Any] | None:
        """Return how the run ended, None when it has not."""
        self._bring(REPORT)
        return super().report()

    def reuse(self) -> dict[str, Any] | None:
        """Return what was found when an earlier run's output was looked for."""
        self._bring(REUSE)
        return super().reuse()

    def ask_to_cancel(self, reason: str) -> None:
        """Ask the process that drives the run, whichever it is, to end it."""
        value = {"reason": reason, "time": time.time()}
        self._mirror.remote.put(CANCEL, json.dumps(value).encode())

    def asked_to_cancel(self) -> str | None:
        """Return the reason for which the run is asked to end, None when it isn't."""
        if not self._lease.held:
            return "another process has taken the run over: this one had not renewed its lease"
        if time.monotonic() < self._next_look:
            return None
        self._next_look = time.monotonic() + CANCEL_LOOK
        try:
            asked = json.loads(self._mirror.remote.read_whole(CANCEL))
        except FileNotFoundError:
            return None
        return str(asked["reason"])

    def forget_cancel(self) -> None:
        """Remove what :meth:`ask_to_cancel` has left; not what is meant for who goes on."""
        if not self._ours or self._lease.trouble:
            return
        self._mirror.remote.delete([CANCEL])

    def drive(self) -> LockHandle:
        """Take the lease that says that this process drives the run, and have all of it here."""
        lease = self._lease
        if self._whole_id != self.id:
            lease.check()
            lease.add(self._mirror)
            return StepLock()
        lease.acquire()
        try:
            if not self._is_new:
                self._see_that_it_is_there(lease)
                self._bring_all(lease)
            lease.whole_here = True
        except BaseException:
            lease.close()
            raise
        return lease

    def lock(self) -> LockHandle:
        """Take the lease, with no more than the states here."""
        if self._whole_id != self.id and not self.sibling(self._whole_id).is_run:
            self._whole = self.id  # that was removed, by who was killed before this one was
        lease = self._lease
        if self._whole_id != self.id:
            lease.check()
            self._mirror.bring(STATES, over=True)
            return StepLock()
        lease.acquire(puts=False)
        try:
            self._see_that_it_is_there(lease)
            self._mirror.bring(STATES, over=True)
        except BaseException:
            lease.close()
            raise
        return lease

    def is_driven(self) -> bool:
        """Return whether a process, this one or another, drives the run now."""
        return self._lease.is_held()

    def _see_that_it_is_there(self, lease: RunLease) -> None:
        """Ask there: what is here may be of a run that others have removed."""
        if not self._mirror.remote.exists(MANIFEST):
            lease.lease.remove()
            raise StorageError(f"{self._mirror.remote.shown()} was removed by another process.")

    def _bring_all(self, lease: RunLease) -> None:
        """Have the newest of the run and its steps here, which then are this process's.

        Journals in any case: what this process wrote here and could not put there never counted.
        """
        for each in (
            self,
            *(UrlRunFolder(self._copy, n) for n in self.manifest().get("steps", ())),
        ):
            if not lease.whole_here:
                each._mirror.bring(over=True)
            if each is not self:
                Segments(each._mirror.remote).take_over(each.path / JOURNAL, _taken_over())
            lease.add(each._mirror)

    def _bring(self, name: str) -> None:
        if not self._ours:
            self._mirror.bring(name, over=True)

    def _has_story(self) -> bool:
        """Bring ``run.json``, which never changes; False where there is none."""
        if not (self.path / MANIFEST).is_file() and not self._is_new:
            self._mirror.bring(MANIFEST, over=False)
        return (self.path / MANIFEST).is_file()

    @property
    def _is_new(self) -> bool:
        """Whether this process is making it."""
        return bool(self._whole) and not (self.path / MANIFEST).is_file()

    @property
    def _ours(self) -> bool:
        return self._lease.held

    @property
    def _lease(self) -> RunLease:
        return self._copy.lease(self._whole_id)

    @property
    def _whole_id(self) -> str:
        """Id of the pipeline's run that it is, or is a step of."""
        if not self._whole:
            self._whole = str(self.manifest().get("pipeline_run", self.id))
        return self._whole


def _taken_over() -> bytes:
    """Return the record that keeps who drove a run before from going on with its journal."""
    return encoded({"kind": "taken_over", "pid": os.getpid(), "host": os.uname().nodename})
