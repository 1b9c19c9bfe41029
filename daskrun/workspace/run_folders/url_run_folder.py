"""The folder of a run that is kept behind a URL."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from daskrun.core.typing import override
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
    STATES,
    RunFolder,
    reason_of,
)
from daskrun.workspace.run_folders.run_lease import RunLease, StepLock

if TYPE_CHECKING:
    from daskrun.core.codec import JsonObject
    from daskrun.storage.lock_handle import LockHandle
    from daskrun.workspace.run_folders.working_copy import WorkingCopy

CANCEL_LOOK = 2.0
"""Seconds between two looks whether others want the run to end."""
OTHERS = ("logs", METRICS, *NOTED)
"""What nodes on other machines put, while this process drives the run."""


class UrlRunFolder(RunFolder):
    """A run behind a URL; :attr:`path` is this process's copy of it.

    Where this process drives the run its copy is the newest: it is written first, then uploaded.
    Else what is asked for is downloaded first. The lease of a pipeline's run covers its steps.
    """

    def __init__(self, copy: WorkingCopy, run_id: str) -> None:
        super().__init__(copy.folder / RUNS / run_id)
        self._copy = copy
        self._mirror = copy.mirror(run_id)
        self._whole = ""
        self._next_look = 0.0

    @override
    def begin(self, manifest: JsonObject) -> LockHandle:
        self._whole = str(manifest.get("pipeline_run", self.id))
        held = super().begin(manifest)
        try:
            self.push()
        except BaseException:
            held.close()
            raise
        return held

    @property
    @override
    def url(self) -> str:
        return self._mirror.remote.url

    @override
    def sibling(self, run_id: str) -> RunFolder:
        return UrlRunFolder(self._copy, run_id)

    @override
    def shown(self, name: str = "") -> str:
        return self._mirror.remote.shown(name)

    @override
    def fetch(self, *names: str) -> None:
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

    @override
    def push(self) -> None:
        self._lease.check()
        self._mirror.put(MANIFEST)

    @override
    def push_metrics(self) -> None:
        self._mirror.put(below=METRICS)

    @override
    def size(self) -> int:
        return sum(self._mirror.remote.sizes().values())

    @override
    def last_change(self) -> float:
        return max([self.last_state().time, *self._mirror.remote.times(JOURNAL).values()])

    @override
    def drop(self, *names: str) -> None:
        self._lease.check()
        self._mirror.delete(*names)

    @override
    def remove(self) -> None:
        if self.is_run:  # else no lease was taken
            self._lease.forget(self._mirror)
        self._mirror.remote.delete([MANIFEST])
        self._mirror.forget()

    @override
    def log_names(self) -> list[str]:
        there = (f"logs/{name}" for name in self._mirror.remote.names("logs"))
        return sorted({*super().log_names(), *there})

    @property
    @override
    def is_run(self) -> bool:
        if not super().is_run and not self._is_new:
            self._mirror.bring(MANIFEST, over=False)  # it never changes
        return super().is_run

    @override
    def is_there(self) -> bool:
        # The copy here may be of a run that others have removed.
        return self._mirror.remote.exists(MANIFEST)

    @override
    def add_state(self, status: str, message: str = "") -> None:
        super().add_state(status, message)  # first: where the store fails it is uploaded later
        if self._lease.trouble:  # asking would take a minute, while somebody waits
            raise StorageError(self._lease.trouble)
        self._lease.check()
        if self.is_run:  # else it is being made
            self._mirror.put(f"{STATES}/")

    @override
    def _write_cancel(self, data: bytes) -> None:
        self._mirror.remote.put(CANCEL, data)

    @override
    def asked_to_cancel(self) -> str | None:
        if not self._ours:
            return "another process has taken the run over: this one had not renewed its lease"
        if time.monotonic() < self._next_look:
            return None
        self._next_look = time.monotonic() + CANCEL_LOOK
        remote = self._mirror.remote
        return reason_of(remote.shown(CANCEL), lambda _: remote.read_whole(CANCEL))

    @override
    def forget_cancel(self) -> None:
        # Where another process has taken the run over, the request is meant for that one.
        if self._ours and not self._lease.trouble:
            self._mirror.remote.delete([CANCEL])

    @override
    def drive(self) -> LockHandle:
        lease = self._lease
        if self._whole_id != self.id:
            lease.check()
            lease.add(self._mirror)
            return StepLock()
        lease.acquire()
        try:
            if not self._is_new:
                self._check_existence(lease)
                self._bring_all(lease)
            lease.whole_here = True
        except BaseException:
            lease.close()
            raise
        return lease

    @override
    def lock(self) -> LockHandle:
        if self._whole_id != self.id and not self.sibling(self._whole_id).is_run:
            self._whole = self.id  # the pipeline's was removed, by a process that was then killed
        lease = self._lease
        if self._whole_id != self.id:
            lease.check()
            self._mirror.bring(STATES, over=True)
            return StepLock()
        lease.acquire(puts=False)
        try:
            self._check_existence(lease)
            self._mirror.bring(STATES, over=True)
        except BaseException:
            lease.close()
            raise
        return lease

    @override
    def is_driven(self) -> bool:
        return self._lease.is_held()

    @override
    def beat(self) -> None:
        """Do nothing: the lease is renewed."""

    @override
    def _last_beat(self) -> float:
        return self._lease.last_renewal()

    def _check_existence(self, lease: RunLease) -> None:
        if not self.is_there():
            lease.lease.remove()
            raise StorageError(f"{self._mirror.remote.shown()} was removed by another process.")

    def _bring_all(self, lease: RunLease) -> None:
        """Download the newest of the run and its steps, which then are this process's.

        Journals in any case: what this process wrote and could not upload never counted.
        """
        for each in (self, *(UrlRunFolder(self._copy, n) for n in self.manifest().steps)):
            if not lease.whole_here:
                each._mirror.bring(over=True)
            if each is not self:
                Segments(each._mirror.remote).take_over(each.path / JOURNAL, _taken_over())
            lease.add(each._mirror)

    @override
    def _refresh(self, name: str) -> None:
        if not self._ours:
            self._mirror.bring(name, over=True)

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
            self._whole = self.manifest().pipeline_run
        return self._whole


def _taken_over() -> bytes:
    """Return the record that keeps who drove a run before from going on with its journal."""
    return encoded({"kind": "taken_over", "pid": os.getpid(), "host": os.uname().nodename})
